from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from matscout.errors import UserError
from matscout.models.explanation import feature_contributions
from matscout.models.explanation.contributions import Contributions, property_of, why_no_contributions
from matscout.models.registry import surrogate_class

OPTIONS = {"xgboost": {"n_members": 3, "n_trees": 30}, "ridge": {}, "adaboost_trees": {"n_rounds": 10}}


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 5)), columns=["a", "b", "c", "d", "e"])
    return X, (X["a"] + X["b"].abs()).to_numpy()


def trained(name, task="regression", **options):
    X, y = data()
    made = surrogate_class(name)(task=task, **OPTIONS.get(name, {"n_trees": 20}), **options)
    return made.fit(X, y if task == "regression" else (y > 0.5).astype(float))


@pytest.mark.parametrize("name", ["extra_trees", "random_forest", "ridge", "xgboost"])
def test_contributions_and_base_sum_to_the_prediction(name):
    surrogate, (X, _) = trained(name), data(40, seed=1)
    found = feature_contributions(surrogate, X)
    assert found.of == "prediction"
    assert found.names == tuple(X.columns)
    exact = 1e-5 if name == "xgboost" else 1e-12  # its members predict in single precision
    assert found.totals == pytest.approx(surrogate.predict(X).mean, abs=exact)
    assert {name for name, _ in found.top(2)} >= {"a"}


@pytest.mark.parametrize("name", ["extra_trees", "adaboost_trees"])
def test_probabilities_that_are_averages_are_sums_of_parts(name):
    surrogate, (X, _) = trained(name, "classification"), data(40, seed=1)
    found = feature_contributions(surrogate, X)
    assert found.of == "prediction"
    assert found.totals == pytest.approx(surrogate.predict(X).mean, abs=1e-12)


def test_boosted_probabilities_are_explained_by_their_log_odds():
    surrogate, (X, _) = trained("xgboost", "classification"), data(40, seed=1)
    found = feature_contributions(surrogate, X)
    assert found.of == "log odds"
    chance = surrogate.predict(X).mean
    # the mean of the members' log odds is not the log odds of their mean, but near to it
    assert found.totals == pytest.approx(np.log(chance / (1 - chance)), abs=0.3)
    ridge = feature_contributions(trained("ridge", "classification"), X)
    assert ridge.of == "log odds"


@pytest.mark.parametrize("name", ["extra_trees", "random_forest", "ridge", "xgboost"])
def test_without_rows_the_base_is_the_same(name):
    surrogate, (X, _) = trained(name), data(10, seed=1)
    nothing = feature_contributions(surrogate, X[:0])
    assert nothing.values.shape == (0, 5)
    assert nothing.base == pytest.approx(feature_contributions(surrogate, X).base, abs=1e-6)


def test_trees_that_test_no_feature_give_all_to_the_base():
    X, label = np.full((120, 2), 0.1), (np.random.default_rng(0).random(120) < 0.4).astype(float)
    surrogate = surrogate_class("xgboost")(task="classification").fit(X, label)
    found = feature_contributions(surrogate, X[:3])
    chance = surrogate.predict(X[:3]).mean
    assert not found.values.any()
    assert found.totals == pytest.approx(np.log(chance / (1 - chance)), abs=0.05)


def test_a_linear_model_gives_coefficient_times_distance_from_the_mean():
    X, _ = data()
    surrogate = surrogate_class("ridge")(strength=1e-9).fit(X, 3 * X["a"] - 2 * X["c"] + 1)
    found = feature_contributions(surrogate, X)
    expected = np.column_stack([3 * (X["a"] - X["a"].mean()), -2 * (X["c"] - X["c"].mean())])
    assert found.values[:, [0, 2]] == pytest.approx(expected, abs=1e-6)
    assert found.base == pytest.approx(3 * X["a"].mean() - 2 * X["c"].mean() + 1)


def test_the_base_of_trees_is_the_mean_of_their_training_targets():
    surrogate, (X, y) = trained("extra_trees"), data()
    assert feature_contributions(surrogate, X).base == pytest.approx(y.mean())


def test_threads_do_not_change_a_bit():
    X, _ = data(30, seed=1)
    one = feature_contributions(trained("random_forest"), X).values
    assert feature_contributions(trained("random_forest", n_threads=3), X).values.tobytes() == one.tobytes()


def test_unknown_features_count_as_the_surrogate_takes_them():
    X, y = data()
    X.iloc[::7, 1] = np.nan
    for name, missing in (("extra_trees", "median"), ("xgboost", "native")):
        surrogate = surrogate_class(name)(missing=missing, **OPTIONS.get(name, {"n_trees": 20})).fit(X, y)
        found = feature_contributions(surrogate, X)
        assert found.totals == pytest.approx(surrogate.predict(X).mean, abs=1e-5)


def test_columns_in_another_order_are_refused():
    X, _ = data()
    with pytest.raises(UserError, match="another order"):
        feature_contributions(trained("extra_trees"), X[["b", "a", "c", "d", "e"]])


@pytest.mark.parametrize(("name", "reason"), [("adaboost_trees", "weighted median"), ("dummy", "one value")])
def test_what_is_no_sum_of_parts_is_told(name, reason):
    X, y = data()
    surrogate = surrogate_class(name)().fit(X, y)
    with pytest.raises(UserError, match=reason):
        feature_contributions(surrogate, X)


def test_a_gaussian_process_is_pointed_to_permutation():
    process = SimpleNamespace(name="gaussian_process", takes="features", task="regression")
    assert "take permutation" in why_no_contributions(process)


MAGPIE = ("MagpieData mean Number", "MagpieData range Number", "MagpieData mean Row", "volume")


def some(names=MAGPIE):
    return Contributions(np.array([[1.0, 2.0, -4.0, 0.5], [-1.0, 0.0, 2.0, 0.5]]), 10.0, names)


def test_what_belongs_together_is_summed():
    found = some().grouped("property")
    assert found.names == ("Number", "Row", "volume")
    assert found.values.tolist() == [[3, -4, 0.5], [-1, 2, 0.5]]
    assert found.totals.tolist() == some().totals.tolist()
    assert some().grouped(["x", "y", "x", "y"]).values.tolist() == [[-3, 2.5], [1, 0.5]]
    assert some().grouped({"volume": "size"}).names[-1] == "size"


def test_the_most_important_come_first():
    assert some().top(2) == [("MagpieData mean Row", 3.0), ("MagpieData mean Number", 1.0)]
    summary = some().as_dict(1)
    assert summary["top"] == [{"name": "MagpieData mean Row", "mean_absolute": 3.0, "trend": None}]
    assert some().frame()["volume"].tolist() == [0.5, 0.5]


def test_the_trend_says_what_a_larger_feature_does():
    X, _ = data(60)
    surrogate = surrogate_class("ridge")().fit(X, X["a"] - X["b"])
    trends = {part["name"]: part["trend"] for part in feature_contributions(surrogate, X).as_dict()["top"][:2]}
    assert trends == {"a": pytest.approx(1.0), "b": pytest.approx(-1.0)}


def test_labels_must_fit():
    with pytest.raises(UserError, match="a label for each of 4 columns, got 1"):
        some().grouped(["x"])
    with pytest.raises(UserError, match="properties"):
        some().grouped("properties")


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("MagpieData avg_dev MeltingT", "MeltingT"),
        ("maximum period", "period"),
        ("role2.electronegativity", "electronegativity"),
        ("role1-role2.electronegativity", "electronegativity"),
        ("volume", "volume"),
    ],
)
def test_names_of_columns_tell_their_property(name, of):
    assert property_of(name) == of
