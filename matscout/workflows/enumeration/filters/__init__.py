"""Rules that drop candidates before anything is calculated.

A filter takes a table and returns a mask. None but `known-compounds` builds a crystal: two million candidates pass in
seconds. Write your own as a function of the table that returns a boolean mask of shape (n,), True for what stays; the
table's columns are arrays. With a `FilterResult` it can also add columns and say on how many rows it could not judge.

Examples
--------
>>> import numpy as np
>>> from matscout.workflows.enumeration import FilterResult, enumerate_candidates, named_filter
>>> @named_filter("two-thirds-anions")
... def many_anions(table):
...     is_anion = np.isin(table.decoration, [8, 9, 17])  # O, F, Cl
...     share = np.array([p.multiplicity / p.n_sites for p in table.prototypes])[table.prototype_index]
...     part = (is_anion * share).sum(axis=1)
...     return FilterResult(part > 0.6, columns={"anion_part": part})
>>> table = enumerate_candidates("rutile", ["Ti", "O"], [many_anions])
>>> table.formulas, table.filter_counts[0].name, table.columns["anion_part"].round(2).tolist()
(['TiO2'], 'two-thirds-anions', [0.67])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.enumeration.filters.bartel import BartelTau, bartel_tau
    from matscout.workflows.enumeration.filters.electronegativity import ElectronegativityOrder
    from matscout.workflows.enumeration.filters.known import KnownCompounds
    from matscout.workflows.enumeration.filters.neutrality import ChargeNeutrality
    from matscout.workflows.enumeration.filters.oxidation import common_oxidation_states
    from matscout.workflows.enumeration.filters.registry import filter_names, make_filter
    from matscout.workflows.enumeration.filters.resources import (
        CrustalAbundance,
        ExcludeElements,
        HerfindahlHirschman,
        MaxCost,
    )
    from matscout.workflows.enumeration.filters.rules import (
        Filter,
        FilterResult,
        apply_filters,
        named_filter,
        nothing_left,
    )
    from matscout.workflows.enumeration.filters.shannon import shannon_radius
    from matscout.workflows.enumeration.filters.sizes import MaxAtoms, MaxElectrons, MaxSites
    from matscout.workflows.enumeration.filters.tolerance import (
        Goldschmidt,
        OctahedralFactor,
        octahedral_factor,
        tolerance_factor,
    )

__all__ = [
    "BartelTau",
    "ChargeNeutrality",
    "CrustalAbundance",
    "ElectronegativityOrder",
    "ExcludeElements",
    "Filter",
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
    "nothing_left",
    "octahedral_factor",
    "shannon_radius",
    "tolerance_factor",
]

_HOMES = {
    "bartel": ("BartelTau", "bartel_tau"),
    "electronegativity": ("ElectronegativityOrder",),
    "known": ("KnownCompounds",),
    "neutrality": ("ChargeNeutrality",),
    "oxidation": ("common_oxidation_states",),
    "registry": ("filter_names", "make_filter"),
    "resources": ("CrustalAbundance", "ExcludeElements", "HerfindahlHirschman", "MaxCost"),
    "rules": ("Filter", "FilterResult", "apply_filters", "named_filter", "nothing_left"),
    "shannon": ("shannon_radius",),
    "sizes": ("MaxAtoms", "MaxElectrons", "MaxSites"),
    "tolerance": ("Goldschmidt", "OctahedralFactor", "octahedral_factor", "tolerance_factor"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
