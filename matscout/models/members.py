"""What several members of an ensemble say, as one prediction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from matscout.models.prediction import Prediction, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from matscout.models.base import Task

    Member = tuple[NDArray[np.floating], NDArray[np.floating] | None]


def combined(members: Iterable[Member], task: Task) -> Prediction:
    """Mean over members, and a std by the law of total variance; one member is in memory at a time.

    Parameters
    ----------
    members
        Of each member its mean, shape (n,), and the variance of the targets about it, shape (n,), None where it does
        not tell. All or none tell.
    task
        A member's mean is a probability in a classification; the variance about it follows from it.

    Returns
    -------
    The std is the sample std of the means, and with the mean variance in it where members tell, which is then the
    aleatoric part.

    Examples
    --------
    >>> prediction = combined([(np.array([1.0]), np.array([4.0])), (np.array([3.0]), np.array([6.0]))], "regression")
    >>> [part.round(3).item() for part in (prediction.mean, prediction.std, prediction.aleatoric, prediction.epistemic)]
    [2.0, 2.646, 2.236, 1.414]
    """
    count, mean, squares, noise = 0, np.zeros(0), np.zeros(0), np.zeros(0)
    told = False
    # Welford's recurrence, member by member: a row's sums have one order whatever rows are beside it
    for count, (value, variance) in enumerate(members, start=1):
        if count == 1:
            mean, squares, noise = np.zeros(len(value)), np.zeros(len(value)), np.zeros(len(value))
        step = value - mean
        mean += step / count
        squares += step * (value - mean)
        if variance is not None:
            told = True
            noise += variance
    if task == "classification":
        return of_probabilities(mean, squares / max(count, 1))
    between = squares / max(count - 1, 1)
    if not told:
        return Prediction(mean, np.sqrt(between))
    within = noise / count
    return Prediction(mean, np.sqrt(within + between), np.sqrt(within), np.sqrt(between))


def of_probabilities(mean: NDArray[np.float64], between: NDArray[np.float64]) -> Prediction:
    """Prediction of targets 0 and 1, whose variance is p (1 - p).

    Parameters
    ----------
    mean
        Mean probability of 1, shape (n,); what rounding put outside of [0, 1] is put back.
    between
        Variance of the probabilities that were averaged, shape (n,): the epistemic part.
    """
    probability = np.clip(mean, 0.0, 1.0)
    total = probability * (1 - probability)
    epistemic = np.clip(between, 0.0, total)
    return Prediction(probability, np.sqrt(total), np.sqrt(total - epistemic), np.sqrt(epistemic))


def in_threads(
    predict: Callable[[NDArray[np.float32]], Prediction], X: NDArray[np.float32], n_threads: int
) -> Prediction:
    """Predict parts of the rows in threads of their own; a row's result does not depend on their number."""
    if n_threads == 1 or len(X) < n_threads:
        return predict(X)
    with ThreadPoolExecutor(n_threads) as threads:
        return joined(list(threads.map(predict, np.array_split(X, n_threads))))
