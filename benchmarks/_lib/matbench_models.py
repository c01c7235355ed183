"""Tasks of Matbench on their official folds, from compositions alone.

Dunn et al., npj Comput. Mater. 6, 138 (2020), doi:10.1038/s41524-020-00406-3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from _lib.figures import Clock, Figure
from _lib.learning_data import MATBENCH, features, mae, mean_over_folds, official_splits, read_columns

from matscout.models import make_surrogate
from matscout.models.report.scores import classification_scores
from matscout.models.validation import cross_validate, make_splits

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.models import Surrogate
    from matscout.models.validation import Validation

STEELS: dict[str, Any] = {"n_rounds": 100, "n_trees": 1, "column_fraction": 0.5, "loss": "linear", "seed": 0}
STEEL_CHOICES: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("adaboost_trees", STEELS, ("fractions",)),
    ("extra_trees", {"n_trees": 200, "seed": 0}, ("fractions",)),
    ("adaboost_trees", STEELS, ("fractions", "magpie")),
    ("extra_trees", {"n_trees": 200, "seed": 0}, ("fractions", "magpie")),
)
METALS: dict[str, Any] = {
    "task": "classification",
    "n_members": 4,
    "n_trees": 300,
    "learning_rate": 0.05,
    "max_depth": 8,
    "min_child_weight": 2.0,
    "row_fraction": 0.8,
    "column_fraction": 0.1,
    "missing": "native",
    "n_threads": 2,
    "seed": 0,
}
MODULI: dict[str, Any] = {
    "objective": "absolute_error",
    "row_weights": "equal",
    "n_members": 8,
    "n_trees": 550,
    "learning_rate": 0.06,
    "max_depth": 9,
    "min_child_weight": 3.0,
    "row_fraction": 0.8,
    "column_fraction": 0.15,
    "max_bin": 128,
    "missing": "native",
    "n_threads": 2,
    "seed": 0,
}
ALL_SETS = ("magpie", "fractions", "stoichiometry", "valence_orbital", "ionic", "period_group")
MODULI_SETS = ("magpie", "stoichiometry", "valence_orbital", "ionic")
SUBSET: int | None = None
"""Folds of a trial; None for all."""


def steels() -> list[Figure]:
    """Yield strength of 312 steels: one choice of model and columns, and the choice made anew within each fold."""
    y, validation, spent = _validated("steels", "adaboost_trees", STEELS, ("fractions",))
    common: dict[str, Any] = {
        "task": "steels: yield strength, official folds, MAE in MPa",
        "at_most": 82.0,
        "published": {"random forest": 103.5, "MODNet": 87.8, "best": 79.9},
    }
    nested, chosen = _nested_steels()
    return [
        Figure(
            model="adaboost_trees, fractions",
            score=mean_over_folds(mae, validation, y),
            options=STEELS,
            **common,
            **spent,
        ),
        Figure(model=f"best of {len(STEEL_CHOICES)} on each training part", score=nested, note=chosen, **common),
    ]


def _nested_steels() -> tuple[float, str]:
    """MAE in MPa where each fold takes the choice that was best in a cross-validation of its training part."""
    data = read_columns(MATBENCH / "steels.csv.gz")
    X = {sets: features(data.formulas, sets) for _, _, sets in STEEL_CHOICES}
    errors, names = [], []
    for split in official_splits("steels", len(data))[:SUBSET]:
        inner = make_splits("k-fold", len(split.train), folds=4, seed=1)
        found = []
        for name, options, sets in STEEL_CHOICES:
            rows, y = X[sets].take(split.train), data.target[split.train]
            validation = cross_validate(_maker(name, options), rows, y, inner)
            found.append(mae(y, validation.by_row().mean))
        name, options, sets = STEEL_CHOICES[int(np.argmin(found))]
        validation = cross_validate(_maker(name, options), X[sets], data.target, [split])
        errors.append(mae(data.target[split.test], validation.prediction.mean))
        names.append(f"{name} on {'+'.join(sets)}")
    return float(
        np.mean(errors)
    ), f"chosen: {', '.join(f'{names.count(one)} times {one}' for one in sorted(set(names)))}"


def _maker(name: str, options: dict[str, Any]) -> Callable[[], Surrogate]:
    """Return what makes a bare surrogate: calibration would cost more fits, and leave the mean as it is."""
    return lambda: make_surrogate(name, **options).surrogate


def metals() -> list[Figure]:
    """Metal or not, by experiment, of 4,921 compositions."""
    y, validation, spent = _validated("expt_is_metal", "xgboost", METALS, ALL_SETS)
    common: dict[str, Any] = {
        "task": "expt_is_metal: official folds, ROC-AUC",
        "published": {"random forest": 0.917, "best": 0.960},
        **spent,
        "n_threads": METALS["n_threads"],
        "options": METALS,
    }
    soft = mean_over_folds(lambda truth, p: classification_scores(truth, p).roc_auc or np.nan, validation, y)
    hard = mean_over_folds(lambda truth, p: classification_scores(truth, p).roc_auc_hard or np.nan, validation, y)
    return [
        Figure(model="xgboost, six sets, from probabilities", score=soft, at_least=0.975, **common),
        Figure(model="the same, from hard labels, as published", score=hard, **common),
    ]


def moduli() -> list[Figure]:
    """Bulk modulus of 10,987 compounds; several crystals of one composition are apart by chance alone."""
    y, validation, spent = _validated("log_kvrh", "xgboost", MODULI, MODULI_SETS)
    return [
        Figure(
            task="log_kvrh: official folds, composition only, MAE in log10 GPa",
            model="xgboost, absolute error, magpie and three sets",
            score=mean_over_folds(mae, validation, y),
            at_most=0.076,
            published={"random forest": 0.0820, "CrabNet": 0.0758},
            **spent,
            n_threads=MODULI["n_threads"],
            options=MODULI,
        )
    ]


def _validated(
    task: str, name: str, options: dict[str, Any], sets: tuple[str, ...]
) -> tuple[np.ndarray, Validation, dict[str, float]]:
    """Predict each fold by the bare surrogate, whose mean is what it is without the fits that a calibration takes.

    Returns
    -------
    Target, shape (n,); predictions; seconds that the fit of one fold takes.
    """
    data = read_columns(MATBENCH / f"{task}.csv.gz")
    splits = official_splits(task, len(data))[:SUBSET]
    X = features(data.formulas, sets, single=name == "xgboost")
    with Clock() as clock:
        validation = cross_validate(_maker(name, options), X, data.target, splits)
    work = clock.processor_seconds / len(splits)
    return data.target, validation, {"seconds": float(np.mean(validation.fit_seconds)), "processor_seconds": work}
