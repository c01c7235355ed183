"""What surrogates cost: to predict a whole space, and in each round of a campaign."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from _lib.figures import Clock, Figure, in_seconds, peak_memory
from _lib.learning_data import features, read_critexam, systems_of
from _lib.perovskite_models import perovskites
from _lib.spaces import main_group

from matscout.featurizers import iterate_features
from matscout.models import SURROGATES, make_surrogate
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.registry import surrogate_class
from matscout.workflows.enumeration import iterate_candidates

if TYPE_CHECKING:
    from matscout.models import CalibratedSurrogate
    from matscout.models.inputs import Inputs

MOST_SECONDS = 90.0
MOST_MEGABYTES = 2000.0
N_KNOWN = 500  # compounds that the ensemble learns from, as a campaign has them
N_ROUND = 100
N_COLUMNS = 150
ELEMENTS: list[str] | None = None
"""Elements of a trial; None for the 39 that make 987,012 elpasolites."""


def candidates() -> list[Figure]:
    """Mean and std for 987,012 elpasolites, enumerated, featurized and predicted part by part."""
    known = read_critexam("Ef", "train").take(np.random.default_rng(0).permutation(50_000)[:N_KNOWN])
    learnt = features(known.formulas, ("magpie",))
    surrogate = make_surrogate("xgboost", n_threads=2, seed=0)
    with Clock() as fit:
        surrogate.fit(learnt, known.target, systems_of(known.formulas))
    before = peak_memory()
    start = time.perf_counter()
    n_rows, whole, bare = _predict_all(surrogate, learnt)
    seconds = time.perf_counter() - start
    task = f"{n_rows:,} elpasolites by the default xgboost ensemble"
    common: dict[str, Any] = {"n_threads": 2, "options": surrogate.surrogate.options()}
    width = f"{learnt.values.shape[1]} columns of magpie"
    return [
        Figure(
            task=f"{task}: prediction, s",
            model="mean, calibrated std, distance to the data",
            score=whole.seconds,
            at_most=MOST_SECONDS,
            note=f"{in_seconds(whole.processor_seconds)} of a core; {in_seconds(seconds)} with enumeration and {width}",
            **common,
            **fit.spent(),
        ),
        Figure(
            task=f"{task}: prediction, s",
            model="mean and std alone",
            score=bare.seconds,
            at_most=MOST_SECONDS,
            note=f"{in_seconds(bare.processor_seconds)} of a core",
        ),
        Figure(
            task=f"{task}: peak memory, MB",
            model="the whole process",
            score=peak_memory(),
            at_most=MOST_MEGABYTES,
            note=f"{before:.0f} MB before the candidates",
        ),
    ]


def _predict_all(surrogate: CalibratedSurrogate, learnt: FeatureInputs) -> tuple[int, Clock, Clock]:
    """Predict the space twice: with calibration, and by the model alone; the features are not counted."""
    whole, bare = Clock(), Clock()
    n_rows = 0
    columns: list[int] = []
    for part in iterate_features(iterate_candidates("elpasolite", ELEMENTS or main_group()), ["magpie"]):
        columns = columns or [part.names.index(name) for name in learnt.names or ()]
        rows = FeatureInputs(part.values[:, columns], learnt.names)
        with whole:
            prediction = surrogate.predict(rows)
        with bare:
            surrogate.surrogate.predict(rows)
        if not (np.isfinite(prediction.mean).all() and (prediction.std > 0).all()):
            raise ValueError(f"a mean is not finite, or a std not above 0, behind row {n_rows}")
        n_rows += len(rows)
    return n_rows, whole, bare


def surrogates(only: str | None = None) -> list[Figure]:
    """Time what a campaign pays each round: fit and calibration of 100 rows, with each surrogate's own options."""
    figures = []
    for name in SURROGATES if only is None else [only]:
        rows, y, groups, about = _round(surrogate_class(name).takes)
        surrogate = make_surrogate(name, seed=0)
        start, work = time.perf_counter(), time.process_time()
        surrogate.fit(rows, y, groups)
        seconds, busy = time.perf_counter() - start, time.process_time() - work
        figures.append(
            Figure(
                task=f"fit and calibration of {N_ROUND} rows, s",
                model=f"{name}, {about}",
                score=seconds,
                note=f"{in_seconds(busy)} of a core",
                options=surrogate.surrogate.options(),
            )
        )
        print(figures[-1].line(), flush=True)
    return figures


def _round(kind: str) -> tuple[Inputs, np.ndarray, np.ndarray, str]:
    """Rows of a kind, target, chemical systems, and what they are."""
    if kind == "crystals":
        data, table = perovskites()
        some = np.sort(np.random.default_rng(0).permutation(len(data))[:N_ROUND])
        systems = systems_of(data.take(some).formulas)
        return as_inputs("crystals", table.take(some)), data.target[some], systems, "cells of 5 atoms"
    data = read_critexam("Ef", "train")
    data = data.take(np.sort(np.random.default_rng(0).permutation(len(data))[:N_ROUND]))
    systems = systems_of(data.formulas)
    if kind == "compositions":
        return as_inputs("compositions", data.formulas), data.target, systems, "compositions"
    X = features(data.formulas, ("magpie", "fractions", "stoichiometry", "valence_orbital"))
    return FeatureInputs(X.values[:, :N_COLUMNS]), data.target, systems, f"{min(N_COLUMNS, X.values.shape[1])} columns"
