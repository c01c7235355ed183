"""Solving the chemical systems of a hull.

What competes in a system are the elements, and of each composition in it and in the systems inside it the lowest entry,
where that lies below the plane of the elements. A question about many compositions of one system is answered from its
facets, which are kept until one of its entries changes; questions about few compositions of many systems are answered
together, by `programs`. Which of the two depends on the question alone, never on what was asked before, so that a
label does not depend on history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import grid_keys
from matscout.workflows.stability.facets import MOST_ELEMENTS, LowerHull, lower_hull
from matscout.workflows.stability.programs import SMALLEST_SHARE, Phases, solve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matscout.workflows.stability.blocks import Block, Blocks, EntryId
    from matscout.workflows.stability.compositions import FractionTable, System

Floats = NDArray[np.float64]

_NO_FORMATION_ENERGY = 1e-11  # eV/atom; what lies above the elements' plane never shapes a hull
_MANY = 16  # compositions asked for in one system from which its facets are worth finding


@dataclass(frozen=True, eq=False)
class _Below:
    """The lowest entries of a block's compositions that lie below the plane of the elements.

    Attributes
    ----------
    block
        What they were found from.
    phases
        Fractions of the block's elements (q, d) and formation energies (q,), without the elements.
    positions
        Positions of the entries in the hull, shape (q,).
    place
        Which of them is the entry of each composition of the block, or -1, shape (c,).
    """

    block: Block
    phases: Phases
    positions: NDArray[np.intp]
    place: NDArray[np.intp]


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
        Position in the hull of each phase behind the elements, shape (p - d,).
    """

    system: System
    blocks: tuple[Block, ...]
    corners: Floats
    phases: Phases
    positions: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Question:
    """Compositions of one system, shape (n, d), and for each the phase that does not compete, or -1."""

    competitors: Competitors
    fractions: Floats
    without: NDArray[np.intp]


