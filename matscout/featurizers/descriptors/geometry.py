"""Density, packing and symmetry of a crystal as it stands."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols
from matscout.errors import UserError
from matscout.featurizers.base import ELEMENT_DATA, SYMMETRY, Descriptor
from matscout.featurizers.elements import MAGPIE_CITATION, PYMATGEN_CITATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

_GRAMS_PER_DALTON_AND_CUBIC_ANGSTROM = 1.66053906892  # g/cm³ of 1 Da/Å³; CODATA 2022


class Geometry(Descriptor):
    """Density, volume per atom, packing fraction, atoms in the primitive cell, space group number.

    The first three are matminer's ``DensityFeatures``, "vpa" being the volume per atom; the packing fraction is that of
    spheres of pymatgen's atomic radius, NaN where an element has none. They see the volume that is given. Symmetry is
    looked for as in labels (`matscout.crystals.protostructure.SYMPREC`), about 0.01 Å.
    """

    names = ("density", "vpa", "packing fraction", "primitive sites", "space group number")
    units = ("g/cm^3", "Å^3/atom", "", "", "")
    citations = (MAGPIE_CITATION, PYMATGEN_CITATION)
    software = (*ELEMENT_DATA, *SYMMETRY)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        from matscout.crystals._cells import settled_cell
        from matscout.crystals.protostructure import SYMPREC
        from matscout.db._symmetry import spglib_call

        # of a nearly symmetric crystal spglib's answer depends on the cell and the order of sites
        scale = (len(crystal) / crystal.volume) ** (1 / 3)
        kinds = np.unique(crystal.numbers, return_inverse=True)[1]
        cell = settled_cell(crystal.lattice * scale, crystal.frac_coords, kinds)
        symmetry = None
        if cell is not None:
            symmetry = spglib_call("get_symmetry_dataset", (*cell[:2], cell[2] + 1), symprec=SYMPREC)
        if symmetry is None:
            raise UserError("no symmetry found; is its cell very skew?")
        mass, radius = _masses_and_radii()[:, crystal.numbers]
        return np.array(
            [
                _GRAMS_PER_DALTON_AND_CUBIC_ANGSTROM * mass.sum() / crystal.volume,
                crystal.volume / len(crystal),
                4 / 3 * np.pi * (radius**3).sum() / crystal.volume,
                len(np.unique(symmetry.mapping_to_primitive)),
                symmetry.number,
            ]
        )


@cache
def _masses_and_radii() -> NDArray[np.float64]:
    """Atomic masses in Da and atomic radii in Å by atomic number, shape (2, 119); NaN where pymatgen has none."""
    from pymatgen.core.periodic_table import Element

    elements = [Element(symbol) for symbol in symbols()[1:]]
    values = np.full((2, N_ELEMENTS), np.nan)
    values[0, 1:] = [float(element.atomic_mass) for element in elements]
    values[1, 1:] = [np.nan if element.atomic_radius is None else float(element.atomic_radius) for element in elements]
    return values
