"""The primitive cell: the smallest one that translations repeat, whatever cell a crystal came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.crystal import Crystal

if TYPE_CHECKING:
    from numpy.typing import NDArray


_PROBES = 3  # sites that a translation is tried on before all
_BLOCK = 256  # sites whose distances to all others are held in memory


def primitive_cell(crystal: Crystal, tolerance: float) -> Crystal:
    """Return a primitive cell. Sites that a translation joins are averaged; nothing else moves.

    spglib's is symmetrised, or found with a tolerance lowered on the way, and either may depend on the cell given.

    Parameters
    ----------
    tolerance
        How far atoms may stand off where a translation takes others, Å.
    """
    counts = np.unique(crystal.numbers, return_counts=True)[1]
    if np.gcd.reduce(counts) == 1:  # the number of translations divides that of the atoms of each element
        return crystal
    images = _translations(crystal, tolerance)
    # A row of atoms may drift by less than the tolerance at each step, but not over all.
    while (drift := _drift(crystal, images)) > tolerance:
        tolerance = min(tolerance, drift) / 2
        images = _translations(crystal, tolerance)
    return crystal if len(images) == 1 else _divided(crystal, images)


def _translations(crystal: Crystal, tolerance: float) -> NDArray[np.int64]:
    """Find the translations of a crystal within its cell: where each takes each site, shape (n, n_sites), a group."""
    elements, counts = np.unique(crystal.numbers, return_counts=True)
    rarest = np.flatnonzero(crystal.numbers == elements[counts.argmin()])
    coords = crystal.frac_coords[rarest]
    group = np.arange(len(crystal))[None]
    for candidate in np.flatnonzero(_possible(coords, crystal.lattice, 2 * tolerance)):
        if rarest[candidate] not in group[:, rarest[0]]:
            images = _images(crystal, coords[candidate] - coords[0], tolerance)
            if images is not None:
                group = _generated(group, images)
    return group


def _possible(coords: NDArray[np.float64], lattice: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Which sites of one element the first of them may be taken to, as far as a few others show."""
    possible = np.ones(len(coords), dtype=bool)
    for probe in coords[1 : 1 + _PROBES]:
        landing = probe + coords - coords[0]
        for start in range(0, len(coords), _BLOCK):
            part = slice(start, start + _BLOCK)
            lengths = np.linalg.norm(_wrapped(landing[part, None] - coords) @ lattice, axis=-1)
            possible[part] &= lengths.min(axis=1) <= tolerance
    return possible


def _images(crystal: Crystal, translation: NDArray[np.float64], tolerance: float) -> NDArray[np.int64] | None:
    """Which site each one is taken to, all within `tolerance` of the same shift; None where one is not."""
    coords, numbers = crystal.frac_coords, crystal.numbers
    images = np.empty(len(crystal), dtype=np.int64)
    for start in range(0, len(crystal), _BLOCK):
        part = slice(start, start + _BLOCK)
        lengths = np.linalg.norm(_wrapped(coords[part, None] + translation - coords) @ crystal.lattice, axis=-1)
        lengths[numbers[part, None] != numbers] = np.inf
        images[part] = lengths.argmin(axis=1)
    if len(np.unique(images)) < len(images) or _drift(crystal, images[None]) > tolerance:
        return None
    return images


def _generated(group: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group of translations with one more, and all that it makes with the others."""
    cosets, power = [group], images
    while power[0] not in group[:, 0]:  # a translation is known by where it takes one site
        cosets.append(power[group])
        power = images[power]
    return np.concatenate(cosets)


def _shifts(crystal: Crystal, images: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean shift of each translation, (n, 3), and what the sites deviate from it, (n, n_sites, 3), both fractional."""
    shifts = crystal.frac_coords[images] - crystal.frac_coords
    deviations = _wrapped(shifts - shifts[:, :1])
    mean = deviations.mean(axis=1)
    return shifts[:, 0] + mean, deviations - mean[:, None]


def _drift(crystal: Crystal, images: NDArray[np.int64]) -> float:
    """Largest distance of a site from where a translation takes another, Å."""
    return float(np.linalg.norm(_shifts(crystal, images)[1] @ crystal.lattice, axis=-1).max())


def _divided(crystal: Crystal, images: NDArray[np.int64]) -> Crystal:
    """Cell that a group of translations repeats."""
    order = len(images)
    translations, deviations = _shifts(crystal, images)
    # Steps that lead back to where they began make up a lattice vector, so the mean step is a fraction of one.
    translations = np.rint(translations * order).astype(np.int64)
    basis = _basis(np.concatenate([translations, order * np.eye(3, dtype=np.int64)])) / order
    kept = np.flatnonzero(images.min(axis=0) == np.arange(len(crystal)))
    coords = (crystal.frac_coords + deviations.mean(axis=0))[kept]
    return Crystal(basis @ crystal.lattice, coords @ np.linalg.inv(basis), crystal.numbers[kept])


def _basis(vectors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Basis of the lattice of all sums of integer vectors (n, 3) of rank 3, in rows of a triangle (3, 3)."""
    vectors = vectors.copy()
    for k in range(3):
        while np.count_nonzero(vectors[k:, k]) > 1:  # Euclid's algorithm on the whole column
            size = np.where(vectors[k:, k] == 0, np.iinfo(np.int64).max, np.abs(vectors[k:, k]))
            pivot = k + int(size.argmin())
            vectors[[k, pivot]] = vectors[[pivot, k]]
            vectors[k + 1 :] -= vectors[k + 1 :, k, None] // vectors[k, k] * vectors[k]
        first = k + int(np.flatnonzero(vectors[k:, k])[0])
        vectors[[k, first]] = vectors[[first, k]]
    return vectors[:3]


def _wrapped(coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates less the nearest integers."""
    wrapped: NDArray[np.float64] = coords - np.rint(coords)
    return wrapped
