"""Convex hulls of many chemical systems at once.

A chemical system is solved when it is asked for, from the lowest entry of each composition in it and in the systems
inside it, and stays solved until one of those gets another entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.blocks import SAME_ENERGY, Blocks, formula, names_from_formulas, some
from matscout.workflows.stability.compositions import fraction_table, grid_keys, system_of
from matscout.workflows.stability.facets import lower_hull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core.composition import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    from matscout.workflows.stability.blocks import Block, EntryId
    from matscout.workflows.stability.compositions import Compositions, FractionTable, System
    from matscout.workflows.stability.facets import LowerHull

Floats: TypeAlias = "NDArray[np.float64]"

_NO_FORMATION_ENERGY = 1e-11  # eV/atom; what lies above the elements' plane never shapes a hull


@dataclass(frozen=True, eq=False)
class _Solved:
    """The hull of one chemical system.

    Attributes
    ----------
    blocks
        What it was solved from: once one of them is replaced, it no longer holds.
    corners
        Energies of the elements in the hull's convention, eV/atom, shape (d,).
    hull
        Relative to the corners.
    ids
        Which entry each point of the hull is.
    """

    blocks: tuple[Block, ...]
    corners: Floats
    hull: LowerHull
    ids: tuple[EntryId, ...]


class Hull:
    """The lower convex hull of formation energies of one protocol, in any number of chemical systems.

    Only the lowest entry of a composition counts, Na2Cl2 is NaCl, and entries above the elements' plane never shape the
    hull. Wherever compositions are taken they may be formulas, pymatgen Compositions, or a pair of amounts of shape
    (n, k) and their k element symbols.

    Parameters
    ----------
    compositions
        n compositions.
    energies
        eV/atom, shape (n,): absolute, with each element among the entries; or, with `formation_energies`, relative to
        the elements.
    ids
        n names; made from the formulas where None. An entry given twice counts once.
    formation_energies
        Energies are relative to elements that stand at 0 without being listed. The convention holds in every call on
        this hull. An entry of an element below 0 is a phase like any other.

    Raises
    ------
    UserError
        An element has no entry, an energy is not finite, a composition is empty, an id has two energies.

    Examples
    --------
    >>> hull = Hull(["Na", "Cl2", "NaCl", "Na3Cl"], [-1.3, -1.8, -3.6, -1.9])
    >>> hull.stable_ids
    ('Na', 'Cl2', 'NaCl')
    >>> hull.e_above_hull(["Na2Cl2", "Na3Cl"], [-3.5, -1.9]).round(3).tolist()
    [0.1, 0.55]
    >>> hull.decompose("Na3Cl")
    {'Na': 0.5, 'NaCl': 0.5}
    """

    def __init__(
        self,
        compositions: Compositions,
        energies: ArrayLike,
        ids: Sequence[EntryId] | None = None,
        *,
        formation_energies: bool = False,
    ) -> None:
        self.formation_energies = formation_energies
        self._entries = Blocks()
        self._solved: dict[System, _Solved] = {}
        self._version: str | None = None
        self.add(compositions, energies, ids)

    @classmethod
    def from_entries(cls, entries: Iterable[ComputedEntry]) -> Self:
        """Build the hull of pymatgen entries from their corrected energies, under their entry ids.

        An entry without an id goes by its formula, with a number for the higher entries of a composition.
        """
        listed = list(entries)
        compositions = [entry.composition for entry in listed]
        energies = np.array([entry.energy_per_atom for entry in listed])
        given = [entry.entry_id for entry in listed]
        return cls(compositions, energies, names_from_formulas(fraction_table(compositions), energies, given))

    def __len__(self) -> int:
        return len(self._entries.ids)

    def __repr__(self) -> str:
        return f"<Hull {self.version}: {len(self)} entries in {len(self._entries.by_system)} chemical systems>"

    @property
    def ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries in the order they came in, which is the order of `decomposition_energy`."""
        return tuple(self._entries.ids)

    @property
    def elements(self) -> System:
        """Symbols of all elements among the entries, in alphabetical order."""
        return tuple(sorted({symbol for system in self._entries.by_system for symbol in system}))

    @property
    def reference_energies(self) -> dict[str, float]:
        """What formation energies are counted from, in eV/atom: the lowest entry of each element, or 0."""
        if self.formation_energies:
            return dict.fromkeys(self.elements, 0.0)
        return {element: self._corner(element) for element in self.elements}

    @property
    def stable_ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries whose `e_above_hull` is 0, in the order of `ids`."""
        above = self._own_distances(lambda block: self._height(block.system, block.fractions))
        return tuple(name for name, distance in zip(self.ids, above, strict=True) if distance < SAME_ENERGY)

    @property
    def version(self) -> str:
        """Content hash (16 hex) of ids, compositions, energies and convention, whatever the order of the entries."""
        if self._version is None:
            self._version = self._entries.content_hash("formation" if self.formation_energies else "absolute")
        return self._version

    def add(self, compositions: Compositions, energies: ArrayLike, ids: Sequence[EntryId] | None = None) -> None:
        """Add entries; only the chemical systems that contain theirs are solved anew.

        Parameters and errors are those of the hull itself. Where anything is wrong nothing is added.
        """
        names = None if ids is None else list(ids)
        table = fraction_table(compositions, names)
        values = _finite(energies, table, names)
        if names is None:
            names = names_from_formulas(table, values, [None] * len(table), self._entries)
        self._check_elements(table, names)
        new = self._entries.unseen(names, table, values)
        self._entries.insert(new, names, table, values)
        self._version = None

    def formation_energy(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Energy relative to the elements, in eV/atom, shape (n,)."""
        table = fraction_table(compositions)
        values = _finite(energies, table)
        self._check_elements(table)
        references = self.reference_energies
        corners = np.array([references.get(element, 0.0) for element in table.elements])
        return np.asarray(values - table.fractions @ corners)

    def hull_energy(self, compositions: Compositions) -> Floats:
        """Energy of the hull at compositions, in eV/atom in the hull's convention, shape (n,)."""
        return self._heights(fraction_table(compositions))

    def e_above_hull(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Distance to the hull in eV/atom, shape (n,): 0 on it, negative below it.

        Distances under 1e-9 eV/atom are 0.
        """
        table = fraction_table(compositions)
        distance = _finite(energies, table) - self._heights(table)
        return np.where(np.abs(distance) < SAME_ENERGY, 0.0, distance)

    def decomposition_energy(self) -> Floats:
        """Distance of each own entry to the hull built without its own composition, in eV/atom, in the order of `ids`.

        Negative for every stable compound, and also for a metastable polymorph below that hull. 0 for every entry of an
        element, which no hull can do without.
        """
        return self._own_distances(self._height_without)

    def decompose(self, composition: Composition | str) -> dict[EntryId, float]:
        """Phases of lowest energy at a composition with the fraction of all atoms in each, the largest first.

        The fractions sum to 1. An element that is not among the entries goes by its symbol. Where phases tie, one of
        the decompositions of lowest energy is given, and a composition with an entry on the hull is that entry.
        """
        table = fraction_table([composition])
        self._check_elements(table)
        ((system, _, fractions),) = table.by_system()
        own = self._stable_at(system, fractions[0])
        if own is not None:
            return {own: 1.0}
        solved = self._solve(system)
        shares = solved.hull.shares(fractions[0]).tolist()
        parts = [(name, share) for name, share in zip(solved.ids, shares, strict=True) if share > 0]
        return dict(sorted(parts, key=lambda part: (-round(part[1], 9), str(part[0]))))

    def completeness(self, chemical_system: str | Sequence[str]) -> dict[int, int]:
        """Count the entries that compete in a chemical system, such as "Li-Fe-O", by their number of elements.

        {1: 3, 2: 6, 3: 0} says: judged against elements and binaries alone. An element that stands at 0 without being
        listed counts as one.
        """
        system = system_of(chemical_system)
        counts = dict.fromkeys(range(1, len(system) + 1), 0)
        for block in self._entries.within(system):
            counts[len(block.system)] += len(block.energies)
        if self.formation_energies:
            counts[1] += sum((element,) not in self._entries.by_system for element in system)
        return counts

    def _check_elements(self, table: FractionTable, names: Sequence[EntryId] | None = None) -> None:
        """Refuse elements without an energy; `names` are those of entries on their way in."""
        if self.formation_energies:
            return
        pure = table.fractions.max(axis=1, initial=0.0) == 1.0
        for column, element in enumerate(table.elements):
            needing = np.flatnonzero(table.fractions[:, column])
            brought = names is not None and pure[needing].any()
            if len(needing) and not brought and (element,) not in self._entries.by_system:
                who = [formula(table, row) if names is None else names[row] for row in needing.tolist()]
                raise UserError(
                    f"no entry of the element {element}, which {some(who)} need: "
                    f"give the hull an entry of {element}, or formation energies"
                )

    def _corner(self, element: str) -> float:
        """Energy of the lowest phase of an element, in the hull's convention."""
        block = self._entries.by_system.get((element,))
        lowest = np.inf if block is None else float(block.energies.min())
        return min(lowest, 0.0) if self.formation_energies else lowest

    def _heights(self, table: FractionTable) -> Floats:
        """Energy of the hull at all rows, in the hull's convention."""
        self._check_elements(table)
        heights = np.empty(len(table))
        for system, rows, fractions in table.by_system():
            heights[rows] = self._height(system, fractions)
        return heights

    def _height(self, system: System, fractions: Floats) -> Floats:
        solved = self._solve(system)
        return np.asarray(solved.hull.energy(fractions) + fractions @ solved.corners)

    def _height_without(self, block: Block) -> Floats:
        """Energy of the hull without the entry's own composition, for each entry of a block."""
        if len(block.system) == 1:
            return block.energies
        rows, composition = block.compositions
        fractions = block.fractions[rows]
        heights = self._height(block.system, fractions)
        solved = self._solve(block.system)
        point_of = {name: point for point, name in enumerate(solved.ids)}
        for i in np.flatnonzero(block.energies[rows] - heights < SAME_ENERGY):
            point = point_of.get(self._entries.ids[block.positions[rows[i]]])
            if point is not None:  # on the elements' plane an entry is stable without shaping the hull
                heights[i] = solved.hull.without(point).energy(fractions[i : i + 1])[0] + fractions[i] @ solved.corners
        return heights[composition]

    def _own_distances(self, heights_of: Callable[[Block], Floats]) -> Floats:
        distances = np.empty(len(self))
        for block in self._entries.by_system.values():
            distances[block.positions] = block.energies - heights_of(block)
        return distances

    def _solve(self, system: System) -> _Solved:
        """Solve a chemical system, unless it is solved and nothing in it has changed."""
        blocks = tuple(self._entries.within(system))
        solved = self._solved.get(system)
        if solved is None or solved.blocks != blocks:
            solved = self._solved[system] = self._build(system, blocks)
        return solved

    def _build(self, system: System, blocks: tuple[Block, ...]) -> _Solved:
        corners = np.array([self._corner(element) for element in system])
        fractions, energies = [np.eye(len(system))], [np.zeros(len(system))]
        ids = [self._element_id(element) for element in system]
        for block in blocks:
            if len(block.system) == 1:
                continue
            columns = [system.index(element) for element in block.system]
            rows, _ = block.compositions
            formation = block.energies[rows] - block.fractions[rows] @ corners[columns]
            below = formation < -_NO_FORMATION_ENERGY
            points = np.zeros((int(below.sum()), len(system)))
            points[:, columns] = block.fractions[rows[below]]
            fractions.append(points)
            energies.append(formation[below])
            ids.extend(self._entries.ids[position] for position in block.positions[rows[below]])
        return _Solved(blocks, corners, lower_hull(np.concatenate(fractions), np.concatenate(energies)), tuple(ids))

    def _element_id(self, element: str) -> EntryId:
        """Id of the lowest entry of an element, or its symbol where the unlisted element is lower."""
        block = self._entries.by_system.get((element,))
        if block is None:
            return element
        lowest = block.compositions[0][0]
        if self.formation_energies and block.energies[lowest] > SAME_ENERGY:
            return element
        return self._entries.ids[int(block.positions[lowest])]

    def _stable_at(self, system: System, fractions: Floats) -> EntryId | None:
        """Id of the lowest entry of this very composition if it is on the hull."""
        block = self._entries.by_system.get(system)
        if block is None or len(system) == 1:
            return None
        rows, _ = block.compositions
        same = rows[(grid_keys(block.fractions[rows]) == grid_keys(fractions)).all(axis=1)]
        if not len(same):
            return None
        distance = block.energies[same] - self._height(system, block.fractions[same])
        return self._entries.ids[block.positions[same[0]]] if distance[0] < SAME_ENERGY else None


def _finite(energies: ArrayLike, table: FractionTable, names: Sequence[EntryId] | None = None) -> Floats:
    """Energies as an array, one for each row and none of them NaN or infinite."""
    values = np.atleast_1d(np.asarray(energies, dtype=float))
    if values.shape != (len(table),):
        raise UserError(f"{len(table)} compositions but energies of shape {values.shape}, in eV/atom")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        who = [f"{formula(table, row) if names is None else names[row]} ({values[row]:g})" for row in bad.tolist()]
        raise UserError(f"energies that are not finite: {some(who)}; leave out what failed")
    return values
