"""What is ready becomes jobs, whatever the scheduler and the disk say to that."""

import errno
from pathlib import Path

import pytest

from matscout.db.documents import Attempt, CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.errors import UserError
from matscout.workflows.launch import submission as submission_module
from matscout.workflows.launch.allocation import LauncherEnd, LauncherStart, announce, read_allocation
from matscout.workflows.launch.allocations import launch_of
from matscout.workflows.launch.queue import Queue
from matscout.workflows.launch.schedulers import (
    JobState,
    QueueFullError,
    SchedulerDownError,
    SchedulerMissingError,
)
from matscout.workflows.launch.workers_file import Worker


class Scripted:
    """A scheduler that answers a submission with what comes next: a number, or an error; then it is silent."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.scripts = []
        self.known = {}
        self.states = {}
        self.asked = 0
        self.cancelled = []

    def __call__(self, worker):
        return self

    def script(self, request):
        return f"{request.walltime} {request.memory}"

    def submit(self, path):
        self.scripts.append(path.read_text())
        self.folder = path.parent
        answer = self.answers.pop(0) if self.answers else SchedulerDownError("no answer")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, ids):
        self.cancelled += ids

    def find(self, name):
        return self.known.get(name)

    def jobs(self, ids, names=()):
        self.asked += 1
        found = {name: JobState(self.known[name], name, "waiting") for name in names if name in self.known}
        return found | {number: self.states.get(number, JobState(number, "", "waiting")) for number in ids}


@pytest.fixture
def store(tmp_path):
    with connect(tmp_path / "store") as store:
        yield store


@pytest.fixture
def make(store, tmp_path):
    """Make a queue with one calculation on it."""

    def made(scheduler, **keys):
        given = {"name": "node", "scheduler": "slurm", "launch_folder": tmp_path / "scratch", "walltime": "01:00:00"}
        worker = Worker.model_validate({**given, "memory": "4GB", **keys})
        queue = Queue(store, {"node": worker}, "s1", scheduler_of=scheduler)
        queue.add([REQUEST], "node")
        return queue

    return made


GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Cs", "Cl"), coords=((0, 0, 0), (0.5,) * 3))
REQUEST = CalculationRequest.of(GEOMETRY, protocol="chgnet-static", protocol_id="p", subject="candidate:1")


def failed_for(queue, *causes):
    attempts = [
        Attempt(number=n, folder=f"f/{n}", started="", ended="", outcome="failed", cause=cause).model_dump(mode="json")
        for n, cause in enumerate(causes, 1)
    ]
    queue.store.collection("calculations").update_one({"_id": REQUEST.id}, {"$set": {"attempts": attempts}})


def test_more_than_there_is_becomes_as_much_as_before(make):
    scheduler = Scripted(UserError("too much memory"), "7")
    queue = make(scheduler)
    failed_for(queue, "memory", "walltime")
    step = queue.step()
    assert scheduler.scripts == ["7200 8192", "3600 4096"]
    assert step.notes == ["too much memory; it gets what all jobs of worker node get"]
    assert step.submitted == {"node": 1}
    [record] = queue.allocations.open()
    assert (record.job_id, record.memory_factor, record.walltime_factor) == ("7", 1.0, 1.0)
    assert read_allocation(Path(record.folder)).seconds == 3600


HELD = {"state": "held", "reason": "PartitionTimeLimit", "never_begins": True}


def test_more_than_there_is_that_is_only_held_becomes_as_much_as_before(make):
    queue = make(scheduler := Scripted("7", "8"))
    failed_for(queue, "walltime")
    queue.step()
    scheduler.states["7"] = JobState("7", "", **HELD)
    step = queue.step()
    assert step.notes == ["job 7 never begins: PartitionTimeLimit; it gets what all jobs of worker node get"]
    assert scheduler.scripts == ["7200 4096", "3600 4096"]
    assert scheduler.cancelled == ["7"]
    assert dict(step.jobs["node"]) == {"waiting": 1}
    [record] = queue.allocations.open()
    assert (record.job_id, record.state, record.walltime_factor) == ("8", "submitted", 1.0)
    assert read_allocation(Path(record.folder)).seconds == 3600
    assert len(queue.attempts.calculation(REQUEST.id).attempts) == 2
    assert not queue.step().changed


def test_a_usual_job_that_never_begins_and_one_that_a_person_holds_stay(make):
    queue = make(scheduler := Scripted("7"))
    queue.step()
    scheduler.states["7"] = JobState("7", "", **HELD)
    assert queue.step().notes == ["job 7 of worker node is held: PartitionTimeLimit"]
    queue = make(scheduler)
    [record] = queue.allocations.open()
    queue.allocations.update(record, walltime_factor=2.0)
    scheduler.states["7"] = JobState("7", "", "held", reason="JobHeldUser")
    assert queue.step().notes == ["job 7 of worker node is held: JobHeldUser"]
    assert scheduler.cancelled == []


def test_a_controller_that_dies_between_the_two_submissions_takes_up_the_second(make, monkeypatch):
    queue = make(scheduler := Scripted("7", "8"))
    failed_for(queue, "walltime")
    queue.step()
    scheduler.states["7"] = JobState("7", queue.allocations.open()[0].name, **HELD)
    with monkeypatch.context() as killed:
        killed.setattr(scheduler, "submit", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            queue.step()
    scheduler.known[scheduler.states["7"].name] = "7"
    step = queue.step()
    assert (step.again, step.submitted) == ({"not started": 1}, {"node": 1})
    assert [record.job_id for record in queue.allocations.open()] == ["8"]


def test_time_for_a_calculation_is_that_of_one_core_over_the_cores_that_it_gets(make):
    given = REQUEST.model_copy(update={"protocol": "vasp-mp-gga"})
    worker = make(Scripted(), nodes=2, cores=32, at_once=4, commands={"vasp": "srun vasp_std"}).workers["node"]
    serial = worker.model_copy(update={"commands": {}})
    assert launch_of(given, Path("f"), serial).expected_seconds == 2 * 2000.0
    assert launch_of(given, Path("f"), worker).expected_seconds == 2 * 2000.0 / 16
    assert launch_of(REQUEST, Path("f"), worker) == launch_of(REQUEST, Path("f"), serial)


def test_a_script_that_is_refused_at_its_usual_size_is_a_mistake(make):
    queue = make(Scripted(UserError("no account"), UserError("no account")))
    failed_for(queue, "memory")
    with pytest.raises(UserError, match="no account"):
        queue.step()
    assert queue.allocations.open() == []
    assert len(queue.attempts.calculation(REQUEST.id).attempts) == 1


def test_without_the_schedulers_programs_nothing_is_begun_nor_tried_twice(make, tmp_path):
    scheduler = Scripted(SchedulerMissingError("sbatch is not on PATH"))
    queue = make(scheduler)
    failed_for(queue, "memory")
    with pytest.raises(SchedulerMissingError):
        queue.step()
    assert len(scheduler.scripts) == 1
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_a_job_that_found_room_while_its_submission_was_given_up_is_known_by_its_name(make, monkeypatch):
    scheduler = Scripted(QueueFullError("it takes no more jobs now"))
    queue = make(scheduler)
    monkeypatch.setattr(submission_module, "job_name", lambda _: "ms-0123456789ab")
    scheduler.known["ms-0123456789ab"] = "12"
    assert queue.step().submitted == {"node": 1}
    assert [record.job_id for record in queue.allocations.open()] == ["12"]


def test_a_disk_that_takes_nothing_is_said_and_nothing_is_begun(make, monkeypatch):
    queue = make(scheduler := Scripted("1"))
    with monkeypatch.context() as full:
        full.setattr(
            submission_module,
            "write_allocation",
            lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")),
        )
        step = queue.step()
    assert step.notes == ["nothing can be written for worker node: [Errno 28] No space left on device"]
    assert not step.changed
    assert queue.attempts.calculation(REQUEST.id).attempts == ()
    assert scheduler.scripts == []
    assert queue.step().submitted == {"node": 1}


def test_a_scheduler_that_was_silent_is_not_asked_again_in_the_same_step(make):
    scheduler = Scripted()
    queue = make(scheduler)
    step = queue.step()
    queue.submit_ready(step)
    assert len(scheduler.scripts) == 1
    assert not step.changed


def test_what_was_never_submitted_leaves_nothing_that_a_late_job_could_run(make):
    queue = make(scheduler := Scripted())
    queue.step()
    [record] = queue.allocations.open()
    assert Path(record.folder).is_dir()
    scheduler.answers = ["1"]
    assert queue.step().again == {"not started": 1}
    assert not Path(record.folder).exists()


def test_a_limit_of_memory_is_shared_by_those_that_run_at_once(make):
    queue = make(Scripted("1"), limit_memory=True, at_once=2)
    queue.step()
    [record] = queue.allocations.open()
    assert read_allocation(Path(record.folder)).memory_limit == 2048.0


def test_machines_that_can_calculate_nothing_get_no_more_jobs(make):
    queue = make(scheduler := Scripted("1", "2", "3", "4"))
    for number in ("1", "2", "3"):
        queue.step()
        start = LauncherStart(launcher="l", allocation="a", host="n", pid=1, started="")
        ended = announce(scheduler.folder, start)
        if number != "3":  # the last one could not even say so
            said = LauncherEnd(launcher="l", reason="machine", message="the disk is full", ended="")
            ended.write_text(said.model_dump_json())
        scheduler.states[number] = JobState(number, "", "failed", exit_code=3)
    step = queue.step()
    assert not step.submitted
    assert "none of its last jobs could calculate anything" in step.notes[0]
