"""Calculations on a queue, step by step, with a scheduler and nodes that do as they are told."""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from matscout.db.documents import CalculationRequest, CalculationResult, Geometry, now
from matscout.db.files import write_text
from matscout.db.store import connect
from matscout.errors import UserError
from matscout.workflows.calculations.causes import Finding
from matscout.workflows.launch import queue as queue_module
from matscout.workflows.launch.allocation import LauncherStart, announce, read_allocation
from matscout.workflows.launch.allocations import last_passed, note_passed
from matscout.workflows.launch.folders import (
    CLAIM,
    INTERRUPTED,
    LOG,
    RESULT,
    Claim,
    Interruption,
    claim,
    failure,
    read_request,
)
from matscout.workflows.launch.queue import Queue
from matscout.workflows.launch.schedulers import JobState, QueueFullError, SchedulerDownError
from matscout.workflows.launch.submission import Submission
from matscout.workflows.launch.workers_file import Worker


class Cluster:
    """A scheduler and its nodes."""

    def __init__(self):
        self.states = {}
        self.folders = {}
        self.down = False
        self.fails = None
        self.dies = False

    def __call__(self, worker):
        return self

    def script(self, request):
        return f"#!/bin/bash\n# {request.name} {request.walltime} {request.memory}\n"

    def submit(self, script):
        if self.fails is not None:
            raise self.fails
        number = str(len(self.states) + 1)
        name = script.read_text().split()[2]
        self.states[number] = JobState(number, name, "waiting")
        self.folders[number] = script.parent
        if self.dies:
            raise KeyboardInterrupt  # the controller is killed before it can write down the number
        return number

    def jobs(self, ids, names=()):
        if self.down:
            raise SchedulerDownError("the scheduler does not answer")
        found = {number: self.states.get(number, JobState(number, "", "vanished")) for number in ids}
        return found | {state.name: state for state in self.states.values() if state.name in names}

    def find(self, name):
        return next((number for number, state in self.states.items() if state.name == name), None)

    def cancel(self, ids):
        for number in ids:
            self.becomes(number, "cancelled")

    def becomes(self, number, state, reason="", exit_code=None):
        self.states[number] = replace(self.states[number], state=state, reason=reason, exit_code=exit_code)

    def starts(self, number):
        """Begin the launcher; return the launch folders it is to work on."""
        self.becomes(number, "running")
        allocation = read_allocation(self.folders[number])
        start = LauncherStart(launcher="l", allocation=allocation.id, host="n001", pid=1, started=now())
        announce(self.folders[number], start)
        return [Path(one.folder) for one in allocation.launches]


def claimed(folder):
    assert claim(folder, Claim(launcher="l", host="n001", pid=1, started=now()))


def completes(folder, **fields):
    claimed(folder)
    write_text(folder / RESULT, result_of(folder, **fields).model_dump_json())


def result_of(folder, **fields):
    result = failure(read_request(folder), Finding(cause="unknown", evidence="", message=""))
    document = {**result.model_dump(), "outcome": "completed", "cause": None, "energy_per_atom": -3.0} | fields
    return CalculationResult.model_validate(document)


def fails(folder, cause):
    claimed(folder)
    fails_after_claim(folder, cause)


def fails_after_claim(folder, cause):
    result = failure(read_request(folder), Finding(cause=cause, evidence="a line", message="it failed"))
    write_text(folder / RESULT, result.model_dump_json())


def request_of(number):
    geometry = Geometry(
        lattice=((4.0 + number, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)),
        species=("Cs", "Cl"),
        coords=((0, 0, 0), (0.5, 0.5, 0.5)),
    )
    return CalculationRequest.of(geometry, protocol="chgnet-static", protocol_id="p", subject=f"candidate:{number}")


REQUESTS = [request_of(number) for number in range(5)]


