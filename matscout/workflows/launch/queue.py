"""Calculations on the queues of schedulers, moved on step by step by one controller.

A step asks each scheduler once for all of its jobs, takes in what the nodes have written, starts again what was
interrupted, and submits what is ready. It may end at any moment, by ``kill -9`` too: the next step goes on from what is
in the store and in the folders. An allocation is written down before it is submitted; one without a number is looked
for by its name first.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.db.documents import ENDED, now, seconds_since
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
    hold
        Called before anything is submitted: holds back what is not to be, as its campaign is paused.
    """

    def __init__(
        self,
        store: Store,
        workers: Mapping[str, Worker],
        place: str,
        check_lease: Callable[[], object] = lambda: None,
        scheduler_of: Callable[[Worker], Scheduler] = make_scheduler,
        hold: Callable[[], object] = lambda: None,
    ) -> None:
        self.store = store
        self.workers = workers
        self.attempts = Attempts(store, check_lease)
        self.ledger = Ledger(store)
        self.allocations = Allocations(store)
        self._scheduler_of = scheduler_of
        self._hold = hold
        self._place = place
        self._submission = Submission(store, self.attempts, self.ledger, self.allocations, place, scheduler_of)
        self.ledger.prepare()
        self.allocations.prepare()

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
            if record.id in states:
                self._settle(record, states[record.id], done)
        self.submit_ready(done)
        for worker in self.workers.values():
            sweep(self.store, self.allocations, worker, self._place)
        return done

    def submit_ready(self, done: Step) -> None:
        """Submit what is ready, as far as each worker's queue may be filled, and note it in `done`."""
        self._hold()  # one that broke off is ready again
        for name, number in self.ledger.astray(list(self.workers)).items():
            done.note(
                f"worker {name} is not in workers.yaml: {number} calculations wait for it; "
                "matscout submit FILE --worker NAME moves them"
            )
        for worker in self.workers.values():
            if worker.name not in done.closed:
                self._submission.fill(worker, done)

    def _reconcile(self) -> None:
        """Bring the LaunchPad to what the store says: without transactions a crash can come between the two."""
        calculations = self.store.collection("calculations")
        if live := self.ledger.ids_in(LIVE):
            query = {"_id": {"$in": live}, "state": {"$in": list(ENDED)}}
            ended = list(calculations.find(query, {"state": 1}))
            self.ledger.ended({document["_id"]: (document["state"] == "completed", {}) for document in ended})
        # Of a failed one somebody may have asked for a new start.
        query = {"_id": {"$in": [*live, *self.ledger.ids_in(("FIZZLED",))]}, "state": "waiting"}
        self.ledger.release([document["_id"] for document in calculations.find(query, {"_id": 1})])

    def _ask(self, records: list[AllocationRecord], done: Step) -> dict[str, JobState]:
        """Ask each scheduler for its jobs; left out are those of one that does not answer, or cannot be looked at."""
        found: dict[str, JobState] = {}
        by_worker: dict[str, list[AllocationRecord]] = defaultdict(list)
        for record in records:
            by_worker[record.worker].append(record)
        for name, own in by_worker.items():
            if name not in self.workers:
                done.note(f"{len(own)} jobs of worker {name} are left alone: it is not in workers.yaml now")
                continue
            worker = self.workers[name]
            try:
                answers = self._scheduler_of(worker).jobs(
                    [record.job_id for record in own if record.job_id],
                    [record.name for record in own if not record.job_id],
                )
            except SchedulerDownError as error:
                done.note(str(error))
                done.closed.add(name)
                continue
            states = {
                one.id: answers.get(one.job_id or one.name) or JobState(one.job_id or "", one.name, "vanished")
                for one in own
            }
            if any(state.id for state in states.values()) and not self._submission.folder(worker).is_dir():
                # A file system that is away for a while: what lies there would count as never calculated.
                done.note(f"the jobs of worker {name} are left alone: {self._submission.folder(worker)} is not there")
                done.closed.add(name)
                continue
            found |= states
        return found

    def _settle(self, record: AllocationRecord, state: JobState, done: Step) -> None:
        """Take in what an allocation has left, and end it where its job is over."""
        if record.job_id is None and state.id:
            record = self.allocations.update(record, job_id=state.id, state="submitted", submitted=now())
        waits = state.state == "vanished" and record.submitted and seconds_since(record.submitted) < VANISHED_SECONDS
        alive = state.is_live or bool(waits)
        if (launched := _has_begun(record, state)) != record.launched:
            record = self.allocations.update(record, launched=launched)
        if not alive or state.state not in ("waiting", "held") or launched:  # else nothing of it can have begun
            self._look_at_all(record, state, done, alive=alive)
        elif state.never_begins and not record.is_usual:  # refused, only later than other schedulers do
            self._submission.submit_as_usual(self.workers[record.worker], record, state.reason or state.raw, done)
            return
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
        found = self.attempts.running(ids) if alive else self.attempts.calculations(ids).values()
        order = {one: place for place, one in enumerate(ids)}
        calculations = sorted(found, key=lambda calculation: order[calculation.request.id])
        for start in range(0, len(calculations), TOGETHER):
            few = _Few()
            with self.store.transaction():
                for calculation in calculations[start : start + TOGETHER]:
                    self._look(record, calculation, state, done, few, alive=alive)
                # After the store itself: where a kill comes between the two, the next step brings them together.
                self.ledger.started(few.hosts)
                self.ledger.ended(few.outcomes)
                self.ledger.release(few.free)
            for remove in few.removals:
                remove()

    def _look(
        self, record: AllocationRecord, calculation: Calculation, state: JobState, done: Step, few: _Few, *, alive: bool
    ) -> None:
        """Settle one calculation of an allocation, if that is still to be done."""
        calculation_id = calculation.request.id
        if not calculation.attempts or calculation.attempts[-1].allocation != record.id:
            return  # it failed here, and another job has it now
        folder = launch_folder_of(calculation)
        if calculation.state != "running":
            if calculation.state in ENDED and not alive:
                few.removals.append(partial(self._clean, record, calculation))  # a kill may have come before it
            return
        if not alive and folder.is_dir():
            folder = close_folder(folder)
        seen = look(folder, alive=alive)
        if seen.result is not None:
            self._ended(record, self.attempts.take_in(calculation_id, seen.result), done, few)
        elif seen.state == "running" and seen.claim is not None:
            few.hosts[calculation_id] = seen.claim.host
        elif not alive and (seen.state == "waiting" or (seen.state == "gone" and not record.launched)):
            self.attempts.never_ran(calculation_id)
            few.free.append(calculation_id)
            few.removals.append(partial(shutil.rmtree, folder, ignore_errors=True))
            done.again["not started"] += 1
        elif not alive or seen.problem:
            # One that its launcher has stopped waits for the end of the job, which tells more.
            stopped = self.attempts.interrupted(calculation_id, *why(seen, folder, record, state))
            self._ended(record, stopped, done, few)

    def _ended(self, record: AllocationRecord, calculation: Calculation, done: Step, few: _Few) -> None:
        """Note what follows for a calculation whose attempt has ended."""
        calculation_id, result = calculation.request.id, calculation.result
        if result is None:
            few.free.append(calculation_id)
            done.again[calculation.attempts[-1].cause or "stopped"] += 1
            return
        completed = result.outcome == "completed"
        summary = {"outcome": result.outcome, "cause": result.cause, "energy_per_atom": result.energy_per_atom}
        few.outcomes[calculation_id] = (completed, summary)
        few.removals.append(partial(self._clean, record, calculation))
        (done.completed if completed else done.failed).append(calculation_id)

    def _clean(self, record: AllocationRecord, calculation: Calculation) -> None:
        """Remove what the worker does not want to be kept of a calculation that has ended."""
        clean_up(calculation, self.workers[record.worker].cleanup)
        earlier = [one.allocation for one in calculation.attempts if one.allocation not in (None, record.id)]
        for one in self.allocations.ended(earlier) if earlier else ():
            clean_up_allocation(one)

    def cancel(self, records: Sequence[AllocationRecord]) -> list[AllocationRecord]:
        """Cancel jobs; what they have calculated is taken in by the next step.

        Returns
        -------
        Those that were cancelled. Left are those whose number is not known yet, and those of workers that are not in
        the workers file now.

        Raises
        ------
        SchedulerDownError
            A scheduler does not answer.
        """
        known = [record for record in records if record.job_id and record.worker in self.workers]
        by_worker: dict[str, list[str]] = defaultdict(list)
        for record in known:
            by_worker[record.worker].append(str(record.job_id))
        for name, numbers in by_worker.items():
            self._scheduler_of(self.workers[name]).cancel(numbers)
        return known


@dataclass
class _Few:
    """What a few calculations of a job came to: for the LaunchPad, and what is to be removed when that is on disk."""

    hosts: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, tuple[bool, dict[str, Any]]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    removals: list[Callable[[], object]] = field(default_factory=list)


def _has_begun(record: AllocationRecord, state: JobState) -> bool:
    """Whether a launcher has begun, on a machine where something could be calculated, as far as can be told."""
    started = launchers(Path(record.folder))
    if not started:
        return record.launched  # its folder may have gone since
    _, end = started[-1]
    return state.exit_code != EXIT_MACHINE if end is None else end.reason != "machine" or end.completed > 0
