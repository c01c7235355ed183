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
        if (lost := self.allocations.blocked(worker.name)) is not None:
            done.note(
                f"nothing is submitted to worker {worker.name}: none of its last jobs could calculate anything, see "
                f"{lost.folder}; once it is put right: matscout workers check {worker.name}"
            )
            return
        in_queue = sum(record.worker == worker.name for record in self.allocations.open())
        for _ in range(worker.max_queued - in_queue):
            ids = self._ready(worker)
            if not ids:
                return
            try:
                number = self._submit_one(worker, ids, done)
            except (QueueFullError, SchedulerDownError) as error:
                done.note(str(error))
                done.closed.add(worker.name)
                return
            except OSError as error:
                done.note(f"nothing can be written for worker {worker.name}: {error}")
                done.closed.add(worker.name)
                return
            done.submitted[worker.name] += number

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

    def _submit_one(self, worker: Worker, ids: list[str], done: Step) -> int:
        record = self._write_down(worker, ids)
        try:
            number = self._submitted(worker, record, done)
        except SchedulerDownError:
            raise  # it may have the job nonetheless: the next step looks for it by its name
        except (UserError, OSError) as error:
            self._take_back(record, str(error))
            raise
        self.allocations.update(record, job_id=number, state="submitted", submitted=now())
        return len(record.calculations)

    def _submitted(self, worker: Worker, record: AllocationRecord, done: Step) -> str:
        """Submit an allocation, and return the number of its job."""
        scheduler = self._scheduler_of(worker)
        self._write_files(worker, record)
        try:
            return scheduler.submit(Path(record.folder) / SCRIPT)
        except QueueFullError:
            found = scheduler.jobs((), (record.name,)).get(record.name)
            if found is None:
                raise
            return found.id  # one that waited for room has found it after all
        except (SchedulerDownError, SchedulerMissingError):
            raise
        except UserError as error:
            if (record.memory_factor, record.walltime_factor) == (1.0, 1.0):
                raise
            # More than there is: with as much as before it may still end, as what it has finished is kept.
            done.note(f"{error}; it gets what all jobs of worker {worker.name} get")
            usual = self.allocations.update(record, memory_factor=1.0, walltime_factor=1.0)
            return self._submitted(worker, usual, done)

    def _write_down(self, worker: Worker, ids: list[str]) -> AllocationRecord:
        """Record an allocation and a new attempt of each of its calculations."""
        known = self.attempts.calculations(ids)
        adjustments = [self.attempts.adjustment(known[one]) for one in ids]
        factors = [(one.memory_factor, one.walltime_factor) for one in adjustments]
        chosen, memory, walltime = packs(ids, factors, worker.per_allocation)
        allocation_id = new_id()
        folder = self._folder(worker)
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
            launches.append(launch_of(wanted, folder))
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

    def _folder(self, worker: Worker) -> Path:
        assert worker.launch_folder is not None
        return worker.launch_folder / self._place
