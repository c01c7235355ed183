"""One cell for one crystal: whichever cell, origin, axes and order of sites it came in.

A Niggli cell still leaves a choice of origin and axes. What is left of it is finite when the origin lies on a site: the
bases that look like the cell's own, times the sites of the rarest kind. All of them are written down at once, and the
one whose sorted list of sites comes first is taken.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

#: Copies of a cell within a larger one agree to this, where one atom has the volume 1.
_EXACT = 1e-5

#: Twice or three times a translation that cells are copied by is a lattice vector; what misses one by more is none.
_NO_TRANSLATION = 1e-2

#: Two lattice vectors whose lengths or products differ by less, relative to the longest, are the same.
_SAME_METRIC = 1e-5

#: Steps of a fractional coordinate when two settings are compared: 1e-4, and no multiple of a fraction or of a decimal
#: lies on the border of a step, where the last digit would decide.
_STEPS = 9973.137
_PLACES = 10_000
_PLACE_VALUES = np.array([_PLACES**2, _PLACES, 1])

#: A coordinate nearer to 0 or 1 than this is 0.
_WRAP = 1e-6

#: Codes of sites that are made at once.
_MOST_CODES = 1 << 18

#: Where the images of the vectors of a Niggli cell are found that have their lengths: as these are as short as can be,
#: the others are sums and differences of them.
_COMBINATIONS = np.array([steps for steps in product(range(-1, 2), repeat=3) if any(steps)])


class Setting(NamedTuple):
    """A Niggli cell: a along x and b in the plane of x and y, rows of shape (3, 3), sites (n, 3) and whence they came.

    Site i was site `order[i]`.
    """

    lattice: Floats
    frac_coords: Floats
    order: Ints


def first_setting(lattice: Floats, frac_coords: Floats, kinds: Ints, *, mirrored: bool) -> Setting | None:
    """Niggli cell in the setting whose sorted list of sites comes first; None where spglib finds no Niggli cell.

    Nothing is idealised: the sites keep the distances they have. Settings that differ by less than 1e-4 in every
    coordinate are taken for the same.

    Parameters
    ----------
    lattice
        Lattice vectors of a primitive cell in rows, shape (3, 3).
    frac_coords
        Fractional coordinates, shape (n, 3).
    kinds
        Kind of each site, numbered from 0 without gaps, shape (n,).
    mirrored
        Whether the mirror image counts as the same crystal.

    Examples
    --------
    >>> import numpy as np
    >>> sites, kinds = np.array([[0.7, 0.2, 0.6], [0.2, 0.7, 0.1]]), np.array([0, 1])
    >>> first_setting(np.eye(3), sites, kinds, mirrored=False).frac_coords.round(6)
    array([[0. , 0. , 0. ],
           [0.5, 0.5, 0.5]])
    """
    niggli = spglib_call("niggli_reduce", lattice, _EXACT)
    if niggli is None:
        return None
    if not mirrored and np.linalg.det(niggli) < 0:
        niggli = -niggli  # the same lattice, by right-handed vectors
    coords = frac_coords @ lattice @ np.linalg.inv(niggli)
    matrices = _other_bases(niggli, mirrored=mirrored)
    origins = np.flatnonzero(kinds == np.bincount(kinds).argmin())  # of several kinds, the smallest number
    size = max(1, _MOST_CODES // (len(origins) * len(kinds)))
    codes = []
    for start in range(0, len(matrices), size):
        turned = coords @ matrices[start : start + size]
        settings = _wrapped(turned[:, None] - turned[:, origins, None])
        codes.append(np.sort(_codes(settings, kinds), axis=-1).reshape(-1, len(kinds)))
    turn, origin = divmod(_first_row(np.concatenate(codes)), len(origins))
    turned = coords @ matrices[turn]
    setting = _wrapped(turned - turned[origins[origin]])
    order = np.argsort(_codes(setting, kinds), kind="stable")
    return Setting(np.linalg.cholesky(niggli @ niggli.T), setting[order], order)


def settled_cell(lattice: Floats, frac_coords: Floats, kinds: Ints) -> tuple[Floats, Floats, Ints] | None:
    """Cell in which symmetry is looked for: primitive, in the first setting of the crystal or its mirror image.

    Where a crystal is distorted by about as much as the search for symmetry tolerates, spglib's answer depends on the
    cell and on the site it starts from: of the relaxed perovskites in the public data one in thirty had two space
    groups. In one and the same cell it has one.

    Parameters
    ----------
    lattice
        Lattice vectors in rows, shape (3, 3), of a cell of one volume unit per atom.
    frac_coords, kinds
        As for `first_setting`.

    Returns
    -------
    Lattice, coordinates and kinds; None where spglib has no answer, as on overlapping sites.

    Examples
    --------
    >>> import numpy as np
    >>> settled_cell(np.diag([1.0, 1.0, 2.0]), np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.8]]), np.array([0, 0]))[1]
    array([[0., 0., 0.]])
    """
    if _may_repeat(frac_coords, kinds):
        primitive = spglib_call(
            "standardize_cell", (lattice, frac_coords, kinds + 1), to_primitive=True, no_idealize=True, symprec=_EXACT
        )
        if primitive is None:
            return None
        lattice, frac_coords, kinds = primitive[0], primitive[1], primitive[2].astype(np.intp) - 1
    setting = first_setting(lattice, frac_coords, kinds, mirrored=True)
    return None if setting is None else (setting.lattice, setting.frac_coords, kinds[setting.order])


def _may_repeat(frac_coords: Floats, kinds: Ints) -> bool:
    """Whether a cell may hold copies of a smaller one; where it cannot, a slow search is spared.

    Their number divides the number of sites of every kind; so many times the translation is a lattice vector.
    """
    counts = np.bincount(kinds)
    divisor = int(np.gcd.reduce(counts))
    if divisor == 1:
        return False
    rarest = frac_coords[kinds == counts.argmin()]
    steps = divisor * (rarest[1:] - rarest[0])
    return bool((np.abs(steps - np.round(steps)).max(axis=1) < divisor * _NO_TRANSLATION).any())


def _codes(settings: Floats, kinds: Ints) -> NDArray[np.int64]:
    """One number for each site, shape (..., n): by kind, then by coordinates, shape (..., n, 3)."""
    steps = np.floor(settings * _STEPS).astype(np.int64)
    return np.asarray(kinds * _PLACES**3 + steps @ _PLACE_VALUES)


def _first_row(rows: NDArray[np.int64]) -> int:
    """Return the row that comes first in lexicographic order."""
    left = np.arange(len(rows))
    for column in rows.T:
        values = column[left]
        left = left[values == values.min()]
        if len(left) == 1:
            break
    return int(left[0])


def _wrapped(coords: Floats) -> Floats:
    wrapped = coords % 1.0
    wrapped[(wrapped > 1.0 - _WRAP) | (wrapped < _WRAP)] = 0.0
    return np.asarray(wrapped)


def _other_bases(lattice: Floats, *, mirrored: bool) -> Floats:
    """Matrices that write coordinates in each basis that looks like the given Niggli cell's, shape (n, 3, 3)."""
    metric = lattice @ lattice.T
    slack = _SAME_METRIC * metric.max()
    lengths = np.einsum("ij,jk,ik->i", _COMBINATIONS, metric, _COMBINATIONS)
    a, b, c = (_COMBINATIONS[np.abs(lengths - metric[axis, axis]) < slack] for axis in range(3))
    with_b, with_c = (np.abs(a @ metric @ other.T - metric[0, axis]) < slack for axis, other in ((1, b), (2, c)))
    both = np.abs(b @ metric @ c.T - metric[1, 2]) < slack
    first, second, third = np.nonzero(with_b[:, :, None] & with_c[:, None] & both)
    bases = np.stack([a[first], b[second], c[third]], axis=1)
    handedness = np.linalg.det(bases)
    return np.linalg.inv(bases[handedness > 0.5] if not mirrored else bases[np.abs(handedness) > 0.5])
