from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models.boosted_forest import AdaBoostTrees, _weighted_median


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    return X, X[:, 0] + np.abs(X[:, 1]) + 0.2 * rng.normal(size=n)


def ada(**options):
    """Ours, with the options that scikit-learn's is made with below where none are given."""
    return AdaBoostTrees(**{"column_fraction": 0.33, "loss": "linear"} | options)


def theirs(n_trees, **options):
    from sklearn.ensemble import AdaBoostRegressor, ExtraTreesRegressor

    trees = ExtraTreesRegressor(n_trees, max_features=0.33)
    return AdaBoostRegressor(trees, n_estimators=12, random_state=5, **options)


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
@pytest.mark.parametrize("n_trees", [1, 3])
def test_the_mean_is_scikit_learns(loss, n_trees):
    X, y = data()
    unseen, _ = data(40, seed=1)
    expected = theirs(n_trees, loss=loss, learning_rate=0.7).fit(X.astype(np.float32), y).predict(unseen)
    ours = ada(n_rounds=12, n_trees=n_trees, loss=loss, learning_rate=0.7, seed=5).fit(X, y)
    np.testing.assert_allclose(ours.predict(unseen).mean, expected, rtol=1e-12)


def test_the_std_is_the_weighted_deviation_of_the_rounds_from_their_median():
    X, y = data()
    model = theirs(2).fit(X.astype(np.float32), y)
    rounds = np.array([one.predict(X) for one in model.estimators_])
    weights = model.estimator_weights_[: len(rounds), None]
    expected = np.sqrt((weights * (rounds - model.predict(X)) ** 2).sum(axis=0) / weights.sum())
    prediction = ada(n_rounds=12, n_trees=2, seed=5).fit(X, y).predict(X)
    np.testing.assert_allclose(prediction.std, expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 9)), min_size=1, max_size=9))
def test_a_weighted_median_is_the_median_of_values_repeated_by_weight(pairs):
    values, weights = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    repeated = np.sort(np.repeat(values, weights.astype(int)))
    lower = repeated[(len(repeated) - 1) // 2]
    assert _weighted_median(values[:, None], weights).tolist() == [lower]


def test_a_perfect_first_round_ends_boosting():
    X = np.repeat(np.eye(4), 30, axis=0)
    y = X @ np.arange(4.0)
    surrogate = ada(n_rounds=20).fit(X, y)
    assert len(surrogate._weights) == 1
    prediction = surrogate.predict(X)
    np.testing.assert_allclose(prediction.mean, y, atol=1e-12)
    assert (prediction.std == 0).all()


def test_a_first_round_no_better_than_chance_stays():
    # with leaves of half the rows one tree errs by half of its largest error, and boosting stops at once
    X, y = np.arange(8.0)[:, None], np.array([0, 1.0] * 4)
    surrogate = ada(n_rounds=5, n_trees=1, min_leaf=4).fit(X, y)
    assert surrogate._weights.tolist() == [1.0]
    prediction = surrogate.predict(X)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std == 0).all()


def test_a_probability_is_the_weighted_mean_of_the_rounds():
    X, y = data()
    model = theirs(3).fit(X.astype(np.float32), (y > 1) * 1.0)
    rounds = np.array([one.predict(X) for one in model.estimators_])
    expected = np.average(rounds, axis=0, weights=model.estimator_weights_[: len(rounds)])
    ours = ada(n_rounds=12, n_trees=3, seed=5, task="classification").fit(X, y > 1)
    np.testing.assert_allclose(ours.predict(X).mean, expected, rtol=1e-9, atol=1e-12)


def test_threads_do_not_change_a_bit():
    X, y = data()
    one, two = (ada(n_rounds=6, n_threads=n).fit(X, y).predict(X) for n in (1, 2))
    assert (one.mean == two.mean).all()
    assert (one.std == two.std).all()


def test_a_misspelt_loss_is_answered_with_the_nearest():
    with pytest.raises(
        UserError, match=r"option loss must be one of linear, square, exponential, got 'liner'\. Did you"
    ):
        ada(loss="liner")
