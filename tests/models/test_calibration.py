from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, make_surrogate
from matscout.models.calibration import MIN_ROWS, assign_folds, coverage, fit_std, spearman
from matscout.models.ensembles import ExtraTrees

seeds = st.integers(0, 2**32 - 1)


def noisy(n, seed=0):
    """A target that features explain but for a noise that grows with the second of them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, (n, 6))
    return X, np.sin(4 * X[:, 0]) + (0.05 + 0.4 * X[:, 1]) * rng.normal(size=n)


@pytest.mark.parametrize(("slope", "intercept"), [(3.0, 0.0), (1.5, 0.2), (0.0, 0.5)])
def test_the_law_that_made_the_errors_is_found_again(slope, intercept):
    rng = np.random.default_rng(0)
    std = rng.uniform(0.05, 0.5, 50_000)
    error = rng.normal(0, slope * std + intercept)
    assert fit_std(std, error) == pytest.approx((slope, intercept), abs=0.05)


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(1e-6, 1e6))
def test_the_unit_of_the_target_does_not_count(seed, unit):
    rng = np.random.default_rng(seed)
    std, error = rng.uniform(0.1, 1, 30), rng.normal(size=30)
    a, b = fit_std(std, error)
    assert fit_std(unit * std, unit * error) == pytest.approx((a, unit * b), rel=1e-3, abs=1e-4 * unit)


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_no_other_slope_and_intercept_make_the_errors_likelier(seed):
    rng = np.random.default_rng(seed)
    std, error = rng.uniform(0.1, 1, 20), rng.normal(size=20)

    def loss(a, b):
        sigma = a * std + b
        return np.mean(np.log(sigma) + 0.5 * (error / sigma) ** 2)

    a, b = fit_std(std, error)
    assert min(a, b) >= 0
    others = [loss(*pair) for pair in rng.uniform(0, 3, (200, 2))]
    assert loss(a, b) <= min(others) + 1e-6


def test_coverage_of_a_normal_distribution_is_its_name():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 1, 100_000)
    found = coverage(rng.normal(0, std), std)
    assert found == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.01)


def test_rank_correlation_is_one_for_any_rising_law_and_unknown_for_a_constant():
    x = np.array([3.0, 1.0, 2.0, 5.0])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    assert np.isnan(spearman(x, np.ones(4)))


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(2, 6), seeds)
def test_groups_stay_together_and_no_part_is_empty(groups, folds, seed):
    fold_of_row, grouped = assign_folds(len(groups), folds, np.array(groups), seed=seed)
    assert grouped == (len(set(groups)) > 1)
    assert sorted(set(fold_of_row.tolist())) == list(range(fold_of_row.max() + 1))
    if grouped:
        assert fold_of_row.max() + 1 == min(folds, len(set(groups)))
        assert all(len(set(fold_of_row[np.array(groups) == group])) == 1 for group in groups)


@settings(deadline=None)
@given(st.integers(2, 50), st.integers(2, 9), seeds)
def test_without_groups_parts_differ_by_one_row_at_most(n, folds, seed):
    fold_of_row, grouped = assign_folds(n, folds, None, seed=seed)
    sizes = np.bincount(fold_of_row)
    assert not grouped
    assert len(sizes) == min(n, folds)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("name", ["xgboost", "extra_trees"])
def test_intervals_hold_what_they_promise_on_rows_never_seen(name):
    X, y = noisy(150)
    unseen, truth = noisy(2000, seed=1)
    surrogate = make_surrogate(name).fit(X, y)
    prediction = surrogate.predict(unseen)
    found = coverage(truth - prediction.mean, prediction.std)
    assert found == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.1)


def test_calibration_widens_the_spread_of_a_boosted_ensemble():
    X, y = noisy(120)
    surrogate = make_surrogate("xgboost").fit(X, y)
    report = surrogate.calibration
    assert report.coverage_before[90] < 0.75 < report.coverage_after[90]
    raw, calibrated = surrogate.surrogate.predict(X), surrogate.predict(X)
    assert (calibrated.mean == raw.mean).all()
    expected = np.maximum(report.slope * raw.std + report.intercept, report.floor)
    np.testing.assert_array_equal(calibrated.std, expected)


def test_the_report_is_that_of_the_held_out_predictions():
    X, y = noisy(60)
    report = make_surrogate("extra_trees", n_trees=40).fit(X, y).calibration
    held_out = report.out_of_fold
    error = y - held_out.mean
    assert (report.n, report.folds, report.grouped, report.fallback) == (60, 5, False, False)
    assert report.mae == pytest.approx(np.abs(error).mean())
    assert report.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert report.coverage_after == coverage(error, held_out.std)
    assert report.mean_std == pytest.approx(held_out.std.mean())


def test_held_out_rows_are_not_learnt_from():
    # each row has a feature of its own that gives its target away to a model that sees the row
    y = np.random.default_rng(0).normal(size=40)
    surrogate = make_surrogate("extra_trees", n_trees=40, column_fraction=1.0).fit(y[:, None] * np.eye(40), y)
    assert abs(surrogate.predict(y[:, None] * np.eye(40)).mean - y).mean() < 1e-6
    assert surrogate.calibration.mae > 0.5


def test_groups_make_the_estimate_that_of_new_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 10)
    X = np.column_stack([rng.normal(size=12)[group], rng.normal(size=120) * 0.01])
    y = rng.normal(size=12)[group] + 0.01 * rng.normal(size=120)
    alone = make_surrogate("extra_trees", n_trees=40, column_fraction=1.0).fit(X, y).calibration
    grouped = (
        make_surrogate("extra_trees", n_trees=40, column_fraction=1.0)
        .fit(X, y, groups=[f"system {g}" for g in group])
        .calibration
    )
    assert grouped.grouped
    assert not alone.grouped
    assert grouped.mae > 10 * alone.mae


def test_one_single_group_falls_back_to_random_parts():
    X, y = noisy(30)
    report = make_surrogate("dummy").fit(X, y, groups=["Li-O"] * 30).calibration
    assert (report.folds, report.grouped) == (5, False)


def test_too_few_rows_take_the_spread_of_the_targets_and_say_so():
    X, y = noisy(MIN_ROWS - 1)
    surrogate = make_surrogate("extra_trees", n_trees=20).fit(X, y)
    assert surrogate.calibration.fallback
    assert surrogate.calibration.folds == 0
    assert (surrogate.predict(X).std == y.std(ddof=1)).all()
    assert not make_surrogate("extra_trees", n_trees=20).fit(*noisy(MIN_ROWS)).calibration.fallback


def test_one_row_is_refused_with_what_to_do():
    with pytest.raises(UserError, match="at least two results to learn from, got 1"):
        make_surrogate("dummy").fit([[1.0]], [2.0])


def test_equal_targets_leave_a_std_above_zero():
    X, _ = noisy(20)
    for name in ("xgboost", "extra_trees", "dummy"):
        prediction = make_surrogate(name).fit(X, np.full(20, 0.3)).predict(X)
        np.testing.assert_allclose(prediction.mean, 0.3, rtol=1e-6)
        assert (prediction.std > 0).all()
        assert (prediction.std < 1e-3).all()


@pytest.mark.parametrize("n", [4, 25])
def test_the_report_becomes_json_without_nan(n):
    report = make_surrogate("dummy").fit(*noisy(n)).calibration.as_dict()
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text)["n"] == n
    assert set(report["coverage_after"]) == {"50", "80", "90"}
    assert "out_of_fold" not in report


def test_groups_of_another_length_and_one_fold_are_refused():
    X, y = noisy(20)
    with pytest.raises(ValueError, match="expected 20 groups"):
        make_surrogate("dummy").fit(X, y, groups=["a", "b"])
    with pytest.raises(UserError, match="option folds must be an integer >= 2, got 1"):
        CalibratedSurrogate(ExtraTrees(), folds=1)


def test_it_must_be_fitted_before_it_predicts():
    with pytest.raises(RuntimeError, match="fit the surrogate"):
        make_surrogate("dummy").predict([[1.0]])
