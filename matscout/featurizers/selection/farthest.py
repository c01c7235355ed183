"""Choose rows, or columns, that differ from each other as much as they can: the first batch of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers.selection.scale import Scale, as_matrix, chunks, one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


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
    matrix = as_matrix(X)
    earlier = _checked(chosen, len(matrix), "row")
    n = min(n, len(matrix) - len(earlier))
    if n <= 0:
        return np.empty(0, dtype=np.intp)
    distances = _Distances(matrix)
    distance = np.full(len(matrix), np.inf)
    for row in earlier:
        distances.shorten(distance, row)
    found: list[int] = []
    if not earlier:
        found.append(int(np.random.default_rng(seed).integers(len(matrix))))
        distances.shorten(distance, found[0])
    distance[earlier] = -1.0
    while len(found) < n:
        distance[found[-1:]] = -1.0
        found.append(_farthest(distance))
        distances.shorten(distance, found[-1])
    return np.array(found, dtype=np.intp)


def farthest_columns(X: ArrayLike, n: int, *, seed: int, chosen: Sequence[int] = ()) -> NDArray[np.intp]:
    """Choose columns one by one, each as far as can be from those chosen before.

    The squared distance of two columns is 2 - 2 |r|, with r their correlation: that of two standardised columns of
    length 1, or of one and the other's negative if that is nearer, as both say the same. A NaN counts as the mean of
    its column. Constant columns are not chosen.

    Parameters
    ----------
    X
        Features, shape (n_rows, n_features).
    n
        How many columns to choose. All others that vary are chosen where there are not more.
    seed
        Draws the first column, where none is chosen yet.
    chosen
        Columns chosen earlier: to be kept away from, and not chosen again.

    Returns
    -------
    Column numbers in the order of choice, shape (n,) or shorter. Among equally distant columns the first.

    References
    ----------
    Imbalzano et al., Automatic selection of atomic fingerprints and reference configurations for machine-learning
    potentials, J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611.

    Examples
    --------
    >>> farthest_columns([[0, 0, 0], [1, -2, 0], [0, 0, 1], [1, -2, 1]], 2, seed=0, chosen=[0])
    array([2, 1])
    """
    matrix = as_matrix(X)
    earlier = _checked(chosen, matrix.shape[1], "column")
    scale = Scale(matrix)
    with one_thread():
        return _farthest_columns(scale, n, seed, earlier)


def _farthest_columns(scale: Scale, n: int, seed: int, earlier: list[int]) -> NDArray[np.intp]:
    varying = np.flatnonzero(scale.weight)
    length = np.sqrt(_squares(scale))
    distance = np.where(scale.weight > 0, np.inf, -1.0)
    distance[earlier] = -1.0
    n = min(n, int((distance > 0).sum()))
    if n <= 0:
        return np.empty(0, dtype=np.intp)
    found: list[int] = []
    last = [column for column in earlier if scale.weight[column] > 0]
    if not last:
        last = [int(varying[np.random.default_rng(seed).integers(len(varying))])]
        found = last[:]
    while True:
        for column in last:
            correlation = _products(scale, column) / np.where(length > 0, length * length[column], 1.0)
            np.minimum(distance, np.maximum(2 - 2 * np.abs(correlation), 0), out=distance, where=distance >= 0)
        distance[found] = -1.0
        if len(found) == n:
            return np.array(found, dtype=np.intp)
        last = [_farthest(distance)]
        found += last


class _Distances:
    """Squared distances between standardised rows."""

    def __init__(self, matrix: NDArray[np.floating]) -> None:
        self._scale = Scale(matrix)

    def shorten(self, distance: NDArray[np.float64], row: int) -> None:
        """Lower each squared distance, shape (n_rows,), to that to `row` where this is nearer."""
        scale = self._scale
        given = scale.matrix[row]
        point = np.where(np.isnan(given), scale.mean, given)
        to_mean = (scale.mean - point) * scale.weight
        buffer: NDArray[np.float64] | None = None
        for rows in chunks(scale.matrix):
            part = scale.matrix[rows]
            buffer = np.empty(part.shape) if buffer is None else buffer
            step = np.subtract(part, point, out=buffer[: len(part)])
            step *= scale.weight
            if scale.has_gaps:
                np.copyto(step, to_mean, where=np.isnan(step))
            # einsum sums in one order whatever the number of threads; a BLAS product need not
            np.minimum(distance[rows], np.einsum("ij,ij->i", step, step), out=distance[rows])


def _farthest(distance: NDArray[np.float64]) -> int:
    # rounded, so that what is equally distant but for the order of summation ties everywhere
    return int(np.round(distance, 8).argmax())


def _squares(scale: Scale) -> NDArray[np.float64]:
    if _is_tall(scale):
        return np.diagonal(scale.gram)
    total = np.zeros(scale.matrix.shape[1])
    for rows in chunks(scale.matrix):
        total += (scale.standardised(rows) ** 2).sum(axis=0)
    return total


def _products(scale: Scale, column: int) -> NDArray[np.float64]:
    """Products of a standardised column with all of them, shape (n_features,)."""
    if _is_tall(scale):
        return np.asarray(scale.gram[column])
    return scale.transposed_times(scale.standardised(slice(None), column)[:, None])[:, 0]


def _is_tall(scale: Scale) -> bool:
    """Tell whether all products of columns take less room than the matrix, and less time than a few passes over it."""
    return len(scale.matrix) >= len(scale.mean)


def _checked(chosen: Sequence[int], n_known: int, kind: str) -> list[int]:
    numbers = [int(number) for number in chosen]
    for number in numbers:
        if not 0 <= number < n_known:
            raise ValueError(f"{kind} {number} was chosen earlier, but there are {n_known} {kind}s")
    return sorted(set(numbers))
