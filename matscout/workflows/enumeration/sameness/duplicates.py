"""Which of many crystals from different sources are the same.

Crystals of one composition are grouped by protostructure label, and only those of one label are compared. So 5,000
crystals take seconds, and two are the same only if they have the same symmetry: a crystal that a relaxation has
distorted beyond the tolerance of the label is another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.crystals.protostructure import (
    SYMPREC,
    RefusedRow,
    composition_part,
    label_candidates,
    protostructure_labels,
    prototype_label,
)
from matscout.db._matching import fits, primitive_niggli
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.sameness._rows import Rows, rows_of_equal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.entries import ComputedStructureEntry
    from pymatgen.core.structure import Structure

    Item = Structure | ComputedStructureEntry | CandidateTable | tuple[str, Structure | ComputedStructureEntry]


class DuplicateGroup(NamedTuple):
    """Crystals that are the same: number of the group, label, and the rows, the first of which stands for all."""

    number: int
    label: str
    rows: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """What `find_duplicates` found, row by row.

    Attributes
    ----------
    groups
        Group of each row, numbered from 0 as they first appear, -1 where the row was refused; shape (n,).
    representatives
        First row of each group, shape (n_groups,).
    sizes
        Rows in each group, shape (n_groups,).
    refused
        Rows that are no ordered crystal, or that no symmetry finder can label, with the reason.
    """

    groups: NDArray[np.intp]
    representatives: NDArray[np.intp]
    sizes: NDArray[np.intp]
    refused: tuple[RefusedRow, ...]
    _rows: Rows

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """Whether a row is the first of its group, shape (n,): what is left when each crystal is kept once."""
        first = np.zeros(len(self.groups), dtype=bool)
        first[self.representatives] = True
        return first

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """Protostructure label of each row, empty where there is none; shape (n,).

        A crystal whose composition no other has needed no label, and gets it now.
        """
        self._rows.label()
        return self._rows.labels.astype(str)

    @cached_property
    def repeated(self) -> list[DuplicateGroup]:
        """The groups of more than one row, in order."""
        order = np.argsort(self.groups, kind="stable")
        ends = np.cumsum(self.sizes) + int((self.groups < 0).sum())
        found = []
        for number in np.flatnonzero(self.sizes > 1).tolist():
            rows = tuple(order[ends[number] - self.sizes[number] : ends[number]].tolist())
            names = tuple(self._rows.name(row) for row in rows)
            found.append(DuplicateGroup(number, str(self._rows.labels[rows[0]]), rows, names))
        return found

    def name(self, row: int) -> str:
        """Name of a row: the one given, an entry's or candidate's id, else `row 7`."""
        return self._rows.name(row)


def find_duplicates(
    items: CandidateTable | Iterable[Item],
    *,
    ltol: float = 0.2,
    stol: float = 0.3,
    angle_tol: float = 5.0,
    scale: bool = True,
    symprec: float = SYMPREC,
) -> Duplicates:
    """Find the crystals that are the same, among structures, entries and candidates.

    Crystals of one label are the same when StructureMatcher lays one on the other, and when a third one is the same as
    both; so the groups do not depend on the order of the items. Its own tolerances are the defaults. Candidates of one
    prototype are compared by their decorations, and crystals without free parameters need no comparison.

    Parameters
    ----------
    items
        pymatgen Structures, ComputedStructureEntries, pairs of a name and one of these, and CandidateTables, each of
        whose rows counts; mixed.
    ltol
        Fraction by which lengths of the cell may differ.
    stol
        Root mean square displacement in units of the cube root of the volume per atom.
    angle_tol
        Degrees.
    scale
        Whether volumes are scaled to one before: protocols and predictions differ in volume.
    symprec
        As for `protostructure_label`.

    Raises
    ------
    UserError
        An item is none of these. What is no ordered crystal is refused, and the others go on; so is a crystal that no
        symmetry finder can label, where another has its composition.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> halite = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    >>> cell = halite.get_primitive_structure()
    >>> find_duplicates([halite, ("by hand", cell), cell.replace_species({"Na": "K"}, in_place=False)]).groups.tolist()
    [0, 0, 1]
    """
    from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher

    rows = Rows([items] if isinstance(items, CandidateTable) else list(items), symprec)
    for members in rows_of_equal(rows.compositions):
        rows.label(members)
    matcher = StructureMatcher(ltol, stol, angle_tol, scale=scale, comparator=ElementComparator())
    compare = _Compare(rows, matcher, symprec, scale=scale)
    root = np.arange(len(rows.labels))
    for members in rows_of_equal(rows.labels):
        for component in compare.components(str(rows.labels[members[0]]), members):
            root[component] = min(component)
    refused = sorted(rows.refused)
    root[[refusal.row for refusal in refused]] = -1
    groups, representatives = _numbered(root)
    return Duplicates(groups, representatives, np.bincount(groups[groups >= 0]), tuple(refused), rows)


def split_groups(
    source: CandidateTable | Sequence[Structure], by: str = "label", symprec: float = SYMPREC
) -> NDArray[np.intp]:
    """Group rows that must not be parted between training and test.

    Rows of one group must all be trained on or all be held out, or the score counts what the model has seen:

    - `label`: the same composition and label, which may relax into one crystal. The least that any split needs. Across
      the split leak other polymorphs and neighbouring compositions.
    - `composition`: the same composition in any prototype. A model of the composition alone has seen the features of a
      polymorph, and a distorted one may relax into its aristotype.
    - `chemical-system`: the same elements in any amounts. For what a model says of unexplored systems: compounds of one
      system share the energies of their elements.
    - `prototype`: the same label without elements. For what a model says of unexplored prototypes. The same composition
      in another prototype leaks.

    Parameters
    ----------
    source
        Candidates, or crystals.
    by
        `label`, `composition`, `chemical-system` or `prototype`.
    symprec
        As for `protostructure_label`.

    Returns
    -------
    Shape (n,), numbered from 0 as they first appear.

    Raises
    ------
    UserError
        `by` is none of these, or a row has no label.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> table = enumerate_candidates(["rock-salt", "AB_cP2_221_b_a"], {"A": ["Na", "K"], "B": ["Cl"], "X": ["Cl"]})
    >>> split_groups(table).tolist(), split_groups(table, by="chemical-system").tolist()
    ([0, 1, 2, 3], [0, 1, 0, 1])
    """
    known = ("label", "composition", "chemical-system", "prototype")
    if by not in known:
        close = nearest(str(by), known)
        raise UserError(
            f'rows are grouped by {", ".join(known)}, not by "{by}".' + (f" Nearest: {close}." * bool(close))
        )
    if isinstance(source, CandidateTable) and by in ("composition", "chemical-system"):
        return _first_seen(source.formulas if by == "composition" else source.chemical_systems)
    labels, refused = _labels(source, symprec)
    if refused:
        raise UserError(
            f"{len(refused)} rows have no label; leave them out first. Row {refused[0].row}: {refused[0].reason}"
        )
    distinct, inverse = np.unique(labels, return_inverse=True)
    parts = np.array([_part(label, by) for label in distinct.tolist()], dtype=str)
    return _first_seen(parts[inverse])


def _labels(source: CandidateTable | Iterable[Structure], symprec: float) -> tuple[NDArray[np.str_], list[RefusedRow]]:
    if isinstance(source, CandidateTable):
        return label_candidates(source, symprec)
    return protostructure_labels(source, symprec)


def _part(label: str, by: str) -> str:
    """Part of a label that the rows of a group share."""
    if by == "prototype":
        return prototype_label(label)
    if by == "composition":
        return composition_part(label)
    return label if by == "label" else label.partition(":")[2]


def _first_seen(values: Iterable[str] | NDArray[np.str_]) -> NDArray[np.intp]:
    _, first, inverse = np.unique(np.asarray(values), return_index=True, return_inverse=True)
    return _numbered(first[inverse])[0]


def _numbered(root: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Group numbers from the first row of each row's group, -1 where that is -1, and the first row of each group."""
    first = np.unique(root[root >= 0])
    return np.where(root < 0, -1, np.searchsorted(first, root)), first


