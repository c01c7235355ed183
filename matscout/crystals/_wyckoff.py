"""Wyckoff positions of the space groups, from the files that pymatgen ships.

They are read straight from there: pymatgen's own module makes a crystal of every prototype of AFLOW when it is
imported, which takes seconds.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def multiplicities(space_group: int) -> dict[str, int]:
    """Sites of each Wyckoff position in the conventional cell, by letter; rhombohedral groups on hexagonal axes.

    Examples
    --------
    >>> multiplicities(225)["a"], multiplicities(225)["l"]
    (4, 192)
    """
    found: dict[str, int] = _table("multiplicities")[str(space_group)]
    return found


def free_parameters(space_group: int) -> dict[str, int]:
    """Coordinates that symmetry leaves free on each Wyckoff position, by letter.

    Examples
    --------
    >>> free_parameters(225)["a"], free_parameters(225)["e"]
    (0, 1)
    """
    found: dict[str, int] = _table("params")[str(space_group)]
    return found


def site_symmetry_orders(space_group: int) -> dict[str, int]:
    """Order of the site symmetry group of each Wyckoff position, by letter.

    Examples
    --------
    >>> site_symmetry_orders(221)["a"], site_symmetry_orders(221)["c"]
    (48, 16)
    """
    found = multiplicities(space_group)
    general = max(found.values())
    return {letter: general // multiplicity for letter, multiplicity in found.items()}


def shipped_relabelings(space_group: int) -> list[dict[int, str]]:
    """Exchanges of letters that pymatgen knows, the identity first, as tables of `str.translate`."""
    return [{int(letter): new for letter, new in table.items()} for table in _table("relabelings")[str(space_group)]]


@cache
def _table(name: str) -> dict[str, Any]:
    spec = find_spec("pymatgen.analysis.prototypes")
    if spec is None or spec.origin is None:
        raise RuntimeError("this version of pymatgen has no pymatgen.analysis.prototypes")
    with gzip.open(Path(spec.origin).with_name(f"wyckoff-position-{name}.json.gz")) as file:
        table: dict[str, Any] = json.load(file)
    return table
