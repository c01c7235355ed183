"""The sine Coulomb matrix: how nuclei repel one another, made periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers.base import ELEMENT_DATA, SYMMETRY, Descriptor
from matscout.featurizers.descriptors._options import checked_whole
from matscout.featurizers.descriptors._primitive import primitive_cell
from matscout.featurizers.descriptors._reduced import reduced_bases, reduced_cell
from matscout.featurizers.descriptors._units import BOHR
from matscout.featurizers.selection.scale import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

FABER_CITATION = (
    "Faber, Lindmaa, von Lilienfeld, Armiento, Crystal structure representations for machine learning models of "
    "formation energies, Int. J. Quantum Chem. 115, 1094 (2015), doi:10.1002/qua.24917"
)

_MOST_SITES = 1000
_MOST_PAIRS = 500_000  # held in memory at once


SYMMETRY_TOLERANCE = 0.01
"""Å; how far an atom may stand off the place that makes the cell a smaller one."""


class SineCoulomb(Descriptor):
    """Eigenvalues of the sine Coulomb matrix of Faber et al. (2015), the largest in absolute value first.

    The matrix has 0.5 Z_i^2.4 on its diagonal and Z_i Z_j / d_ij elsewhere, d_ij being the length in bohr of the vector
    whose components along the lattice vectors are sin²(π u), u the difference of the fractional coordinates. It stands
    for a Coulomb interaction that knows of no cell border; its eigenvalues do not depend on the order of the sites.

    d depends on the cell, so the cell is chosen by rule: the primitive one, its translations exact within 0.01 Å, in a
    basis that is Niggli's where his rules are clear; where they are not (hexagonal and centred lattices have several
    bases of the same lengths and angles, others nearly so), the basis whose matrix has the smallest sum of squares. So
    the features are those of the crystal, whichever cell it came in. They jump where the rule jumps: a distortion that
    makes the primitive cell larger, or another basis the reduced one, changes them by more than its size.

    Parameters
    ----------
    max_sites
        Eigenvalues kept, 64 by default: zeros follow those of a smaller cell, a larger one is refused.

    Notes
    -----
    In the same cell the eigenvalues are those of matminer's ``SineCoulombMatrix``, which does not sort them, and whose
    Å is the "Angstrom star" of X-ray wavelengths, 1.5e-5 too long.

    Different crystals may have the same eigenvalues; mirror images always do.

    Raises
    ------
    UserError
        `max_sites` is no whole number from 1 to 1000.
    """

    version = 1
    software = (*ELEMENT_DATA, *SYMMETRY)  # lattices only: they reduce the cell
    citations = (FABER_CITATION,)

    def __init__(self, *, max_sites: int = 64) -> None:
        self._max_sites = checked_whole("max_sites", max_sites, least=1, most=_MOST_SITES)
        self.names = tuple(f"sine coulomb matrix eig {i}" for i in range(max_sites))
        self.units = ("hartree",) * max_sites

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        cell = primitive_cell(crystal, SYMMETRY_TOLERANCE)
        if len(cell) > self._max_sites:
            raise UserError(
                f"the primitive cell has {len(cell)} sites, more than max_sites={self._max_sites}: "
                f"take max_sites={len(cell)} or more, for all crystals"
            )
        matrix = sine_matrix(chosen_cell(cell))
        with one_thread():  # the last bits of a large matrix depend on how many there are
            eigenvalues = np.linalg.eigvalsh(matrix)
        features = np.zeros(self._max_sites)
        features[: len(cell)] = eigenvalues[np.argsort(-np.abs(eigenvalues))]
        return features


def sine_matrix(crystal: Crystal) -> NDArray[np.float64]:
    """Sine Coulomb matrix of a crystal in the cell that it has, in hartree, shape (n_sites, n_sites)."""
    matrix: NDArray[np.float64] = _sine_matrices(crystal.lattice[None], crystal.frac_coords[None], crystal.numbers)[0]
    return matrix


def chosen_cell(crystal: Crystal) -> Crystal:
    """Return the same sites in that of the reduced bases where the sine matrix has the smallest sum of squares."""
    crystal = reduced_cell(crystal)
    bases = reduced_bases(crystal.lattice)
    lattices, frac_coords = bases @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(bases)
    at_once = max(1, _MOST_PAIRS // len(crystal) ** 2)
    parts = [slice(start, start + at_once) for start in range(0, len(bases), at_once)]
    squares = [(_sine_matrices(lattices[k], frac_coords[k], crystal.numbers) ** 2).sum(axis=(1, 2)) for k in parts]
    best = int(np.concatenate(squares).argmin())
    return Crystal(lattices[best], frac_coords[best], crystal.numbers)


def _sine_matrices(
    lattices: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sine matrices of the same sites in several cells: (n, 3, 3), (n, n_sites, 3) -> (n, n_sites, n_sites)."""
    differences = frac_coords[:, :, None] - frac_coords[:, None]
    vectors = np.sin(np.pi * differences) ** 2 @ lattices[:, None]
    distances = np.sqrt((vectors**2).sum(axis=-1)) / BOHR
    charges = numbers.astype(float)
    own = np.arange(len(numbers))
    distances[:, own, own] = 1.0
    matrices: NDArray[np.float64] = np.outer(charges, charges) / distances
    matrices[:, own, own] = 0.5 * charges**2.4
    return matrices
