"""The lowest entries of all chemical systems as flat columns, and what competes in many systems at once.

A hull of tens of thousands of chemical systems is asked about all of them together. Collecting their competitors one by
one, in Python, would take many times as long as the linear programs do; here each subset of elements is looked up for
all systems in one search of sorted keys, and the entries are copied in a few array operations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from matscout.workflows.stability.blocks import lowest_rows
from matscout.workflows.stability.programs import PhaseSets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matscout.workflows.stability.blocks import Block, Blocks
    from matscout.workflows.stability.compositions import System

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_NO_FORMATION_ENERGY = 1e-11  # eV/atom; what lies above the elements' plane never shapes a hull
_BITS = 7  # of an element's number in a key; there are some 120 of them
_KEY_ELEMENTS = 63 // _BITS
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB of compositions of competitors
_SMALLEST_WASTE = 10_000  # rows that are out of date before a table is written anew


@dataclass(frozen=True, eq=False)
class Collected:
    """What competes in m chemical systems of d elements each.

    Attributes
    ----------
    first, end
        Which of the systems asked for these are.
    sets
        For each system its elements, then the entries below their plane, as formation energies; the entries that hold
        all d elements come last.
    positions
        Position in the hull of each phase, -1 for the elements.
    """

    first: int
    end: int
    sets: PhaseSets
    positions: Rows


@dataclass(frozen=True, eq=False)
class _Layer:
    """Subsystems of many systems, at most one for each, whose entries are copied together.

    Attributes
    ----------
    table
        Where they are.
    systems
        Which of the systems asked for, ascending, shape (l,).
    numbers
        Row of each subsystem in the table, shape (l,).
    columns
        Columns of its elements in the system.
    """

    table: _Table
    systems: Rows
    numbers: Rows
    columns: list[int]


class Growing:
    """Rows of numbers with room for more."""

    def __init__(self, *shape: int, dtype: type[np.float64 | np.intp] = np.intp) -> None:
        self._store = np.empty((16, *shape), dtype=dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> NDArray[Any]:
        """The rows so far; a view that the next rows may make stale."""
        return self._store[: self._length]

    def extend(self, values: NDArray[Any]) -> None:
        """Add rows."""
        end = self._length + len(values)
        if end > len(self._store):
            store = np.empty((max(end, 2 * len(self._store)), *self._store.shape[1:]), dtype=self._store.dtype)
            store[: self._length] = self.values
            self._store = store
        self._store[self._length : end] = values
        self._length = end


class _Table:
    """Systems of one number of elements: the lowest entry of each composition, those below the elements' plane first.

    A system that gets more entries is written again behind the others.

    Attributes
    ----------
    members
        Numbers of the elements of each system, ascending, shape (n, s).
    starts, counts, below
        First composition of each system, how many there are, and how many of these lie below the elements' plane.
    entry_starts, entry_counts
        First entry of each system in `composition`, and how many there are.
    fractions, energies, positions
        Of each composition's lowest entry: fractions, formation energy in eV/atom, position in the hull.
    composition
        Of each entry, in the order of its block, which of its system's compositions it has.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.number_of: dict[System, int] = {}
        self.members = np.empty((0, size), dtype=np.intp)
        self.starts, self.counts, self.below, self.entry_starts, self.entry_counts = np.empty((5, 0), dtype=np.intp)
        self._fractions = Growing(size, dtype=np.float64)
        self._energies = Growing(dtype=np.float64)
        self._positions, self._composition = Growing(), Growing()
        self._keys = self._in_order = np.empty(0, dtype=np.intp)

    fractions = property(lambda self: self._fractions.values)
    energies = property(lambda self: self._energies.values)
    positions = property(lambda self: self._positions.values)
    composition = property(lambda self: self._composition.values)

    @property
    def is_wasteful(self) -> bool:
        """Whether most of its rows are out of date."""
        return len(self._composition) > _SMALLEST_WASTE + 2 * int(self.entry_counts.sum())

    def write(self, blocks: Sequence[Block], ids: Sequence[object], corners: Floats) -> None:
        """Take the entries of blocks of this size; `corners` are energies of their elements, shape (n, s)."""
        numbers = self._numbered(blocks)
        sizes = np.array([len(block.energies) for block in blocks])
        group = np.repeat(np.arange(len(blocks)), sizes)
        fractions = np.concatenate([block.fractions for block in blocks])
        energies = np.concatenate([block.energies for block in blocks])
        positions = np.concatenate([block.positions for block in blocks])
        rows, composition = lowest_rows(fractions, energies, lambda: [str(ids[i]) for i in positions.tolist()], group)
        own = group[rows]
        formation = energies[rows] - (fractions[rows] * corners[own]).sum(axis=1)
        below = formation < -_NO_FORMATION_ENERGY
        order = np.lexsort((~below, own))
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        counts = np.bincount(own, minlength=len(blocks))
        starts = np.cumsum(counts) - counts
        self.starts[numbers], self.counts[numbers] = starts + len(self._energies), counts
        self.below[numbers] = np.bincount(own[below], minlength=len(blocks))
        self.entry_starts[numbers], self.entry_counts[numbers] = (
            np.cumsum(sizes) - sizes + len(self._composition),
            sizes,
        )
        self._fractions.extend(fractions[rows[order]])
        self._energies.extend(formation[order])
        self._positions.extend(positions[rows[order]])
        self._composition.extend(place[composition] - starts[group])

    def entries(self, numbers: Rows) -> Rows:
        """Rows of `composition` of all entries of some systems, one system behind another."""
        return ranges(self.entry_starts[numbers], self.entry_counts[numbers])

    def find(self, members: Rows) -> Rows:
        """Numbers of the systems with these elements, shape (m, s); -1 for those without entries, shape (m,)."""
        keys = _keys(members)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, self._in_order[place], -1)

    def _numbered(self, blocks: Sequence[Block]) -> Rows:
        new = [block.system for block in blocks if block.system not in self.number_of]
        if new:
            n = len(self.members)
            self.number_of.update({system: n + i for i, system in enumerate(new)})
            members = numbers_of(new)
            self.members = np.concatenate([self.members, members])
            more = np.zeros((5, len(new)), dtype=np.intp)
            columns = (self.starts, self.counts, self.below, self.entry_starts, self.entry_counts)
            self.starts, self.counts, self.below, self.entry_starts, self.entry_counts = np.hstack([columns, more])
            if self.size <= _KEY_ELEMENTS:
                keys = _keys(members)
                order = np.argsort(keys)
                place = np.searchsorted(self._keys, keys[order])
                self._keys = np.insert(self._keys, place, keys[order])
                self._in_order = np.insert(self._in_order, place, n + order)
        return np.array([self.number_of[block.system] for block in blocks])


