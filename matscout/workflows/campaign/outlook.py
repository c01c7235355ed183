"""What a campaign expects of every candidate: its energy, and P(stable, now) against the hull as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.workflows.campaign.energies import hull_energy, hull_protocol
from matscout.workflows.stability.hull import Hull
from matscout.workflows.stability.probability import probability_stable_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matscout.db.documents import CalculationResult
    from matscout.models.inputs import InputKind
    from matscout.workflows.calculations.protocols import Protocol
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space

LEAST_TO_LEARN_FROM = 10
"""Finished calculations below which no surrogate is fitted, as none could be calibrated: diversity chooses."""


@dataclass(frozen=True)
class Outlook:
    """What the surrogate and the hull say of every candidate at one moment.

    Attributes
    ----------
    mean, std
        Predicted energy, absolute, eV/atom, shape (n,); NaN where a candidate has nothing to predict it from.
    epistemic
        The part of std that more calculations would lessen; all of it where the surrogate does not tell.
    hull_energy
        Energy of the hull at each composition, absolute, eV/atom, shape (n,).
    probability
        P(stable, now), shape (n,).
    model
        Surrogate, options, features and calibration report, for the record.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    epistemic: NDArray[np.float64]
    hull_energy: NDArray[np.float64]
    probability: NDArray[np.float64]
    model: dict[str, Any]
    hull_version: str


def reference_hull(references: References) -> Hull:
    """Build the hull of the references alone."""
    return Hull(
        references.formulas,
        references.energies,
        references.ids,
        protocols=references.protocols,
        sources=references.source,
        scheme=references.scheme,
    )


def present_hull(space: Space, references: References, results: Mapping[str, CalculationResult]) -> Hull:
    """Build the hull as it stands: references and every candidate that was calculated."""
    hull = reference_hull(references)
    ids, energies = finished(references.own, results)
    if ids:
        hull.add(
            space.compositions([space.rows[i] for i in ids]),
            energies,
            [f"candidate:{i}" for i in ids],
            protocols=hull_protocol(references.own),
            sources="candidates",
        )
    return hull


def finished(protocol: Protocol, results: Mapping[str, CalculationResult]) -> tuple[list[str], list[float]]:
    """Candidates with an energy as it stands on a hull, eV/atom, in an order that is not that of their arrival."""
    ids = sorted(i for i, result in results.items() if result.outcome == "completed")
    return ids, [hull_energy(protocol, results[i]) for i in ids]


def look_ahead(
    spec: CampaignSpec, space: Space, references: References, results: Mapping[str, CalculationResult]
) -> Outlook | None:
    """Fit the surrogate on what was calculated and predict every candidate.

    Parameters
    ----------
    results
        Results of candidates, by candidate id; failed ones are not learned from.

    Returns
    -------
    The outlook, or None while there are fewer than `LEAST_TO_LEARN_FROM` finished calculations.
    """
    from matscout.models import make_surrogate

    ids, energies = finished(references.own, results)
    if len(ids) < LEAST_TO_LEARN_FROM:
        return None
    everything = space.compositions(np.arange(len(space.table)))
    baseline = _baseline(spec, references, everything)
    rows = np.array([space.rows[i] for i in ids])
    options = spec.surrogate.all_options()
    surrogate = make_surrogate(spec.surrogate.name, seed=spec.seed, **options)
    inputs, usable = space.inputs(surrogate.surrogate.takes)
    rows = rows[usable[rows]]
    target = dict(zip((space.rows[i] for i in ids), energies, strict=True))
    y = np.array([target[row] for row in rows.tolist()]) - baseline[rows]
    if len(rows) < max(LEAST_TO_LEARN_FROM, surrogate.folds) or (y == y[0]).all():
        return None
    place = np.cumsum(usable) - 1  # of a row among the usable ones
    surrogate.fit(inputs.take(place[rows]), y, groups=_held_out_together(space, rows))
    found = surrogate.predict(inputs)
    mean, std, epistemic = (_everywhere(part, usable) for part in (found.mean, found.std, found.epistemic))
    mean += baseline
    hull = present_hull(space, references, results)
    hull_energy = hull.hull_energy(everything)
    probability = probability_stable_now(mean, std, hull_energy, spec.acquisition.threshold)
    return Outlook(
        mean=mean,
        std=std,
        epistemic=std if found.epistemic is None else epistemic,
        hull_energy=hull_energy,
        probability=np.where(usable, probability, 0.0),
        model={
            "surrogate": spec.surrogate.name,
            "target": spec.surrogate.target,
            "options": options,
            **_learnt_from(space, spec, surrogate.surrogate.takes),
            "calibration": surrogate.calibration.as_dict(),
        },
        hull_version=hull.version,
    )


def _everywhere(values: NDArray[np.float64] | None, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give what was predicted of usable rows to all rows: NaN for the others."""
    out = np.full(len(usable), np.nan)
    if values is not None:
        out[usable] = values
    return out


def _learnt_from(space: Space, spec: CampaignSpec, takes: InputKind) -> dict[str, Any]:
    """Say what the surrogate sees of a candidate, for the record."""
    if takes == "features":
        return {"features": list(spec.surrogate.features), "n_features": len(space.features.names)}
    return {"features": [takes]}


def _held_out_together(space: Space, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Group the rows that cross-validation must not part: by chemical system, or by composition where there is one.

    Either way what may relax into one crystal is never both trained on and tested.
    """
    from matscout.workflows.enumeration import split_groups

    trained = space.table.take(rows)
    groups = split_groups(trained, by="chemical-system")
    return groups if groups.any() else split_groups(trained, by="composition")


def _baseline(
    spec: CampaignSpec, references: References, compositions: tuple[NDArray[np.float64], tuple[str, ...]]
) -> NDArray[np.float64]:
    """Energy that the surrogate's target is counted from, eV/atom.

    The references' hull is known at every composition before a candidate is calculated, and holds most of the energy:
    what is left to learn is the distance to it.
    """
    hull = reference_hull(references)
    if spec.surrogate.target == "hull-distance":
        return hull.hull_energy(compositions)
    return -hull.formation_energy(compositions, np.zeros(len(compositions[0])))
