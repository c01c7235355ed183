"""How well a surrogate does on rows that it has not seen: splits, cross-validation, tuning, learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.models.validation.cross_validation import Validation, cross_validate
    from matscout.models.validation.groups import merge_groups
    from matscout.models.validation.learning_curves import LearningCurve, learning_curve
    from matscout.models.validation.spaces import Range, default_space
    from matscout.models.validation.splits import SCHEMES, Split, make_splits
    from matscout.models.validation.tuning import TunedSurrogate, Tuning, tune

__all__ = [
    "SCHEMES",
    "LearningCurve",
    "Range",
    "Split",
    "TunedSurrogate",
    "Tuning",
    "Validation",
    "cross_validate",
    "default_space",
    "learning_curve",
    "make_splits",
    "merge_groups",
    "tune",
]

_HOMES = {
    "cross_validation": ("Validation", "cross_validate"),
    "groups": ("merge_groups",),
    "learning_curves": ("LearningCurve", "learning_curve"),
    "spaces": ("Range", "default_space"),
    "splits": ("SCHEMES", "Split", "make_splits"),
    "tuning": ("TunedSurrogate", "Tuning", "tune"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
