"""Convex hulls, and what follows from them: labels, probabilities, references, and which crystals are the same.

A plain numerical library: nothing here opens a store, a queue or a model. `enrichment` is here the module; the function
of that name is `matscout.workflows.stability.enrichment.enrichment`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matscout.workflows.stability.crystals import (
        KnownCrystals,
        group_crystals,
        match_known,
        same_prototype,
        space_group,
    )
    from matscout.workflows.stability.enrichment import RandomSearch, ceiling, random_search
    from matscout.workflows.stability.entries import missing_elements, read_entries, restrict
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.probability import probability_stable_now
    from matscout.workflows.stability.schemes import (
        SchemeError,
        calibration_sample,
        check_joinable,
        get_scheme,
        measure_error,
    )

__all__ = [
    "Hull",
    "KnownCrystals",
    "RandomSearch",
    "SchemeError",
    "calibration_sample",
    "ceiling",
    "check_joinable",
    "get_scheme",
    "group_crystals",
    "match_known",
    "measure_error",
    "missing_elements",
    "probability_stable_now",
    "random_search",
    "read_entries",
    "restrict",
    "same_prototype",
    "space_group",
]

_HOMES = {
    "crystals": ("KnownCrystals", "group_crystals", "match_known", "same_prototype", "space_group"),
    "enrichment": ("RandomSearch", "ceiling", "random_search"),
    "entries": ("missing_elements", "read_entries", "restrict"),
    "hull": ("Hull",),
    "probability": ("probability_stable_now",),
    "schemes": ("SchemeError", "calibration_sample", "check_joinable", "get_scheme", "measure_error"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that a hull needs no spglib and an entry file no Qhull."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
