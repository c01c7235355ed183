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
_NETWORK: dict[str, Range | Sequence[Any]] = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-3, 0.1, log=True),
    "dropout": [0.0, 0.1, 0.2],
}
_HEADS = ("gaussian_process", "ridge", "extra_trees", "xgboost")
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
    "gaussian_process": {"kernel": ["matern", "rbf"], "ard": [True, False]},
    # length scale, noise and prior weight are chosen in training
    "local_kriging": {
        "kernel": ["matern", "exponential"],
        "neighbours": Range(16, 128, log=True, integer=True),
        "element_length": Range(0.25, 1.0, log=True),
        "element_identity": Range(0.005, 0.1, log=True),
    },
    "composition_network": _NETWORK | {"n_layers": [1, 2, 3]},
    "crystal_graph": _NETWORK | {"n_convolutions": [2, 3, 4]},
    "chgnet_transfer": {"head": _HEADS},
}
_FINE_TUNED: Space = {"learning_rate": Range(5e-4, 1e-2, log=True), "weight_decay": Range(1e-3, 0.1, log=True)}


def default_space(name: str, options: Mapping[str, Any] | None = None) -> Space:
    """Options of a surrogate that are worth a search, and where.

    Dummy has none, and ridge chooses its only one as it learns.

    Parameters
    ----------
    name
        Of the surrogate.
    options
        That it will have in any case: they may leave others without a meaning.

    Raises
    ------
    UserError
        The surrogate is unknown, or none of its options is worth a search.

    Examples
    --------
    >>> sorted(default_space("extra_trees"))
    ['column_fraction', 'min_leaf']
    """
    from matscout.models.registry import surrogate_class

    surrogate_class(name)
    if name not in _SPACES:
        raise UserError(f"the options of {name} are not worth a search: train it without tuning")
    if name == "chgnet_transfer":
        return _of_transfer(options or {})
    return _SPACES[name]


def _of_transfer(options: Mapping[str, Any]) -> Space:
    """Heads that can learn the task, or options of a training that goes on without a head."""
    if options.get("mode") == "fine-tune":
        return _FINE_TUNED
    from matscout.models.registry import surrogate_class

    task = options.get("task", "regression")
    return {"head": [head for head in _HEADS if task in surrogate_class(head).tasks]}


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
