"""How alike compositions are: distributions over elements, compared by how alike the elements are.

The distance of two compositions is that of their distributions over the elements in the space of an element kernel,
the maximum mean discrepancy: Gretton et al., A kernel two-sample test, J. Mach. Learn. Res. 13, 723 (2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.featurizers.elements import mean_for_unknown, site_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.models.inputs import CompositionInputs

_PROPERTIES = ("period", "group", "electronegativity", "mendeleev_number", "covalent_radius")
_COMMON = slice(1, 104)  # elements of whom nearly everything is known: the properties are standardised over these
_NUMBERS_AT_ONCE = 4_000_000  # 16 MB of distances in single precision
_GROUPS_PER_NEIGHBOUR = 16
# Squared distances below 2 from products in single precision are wrong by some 1e-6.
_ROUNDING = 2e-5
_DECIMALS = 12  # to which squared distances are equal, so that the way a formula is written does not break ties


def element_vectors(length: float, identity: float) -> NDArray[np.float64]:
    """Give each element a vector, such that products of the vectors are the similarities of the elements.

    The similarity is a Gaussian of the difference in period, group, electronegativity, Mendeleev number, covalent
    radius and number of valence electrons, each in units of its std over the elements.

    Parameters
    ----------
    length
        Difference at which elements stop to be alike, in these units, as root mean square over the properties.
    identity
        Part of an element's similarity to itself that it shares with no other, so that no two are one.

    Returns
    -------
    Shape (119, 118), row = atomic number, each of length 1; row 0, which is no element, is 0.

    Examples
    --------
    >>> vectors = element_vectors(0.5, 0.02)
    >>> (vectors[[17]] @ vectors[[9, 35, 11]].T).round(2).tolist()  # Cl with F, Br and Na
    [[0.33, 0.78, 0.0]]
    """
    table = site_table()
    group = mean_for_unknown(table.column("group"))
    columns = [mean_for_unknown(table.column(name)) for name in _PROPERTIES]
    properties = np.column_stack([*columns, _valence_electrons(group)])[1:]
    common = properties[_COMMON.start - 1 : _COMMON.stop - 1]
    scaled = (properties - common.mean(axis=0)) / common.std(axis=0)
    squares = ((scaled[:, None] - scaled[None]) ** 2).mean(axis=2)
    similarity = (1 - identity) * np.exp(-squares / (2 * length**2)) + identity * np.eye(len(scaled))
    vectors = np.zeros((N_ELEMENTS, N_ELEMENTS - 1))
    vectors[1:] = np.linalg.cholesky(similarity)
    return vectors


def _valence_electrons(group: NDArray[np.float64]) -> NDArray[np.float64]:
    """Electrons outside of the closed shells, by atomic number, shape (119,); those of an f block count on."""
    number = np.arange(float(N_ELEMENTS))
    outer = np.where(group <= 12, group, group - 10)
    outer = np.where((number >= 57) & (number <= 71), number - 54, outer)
    return np.where((number >= 89) & (number <= 103), number - 86, outer)


def positions(inputs: CompositionInputs, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean vector of the elements of each composition, shape (n, 118)."""
    found = np.zeros((len(inputs), vectors.shape[1]))
    for numbers, fractions in zip(inputs.numbers.T, inputs.fractions.T, strict=True):
        found += fractions[:, None] * vectors[numbers]
    return found


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest points of m queries, the nearest first.

    Attributes
    ----------
    rows
        Which points, shape (m, k); -1 where there are no more.
    distances
        Shape (m, k); infinite where there are no more.
    """

    rows: NDArray[np.intp]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, rows: slice) -> Neighbours:
        """Return those of some of the queries."""
        return Neighbours(self.rows[rows], self.distances[rows])


def nearest(
    queries: NDArray[np.float64],
    points: NDArray[np.float64],
    k: int,
    labels: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None,
) -> Neighbours:
    """Find the k nearest points of each query, exactly, in bounded memory.

    Points at one distance come in their order, so that the answer for a query does not depend on what else is asked.

    Parameters
    ----------
    queries, points
        Positions, shapes (m, d) and (n, d), of vectors no longer than 1.
    k
        How many.
    labels
        A number from 0 for each query and for each point: points with the query's own are left out.
    """
    finder = _Finder(points, min(k, len(points)), labels)
    block = max(1, _NUMBERS_AT_ONCE // max(len(points), 1))
    starts = range(0, max(len(queries), 1), block)
    found = [finder.of(slice(start, start + block), queries[start : start + block]) for start in starts]
    return Neighbours(np.concatenate([one.rows for one in found]), np.concatenate([one.distances for one in found]))


class _Finder:
    """Points, ready to be searched.

    Sorting all distances of a query would take longer than working them out. Their smallest within each of many groups
    of points are few; the k-th smallest of these bounds the k-th smallest of all, and few points lie within it.
    """

    def __init__(
        self, points: NDArray[np.float64], k: int, labels: tuple[NDArray[np.intp], NDArray[np.intp]] | None
    ) -> None:
        self.k = k
        self._points = points
        self._labels = labels
        n = len(points)
        self._groups = min(n, _GROUPS_PER_NEIGHBOUR * k)
        width = -(-n // max(self._groups, 1)) * self._groups  # filled up to a multiple of the groups
        self._product = np.zeros((points.shape[1], width), dtype=np.float32)
        self._product[:, :n] = -2 * points.T
        self._squares = np.full(width, np.inf, dtype=np.float32)
        self._squares[:n] = (points**2).sum(axis=1)
        if labels is not None:
            self._by_label = np.argsort(labels[1], kind="stable")
            counts = np.bincount(labels[1], minlength=int(max(labels[0].max(initial=0), labels[1].max(initial=0))) + 1)
            self._counts, self._first = counts, np.cumsum(counts) - counts

    def of(self, which: slice, queries: NDArray[np.float64]) -> Neighbours:
        """Search for some of the queries; `which` tells their labels."""
        m = len(queries)
        squares = queries.astype(np.float32) @ self._product
        squares += self._squares
        squares += (queries**2).sum(axis=1).astype(np.float32)[:, None]
        if self._labels is not None:
            own = self._labels[0][which]
            counts = self._counts[own]
            ends = np.cumsum(counts)
            places = np.arange(counts.sum()) + np.repeat(self._first[own] - ends + counts, counts)
            squares[np.repeat(np.arange(m), counts), self._by_label[places]] = np.inf
        smallest = squares.reshape(m, squares.shape[1] // self._groups, self._groups).min(axis=1)
        bound = np.partition(smallest, self.k - 1, axis=1)[:, self.k - 1]
        # where fewer than k are left the bound is infinite, and all of these are within
        largest = np.float32(np.finfo(np.float32).max)
        flat = np.flatnonzero(squares <= np.minimum(bound + np.float32(_ROUNDING), largest)[:, None])
        rows, points = np.divmod(flat, squares.shape[1])
        return self._sorted(m, rows, points, self._exact(queries, rows, points))

    def _exact(
        self, queries: NDArray[np.float64], rows: NDArray[np.intp], points: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Squared distances of pairs, which do not depend on what else is worked out with them."""
        found = np.empty(len(rows))
        block = max(1, _NUMBERS_AT_ONCE // self._points.shape[1])
        for start in range(0, len(rows), block):
            some = slice(start, start + block)
            found[some] = ((queries[rows[some]] - self._points[points[some]]) ** 2).sum(axis=1)
        return found.round(_DECIMALS)

    def _sorted(
        self, m: int, rows: NDArray[np.intp], points: NDArray[np.intp], squares: NDArray[np.float64]
    ) -> Neighbours:
        order = np.lexsort((points, squares, rows))
        counts = np.bincount(rows, minlength=m)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = place < self.k
        at = (rows[order][kept], place[kept])
        found = Neighbours(np.full((m, self.k), -1, dtype=np.intp), np.full((m, self.k), np.inf))
        found.rows[at] = points[order][kept]
        found.distances[at] = np.sqrt(squares[order][kept])
        return found
