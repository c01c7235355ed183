"""What an acquisition is given of each candidate, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def beliefs(mean: ArrayLike, std: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std as arrays of one shape.

    Raises
    ------
    ValueError
        They are not of one shape, or a std is negative.
    """
    mu = np.asarray(mean, dtype=float)
    return mu, spread("std", std, mu)


def spread(name: str, value: ArrayLike, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a std for each mean, as an array of its shape.

    Raises
    ------
    ValueError
        It is of another shape, or negative somewhere.
    """
    sigma = np.asarray(value, dtype=float)
    if sigma.shape != mean.shape:
        raise ValueError(f"mean and {name} must have one shape, got {mean.shape} and {sigma.shape}")
    if (sigma < 0).any():
        raise ValueError(f"{name} must not be negative, got {np.nanmin(sigma):g}")
    return sigma
