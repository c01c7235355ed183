"""What is removed from launch folders, and when: as each worker's ``cleanup`` says.

A calculation has one folder, with a folder of each attempt in it; an allocation's folder goes with the last of its
calculations' folders. What a crash has left, and what is to stay for some days, is looked for now and then.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.db.documents import ENDED, seconds_since
from matscout.errors import UserError
from matscout.workflows.calculations.protocols import get_protocol

if TYPE_CHECKING:
    from matscout.db.documents import Calculation
    from matscout.db.store import Store
    from matscout.workflows.launch.allocations import AllocationRecord, Allocations
    from matscout.workflows.launch.worker_keys import Cleanup, Keep
    from matscout.workflows.launch.workers_file import Worker

SWEEP_SECONDS = 3600.0
"""How often old folders are looked for: that lists all folders of a worker."""

ALLOCATIONS = "allocations"
"""Folder of the allocations' folders, beside those of the calculations."""


def clean_up(calculation: Calculation, cleanup: Cleanup) -> None:
    """Remove what is not to be kept of a calculation that has ended, its result being in the store."""
    completed = calculation.state == "completed"
    wanted = _of_completed(calculation.request.protocol, cleanup) if completed else cleanup.failed
    folders = list(dict.fromkeys(Path(attempt.folder).parent for attempt in calculation.attempts))
    if wanted == "all":
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    elif wanted == "large":
        for path in (path for folder in folders for name in cleanup.large for path in folder.rglob(name)):
            path.unlink(missing_ok=True)


def clean_up_allocation(record: AllocationRecord) -> None:
    """Remove the folder of an allocation that has ended, unless something is left that somebody may look at.

    That is a calculation's folder, or what a job printed that could not calculate anything.
    """
    folder = Path(record.folder)
    left = any((folder.parent.parent / one).is_dir() for one in record.calculations)
    if not left and not record.is_lost:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(store: Store, allocations: Allocations, worker: Worker, place: str) -> None:
    """Remove a worker's folders whose time has come, unless that was done a short while ago.

    Another worker may have the same launch folder: of each calculation that worker decides which had it last.
    """
    root = worker.launch_folder / place
    if not root.is_dir() or not allocations.is_due(worker.name, "swept", SWEEP_SECONDS):
        return
    folders = {path.name: path for path in root.iterdir() if path.name != ALLOCATIONS}
    for name in _over(store, allocations, worker, list(folders)):
        shutil.rmtree(folders[name], ignore_errors=True)
    left = [path.name for path in (root / ALLOCATIONS).glob("*")]
    for record in allocations.ended(left):
        if record.worker != worker.name:
            continue
        if _is_past(record.ended, worker.cleanup):
            shutil.rmtree(record.folder, ignore_errors=True)
        else:
            clean_up_allocation(record)


def _over(store: Store, allocations: Allocations, worker: Worker, ids: list[str]) -> list[str]:
    """Return those calculations of a worker of which nothing is to be kept any more."""
    columns = {"state": 1, "attempts": 1, "request": 1}
    query = {"_id": {"$in": ids}, "state": {"$in": list(ENDED)}}
    found = [one for one in store.collection("calculations").find(query, columns) if _is_over(one, worker.cleanup)]
    jobs = {
        one["_id"]: [attempt["allocation"] for attempt in one["attempts"] if attempt["allocation"]] for one in found
    }
    workers = allocations.workers_of(job for given in jobs.values() for job in given[-1:])
    return [one for one, given in jobs.items() if given and workers.get(given[-1]) == worker.name]


def _is_over(document: dict[str, Any], cleanup: Cleanup) -> bool:
    if document["state"] == "completed":
        return _of_completed(document["request"]["protocol"], cleanup) == "all"
    return cleanup.failed == "all" or _is_past(document["attempts"][-1]["ended"], cleanup)


def _of_completed(protocol: str, cleanup: Cleanup) -> Keep:
    """Say what is removed of a completed calculation: whoever pays for DFT wants to see its outputs."""
    if cleanup.completed is not None:
        return cleanup.completed
    try:
        code = get_protocol(protocol).code
    except UserError:  # an older store may know protocols that are no more
        return "large"
    return "all" if code == "chgnet" else "large"


def _is_past(ended: str | None, cleanup: Cleanup) -> bool:
    """Whether what ended then has been kept for its days."""
    if ended is None or cleanup.failed_after_days is None:
        return False
    return seconds_since(ended) > cleanup.failed_after_days * 86_400
