"""Prototypes from data files: families written as Wyckoff positions, and the AFLOW prototypes that pymatgen ships."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
import unicodedata
from collections import Counter
from importlib.util import find_spec
from math import cos, gcd, radians, sin, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.prototypes import Prototype

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

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


def read_data() -> dict[str, Any]:
    """Read the package's file of families, ideal values and common names."""
    with Path(__file__).with_name("families.toml").open("rb") as file:
        return tomllib.load(file)


def build_family(document: Mapping[str, Any]) -> Prototype:
    """Build a family's primitive cell from one position per orbit.

    Parameters
    ----------
    document
        One `[[family]]` of the data file; its head says what the keys mean.
    """
    from matscout.db._symmetry import spglib_call

    hall_number = document["hall_number"]
    setting = spglib_call("get_spacegroup_type", hall_number)
    operations = spglib_call("get_symmetry_from_database", hall_number)
    primitive = _PRIMITIVE[setting.international_short[0]]
    frac_coords: list[NDArray[np.float64]] = []
    role_of_site: list[int] = []
    for site in document["sites"]:
        images = operations["rotations"] @ np.asarray(site["position"]) + operations["translations"]
        orbit = _distinct(images @ np.linalg.inv(primitive))
        frac_coords += orbit
        role_of_site += [document["roles"].index(site["role"])] * len(orbit)
    return Prototype(
        name=document["name"],
        label=document["label"],
        roles=tuple(document["roles"]),
        lattice=primitive @ _lattice(**document["cell"]),
        frac_coords=np.array(frac_coords),
        role_of_site=np.array(role_of_site),
        description=document["description"],
        source=document["source"],
    )


def _lattice(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    cos_alpha, cos_beta, cos_gamma = (_cos(angle) for angle in (alpha, beta, gamma))
    sin_gamma = 1.0 if gamma == 90 else sin(radians(gamma))
    x, y = c * cos_beta, c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    return np.array([[a, 0, 0], [b * cos_gamma, b * sin_gamma, 0], [x, y, sqrt(c * c - x * x - y * y)]])


def _cos(degrees: float) -> float:
    exact = {90.0: 0.0, 120.0: -0.5}
    return exact[degrees] if degrees in exact else cos(radians(degrees))


def _distinct(coords: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Sites that differ by more than a lattice vector, in order, wrapped into the cell."""
    kept: list[NDArray[np.float64]] = []
    for site in coords:
        deltas = [site - other for other in kept]
        if all(np.abs(delta - np.round(delta)).max() > _SAME_SITE for delta in deltas):
            wrapped = site % 1.0
            wrapped[np.abs(wrapped - 1.0) < 1e-9] = 0.0
            kept.append(wrapped)
    return kept


def read_aflow(swaps: Mapping[str, Sequence[str]]) -> list[Prototype]:
    """Read the AFLOW prototypes that pymatgen ships, in the order of their names.

    Straight from its data file: importing pymatgen's module takes a second, and builds a `Structure` of each.

    Parameters
    ----------
    swaps
        By name, the roles that take the places of A, B, C ... at an ideal value of the free parameters.
    """
    with gzip.open(_aflow_path()) as file:
        documents = json.load(file)
    shared = Counter(document["tags"]["aflow"] for document in documents)
    prototypes = [
        _aflow_prototype(document, swaps, shared=shared[document["tags"]["aflow"]] > 1) for document in documents
    ]
    return sorted(prototypes, key=lambda prototype: prototype.name)


def _aflow_path() -> Path:
    spec = find_spec("pymatgen.analysis.prototypes")
    if spec is None or spec.origin is None:
        raise RuntimeError("this version of pymatgen has no pymatgen.analysis.prototypes")
    return Path(spec.origin).with_name("aflow_prototypes.json.gz")


def _aflow_prototype(document: Mapping[str, Any], swaps: Mapping[str, Sequence[str]], *, shared: bool) -> Prototype:
    tags, structure = document["tags"], document["snl"]
    elements = [site["species"][0]["element"] for site in structure["sites"]]
    by_role = sorted(set(elements))  # AFLOW's letters go through the elements in alphabetical order
    roles = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(by_role)])
    formula = _formula(elements)
    name = f"{tags['aflow']}-{formula}" if shared else tags["aflow"]
    said = [formula, tags["mineral"], tags["strukturbericht"].strip('"')]
    swap = tuple(roles.index(role) for role in swaps[name]) if name in swaps else None
    return Prototype(
        name=name,
        label=tags["aflow"],
        roles=roles,
        lattice=np.array(structure["lattice"]["matrix"]),
        frac_coords=np.array([site["abc"] for site in structure["sites"]]),
        role_of_site=np.array([by_role.index(element) for element in elements]),
        description=", ".join(text for text in said if text and text != "None"),
        source=_source(structure["about"]["references"]),
        ideal_swaps=(swap,) if swap else (),
    )


def _formula(elements: Iterable[str]) -> str:
    """Reduced formula, elements by electronegativity; O rather than O2, for a crystal of the element."""
    from matscout.db._elements import atomic_numbers, electronegativities

    counts = Counter(elements)
    divisor = gcd(*counts.values())
    values = electronegativities()
    ordered = sorted(counts, key=lambda symbol: (values[atomic_numbers()[symbol]], symbol))
    amounts = ((symbol, counts[symbol] // divisor) for symbol in ordered)
    return "".join(symbol if amount == 1 else f"{symbol}{amount}" for symbol, amount in amounts)


# references in BibTeX

_AFLOW_PAPER = (
    "AFLOW library: M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017"
)
#: What the library writes where it does not know.
_EMPTY = frozenset({"", "None", "0", "0--0", "_journal_year"})

_ACCENTS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "v": "\u030c", "c": "\u0327"}
_LETTERS = {
    "\\o": "ø",
    "\\O": "Ø",
    "\\l": "ł",
    "\\AA": "Å",
    "\\aa": "å",
    "\\ae": "æ",
    "\\ss": "ß",
    "\\&": "&",
    "--": "-",
}


def _source(bibtex: str) -> str:
    """First reference of a BibTeX text as one line, with the AFLOW paper behind it."""
    entry = bibtex.split("@", maxsplit=2)[1]
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*[\"{](.*)[\"}],?\s*$", entry, flags=re.MULTILINE))
    known = {key: text for key, text in fields.items() if text.strip() not in _EMPTY}
    printed = " ".join(known[key] for key in ("journal", "booktitle", "volume") if key in known)
    parts = [known.get("author", "").replace(" and ", ", "), printed or known.get("title", ""), known.get("pages", "")]
    line = _plain(", ".join(part for part in parts if part))
    return f"{line} ({known['year']}); {_AFLOW_PAPER}" if "year" in known else f"{line}; {_AFLOW_PAPER}"


def _plain(tex: str) -> str:
    """TeX accents and letters as Unicode."""
    for command, letter in _LETTERS.items():
        tex = tex.replace(command, letter)

    def accented(match: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", match[2].replace("\\i", "i") + _ACCENTS[match[1]])

    tex = re.sub(r"\\([\"'`^~])\{?(\\i|\w)\}?", accented, tex)
    tex = re.sub(r"\\([vc])\{(\w)\}", accented, tex)
    return " ".join(tex.replace("{", "").replace("}", "").split())
