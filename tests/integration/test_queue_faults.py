"""Faults on a real Slurm: each ends in its class, and is repaired or given up as its policy says."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import ENDED, CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.workflows.calculations import get_protocol
from matscout.workflows.launch import queue as queue_module
from matscout.workflows.launch.allocation import launchers
from matscout.workflows.launch.attempts import launch_folder_of
from matscout.workflows.launch.folders import CLAIM, CLOSED, RESULT
from matscout.workflows.launch.queue import Queue
from matscout.workflows.launch.schedulers import SchedulerMissingError, commands
from matscout.workflows.launch.schedulers.slurm import Slurm
from matscout.workflows.launch.workers_file import Worker

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent

WORKERS = {
    "node": {},
    "tight": {"memory": "700MB", "limit_memory": True},
    "short": {"walltime": "00:00:40", "reserve": 10},
    "held": {"directives": ["--hold"]},
    "two": {"max_queued": 2},
}


class Site:
    """A store, and its queue on the workers of a Slurm."""

    def __init__(self, folder, launch_folder=None):
        paths = os.pathsep.join([str(HERE), *(path for path in sys.path if path)])
        common = {
            "scheduler": "slurm",
            "launch_folder": str(launch_folder or folder / "launches"),
            "walltime": "00:10:00",
            "memory": "2GB",
            "max_queued": 20,
            "cleanup": {"completed": "nothing", "failed": "nothing"},
            "environment": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        }
        self.workers = {name: Worker.model_validate({"name": name, **common, **own}) for name, own in WORKERS.items()}
        self.folder = folder
        self.store = connect(folder / "store")
        self.queue = Queue(self.store, self.workers, "s1")

    def add(self, number, worker="node", protocol="custom", **overrides):
        """Put a calculation on the queue, and return its id; those of a number have a cell of their own."""
        structure = Structure(Lattice.cubic(4.0 + number / 100), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        if protocol != "custom":
            structure = Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(4.0 + number / 1000), ["Li", "F"], [[0, 0, 0], [0.5] * 3]
            ).get_primitive_structure()
        made = get_protocol(protocol, overrides)
        request = CalculationRequest.of(
            Geometry.from_structure(structure),
            protocol=protocol,
            protocol_id=made.id,
            subject=f"candidate:{number}",
            overrides=made.overrides,
        )
        assert self.queue.add([request], worker) == 1
        return request.id

    def plan(self, number, *plan, worker="node"):
        """Put a calculation on the queue that behaves as planned, attempt by attempt."""
        settings = {"maker": "misbehaving.MisbehavingMaker", "maker_settings": {"plan": list(plan)}}
        return self.add(number, worker, **settings)

    def advance(self, *ids, seconds=120.0):
        """Take steps until calculations have ended; return what was noted."""
        deadline, notes = time.monotonic() + seconds, []
        while True:
            notes += self.queue.step().notes
            states = {one: self.queue.attempts.calculation(one).state for one in ids}
            if set(states.values()) <= set(ENDED):
                return notes
            assert time.monotonic() < deadline, (states, notes, list(self.queue.allocations.open()))
            time.sleep(0.3)

    def job(self, calculation_id):
        """Return the number of the job that has a calculation."""
        [record] = [one for one in self.queue.allocations.open() if calculation_id in one.calculations]
        return record.job_id

    def launch(self, calculation_id):
        """Return the launch folder of the last attempt."""
        return launch_folder_of(self.queue.attempts.calculation(calculation_id))

    def story(self, calculation_id):
        """Return the state of a calculation, and of each attempt outcome, cause and evidence."""
        calculation = self.queue.attempts.calculation(calculation_id)
        assert all(attempt.ended or attempt.outcome == "running" for attempt in calculation.attempts)
        return calculation.state, [(one.outcome, one.cause, one.evidence) for one in calculation.attempts]


def assert_story(site, calculation_id, state, *attempts):
    """Compare with what is in the store; evidence is searched for."""
    found, told = site.story(calculation_id)
    assert (found, [one[:2] for one in told]) == (state, [one[:2] for one in attempts]), told
    for (_, _, evidence), (_, _, expected) in zip(told, attempts, strict=True):
        assert (evidence is None) == (expected is None)
        assert expected is None or re.search(expected, evidence), evidence
    result = site.queue.attempts.results([calculation_id])[calculation_id]
    assert (result.outcome, result.cause) == (state, None if state == "completed" else attempts[-1][1])
    assert (result.energy_per_atom is None) == (state != "completed")


COMPLETED = ("completed", None, None)


@pytest.fixture
def site(loop_slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(loop_slurm.conf))
    yield (made := Site(tmp_path))
    made.store.close()
    loop_slurm.heal()


@dataclass
class Case:
    """A calculation that goes wrong by itself, and its end."""

    state: str
    attempts: tuple
    plan: tuple = ()
    worker: str = "node"
    gpaw: dict = field(default_factory=dict)


KILLED = ("failed", "memory", r"^signal 9 \(SIGKILL\), at most \d+ MB in memory$")
NO_MEMORY = ("failed", "memory", "MemoryError")
NO_TIME = (
    "interrupted",
    "walltime",
    r"^interrupted\.json: (10 s before the end of 40 s|the scheduler warned by signal 10 \(SIGUSR1\))$",
)
CUT_OFF = ("failed", "parse", "^JSONDecodeError: ")
NO_SCF = ("failed", "scf", r"^KohnShamConvergenceError: static-.*/gpaw\.txt: ")
FAST = {"cutoff_eV": 300.0, "k_points_per_inverse_A": 0.5}

CASES = {
    "memory enough the second time": Case("completed", (NO_MEMORY, COMPLETED), ("allocate 600",), "tight"),
    "memory never enough": Case("gave_up", (NO_MEMORY,) * 3, ("allocate 9000",), "tight"),
    "killed as by the kernel, once": Case("completed", (KILLED, COMPLETED), ("killed", "well")),
    "killed as by the kernel, always": Case("gave_up", (KILLED,) * 3, ("killed",)),
    "time enough the second time": Case("completed", (NO_TIME, COMPLETED), ("sleep 31",), "short"),
    "an output cut off once": Case("completed", (CUT_OFF, COMPLETED), ("cut", "well")),
    "an output cut off always": Case("gave_up", (CUT_OFF,) * 2, ("cut",)),
    "electrons that converge by another way": Case("completed", (NO_SCF, COMPLETED), gpaw={**FAST, "max_scf_steps": 2}),
    "electrons that never converge": Case("gave_up", (NO_SCF,) * 3, gpaw={**FAST, "calculator": {"maxiter": 2}}),
    "a wrong input": Case("failed", (("failed", "input", "nonsense"),), gpaw={**FAST, "calculator": {"nonsense": 1}}),
}


@pytest.fixture(scope="module")
def ended(loop_slurm, tmp_path_factory):
    """All of the cases, next to each other."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SLURM_CONF", str(loop_slurm.conf))
        site = Site(tmp_path_factory.mktemp("cases"))
        ids = {}
        for number, (name, case) in enumerate(CASES.items()):
            if case.gpaw and find_spec("gpaw") is None:
                continue
            ids[name] = (
                site.add(number, protocol="gpaw-pbe-static", **case.gpaw)
                if case.gpaw
                else site.plan(number, *case.plan, worker=case.worker)
            )
        site.advance(*ids.values(), seconds=300.0)
        yield site, ids
        site.store.close()


