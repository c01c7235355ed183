"""What a person may do to a campaign on a queue: hold it, let it go, move it, cancel its jobs, try failures again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matscout.db.documents import now
from matscout.workflows.campaign.failures import Wanted, failures_of
from matscout.workflows.launch.attempts import Attempts
from matscout.workflows.launch.ledger import LIVE, Ledger

if TYPE_CHECKING:
    from matscout.db.store import Store
    from matscout.workflows.launch.queue import Queue


@dataclass(frozen=True)
class Cancelled:
    """What `cancel` did.

    Attributes
    ----------
    jobs
        Jobs that were cancelled.
    left
        Workers that the file of workers does not have, each with how many jobs were left there.
    shared
        Jobs that were left, as they hold calculations of other campaigns, too.
    unknown
        Jobs that were left, as their number is not known yet: the process that submitted them was killed.
    """

    jobs: int = 0
    left: dict[str, int] = field(default_factory=dict)
    shared: int = 0
    unknown: int = 0


def calculations_of(store: Store, campaign: dict[str, Any]) -> list[str]:
    """Return the ids of a campaign's calculations: of its references, of chosen candidates, and of checks."""
    chosen = store.collection("candidates").find({"campaign": campaign["_id"]}, {"calculation_id": 1})
    own = [*campaign.get("reference_calculations", ()), *(one["calculation_id"] for one in chosen)]
    return list(dict.fromkeys([*own, *campaign.get("check_calculations", ())]))


def hold_back(store: Store) -> tuple[int, int]:
    """Hold back what paused campaigns need and no other on a queue does, and let all else go that is held back.

    Campaigns of a store share calculations: above all references.

    Returns
    -------
    How many calculations are held back now that were not before, and how many may be submitted again.
    """
    columns = {"reference_calculations": 1, "check_calculations": 1, "paused": 1}
    on_queues = {"worker": {"$ne": None}, "state": {"$ne": "finished"}}
    campaigns = list(store.collection("campaigns").find(on_queues, columns))
    held: set[str] = set()
    if paused := [one for one in campaigns if one.get("paused")]:
        held.update(*(calculations_of(store, one) for one in paused))
        held.difference_update(*(calculations_of(store, one) for one in campaigns if not one.get("paused")))
    ledger = Ledger(store)
    free = ledger.hold([one for one in ledger.ids_in(("PAUSED",)) if one not in held], held=False)
    return ledger.hold(sorted(held), held=True), free


def pause(store: Store, campaign: dict[str, Any]) -> int:
    """Submit nothing more of a campaign; what is in the queue goes on. Return how many calculations are held back."""
    _set(store, campaign, paused=True)
    return hold_back(store)[0]


def resume(store: Store, campaign: dict[str, Any]) -> int:
    """Let a campaign go on; return how many calculations may be submitted again."""
    _set(store, campaign, paused=False)
    return hold_back(store)[1]


def cancel(queue: Queue, campaign: dict[str, Any]) -> Cancelled:
    """Pause a campaign, and cancel its jobs; what these had finished is taken in by the next step.

    Raises
    ------
    SchedulerDownError
        The scheduler does not answer: the campaign is paused, its jobs go on.
    """
    pause(queue.store, campaign)
    own = set(calculations_of(queue.store, campaign))
    mine = [record for record in queue.allocations.open() if own & set(record.calculations)]
    alone = [record for record in mine if set(record.calculations) <= own]
    known = [record for record in alone if record.job_id]
    cancelled = {record.id for record in queue.cancel(known)}
    return Cancelled(
        jobs=len(cancelled),
        left=dict(Counter(record.worker for record in known if record.id not in cancelled)),
        shared=len(mine) - len(alone),
        unknown=len(alone) - len(known),
    )


def move(store: Store, campaign: dict[str, Any], worker: str) -> int:
    """Give a campaign to another worker; return how many calculations go there.

    Those that a job has stay with it; where one breaks off it starts again on the worker it was on.
    """
    moved = Ledger(store).move(calculations_of(store, campaign), worker)
    _set(store, campaign, worker=worker)
    return moved


def take_back(store: Store, campaign: dict[str, Any]) -> int:
    """Take a campaign from its queue, so that it runs on this machine; return how many of its calculations are in jobs.

    Where that is any, nothing was changed: their results would get lost.
    """
    own = set(calculations_of(store, campaign))
    ledger = Ledger(store)
    in_jobs = len(own.intersection(ledger.ids_in(LIVE)))
    if in_jobs:
        return in_jobs
    on_queues = {"_id": {"$ne": campaign["_id"]}, "worker": {"$ne": None}}
    columns = {"reference_calculations": 1, "check_calculations": 1}
    others = store.collection("campaigns").find(on_queues, columns)
    shared = {one for other in others for one in calculations_of(store, other)}
    ledger.drop(sorted(own - shared))
    _set(store, campaign, worker=None, paused=False, awaiting=[])
    hold_back(store)
    return 0


def rerun(store: Store, campaign: dict[str, Any], wanted: Wanted | None = None) -> list[str]:
    """Let failed calculations start again, their earlier attempts forgiven; return their ids.

    Parameters
    ----------
    wanted
        Which are meant; all failed ones of the campaign if None.

    Raises
    ------
    UserError
        As from `failures_of`.
    """
    chosen = [one.calculation_id for one in failures_of(store, calculations_of(store, campaign), wanted)]
    attempts, ledger = Attempts(store), Ledger(store)
    on_queue = ledger.known(chosen)
    with store.transaction():
        for one in chosen:
            attempts.again(one)
        ledger.release([one for one in chosen if one in on_queue])
        if chosen:
            _set(store, campaign, state="stopped", awaiting=[])
    return chosen


def _set(store: Store, campaign: dict[str, Any], **fields: Any) -> None:
    store.collection("campaigns").update_one({"_id": campaign["_id"]}, {"$set": {**fields, "updated": now()}})
