"""The last stages of a round: label what was calculated, decide whether to go on, sum up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.labels import Found, Label, Summary
from matscout.workflows.campaign.checks import check_requests, count, with_checks
from matscout.workflows.campaign.outlook import finished, look_ahead, present_hull
from matscout.workflows.stability.schemes import get_scheme
from matscout.workflows.stability.versions import label_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matscout.db.documents import CalculationResult, CandidatePrediction, Selection
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space


def label(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
) -> list[Label]:
    """Say where every completed candidate stands relative to the hull of references and candidates.

    Returns
    -------
    Labels, nearest to the hull first, then by decomposition energy.
    """
    hull = present_hull(space, references, results)
    chosen = {p.candidate_id: (s.round, p) for s in selections for p in s.chosen}
    ids, energies = finished(references.own, results)
    if not ids:
        return []
    compositions = space.compositions([space.rows[i] for i in ids])
    distances = np.maximum(hull.e_above_hull(compositions, energies), 0.0)
    formation = hull.formation_energy(compositions, energies)
    decompositions = hull.decompose_all(compositions)
    own = dict(zip(hull.ids, hull.decomposition_energy().tolist(), strict=True))
    same = _same_crystals(space, ids, results, chosen)
    versions, protocols = label_versions(), list(hull.protocols)
    protocol = references.own
    # Energies of changed settings are corrected alike, and stand on a hull by themselves, which joins nothing.
    scheme = get_scheme(protocol.corrections if hull.scheme == "none" else hull.scheme)
    labels = []
    rows = [space.rows[candidate_id] for candidate_id in ids]
    names = zip(ids, rows, space.table.formulas_at(rows), space.table.chemical_systems_at(rows), strict=True)
    for n, (candidate_id, row, formula, system) in enumerate(names):
        round_number, prediction = chosen.get(candidate_id, (None, None))
        complete = hull.completeness(system, without=[f"candidate:{candidate_id}"])
        labels.append(
            Label(
                candidate_id=candidate_id,
                calculation_id=results[candidate_id].id,
                formula=formula,
                prototype=space.table.prototypes[space.table.prototype_index[row]].name,
                round=round_number,
                formation_energy=float(formation[n]),
                e_above_hull=float(distances[n]),
                decomposition_energy=own[f"candidate:{candidate_id}"],
                decomposition=_phases(decompositions[n], space),
                within_threshold=bool(distances[n] <= spec.acquisition.threshold),
                prototype_kept=results[candidate_id].prototype_kept,
                same_crystal_as=same.get(candidate_id),
                known_as=references.known.match(_crystal(results[candidate_id])),
                hull_version=hull.version,
                competitors={str(size): n for size, n in complete.by_size.items()},
                competing_systems={"-".join(inside): n for inside, n in complete.by_system.items()},
                competitor_sources=dict(complete.by_source),
                judged_against=str(complete),
                protocol=protocol.name,
                protocol_id=protocol.id,
                correction=scheme.name,
                correction_version=scheme.version,
                hull_protocols=protocols,
                versions=versions,
                probability_before=prediction.probability if prediction else None,
            )
        )
    return sorted(labels, key=lambda x: (x.e_above_hull, x.decomposition_energy, x.candidate_id))


def _phases(fractions: Mapping[Any, float], space: Space) -> dict[str, float]:
    """Name the phases of a decomposition by formula, and say which of them are candidates."""
    phases: dict[str, float] = {}
    for phase, fraction in fractions.items():
        name = str(phase)
        if name.startswith("candidate:"):
            row = space.rows[name.removeprefix("candidate:")]
            name = f"{space.table.formulas_at([row])[0]} (candidate)"
        else:
            name = name.split(":", 1)[0]
        phases[name] = phases.get(name, 0.0) + float(fraction)
    return dict(sorted(phases.items()))


def _same_crystals(
    space: Space,
    ids: Sequence[str],
    results: Mapping[str, CalculationResult],
    chosen: Mapping[str, tuple[int, CandidatePrediction]],
) -> dict[str, str]:
    """Name, for each candidate that relaxed into the crystal of another one, the first of them that was chosen.

    The first, and not the lowest: their energies differ by less than a relaxation's error, and a search keeps the
    credit for what it found first.
    """
    from matscout.workflows.stability.crystals import group_crystals

    formulas = space.table.formulas_at([space.rows[i] for i in ids])
    counts = Counter(formulas)
    members = [i for i, formula in zip(ids, formulas, strict=True) if counts[formula] > 1]
    groups = group_crystals([_crystal(results[i]) for i in members])

    def order(i: str) -> tuple[float, int, str]:
        return (chosen[i][0], chosen[i][1].rank, i) if i in chosen else (np.inf, 0, i)

    same: dict[str, str] = {}
    for group in np.unique(groups):
        equal = sorted((members[k] for k in np.flatnonzero(groups == group)), key=order)
        same |= dict.fromkeys(equal[1:], equal[0])
    return same


def _crystal(result: CalculationResult) -> Structure:
    assert result.geometry is not None, "a completed calculation has a geometry"
    return result.geometry.to_structure()


def is_found(x: Label) -> bool:
    """Whether a label counts as found: near the hull, a crystal of its own, and not known before."""
    return _is_hit(x) and x.same_crystal_as is None


def _is_hit(x: Label) -> bool:
    """Whether a candidate led to a find, itself or by becoming the crystal of one that is counted."""
    return x.within_threshold and x.known_as is None


def decide(
    spec: CampaignSpec,
    space: Space,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
    labels: Sequence[Label],
) -> str | None:
    """Say which stop rule holds after a round, or None to go on.

    Parameters
    ----------
    results
        Results of candidates, by candidate id, failed ones included.
    selections, labels
        What was chosen so far, and where it stands.
    """
    left = len(space.table) - len(results)
    if left == 0:
        return "every candidate was calculated"
    if selections and not selections[-1].chosen:
        return f"every crystal was calculated; {left} candidates are the same crystals by other prototypes"
    if len(results) >= spec.budget.calculations:
        beyond = f" ({len(results)} are done)" if len(results) > spec.budget.calculations else ""
        return f"the budget of {spec.budget.calculations} calculations is used{beyond}; {left} candidates are left"
    barren = spec.stop.barren_rounds
    if barren is not None and len(selections) > barren:
        last = {selection.round for selection in selections[-barren:]}
        if not any(is_found(x) and x.round in last for x in labels):
            return f"{barren} rounds found nothing; {left} candidates are left"
    limit, expected = spec.stop.expected_left, selections[-1].expected_stable_left if selections else None
    if limit is not None and expected is not None:
        expected *= _trust(selections, results, labels)
        if expected < limit:
            return f"about {expected:.2f} are still to be found among the {left} candidates left"
    return None


def summarise(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
    stopped: str,
    checks: Mapping[str, CalculationResult] | None = None,
) -> Summary:
    """Sum a campaign up: labels, failures, and the count beside what random choice would have found.

    Parameters
    ----------
    results
        Results of candidates by id. Those that no selection chose (an exhaustive run's) shape the hull and the count
        of what there is to find, and are not counted as found.
    stopped
        Which stop rule held.
    checks
        Results of the checks of what was found, by calculation id.
    """
    labels = label(spec, space, references, results, selections)
    requests = check_requests(spec, filter(is_found, labels), results)
    labels = with_checks(labels, requests, results, checks or {})
    failures = tuple(
        {
            "candidate_id": i,
            "formula": results[i].formula,
            "cause": results[i].cause,
            "outcome": results[i].outcome,
            "message": results[i].message,
            "calculation_id": results[i].id,
        }
        for i in sorted(results)
        if results[i].outcome != "completed"
    )
    return Summary(
        campaign=spec.id,
        stopped=stopped,
        found=_found(spec, space, references, results, selections, labels),
        checked=count(filter(is_found, labels)) if spec.checks else None,
        labels=tuple(labels),
        failures=failures,
        references=references.report,
    )


def _found(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
    labels: Sequence[Label],
) -> Found:
    """Count what the selections found; candidates, not crystals, are what random choice would have drawn."""
    chosen = {p.candidate_id for s in selections for p in s.chosen if p.candidate_id in results}
    hits = {x.candidate_id for x in labels if _is_hit(x)}
    n_candidates, n_drawn, n_hits = len(space.table), len(chosen), len(hits & chosen)
    exact = len(results) == n_candidates
    promised, kept = _promised_and_kept(selections, results, labels)
    n_stable: float | None = len(hits)
    if not exact:
        left = _expected_left(spec, space, references, results)
        most = n_candidates - len(results)
        n_stable = None if left is None else len(hits) + min(left * _trust(selections, results, labels), most)
    return Found(
        n_candidates=n_candidates,
        n_calculated=n_drawn,
        n_failed=sum(results[i].outcome != "completed" for i in chosen),
        n_found=sum(is_found(x) and x.candidate_id in chosen for x in labels),
        n_hits=n_hits,
        n_known=len({x.known_as for x in labels if x.within_threshold and x.known_as and x.candidate_id in chosen}),
        exact=exact,
        n_stable=n_stable,
        promised=promised,
        kept=kept,
        **_compared(n_candidates, n_stable, n_drawn, n_hits),
    )


def _compared(n_candidates: int, n_stable: float | None, n_drawn: int, n_hits: int) -> dict[str, float | None]:
    """Set the hits against random choice of as many candidates."""
    from matscout.workflows.stability.enrichment import ceiling, enrichment, random_search

    if n_stable is None:
        return dict.fromkeys(("random_mean", "random_low", "random_high", "enrichment", "ceiling"))
    expected = random_search(n_candidates, n_stable, n_drawn)
    return {
        "random_mean": expected.mean,
        "random_low": expected.low,
        "random_high": expected.high,
        "enrichment": _or_none(enrichment(n_hits, n_candidates, n_stable, n_drawn)),
        "ceiling": _or_none(ceiling(n_candidates, n_stable, n_drawn)),
    }


def _or_none(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON does not know."""
    return None if np.isnan(value) else value


def _promised_and_kept(
    selections: Sequence[Selection], results: Mapping[str, CalculationResult], labels: Sequence[Label]
) -> tuple[float, int]:
    """Sum P(stable, now) of the candidates that were chosen with one, and count those within the threshold now."""
    near = {x.candidate_id for x in labels if x.within_threshold}
    chosen = [p for s in selections for p in s.chosen if p.candidate_id in results and p.probability is not None]
    return sum(p.probability or 0.0 for p in chosen), sum(p.candidate_id in near for p in chosen)


def _trust(selections: Sequence[Selection], results: Mapping[str, CalculationResult], labels: Sequence[Label]) -> float:
    """Return the hits per promised one, among candidates that no surrogate had learned from when they were chosen.

    Where the threshold is far below the surrogate's error a normal distribution promises too many, and candidates that
    become known phases are promised too. One success in one trial is added, so that a short campaign is not damned.
    """
    promised, _ = _promised_and_kept(selections, results, labels)
    by_probability = {p.candidate_id for s in selections for p in s.chosen if p.probability is not None}
    hits = sum(_is_hit(x) and x.candidate_id in by_probability for x in labels)
    return (hits + 1) / (promised + 1)


def _expected_left(
    spec: CampaignSpec, space: Space, references: References, results: Mapping[str, CalculationResult]
) -> float | None:
    """Sum P(stable, now) over what was not calculated; None where there is too little to learn from."""
    outlook = look_ahead(spec, space, references, results)
    if outlook is None:
        return None
    left = np.ones(len(space.table), dtype=bool)
    left[[space.rows[i] for i in results]] = False
    return float(outlook.probability[left].sum())


def top(labels: Sequence[Label], n: int) -> list[Label]:
    """Return the first n labels that are crystals of their own."""
    return [x for x in labels if x.same_crystal_as is None][:n]
