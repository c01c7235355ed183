"""CUR: choose actual columns or rows that span what the leading singular vectors span.

The leverage of a column is the sum of its squared components in the leading right singular vectors of the matrix
(Mahoney and Drineas, PNAS 106, 697 (2009), doi:10.1073/pnas.0803205106), that of a row in the left ones. As Imbalzano
et al. do (J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611) the one of the largest leverage is taken, and what
it explains is taken off all others before the next choice. Nothing is drawn by chance.

All is done with the products of the shorter side of the matrix; the longer side is only passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.selection.scale import Scale, as_matrix, one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

_NOTHING = 1e-10  # of the whole variance: what is left is rounding
_TIE = 1e-9  # relative; leverages nearer than this differ by rounding
_DENSE = 400  # order of a matrix up to which LAPACK finds few eigenvectors sooner than ARPACK


class CurChoice(NamedTuple):
    """Columns or rows, in the order of choice.

    Attributes
    ----------
    indices
        Their numbers, shape (m,).
    explained
        Share of the variance of all standardised columns that is explained by the first, the first two, and so on,
        shape (m,): how much of the matrix is left when it is projected on what they span.
    """

    indices: NDArray[np.intp]
    explained: NDArray[np.float64]


def cur_columns(X: ArrayLike, n: int, *, components: int = 1) -> CurChoice:
    """Choose columns that explain the others best, one by one.

    Columns are standardised; a NaN counts as the mean of its column, and constant columns are never chosen.

    Parameters
    ----------
    X
        Features, shape (n_rows, n_features). It is read in parts and not copied.
    n
        How many columns to choose.
    components
        Singular vectors that the leverage is summed over.

    Returns
    -------
    At most n columns; fewer where these explain everything already.

    Raises
    ------
    UserError
        A column is infinite somewhere, or there are no components to sum over.

    Examples
    --------
    >>> chosen = cur_columns([[0.0, 0.0, 1.0], [1.0, 2.0, 0.0], [2.0, 4.0, 1.0], [3.0, 6.0, 0.0]], 2)
    >>> chosen.indices, chosen.explained.round(3)
    (array([0, 2]), array([0.733, 1.   ]))
    """
    scale = Scale(as_matrix(X))
    with one_thread():
        if scale.matrix.shape[1] <= len(scale.matrix):
            return _among_short(scale.gram, n, components)
        return _among_long(
            scale.outer, n, components, scale.transposed_times, lambda column: scale.standardised(slice(None), column)
        )


def cur_rows(X: ArrayLike, n: int, *, components: int = 1) -> CurChoice:
    """Choose rows that the others are made of best, one by one.

    Columns are standardised, and a NaN counts as the mean of its column.

    Parameters
    ----------
    X
        Features, shape (n_rows, n_features). It is read in parts and not copied, once for each row chosen.
    n
        How many rows to choose.
    components
        Singular vectors that the leverage is summed over.

    Returns
    -------
    At most n rows; fewer where all others are sums of multiples of these. There are never more than features: choose
    further ones with `farthest_points`.

    Raises
    ------
    UserError
        A column is infinite somewhere, or there are no components to sum over.
    """
    scale = Scale(as_matrix(X))
    with one_thread():
        if len(scale.matrix) < scale.matrix.shape[1]:
            return _among_short(scale.outer, n, components)
        return _among_long(scale.gram, n, components, scale.times, scale.standardised)


def _among_short(products: NDArray[np.float64], n: int, components: int) -> CurChoice:
    """Choose among the vectors whose products are given: what one explains comes off the products alone."""
    residual, total = products.copy(), float(np.trace(products))
    chosen: list[int] = []
    explained: list[float] = []
    while len(chosen) < n and (left := float(np.trace(residual))) > _NOTHING * total:
        _, vectors = _leading(residual, components, _NOTHING * left)
        one = _first_largest((vectors**2).sum(axis=1), chosen)
        residual -= np.outer(residual[one], residual[one]) / residual[one, one]
        residual[one] = residual[:, one] = 0.0  # but for rounding
        chosen.append(one)
        explained.append(1 - float(np.trace(residual)) / total)
    return _choice(chosen, explained)


def _among_long(
    products: NDArray[np.float64],
    n: int,
    components: int,
    times: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    vector: Callable[[int], NDArray[np.float64]],
) -> CurChoice:
    """Choose among many vectors of few numbers.

    Parameters
    ----------
    products
        Sum of the vectors' outer products with themselves, shape (s, s).
    n, components
        See `cur_rows`.
    times
        Products of each vector with k others: (s, k) -> (number of vectors, k).
    vector
        One of the vectors, shape (s,).
    """
    residual, total = products.copy(), float(np.trace(products))
    basis = np.empty((0, len(products)))
    chosen: list[int] = []
    explained: list[float] = []
    while len(chosen) < n and (left := float(np.trace(residual))) > _NOTHING * total:
        values, vectors = _leading(residual, components, _NOTHING * left)
        vectors -= basis.T @ (basis @ vectors)  # so that the part along those chosen does not count
        one = _first_largest((times(vectors) ** 2 / values).sum(axis=1), chosen)
        direction = vector(one)
        for _ in range(2):  # Gram-Schmidt once is not orthogonal enough
            direction = direction - basis.T @ (basis @ direction)
        direction /= np.linalg.norm(direction)
        basis = np.vstack([basis, direction])
        along = residual @ direction
        residual -= np.outer(along, direction) + np.outer(direction, along)
        residual += float(direction @ along) * np.outer(direction, direction)
        chosen.append(one)
        explained.append(1 - float(np.trace(residual)) / total)
    return _choice(chosen, explained)


def _leading(
    matrix: NDArray[np.float64], components: int, least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues above the least, shape (k,), and their eigenvectors, shape (s, k)."""
    size = len(matrix)
    if components < 1:
        raise UserError(f"leverage is summed over one singular vector at least, not over {components}")
    k = min(components, size)
    if size <= max(_DENSE, 2 * k):
        from scipy.linalg import eigh

        values, vectors = eigh(matrix, subset_by_index=(size - k, size - 1))
    else:
        from scipy.sparse.linalg import eigsh

        start = np.random.default_rng(0).normal(size=size)  # ARPACK's own is another one each time
        values, vectors = eigsh(matrix, k=k, which="LA", v0=start)
    count = values > min(least, float(values.max()) / 2)
    return values[count], vectors[:, count]


def _first_largest(scores: NDArray[np.float64], chosen: list[int]) -> int:
    scores[chosen] = -1.0
    return int((scores >= scores.max() * (1 - _TIE)).argmax())


def _choice(chosen: list[int], explained: list[float]) -> CurChoice:
    return CurChoice(np.array(chosen, dtype=np.intp), np.clip(np.array(explained, dtype=float), 0, 1))
