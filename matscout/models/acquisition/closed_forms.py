"""Acquisitions that are a formula of mean and std, each candidate believed to be normal and independent of the others.

The objective is to be small. A NaN in mean or std gives a NaN, and counts for no other candidate. Where std is 0 the
limit is taken: the objective is then known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.models.acquisition.beliefs import beliefs, spread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def probability(mean: ArrayLike, std: ArrayLike, *, threshold: float = 0.0) -> NDArray[np.float64]:
    """Probability that the objective is at most a threshold: P(stable, now) for a distance to the hull.

    Kushner, J. Basic Eng. 86, 97 (1964), doi:10.1115/1.3653121.

    Parameters
    ----------
    threshold
        In the unit of the objective.

    Examples
    --------
    >>> probability([0.1, 0.1, -0.1], [0.1, 0.0, 0.0], threshold=0.1)
    array([0.5, 1. , 1. ])
    """
    from scipy.special import ndtr

    mu, sigma = beliefs(mean, std)
    known = sigma == 0
    z = (threshold - mu) / np.where(known, 1.0, sigma)
    return np.where(known, np.where(np.isnan(mu), np.nan, mu <= threshold), ndtr(z))


def probability_improvement(
    mean: ArrayLike, std: ArrayLike, *, best: float, margin: float = 0.0
) -> NDArray[np.float64]:
    """Probability that the objective falls below the best value so far, by a margin at least.

    Kushner, J. Basic Eng. 86, 97 (1964), doi:10.1115/1.3653121.

    Parameters
    ----------
    best
        Lowest objective calculated so far.
    margin
        In the unit of the objective; the larger, the more an uncertain candidate is worth.

    Examples
    --------
    >>> probability_improvement([0.1, 0.3], [0.1, 0.1], best=0.2, margin=0.1).round(3)
    array([0.5  , 0.023])
    """
    return probability(mean, std, threshold=best - margin)


def expected_improvement(mean: ArrayLike, std: ArrayLike, *, best: float) -> NDArray[np.float64]:
    """Give the expected amount by which the objective falls below the best value so far, in its unit.

    Jones, Schonlau, Welch, J. Glob. Optim. 13, 455 (1998), doi:10.1023/A:1008306431147.

    Parameters
    ----------
    best
        Lowest objective calculated so far.
    """
    mu, sigma = beliefs(mean, std)
    known = sigma == 0
    z = (best - mu) / np.where(known, 1.0, sigma)
    return np.where(known, np.maximum(best - mu, 0.0), sigma * _expected_excess(z))


def knowledge_gradient(
    mean: ArrayLike, std: ArrayLike, *, noise: ArrayLike = 0.0, best: float = np.inf
) -> NDArray[np.float64]:
    """How much lower the lowest mean is expected to be once the candidate is calculated, in its unit.

    Unlike the expected improvement it is also gained from a candidate that now looks the best and may turn out not to
    be, and it knows of a calculation that tells the objective but roughly.

    Frazier, Powell, Dayanik, SIAM J. Control Optim. 47, 2410 (2008), doi:10.1137/070693424.

    Parameters
    ----------
    noise
        Std of the calculation's own noise, one number or shape (n,): the aleatoric part, std being the epistemic one.
    best
        Lowest objective calculated so far; infinite where that may not be chosen any more.

    Examples
    --------
    >>> knowledge_gradient([0.0, 0.0, 0.0], [0.1, 0.1, 0.2], noise=[0.0, 0.1, 0.0]).round(3)
    array([0.04 , 0.028, 0.08 ])
    """
    mu, sigma = beliefs(mean, std)
    of_calculation = spread("noise", np.broadcast_to(np.asarray(noise, dtype=float), mu.shape), mu)
    size = np.hypot(sigma, of_calculation)
    change = sigma * np.divide(sigma, size, out=np.zeros_like(size), where=size != 0)
    gap = np.abs(mu - _lowest_other(mu, best))
    # a candidate without another one to compare it with decides nothing
    compared = (change > 0) & np.isfinite(gap)
    z = -np.where(compared, gap, 0.0) / np.where(compared, change, 1.0)
    gain = np.where(compared, change * _expected_excess(z), 0.0)
    return np.where(np.isnan(mu) | np.isnan(size), np.nan, gain)


def lower_confidence_bound(mean: ArrayLike, std: ArrayLike, *, kappa: float = 1.0) -> NDArray[np.float64]:
    """How low the objective may be at `kappa` standard deviations below its mean; the sign is turned.

    Srinivas et al., IEEE Trans. Inf. Theory 58, 3250 (2012), doi:10.1109/TIT.2011.2182033.

    Parameters
    ----------
    kappa
        0 is `greedy`; the larger, the more an uncertain candidate is worth.
    """
    mu, sigma = beliefs(mean, std)
    return kappa * sigma - mu


def upper_confidence_bound(mean: ArrayLike, std: ArrayLike, *, kappa: float = 1.0) -> NDArray[np.float64]:
    """`lower_confidence_bound` by the name it has where an objective is to be large.

    It is the upper bound of minus the objective, which is to be small like every objective here. For one that is to
    be large, such as a bulk modulus, give minus its mean.

    Parameters
    ----------
    kappa
        0 is `greedy`; the larger, the more an uncertain candidate is worth.

    Examples
    --------
    >>> upper_confidence_bound([-100.0, -120.0], [50.0, 10.0])
    array([150., 130.])
    """
    return lower_confidence_bound(mean, std, kappa=kappa)


def greedy(mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Lowest expected objective first, whatever its uncertainty."""
    mu, sigma = beliefs(mean, std)
    return np.where(np.isnan(sigma), np.nan, -mu)


