"""Correlations of columns with gaps, over matrices of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.featurizers.selection.scale import chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.selection.scale import Scale

_CHUNK_NUMBERS = 1_000_000  # worked on at a time: the sums over rows take far less than the products of columns
_DIGITS = 10  # to which a coefficient does not depend on the order of summation
_FEWEST = 3  # rows: two points always lie on a line
_NOTHING = 1e-10  # of a sum of squares: rounding, where the variance is nothing


class _Part(NamedTuple):
    """Some rows of some columns, standardised, 0 where unknown."""

    values: NDArray[np.float64]
    known: NDArray[np.float64]  # 1 or 0
    gaps: NDArray[np.intp]  # columns with an unknown number


def correlations(
    scale: Scale, first: NDArray[np.intp], second: NDArray[np.intp], *, min_overlap: float = 0.0
) -> NDArray[np.float64]:
    """Pearson's correlation coefficient of columns, each pair over the rows in which both are known.

    Parameters
    ----------
    scale
        The matrix, n_rows long.
    first, second
        Numbers of a and b columns.
    min_overlap
        Least share of the rows of a column of `second` in which that of `first` is known, too.

    Returns
    -------
    Shape (a, b), rounded to ten digits; 0 for pairs that cannot be compared, as they are known together too rarely or
    one of them does not vary there.
    """
    same = first is second
    shape = (len(first), len(second))
    count, products = np.zeros(shape), np.zeros(shape)
    sums = [np.zeros(shape), np.zeros(shape[::-1])]  # of the one in the rows of the other, and the other way round
    squares = [np.zeros(shape), np.zeros(shape[::-1])]
    for rows in chunks(scale.matrix, _CHUNK_NUMBERS):
        a = _part(scale, rows, first)
        b = a if same else _part(scale, rows, second)
        products += a.values.T @ b.values
        count += _over_known(a.known, b)
        for k, (one, other) in enumerate(((a, b),) if same else ((a, b), (b, a))):
            sums[k] += _over_known(one.values, other)
            squares[k] += _over_known(one.values**2, other)
    if same:
        sums[1], squares[1] = sums[0], squares[0]
    return _coefficients(count, products, sums, squares, np.maximum(_FEWEST, min_overlap * scale.count[second]))


def _part(scale: Scale, rows: slice, columns: NDArray[np.intp]) -> _Part:
    raw = scale.matrix[rows]
    raw = raw if len(columns) == raw.shape[1] else raw[:, columns]
    values = (raw - scale.mean[columns]) * scale.weight[columns]
    if not scale.has_gaps:
        return _Part(values, np.broadcast_to(1.0, values.shape), np.empty(0, dtype=np.intp))
    unknown = np.isnan(raw)
    values[unknown] = 0.0
    return _Part(values, 1.0 - unknown, np.flatnonzero(unknown.any(axis=0)))


def _over_known(numbers: NDArray[np.float64], other: _Part) -> NDArray[np.float64]:
    """Sum of each column of numbers over the rows in which each column of another part is known."""
    found = np.repeat(numbers.sum(axis=0)[:, None], other.known.shape[1], axis=1)
    if len(other.gaps):
        found[:, other.gaps] = numbers.T @ other.known[:, other.gaps]
    return found


def _coefficients(
    count: NDArray[np.float64],
    products: NDArray[np.float64],
    sums: list[NDArray[np.float64]],
    squares: list[NDArray[np.float64]],
    fewest: NDArray[np.float64],
) -> NDArray[np.float64]:
    n = np.maximum(count, 1)
    covariance = products - sums[0] * sums[1].T / n
    variances = [squares[0] - sums[0] ** 2 / n, (squares[1] - sums[1] ** 2 / n.T).T]
    defined = count >= fewest
    for variance, square in zip(variances, (squares[0], squares[1].T), strict=True):
        defined &= variance > _NOTHING * square
    norm = np.sqrt(np.where(defined, variances[0] * variances[1], 1.0))
    found = np.where(defined, covariance / norm, 0.0)
    return np.asarray(np.clip(found, -1, 1).round(_DIGITS))
