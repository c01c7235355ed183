"""Scores as plain functions of arrays; NaN where one is not defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NAN = float("nan")


def checked(what: str, *columns: ArrayLike) -> list[Floats]:
    """Columns of numbers as float64 arrays of one shape (n,), n > 0.

    Raises
    ------
    ValueError
        They are of other or different shapes, or hold what is not finite.
    """
    arrays = [np.asarray(column, dtype=float) for column in columns]
    if arrays[0].ndim != 1 or not len(arrays[0]) or any(array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"{what}: expected columns of one shape (n,), n > 0, got {[array.shape for array in arrays]}")
    for number, array in enumerate(arrays):
        if not np.isfinite(array).all():
            raise ValueError(f"{what}: column {number} is not finite in row {int((~np.isfinite(array)).argmax())}")
    return arrays


def ratio(part: float, whole: float) -> float:
    """Part by whole; NaN where the whole is 0."""
    return float(part / whole) if whole else NAN


def r2(y: Floats, mean: Floats) -> float:
    """Share of the variance explained; NaN where all targets are equal."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - mean) ** 2).sum()) / spread if spread and np.ptp(y) else NAN


def roc_auc(label: NDArray[np.bool_], score: Floats) -> float:
    """Probability that a row of the class scores above one that is not, ties counting half; NaN with one class.

    Hanley, McNeil, Radiology 143, 29 (1982), doi:10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> roc_auc(np.array([True, True, False]), np.array([0.9, 0.4, 0.4]))
    0.75
    """
    from scipy.stats import rankdata
    from sklearn.metrics import roc_auc_score

    if label.all() or not label.any():
        return NAN
    return float(roc_auc_score(label, rankdata(score)))  # ranks: a score may be infinite


def average_precision(label: NDArray[np.bool_], score: Floats) -> float:
    """Area below precision over recall, as steps: mean precision at each hit, ties taken together.

    Examples
    --------
    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7])) == (1 + 2 / 3) / 2
    True
    """
    from scipy.stats import rankdata
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(label, rankdata(score))) if label.any() else NAN


def log_loss(y: Floats, probability: Floats) -> float:
    """Mean of -log of the probability given to what was true, in nat; probabilities are kept 1e-15 off 0 and 1."""
    from sklearn.metrics import log_loss as of_scikit_learn

    return float(of_scikit_learn(y, np.clip(probability, 1e-15, 1 - 1e-15), labels=[0, 1]))


def calibration_bins(y: Floats, probability: Floats, n_bins: int = 10) -> list[tuple[int, float, float]]:
    """Rows, mean probability and share of 1 in each bin of probabilities that holds a row, bins being equally wide."""
    place = np.minimum((probability * n_bins).astype(np.intp), n_bins - 1)
    counts = np.bincount(place, minlength=n_bins)
    sums = (np.bincount(place, weights=column, minlength=n_bins) for column in (probability, y))
    return [(n, float(p / n), float(s / n)) for n, p, s in zip(counts.tolist(), *sums, strict=True) if n]


def calibration_error(y: Floats, probability: Floats, n_bins: int = 10) -> float:
    """Return the expected calibration error: mean distance of probability and frequency, bins being equally wide.

    Guo et al., On calibration of modern neural networks, ICML (2017), arXiv:1706.04599.
    """
    return sum(n * abs(p - share) for n, p, share in calibration_bins(y, probability, n_bins)) / len(y)


def normal_nll(y: Floats, mean: Floats, std: Floats) -> float:
    """Mean negative log-likelihood of a normal distribution, in nat; NaN where a std is 0."""
    if not (std > 0).all():
        return NAN
    return float((0.5 * np.log(2 * np.pi * std**2) + 0.5 * ((y - mean) / std) ** 2).mean())


def normal_crps(y: Floats, mean: Floats, std: Floats) -> Floats:
    """Continuous ranked probability score of a normal distribution, in the unit of the target, shape (n,).

    The closed form of Gneiting, Raftery, J. Am. Stat. Assoc. 102, 359 (2007), doi:10.1198/016214506000001437; the
    absolute error where std is 0.

    Examples
    --------
    >>> normal_crps(np.array([0.0, 1.0]), np.zeros(2), np.array([1.0, 0.0])).round(4).tolist()
    [0.2337, 1.0]
    """
    known = std == 0
    z = (y - mean) / np.where(known, 1.0, std)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    spread = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.asarray(np.where(known, np.abs(y - mean), spread))


def distance_probability(mean: Floats, std: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Probability that a normal quantity is at most a threshold, and what ranks rows as it does, both of shape (n,).

    The second one still orders rows whose probabilities are so near to 0 or 1 that they are rounded to these.
    """
    margin = threshold - mean
    known = std == 0
    certain = np.where(margin >= 0, np.inf, -np.inf)
    z = np.where(known, certain, margin / np.where(known, 1.0, std))
    return np.asarray(ndtr(z)), z
