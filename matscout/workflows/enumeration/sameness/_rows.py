"""Structures, entries and tables of candidates as rows, labelled as far as somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals.crystal import checked_numbers
from matscout.crystals.protostructure import (
    RefusedRow,
    composition_part,
    composition_text,
    label_candidates,
    label_of,
)
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure


class Rows:
    """Items of different kinds as rows, one after the other.

    Candidates are labelled at once, many at a time; a crystal when `label` is called.

    Attributes
    ----------
    compositions
        Reduced composition of each row, as `composition_text` writes it, empty where the row was refused; shape (n,).
    labels
        Protostructure label of each row, empty where there is none yet; shape (n,).
    refused
        Rows that cannot be labelled, as far as that is known.
    """

    def __init__(self, items: Sequence[Any], symprec: float) -> None:
        self._symprec = symprec
        self._sources = [_source(item, place) for place, item in enumerate(items)]
        lengths = [len(source) if isinstance(source, CandidateTable) else 1 for _, source in self._sources]
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
        self.compositions, self.labels = np.full((2, int(self._starts[-1])), "", dtype=object)
        self.refused: list[RefusedRow] = []
        self._numbers: dict[int, NDArray[np.int64]] = {}  # of crystals without a label
        for (_, source), start in zip(self._sources, self._starts.tolist(), strict=False):
            if isinstance(source, CandidateTable):
                self._add_table(source, start)
            else:
                self._add_crystal(source, start)

    def _add_table(self, table: CandidateTable, start: int) -> None:
        labels, refused = label_candidates(table, self._symprec)
        self.labels[start : start + len(table)] = labels
        of_label: dict[str, str] = {}
        for row, label in enumerate(labels.tolist(), start=start):
            if label not in of_label:
                of_label[label] = composition_part(label)
            self.compositions[row] = of_label[label]
        self.refused += [RefusedRow(start + row, reason) for row, reason in refused]

    def _add_crystal(self, structure: Structure, row: int) -> None:
        try:
            numbers = checked_numbers(structure)
            self.compositions[row] = composition_text(numbers)
        except UserError as error:
            self.refused.append(RefusedRow(row, str(error)))
        else:
            self._numbers[row] = numbers

    def label(self, rows: Iterable[int] | None = None) -> None:
        """Label the crystals among some rows, or all; those that cannot be labelled are refused."""
        for row in list(self._numbers) if rows is None else rows:
            if row in self._numbers:
                try:
                    self.labels[row] = label_of(self.structure(row), self._numbers.pop(row), self._symprec)
                except UserError as error:
                    self.refused.append(RefusedRow(row, str(error)))

    def _find(self, row: int) -> tuple[str, Any, int]:
        place = int(np.searchsorted(self._starts, row, side="right")) - 1
        return *self._sources[place], row - int(self._starts[place])

    def name(self, row: int) -> str:
        """Name of a row: the one given, an entry's or candidate's id, else `row 7`."""
        name, source, offset = self._find(row)
        return source.ids_at([offset])[0] if isinstance(source, CandidateTable) else name or f"row {row}"

    def structure(self, row: int) -> Structure:
        """Crystal of a row."""
        _, source, offset = self._find(row)
        return source.structure(offset) if isinstance(source, CandidateTable) else source

    def decoration(self, row: int) -> tuple[str, bytes] | None:
        """Prototype and canonical decoration of a candidate; None of anything else."""
        _, source, offset = self._find(row)
        if not isinstance(source, CandidateTable):
            return None
        prototype = source.prototypes[int(source.prototype_index[offset])]
        decoration = source.decoration[offset : offset + 1, : len(prototype.roles)]
        return prototype.key, prototype.canonical(decoration).tobytes()


def rows_of_equal(values: NDArray[np.object_]) -> list[list[int]]:
    """Rows of each text that more than one row has, but for the empty one.

    Examples
    --------
    >>> rows_of_equal(np.array(["a", "", "b", "a", ""], dtype=object))
    [[0, 3]]
    """
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values.tolist()):
        rows.setdefault(value, []).append(row)
    return [members for value, members in rows.items() if value and len(members) > 1]


def _source(item: Any, place: int) -> tuple[str, Any]:
    """Name and crystal, or table, of an item."""
    from pymatgen.core.entries import ComputedStructureEntry
    from pymatgen.core.structure import IStructure

    if isinstance(item, CandidateTable | IStructure):
        return "", item
    if isinstance(item, ComputedStructureEntry):
        return str(item.entry_id or ""), item.structure
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], IStructure | ComputedStructureEntry):
        return str(item[0]), _source(item[1], place)[1]
    raise UserError(
        f"item {place} is a {type(item).__name__}: give Structures, ComputedStructureEntries, CandidateTables, or "
        "pairs of a name and a Structure"
    )
