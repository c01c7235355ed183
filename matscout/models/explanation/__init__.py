"""Why a model predicts what it predicts: parts of its predictions, what it needs to know, and laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.models.explanation.contributions import Contributions, feature_contributions
    from matscout.models.explanation.elements import ElementContributions, element_contributions
    from matscout.models.explanation.explain import HOW, Explanation, explain_model
    from matscout.models.explanation.permutation import (
        PermutationImportance,
        correlated_columns,
        permutation_importance,
    )
    from matscout.models.explanation.plots import plot_contributions, plot_importance
    from matscout.models.explanation.sites import SiteContributions, site_contributions
    from matscout.models.explanation.sparse_formula import SparseFormula

__all__ = [
    "HOW",
    "Contributions",
    "ElementContributions",
    "Explanation",
    "PermutationImportance",
    "SiteContributions",
    "SparseFormula",
    "correlated_columns",
    "element_contributions",
    "explain_model",
    "feature_contributions",
    "permutation_importance",
    "plot_contributions",
    "plot_importance",
    "site_contributions",
]

_HOMES = {
    "contributions": ("Contributions", "feature_contributions"),
    "elements": ("ElementContributions", "element_contributions"),
    "explain": ("HOW", "Explanation", "explain_model"),
    "permutation": ("PermutationImportance", "correlated_columns", "permutation_importance"),
    "plots": ("plot_contributions", "plot_importance"),
    "sites": ("SiteContributions", "site_contributions"),
    "sparse_formula": ("SparseFormula",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
