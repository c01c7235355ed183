from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from matscout.models.explanation.contributions import trees_of
from matscout.models.explanation.tree_shap import Tree
from matscout.models.tree_arrays import TreeArrays


def known_only(tree, row, known, node=0):
    """Expected prediction where only some features are known: Lundberg 2020, algorithm 1."""
    if tree.left[node] < 0:
        return tree.value[node]
    left, right = tree.left[node], tree.right[node]
    if tree.feature[node] in known:
        goes = left if row[tree.feature[node]] <= tree.threshold[node] else right
        return known_only(tree, row, known, goes)
    parts = [known_only(tree, row, known, child) * tree.cover[child] for child in (left, right)]
    return sum(parts) / tree.cover[node]


def shapley(tree, row):
    """By the definition: the mean rise over all orders in which features become known."""
    n = len(row)
    values = np.zeros(n)
    for feature in range(n):
        others = [other for other in range(n) if other != feature]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for known in combinations(others, size):
                rise = known_only(tree, row, {*known, feature}) - known_only(tree, row, set(known))
                values[feature] += weight * rise
    return values


def grown(model, X, y):
    model.fit(X.astype(np.float32), y)
    trees = [model.tree_] if hasattr(model, "tree_") else [one.tree_ for one in model.estimators_]
    return trees_of(TreeArrays.of_trees(trees))


@given(seed=st.integers(0, 10**6), n_features=st.integers(1, 5), rows=st.integers(2, 40), levels=st.integers(1, 6))
@settings(max_examples=30)
def test_small_trees_agree_with_the_definition(seed, n_features, rows, levels):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, levels + 1, (rows, n_features)).astype(np.float32)  # few values: features are tested repeatedly
    y = rng.normal(size=rows)
    trees = grown(ExtraTreesRegressor(2, random_state=seed, bootstrap=True), X, y)
    asked = rng.integers(-1, levels + 2, (3, n_features)).astype(np.float32)
    for tree in trees:
        expected = [shapley(tree, row) for row in asked]
        assert tree.contributions(asked) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("forest", [ExtraTreesRegressor, RandomForestRegressor])
def test_deep_trees_sum_to_the_prediction_to_the_last_digits(forest):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 40)).astype(np.float32)
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.1 * rng.normal(size=1500)
    model = forest(3, max_features=0.3, random_state=0).fit(X, y)
    trees = trees_of(TreeArrays.of_trees([one.tree_ for one in model.estimators_]))
    asked = rng.normal(size=(20, 40)).astype(np.float32)
    sums = np.mean([tree.mean + tree.contributions(asked).sum(axis=1) for tree in trees], axis=0)
    assert sums == pytest.approx(model.predict(asked), abs=1e-12)


def test_agrees_with_xgboost_on_its_own_kind_of_tree():
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    y = X[:, 0] * X[:, 1] + np.abs(X[:, 2])
    booster = xgboost.train({"max_depth": 4, "nthread": 1, "base_score": 0.0}, xgboost.DMatrix(X, y), 1)
    frame = booster.trees_to_dataframe()
    number = {name: row for row, name in enumerate(frame["ID"])}
    leaf = (frame["Feature"] == "Leaf").to_numpy()
    children = {side: np.array([number.get(name, -1) for name in frame[side]]) for side in ("Yes", "No")}
    tree = Tree(
        left=children["Yes"],
        right=children["No"],
        feature=np.array([-1 if name == "Leaf" else int(name[1:]) for name in frame["Feature"]]),
        threshold=np.nextafter(frame["Split"].to_numpy(np.float32), np.float32(-np.inf)).astype(
            float
        ),  # it splits by <
        value=np.where(leaf, frame["Gain"], 0.0),
        cover=frame["Cover"].to_numpy(float),
    )
    theirs = booster.predict(xgboost.DMatrix(X), pred_contribs=True)
    assert tree.contributions(X) == pytest.approx(theirs[:, :-1], abs=1e-5)
    assert tree.mean == pytest.approx(theirs[0, -1], abs=1e-5)


def test_a_feature_that_is_not_tested_gives_nothing():
    X = np.column_stack([np.arange(20.0), np.zeros(20)])
    [tree] = grown(DecisionTreeRegressor(), X, X[:, 0] ** 2)
    assert (tree.contributions(X)[:, 1] == 0).all()


def test_a_value_on_the_threshold_goes_left():
    tree = Tree(
        *(np.array(column) for column in ([1, -1, -1], [2, -1, -1], [0, -1, -1], [0.5, 0, 0])),
        value=np.array([0.0, 1.0, 3.0]),
        cover=np.array([4.0, 3.0, 1.0]),
    )
    assert tree.mean == 1.5
    assert tree.contributions(np.array([[0.5], [0.75]])).ravel().tolist() == pytest.approx([-0.5, 1.5])


def test_a_single_leaf_has_no_contributions():
    tree = Tree(*(np.array([-1]) for _ in range(3)), *(np.array([one]) for one in (0.0, 2.0, 5.0)))
    assert tree.mean == 2.0
    assert tree.contributions(np.ones((3, 2))).tolist() == [[0, 0]] * 3
    assert tree.contributions(np.ones((0, 2))).shape == (0, 2)


def test_rows_do_not_depend_on_those_beside_them(monkeypatch):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 6)).astype(np.float32)
    [tree] = grown(DecisionTreeRegressor(random_state=0), X, X[:, 0] * X[:, 1])
    together = tree.contributions(X)
    monkeypatch.setattr("matscout.models.explanation.tree_shap.BLOCK", 1)
    assert tree.contributions(X) == pytest.approx(together, abs=1e-13)


def test_a_node_without_training_rows_is_refused():
    with pytest.raises(ValueError, match="node 1"):
        Tree(
            *(np.array(column) for column in ([1, -1, -1], [2, -1, -1], [0, -1, -1], [0.5, 0, 0])),
            value=np.zeros(3),
            cover=np.array([4.0, 0.0, 4.0]),
        )
