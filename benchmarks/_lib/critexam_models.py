"""Formation energies of 72,261 compounds from their compositions, and the stability labels that follow from them.

Bartel et al., npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y. The train part teaches; the validation
part is predicted once. Beside what a composition says by itself there are columns that look at the train part, for each
of its compounds without that compound: the hull about it (`hull_surroundings`), and kriging from the nearest compounds
(`local_kriging`), of the energy and of its height above that hull.
"""

from __future__ import annotations

import csv
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _lib.figures import Clock, Figure
from _lib.learning_data import Columns, features, mae, read_critexam
from threadpoolctl import threadpool_limits

from matscout.models import make_surrogate
from matscout.models.inputs import FeatureInputs
from matscout.models.local_kriging import LocalKriging
from matscout.models.report.stability import stability_scores
from matscout.workflows.stability import Hull
from matscout.workflows.stability.surroundings import hull_surroundings

KEPT = Path(__file__).resolve().parents[1] / "data"
NETWORK_SCORES = KEPT / "composition_network.json"
NETWORK_PREDICTIONS = KEPT / "composition_network_val.csv.gz"

SETS = ("ordered_elements", "charge_balance", "fractions", "stoichiometry")
COLUMNS = "elements in order, charges, fractions, norms; hull and kriging of the train part"
TREES: dict[str, Any] = {
    "row_weights": "equal",
    "n_members": 4,
    "n_trees": 300,
    "learning_rate": 0.06,
    "max_depth": 9,
    "min_child_weight": 3.0,
    "row_fraction": 0.8,
    "column_fraction": 0.25,
    "missing": "native",
    "n_threads": 2,
    "seed": 0,
}
PUBLISHED_MAE = {"Roost": 0.0547, "CrabNet": 0.0593, "ElemNet": 0.0706, "xgboost untuned": 0.080, "forest": 0.0997}
PUBLISHED_F1 = {"Roost (test part)": 0.721, "xgboost untuned": 0.688, "forest (test part)": 0.567}
SUBSET: int | None = None
"""Rows of each part in a trial; None for all."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The two parts with their columns.

    Attributes
    ----------
    train, val
        Formation energies in eV/atom.
    learnt, asked
        Columns of either part.
    train_hull, val_hull
        Energy of the train part's hull at each compound of either part, without that compound, in eV/atom.
    clock
        What the columns of the train part cost.
    """

    train: Columns
    val: Columns
    learnt: FeatureInputs
    asked: FeatureInputs
    train_hull: np.ndarray
    val_hull: np.ndarray
    clock: Clock


@cache
def parts() -> Parts:
    """Read both parts, and make their columns."""
    train, val = (read_critexam("Ef", name) for name in ("train", "val"))
    if SUBSET is not None:
        train, val = (part.take(np.arange(SUBSET)) for part in (train, val))
    clock = Clock()
    with clock:
        own = features(train.formulas, SETS, single=True)
        hull = Hull(train.formulas, train.target, formation_energies=True)
        around = hull_surroundings(hull, train.formulas).values
    train_hull = around[:, 0]
    with clock:
        kriged = _kriged(train.formulas, [train.target, train.target - train_hull])
    around_val = hull_surroundings(hull, val.formulas).values
    learnt = [own.values, around, *(columns for _, columns in kriged)]
    unseen = features(val.formulas, SETS, single=True, columns=own.names).values
    asked = [unseen, around_val, *(kriging.features(val.formulas).values for kriging, _ in kriged)]
    return Parts(train, val, _joined(learnt), _joined(asked), train_hull, around_val[:, 0], clock)


def _kriged(formulas: list[str], targets: list[np.ndarray]) -> list[tuple[LocalKriging, np.ndarray]]:
    """Krige targets, each in a thread of its own; and columns of the training rows, each without itself."""

    def fit(y: np.ndarray) -> tuple[LocalKriging, np.ndarray]:
        kriging = LocalKriging(seed=0).fit(formulas, y)
        return kriging, kriging.features_of_training().values

    with threadpool_limits(1), ThreadPoolExecutor(len(targets)) as threads:
        return list(threads.map(fit, targets))


def _joined(columns: list[np.ndarray]) -> FeatureInputs:
    """Put columns beside each other, in single precision, which is all that trees see."""
    return FeatureInputs(np.hstack([np.asarray(part, dtype=np.float32) for part in columns]))


@cache
def trees(target: str) -> tuple[np.ndarray, Clock]:
    """Predict formation energies of the validation part, in eV/atom, and measure the fit.

    Parameters
    ----------
    target
        What the trees learn: ``energy``, or its ``height`` above the hull of the train part without the compound, which
        is then added to that hull.
    """
    given = parts()
    y = given.train.target - (given.train_hull if target == "height" else 0.0)
    clock = Clock()
    with clock:
        surrogate = make_surrogate("xgboost", **TREES).surrogate.fit(given.learnt, y)
    return surrogate.predict(given.asked).mean + (given.val_hull if target == "height" else 0.0), clock


