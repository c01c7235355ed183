"""Crystals as graphs: each kind of site once, with its nearest neighbours.

Sites that have the same surroundings, as symmetry or a larger cell makes them, get the same numbers from any network of
graph convolutions. So they are one node that counts as many, and their equal bonds one edge: the perovskite's five
sites are three nodes, and a supercell's graph is that of its cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.descriptors._surroundings import compact, neighbours_within, refuse_dense, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

MOST_SITES = 2_000
"""Sites of a cell; a larger one is no candidate, and its graph would fill the memory that a batch has."""

_SHELL = 0.0100373  # Å; neighbours whose distances differ by less are in one shell, a limit no decimals lie on
_MARGIN = 0.5  # Å that are looked at beyond the last neighbour, for the end of its shell
_STEPS = 9973.137  # per Å; two distances are equal to 1e-4 Å, and no decimal lies on the border of a step


@dataclass(frozen=True, eq=False)
class Graph:
    """Kinds of sites and bonds between them, in an order that does not depend on that of the sites.

    Attributes
    ----------
    numbers
        Atomic number of each node, shape (n_nodes,).
    shares
        Share of the crystal's sites that a node stands for, shape (n_nodes,); their sum is 1.
    centres, neighbours
        Nodes that an edge joins, shape (n_edges,) each; the neighbour acts on the centre.
    distances
        Å, shape (n_edges,).
    weights
        Share of the centre's neighbours that an edge stands for, shape (n_edges,); those of a centre sum to 1.
    node_of_site
        Node of each site of the crystal, shape (n_sites,).
    """

    numbers: NDArray[np.int64]
    shares: NDArray[np.float64]
    centres: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float64]
    weights: NDArray[np.float64]
    node_of_site: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


def graph_of(crystal: Crystal, *, n_neighbours: int = 12, radius: float = 8.0) -> Graph:
    """Join each site to its nearest neighbours, and sites that look alike to one node.

    Parameters
    ----------
    crystal
        In any cell.
    n_neighbours
        How many neighbours a site has at least, where there are so many within `radius`. All that are as far as the
        last one belong to them, so that it does not matter which of equal ones is found first.
    radius
        How far away a neighbour may be, Å. A site without any has no edge.

    Raises
    ------
    UserError
        The crystal is denser than any, or its cell too large; the message does not name the crystal.

    Examples
    --------
    >>> from matscout.crystals.crystal import Crystal
    >>> sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    >>> graph = graph_of(Crystal(3.9 * np.eye(3), sites, np.array([38, 22, 8, 8, 8])))
    >>> graph.numbers.tolist(), graph.shares.tolist(), graph.node_of_site.tolist()
    ([8, 22, 38], [0.6, 0.2, 0.2], [2, 1, 0, 0, 0])
    """
    refuse_dense(crystal)
    if len(crystal) > MOST_SITES:
        raise UserError(f"{len(crystal)} sites in the cell, more than {MOST_SITES}: take the primitive cell")
    crystal = compact(crystal)
    centres, neighbours, distances = _nearest(crystal, n_neighbours, radius)
    steps = np.rint(distances * _STEPS).astype(np.int64)
    node_of_site = _kinds_of_sites(crystal.numbers, centres, neighbours, steps)
    return _joined(crystal.numbers, centres, neighbours, distances, steps, node_of_site)


def graphs_of(crystals: Iterable[Crystal], *, n_neighbours: int = 12, radius: float = 8.0) -> list[Graph]:
    """Make the graph of each crystal.

    Raises
    ------
    UserError
        One has no graph; the message names its row and formula.
    """
    graphs = []
    for row, crystal in enumerate(crystals):
        try:
            graphs.append(graph_of(crystal, n_neighbours=n_neighbours, radius=radius))
        except UserError as error:
            raise UserError(f"row {row}, {crystal.formula}: {error}") from error
    return graphs


@cache
def element_features() -> NDArray[np.float32]:
    """Numbers of each element that a node begins with, shape (119, n_features), row = atomic number.

    They are Magpie's properties with mean 0 and std 1 over the elements, and which period and group the element is in;
    elements that are alike begin alike, so that a network can say something of one that it was never trained with.
    """
    from matscout.featurizers.elements import magpie_table, period_group_table

    properties = magpie_table().values[1:]
    scaled = (properties - properties.mean(axis=0)) / properties.std(axis=0)
    period, group = period_group_table().values[1:].astype(int).T
    places = np.concatenate([np.eye(7)[np.minimum(period, 7) - 1], np.eye(18)[group - 1]], axis=1)
    features = np.zeros((119, scaled.shape[1] + places.shape[1]), dtype=np.float32)
    features[1:] = np.concatenate([scaled, places], axis=1)
    features.flags.writeable = False
    return features


def _nearest(
    crystal: Crystal, n_neighbours: int, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the nearest neighbours of each site, to the end of the last one's shell, by site and distance."""
    volume = crystal.volume / len(crystal)
    reach = min(radius, 1.3 * (3 * n_neighbours * volume / (4 * np.pi)) ** (1 / 3) + _MARGIN)
    while True:
        refuse_large(crystal, reach)
        centres, neighbours, distances = neighbours_within(crystal, reach)
        order = np.lexsort((distances, centres))
        centres, neighbours, distances = centres[order], neighbours[order], distances[order]
        counts = np.bincount(centres, minlength=len(crystal))
        begins = np.cumsum(counts) - counts
        last = begins + np.minimum(counts, n_neighbours) - 1
        enough = counts >= n_neighbours
        if reach >= radius or (enough.all() and distances[last].max() <= reach - _MARGIN):
            break
        reach = min(radius, 1.3 * reach)
    begins_shell = np.ones(len(centres), dtype=bool)
    begins_shell[1:] = (centres[1:] != centres[:-1]) | (np.diff(distances) >= _SHELL)
    shell = np.cumsum(begins_shell)
    kept = np.zeros(len(centres), dtype=bool)
    some = counts[centres] > 0
    kept[some] = shell[some] <= shell[last[centres[some]]]
    return centres[kept], neighbours[kept], distances[kept]


