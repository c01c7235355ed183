"""Voronoi cells of the first few of many atoms, all facets at once.

A Voronoi vertex is as far from each of its nearest atoms, so it is the circumcentre of their Delaunay tetrahedra, and
the facet between two atoms is the hull of the vertices that both share. Where five or more atoms share a vertex, as in
most crystals of high symmetry, Delaunay tetrahedra are not unique, but their circumcentres coincide: the hull is the
same whichever qhull chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLAT = 3e-8
"""Volume of a parallelepiped over the product of its edges, below which a tetrahedron counts as flat. Four atoms of a
plane have no circumcentre; qhull makes flat tetrahedra only between others, which give the same cells without them.
Leaving one out changes areas by about this, relative to the largest; keeping it, by rounding over this."""

_CORNERS, _OTHER_CORNERS = np.array([(a, b) for a in range(4) for b in range(4) if a != b]).T


@dataclass(frozen=True, eq=False)
class Cells:
    """Facets of the cells.

    Attributes
    ----------
    sites
        Atom whose cell it is, shape (n_facets,), ascending.
    others
        Atom on the other side, shape (n_facets,).
    areas
        Shape (n_facets,); some are 0 but for rounding.
    solid_angles
        As seen from the atom, steradian, shape (n_facets,).
    volume
        Of all cells.
    reach
        Largest distance of a vertex from its atom.
    """

    sites: NDArray[np.int64]
    others: NDArray[np.int64]
    areas: NDArray[np.float64]
    solid_angles: NDArray[np.float64]
    volume: float
    reach: float


def voronoi_cells(coords: NDArray[np.float64], n_cells: int) -> Cells | None:
    """Voronoi cells of the first `n_cells` of some points, shape (n_points, 3); None where one is not closed."""
    from scipy.spatial import Delaunay, QhullError

    try:
        delaunay = Delaunay(coords)
    except QhullError:  # all in one plane, or too few
        return None
    if (delaunay.convex_hull < n_cells).any():
        return None
    tetrahedra = delaunay.simplices[(delaunay.simplices < n_cells).any(axis=1)]
    centres, flat = circumcentres(coords[tetrahedra])
    tetrahedra, centres = tetrahedra[~flat].astype(np.int64), centres[~flat]

    # Each directed edge of each tetrahedron is a vertex of a facet of the cell that it starts from.
    sites, others = tetrahedra[:, _CORNERS].ravel(), tetrahedra[:, _OTHER_CORNERS].ravel()
    own = sites < n_cells
    vertices = np.repeat(centres, len(_CORNERS), axis=0)[own]
    pairs, facets = np.unique(sites[own] * len(coords) + others[own], return_inverse=True)
    sites, others = np.divmod(pairs, len(coords))
    apexes = coords[sites]
    normals = coords[others] - apexes
    lengths = np.sqrt(_dot(normals, normals))
    normals /= lengths[:, None]
    areas, solid_angles = _measure(vertices, facets, normals, apexes)
    return Cells(
        sites=sites,
        others=others,
        areas=areas,
        solid_angles=solid_angles,
        volume=float((areas * lengths).sum() / 6),
        reach=float(np.sqrt(((vertices - apexes[facets]) ** 2).sum(axis=1).max())),
    )


def circumcentres(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Centres of the spheres through the corners of tetrahedra, and which tetrahedra are flat.

    Parameters
    ----------
    corners
        Shape (n, 4, 3).

    Returns
    -------
    Shape (n, 3), not to be used where flat; and shape (n,).
    """
    # From the corner with the shortest edges: a needle then loses no digits.
    edges = corners[:, None, :, :] - corners[:, :, None, :]
    squares = (edges**2).sum(axis=-1)
    squares[:, range(4), range(4)] = 1
    products = squares.prod(axis=-1)
    corner = products.argmin(axis=1)
    each = np.arange(len(corners))
    others = (corner[:, None] + np.arange(1, 4)) % 4
    vectors = edges[each[:, None], corner[:, None], others]
    crossed = np.cross(vectors[:, [1, 2, 0]], vectors[:, [2, 0, 1]])
    volumes = _dot(vectors[:, 0], crossed[:, 0])
    flat = np.abs(volumes) <= _FLAT * np.sqrt(products[each, corner])
    towards = (squares[each[:, None], corner[:, None], others][:, :, None] * crossed).sum(axis=1)
    return corners[each, corner] + towards / (2 * np.where(flat, 1, volumes))[:, None], flat


def _measure(
    vertices: NDArray[np.float64],
    facets: NDArray[np.int64],
    normals: NDArray[np.float64],
    apexes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas of convex polygons, and the solid angles that they fill as seen from points, both of shape (n_facets,).

    Parameters
    ----------
    vertices
        In any order, some more than once, shape (n_vertices, 3).
    facets
        Polygon of each vertex, shape (n_vertices,).
    normals
        Unit vectors, shape (n_facets, 3).
    apexes
        Shape (n_facets, 3).
    """
    n = np.bincount(facets)
    middles = np.stack([np.bincount(facets, column) for column in vertices.T], axis=1) / n[:, None]
    # Two axes in the plane of each polygon, the vertices in the order in which they go round.
    first = np.cross(normals, np.eye(3)[np.abs(normals).argmin(axis=1)])
    first /= np.sqrt(_dot(first, first))[:, None]
    second = np.cross(normals, first)
    spokes = vertices - middles[facets]
    angles = np.arctan2(_dot(spokes, second[facets]), _dot(spokes, first[facets]))
    order = np.lexsort((angles, facets))
    following = np.arange(1, len(order) + 1)
    starts = np.cumsum(n) - n
    following[starts + n - 1] = starts

    facets, spokes = facets[order], spokes[order]
    crossed = np.cross(spokes, spokes[following])
    areas = np.add.reduceat(_dot(crossed, normals[facets]), starts) / 2

    # van Oosterom, Strackee, IEEE Trans. Biomed. Eng. 30, 125 (1983), doi:10.1109/TBME.1983.325207
    a = (middles - apexes)[facets]
    b, c = a + spokes, a + spokes[following]
    a_length, b_length, c_length = (np.sqrt(_dot(vector, vector)) for vector in (a, b, c))
    cosines = a_length * b_length * c_length
    cosines += a_length * _dot(b, c) + b_length * _dot(c, a) + c_length * _dot(a, b)
    return areas, np.add.reduceat(2 * np.arctan2(_dot(a, crossed), cosines), starts)


def _dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scalar products of vectors, shape (n, 3) each -> (n,)."""
    products: NDArray[np.float64] = np.einsum("ij,ij->i", first, second)
    return products
