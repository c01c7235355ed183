"""The controller: hands calculations to workers of this machine and takes their results into the store.

Only the controller writes. An attempt is in the store before its worker starts, and a result is in the store before
anybody is told; so after a ``kill -9`` at any moment, `Controller.recover` knows of every calculation whether it
finished (its result lies in the store or in its launch folder) or was interrupted (and starts again).
"""

from __future__ import annotations

import shutil
from collections import deque
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from matscout.db.documents import ENDED
from matscout.errors import UserError
from matscout.workflows.calculations.causes import Finding, classify
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.launch.allocations import Allocations
from matscout.workflows.launch.attempts import Attempts, launch_folder_of, start_attempt
from matscout.workflows.launch.folders import LOCK, LOG, failure, read_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matscout.db.documents import Calculation, CalculationRequest, CalculationResult
    from matscout.db.store import Store
    from matscout.workflows.launch.pool import Answer, WorkerPool

TIME_LIMIT = 3600.0
"""Least wall time after which a calculation is killed on this machine, s."""

_OVER_ESTIMATE = 3.0
"""How many times as long as its protocol's estimate a calculation may take."""


class Controller:
    """Runs requests through a pool, with every state change in the store first.

    Parameters
    ----------
    store
        The results store, leased by this process.
    folder
        Where launch folders are made; of this store alone.
    check_lease
        Raises when this process is no longer the one writer: called before each write of a calculation's state.
    """

    def __init__(self, store: Store, folder: Path, check_lease: Callable[[], object] = lambda: None) -> None:
        self.store = store
        self.folder = folder
        self.attempts = Attempts(store, check_lease)

    def recover(self) -> tuple[int, int]:
        """Settle what an earlier controller left running.

        Returns
        -------
        How many results were taken in from launch folders, and how many attempts were interrupted.
        """
        taken = interrupted = 0
        on_queue = {one for record in Allocations(self.store).open() for one in record.calculations}
        running = self.store.collection("calculations").find({"state": "running"}, {"_id": 1})
        left = {document["_id"] for document in running} - on_queue
        for calculation in self.attempts.running(sorted(left)):
            folder = launch_folder_of(calculation)
            _wait_for_worker(folder)
            result = _left_result(folder)
            if result is not None:
                self._take_in(result, folder)
                taken += 1
            else:
                self.attempts.interrupted(calculation.request.id, message="the run was stopped meanwhile")
                interrupted += 1
        self._sweep()
        return taken, interrupted

    def _sweep(self) -> None:
        """Remove launch folders of results that are in the store: a crash can come between the two."""
        if not self.folder.is_dir():
            return
        left = [path.name for path in self.folder.iterdir() if path.is_dir()]
        ended = {"_id": {"$in": left}, "state": {"$in": list(ENDED)}}
        for document in self.store.collection("calculations").find(ended, {"_id": 1, "state": 1}):
            _tidy(self.folder / document["_id"], completed=document["state"] == "completed")

    def results(self, ids: Iterable[str]) -> dict[str, CalculationResult]:
        """Return the stored results of those calculations that ended."""
        return self.attempts.results(ids)

    def run(
        self,
        requests: Sequence[CalculationRequest],
        pool: WorkerPool,
        *,
        on_result: Callable[[CalculationResult], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> dict[str, CalculationResult]:
        """Calculate what the store does not hold yet.

        Parameters
        ----------
        requests
            What is wanted; one asked for twice is done once.
        pool
            Workers to run on.
        on_result
            Called with each result after it is on disk.
        stopping
            Once this is true no calculation is started any more, and those running are awaited.

        Returns
        -------
        Results by id, of all requests unless `stopping` came true.

        Raises
        ------
        UserError
            A worker could not do its work at all: a full disk, a missing package. Or some are in the job of a queue.
        """
        results = self.results(request.id for request in requests)
        waiting = deque({request.id: request for request in requests if request.id not in results}.values())
        self.attempts.want(waiting)
        self._refuse_those_on_queues(waiting)
        running: dict[Path, CalculationRequest] = {}
        while running or (waiting and not stopping()):
            while waiting and pool.idle and not stopping():
                request = waiting.popleft()
                folder, time_factor = self._begin(request.id)
                running[folder] = request
                pool.submit(folder, time_limit=time_factor * time_limit(request))
            for answer in pool.wait(0.2):
                request = running.pop(answer.folder)
                result = self._settle(request, answer)
                if result is None:
                    waiting.appendleft(request)
                else:
                    results[result.id] = result
                    on_result(result)
        return results

    def _refuse_those_on_queues(self, waiting: Iterable[CalculationRequest]) -> None:
        ids = {request.id for request in waiting}
        for record in Allocations(self.store).open():
            if both := ids.intersection(record.calculations):
                raise UserError(
                    f"{len(both)} of these calculations are in a job of worker {record.worker} now: matscout advance "
                    "takes them in once it has ended"
                )

    def _begin(self, calculation_id: str) -> tuple[Path, float]:
        """Record a new attempt, then make its folder: a crash in between leaves an attempt that never ran."""
        changes = self.attempts.adjustment(self.attempts.calculation(calculation_id))
        self.attempts.begin(calculation_id, self.folder / calculation_id)
        return start_attempt(self.attempts, calculation_id), changes.walltime_factor

    def _settle(self, request: CalculationRequest, answer: Answer) -> CalculationResult | None:
        """Take an answer into the store; None means that the calculation is to start again."""
        if answer.outcome == "refused":
            self.attempts.interrupted(request.id, message=answer.message or "")
            raise UserError(f"a worker could not calculate {request.subject}: {answer.message}")
        try:
            result = read_result(answer.folder)
        except ValueError as error:
            said = f"the worker's result cannot be read: {error}"
            result = self._failed(request, Finding(cause="parse", evidence=said, message=said))
        if result is None and answer.outcome == "done":
            raise UserError(f"the result of {request.subject} vanished from {answer.folder}")
        if result is not None:
            return self._take_in(result, answer.folder)
        said = answer.message or ""
        if answer.outcome == "timeout":
            finding = Finding(cause="walltime", evidence=said, message=said)
            return self._take_in(self._failed(request, finding), answer.folder)
        finding = classify(answer.folder, exit_code=answer.exit_code)
        stopped = self.attempts.interrupted(request.id, finding.model_copy(update={"message": said}))
        return _result_of(stopped, answer.folder)

    def _failed(self, request: CalculationRequest, finding: Finding) -> CalculationResult:
        """Make the result of a worker that could not write its own, with what was changed in this attempt."""
        return failure(self.attempts.request(self.attempts.calculation(request.id)), finding)

    def _take_in(self, result: CalculationResult, folder: Path) -> CalculationResult | None:
        return _result_of(self.attempts.take_in(result.id, result), folder)


def time_limit(request: CalculationRequest) -> float:
    """Return after which wall time a first attempt is killed on this machine, s."""
    estimate = get_protocol(request.protocol).seconds_per_site * len(request.geometry.species)
    return max(TIME_LIMIT, _OVER_ESTIMATE * estimate)


def _result_of(calculation: Calculation, folder: Path) -> CalculationResult | None:
    """Return the result of a calculation whose attempt lies in a folder; None where it is to start again."""
    if calculation.result is not None:
        _tidy(folder.parent, completed=calculation.state == "completed")
    return calculation.result


def _tidy(folder: Path, *, completed: bool) -> None:
    """Remove the launch folders of a calculation whose result is stored.

    Of one that failed those attempts are kept whose codes said something: somebody will want to read it.
    """
    if completed or not any(folder.glob(f"*/{LOG}")):
        shutil.rmtree(folder, ignore_errors=True)


def _left_result(folder: Path) -> CalculationResult | None:
    """Read what an earlier run's worker left; what cannot be read is as if it were not there."""
    try:
        return read_result(folder)
    except ValueError:
        return None


def _wait_for_worker(folder: Path) -> None:
    """Wait until no worker is at this folder: one that outlived its controller ends within moments."""
    if not folder.is_dir():
        return
    try:
        with FileLock(folder / LOCK, timeout=60):
            pass
    except Timeout:
        raise UserError(f"a worker of an earlier run is still at {folder}: end that process, then run again") from None
