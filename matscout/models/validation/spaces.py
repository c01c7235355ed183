"""Where options are searched for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matscout.errors import UserError
from matscout.models.options import check_options


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds.

    Parameters
    ----------
    low, high
        Bounds, both within.
    log
        Whether each decade is as likely as the next one; `low` must then be > 0.
    integer
        Whether only whole numbers are meant.

    Examples
    --------
    >>> 1 <= Range(1, 100, log=True, integer=True).draw(np.random.default_rng(0)) <= 100
    True
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high) or (self.log and self.low <= 0):
            kind = "a logarithmic range needs 0 < low < high" if self.log else "a range needs low < high"
            raise UserError(f"{kind}, got {self.low:g} to {self.high:g}")

    def draw(self, rng: np.random.Generator) -> float | int:
        """Draw a number."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        if self.integer and self.log:
            low = max(low, self.low / 2)
        value = float(np.exp(rng.uniform(np.log(low), np.log(high)))) if self.log else float(rng.uniform(low, high))
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else value


Space = Mapping[str, Range | Sequence[Any]]
"""Range, or the choices, of each option."""

_FOREST: dict[str, Range | Sequence[Any]] = {
    "column_fraction": Range(0.1, 1.0),
    "min_leaf": Range(1, 10, log=True, integer=True),
}
_SPACES: dict[str, Space] = {
    "extra_trees": _FOREST,
    "random_forest": _FOREST,
    "adaboost_trees": _FOREST | {"n_rounds": Range(20, 120, log=True, integer=True), "learning_rate": Range(0.3, 2.0)},
    "xgboost": {
        "n_trees": Range(100, 800, log=True, integer=True),
        "learning_rate": Range(0.02, 0.3, log=True),
        "max_depth": Range(2, 10, integer=True),
        "min_child_weight": Range(0.5, 20, log=True),
        "l2": Range(0.1, 30, log=True),
        "row_fraction": Range(0.4, 1.0),
        "column_fraction": Range(0.1, 1.0),
    },
}


def default_space(name: str) -> Space:
    """Options of a surrogate that are worth a search, and where.

    Raises
    ------
    UserError
        The surrogate is unknown, or none of its options is searched.

    Examples
    --------
    >>> sorted(default_space("extra_trees"))
    ['column_fraction', 'min_leaf']
    """
    from matscout.models.registry import surrogate_class

    surrogate_class(name)
    if name not in _SPACES:
        raise UserError(f"no options of the surrogate {name} are searched unless you say where: give space")
    return _SPACES[name]


def check_space(name: str, space: Space) -> None:
    """Raise a `UserError` where a space has an option that the surrogate does not, or nothing to choose from."""
    from matscout.models.registry import surrogate_options

    check_options(f"surrogate {name}", tuple(space), surrogate_options(name))
    for option, choices in space.items():
        if isinstance(choices, Range):
            continue
        if isinstance(choices, (str, bytes)) or not isinstance(choices, Sequence) or not len(choices):
            raise UserError(f"space of option {option}: expected a Range or a list of choices, got {choices!r:.60}")


def draw_options(space: Space, rng: np.random.Generator) -> dict[str, Any]:
    """Draw a value of each option."""
    return {
        option: choices.draw(rng) if isinstance(choices, Range) else choices[int(rng.integers(len(choices)))]
        for option, choices in sorted(space.items())
    }
