"""The cell of a user's prototype: exactly as symmetric as the crystal is within a tolerance, in its first setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.crystals._cells import first_setting
from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Idealising may show symmetry that was hidden before; then it is done again, at most so often.
_MOST_ROUNDS = 5

#: The noise of the arithmetic is cut off here, so that a coordinate published as 0.1234565 is rounded alike everywhere.
_DECIMALS = 10


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
    setting = first_setting(lattice, frac_coords, np.unique(kinds, return_inverse=True)[1], mirrored=False)
    if setting is None:
        return None
    kinds, orbits = kinds[setting.order], orbits[setting.order]
    upright, coords = (np.round(part, _DECIMALS) + 0.0 for part in (setting.lattice, setting.frac_coords))
    return CanonicalCell(upright, coords, kinds, _numbered(orbits, kinds))


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
