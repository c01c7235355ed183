"""Formulas, candidates and crystals as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.featurizers.candidates import FEATURE_SETS, FeatureMatrix, featurize_candidates, iterate_features
    from matscout.featurizers.composition import CompositionFeaturizer
    from matscout.featurizers.sites import SiteFeaturizer
    from matscout.featurizers.structures import StructureFeaturizer

__all__ = [
    "FEATURE_SETS",
    "CompositionFeaturizer",
    "FeatureMatrix",
    "SiteFeaturizer",
    "StructureFeaturizer",
    "featurize_candidates",
    "iterate_features",
]

_HOMES = {
    "candidates": ("FEATURE_SETS", "FeatureMatrix", "featurize_candidates", "iterate_features"),
    "composition": ("CompositionFeaturizer",),
    "sites": ("SiteFeaturizer",),
    "structures": ("StructureFeaturizer",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
