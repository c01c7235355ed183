"""What the symmetry of a crystal says of it, whichever elements it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.point_groups import CRYSTAL_SYSTEMS, POINT_GROUPS, crystal_system, has_inversion, point_group
from matscout.crystals.protostructure import SYMPREC
from matscout.crystals.roles import LATTICES
from matscout.featurizers.base import MAGPIE_DATA, SYMMETRY, WYCKOFF_DATA, Descriptor
from matscout.featurizers.descriptors._options import checked_number, checked_whole
from matscout.featurizers.descriptors._roles import LARGEST_SYMPREC, VOLUME_CITATIONS, roles_of, volume_and_packing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.crystals.roles import CrystalRoles, Role

_MOST_ELEMENTS = 20

#: Lengths and angles of the cell that each crystal system leaves free.
_CELL_PARAMETERS = dict(zip(CRYSTAL_SYSTEMS, (6, 4, 3, 2, 2, 2, 1), strict=True))

WYCKOFF_CITATION = (
    "Goodall, Parackal, Faber, Armiento, Lee, Rapid discovery of stable materials by coordinate-free coarse graining, "
    "Sci. Adv. 8, eabn4117 (2022), doi:10.1126/sciadv.abn4117"
)
SPGLIB_CITATION = (
    "Togo, Shinohara, Tanaka, Spglib: a software library for crystal symmetry search, Sci. Technol. Adv. Mater. Meth. "
    "4, 2384822 (2024), doi:10.1080/27660400.2024.2384822"
)


class Protostructure(Descriptor):
    """Space group, Wyckoff positions and anonymous formula, predicted volume and packing.

    A protostructure label such as ``AB3C_cP5_221_a_c_b`` is a category, and from one column for each label a model
    learns nothing of a label it has not seen. So labels are taken apart into numbers that unlike labels share:

    - the space group by its number, which a tree can split and a linear model should not be given; by one column for
      each crystal system and each kind of lattice; and by the order of its point group and whether that is
      centrosymmetric, polar and chiral (has rotations only);
    - the Wyckoff letters, which mean something else in each space group, by what they stand for: how many orbits have
      0, 1, 2 and 3 free coordinates and what share of the atoms is on them; the share of atoms on sites of each of the
      32 point groups, and of all that have an inversion; smallest, largest and mean order of the site symmetry;
      smallest, largest and mean multiplicity of orbits in the primitive cell; free coordinates in all, and free lengths
      and angles of the cell;
    - the anonymous formula by the atomic fractions, largest first, 0 behind the last element, the number of elements
      and the atoms of a reduced formula; with them the orbits of the element that has most;
    - sites in the primitive and in the conventional cell.

    The last two columns are the volume predicted from elements and shape, in Å³/atom, and the share of it that spheres
    of covalent radius fill, NaN where a radius is unknown.

    A crystal and its mirror image have the same row, and so have two that differ only in their free coordinates, but
    for the predicted volume. Which element is on which site is not told: see the preset sites.

    Parameters
    ----------
    max_elements
        Atomic fractions that have columns; those of further elements are left out.
    symprec
        Tolerance of positions in units of the cube root of the volume per atom, as in protostructure labels.
    """

    version = 1
    software = (*MAGPIE_DATA, *SYMMETRY, *WYCKOFF_DATA)
    citations = (WYCKOFF_CITATION, SPGLIB_CITATION, *VOLUME_CITATIONS)

    def __init__(self, *, max_elements: int = 6, symprec: float = SYMPREC) -> None:
        self._max_elements = checked_whole("max_elements", max_elements, least=1, most=_MOST_ELEMENTS)
        self._symprec = checked_number("symprec", symprec, above=0, most=LARGEST_SYMPREC)
        self.names = (
            *("space_group", "point_group_order", "centrosymmetric", "polar", "chiral"),
            *(f"crystal_system.{name}" for name in CRYSTAL_SYSTEMS),
            *(f"lattice.{name}" for name in LATTICES),
            *("primitive_sites", "conventional_sites", "cell_parameters", "free_coordinates", "n_orbits"),
            *(f"orbits.{free}_free" for free in range(4)),
            *(f"atoms.{free}_free" for free in range(4)),
            *(f"{statistic}_multiplicity" for statistic in ("min", "max", "mean")),
            *(f"{statistic}_site_symmetry_order" for statistic in ("min", "max", "mean")),
            "atoms.inversion",
            *(f"atoms.{name}" for name in POINT_GROUPS),
            *("n_elements", "formula_atoms", "max_orbits_of_element"),
            *(f"fraction{i + 1}" for i in range(self._max_elements)),
            *("volume", "packing_fraction"),
        )
        self.units = tuple("Å^3/atom" if name == "volume" else "" for name in self.names)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        found = roles_of(crystal, self._symprec)
        return np.array(
            [
                *_of_group(found),
                *_of_positions(found),
                *_of_formula(found.roles, self._max_elements),
                *volume_and_packing(crystal, found),
            ],
            dtype=float,
        )


def _of_group(found: CrystalRoles) -> list[float]:
    group = point_group(found.space_group)
    system = crystal_system(found.space_group)
    return [
        *(found.space_group, group.order, group.centrosymmetric, group.polar, group.chiral),
        *(system == name for name in CRYSTAL_SYSTEMS),
        *(found.lattice == name for name in LATTICES),
        *(found.n_sites, found.n_conventional, _CELL_PARAMETERS[system]),
    ]


def _of_positions(found: CrystalRoles) -> list[float]:
    orbits, sites, orders, free = np.array(
        [(role.n_orbits, role.multiplicity, role.order, role.free_parameters) for role in found.roles]
    ).T
    atoms = sites / found.n_sites
    inversion = [has_inversion(role.point_group) for role in found.roles]
    group = [POINT_GROUPS.index(role.point_group) for role in found.roles]
    multiplicity = sites / orbits
    return [
        *(orbits @ free, orbits.sum()),
        *np.bincount(free, weights=orbits, minlength=4).tolist(),
        *np.bincount(free, weights=atoms, minlength=4).tolist(),
        *(multiplicity.min(), multiplicity.max(), found.n_sites / orbits.sum()),
        *(orders.min(), orders.max(), atoms @ orders),
        atoms @ inversion,
        *np.bincount(group, weights=atoms, minlength=len(POINT_GROUPS)).tolist(),
    ]


def _of_formula(roles: Sequence[Role], max_elements: int) -> list[float]:
    of_element = np.unique([role.number for role in roles], return_inverse=True)[1]
    amounts = np.bincount(of_element, weights=[role.multiplicity for role in roles]).astype(np.int64)
    orbits = np.bincount(of_element, weights=[role.n_orbits for role in roles])
    fractions = np.zeros(max(max_elements, len(amounts)))
    fractions[: len(amounts)] = np.sort(amounts)[::-1] / amounts.sum()
    return [
        *(len(amounts), amounts.sum() / np.gcd.reduce(amounts), orbits.max()),
        *fractions[:max_elements].tolist(),
    ]
