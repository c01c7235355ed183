"""Solving the chemical systems of a hull.

What competes in a system are the elements, and of each composition in it and in the systems inside it the lowest entry,
where that lies below the plane of the elements. A question about many compositions of one system is answered from its
facets, which are kept until one of its entries changes; questions about few compositions of many systems are answered
together, by `programs`. Which of the two depends on the question alone, never on what was asked before, so that a
label does not depend on history.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import grid_keys
from matscout.workflows.stability.facets import MOST_ELEMENTS, LowerHull, lower_hull
from matscout.workflows.stability.lowest import Lowest, numbers_of
from matscout.workflows.stability.programs import SMALLEST_SHARE, Phases, solve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matscout.workflows.stability.blocks import Block, Blocks
    from matscout.workflows.stability.compositions import FractionTable, System
    from matscout.workflows.stability.naming import EntryId

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

UNLISTED = " at 0"
"""What an element that is not listed has behind its symbol, where that alone is the id of an entry."""

_MANY = 16  # compositions asked for in one system from which its facets are worth finding


@dataclass(frozen=True, eq=False)
class Competitors:
    """What competes in a chemical system.

    Attributes
    ----------
    system
        Its elements.
    blocks
        Entries it was collected from; once one of them is replaced, it no longer holds.
    corners
        Energies of the elements in the hull's convention, eV/atom, shape (d,).
    phases
        The elements and the entries below their plane, as formation energies.
    positions
        Position in the hull of each phase, -1 for the elements, shape (p,).
    """

    system: System
    blocks: tuple[Block, ...]
    corners: Floats
    phases: Phases
    positions: Rows


class Systems:
    """The chemical systems of a hull's entries."""

    def __init__(self, entries: Blocks, *, formation_energies: bool) -> None:
        self._entries = entries
        self._formation_energies = formation_energies
        self._corners: dict[str, float] = {}
        self._lowest = Lowest(entries, self.corner)
        self._facets: dict[System, tuple[Competitors, LowerHull | None]] = {}

    def corner(self, element: str) -> float:
        """Energy of the lowest phase of an element, in the hull's convention; infinite where it has none."""
        known = self._corners.get(element)
        if known is None:
            block = self._entries.by_system.get((element,))
            known = np.inf if block is None else float(block.energies.min())
            known = self._corners[element] = min(known, 0.0) if self._formation_energies else known
        return known

    def forget_elements(self) -> None:
        """Drop all that was counted from the elements: to be called when an entry of an element came."""
        self._corners.clear()
        self._lowest.forget()

    def competitors(self, system: System) -> Competitors:
        """Collect what competes in a chemical system."""
        members = numbers_of([system])
        found = next(self._lowest.collect(members))
        blocks = tuple(self._entries.within(system))
        return Competitors(system, blocks, self._lowest.corners(members)[0], found.sets.one(0), found.positions)

    def facets(self, system: System) -> tuple[Competitors, LowerHull | None]:
        """Find the facets of a chemical system, unless they are known and nothing in it has changed."""
        known = self._facets.get(system)
        if known is None or known[0].blocks != tuple(self._entries.within(system)):
            competitors = self.competitors(system)
            known = self._facets[system] = competitors, lower_hull(competitors.phases)
        return known

    def heights(self, table: FractionTable) -> Floats:
        """Energy of the hull at all rows, in the hull's convention, shape (n,)."""
        heights = np.empty(len(table))
        waiting: dict[int, list[tuple[System, Rows, Floats]]] = defaultdict(list)
        for system, rows, fractions in table.by_system():
            if len(system) == 1:
                heights[rows] = self.corner(system[0])
                continue
            lower = self._heights_from_facets(system, fractions)
            if lower is not None:
                heights[rows] = lower
            else:
                waiting[len(system)].append((system, rows, fractions))
        for questions in waiting.values():
            systems, rows_of, fractions_of = zip(*questions, strict=True)
            counts = np.array([len(rows) for rows in rows_of])
            answer = self._heights_from_programs(numbers_of(systems), counts, np.concatenate(fractions_of))
            heights[np.concatenate(rows_of)] = answer
        return heights

    def own_heights(self, blocks: Sequence[Block], *, without_own: bool) -> list[Floats]:
        """Energy of the hull at the entries of blocks, each with or without its own composition among the phases.

        An element without itself is no hull: its entries get their own energies.
        """
        answers: list[Floats] = [block.energies for block in blocks]
        by_size: dict[int, list[int]] = defaultdict(list)
        for i, block in enumerate(blocks):
            if len(block.system) > 1:
                by_size[len(block.system)].append(i)
            elif not without_own:
                answers[i] = np.full(len(block.energies), self.corner(block.system[0]))
        for size, places in by_size.items():
            heights = self._own_heights([blocks[i] for i in places], size, without_own=without_own)
            for i, values in zip(places, heights, strict=True):
                answers[i] = values
        return answers

    def own_distances(self, inside: System | None, *, without_own: bool) -> Floats:
        """Energies above `own_heights`, of all entries or those inside a chemical system, in the order they came in."""
        blocks = list(self._entries.by_system.values() if inside is None else self._entries.within(inside))
        heights = self.own_heights(blocks, without_own=without_own)
        positions = np.concatenate([np.empty(0, dtype=np.intp), *(block.positions for block in blocks)])
        above = [block.energies - height for block, height in zip(blocks, heights, strict=True)]
        return np.asarray(np.concatenate([np.empty(0), *above])[np.argsort(positions)])

    def decompositions(self, table: FractionTable) -> list[dict[EntryId, float]]:
        """Phases of lowest energy at each row, with the atomic fraction in each, the largest first.

        A composition that has an entry on the hull is that entry, also where others make it at the same energy.
        """
        result: list[dict[EntryId, float]] = [{} for _ in range(len(table))]
        by_size: dict[int, list[tuple[System, Rows, Floats]]] = defaultdict(list)
        for system, rows, fractions in table.by_system():
            by_size[len(system)].append((system, rows, fractions))
        for questions in by_size.values():
            members = numbers_of([system for system, *_ in questions])
            for found in self._lowest.collect(members):
                part = questions[found.first : found.end]
                which = np.repeat(np.arange(len(part)), [len(rows) for _, rows, _ in part])
                at = np.concatenate([fractions for *_, fractions in part])
                answer = solve(found.sets, which, at, np.full(len(at), -1))
                positions = found.positions[found.sets.starts[which, None] + answer.phases]
                for i, row in enumerate(np.concatenate([rows for _, rows, _ in part]).tolist()):
                    system = part[which[i]][0]
                    own = self._stable_entry(system, at[i], float(answer.energy[i]))
                    names = self._names(system, answer.phases[i].tolist(), positions[i].tolist())
                    result[row] = {own: 1.0} if own is not None else _shares(names, answer.shares[i])
        return result

    def names(self, competitors: Competitors, phases: Iterable[int]) -> list[EntryId]:
        """Ids of phases of a system."""
        numbers = list(phases)
        return self._names(competitors.system, numbers, competitors.positions[numbers].tolist())

    def ids_at(self, positions: Iterable[int]) -> list[EntryId]:
        """Ids of entries by their position in the hull."""
        return [self._entries.ids[position] for position in positions]

    def element_id(self, element: str) -> EntryId:
        """Id of the lowest entry of an element, or its symbol where the unlisted element is lower.

        Where an entry has that symbol for its id, the unlisted element is "Na at 0".
        """
        unlisted = element if element not in self._entries else f"{element}{UNLISTED}"
        block = self._entries.by_system.get((element,))
        if block is None:
            return unlisted
        ids = self.ids_at(block.positions.tolist())
        energy, _, lowest = min(zip(block.energies.tolist(), map(str, ids), ids, strict=True), key=lambda one: one[:2])
        return unlisted if self._formation_energies and energy > SAME_ENERGY else lowest

    def _names(self, system: System, phases: Sequence[int], positions: Sequence[int]) -> list[EntryId]:
        return [
            self.element_id(system[phase]) if position < 0 else self._entries.ids[position]
            for phase, position in zip(phases, positions, strict=True)
        ]

    def _stable_entry(self, system: System, fractions: Floats, height: float) -> EntryId | None:
        """Id of the lowest entry of this very composition, if its formation energy is that of the hull."""
        if len(system) == 1 or system not in self._entries.by_system:
            return None
        table = self._lowest.table(len(system))
        start = table.starts[table.number_of[system]]
        rows = np.arange(start, start + table.counts[table.number_of[system]])
        same = rows[(grid_keys(table.fractions[rows]) == grid_keys(fractions)).all(axis=1)]
        if not len(same) or table.energies[same[0]] - height >= SAME_ENERGY:
            return None
        return self._entries.ids[int(table.positions[same[0]])]

    def _own_heights(self, blocks: Sequence[Block], size: int, *, without_own: bool) -> list[Floats]:
        """Heights at the entries of blocks of systems of one size.

        Each at its own fractions: two that count as one composition may differ by the step of the grid.
        """
        table = self._lowest.table(size)
        numbers = np.array([table.number_of[block.system] for block in blocks])
        counts = table.entry_counts[numbers]
        ends = np.cumsum(counts)
        fractions = np.concatenate([block.fractions for block in blocks])
        heights = np.full(len(fractions), np.nan)
        for i in [] if without_own else np.flatnonzero(counts >= _MANY).tolist():
            rows = slice(ends[i] - counts[i], ends[i])
            lower = self._heights_from_facets(blocks[i].system, fractions[rows])
            heights[rows] = np.nan if lower is None else lower
        left = np.isnan(heights)
        of_block = np.repeat(np.arange(len(blocks)), counts)
        asked = np.bincount(of_block[left], minlength=len(blocks))
        some = asked > 0
        own = None
        if without_own:
            own = np.maximum(table.below[numbers][of_block] - table.composition[table.entries(numbers)], 0)[left]
        heights[left] = self._heights_from_programs(table.members[numbers[some]], asked[some], fractions[left], own)
        return np.split(heights, ends[:-1])

    def _heights_from_facets(self, system: System, fractions: Floats) -> Floats | None:
        """Heights at compositions of one system, where its facets are worth it and there are any."""
        if len(fractions) < _MANY or len(system) > MOST_ELEMENTS:
            return None
        competitors, lower = self.facets(system)
        return None if lower is None else lower.energy(fractions) + fractions @ competitors.corners

    def _heights_from_programs(
        self, members: Rows, counts: Rows, fractions: Floats, without: Rows | None = None
    ) -> Floats:
        """Heights at compositions of many systems of one size.

        Parameters
        ----------
        members
            Numbers of the elements of each system, shape (m, d).
        counts
            How many of the compositions are in each, shape (m,).
        fractions
            The compositions, those of one system together, shape (n, d).
        without
            Which of the system's phases does not compete for each of them, counted from the last one, which is 1; 0
            where all compete, shape (n,).
        """
        heights = np.empty(len(fractions))
        ends = np.cumsum(counts)
        for found in self._lowest.collect(members):
            rows = slice(int(ends[found.first] - counts[found.first]), int(ends[found.end - 1]))
            own = slice(found.first, found.end)
            which = np.repeat(np.arange(found.end - found.first), counts[own])
            left_out = np.full(len(which), -1)
            if without is not None:
                left_out = np.where(without[rows] > 0, found.sets.sizes[which] - without[rows], -1)
            corners = self._lowest.corners(members[own])[which]
            energy = solve(found.sets, which, fractions[rows], left_out).energy
            heights[rows] = energy + (fractions[rows] * corners).sum(axis=1)
        return heights


def _shares(names: Sequence[EntryId], shares: Floats) -> dict[EntryId, float]:
    parts = [(name, share) for name, share in zip(names, shares.tolist(), strict=True) if share > SMALLEST_SHARE]
    total = sum(share for _, share in parts)
    return {name: share / total for name, share in sorted(parts, key=lambda part: (-round(part[1], 9), str(part[0])))}
