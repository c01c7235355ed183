"""How alike two crystals of different elements are, in the words of the International Union of Crystallography.

References
----------
Lima-de-Faria, Hellner, Liebau, Makovicky, Parthé, Acta Cryst. A 46, 1 (1990), doi:10.1107/S0108767389008834.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.crystals.protostructure import SYMPREC, protostructure_label, prototype_label
from matscout.db._matching import fits, primitive_niggli
from matscout.db.prototypes import Prototype

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


def isopointal(a: Structure | Prototype, b: Structure | Prototype, symprec: float = SYMPREC) -> bool:
    """Whether two crystals have the same space group and the same sequence of occupied Wyckoff positions.

    Groups of an enantiomorphic pair count as one. Free parameters may have any values, so that isopointal crystals may
    look very different. Narrower than the definition in one thing: the positions must also be shared out among
    elements in the same way, so that beta-W and Cr3Si are not isopointal here.

    Parameters
    ----------
    a, b
        Crystals, or prototypes with a different element in each role.
    symprec
        As for `protostructure_label`.

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> marcasite, hydrophilite = get_prototype("AB2_oP6_58_a_g-FeS2"), get_prototype("AB2_oP6_58_a_g-CaCl2")
    >>> isopointal(marcasite, hydrophilite), isoconfigurational(marcasite, hydrophilite)
    (True, False)
    """
    first, second = (prototype_label(protostructure_label(_crystal(one), symprec)) for one in (a, b))
    return first == second


def isoconfigurational(
    a: Structure | Prototype,
    b: Structure | Prototype,
    *,
    ltol: float = 0.04,
    stol: float = 0.1,
    angle_tol: float = 2.0,
    symprec: float = SYMPREC,
) -> bool:
    """Whether two isopointal crystals have similar geometry too: the same structure type, whatever the elements.

    Compared by StructureMatcher with both volumes scaled to one and every assignment of elements tried. How similar is
    similar the definition leaves open; with the tolerances given here all rutile-type dioxides are one type, and the
    three types that AFLOW lists under AB2_oP6_58_a_g are three.

    Parameters
    ----------
    a, b
        Crystals, or prototypes with a different element in each role.
    ltol
        Fraction by which lengths of the cell may differ.
    stol
        Root mean square displacement in units of the cube root of the volume per atom.
    angle_tol
        Degrees.
    symprec
        As for `protostructure_label`.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if not isopointal(a, b, symprec):
        return False
    first, second = (primitive_niggli(crystal, symprec * _length(crystal)) for crystal in map(_crystal, (a, b)))
    return fits(StructureMatcher(ltol, stol, angle_tol, scale=True), first, second, anonymous=True)


def _crystal(given: Structure | Prototype) -> Structure:
    """Return a crystal as it is, a prototype with the first elements in its roles."""
    from pymatgen.core.periodic_table import Element

    if not isinstance(given, Prototype):
        return given
    return given.structure([Element.from_Z(number + 1).symbol for number in range(len(given.roles))], 20.0)


def _length(structure: Structure) -> float:
    """Cube root of the volume per atom, in Å."""
    return float((structure.volume / len(structure)) ** (1 / 3))
