"""One cell for one crystal: whichever cell, origin, axes and order of sites it came in, the same cell comes out.

spglib makes a crystal exactly as symmetric as it is within a tolerance; its standard cell still leaves a choice of
origin and axes. What is left of that choice is finite when the origin lies on a site: the axes of the Niggli cell, up
to the rotations of the lattice, times the sites of the rarest kind. All of them are written down, and the one whose
coordinates come first is taken.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Steps of a fractional coordinate when two settings are compared: 1e-4, and no multiple of a fraction or of a decimal
#: lies on the border of a step, where the last digit would decide.
_STEPS = 9973.137
_PLACES = 10_000

#: Two lattice vectors whose lengths or products differ by less, relative to the longest, are the same.
_SAME_METRIC = 1e-5

#: A coordinate nearer to 1 than this is 0.
_WRAP = 1e-6

#: Idealising may show symmetry that was hidden before; then it is done again, at most so often.
_MOST_ROUNDS = 5

#: The noise of the arithmetic is cut off here, so that a coordinate published as 0.1234565 is rounded alike everywhere.
_DECIMALS = 10

_COMBINATIONS = np.array(list(product(range(-1, 2), repeat=3)))


class CanonicalCell(NamedTuple):
    """A primitive cell: lattice (3, 3) in Å by rows, fractional coordinates (n, 3), kind and orbit of each site (n,).

    Orbits are numbered from 0 within each kind: by their number of sites, then by the coordinates of their first site.
    """

    lattice: Floats
    frac_coords: Floats
    kinds: Ints
    orbits: Ints


class _Cell(NamedTuple):
    """A cell as spglib takes it."""

    lattice: Floats
    frac_coords: Floats
    kinds: Ints


def canonical_cell(lattice: Floats, frac_coords: Floats, kinds: Ints, symprec: float) -> CanonicalCell | None:
    """Return the canonical primitive cell of a crystal; None where spglib finds no symmetry, not even none.

    Parameters
    ----------
    lattice
        Lattice vectors in rows, shape (3, 3), in Å.
    frac_coords
        Fractional coordinates, shape (n, 3).
    kinds
        What stands on each site, as positive integers, shape (n,).
    symprec
        How far a site may be from the place that symmetry gives it, in Å.

    Notes
    -----
    Rotated and moved copies give the same cell, mirror images do not: left and right quartz stay two. Lattice and
    coordinates of two copies agree to the noise of their input; only a crystal that is distorted by nearly `symprec`
    may be idealised in two ways.

    Examples
    --------
    >>> cubic = 4.2 * np.eye(3)
    >>> first = canonical_cell(cubic, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([55, 17]), 0.01)
    >>> other = canonical_cell(cubic, np.array([[0.7, 0.2, 0.6], [0.2, 0.7, 0.1]]), np.array([55, 17]), 0.01)
    >>> np.allclose(first.frac_coords, other.frac_coords)
    True
    """
    ideal = _idealised(lattice, frac_coords, kinds, symprec)
    if ideal is None:
        return None
    lattice, frac_coords, kinds, orbits = ideal
    niggli = spglib_call("niggli_reduce", lattice, 1e-5)
    if niggli is None:
        return None
    if np.linalg.det(niggli) < 0:
        niggli = -niggli  # the same lattice, by right-handed vectors
    frac_coords, order = _first_setting(niggli, frac_coords @ lattice @ np.linalg.inv(niggli), kinds)
    kinds, orbits = kinds[order], orbits[order]
    frac_coords = np.round(frac_coords, _DECIMALS) + 0.0
    # a along x, b in the plane of x and y
    upright: Floats = np.round(np.linalg.cholesky(niggli @ niggli.T), _DECIMALS).astype(np.float64)
    return CanonicalCell(upright, frac_coords, kinds, _numbered(orbits, kinds))


def _idealised(lattice: Floats, frac_coords: Floats, kinds: Ints, symprec: float) -> CanonicalCell | None:
    """Return the primitive cell with sites and lattice moved to where symmetry wants them, and spglib's orbits."""
    cell = _Cell(lattice, frac_coords % 1.0, kinds)
    for _ in range(_MOST_ROUNDS):
        primitive = spglib_call("standardize_cell", cell, to_primitive=True, no_idealize=True, symprec=symprec)
        before = None if primitive is None else spglib_call("get_symmetry_dataset", primitive, symprec=symprec)
        if before is None:
            return None
        averaged = _averaged(_Cell(*primitive), before.rotations, before.translations)
        # exactly symmetric now: what spglib makes of it does not depend on which site it starts from
        standard = spglib_call("standardize_cell", averaged, to_primitive=True, no_idealize=False, symprec=symprec)
        after = None if standard is None else spglib_call("get_symmetry_dataset", standard, symprec=symprec)
        if after is None:
            return None
        cell = _Cell(standard[0], standard[1], standard[2].astype(np.int64))
        orbits = np.asarray(after.crystallographic_orbits, dtype=np.int64)
        if after.number == before.number:
            break
    return CanonicalCell(cell.lattice, cell.frac_coords, cell.kinds, orbits)


