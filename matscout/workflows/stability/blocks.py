"""The entries of a hull, as columns by chemical system."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pymatgen.core.composition import Composition

from matscout.errors import UserError
from matscout.workflows.stability.compositions import grid_keys

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import FractionTable, System

EntryId: TypeAlias = str | int

SAME_ENERGY = 1e-9  # eV/atom: energies that agree to this are equal
_SUBSETS_UP_TO = 10  # elements: 1,023 subsets are still quicker to look up than all systems are to compare
_NAMED_AT_MOST = 3  # entries in an error message


@dataclass(frozen=True, eq=False)
class Block:
    """Entries with exactly these elements.

    Attributes
    ----------
    system
        Element symbols in alphabetical order.
    fractions
        Atomic fractions, shape (k, d).
    energies
        eV/atom, as given, shape (k,).
    positions
        Position of each entry in its hull, shape (k,).
    names
        Ids as text, shape (k,): they decide between equal energies.
    """

    system: System
    fractions: NDArray[np.float64]
    energies: NDArray[np.float64]
    positions: NDArray[np.intp]
    names: NDArray[np.str_]

    def join(self, other: Block) -> Block:
        """Return one block with the entries of both."""
        return Block(
            self.system,
            np.concatenate([self.fractions, other.fractions]),
            np.concatenate([self.energies, other.energies]),
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.names, other.names]),
        )

    @cached_property
    def compositions(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the lowest entry of each composition, shape (c,), and each entry's composition, shape (k,).

        Compositions are in an order of their own, so that nothing solved from them depends on the order of entries.
        """
        keys = grid_keys(self.fractions)
        order = np.lexsort((self.names, self.energies, *keys.T))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
        composition = np.empty(len(order), dtype=np.intp)
        composition[order] = np.cumsum(first) - 1
        return order[first], composition


@dataclass(eq=False)
class Blocks:
    """All entries: their ids in the order they came in, and a block for each chemical system that has any."""

    ids: list[EntryId] = field(default_factory=list)
    by_system: dict[System, Block] = field(default_factory=dict)
    _content: dict[EntryId, tuple[bytes, float]] = field(default_factory=dict)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._content

    def unseen(
        self, ids: Sequence[EntryId], table: FractionTable, energies: NDArray[np.float64]
    ) -> dict[int, tuple[bytes, float]]:
        """Rows that are not here yet, with their content.

        Raises
        ------
        UserError
            An id has two energies or two compositions, here and in the rows together.
        """
        seen: dict[EntryId, tuple[bytes, float]] = {}
        new: dict[int, tuple[bytes, float]] = {}
        clashes: list[str] = []
        for row, (entry_id, key, energy) in enumerate(zip(ids, _content_keys(table), energies.tolist(), strict=True)):
            known = self._content.get(entry_id) or seen.get(entry_id)
            if known is None:
                seen[entry_id] = new[row] = (key, energy)
            elif known[0] != key:
                clashes.append(f"{entry_id} (two compositions)")
            elif abs(known[1] - energy) > SAME_ENERGY:
                clashes.append(f"{entry_id} ({known[1]:.6g} and {energy:.6g} eV/atom)")
        if clashes:
            raise UserError(f"one id stands for two entries: {some(clashes)}; give each entry an id of its own")
        return new

    def insert(
        self,
        new: dict[int, tuple[bytes, float]],
        ids: Sequence[EntryId],
        table: FractionTable,
        energies: NDArray[np.float64],
    ) -> None:
        """Keep the new rows; the blocks of their chemical systems are replaced, all others stay."""
        position_of_row = {row: len(self.ids) + i for i, row in enumerate(new)}
        for system, rows, fractions in table.by_system():
            kept = np.array([row in position_of_row for row in rows.tolist()])
            if not kept.any():
                continue
            chosen = rows[kept].tolist()
            positions = np.array([position_of_row[row] for row in chosen], dtype=np.intp)
            names = np.array([str(ids[row]) for row in chosen])
            block = Block(system, fractions[kept], energies[chosen], positions, names)
            present = self.by_system.get(system)
            self.by_system[system] = block if present is None else present.join(block)
        for row, content in new.items():
            self.ids.append(ids[row])
            self._content[ids[row]] = content

    def within(self, system: System) -> Iterator[Block]:
        """Blocks of all chemical systems inside this one, itself included, elements first."""
        if len(system) <= _SUBSETS_UP_TO:
            subsets = (part for size in range(1, len(system) + 1) for part in combinations(system, size))
            yield from (self.by_system[part] for part in subsets if part in self.by_system)
        else:
            inside = (part for part in self.by_system if set(part) <= set(system))
            yield from (self.by_system[part] for part in sorted(inside, key=lambda part: (len(part), part)))

    def content_hash(self, convention: str) -> str:
        """16 hex characters from ids, compositions and energies (to 1e-9 eV/atom), whatever their order."""
        lines = sorted(f"{name}\t{key.hex()}\t{energy + 0.0:.9f}" for name, (key, energy) in self._content.items())
        return sha256("\n".join([convention, *lines]).encode()).hexdigest()[:16]


def names_from_formulas(
    table: FractionTable,
    energies: NDArray[np.float64],
    given: Sequence[EntryId | None],
    taken: Container[object] = (),
) -> list[EntryId]:
    """Fill in missing ids: the reduced formula, and NaCl#2, NaCl#3 for the higher entries of a composition.

    The same entries get the same ids in any order, unless two of them agree in energy.
    """
    names = list(given)
    used = {name for name in given if name is not None}
    unnamed = [row for row, name in enumerate(given) if name is None]
    formulas = {row: formula(table, row) for row in unnamed}
    for row in sorted(unnamed, key=lambda row: (formulas[row], energies[row])):
        name, count = formulas[row], 1
        while name in used or name in taken:
            count += 1
            name = f"{formulas[row]}#{count}"
        used.add(name)
        names[row] = name
    return [name for name in names if name is not None]


def formula(table: FractionTable, row: int) -> str:
    """Reduced formula of one row."""
    amounts = zip(table.elements, table.fractions[row].tolist(), strict=True)
    composition = Composition({symbol: amount for symbol, amount in amounts if amount > 0})
    whole, _ = composition.get_integer_formula_and_factor(max_denominator=1000)
    return str(Composition(whole).reduced_formula)


def some(things: Iterable[object]) -> str:
    """Name a few of many things.

    Examples
    --------
    >>> some(["NaCl", "KCl", "LiF", "LiCl", "RbF"])
    'NaCl, KCl, LiF and 2 more'
    """
    words = [str(thing) for thing in things]
    rest = len(words) - _NAMED_AT_MOST
    return ", ".join(words[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _content_keys(table: FractionTable) -> list[bytes]:
    """Bytes that are equal for equal compositions, whatever other elements the table has columns for."""
    keys: list[bytes] = [b""] * len(table)
    for system, rows, fractions in table.by_system():
        head = "-".join(system).encode()
        for row, key in zip(rows.tolist(), grid_keys(fractions), strict=True):
            keys[row] = head + key.tobytes()
    return keys