def uncertainty(mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Most uncertain first: teaches the surrogate, does not search.

    Lewis, Gale, SIGIR 3 (1994), doi:10.1007/978-1-4471-2099-5_1.
    """
    mu, sigma = beliefs(mean, std)
    return np.where(np.isnan(mu), np.nan, sigma)


def query_by_committee(
    mean: ArrayLike, std: ArrayLike, *, threshold: float = 0.0, epistemic: ArrayLike | None = None
) -> NDArray[np.float64]:
    """How evenly the members of a committee vote on whether the objective is at most a threshold: the votes' entropy.

    In nat, from 0 where they agree to log 2. Teaches the surrogate where the decision lies. The members' predictions
    are taken as normal.

    Seung, Opper, Sompolinsky, COLT 287 (1992), doi:10.1145/130385.130417; entropy of votes: Dagan, Engelson, ICML 150
    (1995), doi:10.1016/B978-1-55860-377-6.50027-X.

    Parameters
    ----------
    threshold
        In the unit of the objective.
    epistemic
        Std of the members' predictions, shape (n,); `std` where there is none. What is aleatoric in `std` more data
        does not lessen.

    Examples
    --------
    >>> query_by_committee([0.0, 0.0, 0.3], [0.1, 0.1, 0.1], threshold=0.1, epistemic=[0.1, 0.05, 0.1]).round(2)
    array([0.44, 0.11, 0.11])
    """
    from scipy.special import entr

    mu, sigma = beliefs(mean, std)
    disagreement = sigma if epistemic is None else spread("epistemic", epistemic, mu)
    votes = probability(mu, disagreement, threshold=threshold)
    # the votes against are not one minus those for, which keeps no digits far above the threshold
    against = np.where(disagreement == 0, 1 - votes, probability(-mu, disagreement, threshold=-threshold))
    return np.where(np.isnan(sigma), np.nan, entr(votes) + entr(against))


def _expected_excess(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the expectation of max(z + N, 0) for a standard normal N."""
    from scipy.special import erfcx, ndtr

    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # far below 0 the two terms of the closed form cancel: there the Mills ratio keeps the digits
    tail = density * (1 - np.sqrt(np.pi / 2) * np.abs(z) * erfcx(np.abs(z) / np.sqrt(2)))
    return np.asarray(np.maximum(np.where(z < -1, tail, density + z * ndtr(z)), 0.0))


def _lowest_other(mu: NDArray[np.float64], best: float) -> NDArray[np.float64]:
    """Lowest mean among all others, or the best value so far if that is lower; infinite where there is no other."""
    known = np.where(np.isnan(mu), np.inf, mu)
    if len(known) < 2:
        return np.full(mu.shape, best, dtype=float)
    lowest, second = np.partition(known, 1)[:2]
    others = np.full(mu.shape, min(lowest, best), dtype=float)
    others[known.argmin()] = min(second, best)
    return others
