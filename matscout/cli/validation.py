"""`matscout validate`: what a campaign would do, without doing it."""

from __future__ import annotations

from collections import Counter
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from typer import echo

from matscout.cli.context import load_campaign, store_uri
from matscout.cli.output import duration, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.db.documents import CalculationRequest
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.spec import CampaignSpec


_PROTOTYPES_SHOWN = 12


def print_schema() -> None:
    """Print the JSON schema of campaign files."""
    from matscout.workflows.campaign.spec import CampaignSpec

    print_json(CampaignSpec.model_json_schema())


def validate(file: Path | None, references: Path | None, store: str | None, *, as_json: bool) -> None:
    """Check a campaign and print its counts and an estimate of its cost."""
    from matscout.settings import get_settings
    from matscout.workflows.campaign.reference_plan import plan_references
    from matscout.workflows.campaign.stages import enumerate_space, read_reference_entries

    path, spec = load_campaign(file, references)
    space = enumerate_space(spec)
    plan = plan_references(spec, space.table, read_reference_entries(spec))
    timing = _measured(store_uri(store, (path, spec)), spec, plan.requests)
    n_candidates = min(spec.budget.calculations, len(space.table))
    sites = float(np.mean([space.table.prototypes[p].n_sites for p in space.table.prototype_index]))
    seconds = sum(timing.seconds(len(r.geometry.species)) for r in plan.requests if r.id not in timing.done)
    seconds += n_candidates * timing.seconds(sites)
    workers = get_settings().workers
    content: dict[str, Any] = {
        "campaign": spec.id,
        "decorations": dict(space.counts),
        "filters": [
            {"name": f.name, "before": f.before, "removed": f.removed, "unknown": f.unknown}
            for f in space.table.filter_counts
        ],
        "n_candidates": len(space.table),
        "budget": spec.budget.calculations,
        "references": plan.counts | {"calculations": len(plan.requests), "in store": len(timing.done)},
        "core_seconds": round(seconds),
        "wall_seconds": round(seconds / workers),
        "workers": workers,
        "cost_from": timing.source,
    }
    if as_json:
        print_json(content | {"reference_calculations": [request.subject for request in plan.requests]})
        return
    _print(spec, content, plan)


def _print(spec: CampaignSpec, content: dict[str, Any], plan: ReferencePlan) -> None:
    echo(f"{content['campaign']} is valid")
    total = sum(content["decorations"].values())
    echo(f"space        {total:,} decorations of {', '.join(spec.space.prototype_names)}")
    _print_counts(content["decorations"])
    for one in content["filters"]:
        unknown = f", cannot judge {one['unknown']}" if one["unknown"] else ""
        echo(f"             {one['name']} removes {one['removed']}{unknown}")
    echo(f"             {content['n_candidates']} candidates")
    share = min(1.0, spec.budget.calculations / content["n_candidates"])
    echo(f"budget       {spec.budget.calculations} calculations, {share:.1%} of the space")
    in_store = content["references"]["in store"]
    echo(f"references   {plan.description}" + (f" ({in_store} in the store already)" if in_store else ""))
    counts = Counter(request.subject.split(":")[1] for request in plan.requests)
    listed = ", ".join(formula if n == 1 else f"{formula} {n}" for formula, n in counts.items())
    echo(fill(listed, width=100, initial_indent=" " * 13, subsequent_indent=" " * 13))
    echo(
        f"cost         about {duration(content['core_seconds'])} of one core, {duration(content['wall_seconds'])} with "
        f"{content['workers']} workers ({content['cost_from']})"
    )
    if spec.checks:
        echo(f"checks       {', '.join(spec.checks)} of each crystal found, beside that cost")


def _print_counts(counts: dict[str, int]) -> None:
    """Print how many decorations each prototype has, the most first, where there are several."""
    if len(counts) < 2:
        return
    ordered = sorted((pair for pair in counts.items() if pair[1]), key=lambda pair: -pair[1])
    listed = ", ".join(f"{name} {count:,}" for name, count in ordered[:_PROTOTYPES_SHOWN])
    rest, without = len(ordered) - _PROTOTYPES_SHOWN, len(counts) - len(ordered)
    more = f" and {rest} more (all with --json)" if rest > 0 else ""
    none = f"; none of {without} more, or only crystals that stand under another name" if without else ""
    text = fill(listed + more + none, 100, initial_indent=" " * 13, subsequent_indent=" " * 13, break_on_hyphens=False)
    echo(text)


class _Timing:
    """Seconds of a calculation by its number of sites, and which calculations are done already."""

    def __init__(self, per_site: float, source: str, done: frozenset[str]) -> None:
        self.per_site = per_site
        self.source = source
        self.done = done

    def seconds(self, n_sites: float) -> float:
        return self.per_site * n_sites


def _measured(uri: str, spec: CampaignSpec, requests: tuple[CalculationRequest, ...]) -> _Timing:
    """Take times from the store where it has some of this protocol, else the protocol's own estimate."""
    from matscout.db.documents import ENDED
    from matscout.db.store import connect
    from matscout.errors import NoStoreError

    protocol = spec.full_protocol()
    rough = _Timing(protocol.seconds_per_site, "a rough estimate: the store has no times yet", frozenset())
    try:
        opened = connect(uri, read_only=True, must_exist=True)
    except NoStoreError:
        return rough
    with opened as store:
        calculations = store.collection("calculations")
        query = {"request.protocol_id": protocol.id, "state": "completed"}
        found = list(calculations.find(query, {"result.seconds": 1, "request.geometry.species": 1}).limit(500))
        ended = {"_id": {"$in": [r.id for r in requests]}, "state": {"$in": list(ENDED)}}
        done = frozenset(document["_id"] for document in calculations.find(ended, {"_id": 1}))
    if not found:
        return rough
    times = [x["result"]["seconds"] / len(x["request"]["geometry"]["species"]) for x in found]
    return _Timing(median(times), f"median of {len(times)} calculations in the store", done)
