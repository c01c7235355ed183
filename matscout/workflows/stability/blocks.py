"""The entries of a hull, as columns by chemical system."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matscout.errors import UserError, nearest
from matscout.workflows.stability.compositions import FractionTable, grid_keys
from matscout.workflows.stability.naming import EntryId, reduced_formulas, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System

SAME_ENERGY = 1e-9  # eV/atom: energies that agree to this are equal
NOT_STATED = "not stated"
"""Protocol or source of an entry that came without one."""

_HASHES = 2**256
_SUBSETS_UP_TO = 10  # elements: 1,023 subsets are still quicker to look up than all systems are to compare

Origin: TypeAlias = tuple[str, str]
"""Protocol and source of an entry."""


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
    """

    system: System
    fractions: NDArray[np.float64]
    energies: NDArray[np.float64]
    positions: NDArray[np.intp]

    def join(self, other: Block) -> Block:
        """Return one block with the entries of both."""
        return Block(
            self.system,
            np.concatenate([self.fractions, other.fractions]),
            np.concatenate([self.energies, other.energies]),
            np.concatenate([self.positions, other.positions]),
        )


def lowest_rows(
    fractions: NDArray[np.float64],
    energies: NDArray[np.float64],
    names: Callable[[], Sequence[str]],
    group: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the lowest entry of each composition, shape (c,), and each entry's composition, shape (k,).

    Compositions are in an order of their own, so that nothing solved from them depends on the order of entries. Where
    energies are equal, the names decide.

    Parameters
    ----------
    fractions, energies
        Of k entries, shapes (k, d) and (k,).
    names
        Gives their k names; only called where it matters.
    group
        Chemical system of each, shape (k,): compositions of different ones are different.
    """
    keys = np.column_stack([group, grid_keys(fractions)])
    order = np.lexsort((energies, *keys.T[::-1]))
    first = _starts(keys[order])
    if (~first[1:] & (np.diff(energies[order]) == 0)).any():
        order = np.lexsort((np.array(names()), energies, *keys.T[::-1]))
    composition = np.empty(len(order), dtype=np.intp)
    composition[order] = np.cumsum(first) - 1
    return order[first], composition


def _starts(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows differ from the row before, shape (k,)."""
    first = np.ones(len(keys), dtype=bool)
    first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return first


@dataclass(eq=False)
class Blocks:
    """All entries: ids and origins in the order they came in, and a block for each chemical system that has any.

    `journal` names the chemical systems that got entries, in the order they did, and `made_ids` are ids of entries that
    came without one.
    """

    ids: list[EntryId] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    by_system: dict[System, Block] = field(default_factory=dict)
    ids_of_protocol: dict[str, list[EntryId]] = field(default_factory=dict)
    journal: list[System] = field(default_factory=list)
    made_ids: set[EntryId] = field(default_factory=set)
    _systems_of: dict[str, set[System]] = field(default_factory=dict)
    _system_at: list[System] = field(default_factory=list)
    _position: dict[EntryId, int] = field(default_factory=dict)
    _content: list[tuple[bytes, float]] = field(default_factory=list)
    _hashed: int = 0
    _sum: int = 0

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._position

    def elements(self) -> System:
        """Symbols of all elements, in alphabetical order."""
        return tuple(sorted(self._systems_of))

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
            position = self._position.get(entry_id)
            known = seen.get(entry_id) if position is None else self._content[position]
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
        origins: Sequence[Origin],
    ) -> None:
        """Keep the new rows; the blocks of their chemical systems are replaced, all others stay."""
        position = np.full(len(table), -1, dtype=np.intp)
        position[list(new)] = np.arange(len(self.ids), len(self.ids) + len(new))
        self._system_at.extend([()] * len(new))
        for system, rows, fractions in table.by_system():
            kept = position[rows] >= 0
            if not kept.any():
                continue
            chosen = rows[kept]
            block = Block(system, fractions[kept], energies[chosen], position[chosen])
            present = self.by_system.get(system)
            self.by_system[system] = block if present is None else present.join(block)
            self.journal.append(system)
            if present is None:
                for element in system:
                    self._systems_of.setdefault(element, set()).add(system)
            for place in block.positions.tolist():
                self._system_at[place] = system
        for row, content in new.items():
            self._position[ids[row]] = len(self.ids)
            self.ids.append(ids[row])
            self.origins.append(origins[row])
            self.ids_of_protocol.setdefault(origins[row][0], []).append(ids[row])
            self._content.append(content)

    def find(self, entry_id: EntryId) -> tuple[Block, int]:
        """Return the block and the row of an entry."""
        position = self._position.get(entry_id)
        if position is None:
            close = nearest(str(entry_id), map(str, self.ids))
            raise UserError(f"the hull has no entry {entry_id!r}." + (f" Nearest: {close}." if close else ""))
        block = self.by_system[self._system_at[position]]
        return block, int(np.flatnonzero(block.positions == position)[0])

    def formulas(self, entry_ids: Iterable[EntryId]) -> dict[EntryId, str]:
        """Reduced formulas of entries."""
        by_system: dict[System, list[EntryId]] = {}
        for entry_id in entry_ids:
            by_system.setdefault(self._system_at[self._position[entry_id]], []).append(entry_id)
        found: dict[EntryId, str] = {}
        for system, names in by_system.items():
            block = self.by_system[system]
            row_of = {position: row for row, position in enumerate(block.positions.tolist())}
            table = FractionTable(block.fractions, system, np.ones(len(block.energies)))
            rows = [row_of[self._position[name]] for name in names]
            found.update(zip(names, reduced_formulas(table, rows), strict=True))
        return found

    def within(self, system: System) -> Iterator[Block]:
        """Blocks of all chemical systems inside this one, itself included, elements first."""
        if len(system) <= _SUBSETS_UP_TO:
            subsets = (part for size in range(1, len(system) + 1) for part in combinations(system, size))
            yield from (self.by_system[part] for part in subsets if part in self.by_system)
        else:
            inside = (part for part in self.by_system if set(part) <= set(system))
            yield from (self.by_system[part] for part in sorted(inside, key=lambda part: (len(part), part)))

    def containing(self, system: System) -> set[System]:
        """Chemical systems that have entries and hold all elements of this one, itself included."""
        first, *others = sorted((self._systems_of.get(element, set()) for element in system), key=len)
        return first.intersection(*others)

    def content_hash(self, convention: str) -> str:
        """16 hex characters from ids, compositions and energies (to 1e-9 eV/atom), whatever their order.

        An id that was made here says nothing about an entry, so it does not count. The entries' own hashes are summed,
        so that one more entry costs one more hash.
        """
        for name, (key, energy) in zip(self.ids[self._hashed :], self._content[self._hashed :], strict=True):
            given = "" if name in self.made_ids else f"{name}\t"
            line = f"{given}{key.hex()}\t{energy + 0.0:.9f}"
            self._sum = (self._sum + int.from_bytes(sha256(line.encode()).digest())) % _HASHES
        self._hashed = len(self.ids)
        return sha256(f"{convention}\t{self._sum:x}".encode()).hexdigest()[:16]


def _content_keys(table: FractionTable) -> list[bytes]:
    """Bytes that are equal for equal compositions, whatever other elements the table has columns for."""
    keys: list[bytes] = [b""] * len(table)
    for system, rows, fractions in table.by_system():
        head = "-".join(system).encode()
        for row, key in zip(rows.tolist(), grid_keys(fractions), strict=True):
            keys[row] = head + key.tobytes()
    return keys
