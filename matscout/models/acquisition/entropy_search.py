"""How much a calculation would tell about the lowest value of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.models.acquisition.beliefs import beliefs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

IMPOSSIBLE = 9.0
"""So many std above a value, a candidate does not fall below it: not one in 1e18 does."""

CERTAIN = 40.0
"""So many std above a value, a candidate tells nothing on it that a number could hold."""

DIGITS = 1e-9
"""Relative to the std, the exactness of the lowest values."""


def max_value_entropy_search(
    mean: ArrayLike, std: ArrayLike, *, best: float = np.inf, n_values: int = 8
) -> NDArray[np.float64]:
    """Information that the candidate's objective holds on the lowest objective of all, in nat.

    The entropy of the candidate's objective, less what it is on average when the lowest value is known. That value's
    distribution is the exact one of independent candidates; it is represented by equally likely quantiles.

    Wang, Jegelka, Max-value entropy search for efficient Bayesian optimization, ICML 70, 3627 (2017),
    arXiv:1703.01968.

    Parameters
    ----------
    best
        Lowest objective calculated so far.
    n_values
        Quantiles of the lowest value.

    Examples
    --------
    >>> max_value_entropy_search([0.0, 0.0, 0.5], [0.1, 0.2, 0.1]).round(2)
    array([0.44, 0.53, 0.  ])
    """
    from scipy.special import log_ndtr

    mu, sigma = beliefs(mean, std)
    unsure = (sigma > 0) & ~np.isnan(mu)
    known = mu[(sigma == 0) & ~np.isnan(mu)]
    lowest = min(float(best), float(known.min()) if known.size else np.inf)
    score = np.where(np.isnan(mu) | np.isnan(sigma), np.nan, 0.0)
    if not unsure.any():
        return score
    m, s = mu[unsure], sigma[unsure]
    told = np.zeros(len(m))
    values = _lowest_values(m, s, lowest, int(n_values))
    for value in values:
        z = np.minimum((m - value) / s, CERTAIN)
        log_share = log_ndtr(z)
        ratio = np.exp(-0.5 * z**2 - log_share) / np.sqrt(2 * np.pi)
        told += 0.5 * z * ratio - log_share
    score[unsure] = np.maximum(told / len(values), 0.0)
    return score


def _lowest_values(
    mu: NDArray[np.float64], sigma: NDArray[np.float64], lowest: float, n_values: int
) -> NDArray[np.float64]:
    """Quantiles of the smaller one of `lowest` and of the lowest of independent normal values."""
    from scipy.optimize import brentq
    from scipy.special import log_ndtr, ndtri

    shares = (np.arange(n_values) + 0.5) / n_values
    # one candidate alone falls below the upper end often enough, and all of them together not below the lower end
    top = float((mu + sigma * ndtri(shares[-1])).min())
    bottom = float((mu + sigma * ndtri(shares[0] / len(mu))).min())
    possible = mu - IMPOSSIBLE * sigma < top
    m, s = mu[possible], sigma[possible]
    exactness = max(DIGITS * float(s.min()), 1e-300)

    def log_none_below(value: float, share: float) -> float:
        return float(log_ndtr((m - value) / s).sum() - np.log1p(-share))

    found = [
        brentq(log_none_below, bottom - exactness, top + exactness, args=(share,), xtol=exactness) for share in shares
    ]
    return np.asarray(np.minimum(np.array(found), lowest))