def _kinds_of_sites(
    numbers: NDArray[np.int64], centres: NDArray[np.int64], neighbours: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give sites of one element whose neighbours are of the same kinds, as far away, the same number.

    Kinds are told apart more finely until that changes nothing (Weisfeiler and Lehman's colour refinement).
    """
    kinds = np.unique(numbers, return_inverse=True)[1]
    counts = np.bincount(centres, minlength=len(numbers))
    place = np.arange(len(centres)) - (np.cumsum(counts) - counts)[centres]
    while True:
        bonds = np.unique(np.stack([kinds[neighbours], steps], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        surroundings = np.full((len(numbers), 1 + max(counts.max(initial=0), 1)), -1, dtype=np.int64)
        surroundings[:, 0] = kinds
        order = np.lexsort((bonds, centres))
        surroundings[centres[order], 1 + place] = bonds[order]
        finer = np.unique(surroundings, axis=0, return_inverse=True)[1].reshape(-1)
        if finer.max() == kinds.max():
            return kinds.astype(np.int64)
        kinds = finer


def _joined(
    numbers: NDArray[np.int64],
    centres: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    distances: NDArray[np.float64],
    steps: NDArray[np.int64],
    node_of_site: NDArray[np.int64],
) -> Graph:
    """Join sites of one kind, and their bonds of equal kind and length."""
    _, first, sizes = np.unique(node_of_site, return_index=True, return_counts=True)
    degrees = np.bincount(centres, minlength=len(numbers))
    keys = np.stack([node_of_site[centres], steps, node_of_site[neighbours]], axis=1)
    edges, edge_of_bond, bonds = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    edge_of_bond = edge_of_bond.reshape(-1)
    weights = np.bincount(edge_of_bond, weights=1 / degrees[centres], minlength=len(edges))
    lengths = np.bincount(edge_of_bond, weights=distances, minlength=len(edges))
    return Graph(
        numbers=numbers[first].astype(np.int64),
        shares=sizes / len(numbers),
        centres=edges[:, 0],
        neighbours=edges[:, 2],
        distances=lengths / bonds,
        weights=weights / sizes[edges[:, 0]],
        node_of_site=node_of_site,
    )
