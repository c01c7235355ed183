"""Fewer columns and fewer rows: what says nothing, what says the same, and what says most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.featurizers.selection.columns import Dropped, Selection, drop_constant, drop_correlated
    from matscout.featurizers.selection.cur import CurChoice, cur_columns, cur_rows
    from matscout.featurizers.selection.farthest import farthest_columns, farthest_points

__all__ = [
    "CurChoice",
    "Dropped",
    "Selection",
    "cur_columns",
    "cur_rows",
    "drop_constant",
    "drop_correlated",
    "farthest_columns",
    "farthest_points",
]

_HOMES = {
    "columns": ("Dropped", "Selection", "drop_constant", "drop_correlated"),
    "cur": ("CurChoice", "cur_columns", "cur_rows"),
    "farthest": ("farthest_columns", "farthest_points"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)
