"""The structural features of Ward et al. (2017), all from one Voronoi tessellation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers.base import MAGPIE_DATA, Descriptor
from matscout.featurizers.descriptors._tessellation import tessellate
from matscout.featurizers.elements import MAGPIE_CITATION, magpie_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.featurizers.descriptors._tessellation import Tessellation

WARD_CITATION = (
    "Ward, Liu, Krishna, Hegde, Agrawal, Choudhary, Wolverton, Including crystal structure attributes in machine "
    "learning models of formation energies via Voronoi tessellations, Phys. Rev. B 96, 024104 (2017), "
    "doi:10.1103/PhysRevB.96.024104"
)

OVER_SITES = ("minimum", "maximum", "range", "mean", "avg_dev")
"""Statistics over the sites; avg_dev is the mean absolute deviation from the mean."""

_BLOCK = 50_000  # facets that are followed at a time, for the sake of memory


class Voronoi(Descriptor):
    """Structural features of Ward et al. (2017), each weighing neighbours by the area of the Voronoi facet between.

    With the names that matminer gives them:

    - ``CN_VoronoiNN``: effective coordination number of a site, (sum A)^2 / sum A^2 over its facets;
    - ``neighbor distance variation`` of a site, ``relative bond length``, ``relative cell size``: how far distances to
      neighbours and the cells' volumes differ within the crystal;
    - ``mean ordering parameter shell 1`` to 3: how far the elements met after one to three steps from a site differ
      from random ones (Warren-Cowley parameters, mean of their absolute values);
    - ``max packing efficiency``: fraction of space in the largest spheres that fit into the cells;
    - ``local difference in`` each of 22 elemental properties between a site and its neighbours; matminer's values, the
      mean of the property where an element has none.

    The part of the same work on compositions is `CompositionFeaturizer` with the presets "magpie", "stoichiometry",
    "valence_orbital" and "ionic".

    A crystal that is only scaled has the same features, so they suit candidates before relaxation. All are continuous
    as atoms move: a facet that comes or goes has no area. They do not tell mirror images apart, nor a close-packed
    stacking of one element from any other one, as cubic from ideal hexagonal.

    Notes
    -----
    Values are those of matminer 0.10 (`benchmarks/featurizers.py` prints how nearly) if ``VoronoiNN`` sees far: it
    takes atoms within 13 Å, and where cells reach farther, as into a vacuum, matminer raises or has too large cells.
    """

    names = (
        *(f"{statistic} CN_VoronoiNN" for statistic in OVER_SITES),
        "mean absolute deviation in relative bond length",
        "max relative bond length",
        "min relative bond length",
        *(f"{statistic} neighbor distance variation" for statistic in OVER_SITES),
        "mean absolute deviation in relative cell size",
        *(f"mean ordering parameter shell {steps}" for steps in (1, 2, 3)),  # as `ordering` has them
        "max packing efficiency",
    )
    citations = (WARD_CITATION, MAGPIE_CITATION)
    software = MAGPIE_DATA

    def __init__(self) -> None:
        table = magpie_table()
        self._properties = table.values
        self.units = ("",) * len(self.names) + tuple(unit for unit in table.units for _ in OVER_SITES)
        local = (f"{statistic} local difference in {name}" for name in table.properties for statistic in OVER_SITES)
        self.names = (*self.names, *local)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        cells = tessellate(crystal)
        return np.concatenate(
            [
                site_statistics(coordination_numbers(cells)),
                heterogeneity(cells),
                ordering(cells),
                [packing_efficiency(cells)],
                site_statistics(local_differences(cells, self._properties)),
            ]
        )


def coordination_numbers(cells: Tessellation) -> NDArray[np.float64]:
    """Effective number of neighbours of each site, shape (n_sites,): that of as many facets of equal area."""
    return cells.sums(cells.areas) ** 2 / cells.sums(cells.areas**2)


def heterogeneity(cells: Tessellation) -> NDArray[np.float64]:
    """Variation of distances and volumes: the nine columns from "relative bond length" to "relative cell size"."""
    surfaces = cells.sums(cells.areas)
    lengths = cells.sums(cells.areas * cells.distances) / surfaces
    deviations = np.abs(cells.distances - lengths[cells.sites])
    variations = cells.sums(cells.areas * deviations) / surfaces / lengths
    lengths /= lengths.mean()
    volumes = cells.sums(cells.volumes)
    return np.array(
        [
            np.abs(lengths - 1).mean(),
            lengths.max(),
            lengths.min(),
            *site_statistics(variations),
            np.abs(volumes / volumes.mean() - 1).mean(),
        ]
    )


def ordering(cells: Tessellation) -> NDArray[np.float64]:
    """Mean absolute ordering parameter of the elements after one, two and three steps, shape (3,).

    A walk goes from cell to cell through their facets and comes to no atom twice. Its weight is the product of the
    areas passed, each relative to the largest facet of the cell that it leaves. Counted without listing walks: those
    that come back are taken off the powers of the matrix of steps.
    """
    elements, element_of_site = np.unique(cells.crystal.numbers, return_inverse=True)
    is_element = np.eye(len(elements))[element_of_site]
    to, opposite = cells.neighbours, cells.opposite
    weights = cells.areas / cells.largest(cells.areas)[cells.sites]
    there_and_back = weights * weights[opposite]
    returns = cells.sums(there_and_back)[:, None]

    def step(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return cells.sums(weights[:, None] * values[to])

    first = step(is_element)
    two = step(first)
    second = two - returns * is_element
    # Of i, j, k, l: i = k; then, of the others, j = l; and i = l.
    third = step(two) - returns * first
    third -= cells.sums((weights[:, None] * returns[to] - (weights * there_and_back)[:, None]) * is_element[to])
    third -= _triangles(cells, weights)[:, None] * is_element

    fractions = is_element.mean(axis=0)
    shells = np.stack([first, second, third])
    found = shells / shells.sum(axis=2, keepdims=True)
    means: NDArray[np.float64] = np.abs(1 - found / fractions).mean(axis=(1, 2))
    return means


def _triangles(cells: Tessellation, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total weight of the walks of three steps from each site back to the same atom, shape (n_sites,)."""
    n_facets = np.diff(cells.starts, append=len(cells))
    total = np.zeros(len(cells.crystal))
    for start in range(0, len(cells), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(cells)))
        n_next = n_facets[cells.neighbours[block]]
        first = np.repeat(block, n_next)
        second = cells.starts[cells.neighbours[first]] + np.arange(len(first))
        second -= np.repeat(np.cumsum(n_next) - n_next, n_next)
        direct = cells.find(cells.sites[first], cells.neighbours[second], cells.images[first] + cells.images[second])
        first, second, direct = (facets[direct >= 0] for facets in (first, second, direct))
        products = weights[first] * weights[second] * weights[cells.opposite[direct]]
        total += np.bincount(cells.sites[first], products, minlength=len(total))
    return total


def packing_efficiency(cells: Tessellation) -> float:
    """Fraction of space in spheres around the sites, each one up to its nearest facet."""
    radii = cells.smallest(cells.distances) / 2
    return float(4 / 3 * np.pi * (radii**3).sum() / cells.crystal.volume)


def local_differences(cells: Tessellation, properties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute difference between each site and its neighbours in properties of the elements.

    Parameters
    ----------
    properties
        By atomic number, shape (119, n_properties).

    Returns
    -------
    Shape (n_sites, n_properties).
    """
    values = properties[cells.crystal.numbers]
    differences = np.abs(values[cells.neighbours] - values[cells.sites])
    return cells.sums(cells.areas[:, None] * differences) / cells.sums(cells.areas)[:, None]


def site_statistics(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Five `OVER_SITES` over the sites of each column in turn, shape (n_sites, n_columns) -> (5 n_columns,)."""
    smallest, largest, mean = values.min(axis=0), values.max(axis=0), values.mean(axis=0)
    deviation = np.abs(values - mean).mean(axis=0)
    return np.stack([smallest, largest, largest - smallest, mean, deviation], axis=-1).ravel()
