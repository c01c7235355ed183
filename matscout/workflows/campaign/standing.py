"""How a campaign stands, as anybody can read it from its store at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from matscout.db.documents import ENDED
from matscout.workflows.campaign.failures import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matscout.db.store import Store

State = Literal["running", "queued", "paused", "stopped", "interrupted", "finished"]


@dataclass(frozen=True)
class Standing:
    """How a campaign stands.

    Attributes
    ----------
    campaign, name
        Id and name.
    state
        ``running`` in a process now; ``queued`` on a worker's queue; ``paused`` there; ``stopped`` or ``interrupted``
        on this machine; ``finished``.
    worker
        The worker whose queue it is on.
    stage
        Where it is: references, a round, or checks.
    done, total
        Calculations of the stage that ended, and all of it. Of a round: with those of the rounds before.
    in_jobs
        Calculations that jobs, or processes of this machine, have.
    calculated
        Candidates whose calculation ended.
    failed, gave_up
        Calculations that failed, references and checks included: at once, or after all attempts.
    causes
        These by cause, the most frequent first.
    best
        Formula of the crystal nearest to the hull, known phases left out, and its distance in eV/atom.
    """

    campaign: str
    name: str
    state: State
    worker: str | None
    stage: str
    done: int
    total: int
    in_jobs: int
    calculated: int
    failed: int
    gave_up: int
    causes: dict[str, int] = field(default_factory=dict)
    best: tuple[str, float] | None = None


def read_standing(store: Store, campaign: dict[str, Any]) -> Standing:
    """Read how a campaign stands; `campaign` is its document."""
    candidates = [
        one["calculation_id"]
        for one in store.collection("candidates").find({"campaign": campaign["_id"]}, {"calculation_id": 1})
    ]
    references = list(campaign.get("reference_calculations") or ())
    checks = list(campaign.get("check_calculations") or ())
    stage = {"references": references, "checks": checks}.get(campaign["stage"], candidates)
    calculated = _count(store, candidates, ENDED)
    failures = _failures(store, [*references, *candidates, *checks])
    return Standing(
        campaign=campaign["_id"],
        name=campaign["name"],
        state=_state(store, campaign),
        worker=campaign.get("worker"),
        stage=campaign["stage"],
        done=calculated if stage is candidates else _count(store, stage, ENDED),
        total=len(set(stage)),
        in_jobs=_count(store, stage, ("running",)),
        calculated=calculated,
        failed=sum(state == "failed" for state, _ in failures),
        gave_up=sum(state == "gave_up" for state, _ in failures),
        causes=_by_number(cause for _, cause in failures),
        best=_best(store, campaign["_id"]),
    )


def _state(store: Store, campaign: dict[str, Any]) -> State:
    state: State = campaign["state"]
    if state == "finished":
        return state
    if campaign.get("worker"):
        return "paused" if campaign.get("paused") else "queued"
    return "interrupted" if state == "running" and store.holder() is None else state


def _count(store: Store, ids: list[str], states: tuple[str, ...]) -> int:
    query = {"_id": {"$in": ids}, "state": {"$in": list(states)}}
    counted: int = store.collection("calculations").count_documents(query)
    return counted


def _failures(store: Store, ids: list[str]) -> list[tuple[str, str]]:
    """State and cause of each calculation that failed."""
    query = {"_id": {"$in": ids}, "state": {"$in": list(FAILED)}}
    found = store.collection("calculations").find(query, {"state": 1, "result.cause": 1})
    return [(document["state"], document["result"]["cause"] or "unknown") for document in found]


def _by_number(causes: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(causes).items(), key=lambda item: (-item[1], item[0])))


def _best(store: Store, campaign_id: str) -> tuple[str, float] | None:
    query = {"campaign": campaign_id, "same_crystal_as": None, "known_as": None}
    order = [("e_above_hull", 1), ("decomposition_energy", 1)]
    columns = {"formula": 1, "e_above_hull": 1}
    for label in store.collection("labels").find(query, columns).sort(order).limit(1):
        return label["formula"], label["e_above_hull"]
    return None
