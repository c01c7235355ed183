"""Jobs on a real Slurm: submitted, found by name, held, cancelled, ended by the walltime; and a probe."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matscout.errors import UserError
from matscout.workflows.launch.schedulers import (
    AllocationRequest,
    SchedulerDownError,
    commands,
    job_name,
    make_scheduler,
)
from matscout.workflows.launch.schedulers.probe import run_probe
from matscout.workflows.launch.workers_file import Worker

pytestmark = pytest.mark.integration


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """A worker on the Slurm that tests/integration/run started."""
    monkeypatch.setenv("SLURM_CONF", os.environ["MATSCOUT_TEST_SLURM_CONF"])
    paths = os.pathsep.join(path for path in sys.path if path)
    worker = Worker.model_validate(
        {
            "name": "loop",
            "scheduler": "slurm",
            "launch_folder": str(tmp_path / "some body's runs"),
            "walltime": "00:10:00",
            "memory": "100MB",
            "environment": {"PYTHONPATH": paths},
        }
    )
    scheduler = make_scheduler(worker)
    yield scheduler
    left = subprocess.run(["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=True)
    scheduler.cancel(left.stdout.split())


class Job:
    """A job that runs a line of shell."""

    def __init__(self, scheduler, line, **keys):
        self.scheduler = scheduler
        self.name = job_name(os.urandom(8).hex())
        self.folder = scheduler.worker.launch_folder / self.name
        self.folder.mkdir(parents=True)
        request = AllocationRequest(self.name, self.folder, command=("bash", "-c", line), **keys)
        self.script = self.folder / "job.sh"
        self.script.write_text(scheduler.script(request))
        self.id = scheduler.submit(self.script)

    @property
    def state(self):
        return self.scheduler.jobs([self.id])[self.id]

    def wait_for(self, *states, seconds=60):
        deadline = time.monotonic() + seconds
        while (state := self.state).state not in states:
            assert time.monotonic() < deadline, state
            time.sleep(0.2)
        return state


def test_a_job_runs_to_its_end_in_its_folder(slurm):
    job = Job(slurm, "pwd; env | grep -c SBATCH")
    state = job.wait_for("completed", "failed")
    assert (state.name, state.state, state.exit_code) == (job.name, "failed", 1)  # grep -c finds none
    assert (job.folder / "scheduler.out").read_text().splitlines()[0] == str(job.folder)


def test_jobs_are_found_by_name_while_they_live_and_after(slurm):
    job = Job(slurm, "sleep 60")
    assert slurm.find(job.name) == job.id
    job.wait_for("running")
    slurm.cancel([job.id, "999999"])
    assert job.wait_for("cancelled").is_live is False
    assert slurm.find(job.name) == job.id
    assert slurm.find("ms-never-there") is None
    states = slurm.jobs([job.id, "999999"], [job.name])
    assert {key: state.state for key, state in states.items()} == {
        job.id: "cancelled",
        "999999": "vanished",
        job.name: "cancelled",
    }


def test_a_job_held_by_hand_is_told_from_one_that_waits(slurm):
    first, second, third = (Job(slurm, "sleep 60") for _ in range(3))
    assert third.wait_for("waiting").reason != ""
    subprocess.run(["scontrol", "hold", third.id], check=True)
    state = third.wait_for("held")
    assert (state.raw, state.reason) in {
        ("PENDING", "JobHeldUser"),
        ("PENDING", "JobHeldAdmin"),
    }  # root's is the latter
    slurm.cancel([first.id, second.id, third.id])


def test_a_job_at_its_walltime_is_warned_before_and_told_from_others_after(slurm):
    line = "trap 'date +%s >warned' USR1; for k in $(seq 3000); do sleep 0.1; done"
    job = Job(slurm, line, walltime=60)
    state = job.wait_for("walltime", seconds=180)
    assert state.raw == "TIMEOUT"
    assert (job.folder / "warned").exists()


def test_a_script_that_slurm_refuses_is_told_in_its_words(slurm):
    wrong = make_scheduler(slurm.worker.model_copy(update={"partition": "none-such"}))
    with pytest.raises(UserError, match=r"Slurm refuses a job of worker loop .*invalid partition specified: none-such"):
        Job(wrong, "true")


def test_a_slurm_that_is_not_there_is_down_and_no_job_is_gone(slurm, monkeypatch, tmp_path):
    job = Job(slurm, "sleep 60")
    text = Path(os.environ["SLURM_CONF"]).read_text()
    (tmp_path / "slurm.conf").write_text(text.replace("SlurmctldPort=", "SlurmctldPort=1#") + "MessageTimeout=2\n")
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 20.0)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(SchedulerDownError, match="Slurm does not answer"):
        slurm.jobs([job.id])
    monkeypatch.setenv("SLURM_CONF", os.environ["MATSCOUT_TEST_SLURM_CONF"])
    assert job.state.is_live


def test_a_probe_finds_a_worker_ready(slurm):
    said = []
    report = run_probe(slurm.worker, tell=said.append)
    assert report.problems == []
    assert (report.node, report.cores, report.sees_folder) == (os.uname().nodename, os.cpu_count(), True)
    assert said[0] == "submitting"
    assert not list((slurm.worker.launch_folder / "probes").iterdir())
