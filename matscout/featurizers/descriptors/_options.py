"""Options of descriptors, checked: what was given, and what would do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matscout.db._elements import atomic_numbers, symbols
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked_number(option: str, value: Any, *, above: float, most: float) -> float:
    """Take a number within bounds."""
    if not _is_number(value) or not above < value <= most:
        raise UserError(f"{option} must be a number above {above:g}, at most {most:g}, got {value!r}")
    return float(value)


def checked_whole(option: str, value: Any, *, least: int, most: int) -> int:
    """Take a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{option} must be a whole number from {least} to {most}, got {value!r}")
    return value


def checked_names(option: str, names: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Take a list of names, each known, and there once."""
    if not isinstance(names, list | tuple) or not names:
        raise UserError(f"{option} must be a list of names, got {names!r}")
    for name in names:
        if name not in known:
            near = nearest(str(name), known)
            hint = f" Did you mean {near}?" if near else ""
            some = ", ".join(known[:10]) + (" and so on" if len(known) > 10 else "")
            raise UserError(f"{option}: unknown {name!r}.{hint} Known: {some}.")
    if len(set(names)) < len(names):
        raise UserError(f"{option}: each name once, got {', '.join(names)}")
    return tuple(names)


def checked_species(species: Any) -> tuple[int, ...]:
    """Take a list of element symbols, and give their atomic numbers, ascending."""
    return tuple(sorted(atomic_numbers()[name] for name in checked_names("species", species, symbols()[1:])))


def checked_rows(option: str, rows: Any, width: int) -> tuple[tuple[float, ...], ...]:
    """Take a list of `width` numbers each."""
    if not isinstance(rows, list | tuple):
        raise UserError(f"{option} must be a list, each of it {width} numbers, got {rows!r}")
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != width or not all(_is_number(value) for value in row):
            raise UserError(f"{option} must be a list, each of it {width} numbers; one is {row!r}")
    return tuple(tuple(float(value) for value in row) for row in rows)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
