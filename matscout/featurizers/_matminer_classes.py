"""Classes of matminer by name, made from options that JSON can write."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from matscout.errors import UserError, nearest
from matscout.featurizers.errors import row_error

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "matminer.featurizers"

_MODULES = tuple(f"{PACKAGE}.{module}" for module in ("composition", "structure", "site"))  # the quickest to load first
_SITE_OPTIONS = ("stats", "min_oxi", "max_oxi", "covariance")
_CRYSTAL_ARGUMENTS = ("s", "strc", "struct", "structure", "crystal")
_COMPOSITION_ARGUMENTS = ("comp", "composition")

TEXT_COLUMNS = {
    "AtomicOrbitals": ("HOMO_character", "HOMO_element", "LUMO_character", "LUMO_element"),
    "GlobalSymmetryFeatures": ("crystal_system",),
    "WenAlloys": ("Weight Fraction", "Atomic Fraction"),
}
"""Columns that hold text, by class: all others of matminer's are numbers."""

_ONLINE = ("CohesiveEnergy", "CohesiveEnergyMP")

_FIXED_BY = {
    "BagofBonds": 'StructureFeaturizer("sine_coulomb") has a fixed length',
    "BondFractions": 'give the bonds: allowed_bonds=["O - Ti", ...]',
    "CoulombMatrix": 'StructureFeaturizer("sine_coulomb") has a fixed length',
    "PartialRadialDistributionFunction": 'give the elements: include_elems=["O", "Ti", ...]',
    "SOAP": 'StructureFeaturizer("soap") has a fixed length',
    "SineCoulombMatrix": 'StructureFeaturizer("sine_coulomb") has a fixed length',
    "StructureComposition": 'name a featurizer of compositions: featurizer="ElementProperty:magpie"',
}
"""What to do about a class whose columns would come from data that it is fitted to."""


@dataclass(frozen=True)
class Found:
    """A class of matminer, and what its rows are."""

    kind: type[Any]
    takes: Literal["compositions", "crystals", "sites"]


def find(name: str) -> Found:
    """Find a class by its name, or by its module and name with dots between.

    Raises
    ------
    UserError
        There is no such class, or it takes neither compositions nor crystals.
    """
    if "." in name:
        return _imported(name)
    for module in _MODULES:
        if _is_kind(vars(import_module(module)).get(name)):
            return _imported(f"{module}.{name}")
    known = known_names()
    near = nearest(name, known)
    hint = f"Did you mean {near}?" if near else f"Known: {', '.join(known)}."
    raise UserError(f'matminer has no featurizer "{name}" of compositions, structures or sites. {hint}')


def known_names() -> list[str]:
    """Names of matminer's featurizers of compositions, structures and sites."""
    modules = map(import_module, _MODULES)
    return sorted({name for module in modules for name, value in vars(module).items() if _is_kind(value)})


def _is_kind(value: object) -> bool:
    from matminer.featurizers.base import BaseFeaturizer

    return isinstance(value, type) and issubclass(value, BaseFeaturizer) and not inspect.isabstract(value)


def _imported(path: str) -> Found:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{path} cannot be imported: {error}") from error
    if not _is_kind(kind):
        raise UserError(f"{path} is no featurizer: a class derived from matminer's BaseFeaturizer is expected")
    return Found(kind, _takes(kind))


def _takes(kind: type[Any]) -> Literal["compositions", "crystals", "sites"]:
    arguments = [name for name in inspect.signature(kind.featurize).parameters if name != "self"]
    first = arguments[0] if arguments else None
    if kind.__module__.startswith(f"{PACKAGE}.composition") or first in _COMPOSITION_ARGUMENTS:
        return "compositions"
    if first in _CRYSTAL_ARGUMENTS:
        return "sites" if len(arguments) > 1 else "crystals"
    raise UserError(
        f"{kind.__name__} takes neither compositions nor crystals: the argument of its featurize is "
        f"{', '.join(arguments) or 'missing'}, and comp or structure is expected"
    )


def make(found: Found, preset: str | None, options: dict[str, Any]) -> Any:
    """Make an object of matminer that takes compositions or structures, and find out that its length is fixed.

    A class of sites is wrapped into `SiteStatsFingerprint`, which takes the options `stats`, `covariance`, `min_oxi`
    and `max_oxi`.

    Raises
    ------
    UserError
        There is no such preset or option, the class cannot be made so, or its columns depend on data.
    """
    name = found.kind.__name__
    if name in _ONLINE:
        raise UserError(
            f"{name} asks the Materials Project for each row: what it answers today is no feature of the row"
        )
    if options.get("flatten") is False:
        raise UserError(f"{name} without flatten gives tables of the size of the crystal, not columns")
    of_sites = {key: options[key] for key in _SITE_OPTIONS if key in options} if found.takes == "sites" else {}
    made = _make(found.kind, preset, {key: value for key, value in options.items() if key not in of_sites})
    if found.takes == "sites":
        made = _make(_imported(f"{PACKAGE}.structure.SiteStatsFingerprint").kind, None, of_sites, site_featurizer=made)
    if type(made).__name__ == "SiteStatsFingerprint" and not made.stats:
        raise UserError(f"{name} without stats gives as many numbers as the crystal has sites, not columns")
    if name == "PartialRadialDistributionFunction" and options.get("include_elems"):
        made.fit([])
    made.set_n_jobs(1)
    _refuse_open_length(found.kind, made)
    return made