class Lowest:
    """The lowest entries of all compounds of a hull, kept up with its blocks.

    Parameters
    ----------
    entries
        The hull's entries.
    corner
        Energy of an element in the hull's convention; infinite where it has none.
    """

    def __init__(self, entries: Blocks, corner: Callable[[str], float]) -> None:
        self._entries = entries
        self._corner = corner
        self._read = 0
        self._tables: dict[int, _Table] = {}

    def forget(self) -> None:
        """Drop everything: to be called when the energy of an element changed."""
        self._read = 0
        self._tables.clear()

    def table(self, size: int) -> _Table:
        """Return the systems of so many elements, up to date."""
        self._update()
        return self._tables[size]

    def collect(self, members: Rows) -> Iterator[Collected]:
        """Collect what competes in systems of d elements, given by number, shape (m, d); a part of them at a time."""
        self._update()
        m, d = members.shape
        layers = list(self._layers(members) if d <= _KEY_ELEMENTS else self._layers_one_by_one(members))
        sizes = np.full(m, d)
        for layer in layers:
            sizes[layer.systems] += layer.table.below[layer.numbers]
        start = 0
        ends = np.cumsum(sizes)
        while start < m:
            done = ends[start] - sizes[start]
            end = max(start + 1, int(np.searchsorted(ends, done + _NUMBERS_AT_ONCE // d, side="right")))
            yield _copied(layers, start, end, sizes[start:end], d)
            start = end

    def corners(self, members: Rows) -> Floats:
        """Energies of elements by number, in the hull's convention, eV/atom."""
        symbols, corners = _symbols(), np.full(len(_symbols()), np.nan)
        for number in np.unique(members).tolist():
            corners[number] = self._corner(symbols[number])
        return corners[members]

    def _update(self) -> None:
        """Write what came to the entries since the last time."""
        if self._read == len(self._entries.journal):
            return
        if any(table.is_wasteful for table in self._tables.values()):
            self.forget()
        changed = self._entries.journal[self._read :]
        self._read = len(self._entries.journal)
        by_size: dict[int, list[Block]] = defaultdict(list)
        for system in dict.fromkeys(changed):
            if len(system) > 1:
                by_size[len(system)].append(self._entries.by_system[system])
        for size, blocks in by_size.items():
            corners = self.corners(numbers_of([block.system for block in blocks]))
            self._tables.setdefault(size, _Table(size)).write(blocks, self._entries.ids, corners)

    def _layers(self, members: Rows) -> Iterator[_Layer]:
        """Subsystems that have entries, smaller ones first."""
        d = members.shape[1]
        for size in range(2, d + 1):
            table = self._tables.get(size, _Table(size))
            for columns in combinations(range(d), size) if table.number_of else ():
                numbers = table.find(members[:, columns])
                systems = np.flatnonzero(numbers >= 0)
                if len(systems):
                    yield _Layer(table, systems, numbers[systems], list(columns))

    def _layers_one_by_one(self, members: Rows) -> Iterator[_Layer]:
        """Find the same for systems of so many elements that their subsets are more than all systems."""
        for i, elements in enumerate(members):
            inside = np.zeros(len(_symbols()), dtype=bool)
            inside[elements] = True
            for size in sorted(size for size in self._tables if size <= len(elements)):
                table = self._tables[size]
                found = np.flatnonzero(inside[table.members].all(axis=1))
                for number in found[np.lexsort(table.members[found].T[::-1])].tolist():
                    columns = np.searchsorted(elements, table.members[number]).tolist()
                    yield _Layer(table, np.array([i]), np.array([number]), columns)


def ranges(starts: Rows, counts: Rows) -> Rows:
    """Whole numbers from each start, as many as told, one range behind another."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts))


def numbers_of(systems: Sequence[System]) -> Rows:
    """Numbers of the elements of systems of one size, in alphabetical order, shape (n, d)."""
    numbers = _numbers()
    return np.array([[numbers[element] for element in system] for system in systems], dtype=np.intp)


def _copied(layers: Sequence[_Layer], first: int, end: int, sizes: Rows, d: int) -> Collected:
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    fractions, energies = np.zeros((total, d)), np.zeros(total)
    positions = np.full(total, -1, dtype=np.intp)
    fractions[(starts[:, None] + np.arange(d)).ravel(), np.tile(np.arange(d), len(sizes))] = 1.0
    filled = starts + d
    for layer in layers:
        part = slice(*np.searchsorted(layer.systems, [first, end]))
        systems, numbers, table = layer.systems[part] - first, layer.numbers[part], layer.table
        counts = table.below[numbers]
        source, target = ranges(table.starts[numbers], counts), ranges(filled[systems], counts)
        fractions[target[:, None], layer.columns] = table.fractions[source]
        energies[target] = table.energies[source]
        positions[target] = table.positions[source]
        filled[systems] += counts
    return Collected(first, end, PhaseSets(fractions, energies, starts, sizes), positions)


def _keys(members: Rows) -> Rows:
    """One whole number for each set of elements, shape (m,)."""
    return np.asarray(members @ (1 << _BITS * np.arange(members.shape[1])))


@cache
def _symbols() -> tuple[str, ...]:
    """Symbols of the elements by number; no element has 0, which stands for none in a key."""
    return "", *sorted(Element.__members__)


@cache
def _numbers() -> dict[str, int]:
    """Numbers of the elements, in the alphabetical order of their symbols, so that systems are ascending."""
    return {symbol: number for number, symbol in enumerate(_symbols())}
