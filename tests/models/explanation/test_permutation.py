from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.inspection import permutation_importance as theirs
from sklearn.linear_model import LinearRegression

from matscout.errors import UserError
from matscout.models.explanation import correlated_columns, permutation_importance
from matscout.models.prediction import Prediction


class Linear:
    """A model that knows the coefficients."""

    def __init__(self, *coefficients):
        self.coefficients = np.array(coefficients)

    def predict(self, X):
        mean = X.values @ self.coefficients
        return Prediction(mean, np.ones(len(mean)))


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3))


def test_a_linear_model_loses_twice_the_variance_of_a_term():
    X = rows(20_000)
    found = permutation_importance(
        Linear(2, -1, 0), X, X @ [2, -1, 0], loss=lambda y, mean: float(((y - mean) ** 2).mean()), correlation=None
    )
    # E[(b x - b x')^2] = 2 b^2 var(x): Fisher, Rudin, Dominici 2019, section 8
    assert found.mean == pytest.approx([8, 2, 0], rel=0.05, abs=1e-12)
    assert found.baseline == 0
    assert found.loss == "<lambda>"


def test_agrees_with_scikit_learn():
    X = rows()
    y = X @ [2, -1, 0.5] + 0.3 * np.random.default_rng(1).normal(size=len(X))
    model = LinearRegression().fit(X, y)
    ours = permutation_importance(Linear(*model.coef_), X, y - model.intercept_, correlation=None, repeats=30, seed=2)
    reference = theirs(model, X, y, scoring="neg_mean_absolute_error", n_repeats=30, random_state=0)
    assert ours.mean == pytest.approx(reference.importances_mean, rel=0.03)
    assert ours.std == pytest.approx(reference.importances_std, rel=0.5)


def test_twins_are_dealt_together():
    X = rows()
    twins = np.column_stack([X[:, 0], X[:, 0] + 0.01 * X[:, 1], X[:, 2]])
    model, y = Linear(1, 1, 1), twins.sum(axis=1)
    found = permutation_importance(model, twins, y)
    assert found.names == (("feature 0", "feature 1"), ("feature 2",))
    alone = permutation_importance(model, twins, y, correlation=None)
    # one of the twins holds the other's place
    assert found.mean[0] > 1.8 * alone.mean[0]
    assert found.top(1)[0][0] == ("feature 0", "feature 1")


def test_a_group_s_result_does_not_depend_on_the_others_and_repeats():
    X = rows(50)
    y = X.sum(axis=1)
    both = permutation_importance(Linear(1, 1, 1), X, y, columns=[[0], [1, 2]], seed=4)
    again = permutation_importance(Linear(1, 1, 1), X, y, columns=[[1, 2]], seed=4)
    assert both.increases[1].tolist() == again.increases[0].tolist()
    assert (
        both.increases[1].tolist()
        != permutation_importance(Linear(1, 1, 1), X, y, columns=[[1, 2]], seed=5).increases[0].tolist()
    )


def test_a_constant_column_is_worth_nothing():
    X = rows(30)
    X[:, 1] = 7
    found = permutation_importance(Linear(1, 1, 1), X, X.sum(axis=1))
    assert found.increases[1].tolist() == [0] * 5


def test_features_are_left_as_they_were():
    X = rows(30)
    before = X.copy()
    permutation_importance(Linear(1, 1, 1), X, X.sum(axis=1))
    assert (before == X).all()


def test_probabilities_are_judged_by_their_likelihood():
    X = np.repeat([[0.1, 0.0, 0.0], [0.9, 0.0, 0.0]], 50, axis=0)
    found = permutation_importance(Linear(1, 0, 0), X, X[:, 0].round(), loss="log_loss")
    assert found.baseline == pytest.approx(-np.log(0.9))
    assert found.mean[0] > 0.5


@given(st.integers(0, 10**6))
def test_any_two_columns_of_a_group_correlate_and_each_column_is_in_one(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 8)) + 0.2 * rng.normal(size=(30, 8))
    groups = correlated_columns(X, 0.7)
    assert sorted(column for group in groups for column in group) == list(range(8))
    ranks = np.argsort(np.argsort(X, axis=0), axis=0)
    correlation = np.abs(np.corrcoef(ranks.T))
    assert all(correlation[i, j] >= 0.7 - 1e-9 for group in groups for i in group for j in group)


def test_unknown_values_and_constants_are_no_obstacle():
    X = rows(20)
    X[3, 0], X[:, 1] = np.nan, 1.0
    assert correlated_columns(np.column_stack([X, X[:, 0]]), 0.9) == [[0, 3], [1], [2]]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"correlation": 1.5}, "correlation must be"),
        ({"loss": "made"}, "Did you mean mae"),
        ({"columns": [[0, 0]]}, "each once at most"),
        ({"columns": [[3]]}, "from 0 to 2"),
        ({"repeats": 0}, "repeats"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_are_named(options, error):
    X = rows(10)
    with pytest.raises(UserError, match=error):
        permutation_importance(Linear(1, 1, 1), X, X[:, 0], **options)


def test_one_row_cannot_be_dealt():
    with pytest.raises(UserError, match="at least two rows, got 1"):
        permutation_importance(Linear(1, 1, 1), rows(1), [1.0])
    with pytest.raises(ValueError, match="one target per row"):
        permutation_importance(Linear(1, 1, 1), rows(3), [1.0])
    with pytest.raises(ValueError, match="y is not finite in row 1"):
        permutation_importance(Linear(1, 1, 1), rows(3), [1.0, np.nan, 1.0])


def test_it_is_told_as_a_frame_and_as_json():
    X = rows(30)
    found = permutation_importance(Linear(2, 1, 0), X, X @ [2, 1, 0], columns=[[1, 2], [0]], repeats=2)
    assert found.frame()["columns"].tolist() == ["feature 1, feature 2", "feature 0"]
    summary = found.as_dict(k=1)
    assert summary["top"][0]["columns"] == ["feature 0"]
    assert (summary["groups"], summary["repeats"], summary["baseline"]) == (2, 2, 0)
