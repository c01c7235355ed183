"""Ordinary kriging of many rows at once, each from neighbours of its own.

Cressie, Statistics for Spatial Data, Wiley (1993), doi:10.1002/9781119115151, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def _exponential(distance: Floats) -> Floats:
    return np.asarray(np.exp(-distance))


def _matern(distance: Floats) -> Floats:
    scaled = np.sqrt(3.0) * distance
    return np.asarray((1 + scaled) * np.exp(-scaled))


KERNELS: dict[str, Callable[[Floats], Floats]] = {"matern": _matern, "exponential": _exponential}
"""Correlation at a distance in units of the length scale, by name."""


@dataclass(frozen=True, eq=False)
class Kriged:
    """What kriging says of m rows.

    Attributes
    ----------
    mean
        In the unit of the target, shape (m,).
    variance
        Of the function without its noise, in units of its own, shape (m,), >= 0.
    squares, freedom
        Sum of squares of the neighbours' independent deviations from their mean, and how many there are: their ratio is
        the function's variance by the neighbours alone.
    """

    mean: Floats
    variance: Floats
    squares: Floats
    freedom: Floats

    def columns(self) -> tuple[Floats, ...]:
        """Return all of it, in this order."""
        return self.mean, self.variance, self.squares, self.freedom


def krige(between: Floats, to: Floats, y: Floats, there: NDArray[np.bool_], noise: float) -> Kriged:
    """Krige m rows, each from its own k neighbours; those that are not there have no weight.

    Parameters
    ----------
    between, to
        Correlations among the neighbours, shape (m, k, k), and with the row itself, shape (m, k).
    y
        Targets of the neighbours, shape (m, k).
    there
        Which neighbours there are, shape (m, k).
    noise
        In units of the function's variance.
    """
    k = to.shape[1]
    centre = y.sum(axis=1) / there.sum(axis=1)
    y = np.where(there, y - centre[:, None], 0.0)
    between[:, np.arange(k), np.arange(k)] = 1.0 + noise
    solved = np.linalg.solve(between, np.stack([to, there.astype(float), y], axis=2))
    of_row, of_one, of_y = solved[..., 0], solved[..., 1], solved[..., 2]
    total = np.where(there, of_one, 0.0).sum(axis=1)
    mean = of_y.sum(axis=1) / total
    kriged = mean + (to * (of_y - mean[:, None] * of_one)).sum(axis=1)
    unexplained = (1 - of_row.sum(axis=1)) ** 2 / total  # the mean is estimated, too
    variance = np.maximum(1 - (to * of_row).sum(axis=1) + unexplained, 0.0)
    squares = np.maximum((y * of_y).sum(axis=1) - of_y.sum(axis=1) ** 2 / total, 0.0)
    return Kriged(kriged + centre, variance, squares, there.sum(axis=1) - 1.0)
