"""The controller: hands calculations to workers and takes their results into the store.

Only the controller writes. An attempt is in the store before its worker starts, and a result is in the store before
anybody is told; so after a ``kill -9`` at any moment, `Controller.recover` knows of every calculation whether it
finished (its result lies in the store or in its launch folder) or was interrupted (and starts again).
"""

from __future__ import annotations

import shutil
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from matscout.db.documents import Attempt, Calculation, CalculationRequest, CalculationResult, now
from matscout.errors import UserError
from matscout.workflows.launch.folders import LOCK, prepare, read_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matscout.db.documents import Cause, State
    from matscout.db.store import Store
    from matscout.workflows.launch.pool import Answer, WorkerPool

MAX_DEATHS = 3
"""A calculation whose worker died so often is a failure: it, and not an accident, kills them."""


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
        self._check_lease = check_lease
        self._calculations = store.collection("calculations")
        self._steps = store.collection("ionic_steps")

    def recover(self) -> tuple[int, int]:
        """Settle what an earlier controller left running.

        Returns
        -------
        How many results were taken in from launch folders, and how many attempts were interrupted.
        """
        taken = interrupted = 0
        for document in list(self._calculations.find({"state": "running"})):
            attempt = document["attempts"][-1]
            folder = Path(attempt["folder"])
            _wait_for_worker(folder)
            result = _left_result(folder)
            if result is not None:
                self._take_in(document["_id"], result)
                taken += 1
            else:
                self._end_attempt(document["_id"], "waiting", "interrupted", message="the run was stopped meanwhile")
                interrupted += 1
        self._sweep()
        return taken, interrupted

    def _sweep(self) -> None:
        """Remove launch folders whose result is in the store: a crash can come between the two."""
        if not self.folder.is_dir():
            return
        left = [path.name for path in self.folder.iterdir() if path.is_dir()]
        for document in self._calculations.find({"_id": {"$in": left}, "state": {"$ne": "running"}}, {"_id": 1}):
            shutil.rmtree(self.folder / document["_id"], ignore_errors=True)

    def results(self, ids: Iterable[str]) -> dict[str, CalculationResult]:
        """Return the stored results of those calculations that finished or failed."""
        return stored_results(self.store, ids)

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
            A worker could not do its work at all: a full disk, a missing package.
        """
        results = self.results(request.id for request in requests)
        waiting = deque({request.id: request for request in requests if request.id not in results}.values())
        running: dict[Path, CalculationRequest] = {}
        while running or (waiting and not stopping()):
            while waiting and pool.idle and not stopping():
                request = waiting.popleft()
                folder = self._begin(request)
                running[folder] = request
                pool.submit(folder)
            for answer in pool.wait(0.2):
                request = running.pop(answer.folder)
                result = self._settle(request, answer)
                if result is None:
                    waiting.appendleft(request)
                else:
                    results[result.id] = result
                    on_result(result)
        return results

    def _begin(self, request: CalculationRequest) -> Path:
        """Record a new attempt, then make its folder: a crash in between leaves an attempt that never ran."""
        self._check_lease()
        document = self._calculations.find_one({"_id": request.id}, {"attempts": 1})
        attempts: list[dict[str, Any]] = document["attempts"] if document else []
        folder = self.folder / request.id / str(len(attempts) + 1)
        attempt = Attempt(number=len(attempts) + 1, folder=str(folder), started=now(), outcome="running")
        calculation = Calculation.model_validate(
            {"request": request, "state": "running", "attempts": [*attempts, attempt]}
        )
        content = {"_id": request.id, **calculation.model_dump(mode="json")}
        self._calculations.replace_one({"_id": request.id}, content, upsert=True)
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, request)
        return folder

    def _settle(self, request: CalculationRequest, answer: Answer) -> CalculationResult | None:
        """Take an answer into the store; None means that the calculation is to start again."""
        if answer.outcome == "refused":
            self._end_attempt(request.id, "waiting", "interrupted", message=answer.message)
            raise UserError(f"a worker could not calculate {request.subject}: {answer.message}")
        try:
            result = read_result(answer.folder)
        except ValueError as error:
            result = _failure(request, "error", f"the worker's result cannot be read: {error}")
        if result is None and answer.outcome == "done":
            raise UserError(f"the result of {request.subject} vanished from {answer.folder}")
        if result is None:
            if answer.outcome == "died" and self._deaths(request.id) + 1 < MAX_DEATHS:
                self._end_attempt(request.id, "waiting", "interrupted", cause="worker-died", message=answer.message)
                return None
            result = _failure(request, "timeout" if answer.outcome == "timeout" else "worker-died", answer.message)
        self._take_in(request.id, result)
        return result

    def _deaths(self, calculation_id: str) -> int:
        document = self._calculations.find_one({"_id": calculation_id}, {"attempts": 1})
        return sum(attempt["cause"] == "worker-died" for attempt in document["attempts"])

    def _take_in(self, calculation_id: str, result: CalculationResult) -> None:
        content = result.model_dump(mode="json")
        steps = content.pop("steps")
        with self.store.transaction():
            if steps:
                self._steps.replace_one({"_id": calculation_id}, {"_id": calculation_id, "steps": steps}, upsert=True)
            folder = self._end_attempt(
                calculation_id,
                result.outcome,
                result.outcome,
                cause=result.cause,
                message=result.message,
                result=content,
            )
        shutil.rmtree(folder.parent, ignore_errors=True)

    def _end_attempt(
        self,
        calculation_id: str,
        state: State,
        outcome: str,
        *,
        cause: Cause | None = None,
        message: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> Path:
        """Write how the last attempt ended, and return its launch folder."""
        self._check_lease()
        document = self._calculations.find_one({"_id": calculation_id})
        attempts = document["attempts"]
        attempts[-1] |= {"ended": now(), "outcome": outcome, "cause": cause, "message": message}
        self._calculations.update_one(
            {"_id": calculation_id}, {"$set": {"state": state, "attempts": attempts, "result": result}}
        )
        return Path(attempts[-1]["folder"])


def stored_results(store: Store, ids: Iterable[str]) -> dict[str, CalculationResult]:
    """Return the results of those calculations that finished or failed, without their ionic steps, by id."""
    query = {"_id": {"$in": list(ids)}, "state": {"$in": ["finished", "failed"]}}
    found = store.collection("calculations").find(query, {"result": 1})
    return {document["_id"]: CalculationResult.model_validate(document["result"]) for document in found}


def _failure(request: CalculationRequest, cause: Cause, message: str | None) -> CalculationResult:
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=request.geometry.reduced_formula,
        outcome="failed",
        cause=cause,
        message=message,
    )


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
