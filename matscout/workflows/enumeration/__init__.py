"""Prototypes times elements: candidates, none twice, and the filters that thin them out.

A plain numerical library: nothing here opens a store, a queue or a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.crystals.volume import predict_volumes
    from matscout.workflows.enumeration.choices import parse_choice
    from matscout.workflows.enumeration.enumerate import (
        CandidateSpace,
        count_candidates,
        enumerate_candidates,
        iterate_candidates,
    )
    from matscout.workflows.enumeration.filters import (
        BartelTau,
        ChargeNeutrality,
        CrustalAbundance,
        ElectronegativityOrder,
        ExcludeElements,
        FilterResult,
        Goldschmidt,
        HerfindahlHirschman,
        KnownCompounds,
        MaxAtoms,
        MaxCost,
        MaxElectrons,
        MaxSites,
        OctahedralFactor,
        apply_filters,
        bartel_tau,
        common_oxidation_states,
        filter_names,
        make_filter,
        named_filter,
        octahedral_factor,
        tolerance_factor,
    )
    from matscout.workflows.enumeration.ordering import (
        Mixture,
        mixed_structures,
        ordered_prototypes,
        ordered_structures,
        parse_mixture,
    )
    from matscout.workflows.enumeration.prototypes import (
        RefusedCrystal,
        common_names,
        find_prototypes,
        get_prototype,
        prototype_from_structure,
        prototype_library,
        read_prototype,
        read_prototypes,
        read_structures,
        select_prototypes,
    )
    from matscout.workflows.enumeration.sameness import (
        RefusedRow,
        candidate_labels,
        find_duplicates,
        isoconfigurational,
        isopointal,
        label_candidates,
        protostructure_label,
        protostructure_labels,
        prototype_label,
        split_groups,
    )
    from matscout.workflows.enumeration.substitution import known_crystals, structures_in, substitute

__all__ = [
    "BartelTau",
    "CandidateSpace",
    "ChargeNeutrality",
    "CrustalAbundance",
    "ElectronegativityOrder",
    "ExcludeElements",
    "FilterResult",
    "Goldschmidt",
    "HerfindahlHirschman",
    "KnownCompounds",
    "MaxAtoms",
    "MaxCost",
    "MaxElectrons",
    "MaxSites",
    "Mixture",
    "OctahedralFactor",
    "RefusedCrystal",
    "RefusedRow",
    "apply_filters",
    "bartel_tau",
    "candidate_labels",
    "common_names",
    "common_oxidation_states",
    "count_candidates",
    "enumerate_candidates",
    "filter_names",
    "find_duplicates",
    "find_prototypes",
    "get_prototype",
    "isoconfigurational",
    "isopointal",
    "iterate_candidates",
    "known_crystals",
    "label_candidates",
    "make_filter",
    "mixed_structures",
    "named_filter",
    "octahedral_factor",
    "ordered_prototypes",
    "ordered_structures",
    "parse_choice",
    "parse_mixture",
    "predict_volumes",
    "protostructure_label",
    "protostructure_labels",
    "prototype_from_structure",
    "prototype_label",
    "prototype_library",
    "read_prototype",
    "read_prototypes",
    "read_structures",
    "select_prototypes",
    "split_groups",
    "structures_in",
    "substitute",
    "tolerance_factor",
]

_HOMES = {
    "choices": ("parse_choice",),
    "enumerate": ("CandidateSpace", "count_candidates", "enumerate_candidates", "iterate_candidates"),
    "filters": (
        "BartelTau",
        "ChargeNeutrality",
        "CrustalAbundance",
        "ElectronegativityOrder",
        "ExcludeElements",
        "FilterResult",
        "Goldschmidt",
        "HerfindahlHirschman",
        "KnownCompounds",
        "MaxAtoms",
        "MaxCost",
        "MaxElectrons",
        "MaxSites",
        "OctahedralFactor",
        "apply_filters",
        "bartel_tau",
        "common_oxidation_states",
        "filter_names",
        "make_filter",
        "named_filter",
        "octahedral_factor",
        "tolerance_factor",
    ),
    "ordering": ("Mixture", "mixed_structures", "ordered_prototypes", "ordered_structures", "parse_mixture"),
    "prototypes": (
        "RefusedCrystal",
        "common_names",
        "find_prototypes",
        "get_prototype",
        "prototype_from_structure",
        "prototype_library",
        "read_prototype",
        "read_prototypes",
        "read_structures",
        "select_prototypes",
    ),
    "sameness": (
        "RefusedRow",
        "candidate_labels",
        "find_duplicates",
        "isoconfigurational",
        "isopointal",
        "label_candidates",
        "protostructure_label",
        "protostructure_labels",
        "prototype_label",
        "split_groups",
    ),
    "substitution": ("known_crystals", "structures_in", "substitute"),
    "matscout.crystals.volume": ("predict_volumes",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
