"""Contributions of features to a forest's predictions, beside XGBoost's TreeSHAP on the same trees; and a law.

    python benchmarks/explanation.py

XGBoost's is the implementation of TreeSHAP in C++ that is at hand: the forest is brought into its format and asked
for `pred_contribs`, one thread each. It sums in single precision; how far its sums are from the predictions it should
explain is printed beside the time.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.featurizers import CompositionFeaturizer
from matscout.models.explanation import SparseFormula, feature_contributions
from matscout.models.explanation.contributions import trees_of
from matscout.models.forests import ExtraTrees, RandomForest

if TYPE_CHECKING:
    from matscout.models.explanation.tree_shap import Tree

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
N_TREES = 100
N_EXPLAINED = 50
LARGEST_MISS = 1e-9  # of ours, in the unit of the target
SLOWEST = 1.0  # ours by theirs


def read(task: str, n: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features, targets and names of features of the first rows of a task of Matbench."""
    with gzip.open(DATA / "matbench" / f"{task}.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))[:n]
    featurizer = CompositionFeaturizer("magpie")
    values = np.asarray(featurizer.transform([row["formula"] for row in rows]))
    return values, np.array([float(row["target"]) for row in rows]), featurizer.feature_names


def as_booster(trees: list[Tree], n_features: int) -> Any:
    """Bring trees into XGBoost, whose children are neighbours and whose rows go left below the threshold."""
    import xgboost

    start = {"base_score": 0.0, "max_depth": 1, "nthread": 1}
    rows = np.random.default_rng(0).normal(size=(4, n_features))
    booster = xgboost.train(start, xgboost.DMatrix(rows, rows[:, 0], nthread=1), 1)
    document = json.loads(booster.save_raw("json"))
    model = document["learner"]["gradient_booster"]["model"]
    model["trees"] = [as_xgboost(tree, number, n_features, 1 / len(trees)) for number, tree in enumerate(trees)]
    model["tree_info"] = [0] * len(trees)
    model["iteration_indptr"] = list(range(len(trees) + 1))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(document).encode()))
    return booster


def as_xgboost(tree: Tree, number: int, n_features: int, weight: float) -> dict[str, Any]:
    """One tree in XGBoost's JSON form."""
    order = [0]
    for node in order:
        if tree.left[node] >= 0:
            order += [int(tree.left[node]), int(tree.right[node])]
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    leaf = tree.left[order] < 0
    left, right = (np.where(leaf, -1, rank[side[order]]) for side in (tree.left, tree.right))
    parents = np.full(len(order), 2**31 - 1)
    parents[left[~leaf]] = parents[right[~leaf]] = np.flatnonzero(~leaf)
    # x <= t of single-precision x is x < the next such number after the last one not above t
    exact = tree.threshold[order]
    single = exact.astype(np.float32)
    single = np.where(single > exact, np.nextafter(single, np.float32(-np.inf)), single)
    split = np.where(leaf, weight * tree.value[order], np.nextafter(single, np.float32(np.inf)))
    zeros = [0] * len(order)
    return {
        "base_weights": (weight * tree.value[order]).tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": zeros,
        "id": number,
        "left_children": left.tolist(),
        "right_children": right.tolist(),
        "loss_changes": [0.0] * len(order),
        "parents": parents.tolist(),
        "split_conditions": split.tolist(),
        "split_indices": np.where(leaf, 0, tree.feature[order]).tolist(),
        "split_type": zeros,
        "sum_hessian": tree.cover[order].astype(float).tolist(),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(n_features),
            "num_nodes": str(len(order)),
            "size_leaf_vector": "1",
        },
    }


def forests() -> list[str]:
    """Time both on the same trees and rows."""
    import xgboost

    missed = []
    print(f"{N_TREES} trees, {N_EXPLAINED} rows, Magpie features, one thread; seconds of the processor")
    print("task      forest          rows   nodes    ours/row   theirs/row   times   ours misses   theirs misses")
    for task, n in (("steels", 312), ("log_kvrh", 1000), ("log_kvrh", 4000)):
        X, y, _ = read(task, n)
        asked = X[:: max(1, len(X) // N_EXPLAINED)][:N_EXPLAINED]
        for kind in (ExtraTrees, RandomForest):
            forest = kind(n_trees=N_TREES).fit(X, y)
            truth = forest.predict(asked).mean
            start = time.process_time()
            ours = feature_contributions(forest, asked)
            seconds = time.process_time() - start
            booster = as_booster(trees_of(forest.tree_arrays()), X.shape[1])
            data = xgboost.DMatrix(asked.astype(np.float32), nthread=1)
            start = time.process_time()
            theirs = booster.predict(data, pred_contribs=True)
            their_seconds = time.process_time() - start
            miss = float(np.abs(ours.totals - truth).max())
            their_miss = float(np.abs(theirs.sum(axis=1) - truth).max())
            times = their_seconds / seconds
            print(
                f"{task:9s} {kind.name:14s} {len(X):5d} {len(forest.tree_arrays().left):7d} "
                f"{1e3 * seconds / len(asked):8.1f} ms {1e3 * their_seconds / len(asked):9.1f} ms {times:7.1f} "
                f"{miss:13.1e} {their_miss:15.1e}",
                flush=True,
            )
            if miss > LARGEST_MISS * max(1.0, float(np.abs(truth).max())):
                missed.append(f"{task} {kind.name}: ours misses the prediction by {miss:.1e}")
            if 1 / times > SLOWEST:
                missed.append(f"{task} {kind.name}: slower than XGBoost's")
    return missed


def law() -> list[str]:
    """Time the search for a law, and print it."""
    X, y, names = read("log_kvrh", 1000)
    changing = np.ptp(X, axis=0) > 0
    start = time.process_time()
    found = SparseFormula.fit(X[:, changing], y, [name for name, k in zip(names, changing, strict=True) if k])
    seconds = time.process_time() - start
    print(f"law of log_kvrh, {len(X)} rows, {changing.sum()} features, {found.n_candidates} terms: {seconds:.1f} s")
    print(f"  {found.expression}")
    errors = ", ".join(f"{number}: {error:.4f}" for number, error in found.cross_validated.items())
    print(f"  cross-validated RMSE by number of terms {errors}; without a law {y.std():.4f}")
    return [] if min(found.cross_validated.values()) < y.std() else ["the law is no better than the mean"]


def main() -> int:
    """Print all figures; 1 where something is not as it should be."""
    if not (DATA / "matbench").is_dir():
        print(f"skipped: no {DATA / 'matbench'}; name the folder of data by MATSCOUT_DATA")
        return 0
    missed = forests() + law()
    for one in missed:
        print(f"MISSED {one}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
