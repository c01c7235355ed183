"""Acquisitions that draw numbers; each takes its source of randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.models.acquisition.beliefs import beliefs
from matscout.models.options import check_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def random_choice(mean: ArrayLike, std: ArrayLike, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Any order, each as likely: what every other acquisition must beat.

    Parameters
    ----------
    rng
        Source of randomness; one number is drawn per candidate.
    """
    mu, sigma = beliefs(mean, std)
    return np.where(np.isnan(mu + sigma), np.nan, rng.random(mu.shape))


def thompson(mean: ArrayLike, std: ArrayLike, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Lowest first in one random draw of all objectives, independent of each other.

    Thompson, Biometrika 25, 285 (1933), doi:10.1093/biomet/25.3-4.285.

    Parameters
    ----------
    rng
        Source of randomness; one number is drawn per candidate.
    """
    mu, sigma = beliefs(mean, std)
    return -(mu + sigma * rng.standard_normal(mu.shape))


def epsilon_greedy(
    mean: ArrayLike, std: ArrayLike, *, rng: np.random.Generator, epsilon: float = 0.1
) -> NDArray[np.float64]:
    """Lowest expected objective first; but each place goes with a probability of epsilon to any of those left.

    Watkins, Learning from Delayed Rewards, PhD thesis, University of Cambridge (1989); Sutton, Barto, Reinforcement
    Learning, 2nd ed., MIT Press (2018), section 2.2.

    Parameters
    ----------
    rng
        Source of randomness; two numbers are drawn per candidate.
    epsilon
        From 0, which is the order of `greedy`, to 1, that of `random_choice`.

    Returns
    -------
    Minus the place in the order, from 0.

    Raises
    ------
    UserError
        Epsilon is not within 0 and 1.
    """
    check_number("epsilon", epsilon, 0, 1)
    mu, sigma = beliefs(mean, std)
    by_chance = (rng.random(mu.shape) < epsilon).tolist()
    shuffled = rng.permutation(len(mu))
    known = ~np.isnan(mu + sigma)
    by_mean = np.argsort(mu, kind="stable")
    orders = [iter(order[known[order]].tolist()) for order in (by_mean, shuffled)]
    score = np.full(mu.shape, np.nan)
    places = np.empty(int(known.sum()), dtype=np.intp)
    taken = bytearray(len(mu))
    for place in range(len(places)):
        row = next(row for row in orders[by_chance[place]] if not taken[row])
        taken[row] = True
        places[place] = row
    score[places] = -np.arange(len(places), dtype=float)
    return score