class _Compare:
    """Comparison of rows of one label."""

    def __init__(self, rows: Rows, matcher: StructureMatcher, symprec: float, *, scale: bool) -> None:
        self.rows, self.matcher, self.symprec, self.scale = rows, matcher, symprec, scale

    def components(self, label: str, members: list[int]) -> list[list[int]]:
        """Parts of the rows that are joined by equal crystals."""
        from pymatgen.analysis.prototypes import count_crystal_dof

        if self.scale and count_crystal_dof(label) == 1:
            return [members]  # nothing is free but the volume
        parts: list[tuple[list[int], list[Structure]]] = []
        for rows in self._by_decoration(members):
            crystal = self._reduced(rows[0])
            apart, joined, crystals = [], list(rows), [crystal]
            for its_rows, its_crystals in parts:
                if any(fits(self.matcher, crystal, other) for other in its_crystals):
                    joined, crystals = its_rows + joined, its_crystals + crystals
                else:
                    apart.append((its_rows, its_crystals))
            parts = [*apart, (joined, crystals)]
        return [rows for rows, _ in parts]

    def _by_decoration(self, members: list[int]) -> list[list[int]]:
        """Rows put together that are one decoration of one prototype, and differ in volume at most."""
        if not self.scale:
            return [[row] for row in members]
        alike: dict[Any, list[int]] = {}
        for row in members:
            alike.setdefault(self.rows.decoration(row) or row, []).append(row)
        return list(alike.values())

    def _reduced(self, row: int) -> Structure:
        structure = self.rows.structure(row)
        return primitive_niggli(structure, self.symprec * (structure.volume / len(structure)) ** (1 / 3))