class Systems:
    """The chemical systems of a hull's entries."""

    def __init__(self, entries: Blocks, *, formation_energies: bool) -> None:
        self._entries = entries
        self._formation_energies = formation_energies
        self._corners: dict[str, float] = {}
        self._below: dict[System, _Below] = {}
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
        self._below.clear()

    def competitors(self, system: System) -> Competitors:
        """Collect what competes in a chemical system."""
        blocks = tuple(self._entries.within(system))
        corners = np.array([self.corner(element) for element in system])
        parts = [self._lowest(block) for block in blocks if len(block.system) > 1]
        d, n = len(system), sum(len(part.positions) for part in parts)
        fractions, energies = np.zeros((d + n, d)), np.zeros(d + n)
        np.fill_diagonal(fractions, 1.0)
        column = {element: i for i, element in enumerate(system)}
        end = d
        for part in parts:
            if len(part.positions):
                start, end = end, end + len(part.positions)
                fractions[start:end, [column[element] for element in part.block.system]] = part.phases.fractions
                energies[start:end] = part.phases.energies
        positions = np.concatenate([part.positions for part in parts]) if parts else np.empty(0, dtype=np.intp)
        return Competitors(system, blocks, corners, Phases(fractions, energies), positions)

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
        open_rows, questions = [], []
        for system, rows, fractions in table.by_system():
            if len(system) == 1:
                heights[rows] = self.corner(system[0])
                continue
            competitors, lower = self._prepared(system, len(rows))
            if lower is not None:
                heights[rows] = lower.energy(fractions) + fractions @ competitors.corners
            else:
                questions.append(_Question(competitors, fractions, np.full(len(rows), -1)))
                open_rows.append(rows)
        for rows, answer in zip(open_rows, _answer(questions), strict=True):
            heights[rows] = answer
        return heights

    def own_heights(self, blocks: Sequence[Block], *, without_own: bool) -> list[Floats]:
        """Energy of the hull at the entries of blocks, each with or without its own composition among the phases.

        An element without itself is no hull: its entries get their own energies.
        """
        answers: list[Floats] = [block.energies for block in blocks]
        waiting, questions = [], []
        for i, block in enumerate(blocks):
            rows, composition = block.compositions
            if len(block.system) == 1:
                if not without_own:
                    answers[i] = np.full(len(block.energies), self.corner(block.system[0]))
                continue
            fractions = block.fractions[rows]
            competitors, lower = self._prepared(block.system, 0 if without_own else len(rows))
            if lower is not None:
                answers[i] = (lower.energy(fractions) + fractions @ competitors.corners)[composition]
                continue
            questions.append(
                _Question(competitors, fractions, self._own_phases(competitors, block, without_own=without_own))
            )
            waiting.append(i)
        for i, heights in zip(waiting, _answer(questions), strict=True):
            answers[i] = heights[blocks[i].compositions[1]]
        return answers

    def decompositions(self, table: FractionTable) -> list[dict[EntryId, float]]:
        """Phases of lowest energy at each row, with the atomic fraction in each, the largest first.

        A composition that has an entry on the hull is that entry, also where others make it at the same energy.
        """
        result: list[dict[EntryId, float]] = [{} for _ in range(len(table))]
        by_size: dict[int, list[tuple[Competitors, NDArray[np.intp], Floats]]] = {}
        for system, rows, fractions in table.by_system():
            by_size.setdefault(len(system), []).append((self.competitors(system), rows, fractions))
        for parts in by_size.values():
            which = np.repeat(np.arange(len(parts)), [len(rows) for _, rows, _ in parts])
            at = np.concatenate([fractions for *_, fractions in parts])
            answer = solve([part.phases for part, *_ in parts], which, at, np.full(len(at), -1))
            for i, row in enumerate(np.concatenate([rows for _, rows, _ in parts]).tolist()):
                competitors = parts[which[i]][0]
                own = self._stable_entry(competitors, at[i], float(answer.energy[i]))
                names = self.names(competitors, answer.phases[i])
                result[row] = {own: 1.0} if own is not None else _shares(names, answer.shares[i])
        return result

    def names(self, competitors: Competitors, phases: Iterable[int]) -> list[EntryId]:
        """Ids of phases of a system."""
        d = len(competitors.system)
        return [
            self.element_id(competitors.system[phase])
            if phase < d
            else self._entries.ids[int(competitors.positions[phase - d])]
            for phase in phases
        ]

    def element_id(self, element: str) -> EntryId:
        """Id of the lowest entry of an element, or its symbol where the unlisted element is lower."""
        block = self._entries.by_system.get((element,))
        if block is None:
            return element
        lowest = block.compositions[0][0]
        if self._formation_energies and block.energies[lowest] > SAME_ENERGY:
            return element
        return self._entries.ids[int(block.positions[lowest])]

    def _stable_entry(self, competitors: Competitors, fractions: Floats, height: float) -> EntryId | None:
        """Id of the lowest entry of this very composition, if its formation energy is that of the hull."""
        block = self._entries.by_system.get(competitors.system)
        if block is None or len(block.system) == 1:
            return None
        rows, _ = block.compositions
        same = rows[(grid_keys(block.fractions[rows]) == grid_keys(fractions)).all(axis=1)]
        if not len(same):
            return None
        distance = block.energies[same[0]] - fractions @ competitors.corners - height
        return self._entries.ids[int(block.positions[same[0]])] if distance < SAME_ENERGY else None

    def _prepared(self, system: System, asked: int) -> tuple[Competitors, LowerHull | None]:
        """Competitors of a system, with facets where they are worth it and there are any."""
        if asked >= _MANY and len(system) <= MOST_ELEMENTS:
            return self.facets(system)
        return self.competitors(system), None

    def _lowest(self, block: Block) -> _Below:
        known = self._below.get(block.system)
        if known is None or known.block is not block:
            corners = np.array([self.corner(element) for element in block.system])
            known = self._below[block.system] = _below(block, corners)
        return known

    def _own_phases(self, competitors: Competitors, block: Block, *, without_own: bool) -> NDArray[np.intp]:
        """Which phase of the system is the entry of each composition of its last block; -1 for none, or if allowed."""
        place = self._lowest(block).place
        if not without_own:
            return np.full(len(place), -1)
        n_others = len(competitors.phases.energies) - len(self._lowest(block).positions)
        return np.where(place >= 0, place + n_others, -1)


def _below(block: Block, corners: Floats) -> _Below:
    rows, _ = block.compositions
    formation = block.energies[rows] - block.fractions[rows] @ corners
    below = formation < -_NO_FORMATION_ENERGY
    place = np.where(below, np.cumsum(below) - 1, -1)
    phases = Phases(block.fractions[rows[below]], formation[below])
    return _Below(block, phases, block.positions[rows[below]], place)


def _answer(questions: list[_Question]) -> list[Floats]:
    """Heights that answer each question, in the hull's convention."""
    answers: list[Floats] = [np.empty(0)] * len(questions)
    by_size: dict[int, list[int]] = {}
    for i, question in enumerate(questions):
        by_size.setdefault(len(question.competitors.system), []).append(i)
    for numbers in by_size.values():
        parts = [questions[i] for i in numbers]
        sizes = [len(part.fractions) for part in parts]
        which = np.repeat(np.arange(len(parts)), sizes)
        at = np.concatenate([part.fractions for part in parts])
        corners = np.array([part.competitors.corners for part in parts])
        answer = solve(
            [part.competitors.phases for part in parts], which, at, np.concatenate([part.without for part in parts])
        )
        heights = answer.energy + (at * corners[which]).sum(axis=1)
        for i, part in zip(numbers, np.split(heights, np.cumsum(sizes)[:-1]), strict=True):
            answers[i] = part
    return answers


def _shares(names: Sequence[EntryId], shares: Floats) -> dict[EntryId, float]:
    parts = [(name, share) for name, share in zip(names, shares.tolist(), strict=True) if share > SMALLEST_SHARE]
    total = sum(share for _, share in parts)
    return {name: share / total for name, share in sorted(parts, key=lambda part: (-round(part[1], 9), str(part[0])))}
