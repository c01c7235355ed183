"""From a predicted formation energy and its uncertainty to the probability of being stable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from matscout.workflows.stability.blocks import SAME_ENERGY

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def probability_stable_now(
    mean: ArrayLike, std: ArrayLike, hull_energy: ArrayLike, threshold: float = 0.0
) -> NDArray[np.float64]:
    """P(stable, now): that a candidate lies at most `threshold` above the hull as it stands.

    Phi((hull_energy + threshold - mean) / std), for a prediction distributed normally. It is of one candidate alone:
    two candidates of one composition, or in one chemical system, may each be likely where only one can be stable.

    Parameters
    ----------
    mean
        Predicted energy in eV/atom, shape (n,) or broadcastable, in the convention of the hull.
    std
        Its standard deviation in eV/atom. Where it is 0 the result is 1 or 0, and 1e-9 eV/atom above what counts as
        stable is still stable, as in labels; where NaN, NaN.
    hull_energy
        Energy of the hull at the candidate's composition in eV/atom, from `Hull.hull_energy`.
    threshold
        Distance above the hull that still counts as stable, in eV/atom.

    Returns
    -------
    Probabilities, shape (n,); NaN where an input is NaN.

    Raises
    ------
    ValueError
        A standard deviation is negative.

    Examples
    --------
    >>> probability_stable_now([-1.0, -1.0, -0.9], [0.1, 0.0, 0.1], -1.0).round(3).tolist()
    [0.5, 1.0, 0.159]
    """
    mu, sigma, hull = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (mean, std, hull_energy)))
    if (sigma < 0).any():
        raise ValueError(f"a standard deviation must not be negative, got {np.nanmin(sigma):g} eV/atom")
    # Rounding puts a candidate on a tie line a little above it, and must not decide where nothing else does.
    margin = hull + threshold - mu + np.where(sigma == 0, SAME_ENERGY, 0.0)
    return probability_below(margin, sigma)


def probability_below(margin: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a normal error of a given std is at most `margin`; 1 or 0 where the std is 0, NaN where NaN."""
    certain = std == 0
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is a score, and NaN stays NaN
        score = np.divide(margin, std, out=np.where(margin >= 0, np.inf, -np.inf), where=~certain)
    return np.asarray(np.where(np.isnan(margin), np.nan, ndtr(score)))
