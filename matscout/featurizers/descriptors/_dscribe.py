"""dscribe's descriptors of atoms' surroundings, made once for each choice of parameters.

They know elements by numbers from 1 to `n_species`, whichever elements these stand for in a crystal.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

HIMANEN_CITATION = (
    "Himanen et al., DScribe: library of descriptors for machine learning in materials science, Comput. Phys. Commun. "
    "247, 106949 (2020), doi:10.1016/j.cpc.2019.106949"
)
LAAKSO_CITATION = (
    "Laakso et al., Updates to the DScribe library: new descriptors and derivatives, J. Chem. Phys. 158, 234802 "
    "(2023), doi:10.1063/5.0151031"
)

Rows = tuple[tuple[float, ...], ...]


def numbered_atoms(crystal: Crystal, species: Sequence[int]) -> Atoms:
    """Give dscribe the crystal, its elements numbered from 1 by their place in `species`, which ascends."""
    from ase import Atoms

    numbers = np.searchsorted(species, crystal.numbers) + 1
    return Atoms(numbers=numbers, positions=crystal.cart_coords, cell=crystal.lattice, pbc=True)


def power_spectra(
    basis: tuple[float, int, int, float], n_species: int, atoms: Atoms, sites: range
) -> NDArray[np.float64]:
    """Take the SOAP power spectra around some sites, Å^3, shape (len(sites), n_numbers).

    For each pair of elements i <= j in the order (1, 1), (1, 2), ..., for each l: those of n <= n' where i = j, of all
    n and n' else.
    """
    centres = list(atoms.positions[sites.start : sites.stop])
    spectra: NDArray[np.float64] = soap(basis, n_species).create_single(atoms, centers=centres)
    return spectra


def symmetry_functions(
    r_cut: float, g2: Rows, g4: Rows, n_species: int, atoms: Atoms, sites: range
) -> NDArray[np.float64]:
    """Take the symmetry functions of some sites, shape (len(sites), n_numbers).

    First G1 and all G2 of each element, then all G4 of each pair of elements i >= j in the order (1, 1), (2, 1), ....
    """
    functions = _acsf(r_cut, g2, g4, n_species)
    values: NDArray[np.float64] = functions.create_single(atoms, centers=np.arange(sites.start, sites.stop))
    return values


@lru_cache(maxsize=64)
def soap(basis: tuple[float, int, int, float], n_species: int) -> Any:
    """Make SOAP with a basis (r_cut, n_max, l_max, sigma).

    Raises
    ------
    UserError
        There are not so many independent radial functions.
    """
    from dscribe.descriptors import SOAP
    from threadpoolctl import threadpool_limits

    r_cut, n_max, l_max, sigma = basis
    # The last digits of the basis would depend on the number of threads that invert a matrix for it.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # SciPy's, where the functions cannot be made orthogonal
        try:
            return SOAP(
                r_cut=r_cut,
                n_max=n_max,
                l_max=l_max,
                sigma=sigma,
                weighting={"function": "poly", "r0": r_cut, "c": 1, "m": 1},
                species=list(range(1, n_species + 1)),
                periodic=True,
            )
        except (ValueError, RuntimeWarning) as error:
            raise UserError(
                f"soap: there are no {n_max} independent radial functions up to l = {l_max} within {r_cut:g} Å; "
                "take a smaller n_max or l_max, or a larger r_cut"
            ) from error


@lru_cache(maxsize=64)
def _acsf(r_cut: float, g2: Rows, g4: Rows, n_species: int) -> Any:
    from dscribe.descriptors import ACSF

    species = list(range(1, n_species + 1))
    return ACSF(r_cut=r_cut, g2_params=g2 or None, g4_params=g4 or None, species=species, periodic=True)
