"""The prototype library: what there is, by which names, and how to find it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from matscout.db.prototypes import Prototype
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.prototypes.families import build_family, read_aflow, read_data

if TYPE_CHECKING:
    from collections.abc import Iterable

_GLOB = frozenset("*?[")


@cache
def _families() -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, list[str]]]:
    """Families as they are written, by name; common names; ideal swaps of roles."""
    data = read_data()
    families = {family["name"]: family for family in data["family"]}
    return families, data["aliases"], {ideal["name"]: ideal["swap"] for ideal in data["ideal"]}


@cache
def _family(name: str) -> Prototype:
    return build_family(_families()[0][name])


@cache
def _library() -> tuple[dict[str, Prototype], dict[str, str]]:
    """Prototypes by name, families first, and common names of some."""
    families, aliases, swaps = _families()
    prototypes = [*map(_family, families), *read_aflow(swaps)]
    return {prototype.name: prototype for prototype in prototypes}, aliases


def prototype_library() -> dict[str, Prototype]:
    """Return all prototypes by their unique names: the named families, then those of AFLOW.

    Read once, in half a second.

    Examples
    --------
    >>> library = prototype_library()
    >>> library["cubic-perovskite"].roles
    ('A', 'B', 'X')
    >>> library["AB_cF8_225_a_b"].description
    'NaCl, Halite, Rock Salt, B1'
    """
    return dict(_library()[0])


def common_names() -> dict[str, str]:
    """Return the common names of some prototypes, such as rutile, with the names they stand for."""
    return dict(_library()[1])


def get_prototype(name: str) -> Prototype:
    """Return the prototype of this name.

    Parameters
    ----------
    name
        A unique name, an AFLOW label that only one prototype has, or a common name such as `rutile`.

    Raises
    ------
    UserError
        No prototype has the name (the nearest is given), or several share the label (all are given).

    Examples
    --------
    >>> get_prototype("rutile")
    Prototype('rutile', roles=('A', 'X'), n_sites=6)
    """
    if not isinstance(name, str):
        raise UserError(f"a prototype is named by a text, got {name!r}")
    families, aliases, _ = _families()
    if (family := aliases.get(name, name)) in families:
        return _family(family)  # not the half second that all others take
    prototypes, aliases = _library()
    if not _GLOB.isdisjoint(name):
        raise UserError(
            f'"{name}" is a pattern, not one prototype: matscout prototypes --search "{name}" lists its matches'
        )
    full = aliases.get(name, name)
    if full in prototypes:
        return prototypes[full]
    sharing = [other for other, prototype in prototypes.items() if prototype.label == full]
    if len(sharing) == 1:
        return prototypes[sharing[0]]
    if sharing:
        raise UserError(f"{len(sharing)} prototypes have the label {full}: say which, {_listed(sharing)}")
    said = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")  # BaNiO3 is nobody's misspelt name, but an example
    described = any(said.search(prototype.description) for prototype in prototypes.values())
    close = None if described else nearest(name, [*prototypes, *aliases])
    raise UserError(f'unknown prototype "{name}".' + (f" Nearest: {close}." if close else _found_by_search(name)))


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _found_by_search(name: str) -> str:
    """Hint at prototypes whose name or description holds the unknown name."""
    found = find_prototypes(name) if name and _GLOB.isdisjoint(name) else []
    names = ", ".join(prototype.name for prototype in found[:5]) + (" ..." if len(found) > 5 else "")
    return f" It is found in the description of {len(found)}: {names}" if found else ""


def find_prototypes(pattern: str) -> list[Prototype]:
    """Return the prototypes whose name, label, description or common name matches.

    Parameters
    ----------
    pattern
        A part of the text, or a pattern with `*`, `?` and `[...]` for the whole of it. Case does not matter.

    Examples
    --------
    >>> [prototype.name for prototype in find_prototypes("brookite")]
    ['A2B_oP24_61_2c_c']
    """
    prototypes, aliases = _library()
    texts = {name: [name, prototype.label, prototype.description] for name, prototype in prototypes.items()}
    for alias, name in aliases.items():
        texts[name].append(alias)
    folded = pattern.casefold()
    if _GLOB.isdisjoint(folded):
        folded = f"*{folded}*"
    return [
        prototypes[name] for name, said in texts.items() if any(fnmatchcase(text.casefold(), folded) for text in said)
    ]


def select_prototypes(names: str | Prototype | Iterable[str | Prototype]) -> list[Prototype]:
    """Expand names and patterns to prototypes, each once, in the order given.

    Parameters
    ----------
    names
        Names as `get_prototype` takes them, patterns over names and labels such as `AB3C_*`, `all`, or prototypes.

    Raises
    ------
    UserError
        A name is unknown, or a pattern matches nothing.
    """
    given = [names] if isinstance(names, str | Prototype) else list(names)
    if not given:
        raise UserError("name at least one prototype")
    chosen: dict[str, Prototype] = {}
    for item in given:
        for prototype in [item] if isinstance(item, Prototype) else _expand(item):
            chosen.setdefault(prototype.key, prototype)  # a file read twice is one prototype
    _refuse_same_names(chosen.values())
    return list(chosen.values())


def _expand(item: str) -> list[Prototype]:
    if item != "all" and (not isinstance(item, str) or _GLOB.isdisjoint(item)):
        return [get_prototype(item)]
    prototypes = _library()[0]
    if item == "all":
        return list(prototypes.values())
    found = [p for p in prototypes.values() if fnmatchcase(p.name, item) or fnmatchcase(p.label, item)]
    if not found:
        close = nearest(item.rstrip("*?"), prototypes)
        raise UserError(f'no prototype matches "{item}".' + (f" Nearest: {close}." if close else ""))
    return found


def _refuse_same_names(prototypes: Iterable[Prototype]) -> None:
    seen: dict[str, Prototype] = {}
    for prototype in prototypes:
        other = seen.setdefault(prototype.name, prototype)
        if other is not prototype and other.key != prototype.key:
            raise UserError(f"two different prototypes have the name {prototype.name}: give one another name")
