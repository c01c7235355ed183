"""Mixed sites as ordered cells: every way to divide the sites of a role among several elements, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.enumeration.ordering.disordered import mixed_structures, ordered_structures
    from matscout.workflows.enumeration.ordering.ordered_cells import Mixture, ordered_prototypes, parse_mixture

__all__ = [
    "Mixture",
    "mixed_structures",
    "ordered_prototypes",
    "ordered_structures",
    "parse_mixture",
]

_HOMES = {
    "disordered": ("mixed_structures", "ordered_structures"),
    "ordered_cells": ("Mixture", "ordered_prototypes", "parse_mixture"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
