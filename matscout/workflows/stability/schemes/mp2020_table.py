"""The published corrections of MP2020, from the table that pymatgen brings.

Which anions are corrected, and by how much, is told by this table alone, so that a newer pymatgen needs no change here.
It is read as a file: the package beside it takes seconds to import.

References
----------
Wang et al., Scientific Reports 11, 15496 (2021), doi:10.1038/s41598-021-94550-5.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pymatgen.core.periodic_table import Element

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA = "MP2020Compatibility.yaml"


@dataclass(frozen=True)
class Mp2020Table:
    """Corrections by kind.

    Attributes
    ----------
    anions
        Symbols of the elements that are corrected as anions; oxygen, which has several kinds, is not among them.
    by_name
        Published values of each adjustment in eV/atom, by the name that pymatgen gives it, such as "MP2020 anion
        correction (oxide)"; a metal may have one value in oxides and another in fluorides.
    version
        Version of pymatgen, and a hash of the table.
    """

    anions: frozenset[str]
    by_name: Mapping[str, frozenset[float]]
    version: str


@cache
def mp2020_table() -> Mp2020Table:
    """Read the table of the pymatgen installed.

    Raises
    ------
    UserError
        pymatgen brings no such table.

    Examples
    --------
    >>> sorted(mp2020_table().anions)
    ['Br', 'Cl', 'F', 'H', 'I', 'N', 'S', 'Sb', 'Se', 'Si', 'Te']
    >>> mp2020_table().by_name["MP2020 anion correction (oxide)"]
    frozenset({-0.687})
    """
    spec = find_spec("pymatgen.analysis.compatibility")
    if spec is None or spec.origin is None:
        raise UserError("corrections of MP2020 need pymatgen.analysis.compatibility: install pymatgen")
    content = (Path(spec.origin).parent / _DATA).read_bytes()
    corrections = yaml.safe_load(content)["Corrections"]
    by_kind = corrections["CompositionCorrections"]
    by_name: dict[str, set[float]] = defaultdict(set)
    for kind, value in by_kind.items():
        by_name[f"MP2020 anion correction ({kind})"].add(float(value))
    for of_metals in corrections["GGAUMixingCorrections"].values():
        for metal, value in of_metals.items():
            by_name[f"MP2020 GGA/GGA+U mixing correction ({metal})"].add(float(value))
    return Mp2020Table(
        anions=frozenset(kind for kind in by_kind if Element.is_valid_symbol(kind)),
        by_name={name: frozenset(values) for name, values in by_name.items()},
        version=f"pymatgen {version('pymatgen')}, {_DATA} {sha256(content).hexdigest()[:8]}",
    )
