from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models.baselines import Dummy, Ridge
from matscout.models.linear import SQUARES_STRENGTHS, expected, fit_logistic, fit_squares

UNITS = np.array([1.0, 1e3, 1e-4, 5.0, 0.2, 30.0])


def linear(n=80, seed=0):
    """Six features in six units, and a linear target with noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)) * UNITS + 3 * UNITS
    return X, X / UNITS @ np.array([1.0, -2.0, 0.5, 0.0, 0.0, 0.3]) + 0.5 * rng.normal(size=n)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def test_the_dummy_knows_mean_and_std_of_the_targets():
    X, y = linear()
    prediction = Dummy().fit(X, y).predict(X[:3])
    assert prediction.mean.tolist() == [y.mean()] * 3
    assert prediction.std.tolist() == [y.std()] * 3
    ones = Dummy(task="classification").fit(X, np.arange(80) % 4 == 0).predict(X[:1])
    assert (ones.mean[0], ones.std[0]) == (0.25, pytest.approx(np.sqrt(0.25 * 0.75)))


@pytest.mark.parametrize("n", [80, 8, 4])
def test_the_penalty_is_the_one_that_scikit_learn_finds_by_leaving_rows_out(n):
    from sklearn.linear_model import RidgeCV

    X, y = linear(n)
    theirs = RidgeCV(SQUARES_STRENGTHS * n).fit(standardised(X), y)
    ours = Ridge().fit(X, y)
    assert ours._posterior.strength * n == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.predict(X).mean, theirs.predict(standardised(X)), rtol=1e-8)


def test_the_std_is_that_of_bayes_theorem():
    X, y = linear()
    unseen, _ = linear(20, seed=1)
    posterior = fit_squares(X, y)
    Z, at = standardised(X), (unseen - X.mean(axis=0)) / X.std(axis=0)
    penalty, n = posterior.strength * len(y), len(y)
    # the noise that makes the centred targets most likely under their covariance, noise * (1 + Z Z^T / penalty)
    centred = y - y.mean()
    noise = centred @ np.linalg.solve(np.eye(n) + Z @ Z.T / penalty, centred) / (n - 1)
    covariance = noise * np.linalg.inv(Z.T @ Z + penalty * np.eye(6))
    prediction = Ridge().fit(X, y).predict(unseen)
    np.testing.assert_allclose(prediction.aleatoric, np.sqrt(noise), rtol=1e-9)
    np.testing.assert_allclose(prediction.epistemic**2, np.sum(at @ covariance * at, axis=1) + noise / n, rtol=1e-9)
    np.testing.assert_allclose(prediction.std**2, prediction.aleatoric**2 + prediction.epistemic**2, rtol=1e-12)


def test_with_more_features_than_rows_it_agrees_with_a_gaussian_process():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

    rng = np.random.default_rng(0)
    X, unseen = rng.normal(size=(12, 30)), rng.normal(size=(9, 30))
    y = X[:, 0] + 0.1 * rng.normal(size=12)
    ridge = Ridge(strength=0.3).fit(X, y)
    noise = ridge._posterior.noise
    at = (unseen - X.mean(axis=0)) / X.std(axis=0)
    kernel = ConstantKernel(noise / (0.3 * 12), "fixed") * DotProduct(1e-9, "fixed")
    process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(standardised(X), y - y.mean())
    mean, std = process.predict(at, return_std=True)
    prediction = ridge.predict(unseen)
    np.testing.assert_allclose(prediction.mean, mean + y.mean(), rtol=1e-6)
    np.testing.assert_allclose(prediction.epistemic**2, std**2 + noise / 12, rtol=1e-6)


def test_left_out_errors_are_those_of_models_that_left_the_row_out():
    X, y = linear(15)
    Z, centred = standardised(X), y - y.mean()
    strength = fit_squares(X, y).strength
    rest = [np.delete(np.arange(15), row) for row in range(15)]

    def error(strength):
        found = []
        for row, others in enumerate(rest):
            design = np.column_stack([Z[others], np.ones(14)])
            penalty = np.diag([strength * 15] * 6 + [0.0])
            fit = np.linalg.solve(design.T @ design + penalty, design.T @ centred[others])
            found.append(centred[row] - np.append(Z[row], 1.0) @ fit)
        return np.mean(np.square(found))

    errors = [error(one) for one in SQUARES_STRENGTHS]
    assert strength == SQUARES_STRENGTHS[int(np.argmin(errors))]


@given(st.integers(0, 2**32 - 1))
def test_units_and_origins_of_features_do_not_count(seed):
    rng = np.random.default_rng(seed)
    X, y = linear(30)
    other = X * rng.uniform(0.1, 10, 6) + rng.normal(size=6)
    first, second = Ridge().fit(X, y).predict(X), Ridge().fit(other, y).predict(other)
    np.testing.assert_allclose(first.mean, second.mean, rtol=1e-6)
    np.testing.assert_allclose(first.std, second.std, rtol=1e-6)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_feature_that_differs_by_rounding_alone_or_is_tiny_is_constant(task):
    X, y = linear()
    y = (y > np.median(y)) * 1.0 if task == "classification" else y
    rounding = np.where(np.arange(80) % 2, 0.3, 0.1 + 0.2)
    tiny = 1e-170 * (1 + np.arange(80) % 3)  # its squares are 0
    assert np.ptp(rounding) > 0
    alone = Ridge(task=task).fit(X, y).predict(X)
    for column, elsewhere in ((rounding, 0.7), (tiny, 1.0), (tiny, 1e-170)):
        ridge = Ridge(task=task).fit(np.column_stack([X, column]), y)
        found = ridge.predict(np.column_stack([X, np.full(80, elsewhere)]))
        np.testing.assert_allclose(found.mean, alone.mean, rtol=1e-9)
        np.testing.assert_allclose(found.std, alone.std, rtol=1e-9)


def test_a_constant_feature_is_left_out_even_where_it_changes_later():
    X, y = linear()
    ridge = Ridge().fit(np.column_stack([X, np.full(80, 0.1)]), y)
    alone = Ridge().fit(X, y).predict(X)
    prediction = ridge.predict(np.column_stack([X, np.arange(80)]))
    np.testing.assert_allclose(prediction.mean, alone.mean, rtol=1e-9)
    np.testing.assert_allclose(prediction.std, alone.std, rtol=1e-9)


def test_features_without_any_spread_leave_the_mean():
    prediction = Ridge().fit(np.ones((4, 2)), [1.0, 2.0, 3.0, 4.0]).predict([[5.0, 5.0]])
    assert prediction.mean[0] == 2.5
    assert prediction.aleatoric[0] == pytest.approx(np.std([1, 2, 3, 4], ddof=1))


def classes(n=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    return X, (rng.random(n) < expit(2 * X[:, 0] - X[:, 1] + 0.5)).astype(float)


@pytest.mark.parametrize("strength", [0.001, 0.03, 1.0])
def test_logistic_regression_agrees_with_scikit_learn(strength):
    from sklearn.linear_model import LogisticRegression

    X, y = classes()
    Z = standardised(X)
    theirs = LogisticRegression(C=1 / (strength * 200), tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(Z, y)
    logit, variance = fit_logistic(X, y, np.array([strength])).evaluate(X)
    np.testing.assert_allclose(logit, theirs.decision_function(Z), rtol=1e-6, atol=1e-9)
    chance = theirs.predict_proba(Z)[:, 1]
    design = np.column_stack([Z, np.ones(200)])
    hessian = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag([strength * 200] * 5 + [0.0])
    np.testing.assert_allclose(variance, np.sum(design @ np.linalg.inv(hessian) * design, axis=1), rtol=1e-6)


def test_the_logistic_penalty_leaves_rows_out_nearly_as_a_refit_would():
    from sklearn.linear_model import LogisticRegression

    X, y = classes(40)
    Z = standardised(X)

    def loss(strength):
        model = LogisticRegression(C=1 / (strength * 40), tol=1e-10, max_iter=1000, solver="newton-cholesky")
        rest = [np.delete(np.arange(40), row) for row in range(40)]
        logit = [model.fit(Z[others], y[others]).decision_function(Z[[row]])[0] for row, others in enumerate(rest)]
        return np.mean(np.logaddexp(0, logit) - y * logit)

    strengths = np.logspace(-4, 1, 6)
    chosen = fit_logistic(X, y, strengths).strength
    losses = [loss(one) for one in strengths]
    assert losses[strengths.tolist().index(chosen)] <= 1.02 * min(losses)


def test_classes_that_are_parted_by_one_feature_leave_finite_chances():
    X, _ = classes(60)
    prediction = Ridge(task="classification").fit(X, X[:, 0] > 0).predict(np.array([[50.0, 0, 0, 0, 0]]))
    assert 0.9 < prediction.mean[0] <= 1
    assert np.isfinite(prediction.std[0])


@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_mean_chance_is_the_integral_over_the_posterior(mean, std):
    found = expected(expit, np.array([mean]), np.array([std**2]))[0]
    exact = quad(lambda z: expit(mean + std * z) * norm.pdf(z), -9, 9)[0]
    assert found == pytest.approx(exact, abs=1e-6)


def test_a_penalty_of_zero_is_refused():
    with pytest.raises(UserError, match="option strength must be a number > 0, got 0"):
        Ridge(strength=0)
