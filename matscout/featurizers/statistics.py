"""Statistics of element properties over a composition, for many compositions at once.

Sums run in the order of the formula, as matminer's do, so that values agree with it to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
"""Statistics of a property, in the order in which they stand in a row."""

_BLOCK = 1024  # rows; the working arrays of a block stay in the processor's cache


def fill_statistics(amounts: Amounts, values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the statistics of each property into `out`.

    Parameters
    ----------
    amounts
        n compositions.
    values
        Properties by atomic number, shape (119, p).
    out
        Shape (n, 6 p), overwritten: for each property the six of `STATISTICS`. Mean and avg_dev (mean absolute
        deviation from the mean) weigh by amount; the mode is the value of the most abundant element, the smallest among
        equals. A property unknown (NaN) for one element of a composition is NaN in all its statistics, but for a mode
        that is decided by other elements.
    """
    for start in range(0, len(amounts), _BLOCK):
        rows = slice(start, start + _BLOCK)
        _fill_block(amounts.elements[rows], amounts.values[rows], values, out[rows])


def _fill_block(
    elements: NDArray[np.uint8], amounts: NDArray[np.float64], values: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    n_elements = elements.shape[1]
    of_element = [values.take(elements[:, j], axis=0) for j in range(n_elements)]
    weights = [np.ascontiguousarray(amounts[:, j])[:, None] for j in range(n_elements)]
    total = sum(weights[1:], start=weights[0].copy())
    largest = amounts.max(axis=1, keepdims=True)

    minimum, maximum, mean = of_element[0].copy(), of_element[0].copy(), of_element[0] * weights[0]
    for value, weight in zip(of_element[1:], weights[1:], strict=True):
        np.minimum(minimum, value, out=minimum)
        np.maximum(maximum, value, out=maximum)
        mean += value * weight
    mean /= total

    deviation, mode = np.zeros_like(mean), np.full_like(mean, np.inf)
    for value, weight in zip(of_element, weights, strict=True):
        deviation += np.abs(value - mean) * weight
        is_largest = np.abs(weight - largest) <= 1e-8 + 1e-5 * largest  # numpy.isclose, as matminer
        np.minimum(mode, value, out=mode, where=is_largest)
    deviation /= total

    for k, statistic in enumerate((minimum, maximum, maximum - minimum, mean, deviation, mode)):
        out[:, k :: len(STATISTICS)] = statistic
