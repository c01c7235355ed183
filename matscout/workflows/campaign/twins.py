"""Candidates of different prototypes that are one crystal in all but their free parameters.

Enumeration merges what an exact isometry maps onto each other. Two prototypes of one symmetry whose parameters differ a
little relax into the same crystal, too: one calculation is enough.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable


class Twins:
    """Tells which candidates need no calculation because another one is the same crystal.

    Parameters
    ----------
    table
        The candidates.
    """

    def __init__(self, table: CandidateTable) -> None:
        self._table = table
        self._known: dict[tuple[int, int], bool] = {}

    @cached_property
    def _group(self) -> NDArray[np.intp]:
        """Group of each row, shape (n,): rows of one group have one protostructure label and one composition."""
        from matscout.workflows.enumeration import label_candidates

        if len(self._table.prototypes) == 1:
            return np.arange(len(self._table))  # decorations of one prototype are told apart exactly
        labels, refused = label_candidates(self._table)
        _, group = np.unique(labels, return_inverse=True)
        group[[row.row for row in refused]] = group.max() + 1 + np.arange(len(refused))
        return group

    def first_new(self, order: Iterable[int], size: int, calculated: Sequence[int]) -> tuple[list[int], dict[int, int]]:
        """Take rows in order, and pass over those that are the same crystal as one taken or calculated before.

        Parameters
        ----------
        order
            Rows, best first.
        size
            How many to take.
        calculated
            Rows whose calculation finished.

        Returns
        -------
        taken
            At most `size` rows.
        passed_over
            Rows left out, each with the row that is the same crystal.
        """
        present: dict[int, list[int]] = {}
        for row in calculated:
            present.setdefault(int(self._group[row]), []).append(row)
        taken: list[int] = []
        passed_over: dict[int, int] = {}
        for row in order:
            if len(taken) == size:
                break
            rivals = present.setdefault(int(self._group[row]), [])
            same = next((rival for rival in rivals if self._are_same(row, rival)), None)
            if same is None:
                taken.append(row)
                rivals.append(row)
            else:
                passed_over[row] = same
        return taken, passed_over

    def _are_same(self, row: int, rival: int) -> bool:
        from matscout.workflows.enumeration import find_duplicates

        pair = (row, rival)
        if pair not in self._known:
            groups = find_duplicates([self._table.take(list(pair))]).groups
            self._known[pair] = bool(groups[0] == groups[1] >= 0)
        return self._known[pair]
