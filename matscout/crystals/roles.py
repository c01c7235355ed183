"""The roles of a crystal: which element sits on which Wyckoff position, named the same in every cell and origin.

A crystal of a candidate table has roles with names. Any other has elements on Wyckoff positions, whose letters depend
on the origin and the axes. Here the letters are chosen among all equivalent ones, and with them an order of roles:

1. Of all equivalent ways to name the occupied positions those come first whose letters, sorted, come first in the
   alphabet, whichever elements sit there. So role 1 of a cubic perovskite is always the site with twelve neighbours,
   and strontium or titanium may sit on it.
2. Where several ways are left, as for the two positions of rock salt or the octahedra of an elpasolite, the one is
   taken that puts elements in their own order on the positions in turn.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from matscout.crystals._letters import relabelings
from matscout.crystals._wyckoff import free_parameters, multiplicities, site_symmetry_orders
from matscout.crystals.occupation import find_occupation
from matscout.crystals.point_groups import site_point_group
from matscout.crystals.protostructure import SYMPREC
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.crystals.crystal import Crystal
    from matscout.crystals.occupation import Occupation

#: Letters of the positions in order: group 47 has 27 of them.
_ALPHABET = "abcdefghijklmnopqrstuvwxyzA"

#: Lattice points of a conventional cell, as Pearson symbols name the lattices.
_LATTICE_POINTS = {"P": 1, "C": 2, "I": 2, "F": 4, "R": 3}

LATTICES: tuple[str, ...] = tuple(_LATTICE_POINTS)
"""Kinds of lattices: primitive, one face centred, body centred, all faces centred, rhombohedral."""

#: What is occupied in crystals that somebody still holds, by tolerance.
_occupations: WeakKeyDictionary[Crystal, dict[float, Occupation | None]] = WeakKeyDictionary()


class Role(NamedTuple):
    """One element on one Wyckoff position.

    Attributes
    ----------
    number
        Atomic number.
    letter
        Letter of the position.
    n_orbits
        How often the element occupies it, with other coordinates; more than once only where some are free.
    multiplicity
        Sites in the primitive cell, of all orbits.
    point_group
        Symbol of the site symmetry group, one of `matscout.crystals.point_groups.POINT_GROUPS`.
    order
        Order of that group.
    free_parameters
        Coordinates that symmetry leaves free on each orbit, 0 to 3.
    """

    number: int
    letter: str
    n_orbits: int
    multiplicity: int
    point_group: str
    order: int
    free_parameters: int


class CrystalRoles(NamedTuple):
    """What is known of a crystal by its symmetry.

    Attributes
    ----------
    space_group
        Number, the lower one of an enantiomorphic pair.
    lattice
        Kind of lattice: P, C (one face centred), I, F or R.
    n_sites
        Sites in the primitive cell.
    n_conventional
        Sites in the conventional cell, a rhombohedral one on hexagonal axes.
    roles
        The roles in their order.
    """

    space_group: int
    lattice: str
    n_sites: int
    n_conventional: int
    roles: tuple[Role, ...]


def find_roles(crystal: Crystal, places: Sequence[int], symprec: float = SYMPREC) -> CrystalRoles:
    """Find the roles of a crystal, the same ones in the same order whatever its cell, axes, origin and order of sites.

    Parameters
    ----------
    crystal
        Any crystal.
    places
        Place of each element in the order that breaks ties, by atomic number, shape (119,).
    symprec
        Tolerance of positions in units of the cube root of the volume per atom, as in `protostructure_label`.

    Raises
    ------
    UserError
        No symmetry is found.

    Examples
    --------
    >>> import numpy as np
    >>> from matscout.crystals.crystal import Crystal
    >>> sites = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    >>> perovskite = Crystal(3.9 * np.eye(3), sites, np.array([38, 22, 8, 8, 8]))
    >>> [(role.number, role.letter, role.order) for role in find_roles(perovskite, range(119)).roles]
    [(38, 'a', 48), (22, 'b', 48), (8, 'c', 16)]
    """
    found = _occupation(crystal, symprec)
    if found is None:
        raise UserError(f"no symmetry finder has an answer at a tolerance of {symprec:g}")
    group = found.space_group
    lattice = found.pearson[1]
    points = _LATTICE_POINTS[lattice]
    occupied = [
        (letter, number, int(times))
        for number, letters in zip(np.unique(crystal.numbers).tolist(), found.letters, strict=True)
        for times, letter in re.findall(r"(\d+)([a-zA-Z])", letters)
    ]
    sites, orders, free = multiplicities(group), site_symmetry_orders(group), free_parameters(group)
    roles = tuple(
        Role(
            number,
            new,
            times,
            times * sites[old] // points,
            site_point_group(found.site_symmetry[old]),
            orders[old],
            free[old],
        )
        for new, old, number, times in _in_order(occupied, group, places)
    )
    n_conventional = sum(times * sites[letter] for letter, _, times in occupied)
    return CrystalRoles(group, lattice, n_conventional // points, n_conventional, roles)


def _occupation(crystal: Crystal, symprec: float) -> Occupation | None:
    """Find what is occupied, once for all who ask for the same crystal."""
    known = _occupations.setdefault(crystal, {})
    if symprec not in known:
        kinds = np.unique(crystal.numbers, return_inverse=True)[1]
        known[symprec] = find_occupation(crystal.lattice, crystal.frac_coords, kinds, symprec)
    return known[symprec]


def _in_order(
    occupied: list[tuple[str, int, int]], space_group: int, places: Sequence[int]
) -> list[tuple[str, str, int, int]]:
    """Give new letter, letter as found, element and number of orbits of each role, in order."""
    letters = "".join(sorted(letter * times for letter, _, times in occupied))

    def place(role: tuple[str, str, int, int]) -> tuple[int, int, int]:
        new, _, number, times = role
        return _ALPHABET.index(new), places[number], times

    ways = [
        sorted(((names[letter], letter, number, times) for letter, number, times in occupied), key=place)
        for names in _first_names(letters, space_group)
    ]
    return min(ways, key=lambda roles: [place(role) for role in roles])


@lru_cache(maxsize=4096)
def _first_names(letters: str, space_group: int) -> tuple[dict[str, str], ...]:
    """Give the ways to rename occupied letters, one for each orbit, under which they come first in the alphabet."""
    present = sorted(set(letters))
    ways = dict.fromkeys(tuple(table[ord(letter)] for letter in present) for table in relabelings(space_group))
    names = [dict(zip(present, way, strict=True)) for way in ways]
    sorted_letters = [sorted(_ALPHABET.index(way[letter]) for letter in letters) for way in names]
    first = min(sorted_letters)
    return tuple(way for way, its in zip(names, sorted_letters, strict=True) if its == first)
