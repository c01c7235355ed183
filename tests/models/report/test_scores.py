from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn import metrics

from matscout.errors import UserError
from matscout.models.report import classification_scores, regression_scores
from matscout.models.report.measures import normal_crps, normal_nll

seeds = st.integers(0, 2**32 - 1)


def labelled(seed, n=60, digits=1):
    """Labels and probabilities with ties among them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    return y, np.clip(0.3 * y + 0.7 * rng.uniform(size=n), 0, 1).round(digits)


@given(seeds)
def test_errors_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=30)
    mean = y + rng.normal(0, 0.5, 30)
    scores = regression_scores(y, mean)
    assert scores.mae == pytest.approx(metrics.mean_absolute_error(y, mean))
    assert scores.rmse == pytest.approx(metrics.root_mean_squared_error(y, mean))
    assert scores.r2 == pytest.approx(metrics.r2_score(y, mean))
    assert scores.mad == pytest.approx(metrics.mean_absolute_error(y, np.full(30, y.mean())))
    assert scores.bias == pytest.approx(mean.mean() - y.mean())


def test_what_is_not_defined_is_none():
    scores = regression_scores([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    assert scores.r2 is None
    assert scores.spearman is None
    assert (scores.mae, scores.mad) == (2 / 3, 0)
    one_class = classification_scores([1, 1], [0.2, 0.9])
    assert one_class.roc_auc is None
    assert one_class.hard.balanced_accuracy is None
    assert one_class.hard.recall == 0.5


@settings(max_examples=20)
@given(seeds)
def test_scores_of_classes_are_those_of_scikit_learn(seed):
    y, p = labelled(seed)
    scores = classification_scores(y, p)
    called = p >= 0.5
    assert scores.hard.f1 == pytest.approx(metrics.f1_score(y, called))
    assert scores.roc_auc == pytest.approx(metrics.roc_auc_score(y, p))
    assert scores.roc_auc_hard == pytest.approx(metrics.roc_auc_score(y, called))
    assert scores.pr_auc == pytest.approx(metrics.average_precision_score(y, p))
    assert scores.log_loss == pytest.approx(metrics.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)))
    assert scores.brier == pytest.approx(metrics.brier_score_loss(y, p))
    assert scores.hard.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(y, called))
    assert scores.hard.recall == pytest.approx(metrics.recall_score(y, called))
    assert scores.hard.false_negative_rate == pytest.approx(1 - metrics.recall_score(y, called))


def test_calibration_error_by_hand():
    # two bins: 0.8 said of 2 rows, one of them true; 0.1 said of 2 rows, none of them
    scores = classification_scores([1, 0, 0, 0], [0.8, 0.8, 0.1, 0.1])
    assert scores.ece == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)
    assert classification_scores([1, 0], [1.0, 0.0]).ece == 0


def test_what_needs_no_model_stands_beside():
    y, p = labelled(3)
    scores = classification_scores(y, p)
    guess = np.full(60, y.mean())
    assert scores.log_loss_prevalence == pytest.approx(metrics.log_loss(y, guess))
    assert scores.brier_prevalence == pytest.approx(metrics.brier_score_loss(y, guess))


def test_mistakes_are_named():
    with pytest.raises(UserError, match="targets 0 and 1, got 2 in row 1"):
        classification_scores([0, 2], [0.5, 0.5])
    with pytest.raises(UserError, match=r"between 0 and 1, got -0\.5 to 1"):
        classification_scores([0, 1], [-0.5, 1.0])
    with pytest.raises(ValueError, match="column 1 is not finite in row 1"):
        regression_scores([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(ValueError, match="one shape"):
        regression_scores([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="n > 0"):
        regression_scores([], [])


@settings(max_examples=30)
@given(st.floats(-5, 5), st.floats(-2, 2), st.floats(0.1, 2))
def test_crps_is_the_integral_that_defines_it(z, mean, std):
    y = mean + z * std
    below = quad(lambda x: norm.cdf(x, mean, std) ** 2, mean - 12 * std, y)[0]
    above = quad(lambda x: norm.sf(x, mean, std) ** 2, y, mean + 12 * std)[0]
    found = normal_crps(np.array([y]), np.array([mean]), np.array([std]))[0]
    assert found == pytest.approx(below + above, abs=1e-6)


def test_crps_of_what_is_certain_is_the_error():
    assert normal_crps(np.array([1.0]), np.array([3.0]), np.array([0.0])).tolist() == [2.0]


def test_likelihood_is_that_of_scipy():
    y, mean, std = np.array([0.0, 1.0]), np.array([0.5, -1.0]), np.array([0.3, 2.0])
    assert normal_nll(y, mean, std) == pytest.approx(-norm.logpdf(y, mean, std).mean())
    assert np.isnan(normal_nll(y, mean, np.array([0.0, 1.0])))
