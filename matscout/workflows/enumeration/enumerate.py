"""Candidates from prototypes and elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.decorate import decorations, same_crystals
from matscout.workflows.enumeration.filters import apply_filters
from matscout.workflows.enumeration.library import select_prototypes
from matscout.workflows.enumeration.volume import predict_volumes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype
    from matscout.workflows.enumeration.filters import Filter


def enumerate_candidates(
    prototypes: str | Prototype | Iterable[str | Prototype],
    elements: Mapping[str, Sequence[str] | str] | Sequence[str],
    filters: Iterable[Filter] = (),
) -> CandidateTable:
    """Decorate prototypes with elements; every candidate once, at its predicted volume.

    No element fills two roles of a candidate. Decorations that equivalent roles make the same crystal are one
    candidate, written with the smallest atomic numbers first: the elements of an elpasolite's B and B' may stand in the
    other order than in `elements`. Prototypes that are one crystal under two names, such as `rock-salt` and
    `AB_cF8_225_a_b`, give each candidate under the name that stands first.

    Parameters
    ----------
    prototypes
        Names, patterns such as `AB3C_*`, `all`, or `Prototype`s.
    elements
        Symbols by role, or one list for all roles. With several prototypes each takes the roles that it has.
    filters
        Applied in order, see `matscout.workflows.enumeration.filters`.

    Returns
    -------
    Rows in the order of the prototypes, and within a prototype in lexicographic order of the lists of elements.

    Raises
    ------
    UserError
        An unknown prototype, role or element; a role without elements; an element listed twice; nothing left.

    Examples
    --------
    >>> table = enumerate_candidates("cubic-perovskite", {"A": ["K", "Rb"], "B": ["Mg", "Ca"], "X": ["F"]})
    >>> table.formulas
    ['KMgF3', 'KCaF3', 'RbMgF3', 'RbCaF3']
    """
    chosen = select_prototypes(prototypes)
    lists = _element_lists(chosen, elements)
    parts: list[tuple[Prototype, NDArray[np.uint8]]] = []
    for prototype in chosen:
        rows = decorations(prototype, [lists[role] for role in prototype.roles])
        parts.append((prototype, rows[~same_crystals(rows, prototype, parts)]))
    table = _table(parts)
    if not len(table):
        raise UserError(
            f"no candidates: {', '.join(p.name for p in chosen[:5])} cannot be decorated with these elements, as no "
            "element may fill two roles of a candidate"
        )
    return apply_filters(table, filters)


def _table(parts: Sequence[tuple[Prototype, NDArray[np.uint8]]]) -> CandidateTable:
    width = max(rows.shape[1] for _, rows in parts)
    total = sum(len(rows) for _, rows in parts)
    decoration = np.zeros((total, width), dtype=np.uint8)
    index = np.empty(total, dtype=np.int32)
    volume = np.empty(total)
    start = 0
    for place, (prototype, rows) in enumerate(parts):
        part = slice(start, start + len(rows))
        decoration[part, : rows.shape[1]] = rows
        index[part] = place
        volume[part] = predict_volumes(prototype, rows)
        start += len(rows)
    return CandidateTable([prototype for prototype, _ in parts], index, decoration, volume)


def _element_lists(prototypes: Sequence[Prototype], elements: Any) -> dict[str, NDArray[np.uint8]]:
    """Atomic numbers allowed in each role of any of the prototypes."""
    roles = {role: prototype.name for prototype in reversed(prototypes) for role in reversed(prototype.roles)}
    if not isinstance(elements, Mapping):
        pool = _numbers(elements, "the list of elements")
        return dict.fromkeys(roles, pool)
    unknown = [role for role in elements if role not in roles]
    if unknown:
        raise UserError(f"no prototype has the role {unknown[0]!r}: {_roles_of(prototypes)}")
    for prototype in prototypes:
        missing = [role for role in prototype.roles if role not in elements]
        if missing:
            raise UserError(f"no elements for the role {missing[0]} of {prototype.name}: {_roles_of([prototype])}")
    return {role: _numbers(given, f"role {role}") for role, given in elements.items()}


def _roles_of(prototypes: Sequence[Prototype]) -> str:
    said = [f"{prototype.name} has {', '.join(prototype.roles)}" for prototype in prototypes[:5]]
    return "; ".join(said) + (" ..." if len(prototypes) > 5 else "")


def _numbers(given: Any, where: str) -> NDArray[np.uint8]:
    """Atomic numbers of a list of symbols, checked."""
    symbols = [given] if isinstance(given, str | bool) else given
    if symbols is None or not hasattr(symbols, "__iter__"):
        raise UserError(f"{where}: a list of element symbols is expected, got {given!r}")
    numbers = [_number(symbol, where) for symbol in symbols]
    if not numbers:
        raise UserError(f"{where} has no elements: name at least one")
    for place, number in enumerate(numbers):
        if number in numbers[:place]:
            raise UserError(f"{where}: {list(symbols)[place]} is listed twice")
    return np.array(numbers, dtype=np.uint8)


def _number(symbol: Any, where: str) -> int:
    if isinstance(symbol, bool):
        raise UserError(
            f"{where}: {symbol} is not an element. YAML reads No, Yes, On and Off without quotes as true or false: "
            'write "No" in quotes for nobelium'
        )
    if not isinstance(symbol, str):
        raise UserError(f"{where}: {symbol!r} is not an element: write symbols, such as Sr")
    if symbol not in atomic_numbers():
        close = nearest(symbol, atomic_numbers())
        raise UserError(f'{where}: unknown element "{symbol}".' + (f" Nearest: {close}." if close else ""))
    return atomic_numbers()[symbol]
