"""Calculations on the queues of schedulers, moved on step by step by one controller.

A step asks each scheduler once for all of its jobs, takes in what the nodes have written, starts again what was
interrupted, and submits what is ready. It may end at any moment, by ``kill -9`` too: the next step goes on from what is
in the store and in the folders. An allocation is written down before it is submitted; one without a number is looked
for by its name first.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.documents import ENDED, now
from matscout.errors import UserError
from matscout.workflows.launch.allocation import EXIT_MACHINE, launchers
from matscout.workflows.launch.allocations import AllocationRecord, Allocations
from matscout.workflows.launch.attempts import Attempts, launch_folder_of
from matscout.workflows.launch.cleanup import clean_up, clean_up_allocation, sweep
from matscout.workflows.launch.folders import close_folder, look
from matscout.workflows.launch.interruptions import why
from matscout.workflows.launch.ledger import LIVE, Ledger
from matscout.workflows.launch.schedulers import JobState, SchedulerDownError, make_scheduler
from matscout.workflows.launch.step import Step
from matscout.workflows.launch.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matscout.db.documents import Calculation, CalculationRequest
    from matscout.db.store import Store
    from matscout.workflows.launch.interruptions import Why
    from matscout.workflows.launch.schedulers import Scheduler
    from matscout.workflows.launch.workers_file import Worker

__all__ = ["VANISHED_SECONDS", "Queue", "Step"]

VANISHED_SECONDS = 60.0
"""A job that was submitted so short a time ago may not show in the queue yet."""

TOGETHER = 50
"""So many calculations of a job are settled in one transaction: it is the disk that takes the time."""


class Queue:
    """The calculations of a store on the queues of its workers.

    Parameters
    ----------
    store
        An open store, leased by this process.
    workers
        Workers by name.
    place
        Name of this store's folder below each worker's launch folder.
    check_lease
        Raises when this process is no longer the one writer.
    scheduler_of
        Makes what speaks to a worker's scheduler.
    held
        Gives the ids of calculations that are held back, as their campaign is paused.
    """

    def __init__(
        self,
        store: Store,
        workers: Mapping[str, Worker],
        place: str,
        check_lease: Callable[[], object] = lambda: None,
        scheduler_of: Callable[[Worker], Scheduler] = make_scheduler,
        held: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.store = store
        self.workers = workers
        self.attempts = Attempts(store, check_lease)
        self.ledger = Ledger(store)
        self.allocations = Allocations(store)
        self._scheduler_of = scheduler_of
        self._held = held
        self._place = place
        self._submission = Submission(store, self.attempts, self.ledger, self.allocations, place, scheduler_of)
        self.ledger.prepare()

    def add(self, requests: Iterable[CalculationRequest], worker: str) -> int:
        """Put calculations on a worker's queue that have no result; return how many are new there.

        Raises
        ------
        UserError
            The worker does not take their protocol.
        """
        wanted = {request.id: request for request in requests}
        for request in wanted.values():
            if not self.workers[worker].takes(request.protocol):
                raise UserError(
                    f"worker {worker} does not take protocol {request.protocol}: add it to its protocols, or name "
                    "another worker"
                )
        self.attempts.want(wanted.values())
        done = self.attempts.results(wanted)
        return self.ledger.add((request for id_, request in wanted.items() if id_ not in done), worker)

    def step(self) -> Step:
        """Move everything on that can be moved on now."""
        done = Step()
        self._reconcile()
        records = self.allocations.open()
        states = self._ask(records, done)
        for record in records:
            if (state := states.get(record.id)) is not None:
                self._settle(record, state, done)
        self.submit_ready(done)
        for worker in self.workers.values():
            if worker.scheduler != "local":
                sweep(self.store, self.allocations, worker, self._place)
        return done

    def submit_ready(self, done: Step) -> None:
        """Submit what is ready, as far as each worker's queue may be filled, and note it in `done`."""
        if held := self._held():  # one that broke off is ready again
            self.ledger.hold(held, held=True)
        for worker in self.workers.values():
            if worker.scheduler != "local" and worker.name not in done.closed:
                self._submission.fill(worker, done)

    def _reconcile(self) -> None:
        """Bring the LaunchPad to what the store says: without transactions a crash can come between the two."""
        calculations = self.store.collection("calculations")
        if live := self.ledger.ids_in(LIVE):
            query = {"_id": {"$in": live}, "state": {"$in": list(ENDED)}}
            for document in list(calculations.find(query, {"state": 1})):
                self.ledger.ended({document["_id"]: (document["state"] == "completed", {})})
        # Of a failed one somebody may have asked for a new start.
        query = {"_id": {"$in": [*live, *self.ledger.ids_in(("FIZZLED",))]}, "state": "waiting"}
        self.ledger.release([document["_id"] for document in calculations.find(query, {"_id": 1})])

    def _ask(self, records: list[AllocationRecord], done: Step) -> dict[str, JobState | None]:
        """Ask each scheduler for its jobs; allocations of one that does not answer are left out."""
        found: dict[str, JobState | None] = {}
        by_worker: dict[str, list[AllocationRecord]] = defaultdict(list)
        for record in records:
            by_worker[record.worker].append(record)
        for name, own in by_worker.items():
            if name not in self.workers:
                done.note(f"{len(own)} jobs of worker {name} are left alone: it is not among the workers now")
                continue
            try:
                answers = self._scheduler_of(self.workers[name]).jobs(
                    [record.job_id for record in own if record.job_id],
                    [record.name for record in own if not record.job_id],
                )
            except SchedulerDownError as error:
                done.note(str(error))
                done.closed.add(name)
                continue
            for record in own:
                found[record.id] = answers.get(record.job_id or record.name)
                if record.job_id is None and found[record.id] is None:
                    found[record.id] = JobState("", record.name, "vanished")
        return found

    def _settle(self, record: AllocationRecord, state: JobState | None, done: Step) -> None:
        """Take in what an allocation has left, and end it where its job is over."""
        assert state is not None
        if record.job_id is None and state.id:
            record = self.allocations.update(record, job_id=state.id, state="submitted", submitted=now())
        waits = state.state == "vanished" and record.submitted and _seconds_since(record.submitted) < VANISHED_SECONDS
        alive = state.is_live or bool(waits)
        if (launched := _has_begun(record, state)) != record.launched:
            record = self.allocations.update(record, launched=launched)
        if not alive or state.state not in ("waiting", "held") or launched:  # else nothing of it can have begun
            self._look_at_all(record, state, done, alive=alive)
        if alive:
            done.jobs[record.worker][state.state] += 1
            if state.state == "held":
                done.note(f"job {state.id} of worker {record.worker} is held: {state.reason or state.raw}")
            return
        record = self.allocations.update(record, state="ended", ended=now(), job_state=state.state, reason=state.reason)
        if state.id:
            clean_up_allocation(record)
        else:
            shutil.rmtree(record.folder, ignore_errors=True)  # a job that comes late, nonetheless, finds nothing to do

    def _look_at_all(self, record: AllocationRecord, state: JobState, done: Step, *, alive: bool) -> None:
        """Settle an allocation's calculations, some at a time: only when all of these are on disk are files removed."""
        ids = record.calculations
        calculations = self.attempts.running(ids) if alive else [self.attempts.calculation(one) for one in ids]
        for start in range(0, len(calculations), TOGETHER):
            removals: list[Callable[[], object]] = []
            with self.store.transaction():
                for calculation in calculations[start : start + TOGETHER]:
                    self._look(record, calculation, state, done, removals, alive=alive)
            for remove in removals:
                remove()

    def _look(
        self,
        record: AllocationRecord,
        calculation: Calculation,
        state: JobState,
        done: Step,
        removals: list[Callable[[], object]],
        *,
        alive: bool,
    ) -> None:
        """Settle one calculation of an allocation, if that is still to be done."""
        calculation_id = calculation.request.id
        if not calculation.attempts or calculation.attempts[-1].allocation not in (None, record.id):
            return  # it failed here, and another job has it now
        folder = launch_folder_of(calculation)
        if calculation.state != "running":
            if calculation.state in ENDED and not alive:
                removals.append(partial(self._clean, record, calculation_id))  # a kill may have come before it
            return
        if not alive and folder.is_dir():
            folder = close_folder(folder)
        seen = look(folder, alive=alive)
        if seen.state == "done" and seen.result is not None:
            self._end(calculation_id, self.attempts.take_in(calculation_id, seen.result), done)
            removals.append(partial(self._clean, record, calculation_id))
        elif seen.state == "running" and seen.claim is not None:
            self.ledger.started({calculation_id: seen.claim.host})
        elif seen.state in ("waiting", "gone") and not alive:
            self.attempts.never_ran(calculation_id)
            self.ledger.release([calculation_id])
            done.again["not started"] += 1
            removals.append(partial(shutil.rmtree, folder, ignore_errors=True))
        elif seen.state == "interrupted" and (not alive or seen.problem):
            # One that its launcher has stopped waits for the end of the job, which tells more.
            self._interrupted(calculation_id, why(seen, folder, record, state), done)
            removals.append(partial(self._clean, record, calculation_id))

    def _interrupted(self, calculation_id: str, reason: Why, done: Step) -> None:
        again = self.attempts.interrupted(calculation_id, *reason)
        self._release(calculation_id, done, again=again)
        if again:
            done.again[reason.finding.cause if reason.finding else "stopped"] += 1

    def _end(self, calculation_id: str, again: bool, done: Step) -> None:  # noqa: FBT001
        self._release(calculation_id, done, again=again)
        if again:
            cause = self.attempts.calculation(calculation_id).attempts[-1].cause
            done.again[cause or "unknown"] += 1

    def _release(self, calculation_id: str, done: Step, *, again: bool) -> None:
        """Tell the LaunchPad how a calculation stands in the store."""
        if again:
            self.ledger.release([calculation_id])
            return
        result = self.attempts.results([calculation_id])[calculation_id]
        completed = result.outcome == "completed"
        summary = {"outcome": result.outcome, "cause": result.cause, "energy_per_atom": result.energy_per_atom}
        self.ledger.ended({calculation_id: (completed, summary)})
        (done.completed if completed else done.failed).append(calculation_id)

    def _clean(self, record: AllocationRecord, calculation_id: str) -> None:
        """Remove what the worker does not want to be kept of a calculation, if it has ended."""
        calculation, worker = self.attempts.calculation(calculation_id), self.workers.get(record.worker)
        if calculation.state in ENDED and worker is not None:
            clean_up(calculation, worker.cleanup)
            earlier = [one.allocation for one in calculation.attempts if one.allocation not in (None, record.id)]
            for one in self.allocations.ended(earlier) if earlier else ():
                clean_up_allocation(one)

    def cancel(self, records: Sequence[AllocationRecord]) -> None:
        """Cancel jobs; what they have calculated is taken in by the next step."""
        by_worker: dict[str, list[str]] = defaultdict(list)
        for record in records:
            if record.job_id and record.worker in self.workers:
                by_worker[record.worker].append(record.job_id)
        for name, numbers in by_worker.items():
            self._scheduler_of(self.workers[name]).cancel(numbers)


def _has_begun(record: AllocationRecord, state: JobState) -> bool:
    """Whether a launcher has begun, on a machine where something could be calculated, as far as can be told."""
    started = launchers(Path(record.folder))
    if not started:
        return False
    _, end, _ = started[-1]
    return state.exit_code != EXIT_MACHINE if end is None else end.reason != "machine" or end.completed > 0


def _seconds_since(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
