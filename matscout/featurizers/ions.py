"""How ionic a composition is: whether charges can balance, and how far electronegativities lie apart."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, electronegativities
from matscout.featurizers.amounts import row_sums
from matscout.featurizers.base import ELEMENT_DATA
from matscout.featurizers.elements import MAGPIE_CITATION, PYMATGEN_CITATION, mean_for_unknown
from matscout.featurizers.encodings import BLOCK_ROWS, Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.elements import Missing
    from matscout.featurizers.encodings import Out

_NEUTRAL = 1e-8  # numpy.isclose to 0, as matminer
_MOST_COMBINATIONS = 512  # of oxidation states, of one composition, that are all written out
_MOST_CHARGES = 1 << 15  # that some of the elements of one composition may add up to


class IonicCharacter(Encoding):
    """Whether a neutral ionic compound is possible, and the ionic character of its pairs of elements.

    Columns, values as of matminer's ``IonProperty(fast=True)`` for compositions without oxidation states:

    compound possible
        1 where one common oxidation state (pymatgen's) for each element makes the formula neutral, else 0; 1 for an
        element alone. Iron in Fe3O4, which has two at once, is 0. NaN for the rare composition of so many elements, of
        so odd amounts, that it would take too long to tell.
    max ionic char, avg ionic char
        Pauling's ionic character 1 - exp(-(X_A - X_B)^2 / 4): that of the pair with the largest, and the sum over
        pairs, each weighed by the product of the two atomic fractions.

    Parameters
    ----------
    missing
        What an element without an electronegativity gets.
    """

    names = ("compound possible", "max ionic char", "avg ionic char")
    units = ("", "", "")
    citations = (
        MAGPIE_CITATION,
        "Pauling, The Nature of the Chemical Bond, J. Am. Chem. Soc. 54, 3570 (1932), doi:10.1021/ja01348a011",
        PYMATGEN_CITATION,
    )
    software = ELEMENT_DATA

    def __init__(self, missing: Missing = "mean") -> None:
        values = electronegativities()
        if missing == "mean":
            values = mean_for_unknown(values)
        self._character = 1 - np.exp(-0.25 * (values[:, None] - values) ** 2)

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the three columns."""
        for rows, elements, values in amounts.blocks(BLOCK_ROWS):
            if elements.shape[1] == 1:
                out[rows] = (1.0, 0.0, 0.0)
                continue
            out[rows, 0] = can_be_neutral(elements, values)
            out[rows, 1:] = self._pairs(elements, values / row_sums(values)[:, None])

    def _pairs(self, elements: NDArray[np.uint8], fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest and mean ionic character, shape (m, 2)."""
        largest, mean = np.zeros((2, len(elements)))
        for j in range(1, elements.shape[1]):
            for i in range(j):
                character = self._character[elements[:, i], elements[:, j]]
                np.maximum(largest, character, out=largest)
                mean += fractions[:, i] * fractions[:, j] * character
        return np.column_stack([largest, mean])


@cache
def common_states() -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return common oxidation states by atomic number, shape (119, most of one), and how many each has."""
    from pymatgen.core.periodic_table import Element

    states = [tuple(Element.from_Z(z).common_oxidation_states) for z in range(1, N_ELEMENTS)]
    charges = np.zeros((N_ELEMENTS, max(map(len, states))))
    for z, of_element in enumerate(states, start=1):
        charges[z, : len(of_element)] = of_element
    return charges, np.array([0, *map(len, states)], dtype=np.uint8)


def can_be_neutral(elements: NDArray[np.uint8], amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whether one common oxidation state for each element makes a composition neutral.

    Parameters
    ----------
    elements, amounts
        Atomic numbers and amounts of m compositions of k elements each, shape (m, k).

    Returns
    -------
    1 or 0, or NaN where it would take too long to tell, shape (m,).

    Examples
    --------
    >>> can_be_neutral(np.array([[26, 8], [26, 8]], dtype=np.uint8), np.array([[2.0, 3.0], [3.0, 4.0]]))
    array([1., 0.])
    """
    counts = common_states()[1][elements].astype(np.intp)
    combinations = np.prod(counts, axis=1, dtype=float)
    neutral = np.zeros(len(elements))
    rows = np.flatnonzero((combinations > 0) & (combinations <= _MOST_COMBINATIONS))
    neutral[rows] = _any_neutral(elements[rows], amounts[rows], counts[rows])
    for row in np.flatnonzero(combinations > _MOST_COMBINATIONS).tolist():
        neutral[row] = _finds_neutral(elements[row], amounts[row], counts[row].tolist())
    return neutral


def _any_neutral(
    elements: NDArray[np.uint8], amounts: NDArray[np.float64], counts: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether any combination is neutral, shape (m,); `counts` says how many states each element has."""
    states = common_states()[0]
    neutral = np.zeros(len(elements), dtype=bool)
    rows, charges = np.arange(len(elements)), np.zeros(len(elements))  # of each combination of the first elements
    for element, amount, count in zip(elements.T, amounts.T, counts.T, strict=True):
        ends = np.cumsum(count[rows])
        first = np.repeat(ends - count[rows], count[rows])
        charges = np.repeat(charges, count[rows])
        rows = np.repeat(rows, count[rows])
        charges += states[element[rows], np.arange(len(rows)) - first] * amount[rows]
    neutral[rows[np.abs(charges) <= _NEUTRAL]] = True
    return neutral


def _finds_neutral(elements: NDArray[np.uint8], amounts: NDArray[np.float64], widths: list[int]) -> float:
    """Tell it for one composition with many combinations, by the charges that its first elements can add up to."""
    charges = common_states()[0]
    choices = [charges[z, :width] * amount for z, amount, width in zip(elements, amounts, widths, strict=True)]
    lowest = np.cumsum([choice.min() for choice in choices[::-1]])[::-1]
    highest = np.cumsum([choice.max() for choice in choices[::-1]])[::-1]
    sums = np.zeros(1)
    for choice, low, high in zip(choices, lowest, highest, strict=True):
        sums = sums[(sums + low <= _NEUTRAL) & (sums + high >= -_NEUTRAL)]  # those that the others can still balance
        if len(sums) > _MOST_CHARGES:
            return np.nan
        sums = np.unique((sums[:, None] + choice).round(11))
    return float((np.abs(sums) <= _NEUTRAL).any())
