"""A crystal as three arrays, checked once: what features are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols
from matscout.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from matscout.db.candidates import CandidateTable

#: No two atoms of a crystal are nearer, in Å; those of H2 are 0.74 Å apart.
_OVERLAP = 0.5
_SMALLEST_VOLUME = 1e-3  # Å³
_BINS = 1e6  # that neighbours are looked for in: a molecule in a huge box would else take all memory
_SKEW = 0.1  # of the volume of a rectangular cell of the same lengths


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ordered crystal of elements: no charges, no partial occupancies, no two atoms in one place.

    Attributes
    ----------
    lattice
        Lattice vectors as rows, Å, shape (3, 3).
    frac_coords
        Fractional coordinates, shape (n_sites, 3).
    numbers
        Atomic numbers, shape (n_sites,).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> crystal = Crystal.from_structure(Structure(Lattice.cubic(4.1), ["Cs+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    >>> crystal.numbers.tolist(), crystal.formula, round(crystal.volume, 3)
    ([55, 17], 'Cs1 Cl1', 68.921)
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystal:
        """Take the arrays of a pymatgen structure; oxidation states and site properties are left behind.

        Raises
        ------
        UserError
            It is no ordered crystal, or one that cannot be: see `checked_numbers`.
        """
        numbers = checked_numbers(structure)
        return cls(np.array(structure.lattice.matrix), np.array(structure.frac_coords), numbers)

    @classmethod
    def of_candidate(cls, table: CandidateTable, row: int) -> Crystal:
        """Take a row of a table at its predicted volume, without a pymatgen structure between.

        Raises
        ------
        UserError
            Two of its atoms overlap, or it has no volume.
        """
        prototype = table.prototypes[int(table.prototype_index[row])]
        n_sites = len(prototype.role_of_site)
        scale = (float(table.volume[row]) * n_sites / abs(np.linalg.det(prototype.lattice))) ** (1 / 3)
        numbers = table.decoration[row, prototype.role_of_site].astype(np.int64)
        crystal = cls(prototype.lattice * scale, np.array(prototype.frac_coords), numbers)
        if not np.isfinite(scale) or crystal.volume < _SMALLEST_VOLUME:
            raise UserError(f"{crystal.formula}: the cell has no volume")
        if overlap := _overlap(crystal.lattice, crystal.frac_coords):
            raise UserError(f"{crystal.formula}: {overlap}")
        return crystal

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian coordinates, Å, shape (n_sites, 3)."""
        coords: NDArray[np.float64] = self.frac_coords @ self.lattice
        return coords

    @property
    def formula(self) -> str:
        """Elements and amounts of the cell, in the order in which they first appear."""
        present, first, counts = np.unique(self.numbers, return_index=True, return_counts=True)
        order = np.argsort(first)
        return " ".join(f"{symbols()[present[i]]}{counts[i]}" for i in order.tolist())

    def structure(self) -> Structure:
        """Build the pymatgen structure."""
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        species = [symbols()[number] for number in self.numbers.tolist()]
        return Structure(Lattice(self.lattice), species, self.frac_coords)


def _overlap(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> str | None:
    """Name the first pair of sites that overlap, but for a site with itself."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.optimization.neighbors import find_points_in_spheres

    coords = np.ascontiguousarray((frac_coords - np.floor(frac_coords)) @ lattice)
    if abs(np.linalg.det(lattice)) < _SKEW * np.prod(np.linalg.norm(lattice, axis=1)):
        # the search looks through all cells that a sphere may touch: minutes for a cell of nearly parallel vectors
        lattice = Lattice(lattice).get_lll_reduced_lattice().matrix
    centres, neighbours, images, distances = find_points_in_spheres(
        coords,
        coords,
        r=_OVERLAP,
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(lattice, dtype=float),
        tol=1e-8,
        min_r=max(1.0, (abs(np.linalg.det(lattice)) / _BINS) ** (1 / 3)),
    )
    pairs = np.flatnonzero((centres != neighbours) | images.any(axis=1))
    if not len(pairs):
        return None
    first, second = sorted((int(centres[pairs[0]]), int(neighbours[pairs[0]])))
    return f"sites {first} and {second} overlap, {distances[pairs[0]]:.2f} Å apart"


def checked_numbers(structure: Structure) -> NDArray[np.int64]:
    """Atomic numbers of a crystal's sites, shape (n_sites,).

    Raises
    ------
    UserError
        It is no ordered crystal.
    """
    from pymatgen.core.periodic_table import DummySpecies
    from pymatgen.core.structure import IStructure

    if not isinstance(structure, IStructure):
        raise UserError(f"a pymatgen Structure is expected, got a {type(structure).__name__}")
    if not len(structure):
        raise UserError("a Structure without atoms")
    numbers = np.concatenate([structure.lattice.matrix, structure.frac_coords])
    if not np.isfinite(numbers).all():  # spglib would crash the process
        raise UserError(f"{structure.formula}: a coordinate or lattice vector is not a finite number")
    if structure.volume < _SMALLEST_VOLUME:
        raise UserError(f"{structure.formula}: the cell has no volume")
    if not structure.is_ordered:
        site = next(i for i, site in enumerate(structure) if not site.is_ordered)
        raise UserError(
            f"{structure.formula}: site {site} is occupied only in part, by {structure[site].species_string}; "
            "give an ordered cell"
        )
    strange = next((site.specie for site in structure if isinstance(site.specie, DummySpecies)), None)
    if strange is not None:
        raise UserError(f"{structure.formula}: {strange} is no element")
    if overlap := _overlap(structure.lattice.matrix, structure.frac_coords):
        raise UserError(f"{structure.formula}: {overlap}")
    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    if numbers.max() >= N_ELEMENTS:
        raise UserError(f"{structure.formula}: there is no element {numbers.max()}")
    return numbers
