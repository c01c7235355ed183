"""What the controller knows of each job that it gave to a scheduler."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pydantic import Field

from matscout.db.documents import Document, now, seconds_since
from matscout.db.files import write_text
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.launch.allocation import Launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matscout.db.documents import CalculationRequest
    from matscout.db.store import Store
    from matscout.workflows.launch.worker_keys import Worker

MOST_LOST = 3
"""After so many jobs of a worker in a row that could not calculate anything, no more are submitted."""

PROBES = "probes"
"""Folder below a worker's launch folder, of its checks and of when the last one went well."""

_OPEN = {"$in": ["prepared", "submitted"]}


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
    def is_usual(self) -> bool:
        """Whether its job asks for what all jobs of its worker get, and no more."""
        return self.memory_factor == self.walltime_factor == 1.0

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

    def prepare(self) -> None:
        """Make the indexes where the store has none yet: each step asks for those open, and the last that are over."""
        known = self._records.index_information()
        for field in ("state", "ended"):
            if f"{field}_1" not in known:
                self._records.create_index(field)

    def add(self, record: AllocationRecord) -> None:
        """Write a new one down."""
        self._records.insert_one({"_id": record.id, **record.model_dump(mode="json")})

    def update(self, record: AllocationRecord, **changes: Any) -> AllocationRecord:
        """Change one, and return it as it is now."""
        self._records.update_one({"_id": record.id}, {"$set": changes})
        return record.model_copy(update=changes)

    def open(self) -> list[AllocationRecord]:
        """Return those that are not over, in the order they were made."""
        return self._read(self._records.find({"state": _OPEN}).sort("created", 1))

    def number_open(self, worker: str) -> int:
        """Count those of a worker that are not over."""
        return int(self._records.count_documents({"worker": worker, "state": _OPEN}))

    def of_calculation(self, calculation_id: str) -> list[AllocationRecord]:
        """Return those that were given a calculation, in the order they were made."""
        return self._read(self._records.find({"calculations": calculation_id}).sort("created", 1))

    def workers_of(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of the workers of some that are known, by id."""
        found = self._records.find({"_id": {"$in": list(ids)}}, {"worker": 1})
        return {document["_id"]: document["worker"] for document in found}

    def blocked(self, worker: Worker) -> AllocationRecord | None:
        """Return the last job of a worker whose last jobs could calculate nothing; None where it is not so.

        Jobs from before the last check of the worker that went well do not count.
        """
        query = {"worker": worker.name, "state": "ended", "submitted": {"$gt": last_passed(worker) or ""}}
        last = self._read(self._records.find(query).sort("ended", -1).limit(MOST_LOST))
        lost = [one for one in last if one.is_lost]
        return lost[0] if len(lost) == MOST_LOST else None

    def ended(self, ids: Sequence[str]) -> list[AllocationRecord]:
        """Return those of some ids that are over."""
        return self._read(self._records.find({"_id": {"$in": list(ids)}, "state": "ended"}))

    def is_due(self, worker: str, what: str, seconds: float) -> bool:
        """Whether something is to be done for a worker that was not done in the last `seconds`: it counts as done."""
        last = (self._workers.find_one({"_id": worker}) or {}).get(what)
        if last is not None and seconds_since(last) < seconds:
            return False
        self._workers.update_one({"_id": worker}, {"$set": {what: now()}}, upsert=True)
        return True

    @staticmethod
    def _read(documents: Any) -> list[AllocationRecord]:
        return [
            AllocationRecord.model_validate({name: value for name, value in document.items() if name != "_id"})
            for document in documents
        ]


def note_passed(worker: Worker) -> None:
    """Write down, in its launch folder, that a check of a worker has gone well: it may get jobs again.

    Raises
    ------
    OSError
        The launch folder cannot be written.
    """
    path = _passed(worker)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"{now()}\n")


def last_passed(worker: Worker) -> str | None:
    """Return when a check of a worker last went well, as `now` writes it; None where that was never noted."""
    try:
        noted = datetime.fromisoformat(_passed(worker).read_text().strip())
    except (OSError, ValueError):
        return None
    return noted.astimezone(UTC).isoformat(timespec="milliseconds")


def _passed(worker: Worker) -> Path:
    return worker.launch_folder / PROBES / f"{worker.name}.passed"


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


def launch_of(request: CalculationRequest, folder: Path, worker: Worker) -> Launch:
    """Say how a calculation is to be run by the launcher of a worker's job."""
    protocol = get_protocol(request.protocol)
    # The estimate is for one core; a run command takes all of the job's, shared by those that run at once.
    cores = worker.nodes * worker.cores / worker.at_once if protocol.code in worker.commands else 1.0
    seconds = protocol.seconds_per_site * len(request.geometry.species) / max(cores, 1.0)
    return Launch(folder=str(folder), expected_seconds=seconds, own_process=protocol.code != "chgnet")


def preload(protocols: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that a process for many calculations of some protocols loads first."""
    codes = {get_protocol(name).code for name in protocols}
    return ("matscout.workflows.calculations.chgnet",) if "chgnet" in codes else ()