@pytest.mark.parametrize("name", CASES)
def test_what_goes_wrong_in_a_calculation_ends_as_its_policy_says(ended, name):
    site, ids = ended
    if name not in ids:
        pytest.skip("pip install 'matscout[dft]', after apt-get install libxc-dev libopenblas-dev libopenmpi-dev")
    assert_story(site, ids[name], CASES[name].state, *CASES[name].attempts)


def test_more_memory_and_time_is_what_the_next_job_asks_for(ended):
    site, ids = ended
    records = site.store.collection("allocations").find({}, {"calculations": 1, "folder": 1}).sort("created", 1)
    asked = {}
    for record in records:
        script = (Path(record["folder"]) / "submit.sh").read_text()
        for one in record["calculations"]:
            asked.setdefault(one, []).append(tuple(re.findall(r"--(?:time|mem)=(\S+)", script)))
    assert asked[ids["memory enough the second time"]] == [("00:10:00", "700M"), ("00:10:00", "1400M")]
    assert asked[ids["time enough the second time"]] == [("00:00:40", "2048M"), ("00:01:20", "2048M")]


def starts(site, loop_slurm, calculation_id):
    """Submit, and wait until a calculation is under way; return the number of its job."""
    site.queue.step()
    folder = site.launch(calculation_id)
    loop_slurm.until(lambda: any(folder.glob("misbehave-*")), 60.0, lambda: list(folder.rglob("*")))
    return site.job(calculation_id)


