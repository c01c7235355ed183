"""Prototypes: the library of families and AFLOW prototypes, and any crystal of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.crystals.structure_files import RefusedCrystal, read_structures
    from matscout.workflows.enumeration.prototypes.from_structures import (
        prototype_from_structure,
        read_prototype,
        read_prototypes,
    )
    from matscout.workflows.enumeration.prototypes.library import (
        common_names,
        find_prototypes,
        get_prototype,
        prototype_library,
        select_prototypes,
    )

__all__ = [
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
]

_HOMES = {
    "from_structures": ("prototype_from_structure", "read_prototype", "read_prototypes"),
    "library": ("common_names", "find_prototypes", "get_prototype", "prototype_library", "select_prototypes"),
    "matscout.crystals.structure_files": ("RefusedCrystal", "read_structures"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
