from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, make_surrogate
from matscout.models.baselines import Dummy
from matscout.models.forests import ExtraTrees
from matscout.models.gradient_boosting import XGBoostEnsemble
from matscout.models.two_stage import TwoStageSurrogate


def gaps(n, seed=0):
    """Band gaps: metals for small values of the first feature, more or less sharply."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 4))
    gap = np.exp(X[:, 1] + 0.2 * rng.normal(size=n))
    return X, np.where(rng.random(n) < expit(8 * X[:, 0]), gap, 0.0)


def mixture(p, m, s, seed=0):
    """Mean and std of many draws."""
    rng = np.random.default_rng(seed)
    drawn = np.where(rng.random(2_000_000) < p, rng.normal(m, s, 2_000_000), 0.0)
    return drawn.mean(), drawn.std()


def test_mean_and_std_are_those_of_the_mixture():
    y = np.r_[np.zeros(30), np.full(35, 1.0), np.full(35, 3.0)]
    found = TwoStageSurrogate(stage=Dummy()).fit(np.zeros((100, 1)) + np.arange(100)[:, None], y).predict([[0.0]])
    # 0 for 30 rows, of the other 70 mean 2 and std 1
    assert (found.mean.item(), found.std.item()) == pytest.approx(mixture(0.7, 2.0, 1.0), rel=2e-3)
    assert found.mean.item() == pytest.approx(0.7 * 2)
    assert found.std.item() == pytest.approx(y.std())


def test_the_logarithm_of_the_positive_rows_gives_their_log_normal_moments():
    y = np.r_[np.zeros(50), np.exp(np.r_[np.full(25, -0.5), np.full(25, 0.5)])]
    found = TwoStageSurrogate(stage=Dummy(), log=True).fit(np.arange(100.0)[:, None], y).predict([[0.0]])
    mean, variance = np.exp(0.125), np.expm1(0.25) * np.exp(0.25)
    assert found.mean.item() == pytest.approx(0.5 * mean)
    assert found.std.item() ** 2 == pytest.approx(0.5 * variance + 0.25 * mean**2)


@pytest.mark.parametrize("transform", ["classify-then-regress", "classify-then-regress-log"])
def test_gaps_are_learnt_and_calibrated_by_name(transform, tmp_path):
    X, y = gaps(400)
    unseen, truth = gaps(3000, seed=1)
    surrogate = make_surrogate("extra_trees", transform=transform, n_trees=60).fit(X, y)
    prediction = surrogate.predict(unseen)
    assert np.abs(prediction.mean - truth).mean() < 0.6 * np.abs(truth.mean() - truth).mean()
    lower, upper = prediction.interval(90)
    assert (lower >= 0).all()
    assert ((lower <= truth) & (truth <= upper)).mean() == pytest.approx(0.9, abs=0.05)
    assert surrogate.calibration.transform == transform
    probability = surrogate.surrogate.probability(unseen)
    assert ((probability > 0.5) == (unseen[:, 0] > 0)).mean() > 0.9
    surrogate.save(tmp_path)
    kept = CalibratedSurrogate.load(tmp_path)
    for part in ("mean", "std", "distance"):
        np.testing.assert_array_equal(getattr(kept.predict(unseen), part), getattr(prediction, part))
    assert kept.surrogate.options() == surrogate.surrogate.options() == surrogate.stage.options()


@pytest.mark.parametrize(
    "options", [{"objective": "absolute_error"}, {"objective": "pseudo_huber", "huber_slope": 0.5}]
)
def test_what_a_regression_minimises_is_not_asked_of_the_classification(options, tmp_path):
    X, y = gaps(120)
    small = {"n_members": 2, "n_trees": 10}
    made = make_surrogate("xgboost", transform="classify-then-regress", **small, **options).fit(X, y)
    positive = y > 0
    alone = XGBoostEnsemble(**small, **options).fit(X[positive], y[positive])
    classes = XGBoostEnsemble(**small, task="classification").fit(X, positive)
    expected = np.maximum(alone.predict(X).mean, 0) * classes.predict(X).mean
    np.testing.assert_allclose(made.surrogate.predict(X).mean, expected)
    made.save(tmp_path)
    np.testing.assert_array_equal(CalibratedSurrogate.load(tmp_path).predict(X).mean, made.predict(X).mean)


def test_groups_reach_both_stages():
    X, y = gaps(120)
    report = make_surrogate("extra_trees", transform="classify-then-regress", n_trees=10).fit(
        X, y, groups=np.arange(120) // 6
    )
    assert report.calibration.grouped


def test_without_zeros_it_is_a_regression():
    X, y = gaps(200)
    X, y = X[y > 0], y[y > 0]
    two = TwoStageSurrogate(stage=ExtraTrees(n_trees=10)).fit(X, y)
    one = ExtraTrees(n_trees=10).fit(X, y)
    np.testing.assert_array_equal(two.predict(X).mean, one.predict(X).mean)
    np.testing.assert_allclose(two.predict(X).std, one.predict(X).std)
    assert (two.probability(X) == 1).all()


def test_one_positive_value_needs_no_second_stage(tmp_path):
    X, y = np.arange(20.0)[:, None], np.r_[np.zeros(12), np.full(8, 1.5)]
    calibrated = make_surrogate("extra_trees", transform="classify-then-regress", n_trees=20).fit(X, y)
    assert calibrated.surrogate.predict([[0.0], [19.0]]).mean == pytest.approx([0.0, 1.5])
    calibrated.save(tmp_path)
    np.testing.assert_array_equal(CalibratedSurrogate.load(tmp_path).predict(X).mean, calibrated.predict(X).mean)


def test_what_has_no_two_stages_is_refused():
    with pytest.raises(UserError, match="targets of 0 and above, got -1 in row 1"):
        TwoStageSurrogate(stage=Dummy()).fit([[0.0], [1.0], [2.0]], [1.0, -1.0, 0.0])
    with pytest.raises(UserError, match="cannot classify and then regress"):
        TwoStageSurrogate(stage=Dummy(task="classification"))
