"""Charge neutrality, without a loop over candidates or over their possible charges.

The roles are divided into two halves. For each half the charges it can have are written as a row of bits; a candidate
can be neutral where a charge of the first half meets its opposite of the second. Candidates share halves (40 elements
in two roles give 1,560 of them, however many candidates there are), so the rows of bits are few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers
from matscout.workflows.enumeration.filters._options import check_flag
from matscout.workflows.enumeration.filters.assignments import neutral_assignments, row_codes
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

_MAX_CHARGE = 9


@dataclass(frozen=True)
class ChargeNeutrality:
    """Keep candidates for which some choice of oxidation states, one per role, adds up to zero.

    Elements have no state 0, so a neutral candidate has cations and anions; compounds of metals alone are removed, and
    so are candidates with an element that has no oxidation state in the table. Elements that a role names as ions
    (Fe3+) have only those states there, see `oxidation.charges_of_roles`.

    Parameters
    ----------
    oxidation_states
        `common` (pymatgen's common states with a few additions, see `filters.oxidation`), `icsd` (those
        found in the ICSD), `all`, or states by element symbol.
    assign
        Add a column `charge_<role>` for each role, integers: of the neutral assignments the one whose ions are the
        most frequent in the ICSD (pymatgen's counts, added up over the atoms of a formula unit, as
        `Composition.oxi_state_guesses` ranks them), of equally frequent ones that with the smallest charges, then the
        one with the lower charge in the first role that differs. 0 where there is none, and in roles that a prototype
        lacks.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> enumerate_candidates("rock-salt", ["Na", "Mg", "O", "F"], [ChargeNeutrality()]).formulas
    ['NaF', 'MgO']
    >>> space = {"A": ["Fe"], "B": ["Ti"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [ChargeNeutrality(assign=True)])
    >>> {name: charges.tolist() for name, charges in table.columns.items()}
    {'charge_A': [2], 'charge_B': [4], 'charge_X': [-2]}
    """

    oxidation_states: OxidationStates = "common"
    assign: bool = False
    name: str = field(default="charge-neutrality", init=False)

    def __post_init__(self) -> None:
        charge_table(self.oxidation_states)  # refuses what it does not know
        check_flag(self.name, "assign", self.assign)

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        common = charge_table(self.oxidation_states)
        keep = np.zeros(len(table), dtype=bool)
        columns: dict[str, NDArray[np.int8]] = {}
        if self.assign:
            roles = dict.fromkeys(role for prototype in table.prototypes for role in prototype.roles)
            columns = {f"charge_{role}": np.zeros(len(table), dtype=np.int8) for role in roles}
        for prototype, rows in parts_by_prototype(table):
            amounts = prototype.reduced_multiplicity
            decoration = table.decoration[rows, : len(amounts)]
            tables = charges_of_roles(prototype, common, table.oxidation_states)
            neutral = can_be_neutral(decoration, amounts, tables)
            keep[rows] = neutral
            if self.assign:
                charges = most_frequent_assignment(decoration[neutral], amounts, tables)
                for role, name in enumerate(prototype.roles):
                    columns[f"charge_{name}"][rows[neutral]] = charges[:, role]
        return FilterResult(keep, columns=columns)


def most_frequent_assignment(
    decoration: NDArray[np.uint8], amounts: NDArray[np.int64], tables: Sequence[ChargeTable]
) -> NDArray[np.int8]:
    """Choose one neutral assignment for each candidate, as `ChargeNeutrality` describes it.

    Parameters
    ----------
    decoration
        Atomic numbers by role, shape (n, n_roles).
    amounts
        Atoms of each role in a formula unit, shape (n_roles,).
    tables
        Oxidation states of the elements in each role.

    Returns
    -------
    Charges by role, shape (n, n_roles); 0 where there is no neutral assignment.
    """
    best = np.zeros(decoration.shape, dtype=np.int8)
    score = np.full(len(decoration), -np.inf)
    for rows, charges in neutral_assignments(decoration, amounts, tables).rounds():
        counts = _ion_counts()[decoration[rows], charges.astype(np.intp) + _MAX_CHARGE] @ amounts
        size = np.abs(charges.astype(np.int64)) @ amounts
        value = counts - size / (1 + size)  # counts are whole numbers: the size decides between equal ones alone
        better = value > score[rows]
        score[rows[better]] = value[better]
        best[rows[better]] = charges[better]
    return best


@cache
def _ion_counts() -> NDArray[np.float64]:
    """How often the ICSD has an ion, by atomic number and charge + 9, shape (119, 19)."""
    from pymatgen.core.composition import Composition

    if Composition.oxi_prob is None:
        Composition("NaCl").oxi_state_guesses()  # reads the counts
    counts = np.zeros((N_ELEMENTS, 2 * _MAX_CHARGE + 1))
    for ion, count in (Composition.oxi_prob or {}).items():
        if ion.oxi_state and abs(ion.oxi_state) <= _MAX_CHARGE and ion.symbol in atomic_numbers():
            counts[atomic_numbers()[ion.symbol], round(ion.oxi_state) + _MAX_CHARGE] = count
    return counts


def can_be_neutral(
    decoration: NDArray[np.integer], amounts: NDArray[np.int64], tables: Sequence[ChargeTable]
) -> NDArray[np.bool_]:
    """Whether some choice of oxidation states, one per role, is neutral.

    Parameters
    ----------
    decoration
        Atomic numbers by role, shape (n, n_roles), or other rows of the tables.
    amounts
        Atoms of each role in a formula unit, shape (n_roles,).
    tables
        Oxidation states of the elements in each role.

    Returns
    -------
    Shape (n,).
    """
    half = (len(amounts) + 1) // 2
    largest = [int(amount) * table.largest for amount, table in zip(amounts, tables, strict=True)]
    span = min(sum(largest[:half]), sum(largest[half:]))  # charges beyond the other half's reach never meet theirs
    first, of_first = _reachable(decoration[:, :half], amounts[:half], tables[:half], span)
    second, of_second = _reachable(decoration[:, half:], -amounts[half:], tables[half:], span)
    meet: NDArray[np.bool_] = (first[of_first] & second[of_second]) != 0
    return np.asarray(meet.any(axis=1))


def _reachable(
    decoration: NDArray[np.integer], amounts: NDArray[np.int64], tables: Sequence[ChargeTable], span: int
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Charges from -span to span that some roles can have together, as bits, and which row of these a candidate has."""
    if not decoration.shape[1]:
        wide = np.zeros((1, 2 * span + 1), dtype=bool)
        wide[:, span] = True
        return np.packbits(wide, axis=1), np.zeros(len(decoration), dtype=np.intp)
    inverse = row_codes(list(decoration.T))
    halves = decoration[np.unique(inverse, return_index=True)[1]]
    margin = sum(abs(int(amount)) * table.largest for amount, table in zip(amounts, tables, strict=True))
    reach = np.zeros((len(halves), 2 * margin + 1), dtype=bool)
    reach[:, margin] = True
    for role, (amount, table) in enumerate(zip(amounts.tolist(), tables, strict=True)):
        reach = _with_role(reach, halves[:, role], amount, table)
    wide = np.zeros((len(halves), 2 * span + 1), dtype=bool)
    common = min(span, margin)
    wide[:, span - common : span + common + 1] = reach[:, margin - common : margin + common + 1]
    return np.packbits(wide, axis=1), inverse


def _with_role(
    reach: NDArray[np.bool_], numbers: NDArray[np.integer], amount: int, table: ChargeTable
) -> NDArray[np.bool_]:
    """Charges after one more role: those before, shifted by each of its element's states."""
    states = table.charges[numbers]
    valid = np.arange(states.shape[1]) < table.valid[numbers][:, None]
    after = np.zeros_like(reach)
    for state in np.unique(states[valid]).tolist():
        having = np.flatnonzero(((states == state) & valid).any(axis=1))
        # np.roll brings nothing round: the row has room for the largest charge on either side
        after[having] |= np.roll(reach[having], amount * state, axis=1)
    return after
