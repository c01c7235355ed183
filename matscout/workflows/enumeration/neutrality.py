"""Charge neutrality, without a loop over candidates or over their possible charges.

The roles are divided into two halves. For each half the charges it can have are written as a row of bits; a candidate
can be neutral where a charge of the first half meets its opposite of the second. Candidates share halves (40 elements
in two roles give 1,560 of them, however many candidates there are), so the rows of bits are few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.workflows.enumeration.oxidation import ChargeTable, OxidationStates, charge_table
from matscout.workflows.enumeration.rules import FilterResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable

_CHUNK = 1 << 17


@dataclass(frozen=True)
class ChargeNeutrality:
    """Keep candidates for which some choice of oxidation states, one per role, adds up to zero.

    Elements have no state 0, so a neutral candidate has cations and anions; compounds of metals alone are removed, and
    so are candidates with an element that has no oxidation state in the table.

    Parameters
    ----------
    oxidation_states
        `common` (pymatgen's common states with a few additions, see `oxidation.MISSING_COMMON_STATES`), `icsd` (those
        found in the ICSD), `all`, or states by element symbol.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> enumerate_candidates("rock-salt", ["Na", "Mg", "O", "F"], [ChargeNeutrality()]).formulas
    ['NaF', 'MgO']
    """

    oxidation_states: OxidationStates = "common"
    name: str = field(default="charge-neutrality", init=False)

    def __post_init__(self) -> None:
        charge_table(self.oxidation_states)  # refuses what it does not know

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        charges = charge_table(self.oxidation_states)
        keep = np.zeros(len(table), dtype=bool)
        for prototype, rows in table.by_prototype():
            amounts = prototype.reduced_multiplicity
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                keep[part] = can_be_neutral(table.decoration[part, : len(amounts)], amounts, charges)
        return FilterResult(keep)


def can_be_neutral(
    decoration: NDArray[np.uint8], amounts: NDArray[np.int64], charges: ChargeTable
) -> NDArray[np.bool_]:
    """Whether some choice of oxidation states, one per role, is neutral.

    Parameters
    ----------
    decoration
        Atomic numbers by role, shape (n, n_roles).
    amounts
        Atoms of each role in a formula unit, shape (n_roles,).
    charges
        Oxidation states of the elements.

    Returns
    -------
    Shape (n,).
    """
    half = (len(amounts) + 1) // 2
    largest = [int(amount) * int(np.abs(charges.charges).max()) for amount in amounts]
    span = min(sum(largest[:half]), sum(largest[half:]))  # charges beyond the other half's reach never meet theirs
    first, of_first = _reachable(decoration[:, :half], amounts[:half], charges, span)
    second, of_second = _reachable(decoration[:, half:], -amounts[half:], charges, span)
    meet: NDArray[np.bool_] = (first[of_first] & second[of_second]) != 0
    return np.asarray(meet.any(axis=1))


def _reachable(
    decoration: NDArray[np.uint8], amounts: NDArray[np.int64], charges: ChargeTable, span: int
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Charges from -span to span that some roles can have together, as bits, and which row of these a candidate has."""
    code = decoration @ (N_ELEMENTS ** np.arange(decoration.shape[1], dtype=np.int64))
    _, places, inverse = np.unique(code, return_index=True, return_inverse=True)
    halves = decoration[places]
    margin = sum(abs(int(amount)) for amount in amounts) * int(np.abs(charges.charges).max())
    reach = np.zeros((len(halves), 2 * margin + 1), dtype=bool)
    reach[:, margin] = True
    for role, amount in enumerate(amounts.tolist()):
        reach = _with_role(reach, halves[:, role], amount, charges)
    wide = np.zeros((len(halves), 2 * span + 1), dtype=bool)
    common = min(span, margin)
    wide[:, span - common : span + common + 1] = reach[:, margin - common : margin + common + 1]
    return np.packbits(wide, axis=1), inverse


def _with_role(
    reach: NDArray[np.bool_], numbers: NDArray[np.uint8], amount: int, charges: ChargeTable
) -> NDArray[np.bool_]:
    """Charges after one more role: those before, shifted by each of its element's states."""
    states = charges.charges[numbers]
    valid = np.arange(states.shape[1]) < charges.valid[numbers][:, None]
    after = np.zeros_like(reach)
    for state in np.unique(states[valid]).tolist():
        having = np.flatnonzero(((states == state) & valid).any(axis=1))
        # np.roll brings nothing round: the row has room for the largest charge on either side
        after[having] |= np.roll(reach[having], amount * state, axis=1)
    return after