def _averaged(cell: _Cell, rotations: Ints, translations: Floats) -> _Cell:
    """Return the mean of the crystal's images under its own symmetry operations, in the same basis.

    spglib idealises from one site of each orbit, so that two settings of a crystal that is a little distorted would
    become two crystals; the mean over the group is the same from wherever one looks.
    """
    lattice, frac_coords, kinds = cell
    shifts = np.zeros_like(frac_coords)
    metric = np.zeros((3, 3))
    for rotation, translation in zip(rotations, translations, strict=True):
        images = frac_coords @ rotation.T + translation
        delta = images[None] - frac_coords[:, None]  # of the image of each site (axis 1) from each site
        delta -= np.round(delta)
        apart = np.linalg.norm(delta @ lattice, axis=-1)
        apart[kinds[:, None] != kinds[None]] = np.inf
        moved = delta[np.arange(len(kinds)), apart.argmin(axis=1)]
        shifts += moved - moved.mean(axis=0)  # without the error of the operation's translation
        metric += rotation.T @ lattice @ lattice.T @ rotation
    handedness = np.sign(np.linalg.det(lattice))
    upright = handedness * np.linalg.cholesky(metric / len(rotations))
    return _Cell(upright, frac_coords + shifts / len(rotations), kinds)


def _first_setting(lattice: Floats, frac_coords: Floats, kinds: Ints) -> tuple[Floats, NDArray[np.intp]]:
    """Coordinates in the setting whose sorted list of sites comes first, in its order, and that order."""
    numbers, counts = np.unique(kinds, return_counts=True)
    rarest = int(numbers[counts.argmin()])  # of several, the smallest number
    origins = frac_coords[kinds == rarest]
    place = np.searchsorted(numbers, kinds)
    best: tuple[bytes, Floats, NDArray[np.intp]] | None = None
    for matrix in _rotations(lattice):
        turned = frac_coords @ matrix
        settings = _wrapped(turned[None] - (origins @ matrix)[:, None])
        steps = np.floor(settings * _STEPS).astype(np.int64)
        code = place * _PLACES**3 + steps @ np.array([_PLACES**2, _PLACES, 1])
        order = np.argsort(code, axis=1, kind="stable")
        rows = np.take_along_axis(code, order, axis=1).astype(">i8")
        keys = [row.tobytes() for row in rows]
        least = min(range(len(keys)), key=keys.__getitem__)
        if best is None or keys[least] < best[0]:
            best = (keys[least], settings[least], order[least])
    assert best is not None  # the identity is among the rotations
    _, coords, order = best
    return coords[order], order


def _wrapped(coords: Floats) -> Floats:
    wrapped = coords % 1.0
    wrapped[wrapped > 1.0 - _WRAP] = 0.0
    wrapped[wrapped < _WRAP] = 0.0
    return np.asarray(wrapped)


def _rotations(lattice: Floats) -> list[Floats]:
    """Matrices that write coordinates in each other basis that looks like the given one, without mirror images.

    The vectors of a Niggli cell are as short as can be, so the others of their lengths are sums and differences of
    them.
    """
    metric = lattice @ lattice.T
    slack = _SAME_METRIC * metric.max()
    lengths = np.einsum("ij,jk,ik->i", _COMBINATIONS, metric, _COMBINATIONS)
    choices = [_COMBINATIONS[np.abs(lengths - metric[axis, axis]) < slack] for axis in range(3)]
    bases = np.array(list(product(*choices)))
    right_handed = np.abs(np.linalg.det(bases) - 1) < 0.5
    alike = np.abs(bases @ metric @ bases.transpose(0, 2, 1) - metric).max(axis=(1, 2)) < slack
    return list(np.linalg.inv(bases[right_handed & alike]))


def _numbered(orbits: Ints, kinds: Ints) -> Ints:
    """Orbit of each site, numbered within its kind by size, then by the first site."""
    names, first, inverse, counts = np.unique(orbits, return_index=True, return_inverse=True, return_counts=True)
    numbers = np.empty(len(names), dtype=np.int64)
    of_kind: dict[int, int] = {}
    for orbit in np.lexsort((first, counts)).tolist():
        kind = int(kinds[first[orbit]])
        numbers[orbit] = of_kind.get(kind, 0)
        of_kind[kind] = numbers[orbit] + 1
    return numbers[inverse]
