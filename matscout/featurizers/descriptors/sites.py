"""Which element sits on which site of a crystal, without names of sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.point_groups import has_inversion
from matscout.crystals.protostructure import SYMPREC
from matscout.errors import UserError
from matscout.featurizers.base import ELEMENT_DATA, MAGPIE_DATA, SYMMETRY, WYCKOFF_DATA, Descriptor
from matscout.featurizers.descriptors._options import checked_number, checked_whole
from matscout.featurizers.descriptors._roles import LARGEST_SYMPREC, VOLUME_CITATIONS, roles_of, volume_and_packing
from matscout.featurizers.elements import site_table
from matscout.featurizers.sites import fill_pairs, pair_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

_OF_ROLE = ("multiplicity", "fraction", "orbits", "site_symmetry_order", "inversion", "free_parameters")
_MOST_ROLES = 50


class Orbits(Descriptor):
    """Element and site symmetry of each role.

    A role is one element on one Wyckoff position: an orbit of equivalent sites, or several of the same kind where the
    position has free coordinates and the element occupies it more than once. Roles are ordered by their position alone
    (see `matscout.crystals.roles`), so that role 1 of all crystals of one type is the same site, and ABX3 and BAX3
    differ. Where symmetry leaves a choice, as between the two positions of rock salt, the element of lower
    electronegativity comes first.

    Columns, in order, for ``max_roles`` roles:

    - of each role the properties of its element (see `matscout.featurizers.elements.site_table`), as
      ``role1.electronegativity``; its sites in the primitive cell and their share of all; the number of its orbits; the
      order of the site symmetry group; 1 where that has an inversion; the number of free coordinates of each orbit,
    - of each pair of roles the difference of electronegativity and the ratios of ionic and of covalent radius, as
      ``role1/role2.ionic_radius``,
    - the number of roles; the volume predicted from elements and shape, in Å³/atom; the share of it that spheres of
      covalent radius fill.

    NaN stands where a crystal has no such role, or an element no such property. Two crystals that differ only in their
    free coordinates have the same row but for the predicted volume.

    Parameters
    ----------
    max_roles
        Roles that have columns. A crystal with more has no row: to leave some of them out, or to merge unlike ones,
        would make different crystals the same.
    symprec
        Tolerance of positions in units of the cube root of the volume per atom, as in protostructure labels.
    """

    version = 1
    software = (*ELEMENT_DATA, *MAGPIE_DATA, *SYMMETRY, *WYCKOFF_DATA)

    def __init__(self, *, max_roles: int = 6, symprec: float = SYMPREC) -> None:
        self._max_roles = checked_whole("max_roles", max_roles, least=1, most=_MOST_ROLES)
        self._symprec = checked_number("symprec", symprec, above=0, most=LARGEST_SYMPREC)
        table = site_table()
        roles = [f"role{i + 1}" for i in range(self._max_roles)]
        of_role = {**dict(zip(table.properties, table.units, strict=True)), **dict.fromkeys(_OF_ROLE, "")}
        columns = {f"{role}.{name}": unit for role in roles for name, unit in of_role.items()}
        columns |= pair_columns(roles) | {"n_roles": "", "volume": "Å^3/atom", "packing_fraction": ""}
        self.names = tuple(columns)
        self.units = tuple(columns.values())
        self.citations = (*table.citations, *VOLUME_CITATIONS)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        found = roles_of(crystal, self._symprec)
        n = len(found.roles)
        if n > self._max_roles:
            hint = f"max_roles={n} takes them" if n <= _MOST_ROLES else "no set of columns is so long"
            raise UserError(f"{n} elements on Wyckoff positions, but columns for {self._max_roles}: {hint}")
        numbers = np.zeros(self._max_roles, dtype=np.intp)  # 0 is no element, all of whose properties are NaN
        numbers[:n] = [role.number for role in found.roles]
        elements = site_table().values[numbers]
        sites = np.full((self._max_roles, len(_OF_ROLE)), np.nan)
        sites[:n] = [
            (
                role.multiplicity,
                role.multiplicity / found.n_sites,
                role.n_orbits,
                role.order,
                has_inversion(role.point_group),
                role.free_parameters,
            )
            for role in found.roles
        ]
        row = np.empty(len(self.names))
        of_roles = np.column_stack([elements, sites]).ravel()
        row[: len(of_roles)] = of_roles
        fill_pairs([element[None] for element in elements], row[None], len(of_roles))
        row[-3:] = n, *volume_and_packing(crystal, found)
        return row
