"""Ways to write amounts as numbers: the inside of the presets of `CompositionFeaturizer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols
from matscout.featurizers.amounts import row_sums
from matscout.featurizers.base import ELEMENT_DATA
from matscout.featurizers.elements import MAGPIE_CITATION, period_group_table
from matscout.featurizers.statistics import STATISTICS, fill_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.elements import ElementTable

    Out = NDArray[np.floating[Any]]

FABER_CITATION = (
    "Faber, Lindmaa, von Lilienfeld, Armiento, Machine learning energies of 2 million elpasolite (ABC2D6) crystals, "
    "Phys. Rev. Lett. 117, 135502 (2016), doi:10.1103/PhysRevLett.117.135502"
)

BLOCK_ROWS = 4096
"""Rows worked on at a time, where a row takes a few numbers beside the result."""


class Encoding(ABC):
    """One way to write amounts as numbers.

    Attributes
    ----------
    names
        Names of the columns, each one once.
    units
        Unit of each column, "" where it has none.
    citations
        Sources to cite.
    software
        Packages whose release changes the numbers.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    citations: tuple[str, ...]
    software: tuple[str, ...] = ()

    @abstractmethod
    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the features of n compositions into `out`, shape (n, len(names))."""


class PropertyStatistics(Encoding):
    """Minimum, maximum, range, mean, mean deviation and mode of element properties."""

    def __init__(self, table: ElementTable, prefix: str = "", software: tuple[str, ...] = ()) -> None:
        self.names = tuple(f"{prefix}{statistic} {name}" for name in table.properties for statistic in STATISTICS)
        self.units = tuple(unit for unit in table.units for _ in STATISTICS)
        self.citations = table.citations
        self.software = software
        self._values = table.values

    def fill(self, amounts: Amounts, out: Out) -> None:
        """See `fill_statistics`."""
        fill_statistics(amounts, self._values, out)


class ElementFractions(Encoding):
    """Atomic fraction of each element."""

    citations = ("Jha et al., ElemNet, Sci. Rep. 8, 17593 (2018), doi:10.1038/s41598-018-35934-y",)

    def __init__(self) -> None:
        self.names = symbols()[1:]
        self.units = ("",) * len(self.names)

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write fractions that sum to 1 in each row."""
        _fill_fractions(amounts, np.arange(N_ELEMENTS) - 1, out)


class PeriodAndGroup(Encoding):
    """Statistics of period and group, and the atomic fraction in each period, group and the f block."""

    citations = (FABER_CITATION,)
    software = ELEMENT_DATA

    def __init__(self) -> None:
        table = period_group_table()
        self._statistics = PropertyStatistics(table)
        periods, groups = (np.nan_to_num(column).astype(int) for column in table.values.T)
        numbers = np.arange(N_ELEMENTS)
        in_f_block = ((numbers >= 57) & (numbers <= 70)) | ((numbers >= 89) & (numbers <= 102))
        self._column_of = (periods - 1, np.where(in_f_block, 18, groups - 1))
        self.names = (
            *self._statistics.names,
            *(f"fraction period {period}" for period in range(1, 8)),
            *(f"fraction group {group}" for group in range(1, 19)),
            "fraction f block",
        )
        self.units = ("",) * len(self.names)

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the statistics, then fractions that sum to 1 over the periods, and over groups and f block."""
        n = len(self._statistics.names)
        self._statistics.fill(amounts, out[:, :n])
        _fill_fractions(amounts, self._column_of[0], out[:, n : n + 7])
        _fill_fractions(amounts, self._column_of[1], out[:, n + 7 :])


class Norms(Encoding):
    """p-norms of the atomic fractions; the 0-norm counts the elements."""

    citations = (MAGPIE_CITATION,)
    _powers = (0, 2, 3, 5, 7, 10)

    def __init__(self) -> None:
        self.names = tuple(f"{p}-norm" for p in self._powers)
        self.units = ("",) * len(self.names)

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the norms: 1 for an element, smaller the more evenly atoms spread over elements."""
        for rows, elements, values in amounts.blocks(BLOCK_ROWS):
            fractions = values / row_sums(values)[:, None]
            square = fractions * fractions  # products: NumPy's powers take ten times as long
            cube = square * fractions
            fifth = cube * square
            powers = {2: square, 3: cube, 5: fifth, 7: fifth * square, 10: fifth * fifth}
            out[rows, 0] = elements.shape[1]
            for column, p in enumerate(self._powers[1:], start=1):
                out[rows, column] = row_sums(powers[p]) ** (1 / p)


def _fill_fractions(amounts: Amounts, column_of: NDArray[np.intp], out: Out) -> None:
    """Add up the atomic fractions of the elements that share a column; `column_of` is by atomic number."""
    for rows, elements, values in amounts.blocks(BLOCK_ROWS):
        fractions = values / row_sums(values)[:, None]
        columns = column_of[elements]
        block = np.zeros((len(elements), out.shape[1]))
        each = np.arange(len(elements))
        for j in range(elements.shape[1]):
            block[each, columns[:, j]] += fractions[:, j]
        out[rows] = block
