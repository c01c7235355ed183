"""Cells chosen by rule, for what depends on the choice."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.db._symmetry import spglib_call
from matscout.errors import UserError
from matscout.featurizers.descriptors._surroundings import compact

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAIRS = ([0, 0, 1], [1, 2, 2])
_TOLERANCES = (1e-5, 1e-4, 1e-3)


def reduced_cell(crystal: Crystal) -> Crystal:
    """Return the same sites in Niggli-reduced lattice vectors, unturned.

    Raises
    ------
    UserError
        spglib finds none.
    """
    crystal = compact(crystal)  # spglib gives up on skewed ones
    # where lengths or angles are equal but for 1e-6, spglib may go in circles until the tolerance is larger
    found = (spglib_call("niggli_reduce", crystal.lattice, eps=eps) for eps in _TOLERANCES)
    lattice = next((one for one in found if one is not None), None)
    if lattice is None:
        raise UserError("no reduced cell found; is the lattice all but flat?")
    return Crystal(lattice, crystal.frac_coords @ np.rint(crystal.lattice @ np.linalg.inv(lattice)), crystal.numbers)


def reduced_bases(lattice: NDArray[np.float64], tolerance: float = 0.01) -> NDArray[np.int64]:
    """All bases of a lattice that Niggli's rules cannot tell apart, or could by small differences only.

    They are the bases of shortest vectors; of these those whose angles deviate most from 90°; of these those with no
    acute angle, if there are any, else those with no obtuse one. Which one a reduction returns depends on the basis
    that it began with; here all are found, whichever it was.

    Parameters
    ----------
    lattice
        Reduced lattice vectors as rows, Å, shape (3, 3).
    tolerance
        Products of two vectors that differ by less than this part of the shortest vector's square count as equal.

    Returns
    -------
    Rows of integer coefficients of the lattice vectors, shape (n_bases, 3, 3), each basis in one order of its vectors
    and once of itself and its inverse.

    References
    ----------
    Gruber, The relationship between reduced cells in a general Bravais lattice, Acta Cryst. A 29, 433 (1973),
    doi:10.1107/S0567739473001063.
    """
    bases = _small_bases()
    metrics = bases @ (lattice @ lattice.T) @ bases.transpose(0, 2, 1)
    squares, products = np.trace(metrics, axis1=1, axis2=2), metrics[:, *_PAIRS]
    equal = tolerance * np.diagonal(lattice @ lattice.T).min()
    kept = squares <= squares.min() + equal
    obliqueness = np.where(kept, np.abs(products).sum(axis=1), 0.0)
    kept &= obliqueness >= obliqueness.max() - equal
    obtuse, acute = kept & (products <= equal).all(axis=1), kept & (products >= -equal).all(axis=1)
    chosen: NDArray[np.int64] = bases[obtuse if obtuse.any() else acute]
    return chosen


@cache
def _small_bases() -> NDArray[np.int64]:
    """Bases with coefficients -1, 0 and 1: enough from one shortest basis to any other; shape (n, 3, 3)."""
    vectors = [v for v in product((-1, 0, 1), repeat=3) if v > (0, 0, 0)]  # one of each and its opposite
    triples = np.array(list(combinations(vectors, 3)))
    triples = triples[np.abs(np.linalg.det(triples).round()) == 1]
    signs = np.array([(1, *rest) for rest in product((1, -1), repeat=2)])
    bases: NDArray[np.int64] = (signs[:, None, :, None] * triples).reshape(-1, 3, 3)
    return bases
