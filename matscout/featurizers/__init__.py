"""Formulas, candidates and crystals as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.featurizers.base import CrystalFeaturizer, Featurizer, RowFeaturizer
    from matscout.featurizers.cache import FeatureCache
    from matscout.featurizers.composition import CompositionFeaturizer
    from matscout.featurizers.errors import FeatureRowsError
    from matscout.featurizers.feature_files import FeatureFile, read_description
    from matscout.featurizers.matminer import Matminer
    from matscout.featurizers.matrix import FeatureMatrix, featurize, iterate_features
    from matscout.featurizers.registry import FEATURE_SETS, make_featurizer
    from matscout.featurizers.sites import SiteFeaturizer
    from matscout.featurizers.sources import read_source
    from matscout.featurizers.structures import StructureFeaturizer

__all__ = [
    "FEATURE_SETS",
    "CompositionFeaturizer",
    "CrystalFeaturizer",
    "FeatureCache",
    "FeatureFile",
    "FeatureMatrix",
    "FeatureRowsError",
    "Featurizer",
    "Matminer",
    "RowFeaturizer",
    "SiteFeaturizer",
    "StructureFeaturizer",
    "featurize",
    "iterate_features",
    "make_featurizer",
    "read_description",
    "read_source",
]

_HOMES = {
    "base": ("CrystalFeaturizer", "Featurizer", "RowFeaturizer"),
    "cache": ("FeatureCache",),
    "composition": ("CompositionFeaturizer",),
    "errors": ("FeatureRowsError",),
    "feature_files": ("FeatureFile", "read_description"),
    "matminer": ("Matminer",),
    "matrix": ("FeatureMatrix", "featurize", "iterate_features"),
    "registry": ("FEATURE_SETS", "make_featurizer"),
    "sites": ("SiteFeaturizer",),
    "sources": ("read_source",),
    "structures": ("StructureFeaturizer",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
