"""Which crystals are the same: among candidates, as a prototype, and as a known compound."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher
from pymatgen.core.entries import ComputedStructureEntry
from pymatgen.core.structure import Structure

from matscout.db._matching import MATCHER_ERRORS, fits
from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition
    from pymatgen.core.entries import ComputedEntry

_log = logging.getLogger(__name__)

# Two relaxations of one crystal end within 2 % in volume, at worst all in one length, and some 0.05 Å in positions.
_SAME_LENGTHS = 0.03  # StructureMatcher's ltol
_SAME_ANGLES = 2.0  # degrees, angle_tol
_SAME_POSITIONS = 0.1  # of the mean distance between atoms, stol: about 0.2 Å
_SAME_VOLUMES = 0.05
_SMALLEST_VOLUME = 1e-3  # Å^3


def space_group(structure: Structure, symprec: float = 0.1) -> int | None:
    """Space group number of a crystal, or None, logged, where spglib finds none.

    Parameters
    ----------
    structure
        Crystal; magnetic moments and other site properties are not looked at.
    symprec
        Å by which positions may be off.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> space_group(Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    221
    """
    if not _sound(structure):
        _log.warning("no space group of %s: its cell has no volume or is not finite", structure.formula)
        return None
    kinds = sorted({str(site.species) for site in structure})
    numbers = [kinds.index(str(site.species)) + 1 for site in structure]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    dataset = spglib_call("get_symmetry_dataset", cell, symprec=symprec)
    if dataset is None:
        _log.warning("no space group of %s at symprec %g Å", structure.formula, symprec)
        return None
    return int(dataset.number)


def same_prototype(initial: Structure, relaxed: Structure) -> bool:
    """Whether a relaxed crystal is still the prototype it started as.

    It is if pymatgen's StructureMatcher, with its default tolerances and both cells scaled to one volume, lays one on
    the other, and both have the same space group at a symprec of 0.1 Å. The first alone lets displacements pass that
    break the symmetry, the second those that keep it. False where either cannot be told.
    """
    number = space_group(initial)
    if number is None or number != space_group(relaxed):
        return False
    first, second = _reduced(initial), _reduced(relaxed)
    return first is not None and second is not None and fits(_scaled(), first, second, either_way=False)


def group_crystals(structures: Sequence[Structure]) -> NDArray[np.intp]:
    """Group crystals that are the same, such as candidates relaxed into one from different prototypes.

    The same reduced formula, volumes within 5 % and, without scaling, cells within 3 % and 2 degrees and positions
    within a tenth of the mean distance between atoms (StructureMatcher's ltol, angle_tol and stol).

    Returns
    -------
    Group of each crystal, shape (n,), numbered from 0 as they first appear. The first crystal of a group stands for it:
    the others are compared with it alone, so that a chain of small differences joins no different crystals.
    """
    matcher = StructureMatcher(
        _SAME_LENGTHS, _SAME_POSITIONS, _SAME_ANGLES, scale=False, comparator=ElementComparator()
    )
    groups = np.empty(len(structures), dtype=np.intp)
    representatives: dict[str, list[tuple[int, Structure]]] = {}
    n_groups = 0
    for i, structure in enumerate(structures):
        rivals = representatives.setdefault(_formula(structure.composition), [])
        reduced = _reduced(structure)
        same = (
            group
            for group, rival in rivals
            if reduced is not None and _same_volume(rival, reduced) and fits(matcher, rival, reduced, either_way=False)
        )
        found = next(same, None)
        if found is None:
            found, n_groups = n_groups, n_groups + 1
            if reduced is not None:
                rivals.append((found, reduced))
        groups[i] = found
    return groups


class KnownCrystals:
    """Entries with structures, to look crystals up among.

    Parameters
    ----------
    entries
        Entries; those without a structure are passed over.
    """

    def __init__(self, entries: Iterable[ComputedEntry]) -> None:
        self._entries: dict[str, list[ComputedStructureEntry]] = {}
        self._reduced: dict[str, list[tuple[str, Structure]]] = {}
        for entry in entries:
            if isinstance(entry, ComputedStructureEntry):
                self._entries.setdefault(_formula(entry.composition), []).append(entry)

    def match(self, structure: Structure) -> str | None:
        """Id of the entry that is this crystal, or None.

        Entries of the same reduced formula are compared by StructureMatcher with its default tolerances, cells scaled
        to one volume, as protocols differ in volume. Of several that match it is the one with the smallest
        displacements, and of equal ones the first id.
        """
        matcher = _scaled()
        reduced = _reduced(structure)
        found = [
            (_displacement(matcher, known, reduced), entry_id)
            for entry_id, known in self._of(_formula(structure.composition))
            if reduced is not None and fits(matcher, known, reduced, either_way=False)
        ]
        return min(found)[1] if found else None

    def _of(self, formula: str) -> list[tuple[str, Structure]]:
        """Ids and reduced cells of one formula, reduced when first asked for."""
        if formula not in self._reduced:
            cells = [(str(entry.entry_id), _reduced(entry.structure)) for entry in self._entries.get(formula, [])]
            self._reduced[formula] = [(entry_id, cell) for entry_id, cell in cells if cell is not None]
        return self._reduced[formula]


def match_known(structure: Structure, entries: Iterable[ComputedEntry]) -> str | None:
    """Id of the known entry that is this crystal, or None; for many crystals see `KnownCrystals`."""
    return KnownCrystals(entries).match(structure)


def _scaled() -> StructureMatcher:
    return StructureMatcher(scale=True, comparator=ElementComparator())


def _formula(composition: Composition) -> str:
    return str(composition.element_composition.reduced_formula)


def _sound(structure: Structure) -> bool:
    """Whether a cell is one at all: on NaN spglib crashes the process."""
    numbers = np.concatenate([structure.lattice.matrix, structure.frac_coords])
    return len(structure) > 0 and bool(np.isfinite(numbers).all()) and structure.volume > _SMALLEST_VOLUME


def _reduced(structure: Structure) -> Structure | None:
    """Primitive Niggli cell of bare elements, or None, logged, where there is none.

    Reduced once for each crystal: StructureMatcher reduces at every comparison.
    """
    if not _sound(structure):
        _log.warning("no primitive cell of %s: it has no volume or is not finite", structure.formula)
        return None
    try:
        bare = Structure(structure.lattice, structure.species_and_occu, structure.frac_coords)
        return bare.remove_oxidation_states().get_reduced_structure("niggli").get_primitive_structure()
    except MATCHER_ERRORS as error:
        _log.warning("no primitive cell of %s: %s", structure.formula, error)
        return None


def _same_volume(first: Structure, second: Structure) -> bool:
    volumes = first.volume / len(first), second.volume / len(second)
    return abs(volumes[0] - volumes[1]) <= _SAME_VOLUMES * min(volumes)


def _displacement(matcher: StructureMatcher, first: Structure, second: Structure) -> float:
    """Root mean square displacement of two crystals that fit, in mean distances between atoms."""
    found = matcher.get_rms_dist(first, second)  # type: ignore[no-untyped-call]
    return float("inf") if found is None else round(float(found[0]), 6)
