"""The record of every attempt of every calculation, in the store.

An attempt is written down before it can run, and how it ended before anything follows from it. What a failure means,
another attempt or the end, is decided here, by the policy of its cause.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from matscout.db.documents import ENDED, Attempt, Calculation, CalculationRequest, CalculationResult, now
from matscout.workflows.calculations.causes import Adjustment, Finding, next_attempt, retry_policy
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.launch.flows import carry_over
from matscout.workflows.launch.folders import CLOSED, failure, prepare, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matscout.db.documents import IonicStep
    from matscout.db.store import Store
    from matscout.workflows.calculations.causes import RetryPolicy


_STOPPED_BY_MACHINE = frozenset({None, "memory", "walltime", "node"})
"""Causes that say nothing against the jobs that had ended before."""


def policy_of(protocol: str) -> RetryPolicy:
    """Return what follows the failures of a protocol's code."""
    return retry_policy(get_protocol(protocol).code)


class Attempts:
    """Attempts and results of a store's calculations.

    Parameters
    ----------
    store
        Leased by this process.
    check_lease
        Raises when this process is no longer the one writer: called before each write.
    policy
        Gives the retry policy of a protocol's name.
    """

    def __init__(
        self,
        store: Store,
        check_lease: Callable[[], object] = lambda: None,
        policy: Callable[[str], RetryPolicy] = policy_of,
    ) -> None:
        self.store = store
        self._check_lease = check_lease
        self._policy = policy
        self._calculations = store.collection("calculations")
        self._steps = store.collection("ionic_steps")

    def want(self, requests: Iterable[CalculationRequest]) -> list[CalculationRequest]:
        """Write down calculations that the store does not know yet; return those, each once."""
        wanted = {request.id: request for request in requests}
        for known in self._calculations.find({"_id": {"$in": list(wanted)}}, {"_id": 1}):
            wanted.pop(known["_id"])
        new = list(wanted.values())
        if "state_1" not in self._calculations.index_information():
            self._calculations.create_index("state")  # thousands are asked for by id and state
        with self.store.transaction():
            for request in new:
                self._check_lease()
                document = Calculation(request=request, state="waiting").model_dump(mode="json")
                self._calculations.insert_one({"_id": request.id, **document})
        return new

    def begin(self, calculation_id: str, folder: Path, allocation: str | None = None) -> Path:
        """Record a new attempt in a folder below `folder`, which `start_attempt` makes; return where."""
        calculation = self.calculation(calculation_id)
        number = len(calculation.attempts) + 1
        attempt = Attempt(
            number=number,
            folder=str(folder / str(number)),
            allocation=allocation,
            started=now(),
            outcome="running",
        )
        self._write(calculation, (*calculation.attempts, attempt), "running", None)
        return Path(attempt.folder)

    def adjustment(self, calculation: Calculation) -> Adjustment:
        """Return how the next attempt of a calculation differs from the first."""
        return self._next(calculation, calculation.attempts) or Adjustment()

    def _next(self, calculation: Calculation, attempts: Sequence[Attempt]) -> Adjustment | None:
        """Decide on another attempt after those that ended; None to give up."""
        return next_attempt(self._policy(calculation.request.protocol), attempts[calculation.forgiven :])

    def calculation(self, calculation_id: str) -> Calculation:
        """Return a calculation with all of its attempts.

        Raises
        ------
        KeyError
            The store does not know it.
        """
        document = self._calculations.find_one({"_id": calculation_id})
        if document is None:
            raise KeyError(calculation_id)
        return _calculation_of(document)

    def calculations(self, ids: Iterable[str]) -> dict[str, Calculation]:
        """Return those of these calculations that the store knows, by id."""
        found = self._calculations.find({"_id": {"$in": list(ids)}})
        return {document["_id"]: _calculation_of(document) for document in found}

    def running(self, ids: Iterable[str] | None = None) -> list[Calculation]:
        """Return the calculations, or those of some, with an attempt that has not ended."""
        query = {"state": "running"} if ids is None else {"_id": {"$in": list(ids)}, "state": "running"}
        return [_calculation_of(document) for document in self._calculations.find(query)]

    def request(self, calculation: Calculation) -> CalculationRequest:
        """Return what the last attempt of a calculation is to do, with the changes that the policy makes to it."""
        before = calculation.model_copy(update={"attempts": calculation.attempts[:-1]})
        return calculation.request.model_copy(update={"adjustments": self.adjustment(before).overrides})

    def interrupted(self, calculation_id: str, finding: Finding | None = None, message: str = "") -> Calculation:
        """Record that an attempt was stopped without a result; return the calculation, waiting if it is to start again.

        Parameters
        ----------
        finding
            The cause, where the calculation has a part in it: too much memory, too little time.
        message
            What stopped it, where it has none.
        """
        calculation = self.calculation(calculation_id)
        told = None if finding is None else finding.cause
        ended = calculation.attempts[-1].model_copy(
            update={
                "ended": now(),
                "outcome": "interrupted",
                "cause": told,
                "evidence": message if finding is None else finding.evidence,
                "message": message if finding is None else finding.message,
            }
        )
        attempts = (*calculation.attempts[:-1], ended)
        if self._next(calculation, attempts) is not None:
            return self._write(calculation, attempts, "waiting", None)
        last = finding or Finding(
            cause="unknown", evidence=message, message=f"stopped {len(attempts)} times: {message}"
        )
        result = failure(self.request(calculation), last).model_copy(update={"outcome": "gave_up"})
        return self._write(calculation, attempts, "gave_up", result)

    def take_in(self, calculation_id: str, result: CalculationResult) -> Calculation:
        """Take a result in; return the calculation, waiting if it is to start again."""
        calculation = self.calculation(calculation_id)
        failed = result.outcome != "completed"
        ended = calculation.attempts[-1].model_copy(
            update={
                "ended": now(),
                "outcome": "failed" if failed else "completed",
                "cause": result.cause,
                "evidence": result.evidence,
                "message": result.message,
            }
        )
        attempts = (*calculation.attempts[:-1], ended)
        if not failed:
            return self._write(calculation, attempts, "completed", result, result.steps)
        if self._next(calculation, attempts) is not None:
            return self._write(calculation, attempts, "waiting", None, result.steps)
        retried = any(attempt.outcome == "failed" for attempt in attempts[calculation.forgiven : -1])
        outcome = "gave_up" if retried else "failed"
        result = result.model_copy(update={"outcome": outcome})
        return self._write(calculation, attempts, outcome, result, result.steps)

    def never_ran(self, calculation_id: str) -> None:
        """Take back an attempt that was written down and never started: it does not count."""
        calculation = self.calculation(calculation_id)
        self._write(calculation, calculation.attempts[:-1], "waiting", None)

    def again(self, calculation_id: str) -> None:
        """Let a calculation that ended in failure start again, because somebody asked: its policy begins anew."""
        self._check_lease()
        calculation = self.calculation(calculation_id)
        forgiven = len(calculation.attempts)
        self._calculations.update_one(
            {"_id": calculation_id}, {"$set": {"state": "waiting", "result": None, "forgiven": forgiven}}
        )

    def results(self, ids: Iterable[str]) -> dict[str, CalculationResult]:
        """Return the results of those calculations that ended, without their ionic steps, by id."""
        return stored_results(self.store, ids)

    def _write(
        self,
        calculation: Calculation,
        attempts: tuple[Attempt, ...],
        state: str,
        result: CalculationResult | None,
        steps: tuple[IonicStep, ...] = (),
    ) -> Calculation:
        """Write what has become of a calculation, and return it so, its ionic steps apart as in the store.

        Those of a completed calculation stand under its id, those of a failed attempt under its number behind the id.
        """
        self._check_lease()
        calculation_id = calculation.request.id
        content = None if result is None else result.model_dump(mode="json", exclude={"steps"})
        written = {"state": state, "attempts": [one.model_dump(mode="json") for one in attempts], "result": content}
        with self.store.transaction():
            if steps:
                key = calculation_id if state == "completed" else f"{calculation_id}#{attempts[-1].number}"
                self._keep_steps({"_id": key, "steps": [step.model_dump(mode="json") for step in steps]})
            self._calculations.update_one({"_id": calculation_id}, {"$set": written})
        kept = None if result is None else result.model_copy(update={"steps": ()})
        return calculation.model_copy(update={"state": state, "attempts": attempts, "result": kept})

    def _keep_steps(self, document: dict[str, Any]) -> None:
        try:
            self._steps.insert_one(document)  # several times as fast as replacing what is not there
        except DuplicateKeyError:
            self._steps.replace_one({"_id": document["_id"]}, document)


