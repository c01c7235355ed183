"""Scripts: to the last character, and what they do when they run."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.workflows.launch.schedulers import AllocationRequest, job_name, make_scheduler
from matscout.workflows.launch.schedulers.body import EXIT_NO_FOLDER, EXIT_NO_MODULE, body

from .conftest import NAME, worker

GOLDEN = Path(__file__).parent / "golden"
PYTHON = "/opt/matscout/bin/python"
ODD = Path('/scratch/some body\'s "runs"/$HOME #1; `id`')

FULL = {
    "partition": "batch",
    "account": "mat-2026",
    "walltime": "1-12:00:00",
    "cores": 16,
    "memory": "64GB",
    "gpus": 2,
    "modules": ["gcc/13.2", "vasp/6.4.3"],
    "environment": {"OMP_NUM_THREADS": 4, "NOTE": "it's $HOME"},
    "before": ["ulimit -s unlimited", "echo $$"],
    "after": ["rm -f scratch.*"],
    "python": PYTHON,
    "reserve": 90,
}
PARTS = {
    "slurm": {
        "qos": "long",
        "nodes": 2,
        "ranks_per_node": 4,
        "gpu_type": "a100",
        "directives": ["--constraint=avx512", "--mail-type=FAIL"],
    },
    "pbs": {"nodes": 2, "ranks_per_node": 4, "directives": "-m n"},
    "sge": {"parallel_environment": "mpi", "directives": "-l scratch=10G"},
    "lsf": {"qos": "long", "nodes": 2, "directives": ["-x"]},
}


@pytest.mark.parametrize("scheduler", list(PARTS))
@pytest.mark.parametrize("kind", ["full", "least"])
def test_the_script_is_the_golden_one(scheduler, kind):
    keys = {**FULL, **PARTS[scheduler]} if kind == "full" else {"python": PYTHON}
    request = AllocationRequest(NAME, ODD if kind == "full" else Path("/scratch/runs/1"))
    script = make_scheduler(worker(scheduler, **keys)).script(request)
    golden = GOLDEN / f"{scheduler}_{kind}.sh"
    if os.environ.get("MATSCOUT_WRITE_GOLDEN"):
        golden.write_text(script)
    assert script == golden.read_text()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_an_attempt_may_have_more_time_and_memory_than_its_worker():
    request = AllocationRequest(NAME, Path("/scratch/runs/1"), walltime=7200, memory=2048)
    script = make_scheduler(worker("slurm", memory="1GB")).script(request)
    assert "#SBATCH --time=02:00:00\n" in script
    assert "#SBATCH --mem=2048M\n" in script


def test_a_short_job_is_not_told_to_end_as_soon_as_it_starts():
    request = AllocationRequest(NAME, Path("/scratch/runs/1"), walltime=60)
    assert "--signal=B:USR1@30\n" in make_scheduler(worker("slurm")).script(request)
    assert "-wa" not in make_scheduler(worker("lsf")).script(request)


@pytest.mark.parametrize("folder", ["/scratch/a\nb", "/scratch/a\rb", "/scratch/a\x1bb", "runs/1"])
def test_a_folder_that_no_script_can_name_is_refused(folder):
    with pytest.raises(UserError, match="cannot be the folder of a job: it must be an absolute path"):
        AllocationRequest(NAME, Path(folder))


@pytest.mark.parametrize("name", ["", "1abc", "a b", "a;b", "much-too-long-a-name", "a\n"])
def test_a_name_that_some_scheduler_would_not_take_is_refused(name):
    with pytest.raises(ValueError, match="no name of a job"):
        AllocationRequest(name, Path("/scratch"))


@given(st.uuids())
def test_names_of_jobs_are_fit_for_all_schedulers(uuid):
    name = job_name(uuid.hex)
    assert AllocationRequest(name, Path("/scratch")).name == name
    assert len(name) <= 15


def run(folder, *command, on=None, **keys):
    """Run the commands of a job, as a scheduler does, and return its exit code and what it prints."""
    request = AllocationRequest(NAME, folder, command=command, **(on or {}))
    script = f"#!/bin/bash\n{body(worker('slurm', **keys), request)}"
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def odd(tmp_path):
    folder = tmp_path / 'some body\'s "runs" $HOME #1; `id`'
    folder.mkdir()
    return folder


def test_it_runs_in_its_folder_whatever_that_is_called(odd):
    assert run(odd, "pwd") == (0, f"{odd}\n", "")


def test_a_folder_that_the_node_does_not_see_is_named(tmp_path):
    code, _, errors = run(tmp_path / "no where", "true")
    assert code == EXIT_NO_FOLDER
    assert f"does not see {tmp_path}/no where" in errors


def test_variables_are_what_they_are_and_the_lines_around_run_in_order(odd):
    code, out, _ = run(
        odd,
        "bash",
        "-c",
        'echo "$NOTE"; exit 3',
        environment={"NOTE": "it's $HOME `id`"},
        before=["echo before $NOTE"],
        after=["echo after"],
    )
    assert (code, out) == (3, "before it's $HOME `id`\nit's $HOME `id`\nafter\n")


def test_the_launcher_learns_when_the_job_began(odd):
    _, out, _ = run(odd, "bash", "-c", "echo $MATSCOUT_JOB_STARTED")
    assert abs(float(out) - time.time()) < 60


MODULE = 'module() { [ "$2" != bad/1 ] && echo "loaded $2"; }'


def test_a_module_that_does_not_load_ends_the_job_and_is_named(odd, monkeypatch, tmp_path):
    (tmp_path / "module.sh").write_text(MODULE)
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "module.sh"))
    code, out, errors = run(odd, "echo", "ran", modules=["good/1", "bad/1", "good/2"])
    assert (code, out) == (EXIT_NO_MODULE, "loaded good/1\n")
    assert "no module bad/1" in errors
    assert (odd / "failed_modules.txt").read_text() == "bad/1\n"


def test_a_probe_goes_on_and_finds_all_modules_that_fail(odd, monkeypatch, tmp_path):
    (tmp_path / "module.sh").write_text(MODULE)
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "module.sh"))
    code, out, _ = run(odd, "echo", "ran", modules=["bad/1", "good/1"], on={"goes_on_without_modules": True})
    assert (code, out) == (0, "loaded good/1\nran\n")
    assert (odd / "failed_modules.txt").read_text() == "bad/1\n"


@pytest.mark.parametrize(
    ("sent", "received"), [("USR1", "USR1"), ("USR2", "USR1"), ("TERM", "TERM")], ids=["USR1", "USR2", "TERM"]
)
def test_a_signal_reaches_the_launcher_which_ends_in_order(odd, sent, received):
    launcher = "trap 'echo got USR1; sleep 0.3; exit 4' USR1; trap 'echo got TERM; sleep 0.3; exit 4' TERM; touch up; "
    launcher += "for i in $(seq 300); do sleep 0.1; done"
    request = AllocationRequest(NAME, odd, command=("bash", "-c", launcher))
    (odd / "job.sh").write_text(body(worker("slurm", after=["echo after"]), request))
    job = subprocess.Popen(["bash", str(odd / "job.sh")], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not (odd / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.send_signal(getattr(signal, f"SIG{sent}"))
    out, _ = job.communicate(timeout=30)
    assert (job.returncode, out) == (4, f"got {received}\nafter\n")
