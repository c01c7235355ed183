from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import lognorm

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, make_surrogate
from matscout.models.prediction import Prediction, joined
from matscout.models.targets import from_log, log_normal_moments, to_log

means, stds = st.floats(-20, 20), st.floats(1e-3, 3)


def moduli(n, seed=0):
    """A positive target over decades."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, 4))
    return X, np.exp(6 * X[:, 0] + (0.1 + 0.4 * X[:, 1]) * rng.normal(size=n))


@given(means, stds)
def test_moments_and_intervals_are_those_of_scipys_log_normal_distribution(m, s):
    found = from_log(Prediction(np.array([m]), np.array([s])))
    law = lognorm(s=s, scale=np.exp(m))
    assert found.mean.item() == pytest.approx(law.mean())
    assert found.std.item() == pytest.approx(law.std(), rel=1e-6)
    assert found.median.item() == pytest.approx(law.median(), rel=1e-6)
    for percent in (50, 90):
        ends = [end.item() for end in found.interval(percent)]
        assert ends == pytest.approx(law.interval(percent / 100), rel=1e-6)


def test_conformal_factors_count_in_the_logarithm():
    found = from_log(Prediction(np.array([1.0]), np.array([0.5]), factors={90: 2.0}))
    assert [end.item() for end in found.interval(90)] == pytest.approx([1.0, np.exp(2.0)])


def test_a_law_known_exactly_stays_so_and_a_hopeless_one_stays_finite():
    mean, std = log_normal_moments(np.array([2.0, 1000.0, -1000.0, 5.0]), np.array([0.0, 1.0, 1.0, 1e6]))
    assert (mean[0], std[0]) == (pytest.approx(np.exp(2)), 0)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    for end in from_log(Prediction(np.array([2.0, 900.0, -900.0, 5.0]), np.array([0.0, 1.0, 1.0, 1e6]))).interval(90):
        assert np.isfinite(end).all()


def test_the_parts_of_a_std_are_scaled_along():
    found = from_log(Prediction(np.array([1.0]), np.array([0.5]), np.array([0.3]), np.array([0.4])))
    assert found.aleatoric.item() ** 2 + found.epistemic.item() ** 2 == pytest.approx(found.std.item() ** 2)
    assert found.epistemic.item() / found.aleatoric.item() == pytest.approx(4 / 3)


def test_rows_are_taken_and_joined_with_law_and_factors_of_their_own():
    first, second = (
        from_log(Prediction(np.zeros(3), np.full(3, s), factors={90: np.array([1.0, 2.0, 3.0])})) for s in (0.1, 0.2)
    )
    both = joined([first, second])
    assert both.law == "log-normal"
    assert np.log(both.interval(90)[1]) == pytest.approx([0.1, 0.2, 0.3, 0.2, 0.4, 0.6])
    assert np.log(both.take(np.array([2, 5])).interval(90)[1]) == pytest.approx([0.3, 0.6])
    plain = [Prediction(np.zeros(1), np.ones(1), factors={90: factor}) for factor in (1.0, 2.0)]
    assert joined(plain).interval(90)[1].tolist() == [1.0, 2.0]
    assert joined(plain[:1] * 2).factors == {90: 1.0}


def test_the_logarithm_is_learnt_and_the_target_predicted(tmp_path):
    X, y = moduli(400)
    unseen, truth = moduli(3000, seed=1)
    surrogate = make_surrogate("extra_trees", transform="log").fit(X, y)
    prediction = surrogate.predict(unseen)
    inside = ~prediction.outside
    assert inside.mean() > 0.9
    assert prediction.median[inside] == pytest.approx(np.exp(surrogate.surrogate.predict(unseen).mean[inside]))
    lower, upper = prediction.interval(90)
    assert ((lower <= truth) & (truth <= upper)).mean() == pytest.approx(0.9, abs=0.04)
    assert (lower > 0).all()
    report = surrogate.calibration
    assert report.transform == "log"
    assert report.mae == pytest.approx(np.abs(y - report.out_of_fold.mean).mean())
    assert report.coverage_after[90] == pytest.approx(0.9, abs=0.04)
    plain = make_surrogate("extra_trees").fit(X, y).predict(unseen)
    assert np.abs(np.log(prediction.mean / truth)).mean() < 0.8 * np.abs(np.log(plain.mean / truth)).mean()
    surrogate.save(tmp_path)
    kept = CalibratedSurrogate.load(tmp_path).predict(unseen)
    np.testing.assert_array_equal(kept.mean, prediction.mean)
    np.testing.assert_array_equal(kept.interval(90)[1], upper)


def test_beyond_the_domain_the_mean_is_drawn_to_that_of_the_targets_and_not_inflated():
    X, y = moduli(400)
    far = moduli(40, seed=1)[0]
    far[:, 0] = 0.99  # of the largest targets
    far[:, 2:] += np.linspace(0.5, 20, 40)[:, None]
    made = {
        domain: make_surrogate("xgboost", transform="log", domain=domain).fit(X, y).predict(far)
        for domain in ("widen", "measure")
    }
    wide, narrow = made["widen"], made["measure"]
    assert wide.outside.all()
    # the log-normal distribution of all targets
    logs = np.log(y)
    prior = np.exp(logs.mean() + logs.var() / 2)
    low, high = np.minimum(narrow.mean, prior), np.maximum(narrow.mean, prior)
    assert ((low <= wide.mean * (1 + 1e-9)) & (wide.mean <= high * (1 + 1e-9))).all()
    above = narrow.mean > 1.5 * prior
    assert above.sum() > 10
    assert (wide.mean[above] < narrow.mean[above]).all()
    share = (1 - 1 / wide.distance) ** 2
    expected = (1 - share) * np.log(narrow.mean) + share * np.log(prior)
    np.testing.assert_allclose(np.log(wide.mean), expected, rtol=1e-9)
    # the intervals do not leave out what is expected of the targets
    assert (wide.interval(90)[0] < prior).all()


def test_the_unit_of_a_logarithm_does_not_count():
    X, y = moduli(60)
    one, thousand = (make_surrogate("dummy", transform="log").fit(X, unit * y).predict(X[:5]) for unit in (1, 1000))
    assert thousand.mean == pytest.approx(1000 * one.mean)
    assert thousand.interval(80)[0] == pytest.approx(1000 * one.interval(80)[0])


def test_targets_that_have_no_logarithm_are_named():
    with pytest.raises(UserError, match=r"2 of 4 are not, the first is 0 in row 1.*classify-then-regress-log"):
        to_log(np.array([1.0, 0.0, 2.0, -1.0]))
    with pytest.raises(UserError, match="needs positive targets"):
        make_surrogate("dummy", transform="log").fit(np.ones((12, 1)), np.arange(12.0))
