"""What `sites` and `protostructure` share: the roles of a crystal in their order, its predicted volume, its packing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.roles import find_roles
from matscout.crystals.volume import predict_volume
from matscout.featurizers.elements import site_table
from matscout.featurizers.sites import packing_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.crystals.roles import CrystalRoles

LARGEST_SYMPREC = 0.1
"""Above it, in units of the cube root of the volume per atom, crystals of low symmetry are taken for others."""

VOLUME_CITATIONS = (
    (
        "Petretto et al., High-throughput density-functional perturbation theory phonons for inorganic materials, Sci. "
        "Data 5, 180065 (2018), doi:10.1038/sdata.2018.65"
    ),
    (
        "Castelli et al., New cubic perovskites for one- and two-photon water splitting using the computational "
        "materials repository, Energy Environ. Sci. 5, 9034 (2012), doi:10.1039/c2ee22341d"
    ),
)
"""Crystals that the predicted volume was fitted to."""


def roles_of(crystal: Crystal, symprec: float) -> CrystalRoles:
    """Roles of a crystal; where symmetry leaves a choice, electropositive elements come first."""
    return find_roles(crystal, _places(), symprec)


def volume_and_packing(crystal: Crystal, found: CrystalRoles) -> tuple[float, float]:
    """Predicted volume in Å³/atom, and the share of it that spheres of covalent radius fill, NaN where one is unknown.

    The crystal's own volume is the result of a calculation or an experiment, and counts for neither.
    """
    volume = predict_volume(crystal)
    sites = [site_table().values[[role.number]] for role in found.roles]
    multiplicity = np.array([[float(role.multiplicity) for role in found.roles]])
    return volume, float(packing_fraction(sites, multiplicity, np.array([volume]))[0])


@cache
def _places() -> tuple[int, ...]:
    """Place of each element by electronegativity, then atomic number, by atomic number; unknown ones at the end."""
    order = np.argsort(np.nan_to_num(site_table().column("electronegativity"), nan=np.inf), kind="stable")
    places: NDArray[np.intp] = np.argsort(order)
    return tuple(places.tolist())
