"""What descriptions of atoms' surroundings share: a compact cell, a look at how crowded it is, means over the atoms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

SMALLEST_VOLUME = 2.0
"""Å^3/atom; less is no crystal, and so many atoms within a cutoff that the memory ends."""

MOST_ATOMS = 2_000_000
"""Atoms in and around the cell that are looked at; more would not fit into memory."""

POOLS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": lambda values: values.mean(axis=0),
    "std": lambda values: values.std(axis=0),  # of the atoms there are, so that a larger cell has the same
    "min": lambda values: values.min(axis=0),
    "max": lambda values: values.max(axis=0),
}
"""Ways to one number from one of each atom, shape (n_sites, n_columns) -> (n_columns,)."""


def pooled(values: NDArray[np.float64], pools: Sequence[str]) -> NDArray[np.float64]:
    """One number from one of each atom, by each of `pools`; shape (len(pools) * n_columns,)."""
    return np.concatenate([POOLS[pool](values) for pool in pools])


def compact(crystal: Crystal) -> Crystal:
    """Choose a cell of short vectors (LLL-reduced), the sites inside it.

    How many copies of a cell lie within a cutoff, and where single precision ends, then depends on the crystal and not
    on the cell in which it came.
    """
    from pymatgen.core.lattice import Lattice

    lattice = np.array(Lattice(crystal.lattice).get_lll_reduced_lattice().matrix)
    frac_coords = crystal.cart_coords @ np.linalg.inv(lattice)
    frac_coords -= np.floor(frac_coords)
    frac_coords[frac_coords >= 1] = 0.0  # 1 - 1e-17 is 1
    return Crystal(lattice, frac_coords, crystal.numbers)


def at_volume(crystal: Crystal, volume_per_atom: float) -> Crystal:
    """Make all distances longer or shorter alike, to a volume per atom in Å^3."""
    factor = (volume_per_atom * len(crystal) / crystal.volume) ** (1 / 3)
    return Crystal(crystal.lattice * factor, crystal.frac_coords, crystal.numbers)


def refuse_dense(crystal: Crystal) -> None:
    """Refuse what is denser than any crystal.

    Raises
    ------
    UserError
        The volume per atom is too small.
    """
    volume = crystal.volume / len(crystal)
    if volume < SMALLEST_VOLUME:
        raise UserError(f"{volume:.2f} Å³/atom is less than any crystal has ({SMALLEST_VOLUME:g}); check the lattice")


def refuse_large(crystal: Crystal, radius: float) -> None:
    """Refuse a cell with more atoms in and around it than fit into memory.

    Raises
    ------
    UserError
        There are too many within `radius` (Å) around the cell.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    atoms = len(crystal) * math.prod((2 * np.ceil(radius / heights) + 1).tolist())
    if atoms > MOST_ATOMS:
        raise UserError(
            f"{atoms:.0f} atoms in the cell and {radius:.3g} Å around it, more than {MOST_ATOMS}: take the primitive "
            "cell, or a smaller cutoff where there is one"
        )


def neighbours_within(
    crystal: Crystal, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sites of the cell, their neighbours within `radius` in any cell, and the distances in Å, each shape (n_pairs,).

    A pair is there in both directions; an atom and its own images are pairs. In a skewed cell the search looks through
    far too many images: give it a compact one.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    coords = np.ascontiguousarray(crystal.cart_coords)
    centres, neighbours, images, distances = find_points_in_spheres(
        coords,
        coords,
        r=radius,
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(crystal.lattice),
        tol=1e-8,
    )
    others = (centres != neighbours) | images.any(axis=1)
    return centres[others], neighbours[others], distances[others]
