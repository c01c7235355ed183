"""Convex hulls, and what follows from them: labels, probabilities, references, and which crystals are the same.

A plain numerical library: nothing here opens a store, a queue or a model. `enrichment` is here the module; the function
of that name is `matscout.workflows.stability.enrichment.enrichment`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matscout.workflows.stability.answers import Completeness, Decomposition, EntryColumns, Facet, LabelChanges
    from matscout.workflows.stability.checks import EnergyWarning
    from matscout.workflows.stability.crystals import (
        KnownCrystals,
        group_crystals,
        match_known,
        same_prototype,
        space_group,
    )
    from matscout.workflows.stability.enrichment import RandomSearch, ceiling, random_search
    from matscout.workflows.stability.entries import missing_elements, read_entries, restrict
    from matscout.workflows.stability.frames import hull_frame
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.open_systems import OpenHull, OpenReaction, open_hull
    from matscout.workflows.stability.plots import (
        chemical_potential_domains,
        plot_chemical_potentials,
        plot_hull,
        write_plot,
    )
    from matscout.workflows.stability.potential_ranges import stable_phases_over
    from matscout.workflows.stability.probability import probability_stable_now
    from matscout.workflows.stability.probability_final import (
        ExpectedStable,
        FinalProbability,
        probability_stable_final,
    )
    from matscout.workflows.stability.schemes import (
        Corrected,
        CorrectionScheme,
        FittedReferences,
        FormationEnthalpy,
        check_joinable,
        corrected_entries,
        get_scheme,
        protocol_of,
        protocols_of,
        read_enthalpies,
        register_scheme,
    )
    from matscout.workflows.stability.schemes.calibration import SchemeError, calibration_sample, measure_error
    from matscout.workflows.stability.schemes.comparison import compare_schemes
    from matscout.workflows.stability.surroundings import hull_surroundings
    from matscout.workflows.stability.temperature import gas_chemical_potential, gibbs_entries, hull_at

__all__ = [
    "Completeness",
    "Corrected",
    "CorrectionScheme",
    "Decomposition",
    "EnergyWarning",
    "EntryColumns",
    "ExpectedStable",
    "Facet",
    "FinalProbability",
    "FittedReferences",
    "FormationEnthalpy",
    "Hull",
    "KnownCrystals",
    "LabelChanges",
    "OpenHull",
    "OpenReaction",
    "RandomSearch",
    "SchemeError",
    "calibration_sample",
    "ceiling",
    "check_joinable",
    "chemical_potential_domains",
    "compare_schemes",
    "corrected_entries",
    "gas_chemical_potential",
    "get_scheme",
    "gibbs_entries",
    "group_crystals",
    "hull_at",
    "hull_frame",
    "hull_surroundings",
    "match_known",
    "measure_error",
    "missing_elements",
    "open_hull",
    "plot_chemical_potentials",
    "plot_hull",
    "probability_stable_final",
    "probability_stable_now",
    "protocol_of",
    "protocols_of",
    "random_search",
    "read_enthalpies",
    "read_entries",
    "register_scheme",
    "restrict",
    "same_prototype",
    "space_group",
    "stable_phases_over",
    "write_plot",
]

_HOMES = {
    "answers": ("Completeness", "Decomposition", "EntryColumns", "Facet", "LabelChanges"),
    "checks": ("EnergyWarning",),
    "crystals": ("KnownCrystals", "group_crystals", "match_known", "same_prototype", "space_group"),
    "enrichment": ("RandomSearch", "ceiling", "random_search"),
    "entries": ("missing_elements", "read_entries", "restrict"),
    "frames": ("hull_frame",),
    "hull": ("Hull",),
    "open_systems": ("OpenHull", "OpenReaction", "open_hull"),
    "plots": ("chemical_potential_domains", "plot_chemical_potentials", "plot_hull", "write_plot"),
    "potential_ranges": ("stable_phases_over",),
    "probability": ("probability_stable_now",),
    "probability_final": ("ExpectedStable", "FinalProbability", "probability_stable_final"),
    "schemes": (
        "Corrected",
        "CorrectionScheme",
        "FittedReferences",
        "FormationEnthalpy",
        "check_joinable",
        "corrected_entries",
        "get_scheme",
        "protocol_of",
        "protocols_of",
        "read_enthalpies",
        "register_scheme",
    ),
    "schemes.calibration": ("SchemeError", "calibration_sample", "measure_error"),
    "schemes.comparison": ("compare_schemes",),
    "surroundings": ("hull_surroundings",),
    "temperature": ("gas_chemical_potential", "gibbs_entries", "hull_at"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that a hull needs no spglib and an entry file no Qhull."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
