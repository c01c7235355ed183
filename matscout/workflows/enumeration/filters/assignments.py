"""Neutral assignments of oxidation states: all of them, for many candidates at once.

Candidates whose elements have the same sets of states share their assignments, and such sets are few (main-group
elements have about twenty). So the search runs over distinct rows of sets, role by role, dropping a choice as soon as
the roles to come cannot make up for it; candidates then only look their assignments up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.enumeration.filters.oxidation import ChargeTable

#: Choices held in memory at once while searching.
_BLOCK = 1 << 21


def row_codes(columns: Sequence[NDArray[np.integer]]) -> NDArray[np.intp]:
    """Give each distinct row of some columns a number, from 0 in their order; shape (n,).

    Columns are taken one after the other, so that no product of their ranges can overflow.
    """
    codes = np.zeros(len(columns[0]), dtype=np.intp)
    for column in columns:
        codes = np.unique(codes * (int(column.max(initial=0)) + 1) + column, return_inverse=True)[1]
    return codes


class Assignments(NamedTuple):
    """Neutral assignments of some candidates.

    Parameters
    ----------
    of_row
        Which group of candidates a row belongs to, shape (n,).
    first
        Where the assignments of each group begin, and where those of the last end, shape (n_groups + 1,).
    charges
        Charge of each role, shape (n_assignments, n_roles), in lexicographic order within a group.
    """

    of_row: NDArray[np.intp]
    first: NDArray[np.intp]
    charges: NDArray[np.int8]

    @property
    def counts(self) -> NDArray[np.intp]:
        """Number of neutral assignments of each candidate, shape (n,)."""
        return np.diff(self.first)[self.of_row]

    def rounds(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int8]]]:
        """Give the candidates' first assignments, then their second ones, and so on.

        Each round has the rows that have one more, shape (m,), and the charges of their roles, shape (m, n_roles).
        """
        counts = self.counts
        rows = np.flatnonzero(counts)
        place = 0
        while len(rows):
            yield rows, self.charges[self.first[self.of_row[rows]] + place]
            place += 1
            rows = rows[counts[rows] > place]


def neutral_assignments(
    decoration: NDArray[np.uint8], amounts: NDArray[np.int64], tables: Sequence[ChargeTable]
) -> Assignments:
    """Find every choice of oxidation states, one per role, that adds up to zero.

    Parameters
    ----------
    decoration
        Atomic numbers by role, shape (n, n_roles).
    amounts
        Atoms of each role in a formula unit, shape (n_roles,).
    tables
        Oxidation states of the elements in each role.

    Examples
    --------
    >>> from matscout.workflows.enumeration.filters.oxidation import charge_table
    >>> lead_titanate = np.array([[82, 22, 8]], dtype=np.uint8)
    >>> neutral_assignments(lead_titanate, np.array([1, 1, 3]), [charge_table()] * 3).charges.tolist()
    [[2, 4, -2], [4, 2, -2]]
    """
    sets = [_state_sets(table) for table in tables]
    columns = [numbers[decoration[:, role]] for role, (numbers, _) in enumerate(sets)]
    of_row = row_codes(columns)
    places = np.unique(of_row, return_index=True)[1]
    rows = np.stack([column[places] for column in columns], axis=1)
    states = [of_set for _, of_set in sets]
    choices = np.prod([len(of_set[0]) for of_set in states[:-1]], dtype=float)
    block = max(1, int(_BLOCK / max(choices, 1)))
    parts = [_search(rows[start : start + block], amounts, states) for start in range(0, len(rows), block)]
    counts = np.concatenate([count for count, _ in parts]) if parts else np.zeros(0, dtype=np.intp)
    charges = [part for _, part in parts] or [np.zeros((0, len(amounts)), dtype=np.int8)]
    return Assignments(of_row, np.concatenate([[0], np.cumsum(counts)]), np.concatenate(charges))


def _state_sets(table: ChargeTable) -> tuple[NDArray[np.intp], NDArray[np.int16]]:
    """Which set of states each element has, shape (119,), and the sets, shape (n_sets, k), padded with a mark."""
    padded = np.where(np.arange(table.charges.shape[1]) < table.valid[:, None], table.charges, _NONE)
    sets, numbers = np.unique(np.sort(padded, axis=1), axis=0, return_inverse=True)
    return numbers.reshape(-1), sets.astype(np.int16)


#: Stands for no state, and behind all states in order.
_NONE = 99


def _search(
    rows: NDArray[np.intp], amounts: NDArray[np.int64], states: Sequence[NDArray[np.int16]]
) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """Count the neutral assignments of rows of sets, shape (m,), and list them, row by row, shape (total, n_roles)."""
    lowest, highest = _reach_behind(rows, amounts, states)
    row = np.arange(len(rows))
    total = np.zeros(len(rows), dtype=np.int32)
    chosen = np.zeros((len(rows), 0), dtype=np.int8)
    for role, of_set in enumerate(states):
        offered = of_set[rows[row, role]]
        after = total[:, None] + int(amounts[role]) * offered
        possible = (offered != _NONE) & (after >= -highest[row, role, None]) & (after <= -lowest[row, role, None])
        parent, place = np.nonzero(possible)
        chosen = np.concatenate([chosen[parent], offered[parent, place, None].astype(np.int8)], axis=1)
        row, total = row[parent], after[parent, place]
    return np.bincount(row, minlength=len(rows)), chosen


def _reach_behind(
    rows: NDArray[np.intp], amounts: NDArray[np.int64], states: Sequence[NDArray[np.int16]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest charge that the roles behind each role can have together, shape (m, n_roles) each.

    An element without states makes its row impossible: the search drops it when it comes there.
    """
    lowest = np.zeros(rows.shape, dtype=np.int64)
    highest = np.zeros(rows.shape, dtype=np.int64)
    for role in range(rows.shape[1] - 1, 0, -1):
        of_set = states[role].astype(np.int64)
        least = of_set[:, 0]
        most = np.where(of_set == _NONE, -_NONE, of_set).max(axis=1)
        amount = int(amounts[role])
        lowest[:, role - 1] = lowest[:, role] + amount * least[rows[:, role]]
        highest[:, role - 1] = highest[:, role] + amount * most[rows[:, role]]
    return lowest, highest
