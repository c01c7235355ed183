"""The orbital field matrix: which valence shells face one another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols
from matscout.errors import UserError
from matscout.featurizers.base import ELEMENT_DATA, Descriptor
from matscout.featurizers.descriptors._tessellation import tessellate
from matscout.featurizers.descriptors._units import BOHR
from matscout.featurizers.elements import PYMATGEN_CITATION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

PHAM_CITATION = (
    "Pham, Kino, Terakura, Miyake, Tsuda, Takigawa, Dam, Machine learning reveals orbital interaction in materials, "
    "Sci. Technol. Adv. Mater. 18, 756 (2017), doi:10.1080/14686996.2017.1378060"
)

_SUBSHELLS = {"s": 2, "p": 6, "d": 10, "f": 14}
_OCCUPATIONS = [f"{subshell}^{n}" for subshell, most in _SUBSHELLS.items() for n in range(1, most + 1)]
_PERIODS = [f"period {n}" for n in range(1, 8)]


class OrbitalField(Descriptor):
    """Orbital field matrix of Pham et al. (2017), the mean over the sites of a crystal, row by row.

    An element is a vector of 32 zeros and ones, one place for each occupation s^1 to f^14 that a subshell outside the
    noble-gas core may have. The matrix of a site is the sum over its Voronoi neighbours of the outer product of the
    neighbour's vector and its own, weighted by the solid angle of the facet between them, relative to the largest of
    the site, and by 1 / distance in bohr. A column is named by the neighbour's occupation, then the site's.

    A facet that comes or goes has no area, so the features are continuous as atoms move. Most columns are zero in most
    crystals. Elements with the same valence shells, as F and Cl, cannot be told apart, nor can mirror images.

    Parameters
    ----------
    period_tag
        Append the element's period to its vector: 39 places, 1521 columns instead of 1024. Lanthanides are in period 6,
        actinides in 7.

    Notes
    -----
    The columns are those of matminer's ``OrbitalFieldMatrix``, with two differences: matminer's Å is the "Angstrom
    star" of X-ray wavelengths, 1.5e-5 too long; and since pymatgen sorts subshells by energy (releases from the middle
    of 2024), matminer takes closed shells below the valence shells of elements with d or f electrons for valence
    shells. Here Ti is s^2 d^2, as in the paper, and not s^2 p^6 d^2.

    Raises
    ------
    UserError
        `period_tag` is neither true nor false.
    """

    version = 1
    software = ELEMENT_DATA
    citations = (PHAM_CITATION, PYMATGEN_CITATION)

    def __init__(self, *, period_tag: bool = False) -> None:
        if not isinstance(period_tag, bool):
            raise UserError(f"period_tag must be true or false, got {period_tag!r}")
        places = [*_OCCUPATIONS, *_PERIODS] if period_tag else _OCCUPATIONS
        self._size = len(places)
        self.names = tuple(f"OFM: {neighbour} - {site}" for neighbour in places for site in places)
        self.units = ("1/bohr",) * len(self.names)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        elements, element_of_site = np.unique(crystal.numbers, return_inverse=True)
        vectors = element_vectors()[elements, : self._size]
        if np.isnan(vectors).any():
            unknown = ", ".join(symbols()[z] for z in elements[np.isnan(vectors).any(axis=1)])
            raise UserError(f"no electronic structure is known of {unknown}")
        facets = tessellate(crystal)
        shares = facets.solid_angles / facets.largest(facets.solid_angles)[facets.sites]
        weights = shares / (facets.distances / BOHR)
        # Sums by pair of elements first: there are few of those.
        between = np.zeros((len(elements), len(elements)))
        np.add.at(between, (element_of_site[facets.neighbours], element_of_site[facets.sites]), weights)
        return (vectors.T @ between @ vectors).ravel() / len(crystal)


@cache
def element_vectors() -> NDArray[np.float64]:
    """Places that are 1 for each element: its occupations, then its period; NaN where pymatgen knows no occupations.

    Returns
    -------
    Shape (119, 39), row = atomic number.
    """
    from pymatgen.core.periodic_table import Element

    places = {name: i for i, name in enumerate([*_OCCUPATIONS, *_PERIODS])}
    vectors = np.full((N_ELEMENTS, len(places)), np.nan)
    for z, symbol in enumerate(symbols()[1:], start=1):
        element = Element(symbol)
        if element.data.get("Electronic structure") is None:
            continue
        # Written as [Ar].3d2.4s2; hydrogen and helium have no core.
        shells = [shell for shell in element.electronic_structure.split(".") if not shell.startswith("[")]
        vectors[z] = 0
        vectors[z, [places[f"{shell[1]}^{shell[2:]}"] for shell in shells]] = 1
        period = element.row - 2 if element.row > 7 else element.row  # pymatgen's rows 8 and 9 are the f-block
        vectors[z, places[f"period {period}"]] = 1
    return vectors
