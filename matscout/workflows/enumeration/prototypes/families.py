"""Prototypes from data files: families written as Wyckoff positions, and the AFLOW prototypes that pymatgen ships."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration.prototypes import _wyckoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


#: Where the package's data files lie.
FAMILIES = Path(__file__).with_name("data")


def read_data(folder: Path = FAMILIES) -> dict[str, Any]:
    """Read families, ideal values and common names from the TOML files of a folder.

    Returns
    -------
    `family` and `ideal`: the tables of all files, file by file in the order of their names. `aliases`: the prototype
    that each common name stands for.

    Raises
    ------
    ValueError
        A name stands for two families, or for a family and something else.
    """
    data: dict[str, Any] = {"family": [], "ideal": [], "aliases": {}}
    names: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        with path.open("rb") as file:
            read = tomllib.load(file)
        data["family"] += read.get("family", [])
        data["ideal"] += read.get("ideal", [])
        data["aliases"] |= read.get("aliases", {})
        names += [*(family["name"] for family in read.get("family", [])), *read.get("aliases", {})]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"{folder.name}: a name must stand for one prototype, but {', '.join(twice)} stand for more")
    return data


def build_family(document: Mapping[str, Any]) -> Prototype:
    """Build a family's primitive cell from one position per orbit.

    Parameters
    ----------
    document
        One `[[family]]` of a data file; the files' heads say what the keys mean.

    Raises
    ------
    ValueError
        The document contradicts itself; the message names the family and the text that does.

    Examples
    --------
    >>> caesium_chloride = {
    ...     "name": "my-CsCl",
    ...     "label": "AB_cP2_221_b_a",
    ...     "roles": ["A", "X"],
    ...     "description": "CsCl",
    ...     "source": "W. P. Davey and F. G. Wick, Physical Review 17, 403-404 (1921): CsCl",
    ...     "space_group": 221,
    ...     "hall_number": 517,
    ...     "cell": {"a": 4.12},
    ...     "sites": [
    ...         {"role": "A", "wyckoff": "1b", "position": "1/2, 1/2, 1/2"},
    ...         {"role": "X", "wyckoff": "1a", "position": "0, 0, 0"},
    ...     ],
    ... }
    >>> build_family(caesium_chloride).structure(["Cs", "Cl"]).volume.__round__(3)
    69.935
    """
    try:
        prototype = _build(document, ideal=False)
        if not any("ideal" in site for site in document["sites"]):
            return prototype
        at_ideal = _build(document, ideal=True)
    except ValueError as error:
        raise ValueError(f"family {document['name']}: {error}") from error
    swaps = sorted(set(at_ideal.role_maps(at_ideal)) - set(prototype.role_maps(prototype)))
    return replace(prototype, ideal_swaps=tuple(swaps))


def _build(document: Mapping[str, Any], *, ideal: bool) -> Prototype:
    """Build a family's cell at its published parameters, or at the ideal values where a site declares them."""
    group = _wyckoff.setting(document["hall_number"], document["space_group"])
    cell = document["cell"] | (document.get("ideal_cell", {}) if ideal else {})
    frac_coords: list[NDArray[np.float64]] = []
    role_of_site: list[int] = []
    for site in document["sites"]:
        if site["role"] not in document["roles"]:
            raise ValueError(f"the role {site['role']} of {site['wyckoff']} is none of {', '.join(document['roles'])}")
        orbit = _wyckoff.orbit(group, site["wyckoff"], _wyckoff.position(site, ideal=ideal))
        frac_coords += list(orbit)
        role_of_site += [document["roles"].index(site["role"])] * len(orbit)
    return Prototype(
        name=document["name"],
        label=document["label"],
        roles=tuple(document["roles"]),
        lattice=group.primitive @ _wyckoff.lattice(group, cell),
        frac_coords=np.array(frac_coords),
        role_of_site=np.array(role_of_site),
        description=document["description"],
        source=document["source"],
    )


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