def test_a_job_cancelled_by_hand_is_started_again(site, loop_slurm):
    one = site.plan(1, "sleep 300", "well")
    job = starts(site, loop_slurm, one)
    loop_slurm.ask("scancel", job)
    loop_slurm.wait_for(job, "CANCELLED")
    assert site.queue.step().again == {"node": 1}  # within one step
    site.advance(one)
    assert_story(site, one, "completed", ("interrupted", "node", "^scheduler: cancelled$"), COMPLETED)


def test_a_result_cut_off_in_the_middle_is_calculated_again(site, loop_slurm):
    one = site.plan(1)
    site.queue.step()
    loop_slurm.wait_for(site.job(one), "COMPLETED")
    path = site.launch(one) / RESULT
    os.truncate(path, path.stat().st_size // 2)
    site.advance(one)
    assert_story(site, one, "completed", ("interrupted", "parse", r"^result\.json: .*EOF"), COMPLETED)


def test_a_held_job_is_said_and_waited_for(site, loop_slurm):
    one = site.plan(1, worker="held")
    site.queue.step()
    job = site.job(one)
    step = site.queue.step()
    assert (step.changed, dict(step.jobs["held"])) == (False, {"held": 1})
    assert re.search(rf"^job {job} of worker held is held: JobHeld(User|Admin)$", step.notes[0])
    loop_slurm.ask("scontrol", "release", job)
    site.advance(one)
    assert_story(site, one, "completed", COMPLETED)


def test_a_full_queue_is_waited_for(site, loop_slurm, monkeypatch):
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 3.0)  # sbatch itself waits for room, for minutes
    ids = [site.plan(number, worker="two") for number in range(3)]
    known = len(loop_slurm.ask("scontrol", "--oneliner", "show", "job").splitlines())
    known = 0 if loop_slurm.ask("scontrol", "show", "job").startswith("No jobs") else known
    with loop_slurm.configured(f"MaxJobCount={known + 2}"):
        step = site.queue.step()
        assert dict(step.submitted) == {"two": 1}
        assert step.notes[0].startswith("Slurm takes no more jobs of worker two now: ")
        assert sorted(len(site.story(one)[1]) for one in ids) == [0, 0, 1]
    step = site.queue.step()
    assert sum(site.queue.ledger.counts().get(state, 0) for state in ("RESERVED", "RUNNING", "COMPLETED")) == 2
    assert step.notes == []
    site.advance(*ids)
    for one in ids:
        assert_story(site, one, "completed", COMPLETED)


def test_while_slurm_is_down_nothing_is_lost_and_nothing_is_started_twice(site, loop_slurm):
    go = site.folder / "go"
    first = site.plan(1, f"wait {go}")
    starts(site, loop_slurm, first)
    loop_slurm.end_controller()
    second = site.plan(2)
    step = site.queue.step()
    assert not step.changed
    assert len(step.notes) == 1
    assert step.notes[0].startswith("Slurm ")
    assert site.story(second) == ("waiting", [])
    go.touch()
    loop_slurm.until((site.launch(first) / RESULT).exists)
    assert site.story(first)[0] == "running"
    loop_slurm.start_controller()
    site.advance(first, second)
    for one in (first, second):
        assert_story(site, one, "completed", COMPLETED)


def test_a_job_that_slurm_could_not_be_told_of_is_submitted_later(site, loop_slurm):
    one = site.plan(1)
    loop_slurm.end_controller()
    step = site.queue.step()
    assert "Unable to contact slurm controller" in step.notes[0]
    loop_slurm.start_controller()
    site.advance(one)
    assert_story(site, one, "completed", COMPLETED)


def test_without_sbatch_nothing_is_begun(site, monkeypatch, tmp_path):
    one = site.plan(1)
    with monkeypatch.context() as changed:
        changed.setenv("PATH", str(tmp_path))
        with pytest.raises(SchedulerMissingError, match="sbatch is not on PATH"):
            site.queue.step()
    assert site.story(one) == ("waiting", [])
    assert site.queue.allocations.open() == []
    site.advance(one)
    assert_story(site, one, "completed", COMPLETED)


def kill_the_controller_after_sbatch(folder):
    """Submit, and get killed before the job's number is written down."""
    submit = Slurm.submit

    def submit_and_die(self, script):
        submit(self, script)
        os.kill(os.getpid(), signal.SIGKILL)

    Slurm.submit = submit_and_die
    Site(Path(folder)).queue.step()


CHILD = """\
import importlib.util, sys
spec = importlib.util.spec_from_file_location("faults", sys.argv[1])
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)
faults.kill_the_controller_after_sbatch(sys.argv[2])
"""


