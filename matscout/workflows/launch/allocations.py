"""What the controller knows of each job that it gave to a scheduler."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pydantic import Field

from matscout.db.documents import Document, now
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.launch.allocation import Launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matscout.db.documents import CalculationRequest
    from matscout.db.store import Store

MOST_LOST = 3
"""After so many jobs of a worker in a row that could not calculate anything, no more are submitted."""


class AllocationRecord(Document):
    """A job of a scheduler, as the store keeps it."""

    id: str = Field(description="Id of the allocation, the name of its folder")
    worker: str = Field(description="Name of the worker")
    name: str = Field(description="Name of the scheduler's job, by which it is found again")
    folder: str = Field(description="Folder of the allocation, seen by the nodes")
    calculations: tuple[str, ...] = Field(description="Ids of the calculations that it was given")
    state: Literal["prepared", "submitted", "ended"] = Field(
        default="prepared", description="Written down; known to the scheduler; over and settled"
    )
    job_id: str | None = Field(default=None, description="The scheduler's number of the job")
    memory_factor: float = Field(default=1.0, description="Memory asked for, over the worker's")
    walltime_factor: float = Field(default=1.0, description="Walltime asked for, over the worker's")
    created: str = Field(default_factory=now, description="UTC, ISO 8601")
    submitted: str | None = Field(default=None, description="UTC, ISO 8601")
    ended: str | None = Field(default=None, description="When that was noticed, UTC, ISO 8601")
    job_state: str | None = Field(default=None, description="What the scheduler said of the job last")
    reason: str | None = Field(default=None, description="The scheduler's reason, or why it was never submitted")
    launched: bool = Field(default=False, description="Whether a launcher began on a node that can calculate")

    @property
    def is_lost(self) -> bool:
        """Whether its job has ended, and could not calculate anything, though nobody took it away."""
        taken = {"cancelled", "node", None}
        return self.state == "ended" and not self.launched and self.job_state not in taken


def new_id() -> str:
    """Make an id that no other allocation has."""
    return uuid4().hex[:20]


class Allocations:
    """The records of a store's allocations."""

    def __init__(self, store: Store) -> None:
        self._records = store.collection("allocations")
        self._workers = store.collection("workers")

    def add(self, record: AllocationRecord) -> None:
        """Write a new one down."""
        self._records.insert_one({"_id": record.id, **record.model_dump(mode="json")})

    def update(self, record: AllocationRecord, **changes: Any) -> AllocationRecord:
        """Change one, and return it as it is now."""
        self._records.update_one({"_id": record.id}, {"$set": changes})
        return record.model_copy(update=changes)

    def open(self) -> list[AllocationRecord]:
        """Return those that are not over, in the order they were made."""
        return self._read(self._records.find({"state": {"$ne": "ended"}}).sort("created", 1))

    def of(self, allocation_id: str) -> AllocationRecord | None:
        """Return one by its id."""
        found = self._read(self._records.find({"_id": allocation_id}))
        return found[0] if found else None

    def blocked(self, worker: str) -> AllocationRecord | None:
        """Return the last job of a worker whose last jobs could calculate nothing; None where it is not so."""
        cleared = (self._workers.find_one({"_id": worker}) or {}).get("cleared", "")
        query = {"worker": worker, "state": "ended", "submitted": {"$gt": cleared}}
        last = self._read(self._records.find(query).sort("ended", -1).limit(MOST_LOST))
        lost = [one for one in last if one.is_lost]
        return lost[0] if len(lost) == MOST_LOST else None

    def ended(self, ids: Sequence[str]) -> list[AllocationRecord]:
        """Return those of some ids that are over."""
        return self._read(self._records.find({"_id": {"$in": list(ids)}, "state": "ended"}))

    def is_due(self, worker: str, what: str, seconds: float) -> bool:
        """Whether something is to be done for a worker that was not done in the last `seconds`: it counts as done."""
        last = (self._workers.find_one({"_id": worker}) or {}).get(what)
        if last is not None and (datetime.now(UTC) - datetime.fromisoformat(last)).total_seconds() < seconds:
            return False
        self._workers.update_one({"_id": worker}, {"$set": {what: now()}}, upsert=True)
        return True

    def clear(self, worker: str) -> None:
        """Forget that a worker's jobs failed: somebody has put it right."""
        self._workers.update_one({"_id": worker}, {"$set": {"cleared": now()}}, upsert=True)

    @staticmethod
    def _read(documents: Any) -> list[AllocationRecord]:
        return [
            AllocationRecord.model_validate({name: value for name, value in document.items() if name != "_id"})
            for document in documents
        ]


def packs(ids: Sequence[str], factors: Sequence[tuple[float, float]], size: int) -> tuple[list[str], float, float]:
    """Take calculations for one job: those that need as much memory and time as the first.

    Parameters
    ----------
    ids
        Calculations in the order they are to be submitted, at least one.
    factors
        Of memory and walltime, for each.
    size
        Calculations of a job at most.

    Examples
    --------
    >>> packs(["a", "b", "c"], [(1.0, 1.0), (2.0, 1.0), (1.0, 1.0)], 2)
    (['a', 'c'], 1.0, 1.0)
    """
    chosen = [one for one, needs in zip(ids, factors, strict=True) if needs == factors[0]]
    return chosen[:size], *factors[0]


def launch_of(request: CalculationRequest, folder: Path) -> Launch:
    """Say how a calculation is to be run by the launcher."""
    protocol = get_protocol(request.protocol)
    seconds = protocol.seconds_per_site * len(request.geometry.species)
    return Launch(folder=str(folder), expected_seconds=seconds, own_process=protocol.code != "chgnet")


def preload(protocols: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that a process for many calculations of some protocols loads first."""
    codes = {get_protocol(name).code for name in protocols}
    return ("matscout.workflows.calculations.chgnet",) if "chgnet" in codes else ()