def _refuse_open_length(kind: type[Any], made: Any) -> None:
    from matminer.featurizers.base import BaseFeaturizer

    try:
        made.feature_labels()
    except Exception as error:
        name = kind.__name__
        if kind.fit is BaseFeaturizer.fit and name not in _FIXED_BY:
            raise UserError(f"{name} cannot name its columns: {row_error(error)}") from error
        advice = f"; {_FIXED_BY[name]}" if name in _FIXED_BY else ""
        raise UserError(
            f"{name} gets its columns from the data it is fitted to: their number is not fixed{advice}"
        ) from error


def _make(kind: type[Any], preset: str | None, options: dict[str, Any], **objects: Any) -> Any:
    if preset is not None and not hasattr(kind, "from_preset"):
        raise UserError(f'{kind.__name__} has no presets, so no "{preset}"')
    maker = kind if preset is None else kind.from_preset
    given = () if preset is None else (preset,)
    _check_names(kind, maker, given, options | objects)
    live = {name: _live(name, value, options) for name, value in options.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = maker(*given, **live, **objects)
    except Exception as error:
        what = kind.__name__ if preset is None else f'{kind.__name__} with the preset "{preset}"'
        raise UserError(f"matminer cannot make {what}: {row_error(error)}") from error
    for name, value in options.items():  # some presets pass over the options they are given
        kept = getattr(made, name, value)
        if preset is not None and name in _SITE_OPTIONS and list(kept or ()) != list(value or ()):
            raise UserError(f'the preset "{preset}" of {kind.__name__} has {name}={kept!r}, whatever is given')
    return made


def _check_names(kind: type[Any], maker: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Refuse options that there are not, and a class without those it needs."""
    if maker is kind and kind.__init__ is object.__init__:
        parameters = {}
    else:
        parameters = dict(list(inspect.signature(maker).parameters.items())[len(given) :])
    named = {name: one for name, one in parameters.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
        for name in options:
            if name not in named:
                near = nearest(name, named)
                hint = f" Did you mean {near}?" if near else ""
                raise UserError(f'{kind.__name__} has no option "{name}".{hint} It has: {", ".join(named) or "none"}.')
    if missing := [name for name, one in named.items() if one.default is one.empty and name not in options]:
        or_preset = "; or name a preset" if not given and hasattr(kind, "from_preset") else ""
        raise UserError(f"{kind.__name__} needs {', '.join(missing)}{or_preset}")


def _live(option: str, value: Any, options: dict[str, Any]) -> Any:
    """Turn the name of a class into the object that an option wants.

    A way to find neighbours is written "VoronoiNN" or {"VoronoiNN": {"weight": "area"}}, a table of elements
    "DemlData", a featurizer within another "ElementProperty:magpie".
    """
    if option in ("nn", "method", "nn_method") and value is not None:
        return _neighbours(value)
    if option == "data_source" and isinstance(value, str) and value.endswith("Data"):
        from matminer.utils import data

        known = [
            name for name, kind in vars(data).items() if isinstance(kind, type) and issubclass(kind, data.AbstractData)
        ]
        if value not in known:
            raise UserError(f'matminer has no data "{value}". Known: {", ".join(known)}.')
        impute = {"impute_nan": options["impute_nan"]} if "impute_nan" in options else {}
        return getattr(data, value)(**impute)
    if option in ("featurizer", "site_featurizer") and isinstance(value, str):
        name, _, preset = value.partition(":")
        return _make(find(name).kind, preset or None, {})
    return value


def _neighbours(value: Any) -> Any:
    from pymatgen.analysis import local_env

    name, options = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    known = [
        key
        for key, kind in vars(local_env).items()
        if isinstance(kind, type) and issubclass(kind, local_env.NearNeighbors) and kind is not local_env.NearNeighbors
    ]
    if name not in known or not isinstance(options, dict):
        raise UserError(f"{value!r:.60} is no way of pymatgen's to find neighbours. Known: {', '.join(known)}.")
    try:
        return getattr(local_env, name)(**options)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(f"pymatgen cannot make {name}: {error}") from error
