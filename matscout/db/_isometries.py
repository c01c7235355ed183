"""Isometries between two crystals whose sites are grouped into roles.

An isometry is a rotation, reflection or translation, or a product of them: all that leaves distances as they are. The
search is exact up to `TOLERANCE`; nothing "similar" matches.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Largest distance between a moved site and the site it falls on, where one atom has the volume 1; about 2.5 mÅ in a
#: real crystal. Coordinates published with four decimals stay within it; chalcopyrite's anion misses its ideal place by
#: thirty times as much.
TOLERANCE = 1e-3

#: Integer combinations among which the images of a reduced basis lie: for a reduced cell they reach to 1, not to 2.
_COMBINATIONS = np.array(list(product(range(-2, 3), repeat=3)))

#: Neighbours farther than this many shortest distances count for nothing (exp(1 - 1.6^6) is 1e-7).
_FAR = 1.6


#: Radius of the shell that a fingerprint looks at, where one atom has the volume 1: two or three shells of neighbours.
_SHELL = 2.2


class Crystal(NamedTuple):
    """A periodic set of sites: lattice (3, 3) in rows, fractional coordinates (n, 3), role of each site (n,)."""

    lattice: Floats
    frac_coords: Floats
    roles: Ints


def reduced(crystal: Crystal) -> Crystal:
    """Return the crystal in its Niggli-reduced primitive cell, scaled to the volume 1 per atom."""
    from matscout.db._symmetry import spglib_call

    lattice, frac, roles = crystal
    lattice = lattice * (len(roles) / abs(np.linalg.det(lattice))) ** (1 / 3)
    cell = (lattice, frac, roles + 1)
    primitive = spglib_call("standardize_cell", cell, to_primitive=True, no_idealize=True, symprec=TOLERANCE / 10)
    if primitive is not None and len(primitive[2]) < len(roles):
        lattice, frac, roles = primitive[0], primitive[1], primitive[2].astype(np.int64) - 1
    niggli = spglib_call("niggli_reduce", lattice, 1e-5)
    if niggli is None:
        raise ValueError(f"no reduced cell for the lattice {lattice.tolist()}")
    return Crystal(niggli, frac @ lattice @ np.linalg.inv(niggli) % 1.0, roles)


def neighbours(crystal: Crystal, n_roles: int) -> tuple[Floats, Floats]:
    """Find how near, and how often, the sites of one role have those of another as neighbours.

    Returns
    -------
    shortest
        Shortest distance between sites of two roles, images included; symmetric, shape (n_roles, n_roles).
    coordination
        Effective number of neighbours of the second role around a site of the first, averaged over its sites: each
        counts exp(1 - (d/d_min)^6), where d_min is the pair's shortest distance; shape (n_roles, n_roles).
    """
    distances = _distances(crystal)
    shortest = np.empty((n_roles, n_roles))
    coordination = np.empty((n_roles, n_roles))
    for i in range(n_roles):
        for j in range(n_roles):
            between = distances[:, crystal.roles == i][:, :, crystal.roles == j]
            shortest[i, j] = between.min()
            weights = np.exp(1 - np.minimum(between / shortest[i, j], _FAR) ** 6)
            coordination[i, j] = weights.sum() / between.shape[1]
    return shortest, coordination


def _distances(crystal: Crystal) -> Floats:
    """Distances from each site (axis 1) to the images of each site (axes 0 and 2) that can be neighbours."""
    lattice = crystal.lattice
    # no site is farther from all images of another than half the way through the cell and back again
    reach = _FAR * np.linalg.norm(lattice, axis=1).sum() / 2
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    images = [np.arange(-n, n + 1) for n in np.ceil(reach / heights).astype(int)]
    delta = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    delta -= np.round(delta)
    shifts = np.array(list(product(*images)))
    squared = np.zeros((len(shifts), *delta.shape[:2]))
    for axis in range(3):
        moved = (delta @ lattice[:, axis])[None] + (shifts @ lattice[:, axis])[:, None, None]
        squared += moved**2
    distances = np.sqrt(squared)
    distances[distances < TOLERANCE] = np.inf  # a site and itself
    return distances


def fingerprint(crystal: Crystal, n_roles: int) -> Floats:
    """Sum over near pairs of sites what two crystals must have in common for an isometry, and is cheap to compare.

    Returns
    -------
    For each pair of roles, per site of the crystal, the sum of (R² - d²)² over the distances d below R; sorted, so that
    the names of the roles do not matter, shape (n_roles²,). It changes smoothly with the sites' positions.
    """
    lattice = crystal.lattice
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    images = [np.arange(-n, n + 1) for n in np.ceil(_SHELL / heights + 0.5).astype(int)]
    shifts = np.array(list(product(*images))) @ lattice
    delta = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    delta = (delta - np.round(delta)) @ lattice
    weights = np.zeros(delta.shape[:2])
    for shift in shifts:
        squared = ((delta + shift) ** 2).sum(axis=-1)
        weights += np.where(squared > TOLERANCE**2, np.maximum(_SHELL**2 - squared, 0.0) ** 2, 0.0)
    belongs = np.eye(n_roles)[crystal.roles]
    return np.sort(belongs.T @ weights @ belongs / len(crystal.roles), axis=None)


def role_maps(first: Crystal, second: Crystal) -> list[tuple[int, ...]]:
    """Role maps of the isometries that carry `first` onto `second`, both from `reduced`.

    Returns
    -------
    Sorted, each once: `m[i]` is the role of `second` onto which role `i` of `first` falls. Empty when no isometry
    exists.
    """
    counts, other = np.bincount(first.roles), np.bincount(second.roles)
    if len(first.roles) != len(second.roles) or sorted(counts) != sorted(other):
        return []
    anchor = _anchor(counts)
    site = int(np.flatnonzero(first.roles == anchor)[0])
    targets = np.flatnonzero(np.isin(second.roles, np.flatnonzero(other == counts[anchor])))
    found: set[tuple[int, ...]] = set()
    for matrix in _lattice_maps(first.lattice, second.lattice):
        rotated = first.frac_coords @ matrix
        for target in targets:
            moved = rotated + (second.frac_coords[target] - rotated[site])
            role_map = _role_map(moved, first.roles, second)
            if role_map is not None:
                found.add(role_map)
    return sorted(found)


def _anchor(counts: Ints) -> int:
    """Role with the fewest places to go: its sites can only fall on those of roles of the same size."""
    places = [int(count) * int((counts == count).sum()) for count in counts]
    return int(np.argmin(places))


def _lattice_maps(first: Floats, second: Floats) -> Iterator[Ints]:
    """Integer matrices M such that M @ second is the lattice `first`, rotated or reflected."""
    metric = second @ second.T
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", _COMBINATIONS, metric, _COMBINATIONS))
    wanted = np.linalg.norm(first, axis=1)
    choices = [_COMBINATIONS[np.abs(lengths - length) < TOLERANCE] for length in wanted]
    products = first @ first.T
    # a shift of a vector's end by TOLERANCE changes its products with the others by TOLERANCE times their lengths
    slack = 2 * TOLERANCE * np.maximum.outer(wanted, wanted)
    for u, v in product(choices[0], choices[1]):
        if abs(u @ metric @ v - products[0, 1]) > slack[0, 1]:
            continue
        for w in choices[2]:
            close = abs(u @ metric @ w - products[0, 2]) <= slack[0, 2]
            if close and abs(v @ metric @ w - products[1, 2]) <= slack[1, 2]:
                matrix = np.array([u, v, w])
                if abs(round(np.linalg.det(matrix))) == 1:
                    yield matrix


def _role_map(moved: Floats, roles: Ints, onto: Crystal) -> tuple[int, ...] | None:
    """Role map of an isometry's image of the sites, or None where a site falls beside or roles are torn apart."""
    delta = moved[:, None] - onto.frac_coords[None]
    delta -= np.round(delta)
    distances = np.linalg.norm(delta @ onto.lattice, axis=-1)
    sites = distances.argmin(axis=1)
    if distances.min(axis=1).max() > TOLERANCE or len(set(sites.tolist())) < len(sites):
        return None
    pairs = set(zip(roles.tolist(), onto.roles[sites].tolist(), strict=True))
    role_map = dict(pairs)
    return tuple(role_map[role] for role in sorted(role_map)) if len(pairs) == len(role_map) else None


def group_closure(permutations: set[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Smallest group of permutations that holds the given ones, sorted, the identity first."""
    group = set(permutations)
    while True:
        grown = group | {tuple(p[i] for i in q) for p in group for q in group}
        if grown == group:
            return tuple(sorted(group))
        group = grown
