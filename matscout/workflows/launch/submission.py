"""What is ready becomes jobs of a scheduler.

An allocation is written down before it is submitted, with an attempt of each of its calculations; one without a number
is looked for by its name first.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.documents import ENDED, now
from matscout.db.files import write_text
from matscout.errors import UserError
from matscout.workflows.launch.allocation import Allocation, Launch, write_allocation
from matscout.workflows.launch.allocations import AllocationRecord, Allocations, launch_of, new_id, packs, preload
from matscout.workflows.launch.attempts import Attempts, launch_folder_of, start_attempt
from matscout.workflows.launch.cleanup import ALLOCATIONS
from matscout.workflows.launch.schedulers import (
    AllocationRequest,
    QueueFullError,
    SchedulerDownError,
    SchedulerMissingError,
    job_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.db.store import Store
    from matscout.workflows.launch.ledger import Ledger
    from matscout.workflows.launch.schedulers import Scheduler
    from matscout.workflows.launch.step import Step
    from matscout.workflows.launch.workers_file import Worker

SCRIPT = "submit.sh"


class Submission:
    """Gives calculations of a store to the schedulers of its workers.

    Parameters
    ----------
    store
        An open store, leased by this process.
    attempts, ledger, allocations
        Of that store.
    place
        Name of this store's folder below each worker's launch folder.
    scheduler_of
        Makes what speaks to a worker's scheduler.
    """

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        ledger: Ledger,
        allocations: Allocations,
        place: str,
        scheduler_of: Callable[[Worker], Scheduler],
    ) -> None:
        self.store = store
        self.attempts = attempts
        self.ledger = ledger
        self.allocations = allocations
        self._place = place
        self._scheduler_of = scheduler_of

    def fill(self, worker: Worker, done: Step) -> None:
        """Submit what is ready, as far as the worker's queue may be filled, and note it in `done`.

        Raises
        ------
        UserError
            The scheduler refuses a job, or is not on this machine; nothing of that job is left.
        """
        if (lost := self.allocations.blocked(worker)) is not None:
            done.note(
                f"nothing is submitted to worker {worker.name}: none of its last jobs could calculate anything, see "
                f"{lost.folder}; once it is put right: matscout workers check {worker.name}"
            )
            return
        for _ in range(worker.max_queued - self.allocations.number_open(worker.name)):
            ids = self._ready(worker)
            if not ids:
                return
            record = self._write_down(worker, ids)
            if not self._submit(worker, record, done):
                return
            done.submitted[worker.name] += len(record.calculations)

    def submit_as_usual(self, worker: Worker, record: AllocationRecord, reason: str, done: Step) -> None:
        """Submit again, with what all jobs of its worker get, a job that has not begun and asks for more than there is.

        Parameters
        ----------
        reason
            Why it never begins.
        done
            Takes what is to be said.

        Raises
        ------
        UserError
            As from `fill`.
        """
        try:
            self._scheduler_of(worker).cancel([str(record.job_id)])
        except SchedulerDownError as error:
            self._close(worker, str(error), done)
            return
        # By another name: where a kill comes now, the one that was cancelled must not be found in its place.
        usual = self._usual(record, f"job {record.job_id} never begins: {reason}", done)
        again = self.allocations.update(usual, name=job_name(new_id()), job_id=None, state="prepared", submitted=None)
        if self._submit(worker, again, done):
            done.jobs[worker.name]["waiting"] += 1

    def _ready(self, worker: Worker) -> list[str]:
        """Return calculations that are to be submitted next.

        Those that ended meanwhile, as another campaign of the store has run them on this machine, leave the LaunchPad:
        finished work is never repeated.
        """
        while ids := self.ledger.ready(worker.name, 4 * worker.per_allocation):
            query = {"_id": {"$in": ids}, "state": {"$in": list(ENDED)}}
            ended = [one["_id"] for one in self.store.collection("calculations").find(query, {"_id": 1})]
            if not ended:
                break
            self.ledger.drop(ended)
        return ids

    def _submit(self, worker: Worker, record: AllocationRecord, done: Step) -> bool:
        """Submit an allocation that is written down; False where its worker takes no more in this step."""
        try:
            number = self._submitted(worker, record, done)
        except SchedulerDownError as error:
            words = str(error)  # it may have the job nonetheless: the next step looks for it by its name
        except QueueFullError as error:
            self._take_back(record, words := str(error))
        except OSError as error:
            self._take_back(record, words := f"nothing can be written for worker {worker.name}: {error}")
        except UserError as error:
            self._take_back(record, str(error))
            raise
        else:
            self.allocations.update(record, job_id=number, state="submitted", submitted=now())
            return True
        self._close(worker, words, done)
        return False

    def _close(self, worker: Worker, words: str, done: Step) -> None:
        done.note(words)
        done.closed.add(worker.name)

    def _submitted(self, worker: Worker, record: AllocationRecord, done: Step) -> str:
        """Submit an allocation, and return the number of its job."""
        scheduler = self._scheduler_of(worker)
        self._write_files(worker, record)
        try:
            return scheduler.submit(Path(record.folder) / SCRIPT)
        except QueueFullError:
            found = scheduler.find(record.name)
            if found is None:
                raise
            return found  # one that waited for room has found it after all
        except (SchedulerDownError, SchedulerMissingError):
            raise
        except UserError as error:
            if record.is_usual:
                raise
            return self._submitted(worker, self._usual(record, str(error), done), done)

    def _usual(self, record: AllocationRecord, words: str, done: Step) -> AllocationRecord:
        """Ask for no more than for all jobs: with that it may still end, as what it has finished is kept."""
        done.note(f"{words}; it gets what all jobs of worker {record.worker} get")
        return self.allocations.update(record, memory_factor=1.0, walltime_factor=1.0)

    def _write_down(self, worker: Worker, ids: list[str]) -> AllocationRecord:
        """Record an allocation and a new attempt of each of its calculations."""
        known = self.attempts.calculations(ids)
        adjustments = [self.attempts.adjustment(known[one]) for one in ids]
        factors = [(one.memory_factor, one.walltime_factor) for one in adjustments]
        chosen, memory, walltime = packs(ids, factors, worker.per_allocation)
        allocation_id = new_id()
        folder = self.folder(worker)
        record = AllocationRecord(
            id=allocation_id,
            worker=worker.name,
            name=job_name(allocation_id),
            folder=str(folder / ALLOCATIONS / allocation_id),
            calculations=tuple(chosen),
            memory_factor=memory,
            walltime_factor=walltime,
        )
        with self.store.transaction():
            self.allocations.add(record)
            launches = {one: self.attempts.begin(one, folder / one, allocation_id) for one in chosen}
            self.ledger.reserve(launches, worker.name, allocation_id)
        return record

    def _write_files(self, worker: Worker, record: AllocationRecord) -> None:
        launches: list[Launch] = []
        protocols: list[str] = []
        known = self.attempts.calculations(record.calculations)
        for one in record.calculations:
            folder = start_attempt(self.attempts, one)
            wanted = known[one].request
            launches.append(launch_of(wanted, folder, worker))
            protocols.append(wanted.protocol)
        walltime = round(worker.walltime * record.walltime_factor)
        memory = None if worker.memory is None else round(worker.memory * record.memory_factor)
        folder = Path(record.folder)
        write_allocation(
            folder,
            Allocation(
                id=record.id,
                launches=tuple(launches),
                at_once=worker.at_once,
                seconds=walltime,
                reserve=worker.reserve,
                commands=worker.commands,
                preload=preload(protocols),
                memory_limit=memory / worker.at_once if memory and worker.limit_memory else None,
            ),
        )
        job = AllocationRequest(name=record.name, folder=folder, walltime=walltime, memory=memory)
        write_text(folder / SCRIPT, self._scheduler_of(worker).script(job))

    def _take_back(self, record: AllocationRecord, reason: str) -> None:
        """Undo an allocation that the scheduler did not take."""
        with self.store.transaction():
            for one in record.calculations:
                shutil.rmtree(launch_folder_of(self.attempts.calculation(one)), ignore_errors=True)
                self.attempts.never_ran(one)
            self.ledger.release(record.calculations)
            self.allocations.update(record, state="ended", ended=now(), reason=reason)
        shutil.rmtree(record.folder, ignore_errors=True)

    def folder(self, worker: Worker) -> Path:
        """Return this store's folder below a worker's launch folder."""
        return worker.launch_folder / self._place