def test_a_job_of_a_controller_killed_between_sbatch_and_its_record_is_found_by_its_name(site, loop_slurm):
    go = site.folder / "go"
    one = site.plan(1, f"wait {go}")
    site.store.close()
    child = subprocess.run([sys.executable, "-c", CHILD, __file__, str(site.folder)], check=False)
    assert child.returncode == -signal.SIGKILL
    site.__init__(site.folder)
    [record] = site.queue.allocations.open()
    assert (record.state, record.job_id) == ("prepared", None)
    step = site.queue.step()
    assert not step.submitted
    assert [site.job(one)] == loop_slurm.jobs()
    go.touch()
    site.advance(one)
    assert_story(site, one, "completed", COMPLETED)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_told_and_calculations_wait_until_there_is_room(loop_slurm, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(loop_slurm.conf))
    site = Site(tmp_path, small_disk)
    one = site.plan(1, "fill", "well")
    site.queue.step()
    loop_slurm.wait_for(site.job(one), "FAILED")
    [(_, end)] = launchers(next(small_disk.glob("s1/allocations/*")))
    assert end.reason == "machine"
    fill(small_disk / "of-somebody-else")  # a launcher keeps a little space, to say what happened, and gives it up
    step = site.queue.step()
    assert step.again == {"node": 1}
    assert "No space left on device" in step.notes[0]
    state, [(outcome, cause, evidence)] = site.story(one)
    assert (state, outcome, cause) == ("waiting", "failed", "node")
    assert "[Errno 28] No space left on device" in evidence
    for path in (small_disk / "of-somebody-else", *small_disk.rglob("wavefunctions.dat")):
        path.unlink()
    site.advance(one)
    assert_story(site, one, "completed", ("failed", "node", "No space left on device"), COMPLETED)
    site.store.close()


def test_a_job_that_hangs_is_ended_by_slurm_and_gets_more_time(site, loop_slurm):
    one = site.plan(1, "sleep 300", "well")
    job = starts(site, loop_slurm, one)
    [record] = site.queue.allocations.open()
    [(start, _)] = launchers(Path(record.folder))
    time.sleep(3.0)  # longer than such a calculation may take: else it would not be to blame
    os.kill(start.pid, signal.SIGSTOP)  # a launcher whose disk does not answer: it can neither stop nor say anything
    loop_slurm.ask("scontrol", "update", f"JobId={job}", f"EndTime={time.strftime('%Y-%m-%dT%H:%M:%S')}")
    loop_slurm.wait_for(job, "TIMEOUT", seconds=120.0)
    assert site.queue.step().again == {"walltime": 1}
    site.advance(one)
    assert_story(
        site,
        one,
        "completed",
        (
            "interrupted",
            "walltime",
            r"^(interrupted\.json: the scheduler warned|.* DUE TO TIME LIMIT|scheduler: walltime)",
        ),
        COMPLETED,
    )


def test_what_a_node_did_that_is_gone_is_done_again_on_another(site, loop_slurm):
    go = site.folder / "go"
    one = site.plan(1, f"wait {go}", "well")
    job = starts(site, loop_slurm, one)
    left = loop_slurm.end_node()  # its processes live on, as behind a broken network
    try:
        loop_slurm.wait_for(job, "NODE_FAIL", seconds=90.0)
        first = site.launch(one)
        step = site.queue.step()
        assert step.again == {"node": 1}
        assert dict(step.submitted) == {"node": 1}
        closed = first.with_name(first.name + CLOSED)
        assert (closed / CLAIM).exists()
        go.touch()
        time.sleep(2.0)
        assert not first.exists()  # what comes to its end behind the broken network is not heard any more
        assert not (closed / RESULT).exists()
    finally:
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
    loop_slurm.start_node()
    site.advance(one)
    assert_story(site, one, "completed", ("interrupted", "node", "NODE FAILURE|scheduler: node"), COMPLETED)


def test_a_job_that_slurm_has_forgotten_is_started_again(site, loop_slurm, monkeypatch):
    monkeypatch.setattr(queue_module, "VANISHED_SECONDS", 0.0)
    one = site.plan(1, "sleep 300", "well")
    job = starts(site, loop_slurm, one)
    [record] = site.queue.allocations.open()
    site.queue.allocations.update(record, job_id="999999")  # no accounting, and long ago
    loop_slurm.ask("scancel", job)
    assert site.queue.step().again == {"node": 1}
    site.advance(one)
    assert_story(site, one, "completed", ("interrupted", "node", "^scheduler: vanished$"), COMPLETED)
