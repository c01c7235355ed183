"""Same or not: protostructure labels, isopointal and isoconfigurational crystals, duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.crystals.protostructure import (
        RefusedRow,
        candidate_labels,
        label_candidates,
        protostructure_label,
        protostructure_labels,
        prototype_label,
    )
    from matscout.workflows.enumeration.sameness.duplicates import find_duplicates, split_groups
    from matscout.workflows.enumeration.sameness.isotypism import isoconfigurational, isopointal

__all__ = [
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
]

_HOMES = {
    "duplicates": ("find_duplicates", "split_groups"),
    "isotypism": ("isoconfigurational", "isopointal"),
    "matscout.crystals.protostructure": (
        "RefusedRow",
        "candidate_labels",
        "label_candidates",
        "protostructure_label",
        "protostructure_labels",
        "prototype_label",
    ),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
