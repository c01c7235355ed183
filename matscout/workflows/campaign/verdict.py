"""The last stages of a round: label what was calculated, decide whether to go on, sum up."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import Found, Label, Summary
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.campaign.stages import look_ahead, present_hull

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matscout.db.documents import CalculationResult, Selection
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space

_LABEL_PACKAGES = ("matscout", "pymatgen", "numpy", "scipy")


def label(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
) -> list[Label]:
    """Say where every finished candidate stands relative to the hull of references and candidates.

    Returns
    -------
    Labels, nearest to the hull first, then by decomposition energy.
    """
    hull = present_hull(space, references, results)
    chosen = {p.candidate_id: (s.round, p) for s in selections for p in s.chosen}
    ids = sorted(i for i, result in results.items() if result.outcome == "finished")
    if not ids:
        return []
    compositions = space.compositions([space.rows[i] for i in ids])
    energies = np.array([results[i].energy_per_atom for i in ids], dtype=float)
    distances = np.maximum(hull.e_above_hull(compositions, energies), 0.0)
    formation = hull.formation_energy(compositions, energies)
    own = dict(zip(hull.ids, hull.decomposition_energy().tolist(), strict=True))
    same = _same_crystals(space, ids, results, energies)
    versions = {package: version(package) for package in _LABEL_PACKAGES}
    protocol = get_protocol(spec.protocol)
    labels = []
    for n, candidate_id in enumerate(ids):
        row = space.rows[candidate_id]
        formula, system = space.table.formulas[row], space.table.chemical_systems[row]
        round_number, prediction = chosen.get(candidate_id, (-1, None))
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
                decomposition=_phases(hull.decompose(formula), space),
                within_threshold=bool(distances[n] <= spec.acquisition.threshold),
                prototype_kept=results[candidate_id].prototype_kept,
                same_crystal_as=same.get(candidate_id),
                known_as=_known_as(formula, results[candidate_id], references),
                hull_version=hull.version,
                competitors={str(k): v for k, v in hull.completeness(system).items()},
                protocol=protocol.name,
                protocol_id=protocol.id,
                correction=references.report.get("correction", "none"),
                versions=versions,
                probability_before=prediction.probability if prediction else None,
            )
        )
    return sorted(labels, key=lambda x: (x.e_above_hull, x.decomposition_energy, x.candidate_id))


def _phases(fractions: Mapping[Any, float], space: Space) -> dict[str, float]:
    """Name the phases of a decomposition by formula; candidates are told from references by their prototype."""
    phases: dict[str, float] = {}
    for phase, fraction in fractions.items():
        name = str(phase)
        if name.startswith("candidate:"):
            row = space.rows[name.removeprefix("candidate:")]
            name = f"{space.table.formulas[row]} (candidate)"
        else:
            name = name.split(":", 1)[0]
        phases[name] = phases.get(name, 0.0) + float(fraction)
    return dict(sorted(phases.items()))


def _same_crystals(
    space: Space, ids: Sequence[str], results: Mapping[str, CalculationResult], energies: np.ndarray
) -> dict[str, str]:
    """Name, for each candidate that relaxed into the crystal of another one, the lowest of them."""
    from matscout.workflows.stability.crystals import group_crystals

    formulas = [space.table.formulas[space.rows[i]] for i in ids]
    shared = {f for f in formulas if formulas.count(f) > 1}
    members = [n for n, formula in enumerate(formulas) if formula in shared]
    geometries = [results[ids[n]].geometry for n in members]
    groups = group_crystals([geometry.to_structure() for geometry in geometries if geometry is not None])
    same: dict[str, str] = {}
    for group in np.unique(groups):
        equal = [members[k] for k in np.flatnonzero(groups == group)]
        lowest = min(equal, key=lambda n: (energies[n], ids[n]))
        same |= {ids[n]: ids[lowest] for n in equal if n != lowest}
    return same


def _known_as(formula: str, result: CalculationResult, references: References) -> str | None:
    """Return the reference that is the same crystal, so that a known phase is never called a discovery."""
    from matscout.workflows.stability.crystals import match_known

    known = [entry for entry in references.crystals if entry.composition.reduced_formula == formula]
    return match_known(result.geometry.to_structure(), known) if known and result.geometry else None


def is_found(x: Label) -> bool:
    """Whether a label counts as found: near the hull, a crystal of its own, and not known before."""
    return x.within_threshold and x.same_crystal_as is None and x.known_as is None


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
    if len(results) >= spec.budget.calculations:
        return f"the budget of {spec.budget.calculations} calculations is used; {left} candidates are left"
    barren = spec.stop.barren_rounds
    if barren is not None and len(selections) > barren:
        last = {selection.round for selection in selections[-barren:]}
        if not any(is_found(x) and x.round in last for x in labels):
            return f"{barren} rounds found nothing; {left} candidates are left"
    expected = selections[-1].expected_stable_left if selections else None
    if spec.stop.expected_left is not None and expected is not None and expected < spec.stop.expected_left:
        return f"{expected:.2f} stable candidates are expected among the {left} left"
    return None


def summarise(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    selections: Sequence[Selection],
    stopped: str,
) -> Summary:
    """Sum a campaign up: labels, failures, and the count beside what random choice would have found.

    Parameters
    ----------
    results
        Results of candidates by id. Those that no selection chose (an exhaustive run's) shape the hull and the count
        of what there is to find, and are not counted as found.
    stopped
        Which stop rule held.
    """
    labels = label(spec, space, references, results, selections)
    failures = tuple(
        {
            "candidate_id": i,
            "formula": results[i].formula,
            "cause": results[i].cause,
            "message": results[i].message,
            "calculation_id": results[i].id,
        }
        for i in sorted(results)
        if results[i].outcome == "failed"
    )
    return Summary(
        campaign=spec.id,
        stopped=stopped,
        found=_found(spec, space, references, results, selections, labels),
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
    from matscout.workflows.stability.enrichment import ceiling, enrichment, random_search

    probabilities = {p.candidate_id: p.probability for s in selections for p in s.chosen if p.candidate_id in results}
    found = {x.candidate_id for x in labels if is_found(x)}
    by_probability = {i: p for i, p in probabilities.items() if p is not None}
    promised, kept = sum(by_probability.values()), len(found & by_probability.keys())
    n_candidates, n_drawn, n_found = len(space.table), len(probabilities), len(found & probabilities.keys())
    exact = len(results) == n_candidates
    left = 0.0 if exact else _expected_left(spec, space, references, results)
    n_stable = len(found) + min(left * (kept + 1) / (promised + 1), n_candidates - len(results))
    expected = random_search(n_candidates, n_stable, n_drawn)
    return Found(
        n_candidates=n_candidates,
        n_calculated=n_drawn,
        n_failed=sum(results[i].outcome == "failed" for i in probabilities),
        n_found=n_found,
        n_known=sum(x.within_threshold and x.known_as is not None for x in labels),
        n_stable=n_stable,
        promised=promised,
        kept=kept,
        exact=exact,
        random_mean=expected.mean,
        random_low=expected.low,
        random_high=expected.high,
        enrichment=_or_none(enrichment(n_found, n_candidates, n_stable, n_drawn)),
        ceiling=_or_none(ceiling(n_candidates, n_stable, n_drawn)),
    )


def _or_none(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON does not know."""
    return None if np.isnan(value) else value


def _expected_left(
    spec: CampaignSpec, space: Space, references: References, results: Mapping[str, CalculationResult]
) -> float:
    """Sum P(stable, now) over what was not calculated.

    Where the threshold is far below the surrogate's error this is too many: the caller scales it by what came of the
    candidates chosen so far, which nothing was fitted to.
    """
    outlook = look_ahead(spec, space, references, results)
    if outlook is None:
        return 0.0
    left = np.ones(len(space.table), dtype=bool)
    left[[space.rows[i] for i in results]] = False
    return float(outlook.probability[left].sum())


def top(labels: Sequence[Label], n: int) -> list[Label]:
    """Return the first n labels that are crystals of their own."""
    return [x for x in labels if x.same_crystal_as is None][:n]
