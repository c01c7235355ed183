from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, make_surrogate
from matscout.models.predicted_rows import PredictedRows
from matscout.models.prediction import Prediction, joined
from matscout.models.probability_calibration import (
    ProbabilityLaw,
    ProbabilityReport,
    calibration_error,
    fit_log_odds,
    log_loss,
    roc_auc,
)


def outcomes(n, seed=0, slope=0.5, intercept=1.0):
    """Probabilities told, and outcomes of others."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.02, 0.98, n)
    return raw, (rng.random(n) < expit(slope * logit(raw) + intercept)).astype(float)


def metals(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    return X, (rng.random(n) < expit(2 * X[:, 0] + X[:, 1])).astype(float)


def test_the_log_odds_are_those_of_logistic_regression():
    raw, truth = outcomes(5000)
    model = LogisticRegression(C=np.inf).fit(logit(raw)[:, None], truth)
    # Platt's drawn targets differ from the outcomes by 1 in some thousand
    assert fit_log_odds(raw, truth) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=0.01)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(5, 60))
def test_scores_are_those_of_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    truth, score = np.r_[0.0, 1.0, rng.integers(0, 2, n)], rng.uniform(0.01, 0.99, n + 2).round(1)
    assert roc_auc(truth, score) == pytest.approx(roc_auc_score(truth, score))
    assert log_loss(truth, np.clip(score, 0.01, 0.99)) == pytest.approx(
        sklearn_log_loss(truth, np.clip(score, 0.01, 0.99))
    )


def test_the_calibration_error_is_the_mean_gap_of_bins():
    probability = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 20)
    truth = np.concatenate([np.r_[np.ones(k), np.zeros(20 - k)] for k in (4, 6, 10, 14, 16)])
    rng = np.random.default_rng(0)
    shuffled = np.concatenate([rng.permutation(20) + 20 * k for k in range(5)])
    # one bin of five: gaps .1, 0, 0, 0, .1; two bins of each of these can only be wider apart
    assert calibration_error(truth[shuffled], probability) >= 0.04
    assert calibration_error(np.ones(50), np.full(50, 0.75)) == pytest.approx(0.25)
    assert calibration_error(*outcomes(100_000, slope=1, intercept=0)[::-1]) < 0.01


def test_perfect_order_gives_no_certainty():
    raw = np.r_[np.full(10, 0.0), np.full(10, 1.0)]
    law = ProbabilityLaw(*fit_log_odds(raw, raw.copy()), least=1 / 22)
    # Platt's aims: 1 / 12 and 11 / 12
    assert law.probability(np.array([0.0, 1.0])) == pytest.approx([1 / 12, 11 / 12], abs=1e-3)


def test_a_model_worse_than_chance_is_not_turned_round_but_gives_the_prevalence():
    raw, truth = outcomes(4000, slope=-1, intercept=0.5)
    slope, _ = fit_log_odds(raw, truth)
    assert slope == 0
    assert ProbabilityLaw(*fit_log_odds(raw, truth), 1e-3).probability(raw) == pytest.approx(truth.mean(), abs=1e-3)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_std_is_that_of_the_outcome_and_its_parts_sum_to_it(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, 20)
    raw = Prediction(p, np.sqrt(p * (1 - p)), epistemic=rng.uniform(0, 0.5, 20))
    found = ProbabilityLaw(rng.uniform(0, 3), rng.normal(), 1e-3).prediction(raw)
    np.testing.assert_allclose(found.std**2, found.mean * (1 - found.mean))
    np.testing.assert_allclose(found.aleatoric**2 + found.epistemic**2, found.std**2)
    lower, upper = found.interval(90)
    assert (lower >= 0).all()
    assert (upper <= 1).all()


def test_an_interval_of_a_classification_is_the_fewest_outcomes_that_have_the_share():
    p = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0, np.nan])
    found = Prediction(p, np.sqrt(p * (1 - p)), law="bernoulli", limits=(0.0, 1.0))
    ends = np.column_stack(found.interval(90)).tolist()
    assert ends[:9] == [[0, 0]] * 3 + [[0, 1]] * 3 + [[1, 1]] * 3
    assert np.isnan(ends[9]).all()
    # where each of both outcomes alone has the share, the likelier one, and of equally likely ones 1
    assert np.column_stack(found.interval(30)).tolist()[2:7] == [[0, 0], [0, 0], [1, 1], [1, 1], [1, 1]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 99))
def test_intervals_of_a_classification_have_at_least_their_share(probabilities, percent):
    p = np.array(probabilities)
    lower, upper = ProbabilityLaw(1.0, 0.0, 0.0).prediction(Prediction(p, np.zeros(len(p)))).interval(percent)
    calibrated = np.clip(p, 1e-6, 1 - 1e-6)
    held = np.where(lower == 0, 1 - calibrated, 0.0) + np.where(upper == 1, calibrated, 0.0)
    assert (lower <= upper).all()
    assert (held >= percent / 100 - 1e-9).all()


@pytest.mark.parametrize("calibrated", [True, False])
def test_intervals_of_a_classification_hold_their_share_of_rows_never_seen(calibrated):
    X, y = metals(600)
    unseen, truth = metals(4000, seed=1)
    surrogate = make_surrogate("ridge", task="classification").fit(X, y)
    prediction = surrogate.predict(unseen) if calibrated else surrogate.surrogate.predict(unseen)
    lower, upper = prediction.interval(90)
    within = (lower <= truth) & (truth <= upper)
    assert within.mean() >= 0.9
    one = lower == upper
    assert 0.2 < one.mean() < 0.9
    assert within[one].mean() >= 0.9
    joint = joined([prediction.take(slice(0, 10)), prediction.take(slice(10, None))])
    np.testing.assert_array_equal(joint.interval(90)[0], lower)


def test_predictions_of_a_classification_are_written_with_their_outcomes():
    p = np.array([0.05, 0.6, np.nan])
    prediction = ProbabilityLaw(1.0, 0.0, 1e-3).prediction(Prediction(p, np.zeros(3)))
    frame = PredictedRows(("a", "b", "c"), ("NaCl", "KCl", "?"), prediction, {2: "no formula"}).frame()
    assert frame["lower_90"].tolist()[:2] == [0.0, 0.0]
    assert frame["upper_90"].tolist()[:2] == [0.0, 1.0]
    assert frame.loc[2, ["mean", "lower_90", "upper_90"]].isna().all()


def test_a_law_that_changes_nothing_leaves_the_epistemic_part():
    raw = Prediction(np.array([0.3]), np.sqrt(np.array([0.21])), np.sqrt(np.array([0.2])), np.array([0.1]))
    found = ProbabilityLaw(1.0, 0.0, 1e-3).prediction(raw)
    assert (found.mean.item(), found.std.item()) == pytest.approx((0.3, np.sqrt(0.21)))
    assert (found.aleatoric.item(), found.epistemic.item()) == pytest.approx((np.sqrt(0.2), 0.1))


@pytest.mark.parametrize("name", ["extra_trees", "xgboost"])
def test_probabilities_mean_what_they_say_on_rows_never_seen(name):
    X, y = metals(400)
    unseen, truth = metals(4000, seed=1)
    surrogate = make_surrogate(name, task="classification").fit(X, y, groups=np.arange(400) // 4)
    prediction, report = surrogate.predict(unseen), surrogate.calibration
    raw = surrogate.surrogate.predict(unseen).mean
    assert calibration_error(truth, prediction.mean) < 0.06
    assert report.calibration_error_after < 0.08
    assert brier_score_loss(truth, prediction.mean) <= brier_score_loss(truth, raw) + 0.003
    assert roc_auc_score(truth, prediction.mean) == pytest.approx(roc_auc_score(truth, raw), abs=1e-3)
    assert report.roc_auc == pytest.approx(roc_auc_score(truth, prediction.mean), abs=0.05)
    assert report.log_loss_after == pytest.approx(log_loss(truth, prediction.mean), abs=0.08)
    assert prediction.distance is not None
    assert report.grouped


def test_few_rows_give_no_certainty_and_say_so():
    X, y = np.arange(8.0)[:, None], (np.arange(8) > 3).astype(float)
    surrogate = make_surrogate("extra_trees", task="classification", n_trees=20).fit(X, y)
    assert surrogate.calibration.fallback
    assert surrogate.predict(X).mean == pytest.approx(np.where(y == 1, 0.9, 0.1))


def test_parts_that_hold_one_class_alone_do_not_stop_it():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = np.r_[np.ones(3), np.zeros(27)]
    groups = np.r_[np.zeros(3), 1 + np.arange(27) % 2]
    report = make_surrogate("extra_trees", task="classification", n_trees=20).fit(X, y, groups=groups).calibration
    assert (report.folds, report.grouped, report.fallback) == (3, True, False)
    assert report.prevalence == pytest.approx(0.1)


def test_it_is_kept_with_its_report(tmp_path):
    X, y = metals(60)
    surrogate = make_surrogate("extra_trees", task="classification", n_trees=20).fit(X, y)
    surrogate.save(tmp_path)
    kept = CalibratedSurrogate.load(tmp_path)
    np.testing.assert_array_equal(kept.predict(X).mean, surrogate.predict(X).mean)
    document = json.loads(json.dumps(surrogate.calibration.as_dict(), allow_nan=False))
    assert ProbabilityReport.from_dict(document) == surrogate.calibration == kept.calibration


def test_one_class_a_transform_and_kinds_are_refused():
    X, y = metals(20)
    with pytest.raises(UserError, match="all 20 targets are of one class"):
        make_surrogate("extra_trees", task="classification").fit(X, np.ones(20))
    with pytest.raises(UserError, match="a classification has no transform"):
        make_surrogate("extra_trees", task="classification", transform="log")
    with pytest.raises(UserError, match="not calibrated by kinds"):
        make_surrogate("extra_trees", task="classification", n_trees=5).fit(X, y, kinds=["a"] * 20)
