"""Prototypes times elements: candidates, none twice, and the filters that thin them out.

A plain numerical library: nothing here opens a store, a queue or a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.enumeration.enumerate import enumerate_candidates
    from matscout.workflows.enumeration.filters import (
        ChargeNeutrality,
        FilterResult,
        Goldschmidt,
        MaxSites,
        apply_filters,
        make_filter,
        tolerance_factor,
    )
    from matscout.workflows.enumeration.library import (
        common_names,
        find_prototypes,
        get_prototype,
        prototype_library,
        select_prototypes,
    )
    from matscout.workflows.enumeration.oxidation import common_oxidation_states
    from matscout.workflows.enumeration.volume import predict_volumes

__all__ = [
    "ChargeNeutrality",
    "FilterResult",
    "Goldschmidt",
    "MaxSites",
    "apply_filters",
    "common_names",
    "common_oxidation_states",
    "enumerate_candidates",
    "find_prototypes",
    "get_prototype",
    "make_filter",
    "predict_volumes",
    "prototype_library",
    "select_prototypes",
    "tolerance_factor",
]

_HOMES = {
    "enumerate": ("enumerate_candidates",),
    "filters": (
        "ChargeNeutrality",
        "FilterResult",
        "Goldschmidt",
        "MaxSites",
        "apply_filters",
        "make_filter",
        "tolerance_factor",
    ),
    "library": ("common_names", "find_prototypes", "get_prototype", "prototype_library", "select_prototypes"),
    "oxidation": ("common_oxidation_states",),
    "volume": ("predict_volumes",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
