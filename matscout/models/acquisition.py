"""Acquisitions: which candidates to calculate next.

Each takes mean and std of the objective, shape (n,), and gives a score of shape (n,): the highest is chosen first. The
objective is to be small: a distance to the hull, in eV/atom. A NaN in mean or std gives a NaN. Where std is 0 the
limit is taken: the objective is then known.

Survey: Shahriari et al., Taking the human out of the loop, Proc. IEEE 104, 148 (2016), doi:10.1109/JPROC.2015.2494218.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import erfcx, ndtr

from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

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
    mu, sigma = _arrays(mean, std)
    known = sigma == 0
    z = (threshold - mu) / np.where(known, 1.0, sigma)
    return np.where(known, np.where(np.isnan(mu), np.nan, mu <= threshold), ndtr(z))


def expected_improvement(mean: ArrayLike, std: ArrayLike, *, best: float) -> NDArray[np.float64]:
    """Give the expected amount by which the objective falls below the best value so far, in its unit.

    Jones, Schonlau, Welch, J. Glob. Optim. 13, 455 (1998), doi:10.1023/A:1008306431147.

    Parameters
    ----------
    best
        Lowest objective calculated so far.
    """
    mu, sigma = _arrays(mean, std)
    known = sigma == 0
    z = (best - mu) / np.where(known, 1.0, sigma)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # far above the best value, the two terms of the closed form cancel: there the Mills ratio keeps the digits
    tail = density * (1 - np.sqrt(np.pi / 2) * np.abs(z) * erfcx(np.abs(z) / np.sqrt(2)))
    gain = np.where(z < -1, tail, density + z * ndtr(z))
    return np.where(known, np.maximum(best - mu, 0.0), sigma * np.maximum(gain, 0.0))


def lower_confidence_bound(mean: ArrayLike, std: ArrayLike, *, kappa: float = 1.0) -> NDArray[np.float64]:
    """How low the objective may be at `kappa` standard deviations below its mean; the sign is turned.

    Srinivas et al., IEEE Trans. Inf. Theory 58, 3250 (2012), doi:10.1109/TIT.2011.2182033.

    Parameters
    ----------
    kappa
        0 is `greedy`; the larger, the more an uncertain candidate is worth.
    """
    mu, sigma = _arrays(mean, std)
    return kappa * sigma - mu


def greedy(mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Lowest expected objective first, whatever its uncertainty."""
    mu, sigma = _arrays(mean, std)
    return np.where(np.isnan(sigma), np.nan, -mu)


def uncertainty(mean: ArrayLike, std: ArrayLike) -> NDArray[np.float64]:
    """Most uncertain first: teaches the surrogate, does not search.

    Lewis, Gale, SIGIR 3 (1994), doi:10.1007/978-1-4471-2099-5_1.
    """
    mu, sigma = _arrays(mean, std)
    return np.where(np.isnan(mu), np.nan, sigma)


def random_choice(mean: ArrayLike, std: ArrayLike, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Any order, each as likely: what every other acquisition must beat.

    Parameters
    ----------
    rng
        Source of randomness; one number is drawn per candidate.
    """
    mu, sigma = _arrays(mean, std)
    return np.where(np.isnan(mu + sigma), np.nan, rng.random(mu.shape))


def thompson(mean: ArrayLike, std: ArrayLike, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Lowest first in one random draw of all objectives, independent of each other.

    Thompson, Biometrika 25, 285 (1933), doi:10.1093/biomet/25.3-4.285.

    Parameters
    ----------
    rng
        Source of randomness; one number is drawn per candidate.
    """
    mu, sigma = _arrays(mean, std)
    return -(mu + sigma * rng.standard_normal(mu.shape))


ACQUISITIONS: dict[str, Callable[..., NDArray[np.float64]]] = {
    function.__name__: function
    for function in (
        probability,
        expected_improvement,
        lower_confidence_bound,
        greedy,
        uncertainty,
        random_choice,
        thompson,
    )
}
"""Known acquisitions by name."""


def keywords(name: str) -> tuple[str, ...]:
    """Names of what an acquisition takes beside mean and std.

    Examples
    --------
    >>> keywords("expected_improvement")
    ('best',)
    """
    parameters = inspect.signature(_known(name)).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def get_acquisition(name: str, **options: Any) -> Callable[..., NDArray[np.float64]]:
    """Return the acquisition of a name, with options set where any are given.

    Raises
    ------
    UserError
        The name or an option is unknown.

    Examples
    --------
    >>> get_acquisition("lower_confidence_bound", kappa=2.0)([0.1, 0.2], [0.0, 0.1])
    array([-0.1,  0. ])
    """
    function = _known(name)
    for option in options:
        if option not in keywords(name):
            near = nearest(option, keywords(name))
            hint = f" Did you mean {near}?" if near else ""
            takes = ", ".join(keywords(name)) or "none"
            raise UserError(f'acquisition {name} has no option "{option}".{hint} It takes: {takes}.')
    return partial(function, **options) if options else function


def _known(name: str) -> Callable[..., NDArray[np.float64]]:
    if name not in ACQUISITIONS:
        near = nearest(name, ACQUISITIONS)
        hint = f"Did you mean {near}? " if near else ""
        raise UserError(f'unknown acquisition "{name}". {hint}Known: {", ".join(ACQUISITIONS)}.')
    return ACQUISITIONS[name]


def _arrays(mean: ArrayLike, std: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mu, sigma = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    if mu.shape != sigma.shape:
        raise ValueError(f"mean and std must have one shape, got {mu.shape} and {sigma.shape}")
    if (sigma < 0).any():
        raise ValueError(f"std must not be negative, got {np.nanmin(sigma):g}")
    return mu, sigma
