"""The Voronoi tessellation of a crystal: one cell around each site, all facets as arrays.

The cells are made by `_voronoi_cells` from the atoms of the unit cell and some images around it. Cells made of some of
the atoms only can be too large, never too small; so where their volumes add up to the unit cell's, they are the true
ones, however few the images. Images are added until they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.descriptors._surroundings import compact
from matscout.featurizers.descriptors._voronoi_cells import voronoi_cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.featurizers.descriptors._voronoi_cells import Cells

    Steps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    """Sites, neighbours, images."""

MOST_ATOMS = 30_000
"""Atoms in and around the unit cell that are tessellated at most. Much empty space takes 27 times those of the cell."""

SMALLEST_FACET = 1e-8
"""Area, relative to the largest facet of the smaller cell, below which a facet counts as none. In crystals of high
symmetry many cells touch in a corner or an edge only, and rounding makes a facet of it."""

_RADII = (1.8, 2.7, 4.5)  # around a site, in units of the cube root of the volume per atom
_SHELLS = 2  # of unit cells around it, within these radii
_ROUNDING = 1e-10  # relative error of the volumes when nothing is missing
_CLOSED = 1e-6  # largest relative error of the volumes


@dataclass(frozen=True, eq=False)
class Tessellation:
    """Voronoi cells of all sites, by their facets: each facet once from either side.

    Attributes
    ----------
    crystal
        The crystal in a reduced cell, its sites inside the cell, in the order given.
    sites
        Site that each facet is seen from, ascending, shape (n_facets,).
    neighbours
        Site on the other side, shape (n_facets,).
    images
        Lattice vectors of the reduced cell from its site `neighbours` to the neighbour, shape (n_facets, 3).
    vectors
        From site to neighbour, Å, shape (n_facets, 3). The facet lies half-way and at right angles.
    areas
        Å^2, shape (n_facets,).
    solid_angles
        Of the facet as seen from the site, steradian, shape (n_facets,).
    opposite
        Place of the same facet as seen from the other side, shape (n_facets,).
    """

    crystal: Crystal
    sites: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    images: NDArray[np.int64]
    vectors: NDArray[np.float64]
    areas: NDArray[np.float64]
    solid_angles: NDArray[np.float64]
    opposite: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sites)

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Distance between site and neighbour, Å, shape (n_facets,)."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.vectors, axis=1)
        return lengths

    @cached_property
    def volumes(self) -> NDArray[np.float64]:
        """Volume of the pyramid from the site to the facet, Å^3, shape (n_facets,)."""
        return self.areas * self.distances / 6

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Place of the first facet of each site, shape (n_sites,)."""
        return np.searchsorted(self.sites, np.arange(len(self.crystal)))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the facets of each site, shape (n_facets, ...) -> (n_sites, ...)."""
        return np.add.reduceat(values, self.starts, axis=0)

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest value among the facets of each site, shape (n_facets, ...) -> (n_sites, ...)."""
        return np.maximum.reduceat(values, self.starts, axis=0)

    def smallest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smallest value among the facets of each site, shape (n_facets, ...) -> (n_sites, ...)."""
        return np.minimum.reduceat(values, self.starts, axis=0)

    def find(
        self, sites: NDArray[np.int64], neighbours: NDArray[np.int64], images: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Places of the facets between given sites and neighbours, shape (n,), or -1 where they share none."""
        return _find(len(self.crystal), (self.sites, self.neighbours, self.images), (sites, neighbours, images))


class Cloud(NamedTuple):
    """Atoms of a unit cell, then images around them.

    Attributes
    ----------
    coords
        Shape (n_atoms, 3).
    sites
        Site of each atom, shape (n_atoms,).
    images
        Lattice vectors from that site, shape (n_atoms, 3).
    radius
        No atom within this distance of a site is missing.
    """

    coords: NDArray[np.float64]
    sites: NDArray[np.int64]
    images: NDArray[np.int64]
    radius: float


def tessellate(crystal: Crystal) -> Tessellation:
    """Divide space among the atoms of a crystal, each point to the nearest one.

    Raises
    ------
    UserError
        The cell is so large, or has so much empty space, that more than `MOST_ATOMS` atoms would be needed, which
        bounds time and memory; or the volumes of the cells do not add up to that of the unit cell.

    References
    ----------
    Voronoi, J. reine angew. Math. 133, 97 (1908), doi:10.1515/crll.1908.133.97. Qhull: Barber, Dobkin, Huhdanpaa, ACM
    Trans. Math. Softw. 22, 469 (1996), doi:10.1145/235815.235821.
    """
    reduced = compact(crystal)
    n = len(reduced)
    unit = (reduced.volume / n) ** (1 / 3)
    for cloud in _clouds(reduced.lattice / unit, reduced.frac_coords):
        cells = voronoi_cells(cloud.coords, n)
        if cells is None:
            continue
        excess = cells.volume / n - 1
        complete = abs(excess) <= _ROUNDING or 2 * cells.reach <= cloud.radius
        if complete and abs(excess) <= _CLOSED:
            return _tessellation(reduced, cloud, cells, unit)
    raise UserError(f"the volumes of the {n} Voronoi cells do not add up to that of the unit cell")


