"""Crystals from Wyckoff positions: their cell, and the orbit of a position written as in the International Tables."""

from __future__ import annotations

import re
from fractions import Fraction
from math import cos, radians, sin, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Sites nearer than this in fractional coordinates are one site.
_SAME_SITE = 1e-4

#: Primitive basis vectors in terms of the conventional ones, by the centring letter of the space group symbol; of R in
#: hexagonal axes, obverse.
_PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]]),
    "C": np.array([[0.5, -0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}

#: Keys of a cell, by the number of the last space group of a crystal system, with what follows from them. Of monoclinic
#: groups the angle's name depends on the setting.
_RIGHT = {"alpha": 90.0, "beta": 90.0, "gamma": 90.0}
_SYSTEMS: tuple[tuple[int, str, dict[str, str], dict[str, float]], ...] = (
    (2, "a b c alpha beta gamma", {}, {}),
    (15, "a b c", {}, _RIGHT),
    (74, "a b c", {}, _RIGHT),
    (142, "a c", {"b": "a"}, _RIGHT),
    (194, "a c", {"b": "a"}, _RIGHT | {"gamma": 120.0}),
    (230, "a", {"b": "a", "c": "a"}, _RIGHT),
)
_UNIQUE_ANGLE = {"a": "alpha", "b": "beta", "c": "gamma"}

#: One term of a coordinate: 1/3, x, -x, 2x, +1/2.
_TERM = re.compile(r"\s*([+-]?)\s*(\d+(?:/[1-9]\d*)?)?([xyz])?")


class Setting(NamedTuple):
    """A space group in one setting: its operations, and the primitive basis in terms of the conventional one."""

    number: int
    choice: str
    rotations: NDArray[np.int64]
    translations: Floats
    primitive: Floats


def setting(hall_number: int, space_group: int) -> Setting:
    """Look up a space group by spglib's number of one of its settings, and check that it is the group meant.

    Examples
    --------
    >>> setting(523, 225).rotations.shape
    (192, 3, 3)
    """
    from matscout.db._symmetry import spglib_call

    found = spglib_call("get_spacegroup_type", hall_number)
    if found is None or found.number != space_group:
        raise ValueError(f"hall_number {hall_number} is no setting of space group {space_group}")
    operations = spglib_call("get_symmetry_from_database", hall_number)
    centring = "P" if found.choice == "R" else found.international_short[0]
    return Setting(
        found.number, found.choice, operations["rotations"], operations["translations"], _PRIMITIVE[centring]
    )


def lattice(group: Setting, cell: Mapping[str, float]) -> Floats:
    """Conventional basis vectors in rows, in Å.

    Parameters
    ----------
    group
        Says which lengths and angles are free.
    cell
        The free ones of a, b, c in Å and alpha, beta, gamma in degrees, no others.

    Examples
    --------
    >>> lattice(setting(488, 194), {"a": 2.0, "c": 5.0}).round(3).tolist()
    [[2.0, 0.0, 0.0], [-1.0, 1.732, 0.0], [0.0, 0.0, 5.0]]
    """
    if group.choice == "R":
        raise ValueError("give a rhombohedral crystal in hexagonal axes")
    _, keys, same, fixed = next(system for system in _SYSTEMS if group.number <= system[0])
    free = keys.split()
    if 2 < group.number <= 15:
        free.append(_UNIQUE_ANGLE[group.choice.strip("-123")])
    if sorted(cell) != sorted(free):
        raise ValueError(f"a cell of space group {group.number} is given by {', '.join(free)}, got {', '.join(cell)}")
    full = fixed | {key: float(value) for key, value in cell.items()}
    full |= {key: full[other] for key, other in same.items()}
    cos_alpha, cos_beta, cos_gamma = (_cos(full[angle]) for angle in _RIGHT)
    sin_gamma = 1.0 if full["gamma"] == 90 else sin(radians(full["gamma"]))
    a, b, c = full["a"], full["b"], full["c"]
    x, y = c * cos_beta, c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    return np.array([[a, 0, 0], [b * cos_gamma, b * sin_gamma, 0], [x, y, sqrt(c * c - x * x - y * y)]])


def _cos(degrees: float) -> float:
    exact = {90.0: 0.0, 120.0: -0.5}
    return exact[degrees] if degrees in exact else cos(radians(degrees))


def position(site: Mapping[str, Any], *, ideal: bool = False) -> Floats:
    """Fractional coordinates of a site, from its text and its free parameters.

    Parameters
    ----------
    site
        `position`, such as `x, 2x, 1/4`, and a value for each letter in it; `ideal` may hold other values of them.
    ideal
        Take the values in `ideal` where there are some.

    Returns
    -------
    Shape (3,).

    Examples
    --------
    >>> site = {"position": "x, x+1/2, 1/4-z", "x": 0.2, "z": 0.03, "ideal": {"z": 0.0}}
    >>> position(site).round(3).tolist()
    [0.2, 0.7, 0.22]
    >>> position(site, ideal=True).round(3).tolist()
    [0.2, 0.7, 0.25]
    """
    text, values = site["position"], {letter: site[letter] for letter in "xyz" if letter in site}
    unknown = [key for key in site.get("ideal", {}) if key not in values]
    unused = [letter for letter in values if letter not in text]
    if unknown or unused:
        raise ValueError(f'"{text}" has no free parameter {", ".join(unknown or unused)}')
    if ideal:
        values |= site.get("ideal", {})
    coordinates = text.split(",")
    if len(coordinates) != 3:
        raise ValueError(f'"{text}" has {len(coordinates)} coordinates, not 3')
    return np.array([_coordinate(coordinate, values, text) for coordinate in coordinates])


def _coordinate(written: str, values: Mapping[str, float], text: str) -> float:
    """Value of a sum of fractions and multiples of x, y and z."""
    written = written.strip()
    total, place = 0.0, 0
    while place < len(written) or not written:
        term = _TERM.match(written, place)
        if term is None or not (term[2] or term[3]) or (place and not term[1]):
            raise ValueError(f'"{written}" in "{text}" is no sum of fractions and multiples of x, y, z')
        if term[3] and term[3] not in values:
            raise ValueError(f'"{text}" needs a value of {term[3]}')
        factor = float(Fraction(term[2] or 1)) * (-1 if term[1] == "-" else 1)
        total += factor * (values[term[3]] if term[3] else 1.0)
        place = term.end()
    return total


def orbit(group: Setting, wyckoff: str, site: Floats) -> Floats:
    """Sites that the group makes of one, in the primitive cell, in the order of the group's operations.

    Parameters
    ----------
    group
        The space group in the site's setting.
    wyckoff
        Multiplicity and letter, such as `8d`; the orbit must have that many sites in the conventional cell.
    site
        Fractional coordinates in the conventional cell, shape (3,).

    Returns
    -------
    Fractional coordinates in the primitive cell, wrapped into it, shape (n, 3).

    Examples
    --------
    >>> orbit(setting(517, 221), "3c", np.array([0.0, 0.5, 0.5])).tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    images = (group.rotations @ site + group.translations) @ np.linalg.inv(group.primitive)
    delta = images[:, None] - images[None]
    same = np.abs(delta - np.round(delta)).max(axis=-1) < _SAME_SITE
    sites: Floats = images[same.argmax(axis=1) == np.arange(len(images))] % 1.0
    sites[np.abs(sites - 1.0) < 1e-9] = 0.0
    multiplicity = round(len(sites) / abs(np.linalg.det(group.primitive)))
    if not re.fullmatch(rf"{multiplicity}[a-zA-Z]", wyckoff):
        raise ValueError(f"{site.round(4).tolist()} has {multiplicity} sites in the conventional cell, not {wyckoff}")
    return sites
