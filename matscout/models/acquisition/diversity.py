"""Methods that weigh scores against distances, on a shortlist.

Each takes the scores of the m rows of a shortlist, highest first, and the standardised features of these and, behind
them, of rows that are pending; and returns the numbers of the rows chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.selection.farthest import farthest_points
from matscout.featurizers.selection.scale import Scale, as_matrix, one_thread
from matscout.models.options import check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

OF_ROWS = ("mean", "std")
"""Options that are given for each row."""

SAMPLE = 500
"""Rows of the highest scores from which typical distances and slopes are told."""

NEARLY_EQUAL = 1e-10
"""Share of a row's variance below which others leave nothing of it."""


def standardised(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Features with means of 0 and standard deviations of 1, shape (m, n_features); 0 where unknown or constant."""
    return Scale(as_matrix(features)).standardised(slice(None))


def farthest(score: NDArray[np.float64], size: int, features: NDArray[np.float64]) -> list[int]:
    """Take the highest score, then always the row that is farthest from those chosen and from the pending ones.

    Examples
    --------
    >>> farthest(np.array([3.0, 2.0, 1.0]), 2, np.array([[0.0], [0.1], [1.0]]))
    [0, 2]
    """
    pending = range(len(score), len(features))
    return [0, *farthest_points(features, size - 1, seed=0, chosen=[0, *pending]).tolist()]


def determinantal(
    score: NDArray[np.float64],
    size: int,
    features: NDArray[np.float64],
    *,
    weight: float = 0.5,
    length: float | None = None,
) -> list[int]:
    """Take row by row what adds most to weight * sum of scores + (1 - weight) * log det of the similarities.

    Scores count from 0 for the lowest of the shortlist to 1 for the highest. Two rows are similar as a Gaussian of
    their distance. The determinant's growth by a row is the share of it that the rows chosen before do not tell.
    Chen, Zhang, Zhou, Fast greedy MAP inference for determinantal point process, NeurIPS 31, 5622 (2018),
    arXiv:1709.05135.

    Parameters
    ----------
    weight
        From 0, diversity alone, to 1, scores alone.
    length
        Standard deviation of the Gaussian, in units of the standardised features; by default the median distance of
        the shortlist's first rows.
    """
    check_number("weight", weight, 0, 1)
    m = len(score)
    spread = score[0] - score[-1]
    gain = weight * ((score - score[-1]) / spread if spread > 0 else np.zeros(m))
    if length is None:
        length = _median_distance(features[: min(m, SAMPLE)])
    check_number("length", length, 0, above=True)
    left = np.ones(len(features))
    # rows of the Cholesky factor of the similarities, one for each row chosen
    factor = np.zeros((size + len(features) - m, len(features)))
    chosen: list[int] = []
    free = np.arange(len(features)) < m
    with one_thread():
        for step in range(len(factor)):
            row = m + step if step < len(features) - m else _first_best(gain, weight, left[:m], free[:m])
            free[row] = False
            if row < m:
                chosen.append(row)
            if left[row] > NEARLY_EQUAL:
                similar = np.exp(-0.5 * _squared_distances(features, features[row]) / length**2)
                factor[step] = (similar - factor[:step, row] @ factor[:step]) / np.sqrt(left[row])
                left = np.maximum(left - factor[step] ** 2, 0.0)
    return chosen


def _first_best(gain: NDArray[np.float64], weight: float, left: NDArray[np.float64], free: NDArray[np.bool_]) -> int:
    # what is like a row chosen before adds minus infinity: such rows come last, in the order of their scores
    new = np.log(np.maximum(left, NEARLY_EQUAL)) if weight < 1 else np.zeros(len(left))
    return int(np.where(free, gain + (1 - weight) * new, -np.inf).argmax())


def local_penalization(
    score: NDArray[np.float64],
    size: int,
    features: NDArray[np.float64],
    *,
    mean: NDArray[np.float64] | None = None,
    std: NDArray[np.float64] | None = None,
    best: float | None = None,
    lipschitz: float | None = None,
) -> list[int]:
    """Take the highest score, times the probabilities that the lowest objective may lie there, given the rows chosen.

    If the objective changes by no more than L over a distance of 1, then around a row whose objective is f the lowest
    one, M, is at least (f - M) / L away. f is normal. The scores of rows within that distance are made smaller by the
    probability of it. Where a score is negative, all are standardised and made positive by log(1 + exp(score)).
    González, Dai, Hennig, Lawrence, Batch Bayesian optimization via local penalization, AISTATS 51, 648 (2016),
    arXiv:1505.08052, with signs for an objective to be small.

    Parameters
    ----------
    mean, std
        Of the objective at each row.
    best
        M; by default the lowest mean of the shortlist.
    lipschitz
        L, in units of the objective and of the standardised features; by default the steepest slope of the mean
        between two of the shortlist's first rows that are at least as far apart as neighbours usually are.
    """
    if mean is None or std is None:
        raise UserError("method local_penalization needs mean and std of the objective at each row")
    m = len(score)
    lowest = float(mean[:m].min()) if best is None else float(best)
    if lipschitz is None:
        lipschitz = _steepest(mean[: min(m, SAMPLE)], features[: min(m, SAMPLE)])
    check_number("lipschitz", lipschitz, 0)
    logarithm = _log_positive(score)
    free = np.ones(m, dtype=bool)
    chosen: list[int] = []
    for row in range(m, len(features)):
        logarithm += _log_outside(row, features[:m], features, mean, std, lowest, lipschitz)
    while len(chosen) < size:
        row = int(np.where(free, np.maximum(logarithm, np.finfo(float).min), -np.inf).argmax())
        free[row] = False
        chosen.append(row)
        logarithm += _log_outside(row, features[:m], features, mean, std, lowest, lipschitz)
    return chosen


def _log_outside(
    row: int,
    rows: NDArray[np.float64],
    features: NDArray[np.float64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    lowest: float,
    lipschitz: float,
) -> NDArray[np.float64]:
    """Logarithm of the probability that each row is not within the ball around one that cannot hold the lowest."""
    from scipy.special import log_ndtr

    excess = lipschitz * np.sqrt(_squared_distances(rows, features[row])) - (mean[row] - lowest)
    if std[row] == 0:
        return np.where(excess >= 0, 0.0, np.finfo(float).min / 1e6)
    return np.asarray(log_ndtr(excess / std[row]))


def _log_positive(score: NDArray[np.float64]) -> NDArray[np.float64]:
    if score[0] > 0 and score[-1] >= 0:
        with np.errstate(divide="ignore"):  # what is worth nothing comes last
            return np.log(score)
    spread = score.std()
    return np.log(np.logaddexp(0, (score - score.mean()) / spread)) if spread > 0 else np.zeros(len(score))


def _steepest(mean: NDArray[np.float64], features: NDArray[np.float64]) -> float:
    """Largest change of the mean per distance; near neighbours, where a tree's prediction jumps, are left out."""
    distances = _distances(features)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1, initial=np.inf)
    apart = nearest[(nearest > 0) & np.isfinite(nearest)]
    if not apart.size:
        return 0.0
    slopes = np.abs(mean[:, None] - mean) / np.maximum(distances, np.median(apart))
    return float(slopes[distances >= np.median(apart)].max(initial=0.0))


def _median_distance(features: NDArray[np.float64]) -> float:
    distances = _distances(features)
    some = distances[distances > 0]
    return float(np.median(some)) if some.size else 1.0


def _distances(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.array([_squared_distances(features, row) for row in features])))


def _squared_distances(features: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    difference = features - row
    return np.asarray(np.einsum("ij,ij->i", difference, difference))
