"""Data-mined substitution of ions in known crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.enumeration.substitution.ion_substitution import (
        ion_table,
        ions_of,
        probable_replacements,
        replacement_probabilities,
    )
    from matscout.workflows.enumeration.substitution.parents import known_crystals, structures_in
    from matscout.workflows.enumeration.substitution.predicted import substitute

__all__ = [
    "ion_table",
    "ions_of",
    "known_crystals",
    "probable_replacements",
    "replacement_probabilities",
    "structures_in",
    "substitute",
]

_HOMES = {
    "ion_substitution": ("ion_table", "ions_of", "probable_replacements", "replacement_probabilities"),
    "parents": ("known_crystals", "structures_in"),
    "predicted": ("substitute",),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
