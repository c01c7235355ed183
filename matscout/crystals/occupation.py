"""What is occupied in a crystal: its space group and the Wyckoff positions of each kind of atoms."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.crystals._cells import settled_cell
from matscout.crystals._letters import unhanded
from matscout.crystals._wyckoff import multiplicities
from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Last space group number of each crystal family, with its letter in a Pearson symbol.
_FAMILIES = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))


class Occupation(NamedTuple):
    """What is occupied in a crystal.

    Attributes
    ----------
    space_group
        Number, the lower one of an enantiomorphic pair.
    pearson
        Pearson symbol.
    letters
        Positions of each kind of atoms with how often they are occupied, `1a2c`.
    site_symmetry
        Symbol of the site symmetry group of each position that is occupied, by letter, as spglib writes it: `4/mm.m`.
    """

    space_group: int
    pearson: str
    letters: tuple[str, ...]
    site_symmetry: Mapping[str, str]


def find_occupation(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], kinds: NDArray[np.intp], symprec: float
) -> Occupation | None:
    """Find the space group and the positions of each kind of atoms.

    Parameters
    ----------
    lattice
        Lattice vectors in rows, of any size, shape (3, 3).
    frac_coords
        Fractional coordinates, shape (n, 3).
    kinds
        Kind of each site, numbered from 0 without gaps, shape (n,).
    symprec
        Tolerance of positions in units of the cube root of the volume per atom.

    Returns
    -------
    The same for every cell of the crystal but for the choice of letters; None where there is no answer.
    """
    scaled = lattice * (len(kinds) / abs(np.linalg.det(lattice))) ** (1 / 3)
    settled = settled_cell(scaled, frac_coords, kinds)
    if settled is None:
        return None
    kinds = settled[2]
    dataset = spglib_call("get_symmetry_dataset", (*settled[:2], kinds + 1), symprec=symprec)
    if dataset is None:
        return None
    n_conventional = len(dataset.std_types)
    letters = _positions(dataset.number, dataset.wyckoffs, kinds, n_conventional / len(kinds))
    if letters is None:
        return None
    number = unhanded(int(dataset.number))
    site_symmetry = dict(zip(dataset.wyckoffs, dataset.site_symmetry_symbols, strict=True))
    return Occupation(number, _pearson(number, dataset.international, n_conventional), letters, site_symmetry)


def _positions(
    space_group: int, letters: Sequence[str], kinds: NDArray[np.intp], cells: float
) -> tuple[str, ...] | None:
    """Letters of each kind with how often they are occupied; None where they do not add up.

    Parameters
    ----------
    cells
        Sites of the conventional cell for each of the cell given.
    """
    of_letter = multiplicities(space_group)
    written = [""] * (int(kinds.max()) + 1)
    for (kind, letter), n_sites in sorted(Counter(zip(kinds.tolist(), letters, strict=True)).items()):
        times = n_sites * cells / of_letter[letter]
        if abs(times - round(times)) > 1e-6 or times < 0.5:
            return None
        written[kind] += f"{round(times)}{letter}"
    return tuple(written)


def _pearson(space_group: int, symbol: str, n_conventional: int) -> str:
    """Pearson symbol as AFLOW writes it: A-, B- and C-centred as C, rhombohedral by its primitive cell."""
    family = next(letter for last, letter in _FAMILIES if space_group <= last)
    centring = "C" if symbol[0] in "AB" else symbol[0]
    return f"{family}{centring}{n_conventional // 3 if centring == 'R' else n_conventional}"
