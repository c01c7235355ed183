"""`matscout submit --dry-run`: the script of a campaign's jobs, and how many there would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json
from matscout.cli.queueing import existing
from matscout.db.documents import ENDED, content_hash
from matscout.db.store import hide_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.cli.queueing import Meant
    from matscout.db.store import Store
    from matscout.workflows.launch.workers_file import Worker

_ID = "0" * 20
"""In the place of a job's own id."""


def show_scripts(meant: Meant, worker: Worker, *, as_json: bool) -> None:
    """Print the script of a job that would be submitted, and how many; write and submit nothing.

    The jobs of a worker differ in their names and folders alone, so that one is shown.
    """
    from matscout.workflows.launch.schedulers import AllocationRequest, job_name, make_scheduler

    with existing(meant.uri) as store:
        stage, number = _next(meant, store)
        place = _place(meant, store)
    folder = worker.launch_folder / place / "allocations" / _ID
    script = make_scheduler(worker).script(AllocationRequest(name=job_name(_ID), folder=folder))
    jobs = -(-number // worker.per_allocation)
    if as_json:
        found = {
            "worker": worker.name,
            "scheduler": worker.scheduler,
            "protocol": meant.spec.protocol,
            "stage": stage,
            "calculations": number,
            "jobs": jobs,
            "jobs_at_a_time": min(jobs, worker.max_queued),
            "script": script,
        }
        print_json(found)
        return
    echo(printable(script))
    held = f", {worker.max_queued} in the queue at a time" if jobs > worker.max_queued else ""
    such = f"{jobs} such jobs, each with a name and a folder of its own" if jobs > 1 else f"{jobs} such job"
    echo(f"# {stage} of {meant.path}: {number} calculations of {meant.spec.protocol} in {such}{held}")
    echo("# nothing was submitted")


def _next(meant: Meant, store: Store | None) -> tuple[str, int]:
    """Return the stage that is next, and how many of its calculations are still to be submitted."""
    from matscout.workflows.campaign.reference_plan import plan_references
    from matscout.workflows.campaign.stages import enumerate_space, read_reference_entries

    document = None if store is None else meant.document(store)
    if store is not None and document is not None and document["stage"] != "references":
        candidates = store.collection("candidates").find({"campaign": meant.spec.id}, {"calculation_id": 1})
        ids = [one["calculation_id"] for one in candidates]
        if document["stage"] == "checks":
            ids = document["check_calculations"]
        return document["stage"], len(ids) - _settled(store, ids)
    space = enumerate_space(meant.spec)
    ids = [one.id for one in plan_references(meant.spec, space.table, read_reference_entries(meant.spec)).requests]
    left = len(ids) - (0 if store is None else _settled(store, ids))
    return ("references", left) if left else ("round 0", min(meant.spec.budget.first_batch, len(space.table)))


def _settled(store: Store, ids: Sequence[str]) -> int:
    """Count calculations that ended, or that a job has."""
    query = {"_id": {"$in": list(ids)}, "state": {"$in": [*ENDED, "running"]}}
    counted: int = store.collection("calculations").count_documents(query)
    return counted


def _place(meant: Meant, store: Store | None) -> str:
    from matscout.workflows.campaign.queued import place_of

    if store is not None:
        return place_of(store)
    return content_hash(hide_password(meant.uri) if "://" in meant.uri else str(Path(meant.uri).expanduser().resolve()))