@pytest.fixture
def worker(tmp_path):
    return Worker(
        name="node",
        scheduler="slurm",
        launch_folder=tmp_path / "scratch",
        walltime="01:00:00",
        memory="4GB",
        per_allocation=3,
        max_queued=2,
    )


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def store(tmp_path):
    with connect(tmp_path / "store") as store:
        yield store


@pytest.fixture
def queue(store, worker, cluster):
    queue = Queue(store, {"node": worker}, "s1", scheduler_of=cluster)
    queue.add(REQUESTS, "node")
    return queue


def states(queue):
    return [queue.attempts.calculation(request.id).state for request in REQUESTS]


def test_jobs_are_filled_up_to_their_size_and_the_queue_up_to_its_length(queue, cluster):
    step = queue.step()
    assert dict(step.submitted) == {"node": 5}
    assert [len(read_allocation(folder).launches) for folder in cluster.folders.values()] == [3, 2]
    again = queue.step()
    assert not again.changed
    assert dict(again.jobs["node"]) == {"waiting": 2}
    assert queue.add(REQUESTS, "node") == 0


def test_results_taken_in_together_are_all_on_disk_before_one_is_removed(queue, cluster, monkeypatch):
    queue.step()
    folders = cluster.starts("1")
    for folder in folders:
        completes(folder)
    take_in = queue.attempts.take_in

    def killed_at_the_second(calculation_id, result):
        if calculation_id == REQUESTS[1].id:
            raise KeyboardInterrupt
        return take_in(calculation_id, result)

    monkeypatch.setattr(queue.attempts, "take_in", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        queue.step()
    assert states(queue)[:3] == ["running"] * 3
    assert all(folder.is_dir() for folder in folders)
    monkeypatch.undo()
    assert queue.step().completed == [request.id for request in REQUESTS[:3]]
    assert not any(folder.is_dir() for folder in folders)


def test_results_come_in_while_the_job_runs_and_after_it(queue, cluster):
    queue.step()
    first, second, third = cluster.starts("1")
    completes(first)
    claimed(second)
    step = queue.step()
    assert step.completed == [REQUESTS[0].id]
    assert queue.ledger.counts() == {"COMPLETED": 1, "RUNNING": 1, "RESERVED": 3}
    assert not first.exists()  # cleaned up
    write_text(
        second / RESULT, failure(REQUESTS[1], Finding(cause="input", evidence="x", message="y")).model_dump_json()
    )
    completes(third)
    cluster.becomes("1", "completed")
    step = queue.step()
    assert (step.completed, step.failed) == ([REQUESTS[2].id], [REQUESTS[1].id])
    assert states(queue)[:3] == ["completed", "failed", "completed"]
    assert queue.ledger.counts() == {"COMPLETED": 2, "FIZZLED": 1, "RESERVED": 2}
    assert [record.job_id for record in queue.allocations.open()] == ["2"]


@pytest.mark.parametrize("state", ["walltime", "memory", "node", "cancelled", "vanished", "failed"])
def test_what_a_job_did_not_finish_starts_again_as_a_recorded_attempt(queue, cluster, monkeypatch, state):
    monkeypatch.setattr(queue_module, "VANISHED_SECONDS", 0.0)
    queue.step()
    first, second, _ = cluster.starts("1")
    completes(first)
    claimed(second)
    cluster.becomes("1", state)
    step = queue.step()
    assert step.completed == [REQUESTS[0].id]
    assert step.again["not started"] == 1
    assert sum(step.again.values()) == 2
    # one that needs more asks for a job of its own, for which the queue has no room yet
    assert dict(step.submitted) == {"node": 1 if state in {"memory", "walltime"} else 2}
    calculation = queue.attempts.calculation(REQUESTS[1].id)
    assert [attempt.outcome for attempt in calculation.attempts] == ["interrupted", "running"]
    told = {"failed": "unknown", "cancelled": "node", "vanished": "node"}
    assert calculation.attempts[0].cause == told.get(state, state)
    assert len(queue.attempts.calculation(REQUESTS[2].id).attempts) <= 1  # what never started does not count


def test_more_memory_is_asked_for_what_was_killed_for_it(queue, cluster):
    queue.step()
    first, _, _ = cluster.starts("1")
    fails(first, "memory")
    step = queue.step()
    assert step.again == {"memory": 1}
    cluster.becomes("1", "completed")
    queue.step()
    scripts = [(folder / "submit.sh").read_text().split()[-1] for folder in cluster.folders.values()]
    assert scripts == ["4096", "4096", "8192"]
    assert len(read_allocation(cluster.folders["3"]).launches) == 1


def test_a_full_queue_is_waiting(queue, cluster):
    cluster.fails = QueueFullError("the queue is full")
    step = queue.step()
    assert step.notes == ["the queue is full"]
    assert states(queue) == ["waiting"] * 5
    cluster.fails = None
    assert queue.step().submitted == {"node": 5}


def test_a_scheduler_that_does_not_answer_changes_nothing(queue, cluster):
    queue.step()
    cluster.down = True
    step = queue.step()
    assert not step.changed
    assert step.notes == ["the scheduler does not answer"]
    assert states(queue) == ["running"] * 5


def test_a_script_that_is_refused_is_said_and_taken_back(queue, cluster):
    cluster.fails = UserError("invalid partition")
    with pytest.raises(UserError, match="invalid partition"):
        queue.step()
    assert states(queue) == ["waiting"] * 5
    assert queue.ledger.counts() == {"READY": 5}


def test_a_job_submitted_by_a_controller_that_was_killed_is_found_by_its_name(queue, cluster):
    cluster.dies = True
    with pytest.raises(KeyboardInterrupt):
        queue.step()
    cluster.dies = False
    [record] = queue.allocations.open()
    assert (record.state, record.job_id) == ("prepared", None)
    queue.step()
    assert [one.job_id for one in queue.allocations.open()] == ["1", "2"]
    assert [len(queue.attempts.calculation(one.id).attempts) for one in REQUESTS] == [1] * 5


def test_one_that_was_never_submitted_is_prepared_anew(queue, cluster, monkeypatch):
    monkeypatch.setattr(Submission, "_write_files", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        queue.step()
    monkeypatch.undo()
    step = queue.step()
    assert step.again == {"not started": 3}
    assert step.submitted == {"node": 5}
    assert [len(queue.attempts.calculation(one.id).attempts) for one in REQUESTS] == [1] * 5


def test_a_job_that_is_held_is_said(queue, cluster):
    queue.step()
    cluster.becomes("1", "held", "JobHeldUser")
    step = queue.step()
    assert step.notes == ["job 1 of worker node is held: JobHeldUser"]
    assert dict(step.jobs["node"]) == {"held": 1, "waiting": 1}


def test_a_worker_whose_jobs_never_reach_the_launcher_gets_no_more(queue, cluster, worker):
    for _ in range(3):
        queue.step()
        for number, state in cluster.states.items():
            if state.state == "waiting":
                cluster.becomes(number, "failed")
    step = queue.step()
    assert not step.submitted
    [note] = step.notes
    assert "none of its last jobs could calculate anything" in note
    assert "matscout workers check node" in note
    note_passed(worker)
    assert queue.step().submitted == {"node": 5}


def test_a_check_from_before_the_jobs_that_could_not_calculate_is_no_word_for_the_worker(queue, cluster, worker):
    note_passed(worker)
    for _ in range(3):
        queue.step()
        for number in [one.id for one in cluster.states.values() if one.state == "waiting"]:
            cluster.becomes(number, "failed")
    assert not queue.step().submitted


def test_what_is_noted_of_a_check_outlives_a_broken_note(worker):
    assert last_passed(worker) is None
    note_passed(worker)
    assert last_passed(worker) <= now()
    (worker.launch_folder / "probes" / "node.passed").write_text("yesterday")
    assert last_passed(worker) is None


def test_a_file_system_that_is_away_for_a_step_loses_and_repeats_nothing(queue, cluster, worker):
    queue.step()
    folders = cluster.starts("1")
    for folder in folders:
        completes(folder)
    cluster.becomes("1", "completed")
    away = worker.launch_folder.with_name("away")
    worker.launch_folder.rename(away)
    step = queue.step()
    assert not step.changed
    assert step.notes == [f"the jobs of worker node are left alone: {worker.launch_folder / 's1'} is not there"]
    assert not worker.launch_folder.exists()
    away.rename(worker.launch_folder)
    assert queue.step().completed == [request.id for request in REQUESTS[:3]]
    assert [len(queue.attempts.calculation(one.id).attempts) for one in REQUESTS] == [1] * 5


@pytest.mark.parametrize("with_job", [False, True])
def test_folders_that_are_gone_under_a_job_that_had_begun_end_recorded_attempts(queue, cluster, with_job):
    queue.step()
    first, *_ = cluster.starts("1")
    claimed(first)
    queue.step()
    shutil.rmtree(first.parent)
    if with_job:
        shutil.rmtree(cluster.folders["1"])
    cluster.becomes("1", "completed")
    queue.step()
    attempt, again = queue.attempts.calculation(REQUESTS[0].id).attempts
    assert (attempt.outcome, attempt.cause, attempt.evidence) == ("interrupted", "node", f"no folder {first}")
    assert again.folder == str(first.with_name("2"))


def test_calculations_of_a_worker_that_is_in_no_file_are_named(queue, store, worker, cluster):
    other = Queue(store, {"other": worker.model_copy(update={"name": "other"})}, "s1", scheduler_of=cluster)
    step = other.step()
    assert not step.submitted
    assert step.notes == [
        "worker node is not in workers.yaml: 5 calculations wait for it; matscout submit FILE --worker NAME moves them"
    ]
    other.ledger.move([one.id for one in REQUESTS], "other")
    assert not other.step().notes


def test_what_was_cancelled_is_told_from_what_was_left(queue, store, cluster):
    queue.step()
    first, second = queue.allocations.open()
    nameless = second.model_copy(update={"job_id": None})
    assert Queue(store, {}, "s1", scheduler_of=cluster).cancel([first]) == []
    assert queue.cancel([first, nameless]) == [first]
    assert [one.state for one in cluster.states.values()] == ["cancelled", "waiting"]


def test_what_the_nodes_say_of_an_interruption_counts(queue, cluster):
    queue.step()
    first, second, _ = cluster.starts("1")
    for folder, cause in ((first, None), (second, "walltime")):
        claimed(folder)
        said = Interruption(cause=cause, evidence="SIGUSR1", message="no time was left", seconds=5.0)
        write_text(folder / INTERRUPTED, said.model_dump_json())
    cluster.becomes("1", "completed")
    queue.step()
    attempts = [queue.attempts.calculation(one.id).attempts[0] for one in REQUESTS[:2]]
    assert [one.outcome for one in attempts] == ["interrupted"] * 2
    assert attempts[0].message == "no time was left"
    assert [one.cause for one in attempts] == [None, "walltime"]


def test_a_worker_takes_its_protocols_alone(store, worker, cluster):
    queue = Queue(store, {"node": worker.model_copy(update={"protocols": ("vasp-*",)})}, "s1", scheduler_of=cluster)
    with pytest.raises(UserError, match="worker node does not take protocol chgnet-static"):
        queue.add(REQUESTS, "node")


def test_the_end_of_a_job_leaves_alone_what_started_again_in_another(queue, cluster):
    """Of the first attempt, in a job that is still running, the calculation has a result: a failure to be retried."""
    queue.step()
    first, second, third = cluster.starts("1")
    fails(first, "node")
    cluster.becomes("2", "completed")
    queue.step()
    assert [len(read_allocation(folder).launches) for folder in cluster.folders.values()] == [3, 2, 3]
    again = cluster.starts("3")[0]
    assert again == first.with_name("2")
    claimed(again)
    completes(second)
    completes(third)
    cluster.becomes("1", "completed")
    assert not queue.step().again
    assert again.is_dir()
    write_text(again / RESULT, result_of(again).model_dump_json())
    assert queue.step().completed == [REQUESTS[0].id]
    assert [one.outcome for one in queue.attempts.calculation(REQUESTS[0].id).attempts] == ["failed", "completed"]


def test_what_a_killed_controller_left_of_an_attempt_that_never_ran_is_no_hindrance(queue, cluster, monkeypatch):
    queue.step()
    cluster.becomes("1", "cancelled")
    with monkeypatch.context() as killed:  # between the record of it and the removal of its folder
        killed.setattr(queue_module.shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            queue.step()
    queue.step()
    cluster.starts("3")
    cluster.becomes("3", "cancelled")
    queue.step()
    assert len(queue.attempts.calculation(REQUESTS[0].id).attempts) == 1


def test_launch_folders_leave_nothing_behind_also_after_a_kill(queue, cluster, worker, monkeypatch):
    queue.step()
    first, second, third = cluster.starts("1")
    completes(first)
    with monkeypatch.context() as killed:  # between the result in the store and the removal of its folder
        killed.setattr(queue_module.shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            queue.step()
    assert states(queue)[0] == "completed"
    completes(second)
    completes(third)
    cluster.becomes("1", "completed")
    queue.step()
    assert not any((worker.launch_folder / "s1" / one.id).exists() for one in REQUESTS[:3])


def test_a_new_start_is_found_where_a_kill_came_before_the_launchpad_knew_of_it(queue, cluster):
    queue.step()
    for folder in [*cluster.starts("1"), *cluster.starts("2")]:
        fails(folder, "input")
    for number in ("1", "2"):
        cluster.becomes(number, "completed")
    queue.step()
    assert queue.ledger.counts() == {"FIZZLED": 5}
    queue.attempts.again(REQUESTS[0].id)
    assert dict(queue.step().submitted) == {"node": 1}
    assert queue.ledger.counts() == {"FIZZLED": 4, "RESERVED": 1}


@pytest.mark.parametrize(("began", "cause"), [(True, "memory"), (False, None)])
def test_a_launcher_that_is_killed_is_laid_to_what_had_begun_and_not_to_what_was_claimed(queue, cluster, began, cause):
    queue.step()
    first, *_ = cluster.starts("1")
    claimed(first)
    if began:
        (first / LOG).touch()
    cluster.becomes("1", "failed", exit_code=137)
    queue.step()
    attempt = queue.attempts.calculation(REQUESTS[0].id).attempts[0]
    assert (attempt.outcome, attempt.cause) == ("interrupted", cause)


def test_the_folder_of_a_job_goes_with_the_last_that_it_had_also_where_another_job_has_ended_that(queue, cluster):
    queue.step()
    first, second, third = cluster.starts("1")
    fails(first, "memory")
    completes(second)
    completes(third)
    cluster.becomes("1", "completed")
    queue.step()
    assert cluster.folders["1"].is_dir()
    [again] = cluster.starts("3")
    completes(again)
    queue.step()
    assert states(queue)[:3] == ["completed"] * 3
    assert not cluster.folders["1"].exists()
    cluster.becomes("3", "completed")
    queue.step()
    assert not cluster.folders["3"].exists()


# -- a controller that dies before any of its writes, with transactions and, as on MongoDB, without ------------------

FAILS, BREAKS_OFF = REQUESTS[1].id, REQUESTS[2].id
"""What these do at their first start in a `Life`; all others, and they later, complete."""


class Killed(BaseException):
    """What stands for kill -9."""


class Life:
    """A store, a cluster, and controllers that follow one another, one of which is killed before a write."""

    def __init__(self, folder, killed_before, *, transactions):
        self.folder = folder
        self.killed_before = killed_before
        self.transactions = transactions
        self.writes = 0
        self.cluster = Cluster()
        self.ran = defaultdict(list)
        self.worker = Worker(
            name="node",
            scheduler="slurm",
            launch_folder=folder / "scratch",
            walltime="01:00:00",
            memory="4GB",
            per_allocation=3,
            max_queued=2,
        )

    def queue(self, store):
        return Queue(store, {"node": self.worker}, "s1", scheduler_of=self.cluster)

    def controller(self):
        """Take a step in a process of its own."""
        with connect(self.folder / "store") as store:
            if not self.transactions:
                store.transaction = nullcontext
            store._engine.before_write = self._count
            try:
                queue = self.queue(store)
                queue.add(REQUESTS, "node")
                queue.step()
            except Killed:
                pass
            finally:
                store._engine.before_write = lambda: None

    def _count(self):
        self.writes += 1
        if self.writes == self.killed_before:
            raise Killed

    def nodes(self):
        """Run all that waits in the scheduler's queue."""
        for number in [one.id for one in self.cluster.states.values() if one.state == "waiting"]:
            for folder in self.cluster.starts(number):
                if not folder.is_dir() or (folder / CLAIM).exists():
                    continue
                request = read_request(folder)
                self.ran[request.id].append(folder.name)
                if len(self.ran[request.id]) == 1 and request.id in {FAILS, BREAKS_OFF}:
                    (claimed if request.id == BREAKS_OFF else lambda one: fails(one, "memory"))(folder)
                else:
                    completes(folder)
            self.cluster.becomes(number, "completed")

    def is_over(self, queue):
        return (
            queue.attempts.results([one.id for one in REQUESTS]).keys() == {one.id for one in REQUESTS}
            and not queue.allocations.open()
        )

    def lead(self):
        """Live on until all is over, and check that nothing was lost or done twice."""
        for _ in range(14):
            self.controller()
            self.nodes()
            with connect(self.folder / "store") as store:
                if self.is_over(self.queue(store)):
                    break
        with connect(self.folder / "store") as store:
            queue = self.queue(store)
            assert self.is_over(queue)
            attempts = {one.id: queue.attempts.calculation(one.id) for one in REQUESTS}
            assert {one.state for one in attempts.values()} == {"completed"}
            earlier = {FAILS: ["failed"], BREAKS_OFF: ["interrupted"]}
            outcomes = {key: [one.outcome for one in value.attempts] for key, value in attempts.items()}
            assert outcomes == {key: [*earlier.get(key, ()), "completed"] for key in attempts}
            assert {key: len(starts) for key, starts in self.ran.items()} == {
                key: len(value) for key, value in outcomes.items()
            }
            assert queue.ledger.counts() == {"COMPLETED": len(REQUESTS)}
        left = {path.name for path in (self.worker.launch_folder / "s1").iterdir()}
        assert left <= {"allocations"}


@pytest.mark.parametrize("transactions", [True, False])
@pytest.mark.parametrize("killed_before", [0, 4, 9, 17, 28, 40])
def test_a_controller_that_dies_before_a_write_loses_and_repeats_nothing(tmp_path, killed_before, transactions):
    life = Life(tmp_path, killed_before, transactions=transactions)
    life.lead()
    assert life.writes > killed_before


@pytest.mark.integration
@pytest.mark.parametrize("transactions", [True, False])
def test_a_controller_that_dies_before_any_of_its_writes_loses_and_repeats_nothing(tmp_path, transactions):
    for killed_before in range(1, 1000):
        life = Life(tmp_path / str(killed_before), killed_before, transactions=transactions)
        life.lead()
        if life.writes < killed_before:
            return
    pytest.fail("a thousand writes were not enough")
