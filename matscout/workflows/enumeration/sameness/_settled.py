"""The cell in which symmetry is looked for: the same for every cell, axes, origin and order of sites of one crystal.

Where a crystal is distorted by about as much as the search for symmetry tolerates, spglib's answer depends on the cell
and on the site it starts from: of the relaxed perovskites in the public data one in thirty had two space groups. In one
and the same cell it has one.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

#: Copies of a cell within a larger one agree to this, where one atom has the volume 1.
_EXACT = 1e-5

#: Two products of lattice vectors that differ by less, relative to the largest, are the same.
_SAME_METRIC = 1e-5

#: Steps of a coordinate when settings are compared; no fraction or decimal lies on the border of a step.
_STEPS = 9973.137
_PLACES = 10_000
_WRAP = 1e-6

#: Codes of sites that are made at once.
_MOST_CODES = 1 << 18

#: Where the images of the vectors of a Niggli cell are found that have their lengths.
_COMBINATIONS = np.array([steps for steps in product(range(-1, 2), repeat=3) if any(steps)])


def settled_cell(lattice: Floats, frac_coords: Floats, kinds: Ints) -> tuple[Floats, Floats, Ints] | None:
    """Primitive Niggli cell in the setting whose sites come first, of the crystal or its mirror image.

    Nothing is idealised: the sites keep the distances they have.

    Parameters
    ----------
    lattice
        Lattice vectors in rows, shape (3, 3), of a cell of one volume unit per atom.
    frac_coords
        Fractional coordinates, shape (n, 3).
    kinds
        Kind of each site from 0, shape (n,).

    Returns
    -------
    Lattice, coordinates and kinds; None where spglib has no answer, as on overlapping sites.

    Examples
    --------
    >>> import numpy as np
    >>> settled_cell(np.diag([1.0, 1.0, 2.0]), np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.8]]), np.array([0, 0]))[1]
    array([[0., 0., 0.]])
    """
    primitive = spglib_call(
        "standardize_cell", (lattice, frac_coords, kinds + 1), to_primitive=True, no_idealize=True, symprec=_EXACT
    )
    niggli = None if primitive is None else spglib_call("niggli_reduce", primitive[0], _EXACT)
    if niggli is None:
        return None
    inside = primitive[1] @ primitive[0] @ np.linalg.inv(niggli)
    kinds = primitive[2].astype(np.intp) - 1
    coords, order = _first_setting(niggli, inside, kinds)
    return np.linalg.cholesky(niggli @ niggli.T), coords, kinds[order]


def _first_setting(lattice: Floats, coords: Floats, kinds: Ints) -> tuple[Floats, Ints]:
    """Coordinates in the basis and from the origin that make the sorted list of sites come first, and its order."""
    rarest = np.bincount(kinds).argmin()
    origins = np.flatnonzero(kinds == rarest)
    matrices = _other_bases(lattice)
    size = max(1, _MOST_CODES // (len(origins) * len(kinds)))
    codes = []
    for start in range(0, len(matrices), size):
        turned = coords @ matrices[start : start + size]
        settings = _wrapped(turned[:, None] - turned[:, origins, None])
        steps = np.floor(settings * _STEPS).astype(np.int64) @ np.array([_PLACES**2, _PLACES, 1])
        codes.append(np.sort(kinds * _PLACES**3 + steps, axis=-1).reshape(-1, len(kinds)))
    turn, origin = divmod(_first_row(np.concatenate(codes)), len(origins))
    turned = coords @ matrices[turn]
    setting = _wrapped(turned - turned[origins[origin]])
    steps = np.floor(setting * _STEPS).astype(np.int64) @ np.array([_PLACES**2, _PLACES, 1])
    order = np.argsort(kinds * _PLACES**3 + steps, kind="stable")
    return setting[order], order


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


def _other_bases(lattice: Floats) -> Floats:
    """Matrices that write coordinates in each basis that looks like the given one or its mirror image, (n, 3, 3)."""
    metric = lattice @ lattice.T
    slack = _SAME_METRIC * metric.max()
    lengths = np.einsum("ij,jk,ik->i", _COMBINATIONS, metric, _COMBINATIONS)
    choices = [_COMBINATIONS[np.abs(lengths - metric[axis, axis]) < slack] for axis in range(3)]
    places = np.indices([len(choice) for choice in choices]).reshape(3, -1)
    bases = np.stack([choice[place] for choice, place in zip(choices, places, strict=True)], axis=1)
    products = bases @ metric @ bases.transpose(0, 2, 1)
    return np.linalg.inv(bases[np.abs(products - metric).max(axis=(1, 2)) < slack])
