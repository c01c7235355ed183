"""Choose rows that differ from each other as much as they can: the first batch of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

_CHUNK_NUMBERS = 100_000  # numbers worked on at a time: they stay in the processor's cache


def farthest_points(X: ArrayLike, n: int, *, seed: int, chosen: Sequence[int] = ()) -> NDArray[np.intp]:
    """Choose rows one by one, each as far as can be from those chosen before.

    Distances are Euclidean between standardised columns. A NaN counts as the mean of its column, constant columns do
    not count. Time grows as n_rows * n, memory beside X as n_rows.

    Parameters
    ----------
    X
        Features, shape (n_rows, n_features).
    n
        How many rows to choose. All others are chosen where there are not more.
    seed
        Draws the first row, where none is chosen yet.
    chosen
        Rows chosen earlier: to be kept away from, and not chosen again.

    Returns
    -------
    Row numbers in the order of choice, shape (min(n, n_rows - len(chosen)),). Among equally distant rows the first.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38, 293 (1985),
    doi:10.1016/0304-3975(85)90224-5.

    Examples
    --------
    >>> farthest_points([[0.0], [0.1], [0.9], [1.0]], 2, seed=0, chosen=[0])
    array([3, 1])
    """
    matrix = np.asarray(X)
    if not np.issubdtype(matrix.dtype, np.floating):
        matrix = matrix.astype(float)
    if matrix.ndim != 2:
        raise ValueError(f"expected X of shape (n_rows, n_features), got {matrix.shape}")
    earlier = _checked_rows(chosen, len(matrix))
    n = min(n, len(matrix) - len(earlier))
    if n <= 0:
        return np.empty(0, dtype=np.intp)
    scale = _Scale(matrix)
    distance = np.full(len(matrix), np.inf)
    for row in earlier:
        scale.shorten(distance, row)
    found: list[int] = []
    if not earlier:
        found.append(int(np.random.default_rng(seed).integers(len(matrix))))
        scale.shorten(distance, found[0])
    distance[earlier] = -1.0
    while len(found) < n:
        distance[found[-1:]] = -1.0
        # rounded, so that rows equally distant but for the order of summation tie everywhere
        found.append(int(np.round(distance, 8).argmax()))
        scale.shorten(distance, found[-1])
    return np.array(found, dtype=np.intp)


class _Scale:
    """Standardised squared distances over a matrix that is never copied as a whole."""

    def __init__(self, matrix: NDArray[np.floating]) -> None:
        self._matrix = matrix
        self._size = max(1, _CHUNK_NUMBERS // max(1, matrix.shape[1]))
        count, total = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
        for _, part in self._chunks():
            known = ~np.isnan(part)
            count += known.sum(axis=0)
            total += np.where(known, part, 0.0).sum(axis=0)
        if not np.isfinite(total).all():
            raise ValueError(f"X is infinite in column {int((~np.isfinite(total)).argmax())}")
        self._mean = total / np.maximum(count, 1)
        self._has_gaps = bool((count < len(matrix)).any())
        squares = np.zeros(matrix.shape[1])
        for _, part in self._chunks():
            squares += np.nansum((part - self._mean) ** 2, axis=0)
        std = np.sqrt(squares / np.maximum(count, 1))
        # a constant such as 0.1 leaves a std of rounding errors
        varies = std > 1e-9 * np.maximum(np.abs(self._mean), 1e-300)
        self._weight = np.divide(1.0, std, out=np.zeros_like(std), where=varies)

    def shorten(self, distance: NDArray[np.float64], row: int) -> None:
        """Lower each squared distance, shape (n_rows,), to that to `row` where this is nearer."""
        given = self._matrix[row]
        point = np.where(np.isnan(given), self._mean, given)
        to_mean = (self._mean - point) * self._weight
        buffer = np.empty((min(self._size, len(self._matrix)), len(point)))
        for rows, part in self._chunks():
            step = np.subtract(part, point, out=buffer[: len(part)])
            step *= self._weight
            if self._has_gaps:
                np.copyto(step, to_mean, where=np.isnan(step))
            # einsum sums in one order whatever the number of threads; a BLAS product need not
            np.minimum(distance[rows], np.einsum("ij,ij->i", step, step), out=distance[rows])

    def _chunks(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        for start in range(0, len(self._matrix), self._size):
            rows = slice(start, start + self._size)
            yield rows, self._matrix[rows]


def _checked_rows(chosen: Sequence[int], n_rows: int) -> list[int]:
    rows = [int(row) for row in chosen]
    for row in rows:
        if not 0 <= row < n_rows:
            raise ValueError(f"row {row} was chosen earlier, but there are {n_rows} rows")
    return sorted(set(rows))