def _clouds(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64]) -> Iterator[Cloud]:
    """Yield more and more images around the sites, by distance first.

    What lies across much empty space is far away in Å, but few cells away: so by cells next. That ends: no point of
    space is farther from an atom than half the diagonal of the cuboid that tiles space as the unit cell does.
    """
    n = len(frac_coords)
    for radius in _RADII:
        cloud = _cloud(lattice, frac_coords, radius, _SHELLS)
        if len(cloud.coords) > n * 27:  # as many as in all cells around
            break
        yield cloud
    heights = np.diagonal(np.linalg.qr(lattice.T)[1])
    radius = float(np.linalg.norm(heights)) * (1 + 1e-6)
    for shells in count(1):
        cloud = _cloud(lattice, frac_coords, radius, shells)
        yield cloud
        if cloud.radius == radius:
            return


def _cloud(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], radius: float, most_shells: int) -> Cloud:
    """All atoms within a radius of any site, but for those more than some cells away; the sites themselves first."""
    n = len(frac_coords)
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    shells = np.minimum(np.ceil(radius / heights), most_shells).astype(np.int64)
    _refuse_many(n, n * int((2 * shells + 1).prod()), 32 * MOST_ATOMS)
    images = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in shells), indexing="ij"), axis=-1).reshape(-1, 3)
    images = np.repeat(images[images.any(axis=1)], n, axis=0)
    sites = np.tile(np.arange(n), len(images) // n)
    coords = (frac_coords[sites] + images) @ lattice
    own = frac_coords @ lattice
    near = _nearer(coords, own, radius)
    _refuse_many(n, n + int(near.sum()), MOST_ATOMS)
    return Cloud(
        coords=np.concatenate([own, coords[near]]),
        sites=np.concatenate([np.arange(n), sites[near]]),
        images=np.concatenate([np.zeros((n, 3), dtype=np.int64), images[near]]),
        radius=min(radius, float((shells * heights)[shells == most_shells].min(initial=np.inf))),
    )


def _nearer(points: NDArray[np.float64], sites: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Which points lie within a radius of any site."""
    from scipy.spatial import cKDTree

    return np.isfinite(cKDTree(sites).query(points, distance_upper_bound=radius)[0])


def _refuse_many(n_sites: int, n_atoms: int, most: int) -> None:
    if n_atoms > most:
        raise UserError(
            f"the Voronoi cells of {n_sites} atoms, with the empty space there is between them, need more than "
            f"{MOST_ATOMS} atoms in and around the unit cell: take the primitive cell, or less vacuum"
        )


def _tessellation(reduced: Crystal, cloud: Cloud, cells: Cells, unit: float) -> Tessellation:
    """Join the facets' two sides: each has the mean area of both, or is left out where it is a matter of rounding."""
    n = len(reduced)
    sites, neighbours, images = cells.sites, cloud.sites[cells.others], cloud.images[cells.others]
    order = np.argsort(_keys(n, _farthest(images), sites, neighbours, images))
    sites, neighbours, images = sites[order], neighbours[order], images[order]
    opposite = _find(n, (sites, neighbours, images), (neighbours, sites, -images))

    areas = np.where(opposite >= 0, cells.areas[order] + cells.areas[order][opposite], 0) / 2
    solid_angles = (cells.solid_angles[order] + cells.solid_angles[order][opposite]) / 2
    largest = np.zeros(n)
    np.maximum.at(largest, sites, areas)
    kept = areas > SMALLEST_FACET * np.minimum(largest[sites], largest[neighbours])
    place = np.cumsum(kept) - 1
    sites, neighbours, images = sites[kept], neighbours[kept], images[kept]
    coords = reduced.cart_coords
    return Tessellation(
        crystal=reduced,
        sites=sites,
        neighbours=neighbours,
        images=images,
        vectors=coords[neighbours] + images @ reduced.lattice - coords[sites],
        areas=areas[kept] * unit**2,
        solid_angles=solid_angles[kept],
        opposite=place[opposite[kept]],
    )


def _find(n_sites: int, known: Steps, asked: Steps) -> NDArray[np.int64]:
    """Places of steps among those known, which are sorted; -1 where a step is unknown."""
    farthest = _farthest(known[2])
    keys, wanted = _keys(n_sites, farthest, *known), _keys(n_sites, farthest, *asked)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[places] == wanted) & (np.abs(asked[2]) <= farthest).all(axis=1)
    return np.where(found, places, -1)


def _keys(
    n_sites: int,
    farthest: int,
    sites: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    images: NDArray[np.int64],
) -> NDArray[np.int64]:
    """One number for each step, all different where no image is beyond the farthest; ascending with the site."""
    keys = sites * n_sites + neighbours
    for column in images.T:
        keys = keys * (2 * farthest + 1) + column + farthest
    return keys


def _farthest(images: NDArray[np.int64]) -> int:
    return int(np.abs(images).max())
