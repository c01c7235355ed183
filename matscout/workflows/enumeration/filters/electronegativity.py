"""The order of electronegativities in a neutral compound, as SMACT tests it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS, electronegativities
from matscout.errors import UserError
from matscout.workflows.enumeration.filters._options import check_choice, check_flag, check_number
from matscout.workflows.enumeration.filters.neutrality import can_be_neutral
from matscout.workflows.enumeration.filters.oxidation import (
    ChargeTable,
    OxidationStates,
    charge_table,
    charges_of_roles,
)
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable


class _Sign(IntEnum):
    """Which charges an element may have in a role."""

    ANY = 0
    CATION = 1
    ANION = 2
    NONE = 3


@dataclass(frozen=True)
class ElectronegativityOrder:
    """Keep candidates with a neutral assignment in which every cation is less electronegative than every anion.

    The rule is that of `smact.screening.pauling_test`, applied to all neutral assignments of oxidation states, one per
    role: a candidate stays if any of them passes. No assignment is listed: for each element that could be the most
    electronegative cation the signs of all others follow, and neutrality with given signs is asked for as
    `ChargeNeutrality` does. A candidate without a neutral assignment is removed.

    Parameters
    ----------
    threshold
        With 0 a cation must be less electronegative than every anion. A positive value lets it be more electronegative
        by at most so much, as SMACT's `threshold`; a negative one asks for a difference of at least so much. On
        Pauling's scale.
    repeat_cations, repeat_anions
        With false no element may be a cation, or an anion, in two roles; with both false none may fill two roles at
        all. They matter where elements repeat.
    unknown
        What happens to candidates that can be neutral but hold an element without a Pauling electronegativity: `drop`,
        as SMACT does, or `keep`.
    oxidation_states
        As for `ChargeNeutrality`.

    References
    ----------
    Davies et al., Journal of Open Source Software 4, 1361 (2019), doi:10.21105/joss.01361 (SMACT).

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Na", "P"], "X": ["Cl", "B"]}
    >>> enumerate_candidates("rock-salt", space, [ElectronegativityOrder()]).formulas
    ['NaCl', 'BP']
    """

    threshold: float = 0.0
    repeat_cations: bool = True
    repeat_anions: bool = True
    unknown: Literal["keep", "drop"] = "drop"
    oxidation_states: OxidationStates = "common"
    name: str = field(default="electronegativity-order", init=False)

    def __post_init__(self) -> None:
        check_number(self.name, "threshold", self.threshold, "a number", lowest=-np.inf)
        check_flag(self.name, "repeat_cations", self.repeat_cations)
        check_flag(self.name, "repeat_anions", self.repeat_anions)
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))
        charge_table(self.oxidation_states)
        if self.threshold > 0 and self.repeat_cations != self.repeat_anions:
            raise UserError(
                f"{self.name}: with a threshold of {self.threshold} repeat_cations and repeat_anions must be the same, "
                "as an element can be a cation in one role and an anion in another"
            )

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        common = charge_table(self.oxidation_states)
        keep = np.zeros(len(table), dtype=bool)
        unknown = np.zeros(len(table), dtype=bool)
        for prototype, rows in parts_by_prototype(table):
            amounts = prototype.reduced_multiplicity
            decoration = table.decoration[rows, : len(amounts)]
            tables = charges_of_roles(prototype, common, table.oxidation_states)
            neutral = can_be_neutral(decoration, amounts, tables)
            unjudged = neutral & np.isnan(electronegativities()[decoration]).any(axis=1)
            unknown[rows] = unjudged
            judged = np.flatnonzero(neutral & ~unjudged)
            keep[rows[judged]] = self._ordered(decoration[judged], amounts, tables)
        if self.unknown == "keep":
            keep |= unknown
        return FilterResult(keep, int(unknown.sum()))

    def _ordered(
        self, decoration: NDArray[np.uint8], amounts: NDArray[np.int64], tables: Sequence[ChargeTable]
    ) -> NDArray[np.bool_]:
        """Whether a neutral assignment is in order, shape (n,)."""
        signed = [_by_sign(table) for table in tables]
        passed = np.zeros(len(decoration), dtype=bool)
        for role in range(decoration.shape[1]):
            open_rows = np.flatnonzero(~passed)
            elements = decoration[open_rows]
            signs = self._signs(electronegativities()[elements], role)
            allowed = self._may_repeat(elements, signs)
            rows = open_rows[allowed]
            coded = elements[allowed] + N_ELEMENTS * signs[allowed]
            passed[rows] = can_be_neutral(coded, amounts, signed)
        return passed

    def _signs(self, values: NDArray[np.float64], role: int) -> NDArray[np.intp]:
        """Signs that roles may have where no cation is more electronegative than that of one role, (n, n_roles)."""
        most = values[:, role, None]
        anion = values > most
        beyond = most - values > self.threshold  # written as SMACT writes it, so that rounding falls alike
        cation = ~anion if self.threshold <= 0 else beyond
        signs = np.where(anion, _Sign.ANION, np.where(cation, _Sign.CATION, _Sign.ANY))
        if self.threshold < 0:
            signs[anion & beyond] = _Sign.NONE
        return signs

    def _may_repeat(self, elements: NDArray[np.uint8], signs: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether no element repeats where it may not, shape (n,)."""
        allowed = np.ones(len(elements), dtype=bool)
        if self.repeat_cations and self.repeat_anions:
            return allowed
        refused = [
            sign for sign, may in ((_Sign.CATION, self.repeat_cations), (_Sign.ANION, self.repeat_anions)) if not may
        ]
        for first in range(elements.shape[1]):
            for second in range(first):
                same = elements[:, first] == elements[:, second]
                if len(refused) == 1:
                    same &= (signs[:, first] == refused[0]) & (signs[:, second] == refused[0])
                allowed &= ~same
        return allowed


def _by_sign(table: ChargeTable) -> ChargeTable:
    """Stack tables of any charges, of cations, of anions and of none: `number + 119 * sign` is an element's row."""
    charges, valid = table
    place = np.arange(charges.shape[1])
    there = place < valid[:, None]
    kept = [there, there & (charges > 0), there & (charges < 0), np.zeros_like(there)]
    stacked = np.concatenate([_to_front(charges, mask) for mask in kept])
    return ChargeTable(stacked, np.concatenate([mask.sum(axis=1) for mask in kept]))


def _to_front(charges: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    order = np.argsort(~mask, axis=1, kind="stable")
    return np.where(np.take_along_axis(mask, order, 1), np.take_along_axis(charges, order, 1), 0)
