"""The 32 crystallographic point groups: of a crystal, or of one of its sites."""

from __future__ import annotations

from typing import NamedTuple

#: Symbol, order, and number of the last space group of each point group, in the order of the space groups.
_TABLE = (
    ("1", 1, 1),
    ("-1", 2, 2),
    ("2", 2, 5),
    ("m", 2, 9),
    ("2/m", 4, 15),
    ("222", 4, 24),
    ("mm2", 4, 46),
    ("mmm", 8, 74),
    ("4", 4, 80),
    ("-4", 4, 82),
    ("4/m", 8, 88),
    ("422", 8, 98),
    ("4mm", 8, 110),
    ("-42m", 8, 122),
    ("4/mmm", 16, 142),
    ("3", 3, 146),
    ("-3", 6, 148),
    ("32", 6, 155),
    ("3m", 6, 161),
    ("-3m", 12, 167),
    ("6", 6, 173),
    ("-6", 6, 174),
    ("6/m", 12, 176),
    ("622", 12, 182),
    ("6mm", 12, 186),
    ("-6m2", 12, 190),
    ("6/mmm", 24, 194),
    ("23", 12, 199),
    ("m-3", 24, 206),
    ("432", 24, 214),
    ("-43m", 24, 220),
    ("m-3m", 48, 230),
)

POINT_GROUPS: tuple[str, ...] = tuple(symbol for symbol, _, _ in _TABLE)
"""Symbols of the point groups, in the order of the space groups."""

CRYSTAL_SYSTEMS: tuple[str, ...] = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
"""Crystal systems, in the order of the space groups; trigonal ones are rhombohedral or on a hexagonal lattice."""

_LAST_GROUPS = (2, 15, 74, 142, 167, 194, 230)

#: The same point group on other axes.
_ORIENTED = {"2mm": "mm2", "m2m": "mm2", "-4m2": "-42m", "-62m": "-6m2"}

_WITH_INVERSION = frozenset({"-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m"})
_POLAR = frozenset({"1", "2", "m", "mm2", "4", "4mm", "3", "3m", "6", "6mm"})
_ROTATIONS = frozenset({"1", "2", "222", "4", "422", "3", "32", "6", "622", "23", "432"})


class PointGroup(NamedTuple):
    """A crystallographic point group.

    Attributes
    ----------
    symbol
        Hermann-Mauguin symbol, one of `POINT_GROUPS`.
    order
        Number of operations.
    centrosymmetric
        Whether it has an inversion.
    polar
        Whether it leaves a direction as it is, so that a crystal may have a dipole moment along it.
    chiral
        Whether it has rotations only, so that a crystal may differ from its mirror image.
    """

    symbol: str
    order: int
    centrosymmetric: bool
    polar: bool
    chiral: bool


def point_group(space_group: int) -> PointGroup:
    """Point group of the crystals of a space group.

    Examples
    --------
    >>> point_group(186)
    PointGroup(symbol='6mm', order=12, centrosymmetric=False, polar=True, chiral=False)
    """
    symbol, order, _ = next(row for row in _TABLE if space_group <= row[2])
    return PointGroup(symbol, order, symbol in _WITH_INVERSION, symbol in _POLAR, symbol in _ROTATIONS)


def crystal_system(space_group: int) -> str:
    """Crystal system of a space group.

    Examples
    --------
    >>> crystal_system(166), crystal_system(194)
    ('trigonal', 'hexagonal')
    """
    return next(name for name, last in zip(CRYSTAL_SYSTEMS, _LAST_GROUPS, strict=True) if space_group <= last)


def site_point_group(oriented: str) -> str:
    """Point group of a site from its symbol in the space group, which says along which axes its elements lie.

    Examples
    --------
    >>> site_point_group("4/mm.m"), site_point_group("2mm..")
    ('4/mmm', 'mm2')
    """
    symbol = oriented.replace(".", "")
    return _ORIENTED.get(symbol, symbol)


def has_inversion(symbol: str) -> bool:
    """Whether a point group has an inversion.

    Examples
    --------
    >>> has_inversion("m-3m"), has_inversion("-43m")
    (True, False)
    """
    return symbol in _WITH_INVERSION
