"""Whether calibrated intervals hold what they promise where whole chemical systems are new.

Each surrogate learns from some thousands of rows, calibrates itself on rows held out by chemical system, and predicts
rows of other systems, which nobody looked at. Most take critexam's formation energies (Bartel et al., npj Comput.
Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y); those that take crystals, which are not there, take the
perovskites of Castelli et al. as cubic prototypes at their predicted volumes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from _lib.figures import Figure
from _lib.learning_data import features, read_critexam, systems_of, whole_systems
from _lib.perovskite_models import perovskites

from matscout.models import SURROGATES, make_surrogate
from matscout.models.error_laws import spearman
from matscout.models.inputs import as_inputs
from matscout.models.registry import surrogate_class

if TYPE_CHECKING:
    from matscout.models.inputs import Inputs

ROWS = {"features": (6000, 3000), "compositions": (6000, 3000), "crystals": (2000, 1000)}
"""Rows to learn from, and to test on, by what a surrogate takes."""

SETS = ("magpie", "stoichiometry", "valence_orbital", "ionic")
LOWEST, HIGHEST = 0.85, 0.95  # share of the targets within the 90 % intervals
LEAST_RANK = 0.3  # of error and predicted std
REPORTED = ("dummy", "ridge")

_NETWORK: dict[str, Any] = {"n_members": 3, "device": "auto", "n_threads": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "extra_trees": {"n_threads": 2, "min_leaf": 2},
    "random_forest": {"n_threads": 2, "min_leaf": 2},
    "adaboost_trees": {"n_threads": 2},
    "xgboost": {
        "n_members": 8,
        "n_trees": 300,
        "learning_rate": 0.05,
        "max_depth": 7,
        "min_child_weight": 2.0,
        "row_fraction": 0.8,
        "n_threads": 2,
    },
    "gaussian_process": {"n_threads": 2},
    "composition_network": _NETWORK | {"epochs": 20},
    "crystal_graph": _NETWORK | {"epochs": 40},
    "chgnet_transfer": {"n_threads": 2},
}
"""Options beside the defaults, which are for fewer rows: chosen by the calibration on rows held out of training."""


def coverage(only: str | None = None) -> list[Figure]:
    """Coverage of the 90 % intervals and rank correlation of error and std, for every surrogate, or for one."""
    covered, ranked = [], []
    for name in SURROGATES if only is None else [only]:
        first, second = _figures(name)
        covered.append(first)
        ranked.append(second)
    return [*covered, *ranked]


def _figures(name: str) -> tuple[Figure, Figure]:
    rows, y, systems, about = _data(surrogate_class(name).takes)
    train, test = whole_systems(systems, *ROWS[rows.kind], seed=0)
    options = {"seed": 0} | OPTIONS.get(name, {})
    surrogate = make_surrogate(name, **options)
    start, work = time.perf_counter(), time.process_time()
    surrogate.fit(rows.take(train), y[train], systems[train])
    spent = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - work}
    prediction = surrogate.predict(rows.take(test))
    lower, upper = prediction.interval(90)
    error = np.abs(prediction.mean - y[test])
    held_out = surrogate.calibration.as_dict()["spearman_error"]
    bounds = {} if name in REPORTED else {"at_least": LOWEST, "at_most": HIGHEST}
    common: dict[str, Any] = {
        "model": f"{name}, {about}",
        "n_threads": options.get("n_threads", 1),
        "options": options,
        **spent,
    }
    inside = Figure(
        task="chemical systems left out: share of the targets within the 90 % intervals",
        score=float(((y[test] >= lower) & (y[test] <= upper)).mean()),
        note=f"MAE {error.mean():.3f} eV/atom, {len(train)} rows to learn from, {len(test)} tested",
        **bounds,
        **common,
    )
    rank = Figure(
        task="chemical systems left out: Spearman correlation of error and predicted std",
        score=spearman(error, prediction.std),
        note="" if held_out is None else f"{held_out:.3f} on the rows held out of training",
        at_least=None if name in REPORTED else LEAST_RANK,
        **common,
    )
    print(inside.line(), rank.line(), sep="\n", flush=True)
    return inside, rank


def _data(kind: str) -> tuple[Inputs, np.ndarray, np.ndarray, str]:
    """Rows of a kind, their targets in eV/atom, their chemical systems, and what they are."""
    if kind == "crystals":
        data, table = perovskites()
        return as_inputs("crystals", table), data.target, systems_of(data.formulas), "castelli, cubic prototypes"
    data = read_critexam("Ef", "train")
    systems = systems_of(data.formulas)
    # the same rows for all surrogates, and no more than these are featurized
    chosen = np.sort(np.concatenate(whole_systems(systems, *ROWS[kind], seed=0)))
    data, systems = data.take(chosen), systems[chosen]
    if kind == "compositions":
        return as_inputs("compositions", data.formulas), data.target, systems, "critexam Ef"
    return features(data.formulas, SETS), data.target, systems, "critexam Ef"