def critexam() -> list[Figure]:
    """Score formation energies by trees."""
    given, (predicted, clock) = parts(), trees("energy")
    seconds = given.clock.seconds + clock.seconds
    busy = given.clock.processor_seconds + clock.processor_seconds
    n_columns = given.learnt.values.shape[1]
    return [
        Figure(
            task="critexam Ef: train to validation part, composition only, MAE in eV/atom",
            model=f"xgboost, {n_columns} columns",
            score=mae(given.val.target, predicted),
            at_most=0.074,
            published=PUBLISHED_MAE,
            **clock.spent(),
            n_threads=TREES["n_threads"],
            note=COLUMNS,
            options=TREES,
        ),
        Figure(
            task="critexam Ef: kriging and the fit on two cores, s",
            model="columns of the train part, and xgboost on them",
            score=seconds,
            at_most=180.0,
            note=f"{given.clock.seconds:.0f} s for the columns; {busy:.0f} s of a core in all",
        ),
    ]


def network() -> list[Figure]:
    """Score formation energies by the composition network, as `composition_network.py` kept them."""
    if not NETWORK_SCORES.is_file():
        print(f"skipped: no {NETWORK_SCORES.name}: run benchmarks/composition_network.py first, which takes hours")
        return []
    kept = json.loads(NETWORK_SCORES.read_text())
    last = kept["members"][-1]
    return [
        Figure(
            task="critexam Ef: train to validation part, composition network, MAE in eV/atom",
            model=f"composition_network, {len(kept['members'])} members",
            score=last["mae"],
            at_most=kept["to_reach"],
            published=kept["published_test"],
            seconds=float(sum(one["wall_s"] for one in kept["members"])),
            processor_seconds=float(sum(one["processor_s"] for one in kept["members"])),
            n_threads=kept["options"]["n_threads"],
            note=f"trained by composition_network.py on {kept['machine']}",
            options=kept["options"],
        )
    ]


def stability() -> list[Figure]:
    """Score which compounds of the validation part are called stable, by predicted energies, at a threshold of 0."""
    given = parts()
    labels = {
        "labels of the hull of both parts": _distances(given, given.val.target),
        "published labels, of all 85,014": read_critexam("Ed", "val").target[: len(given.val)],
    }
    predicted = {name: (_distances(given, energy), wanted, note) for name, energy, wanted, note in _energies(given)}
    height = trees("height")[0] - given.val_hull
    direct = "predicted distance to the hull of the train part"
    predicted["xgboost that learnt the distance to the hull"] = (height, 0.73, direct)
    figures = []
    for labelled, distance in labels.items():
        task = f"stability of the validation part, F1 at 0 eV/atom, {labelled}"
        for model, (ours, wanted, note) in predicted.items():
            scores = stability_scores(distance, ours)
            parts_of_it = f"precision {scores.hard.precision:.3f}, recall {scores.hard.recall:.3f}"
            figures.append(
                Figure(
                    task=task,
                    model=model,
                    score=scores.hard.f1 or 0.0,
                    at_least=wanted if labelled.startswith("labels of the hull") else None,
                    published=PUBLISHED_F1,
                    note=f"{parts_of_it}, acceleration {scores.acceleration:.2f}; {note}",
                    options=TREES if model.startswith("xgboost") else {},
                )
            )
        figures.append(
            Figure(
                task=task,
                model="everything called stable",
                score=scores.f1_all_stable or 0.0,
                published=PUBLISHED_F1,
                note=f"{100 * scores.prevalence:.1f} % are stable",
            )
        )
    return figures


def _distances(given: Parts, energies: np.ndarray) -> np.ndarray:
    """Distance of each compound of the validation part to the hull of all others, in eV/atom.

    The train part has its true energies, the validation part has `energies`, all at once.
    """
    together = np.concatenate([given.train.target, energies])
    hull = Hull([*given.train.formulas, *given.val.formulas], together, formation_energies=True)
    return hull.decomposition_energy()[len(given.train) :]


def _energies(given: Parts) -> list[tuple[str, np.ndarray, float, str]]:
    """Predicted formation energies of the validation part: by whom, eV/atom, F1 to reach, note."""
    at_once = "energies of all predicted at once"
    found = [("xgboost that learnt the energy", trees("energy")[0], 0.70, at_once)]
    if NETWORK_PREDICTIONS.is_file():
        with gzip.open(NETWORK_PREDICTIONS, "rt", newline="") as file:
            mean = np.array([float(row["mean"]) for row in csv.DictReader(file)])
        found.append(("composition_network", mean[: len(given.val)], 0.73, f"{at_once}, kept"))
    else:
        print(f"without the network: no {NETWORK_PREDICTIONS.name}, run benchmarks/composition_network.py first")
    return found
