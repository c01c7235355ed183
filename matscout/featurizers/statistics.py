"""Statistics of element properties over a composition, for many compositions at once.

Sums run in the order of the formula, as matminer's do, so that values agree with it to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.featurizers.amounts import row_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts

    Elements = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Out = NDArray[np.floating[Any]]

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
"""Statistics of a property, in the order in which they stand in a row."""

_BLOCK_NUMBERS = 20_000  # of one working array; those of a block stay in the processor's cache


def fill_statistics(amounts: Amounts, values: Floats, out: Out) -> None:
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
    p = values.shape[1]
    block_rows = max(1, _BLOCK_NUMBERS // max(p, 1))
    work = np.empty((5, block_rows, p))  # once, and used by every block: fresh memory costs more than the arithmetic
    scratch = np.empty((block_rows, out.shape[1]), dtype=out.dtype)
    for rows, elements, weights in amounts.blocks(block_rows):
        m = len(elements)
        if isinstance(rows, slice):
            _fill_block(elements, weights, values, work[:, :m], out[rows])
        else:
            _fill_block(elements, weights, values, work[:, :m], scratch[:m])
            out[rows] = scratch[:m]


def _fill_block(elements: Elements, amounts: Floats, values: Floats, work: Floats, out: Out) -> None:
    """Write the statistics of m compositions of k elements each, with five working arrays of shape (m, p)."""
    value, minimum, maximum, mean, spare = work
    weights, total = _weights(amounts)

    values.take(elements[:, 0], axis=0, out=minimum, mode="clip")
    maximum[:] = mean[:] = minimum
    _multiply(mean, weights[0], spare)
    for j, weight in enumerate(weights[1:], start=1):
        values.take(elements[:, j], axis=0, out=value, mode="clip")
        np.minimum(minimum, value, out=minimum)
        np.maximum(maximum, value, out=maximum)
        mean += _multiply(value, weight, spare)
    mean /= _stretched(total, spare)
    out[:, 0::6] = minimum
    out[:, 1::6] = maximum
    out[:, 2::6] = np.subtract(maximum, minimum, out=maximum)
    out[:, 3::6] = mean

    deviation = minimum
    for j, weight in enumerate(weights):
        part = value if j else deviation
        values.take(elements[:, j], axis=0, out=part, mode="clip")
        np.abs(np.subtract(part, mean, out=part), out=part)
        _multiply(part, weight, spare)
        if j:
            deviation += part
    deviation /= _stretched(total, spare)
    out[:, 4::6] = deviation

    mode, other = mean, value
    _find_mode(elements, amounts if isinstance(total, np.ndarray) else amounts[:1], values, mode, other)
    out[:, 5::6] = mode


def _weights(amounts: Floats) -> tuple[list[Any], Any]:
    """Weight of each element and their sum: numbers where all rows have the same amounts, else columns (m, 1)."""
    if (amounts == amounts[0]).all():
        return amounts[0].tolist(), float(row_sums(amounts[:1])[0])
    return list(amounts.T[:, :, None]), row_sums(amounts)[:, None]


def _multiply(value: Floats, weight: Any, spare: Floats) -> Floats:
    """Multiply in place, by a number or by a column."""
    if not (isinstance(weight, float) and weight == 1):
        value *= _stretched(weight, spare)
    return value


def _stretched(weight: Any, spare: Floats) -> Any:
    """Write a column over all columns of `spare`: two arrays of one shape multiply faster. A number is left alone."""
    if isinstance(weight, float):
        return weight
    spare[:] = weight
    return spare


def _find_mode(elements: Elements, amounts: Floats, values: Floats, mode: Floats, other: Floats) -> None:
    """Write the smallest value among the most abundant elements into `mode`, shape (m, p), with one working array.

    `amounts` has one row where all are the same.
    """
    each = np.arange(len(amounts))
    largest = amounts[each, amounts.argmax(axis=1)][:, None]
    is_largest = np.abs(amounts - largest) <= 1e-8 + 1e-5 * largest  # numpy.isclose, as matminer
    first = is_largest.argmax(axis=1)
    chosen = elements[:, first[0]] if len(amounts) == 1 else elements[each, first]
    values.take(chosen, axis=0, out=mode, mode="clip")
    is_largest[each, first] = False
    for j in np.flatnonzero(is_largest.any(axis=0)).tolist():
        tied = is_largest[:, j]
        if tied.all():
            np.minimum(mode, values.take(elements[:, j], axis=0, out=other, mode="clip"), out=mode)
        else:
            mode[tied] = np.minimum(mode[tied], values[elements[tied, j]])
