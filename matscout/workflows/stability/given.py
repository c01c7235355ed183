"""What users hand over, brought into one form: ids and pymatgen's entries."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core.entries import ComputedEntry

    from matscout.workflows.stability.naming import EntryId


def given_ids(ids: Sequence[EntryId | None] | EntryId | None) -> list[EntryId | None] | None:
    """Return ids as a list; a missing one, of pandas too, is None, and one alone is that of a single entry.

    Raises
    ------
    UserError
        They are a set, which has no order.
    """
    if ids is None:
        return None
    if isinstance(ids, AbstractSet):
        raise UserError("ids given as a set have no order: give them as a list, one for each composition")
    listed = [ids] if isinstance(ids, str | int) else list(ids)
    return [None if _is_missing(name) else name.item() if isinstance(name, np.generic) else name for name in listed]


def given_entries(entries: Iterable[ComputedEntry]) -> list[ComputedEntry]:
    """Return pymatgen entries as a list; those of a phase diagram become computed entries.

    Raises
    ------
    UserError
        Something among them is no entry: it is named by its place and type.
    """
    if isinstance(entries, str | PathLike):
        raise UserError(f"{str(entries)!r} is no list of entries: read a file with read_entries")
    if isinstance(entries, dict) or not isinstance(entries, Iterable):
        kind = type(entries).__name__
        raise UserError(f"expected a list of pymatgen entries, not a {kind}; of a PhaseDiagram give all_entries")
    return [_given_entry(entry, i) for i, entry in enumerate(entries)]


def _given_entry(entry: object, i: int) -> ComputedEntry:
    from pymatgen.core.entries import ComputedEntry

    if isinstance(entry, ComputedEntry):
        return entry
    if hasattr(entry, "composition") and hasattr(entry, "energy"):
        name = getattr(entry, "name", None)
        own = None if name == entry.composition.reduced_formula else name
        return ComputedEntry(entry.composition, entry.energy, entry_id=own)
    raise UserError(
        f"entries[{i}] is a {type(entry).__name__}, not a pymatgen ComputedEntry; ComputedEntry.from_dict makes one of "
        "its dict, and read_entries reads a file of them"
    )


def _is_missing(name: object) -> bool:
    """Whether an id is None, NaN or the missing value of pandas, which is equal to nothing."""
    return name is None or type(name).__name__ == "NAType" or (isinstance(name, float) and bool(np.isnan(name)))
