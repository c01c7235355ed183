"""Elements of a composition one by one, in the order of their electronegativities."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import N_ELEMENTS, electronegativities
from matscout.featurizers.amounts import row_sums
from matscout.featurizers.base import ELEMENT_DATA, MAGPIE_DATA
from matscout.featurizers.elements import ElementTable, magpie_table, mean_for_unknown, site_table
from matscout.featurizers.encodings import BLOCK_ROWS, Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.elements import Missing
    from matscout.featurizers.encodings import Out

    Numbers = NDArray[np.uint8]
    Floats = NDArray[np.float64]

PLACES = ("lowest", "second_lowest", "middle", "second_highest", "highest", "most_abundant")
"""Places that have columns: five in the order of electronegativity, and the element of the largest fraction."""

_PROPERTIES = (
    "atomic_number",
    "period",
    "group",
    "electronegativity",
    "mendeleev_number",
    "covalent_radius",
    "volume_per_atom",
    "melting_temperature",
    "ionization_energy",
    "electron_affinity",
    "max_oxidation_state",
    "min_oxidation_state",
)
_DIFFERENCES = ("period", "group", "electronegativity", "mendeleev_number", "covalent_radius", "volume_per_atom")
_SORTED_FRACTIONS = ("largest_fraction", "second_fraction", "third_fraction", "fourth_fraction")
_SAME_FRACTION = 1e-9  # fractions of equal amounts, whatever the size of the formula


class OrderedElements(Encoding):
    """Properties of the element in each place, where the elements stand in the order of electronegativity.

    Statistics such as a mean do not tell which element has which value; these columns do, whatever the order of the
    formula. Equal electronegativities are ordered by atomic number.

    Columns:

    PLACE.PROPERTY
        12 properties of the element in each of `PLACES`. The middle one of k elements is number k // 2 from 0. With
        fewer than five elements one stands in several places; an element alone stands in all. Of equally abundant
        elements the most abundant is the least electronegative.
    PLACE.fraction
        The atomic fraction of the element in each of the first five places.
    largest_fraction, second_fraction, third_fraction, fourth_fraction
        The largest fractions, 0 where there are fewer elements.
    n_elements
        Their number.
    mean_difference.PROPERTY
        Sum over pairs of elements i, j of x_i x_j abs(p_i - p_j), each pair in both orders: what a property differs by
        on average between two atoms picked at random.

    Parameters
    ----------
    missing
        What an element without a value gets. For the order alone, one without an electronegativity always stands at
        the mean.
    """

    software = (*ELEMENT_DATA, *MAGPIE_DATA)

    def __init__(self, missing: Missing = "mean") -> None:
        table = _table(missing)
        units = dict(zip(table.properties, table.units, strict=True))
        columns = {f"{place}.{name}": units[name] for place in PLACES for name in _PROPERTIES}
        columns |= {f"{place}.fraction": "" for place in PLACES[:-1]}
        columns |= dict.fromkeys((*_SORTED_FRACTIONS, "n_elements"), "")
        columns |= {f"mean_difference.{name}": units[name] for name in _DIFFERENCES}
        self.names = tuple(columns)
        self.units = tuple(columns.values())
        self.citations = table.citations
        self._values = table.values
        self._differing = np.ascontiguousarray(np.stack([table.column(name) for name in _DIFFERENCES]))

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the columns as the class describes them."""
        for rows, elements, values in amounts.blocks(BLOCK_ROWS):
            out[rows] = self._block(*by_electronegativity(elements, values))

    def _block(self, elements: Numbers, fractions: Floats) -> Floats:
        """Columns of m compositions of k elements each, which stand in order: shape (m, n_columns)."""
        m, k = elements.shape
        places = [0, min(1, k - 1), k // 2, max(k - 2, 0), k - 1]
        abundant = (fractions >= fractions.max(axis=1)[:, None] - _SAME_FRACTION).argmax(axis=1)
        standing = np.column_stack([elements[:, places], elements[np.arange(m), abundant]])
        largest = np.zeros((m, max(k, len(_SORTED_FRACTIONS))))
        largest[:, :k] = -np.sort(-fractions, axis=1)
        return np.column_stack(
            [
                self._values[standing].reshape(m, -1),
                fractions[:, places],
                largest[:, : len(_SORTED_FRACTIONS)],
                np.full(m, k),
                self._mean_differences(elements, fractions),
            ]
        )

    def _mean_differences(self, elements: Numbers, fractions: Floats) -> Floats:
        """Mean absolute difference between two atoms, shape (m, len(_DIFFERENCES))."""
        total = np.zeros((len(_DIFFERENCES), len(elements)))
        values = [self._differing[:, elements[:, i]] for i in range(elements.shape[1])]
        for j in range(1, elements.shape[1]):
            for i in range(j):
                total += np.abs(values[i] - values[j]) * (2 * fractions[:, i] * fractions[:, j])
        return total.T


def by_electronegativity(elements: Numbers, amounts: Floats) -> tuple[Numbers, Floats]:
    """Put the elements of each composition in order, the least electronegative first, ties by atomic number.

    An element without an electronegativity stands at the mean of all others.

    Parameters
    ----------
    elements, amounts
        Atomic numbers and amounts of m compositions of k elements each, shape (m, k).

    Returns
    -------
    Atomic numbers and atomic fractions, shape (m, k), in that order.

    Examples
    --------
    >>> elements, fractions = by_electronegativity(np.array([[8, 22, 38]], dtype=np.uint8), np.array([[3.0, 1.0, 1.0]]))
    >>> elements.tolist(), fractions.tolist()
    ([[38, 22, 8]], [[0.2, 0.2, 0.6]])
    """
    order = np.argsort(_ranks()[elements], axis=1)
    amounts = np.take_along_axis(amounts, order, axis=1)
    return np.take_along_axis(elements, order, axis=1), amounts / row_sums(amounts)[:, None]


@cache
def _ranks() -> NDArray[np.uint8]:
    """Place of each element among all of them, shape (119,)."""
    filled = mean_for_unknown(electronegativities())
    ranks = np.zeros(N_ELEMENTS, dtype=np.uint8)
    ranks[np.lexsort((np.arange(1, N_ELEMENTS), filled[1:])) + 1] = np.arange(1, N_ELEMENTS)
    return ranks


@cache
def _table(missing: Missing) -> ElementTable:
    """Properties in the order of `_PROPERTIES`."""
    sites = site_table()
    own: dict[str, tuple[str, NDArray[Any]]] = {
        "electronegativity": ("Pauling", electronegativities()),  # those that make the order
        "melting_temperature": ("K", magpie_table("nan", ("MeltingT",)).values[:, 0]),
    }
    columns = [
        own[name] if name in own else (sites.units[sites.properties.index(name)], sites.column(name))
        for name in _PROPERTIES
    ]
    values = np.stack([values for _, values in columns], axis=1)
    return ElementTable(_PROPERTIES, tuple(unit for unit, _ in columns), values, sites.citations[:2]).filled(missing)
