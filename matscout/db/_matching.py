"""pymatgen's StructureMatcher on crystals that are reduced once, not at every comparison."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core.structure import Structure

_log = logging.getLogger(__name__)

#: What StructureMatcher was seen to raise on crystals that it cannot treat.
MATCHER_ERRORS = (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError)


def primitive_niggli(structure: Structure, symprec: float) -> Structure:
    """Primitive Niggli cell of bare elements; the cell as it is where spglib finds none.

    Parameters
    ----------
    structure
        An ordered crystal.
    symprec
        Tolerance of the search for translations, in Å.
    """
    from pymatgen.core.structure import Structure

    numbers = [site.specie.Z for site in structure]
    lattice, frac = structure.lattice.matrix, structure.frac_coords
    primitive = spglib_call(
        "standardize_cell", (lattice, frac, numbers), to_primitive=True, no_idealize=True, symprec=symprec
    )
    if primitive is not None:
        lattice, frac, numbers = primitive
    niggli = spglib_call("niggli_reduce", lattice, 1e-5)
    if niggli is not None:
        lattice, frac = niggli, frac @ lattice @ np.linalg.inv(niggli)
    return Structure(lattice, numbers, frac, to_unit_cell=True)


def fits(
    matcher: StructureMatcher, first: Structure, second: Structure, *, either_way: bool = True, anonymous: bool = False
) -> bool:
    """Whether two reduced crystals match; False, logged, where they cannot be compared.

    Parameters
    ----------
    matcher
        With its tolerances.
    first, second
        Reduced crystals.
    either_way
        Also with the second laid on the first: near a tolerance StructureMatcher's answer depends on which comes first.
        Crystals that differ take twice as long then.
    anonymous
        Whether every assignment of elements is tried.
    """
    match = matcher.fit_anonymous if anonymous else matcher.fit
    try:
        return bool(match(first, second, skip_structure_reduction=True)) or (
            either_way and bool(match(second, first, skip_structure_reduction=True))
        )
    except MATCHER_ERRORS as error:
        _log.warning("cannot compare %s with %s: %s", first.formula, second.formula, error)
        return False
