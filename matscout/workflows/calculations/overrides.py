"""Changed settings of a protocol: checked against the settings it has, and applied to a copy."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

OPEN = frozenset(
    {
        "calculator",
        "eigensolver",
        "hubbard_u",
        "incar",
        "kpoints",
        "maker_settings",
        "mixer",
        "moments",
        "potcar",
    }
)
"""Settings that are tables of the user's own: keys may be added to those of them that a protocol has."""

CHOICES = {
    "optimizer": ("BFGS", "BFGSLineSearch", "FIRE", "LBFGS", "LBFGSLineSearch", "MDMin"),
    "cell_filter": ("FrechetCellFilter", "UnitCellFilter"),
    "model": ("0.3.0", "0.2.0"),
    "smearing.name": ("fermi-dirac", "marzari-vanderbilt", "methfessel-paxton"),
}
"""What may be named by a setting: optimizers of atomate2 that take a longest step, filters of ASE that move atoms and
cell, CHGNet's weights that learned PBE, smearings of GPAW. Written down, as each package takes a second to import."""


def parse_override(text: str) -> tuple[str, Any]:
    """Read one override as the command line takes it: KEY=VALUE, the value as YAML.

    Raises
    ------
    UserError
        There is no equals sign, no key, or the value is no YAML.

    Examples
    --------
    >>> parse_override("smearing.width_eV=0.1"), parse_override("mixer={beta: 0.02}")
    (('smearing.width_eV', 0.1), ('mixer', {'beta': 0.02}))
    """
    import yaml

    from matscout.workflows.yaml_files import read_value

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f'an override is written as KEY=VALUE, such as cutoff_eV=400; got "{text}"')
    try:
        return key.strip(), read_value(value)
    except yaml.YAMLError as error:
        raise UserError(f'the value of override "{text}" cannot be read: {error}') from None


def flat(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Write overrides with dotted names, sorted, so that nested and dotted ones are the same.

    Examples
    --------
    >>> flat({"smearing": {"width_eV": 0.1}, "cutoff_eV": 400})
    {'cutoff_eV': 400, 'smearing.width_eV': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, dict) and value:
            found |= {f"{key}.{inner}": content for inner, content in flat(value).items()}
        else:
            found[key] = value
    return dict(sorted(found.items()))


def changed(
    name: str, settings: Mapping[str, Any], overrides: Mapping[str, Any], fixed: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply overrides to a copy of a protocol's settings.

    Parameters
    ----------
    name
        Protocol, for messages.
    settings
        Its settings.
    overrides
        New values, by dotted name or nested. An empty table empties one; a value of None in an open table stands for
        nothing: no such tag of INCAR, no moment, no U.
    fixed
        Settings that are not to be changed, with what to do instead.

    Returns
    -------
    The new settings, and the overrides that change something, by dotted name.

    Raises
    ------
    UserError
        A setting is unknown or fixed, or the value is of another kind than the one it replaces, or no choice.

    Examples
    --------
    >>> changed("p", {"cutoff_eV": 500.0, "relax": {"fmax": 0.05}}, {"cutoff_eV": 400, "relax.fmax": 0.05})
    ({'cutoff_eV': 400.0, 'relax': {'fmax': 0.05}}, {'cutoff_eV': 400.0})
    """
    new = copy.deepcopy(dict(settings))
    recorded = {}
    for key, asked in flat(overrides).items():
        before = setting(new, key, _NOTHING)
        for closed, instead in (fixed or {}).items():
            if f"{key}.".startswith(f"{closed}.") and asked != before:
                raise UserError(f"protocol {name}: {key} cannot be changed: {instead}")
        value = _put(name, new, key, copy.deepcopy(asked))
        if value != before:
            recorded[key] = copy.deepcopy(value)
    return new, recorded


_NOTHING = object()


def setting(settings: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """Return a setting by its dotted name, or `default` where there is none.

    Examples
    --------
    >>> setting({"smearing": {"width_eV": 0.05}}, "smearing.width_eV")
    0.05
    """
    place: Any = settings
    for part in key.split("."):
        if not isinstance(place, dict) or part not in place:
            return default
        place = place[part]
    return place


def _put(name: str, settings: dict[str, Any], key: str, value: Any) -> Any:
    *path, last = key.split(".")
    place, is_open = settings, False
    for n, part in enumerate(path):
        if is_open and place.get(part) is None:
            place[part] = {}
        inner = place.get(part, _NOTHING)
        if not isinstance(inner, dict):
            raise _unknown(name, settings, ".".join(path[: n + 1]), place, part)
        place = inner
        is_open = is_open or part in OPEN
    if last not in place and not is_open:
        raise _unknown(name, settings, key, place, last)
    value = _same_kind(name, key, place.get(last), value, is_open=is_open)
    place[last] = value
    return value


def _unknown(name: str, settings: Mapping[str, Any], key: str, place: Mapping[str, Any], part: str) -> UserError:
    close = nearest(part, place)
    path = key.rsplit(".", 1)[0] + "." if "." in key else ""
    hint = f" Nearest: {path}{close}." if close else ""
    return UserError(
        f'protocol {name} has no setting "{key}".{hint} matscout protocols {name} shows all {len(settings)} of them'
    )


def _same_kind(name: str, key: str, old: Any, new: Any, *, is_open: bool) -> Any:
    """Return the new value in the kind of the old one; numbers may be written as 400 or 4e2."""
    if isinstance(old, dict) and not isinstance(new, dict):
        raise UserError(f"protocol {name}: {key} is a table, and cannot become {new!r}; {{}} empties it")
    if is_open or old is None:
        return new
    if isinstance(old, bool) or isinstance(new, bool):
        fits = isinstance(old, bool) and isinstance(new, bool)
    elif isinstance(old, float):
        fits = isinstance(new, int | float)
        new = float(new) if fits else new
    else:
        fits = isinstance(new, type(old))
    if not fits:
        raise UserError(f"protocol {name}: {key} is {_said(old)}, and cannot become {new!r}")
    if key in CHOICES and new not in CHOICES[key]:
        close = nearest(new, CHOICES[key])
        hint = f" Nearest: {close}." if close else ""
        raise UserError(f'protocol {name}: {key} cannot be "{new}".{hint} It is one of {", ".join(CHOICES[key])}')
    return new


def _said(value: Any) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return f"{kinds.get(type(value), type(value).__name__)} ({value!r})"
