"""Features of compositions: formulas, pymatgen compositions, or the rows of a candidate table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError, nearest
from matscout.featurizers.amounts import Amounts, AmountTable, amounts_of_table, iterate_amounts
from matscout.featurizers.elements import (
    MAGPIE_CITATION,
    N_ELEMENTS,
    ElementTable,
    magpie_table,
    period_group_table,
    symbols,
)
from matscout.featurizers.statistics import STATISTICS, fill_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

CHUNK_ROWS = 16_384
"""Rows worked on at a time: bounds the memory beside the result."""


class Encoding(ABC):
    """One way to write amounts as numbers: the inside of a preset."""

    names: tuple[str, ...]
    citations: tuple[str, ...]

    @abstractmethod
    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
        """Write the features of n compositions into `out`, shape (n, len(names))."""


class PropertyStatistics(Encoding):
    """Minimum, maximum, range, mean, mean deviation and mode of element properties."""

    def __init__(self, table: ElementTable, prefix: str = "") -> None:
        self.names = tuple(f"{prefix}{statistic} {name}" for name in table.properties for statistic in STATISTICS)
        self.citations = table.citations
        self._values = table.values

    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
        """See `fill_statistics`."""
        fill_statistics(amounts, self._values, out)


class ElementFractions(Encoding):
    """Atomic fraction of each element."""

    citations = ("Jha et al., ElemNet, Sci. Rep. 8, 17593 (2018), doi:10.1038/s41598-018-35934-y",)

    def __init__(self) -> None:
        self.names = symbols()[1:]

    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
        """Write fractions that sum to 1 in each row."""
        _fill_fractions(amounts, np.arange(N_ELEMENTS + 1) - 1, out)


class PeriodAndGroup(Encoding):
    """Statistics of period and group, and the atomic fraction in each period, group and the f block."""

    citations = (
        "Faber et al., Machine learning energies of 2 million elpasolite crystals, Phys. Rev. Lett. 117, 135502 (2016)",
    )

    def __init__(self) -> None:
        table = period_group_table()
        self._statistics = PropertyStatistics(table)
        periods, groups = (np.nan_to_num(column).astype(int) for column in table.values.T)
        numbers = np.arange(N_ELEMENTS + 1)
        in_f_block = ((numbers >= 57) & (numbers <= 70)) | ((numbers >= 89) & (numbers <= 102))
        self._column_of = (periods - 1, np.where(in_f_block, 18, groups - 1))
        self.names = (
            *self._statistics.names,
            *(f"fraction period {period}" for period in range(1, 8)),
            *(f"fraction group {group}" for group in range(1, 19)),
            "fraction f block",
        )

    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
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

    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
        """Write the norms: 1 for an element, smaller the more evenly atoms spread over elements."""
        fractions = amounts.values / amounts.values.sum(axis=1, keepdims=True)
        out[:, 0] = np.count_nonzero(amounts.values, axis=1)
        for column, p in enumerate(self._powers[1:], start=1):
            out[:, column] = (fractions**p).sum(axis=1) ** (1 / p)


PRESETS: dict[str, Callable[[], Encoding]] = {
    "magpie": lambda: PropertyStatistics(magpie_table(), prefix="MagpieData "),
    "period_group": PeriodAndGroup,
    "fractions": ElementFractions,
    "stoichiometry": Norms,
}
"""Known presets."""


class CompositionFeaturizer:
    """Numbers from compositions.

    Parameters
    ----------
    preset
        magpie
            132 statistics of element properties: columns, names and values of matminer's
            ``ElementProperty.from_preset("magpie")``. As there by default, an element without a value in Magpie's
            tables has the mean of the property over all elements that have one.
        period_group
            Statistics of period and group, and the atomic fraction in each period, each group and the f block.
        fractions
            Atomic fraction of each of the 118 elements.
        stoichiometry
            p-norms of the atomic fractions.

        Deuterium and tritium count as hydrogen, species as their element.

    Attributes
    ----------
    feature_names
        Names of the columns.
    citations
        Sources to cite.

    Raises
    ------
    UserError
        The preset is unknown.

    Examples
    --------
    >>> featurizer = CompositionFeaturizer("stoichiometry")
    >>> featurizer.transform(["Fe2O3", "SrTiO3"]).round(3)[:, :3]
    array([[2.   , 0.721, 0.654],
           [3.   , 0.663, 0.614]])
    """

    feature_names: tuple[str, ...]
    citations: tuple[str, ...]

    def __init__(self, preset: str = "magpie") -> None:
        if preset not in PRESETS:
            near = nearest(preset, PRESETS)
            hint = f"Did you mean {near}? " if near else ""
            raise UserError(f'unknown composition preset "{preset}". {hint}Known: {", ".join(PRESETS)}.')
        self.preset = preset
        self._encoding = PRESETS[preset]()
        self.feature_names = self._encoding.names
        self.citations = self._encoding.citations

    def transform(self, compositions: AmountTable | Iterable[str | Composition]) -> NDArray[np.float64]:
        """Features of each composition.

        Parameters
        ----------
        compositions
            Formulas, pymatgen compositions, or a `CandidateTable`, whose amounts are taken as they are.

        Returns
        -------
        Shape (n, n_features). Beside it, memory is bounded whatever n.

        Raises
        ------
        UserError
            A row cannot be read; the message names it.
        """
        if isinstance(compositions, str):
            raise UserError(f"expected a list of formulas, got the single text {compositions!r}; put it into a list")
        if not isinstance(compositions, (AmountTable, Sequence)):
            compositions = list(compositions)
        out = np.empty((len(compositions), len(self.feature_names)))
        for rows, amounts in iterate_amounts(compositions, CHUNK_ROWS):
            self._encoding.fill(amounts, out[rows])
        return out

    def fill(self, table: AmountTable, out: NDArray[np.float64]) -> None:
        """Write the features of a (part of a) candidate table into `out`, shape (n, n_features)."""
        self._encoding.fill(amounts_of_table(table), out)


def _fill_fractions(amounts: Amounts, column_of: NDArray[np.intp], out: NDArray[np.float64]) -> None:
    """Add up the atomic fractions of the elements that share a column; `column_of` is by atomic number."""
    out[:] = 0
    fractions = amounts.values / amounts.values.sum(axis=1, keepdims=True)
    rows = np.arange(len(amounts))
    for j in range(amounts.elements.shape[1]):
        out[rows, column_of[amounts.elements[:, j]]] += fractions[:, j]
