"""Stability of 3,787 perovskites as cubic prototypes at their predicted volumes, by which element sits where.

Castelli et al., Energy Environ. Sci. 5, 9034 (2012), doi:10.1039/C2EE22341D. The elements come from the formula: the
first is A, the second B, the others fill the three anion sites in their order, though 16 % of the relaxed cells are
distorted and many are none of these. Nothing relaxed is looked at.
"""

from __future__ import annotations

import csv
import gzip
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from _lib.figures import Figure
from _lib.learning_data import PEROVSKITES, Columns, features

from matscout.crystals.volume import predict_volumes
from matscout.db._elements import atomic_numbers
from matscout.db.candidates import CandidateTable
from matscout.db.prototypes import Prototype
from matscout.models import make_surrogate
from matscout.models.report.scores import regression_scores
from matscout.models.validation import cross_validate, learning_curve, make_splits
from matscout.workflows.enumeration import get_prototype

if TYPE_CHECKING:
    from matscout.models.inputs import FeatureInputs

ROLES = ("A", "B", "X1", "X2", "X3")
MODELS: dict[str, dict[str, Any]] = {
    "gaussian_process": {"exact_rows": 4000, "missing": "median", "n_threads": 2, "seed": 0},
    "xgboost": {
        "n_members": 4,
        "n_trees": 600,
        "learning_rate": 0.05,
        "max_depth": 6,
        "min_child_weight": 2.0,
        "row_fraction": 0.8,
        "column_fraction": 0.25,
        "missing": "native",
        "n_threads": 2,
        "seed": 0,
    },
    "dummy": {"missing": "median"},
}
SIZES = (190, 380, 760, 1515, 3030)
REPEATS = 3
SUBSET: int | None = None
"""Rows of a trial; None for all."""


@cache
def perovskites() -> tuple[Columns, CandidateTable]:
    """Formulas, `heat_all` in eV/atom, and candidates."""
    with gzip.open(PEROVSKITES, "rt", newline="") as file:
        rows = list(csv.DictReader(file))[:SUBSET]
    data = Columns([row["formula"] for row in rows], np.array([float(row["heat_all"]) for row in rows]))
    cubic = get_prototype("cubic-perovskite")
    order = np.argsort(cubic.role_of_site, kind="stable")
    prototype = Prototype("five-sites", "", ROLES, cubic.lattice, cubic.frac_coords[order], np.arange(len(ROLES)))
    decoration = np.array([_sites(formula) for formula in data.formulas], dtype=np.uint8)
    volumes = predict_volumes(prototype, decoration)
    return data, CandidateTable([prototype], np.zeros(len(rows), dtype=np.int32), decoration, volumes)


def _sites(formula: str) -> list[int]:
    """Atomic numbers of A, B and the three anions."""
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    numbers = [atomic_numbers()[symbol] for symbol, count in parts for _ in range(int(count or 1))]
    if len(numbers) != len(ROLES):
        raise ValueError(f"{formula} has not {len(ROLES)} atoms")
    return numbers


def site_features() -> FeatureInputs:
    """Properties of the element on each site, and of pairs of sites; those that change."""
    return features(perovskites()[1], ("sites",))


def five_folds() -> list[Figure]:
    """Five folds at random, and the learning curve of the best."""
    data, X = perovskites()[0], site_features()
    splits = make_splits("k-fold", len(data), seed=0)
    task = "castelli perovskites: heat_all, five folds, cubic prototypes, MAE in eV/atom"
    figures = []
    for name, options in MODELS.items():
        validation = cross_validate(lambda: make_surrogate(name, **options).surrogate, X, data.target, splits)  # noqa: B023 -- called at once
        scores = regression_scores(data.target, validation.by_row().mean)
        figures.append(
            Figure(
                task=task,
                model=f"{name}, {X.values.shape[1]} columns of the sites" if name != "dummy" else name,
                score=scores.mae or 0.0,
                seconds=float(np.mean(validation.fit_seconds)),
                n_threads=options.get("n_threads", 1),
                note=f"RMSE {scores.rmse:.3f}, R2 {scores.r2:.3f}",
                options=options,
            )
        )
    best = min(figures, key=lambda one: one.score)
    return [*figures, *_curve(best.model.partition(",")[0], X, data.target)]


def _curve(name: str, X: FeatureInputs, y: np.ndarray) -> list[Figure]:
    """Learning curve: errors on a fifth of the rows that stay the same."""
    options = MODELS[name]
    most = int(0.8 * len(y))
    sizes = [size for size in SIZES if size < most] or [most // 2]
    curve = learning_curve(
        lambda: make_surrogate(name, **options).surrogate, X, y, sizes=sizes, repeats=REPEATS, test_part=0.2, seed=0
    )
    law = curve.power_law
    saturation = "" if curve.saturating is None else f", or {_law(curve.saturating)}"
    falls = "still falls" if curve.still_falls else "may have ceased to fall"
    figures = []
    for size, error, spread, seconds in zip(curve.sizes, curve.mae, curve.std, curve.fit_seconds, strict=True):
        last = size == curve.sizes[-1]
        figures.append(
            Figure(
                task=f"castelli perovskites: learning curve, MAE on the same {curve.n_test} rows in eV/atom",
                model=f"{name}, {size} rows",
                score=error,
                seconds=seconds,
                n_threads=options["n_threads"],
                note=("all rows" if spread is None else f"+- {spread:.3f} over {curve.repeats} subsets")
                + (f"; {_law(law)}{saturation}; {falls}" if last else ""),
            )
        )
    return figures


def _law(law: Any) -> str:
    rest = f" + {law.c:.3g}" if law.c else ""
    return f"{law.a:.3g} n^-{law.b:.2f}{rest}"