def start_attempt(attempts: Attempts, calculation_id: str) -> Path:
    """Make the launch folder of an attempt that was begun, with what an earlier one had finished of the same.

    Returns
    -------
    The launch folder.
    """
    calculation = attempts.calculation(calculation_id)
    request = attempts.request(calculation)
    folder = launch_folder_of(calculation)
    # One of this number that never ran may have left a folder, where a kill came before its removal.
    for left in (folder, folder.with_name(folder.name + CLOSED)):
        shutil.rmtree(left, ignore_errors=True)
    prepare(folder, request)
    if len(calculation.attempts) > 1:
        _continue(calculation.attempts[-2], request, folder)
    return folder


def _continue(earlier: Attempt, request: CalculationRequest, folder: Path) -> None:
    """Take over the jobs that an attempt with the same settings had ended, unless its own output is the trouble."""
    if earlier.cause not in _STOPPED_BY_MACHINE:
        return
    left = next((path for path in (Path(earlier.folder), Path(earlier.folder + CLOSED)) if path.is_dir()), None)
    if left is None:
        return
    try:
        before = read_request(left)
        if (before.protocol_id, before.adjustments) == (request.protocol_id, request.adjustments):
            carry_over(left, folder)
    except (OSError, ValueError):  # damaged: what it had finished is calculated again
        shutil.rmtree(folder)
        prepare(folder, request)


def stored_results(store: Store, ids: Iterable[str]) -> dict[str, CalculationResult]:
    """Return the results of those calculations that ended, without their ionic steps, by id."""
    query = {"_id": {"$in": list(ids)}, "state": {"$in": list(ENDED)}}
    found = store.collection("calculations").find(query, {"result": 1})
    return {document["_id"]: CalculationResult.model_validate(document["result"]) for document in found}


def _calculation_of(document: dict[str, Any]) -> Calculation:
    return Calculation.model_validate({name: value for name, value in document.items() if name != "_id"})


def launch_folder_of(calculation: Calculation) -> Path:
    """Return the launch folder of a calculation's last attempt."""
    return Path(calculation.attempts[-1].folder)
