"""Public data that surrogates learn from, and the official parts of it."""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers import featurize
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.training_data import chemical_systems
from matscout.models.validation import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matscout.db.candidates import CandidateTable
    from matscout.models.validation import Validation

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PEROVSKITES = DATA / "perovskites" / "castelli_perov5_val.csv.gz"
MATBENCH = DATA / "matbench"


@dataclass(frozen=True, eq=False)
class Columns:
    """Formulas with a target of shape (n,)."""

    formulas: list[str]
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.formulas)

    def take(self, rows: np.ndarray) -> Columns:
        """Return some of the rows."""
        return Columns([self.formulas[row] for row in rows], self.target[rows])


def read_columns(path: Path, target: str = "target") -> Columns:
    """Read formulas and one column."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return Columns([row["formula"] for row in rows], np.array([float(row[target]) for row in rows]))


def read_critexam(quantity: str, part: str) -> Columns:
    """Read a part, train or val, of the critical examination: Ef or Ed in eV/atom.

    Bartel et al., npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y.
    """
    return read_columns(DATA / "critexam" / f"{quantity}_{part}.csv.gz")


def official_splits(task: str, n: int) -> list[Split]:
    """Return the five folds of a task of Matbench with n rows."""
    with gzip.open(MATBENCH / "folds.json.gz", "rt") as file:
        folds = json.load(file)[task]["folds"]
    rows = np.arange(n)
    return [Split(np.setdiff1d(rows, folds[name]), np.sort(np.array(folds[name])), name) for name in sorted(folds)]


def mean_over_folds(score: Callable[[np.ndarray, np.ndarray], float], validation: Validation, y: np.ndarray) -> float:
    """Score each fold by itself, and take the mean, as Matbench does."""
    folds = [validation.split == fold for fold in range(len(validation.labels))]
    return float(np.mean([score(y[validation.rows[fold]], validation.prediction.mean[fold]) for fold in folds]))


def mae(y: np.ndarray, mean: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.abs(y - mean).mean())


def features(
    rows: Sequence[object] | CandidateTable,
    sets: Sequence[str],
    *,
    single: bool = False,
    columns: Sequence[str] | None = None,
) -> FeatureInputs:
    """Features of rows.

    Parameters
    ----------
    rows
        Formulas, structures or a table of candidates.
    sets
        Names of feature sets.
    single
        In single precision, which is all that trees see.
    columns
        Names of the columns wanted; None for all that are not the same in all rows.
    """
    matrix = featurize(rows, list(sets), strict=True)
    values = matrix.values.astype(np.float32) if single else matrix.values
    differ = ~(values == values[:1]).all(axis=0)
    wanted = [name for name, kept in zip(matrix.names, differ, strict=True) if kept] if columns is None else columns
    place = {name: column for column, name in enumerate(matrix.names)}
    return FeatureInputs(np.ascontiguousarray(values[:, [place[name] for name in wanted]]), tuple(wanted))


def systems_of(formulas: Sequence[str]) -> np.ndarray:
    """Chemical system of each formula, shape (n,)."""
    return chemical_systems(as_inputs("compositions", formulas))


def whole_systems(systems: np.ndarray, n_train: int, n_test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows to learn from, and rows of other chemical systems to test on.

    Returns
    -------
    Row numbers in ascending order: about `n_train` and `n_test` of them, each system as a whole.
    """
    names, number = np.unique(systems, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[number]
    order = np.argsort(place, kind="stable")
    sizes = np.cumsum(np.bincount(place))
    first = int(sizes[np.searchsorted(sizes, min(n_train, len(systems) - 1), side="right") - 1])
    last = int(sizes[np.searchsorted(sizes, min(first + n_test, len(systems)), side="right") - 1])
    return np.sort(order[:first]), np.sort(order[first:last])
