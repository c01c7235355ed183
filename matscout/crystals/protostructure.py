"""Protostructure labels: space group, occupied Wyckoff positions and elements of a crystal, in one text.

`AB3C_cP5_221_a_c_b:Ca-O-Ti` is the prototype label of AFLOW with the elements behind it: stoichiometry, Pearson symbol,
space group and the Wyckoff letters of each element, elements in alphabetical order. A crystal has one label, whatever
cell, axes, origin and order of sites it comes in, and its mirror image has the same: of the two groups of an
enantiomorphic pair the lower number is written.

pymatgen's own labels (`pymatgen.analysis.prototypes`, from aviary) are written in the same order, but differ in four
things. They name the same monoclinic or triclinic crystal differently in different cells (`_letters` says why), tell
left from right, count the atoms of rhombohedral crystals in the hexagonal cell (hR30 where AFLOW writes hR10), and put
the reason of a failure where the label would be.

References
----------
Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017 (labels of prototypes).
Goodall et al., Sci. Adv. 8, eabn4117 (2022), doi:10.1126/sciadv.abn4117 (with elements, letters in canonical order).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from string import ascii_uppercase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.crystals._letters import anonymous_letters, canonical_letters
from matscout.crystals.crystal import checked_numbers
from matscout.crystals.occupation import Occupation, find_occupation
from matscout.db._elements import symbols
from matscout.db._formulas import chemical_systems
from matscout.db._patterns import block_columns, by_pattern
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from matscout.db.candidates import CandidateTable
    from matscout.db.prototypes import Prototype

#: Tolerance of the search for symmetry where one atom has the volume 1, so that a label does not depend on the volume:
#: 0.01 Å, pymatgen's and Materials Project's choice for relaxed crystals, at 16 Å³/atom. At twice as much the first
#: prototypes of AFLOW become more symmetric than they are published.
SYMPREC = 4e-3


class RefusedRow(NamedTuple):
    """A row that has no label, and why: one sentence."""

    row: int
    reason: str


def protostructure_label(structure: Structure, symprec: float = SYMPREC) -> str:
    """Label of a crystal.

    Parameters
    ----------
    structure
        An ordered crystal; oxidation states and other site properties are not looked at.
    symprec
        Tolerance of positions in units of the cube root of the volume per atom, so that 0.004 is about 0.01 Å.

    Raises
    ------
    UserError
        Partial occupancies, overlapping atoms, numbers that are not finite, no symmetry found.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> sites = [[0.5] * 3, [0] * 3, [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    >>> protostructure_label(Structure(Lattice.cubic(3.9), ["Ca", "Ti", "O", "O", "O"], sites))
    'AB3C_cP5_221_a_c_b:Ca-O-Ti'
    """
    return label_of(structure, checked_numbers(structure), symprec)


def label_of(structure: Structure, numbers: NDArray[np.int64], symprec: float) -> str:
    """Label of a crystal whose atomic numbers `checked_numbers` returned."""
    present, kinds = np.unique(numbers, return_inverse=True)
    found = find_occupation(structure.lattice.matrix, structure.frac_coords, kinds, symprec)
    if found is None:
        raise UserError(f"{structure.formula}: no symmetry finder can label it at a tolerance of {symprec:g}")
    names = [symbols()[number] for number in present.tolist()]
    order = sorted(range(len(names)), key=names.__getitem__)
    system = "-".join(names[kind] for kind in order)
    return f"{_prototype_part(found, np.bincount(kinds).tolist(), order)}:{system}"


def protostructure_labels(
    structures: Iterable[Structure], symprec: float = SYMPREC
) -> tuple[NDArray[np.str_], list[RefusedRow]]:
    """Labels of many crystals; one that cannot be labelled does not stop the others.

    Returns
    -------
    labels
        Shape (n,); empty where there is none.
    refused
        The rows without a label, with the reason.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> half = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]])
    >>> protostructure_labels([half])[1][0].reason
    'Na0.5: site 0 is occupied only in part, by Na:0.5; give an ordered cell'
    """
    labels: list[str] = []
    refused: list[RefusedRow] = []
    for row, structure in enumerate(structures):
        try:
            labels.append(protostructure_label(structure, symprec))
        except UserError as error:
            labels.append("")
            refused.append(RefusedRow(row, str(error)))
    return np.array(labels, dtype=str), refused


def composition_text(numbers: NDArray[np.int64]) -> str:
    """Reduced composition of a crystal from its atomic numbers, in the words of its label: see `composition_part`.

    Examples
    --------
    >>> composition_text(np.array([20, 22, 8, 8, 8]))
    'AB3C:Ca-O-Ti'
    """
    present, amounts = np.unique(numbers, return_counts=True)
    amounts //= np.gcd.reduce(amounts)
    named = sorted(zip((symbols()[number] for number in present.tolist()), amounts.tolist(), strict=True))
    return f"{_stoichiometry(tuple(amount for _, amount in named))}:{'-'.join(name for name, _ in named)}"


def composition_part(label: str) -> str:
    """Part of a label that says the reduced composition, empty where that is empty.

    Examples
    --------
    >>> composition_part("AB3C_cP5_221_a_c_b:Ca-O-Ti")
    'AB3C:Ca-O-Ti'
    """
    prototype, colon, system = label.partition(":")
    return f"{prototype.partition('_')[0]}{colon}{system}"


def prototype_label(label: str) -> str:
    """Label without elements: the same for all crystals of one prototype, whichever elements they are made of.

    Elements come by growing amount, as pymatgen orders them; those of equal amounts cannot be told apart.

    Examples
    --------
    >>> prototype_label("AB3C_cP5_221_a_c_b:Ca-O-Ti"), prototype_label("A3BC_cP5_221_c_b_a:F-K-Mg")
    ('ABC3_cP5_221_a_b_c', 'ABC3_cP5_221_a_b_c')
    """
    stoichiometry, _, rest = label.partition(":")[0].partition("_")
    pearson, _, rest = rest.partition("_")
    space_group, *letters = rest.split("_")
    amounts = [int(amount or 1) for amount in re.findall(r"[A-Z](\d*)", stoichiometry)]
    if not space_group.isdecimal() or not 1 <= int(space_group) <= 230 or len(letters) != len(amounts):
        raise UserError(f'"{label}" is no label such as AB3C_cP5_221_a_c_b:Ca-O-Ti')
    order = sorted(range(len(amounts)), key=amounts.__getitem__)
    numbered = "_".join(re.sub(r"(?<!\d)([A-Za-z])", r"1\1", letters[kind]) for kind in order)
    by_size = tuple(amounts[kind] for kind in order)
    return f"{_stoichiometry(by_size)}_{pearson}_{space_group}_" + anonymous_letters(
        numbered, int(space_group), by_size
    )


def candidate_labels(table: CandidateTable, symprec: float = SYMPREC) -> NDArray[np.str_]:
    """Labels of all candidates of a table, without building a crystal.

    Symmetry is looked for once in each prototype and for each set of roles that share an element.

    Returns
    -------
    Shape (n,): what `protostructure_label(table.structure(i))` returns.

    Raises
    ------
    UserError
        A prototype has no label.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> table = enumerate_candidates("cubic-perovskite", {"A": ["Ca", "Sr"], "B": ["Ti"], "X": ["O"]})
    >>> candidate_labels(table).tolist()
    ['AB3C_cP5_221_a_c_b:Ca-O-Ti', 'A3BC_cP5_221_c_a_b:O-Sr-Ti']
    """
    labels, refused = label_candidates(table, symprec)
    if refused:
        raise UserError(refused[0].reason)
    return labels


def label_candidates(table: CandidateTable, symprec: float = SYMPREC) -> tuple[NDArray[np.str_], list[RefusedRow]]:
    """Labels of all candidates of a table, and the rows that have none."""
    labels = np.full(len(table), "", dtype=object)
    refused: list[RefusedRow] = []
    for prototype, rows in table.by_prototype():
        decoration = table.decoration[rows, : len(prototype.roles)]
        for pattern, members in by_pattern(decoration):
            found = find_occupation(prototype.lattice, prototype.frac_coords, _merged(prototype, pattern), symprec)
            if found is None:
                reason = f"prototype {prototype.name}: no symmetry finder can label its cell"
                refused += [RefusedRow(row, reason) for row in rows[members].tolist()]
                continue
            elements = decoration[members][:, block_columns(pattern)]
            amounts = np.bincount(pattern, weights=prototype.multiplicity).astype(int).tolist()
            systems = np.array(chemical_systems(elements), dtype=object)
            for order, alike in _by_order(elements):
                start = f"{_prototype_part(found, amounts, order)}:"
                labels[rows[members[alike]]] = start + systems[alike]
    return labels.astype(str), sorted(refused)


def _merged(prototype: Prototype, pattern: Sequence[int]) -> NDArray[np.intp]:
    return np.array(pattern)[prototype.role_of_site]


def _by_order(elements: NDArray[np.uint8]) -> Iterator[tuple[list[int], NDArray[np.intp]]]:
    """Give each alphabetical order of columns that occurs among rows of different elements, with its rows."""
    order = np.argsort(_alphabetical_place()[elements], axis=1)
    code = order @ (elements.shape[1] ** np.arange(elements.shape[1]))
    for value in np.unique(code):
        rows = np.flatnonzero(code == value)
        yield order[rows[0]].tolist(), rows


@cache
def _alphabetical_place() -> NDArray[np.intp]:
    return np.argsort(np.argsort(np.array(symbols())))


def _prototype_part(found: Occupation, amounts: Sequence[int], order: Sequence[int]) -> str:
    """Label without elements, the kinds of atoms in the order given."""
    letters = canonical_letters("_".join(found.letters[kind] for kind in order), found.space_group)
    divisor = int(np.gcd.reduce(amounts))
    stoichiometry = _stoichiometry(tuple(amounts[kind] // divisor for kind in order))
    return f"{stoichiometry}_{found.pearson}_{found.space_group}_{letters}"


@lru_cache(maxsize=1024)
def _stoichiometry(amounts: tuple[int, ...]) -> str:
    if len(amounts) > len(ascii_uppercase):
        raise UserError(f"{len(amounts)} elements in one crystal: a label has letters for {len(ascii_uppercase)}")
    written = zip(ascii_uppercase, amounts, strict=False)
    return "".join(letter if amount == 1 else f"{letter}{amount}" for letter, amount in written)
