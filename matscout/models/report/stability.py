"""Scores of the decision that a surrogate serves: what to calculate, and what to leave.

Precision, recall and the discovery acceleration factor: Riebesell et al., A framework to evaluate machine learning
crystal stability predictions, Nat. Mach. Intell. 7, 836 (2025), doi:10.1038/s42256-025-01055-1. Good energies are not
yet good decisions: Bartel et al., npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.report import measures
from matscout.models.report.documents import Document, Number
from matscout.models.report.scores import HardScores, hard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

MISSED = (0.0, 0.05, 0.09)
"""Shares of the stable rows that may be missed, at which the saved calculations are told."""

SAME_ENERGY = 1e-9
"""eV/atom: what lies less than this above the threshold counts as stable, as in labels."""

_STEPS = 200  # places of a discovery curve


class Saved(Document):
    """Calculations that a ranking spares where some stable rows may be missed."""

    missed: float = Field(description="Share of the stable rows that may be missed")
    saved: Number = Field(description="Share of all rows that need not be calculated")
    random: Number = Field(description="The same for a random order, on average")
    perfect: Number = Field(description="The same for a ranking without a mistake")


class ProbabilityBin(Document):
    """Rows to which similar probabilities were given."""

    n: int = Field(description="Rows")
    predicted: float = Field(description="Their mean P(stable)")
    observed: float = Field(description="Share of them that is stable")


class DiscoveryCurve(Document):
    """Stable rows found, over calculations done in the order of P(stable)."""

    calculated: tuple[float, ...] = Field(description="Rows calculated so far")
    found: tuple[float, ...] = Field(description="Stable ones among them")
    random: tuple[float, ...] = Field(description="The same in random order, on average")
    random_std: tuple[float, ...] = Field(description="Standard deviation of that")


class StabilityScores(Document):
    """What comes of calculating what a surrogate calls stable."""

    threshold: float = Field(description="Distance to the hull that counts as stable, eV/atom")
    n: int = Field(description="Predictions")
    n_stable: int = Field(description="Those that are stable")
    n_called: int = Field(description="Those whose predicted distance is at most the threshold")
    prevalence: Number = Field(description="Share of the stable ones: the precision of choosing at random")
    hard: HardScores = Field(description="Of calling stable what is predicted to be at most the threshold")
    acceleration: Number = Field(description="Discovery acceleration factor: precision by prevalence")
    largest_acceleration: Number = Field(description="Largest acceleration possible: 1 by prevalence")
    f1_all_stable: Number = Field(description="F1 of calling everything stable")
    mae_distance: Number = Field(description="Mean absolute error of the distance, eV/atom")
    roc_auc: Number = Field(description="By P(stable)")
    pr_auc: Number = Field(description="Average precision by P(stable); at random it is the prevalence")
    brier: Number = Field(description="Mean square of P(stable) minus label; None without std")
    ece: Number = Field(description="Expected calibration error of P(stable), 10 bins; None without std")
    reliability: tuple[ProbabilityBin, ...] = Field(description="Bins of P(stable); empty without std")
    saved: tuple[Saved, ...] = Field(description="Calculations saved")
    discovery: DiscoveryCurve = Field(description="Stable rows found by rank")


def stability_scores(
    distance: ArrayLike, mean: ArrayLike, std: ArrayLike | None = None, *, threshold: float = 0.0
) -> StabilityScores:
    """Score predicted distances to the hull by the decisions that follow from them.

    Parameters
    ----------
    distance
        True distance to the hull in eV/atom, shape (n,); negative below it.
    mean
        Predicted distance in eV/atom, shape (n,).
    std
        Its standard deviation in eV/atom, shape (n,). Rows are then ranked by P(stable), else by the predicted
        distance.
    threshold
        Distance that still counts as stable, in eV/atom.

    Raises
    ------
    UserError
        A std is negative.
    ValueError
        Shapes do not match, there is no row, or a value is not finite.

    Examples
    --------
    >>> scores = stability_scores([-0.1, 0.0, 0.2, 0.3], [-0.2, 0.1, -0.1, 0.4])
    >>> scores.hard.precision, scores.prevalence, scores.acceleration
    (0.5, 0.5, 1.0)
    """
    true, predicted = measures.checked("stability scores", distance, mean)
    spread = np.zeros_like(true) if std is None else measures.checked("stability scores", mean, std)[1]
    if spread.min() < 0:
        raise UserError(f"a standard deviation must not be negative, got {spread.min():g} eV/atom")
    stable, called = true <= threshold + SAME_ENERGY, predicted <= threshold + SAME_ENERGY
    probability, rank = measures.distance_probability(predicted, spread, threshold + SAME_ENERGY)
    score = -predicted if std is None else _finite(rank, predicted)
    prevalence = float(stable.mean())
    hard = hard_scores(stable, called)
    label = stable.astype(np.float64)
    bins = [] if std is None else measures.calibration_bins(label, probability)
    return StabilityScores(
        threshold=threshold,
        n=len(true),
        n_stable=int(stable.sum()),
        n_called=int(called.sum()),
        prevalence=prevalence,
        hard=hard,
        acceleration=measures.NAN if hard.precision is None else measures.ratio(hard.precision, prevalence),
        largest_acceleration=measures.ratio(1.0, prevalence),
        f1_all_stable=measures.ratio(2 * prevalence, 1 + prevalence) if prevalence else measures.NAN,
        mae_distance=float(np.abs(predicted - true).mean()),
        roc_auc=measures.roc_auc(stable, score),
        pr_auc=measures.average_precision(stable, score),
        brier=measures.NAN if std is None else float(((probability - label) ** 2).mean()),
        ece=measures.NAN if std is None else measures.calibration_error(label, probability),
        reliability=tuple(ProbabilityBin(n=n, predicted=p, observed=s) for n, p, s in bins),
        saved=calculations_saved(stable, score),
        discovery=discovery_curve(stable, score),
    )


def calculations_saved(
    stable: NDArray[np.bool_], score: NDArray[np.float64], missed: Sequence[float] = MISSED
) -> tuple[Saved, ...]:
    """Share of rows that need not be calculated where at most some share of the stable ones may be missed.

    Rows are calculated in the order of their score until no more stable ones are left than may be missed; rows of one
    score are calculated together. In random order the j-th of m stable rows among n is met after j (n + 1) / (m + 1)
    calculations on average. How much a surrogate so spares was asked by Schmidt et al., Chem. Mater. 29, 5090 (2017),
    doi:10.1021/acs.chemmater.7b00156.

    Parameters
    ----------
    stable
        Shape (n,).
    score
        The higher, the sooner calculated, shape (n,).
    missed
        Shares of the stable rows.

    Examples
    --------
    >>> stable = np.array([True, False, True, False, False])
    >>> [round(one.saved, 2) for one in calculations_saved(stable, np.array([5.0, 4, 3, 2, 1]), [0.0, 0.5])]
    [0.4, 0.8]
    """
    n, n_stable = len(stable), int(stable.sum())
    hits = np.sort(score[stable])[::-1]
    found = []
    for share in missed:
        needed = n_stable - int(np.floor(share * n_stable + 1e-9))
        if not n_stable:
            found.append(Saved(missed=share, saved=None, random=None, perfect=None))
            continue
        calculated = int((score >= hits[needed - 1]).sum()) if needed else 0
        found.append(
            Saved(
                missed=share,
                saved=1 - calculated / n,
                random=1 - needed * (n + 1) / ((n_stable + 1) * n),
                perfect=1 - needed / n,
            )
        )
    return tuple(found)


def discovery_curve(stable: NDArray[np.bool_], score: NDArray[np.float64]) -> DiscoveryCurve:
    """Stable rows found over calculations done, and what a random order finds: a hypergeometric distribution.

    Among rows of one score the stable ones are spread evenly.
    """
    n, n_stable = len(stable), int(stable.sum())
    values, run = np.unique(-score, return_inverse=True)
    ends = np.cumsum(np.bincount(run, minlength=len(values)))
    hits = np.cumsum(np.bincount(run, weights=stable, minlength=len(values)))
    calculated = np.unique(np.linspace(0, n, min(n, _STEPS) + 1).round())
    found = np.interp(calculated, np.append(0, ends), np.append(0, hits))
    share = n_stable / n
    variance = calculated * share * (1 - share) * (n - calculated) / max(n - 1, 1)
    return DiscoveryCurve(
        calculated=tuple(calculated.tolist()),
        found=tuple(found.tolist()),
        random=tuple((calculated * share).tolist()),
        random_std=tuple(np.sqrt(variance).tolist()),
    )


def _finite(rank: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Order of P(stable), rows that are certain by their distance, as places from 0 upwards; equal rows share one."""
    if np.isfinite(rank).all():
        return rank
    pairs = np.stack([rank, np.where(np.isinf(rank), -predicted, 0.0)], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].ravel().astype(np.float64)
