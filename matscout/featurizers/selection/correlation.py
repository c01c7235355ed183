"""Correlations of columns with gaps, over matrices of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers.selection.scale import chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.selection.scale import Scale

_DIGITS = 10  # to which a coefficient does not depend on the order of summation
_FEWEST = 3  # rows: two points always lie on a line
_NOTHING = 1e-10  # of a sum of squares: rounding, where the variance is nothing


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
    a = _Side(scale, first)
    b = a if same else _Side(scale, second)
    products = np.zeros((len(first), len(second)))
    both_known = np.zeros((len(a.gaps), len(b.gaps)))
    of_a = _Sums(a, b)
    of_b = of_a if same else _Sums(b, a)
    for rows in chunks(scale.matrix):
        a.read(rows)
        if not same:
            b.read(rows)
            of_b.add()
        of_a.add()
        products += a.values.T @ b.values
        both_known += a.known.T @ b.known
    count = np.minimum(a.count[:, None], b.count)
    count[np.ix_(a.gaps, b.gaps)] = both_known
    defined = count >= np.maximum(_FEWEST, min_overlap * b.count)
    return _coefficients(count, products, of_a, of_b, defined)


class _Side:
    """Some columns of the matrix, some rows at a time.

    Attributes
    ----------
    count
        Rows in which each column is known.
    gaps
        Which of the columns are not known in all rows.
    values
        Standardised numbers of the rows that were read, 0 where unknown.
    known
        1 where known, 0 elsewhere, of the columns with gaps.
    """

    def __init__(self, scale: Scale, columns: NDArray[np.intp]) -> None:
        self._scale, self._columns = scale, columns
        self._every = len(columns) == len(scale.mean)
        self._mean, self._weight = scale.mean[columns], scale.weight[columns]
        self.count = scale.count[columns]
        self.gaps = np.flatnonzero(self.count < len(scale.matrix))

    def read(self, rows: slice) -> None:
        raw = self._scale.matrix[rows] if self._every else self._scale.matrix[rows][:, self._columns]
        self.values = (raw - self._mean) * self._weight
        unknown = np.isnan(raw[:, self.gaps])
        self.known = 1.0 - unknown
        if unknown.any():
            part = self.values[:, self.gaps]
            part[unknown] = 0.0
            self.values[:, self.gaps] = part


class _Sums:
    """Sums and sums of squares of one side's columns, over the rows in which those of the other side are known."""

    def __init__(self, one: _Side, other: _Side) -> None:
        self._one, self._other = one, other
        self._totals = np.zeros((2, len(one.count)))  # over all rows
        self._at_gaps = np.zeros((2, len(one.count), len(other.gaps)))

    def add(self) -> None:
        values, known = self._one.values, self._other.known
        for k, numbers in enumerate((values, values**2)):
            self._totals[k] += numbers.sum(axis=0)
            self._at_gaps[k] += numbers.T @ known

    def all(self) -> NDArray[np.float64]:
        """Return both, shape (2, columns of the one, columns of the other)."""
        found = np.repeat(self._totals[:, :, None], len(self._other.count), axis=2)
        found[:, :, self._other.gaps] = self._at_gaps
        return found


def _coefficients(
    count: NDArray[np.float64],
    products: NDArray[np.float64],
    of_a: _Sums,
    of_b: _Sums,
    defined: NDArray[np.bool_],
) -> NDArray[np.float64]:
    n = np.maximum(count, 1)
    (sum_a, squares_a), (sum_b, squares_b) = of_a.all(), of_b.all().transpose(0, 2, 1)
    variance_a, variance_b = squares_a - sum_a**2 / n, squares_b - sum_b**2 / n
    defined = defined & (variance_a > _NOTHING * squares_a) & (variance_b > _NOTHING * squares_b)
    norm = np.sqrt(np.where(defined, variance_a * variance_b, 1.0))
    found = np.where(defined, (products - sum_a * sum_b / n) / norm, 0.0)
    return np.asarray(np.clip(found, -1, 1).round(_DIGITS))
