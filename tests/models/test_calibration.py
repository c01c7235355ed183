from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, make_surrogate
from matscout.models import held_out as held_out_module
from matscout.models.applicability import Domain
from matscout.models.base import FeatureSurrogate
from matscout.models.baselines import Ridge
from matscout.models.calibration import CalibrationReport
from matscout.models.error_laws import (
    MIN_ROWS,
    MIN_ROWS_OF_KIND,
    conformal_factors,
    coverage,
    cross_coverage,
    fit_laws,
    fit_std,
    spearman,
    upper_quantiles,
)
from matscout.models.held_out import assign_folds, hold_out
from matscout.models.inputs import FeatureInputs
from matscout.models.kept_files import FORM
from matscout.models.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


@dataclass(kw_only=True)
class Told(FeatureSurrogate):
    """Predicts the first column, with the second one as its std, half of the variance aleatoric."""

    name: ClassVar[str] = "told"

    def _fit_features(self, X, y, groups):
        self.seen = (X.copy(), y.copy(), groups)

    def _predict_features(self, X):
        part = X[:, 1] / np.sqrt(2)
        return Prediction(X[:, 0].copy(), X[:, 1].copy(), part, part.copy())

    def _save_learnt(self, folder):
        return {}

    def _load_learnt(self, folder, state):
        pass


@dataclass(kw_only=True)
class Dear(Told):
    """Its training is dear."""

    held_out_part: ClassVar[float | None] = 0.2


def told(n, seed=0, *, tail=None):
    """Rows whose errors are 3 std + 0.1, normal or of Student's t."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), rng.uniform(0.05, 0.5, n)])
    noise = rng.normal(size=n) if tail is None else rng.standard_t(tail, n)
    return X, X[:, 0] + (3 * X[:, 1] + 0.1) * noise


def noisy(n, seed=0):
    """A target that features explain but for a noise that grows with the second of them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, (n, 6))
    return X, np.sin(4 * X[:, 0]) + (0.05 + 0.4 * X[:, 1]) * rng.normal(size=n)


def within(prediction, truth):
    """Share of targets within each calibrated interval."""
    found = {}
    for percent in (50, 80, 90):
        lower, upper = prediction.interval(percent)
        found[percent] = float(((lower <= truth) & (truth <= upper)).mean())
    return found


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
    assert conformal_factors(unit * error, unit * std) == pytest.approx(conformal_factors(error, std))


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


@settings(deadline=None, max_examples=20)
@given(st.integers(MIN_ROWS, 300), seeds)
def test_factors_of_mapie_are_the_quantiles_of_the_normalised_errors(n, seed):
    rng = np.random.default_rng(seed)
    error, std = rng.normal(size=n), rng.uniform(0.1, 1, n)
    ratios = np.sort(np.abs(error) / std)
    expected = {percent: ratios[int(np.ceil((n + 1) * percent / 100 - 1e-9)) - 1] for percent in (50, 80, 90)}
    assert conformal_factors(error, std) == pytest.approx(expected)
    assert upper_quantiles(error, std) == pytest.approx(expected)


def test_factors_hold_their_share_of_new_errors_on_average():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        error = rng.standard_t(3, 31)
        factors = upper_quantiles(error[:-1], np.ones(30))
        found.append([abs(error[-1]) <= factors[percent] for percent in (50, 80, 90)])
    # n = 30: between p and p + 1/31, as theory says
    assert np.mean(found, axis=0) == pytest.approx([0.516, 0.806, 0.903], abs=0.03)


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


@pytest.mark.parametrize("tail", [None, 3])
def test_intervals_hold_their_share_whatever_the_distribution_of_errors(tail):
    surrogate = CalibratedSurrogate(Told(), domain="none").fit(*told(2000, tail=tail))
    X, truth = told(20_000, seed=1, tail=tail)
    prediction = surrogate.predict(X)
    assert within(prediction, truth) == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.025)
    assert surrogate.calibration.coverage_after == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.025)
    np.testing.assert_allclose(prediction.aleatoric**2 + prediction.epistemic**2, prediction.std**2)


def test_the_std_of_normal_errors_is_found_again():
    report = CalibratedSurrogate(Told()).fit(*told(20_000)).calibration
    assert (report.slope, report.intercept) == pytest.approx((3.0, 0.1), abs=0.05)
    assert report.factors == pytest.approx({50: 0.674, 80: 1.282, 90: 1.645}, abs=0.04)
    assert report.spearman_error > 0.3


@pytest.mark.parametrize("name", ["xgboost", "extra_trees"])
def test_intervals_hold_what_they_promise_on_rows_never_seen(name):
    X, y = noisy(150)
    unseen, truth = noisy(2000, seed=1)
    prediction = make_surrogate(name).fit(X, y).predict(unseen)
    assert within(prediction, truth) == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.1)
    assert coverage(truth - prediction.mean, prediction.std) == pytest.approx({50: 0.5, 80: 0.8, 90: 0.9}, abs=0.1)


def shifted(n_groups, seed):
    """Groups whose target one feature names but does not tell."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), 6)
    X = np.column_stack([rng.normal(size=n_groups)[group], 0.01 * rng.normal(size=n_groups * 6)])
    return X, rng.normal(size=n_groups)[group] + 0.05 * rng.normal(size=n_groups * 6), group


def test_intervals_hold_new_groups_only_where_groups_were_held_out_together():
    X, y, group = shifted(200, 1)
    unseen, truth, _ = shifted(400, 1001)
    options = {"n_trees": 30, "column_fraction": 1.0}
    grouped = make_surrogate("extra_trees", **options).fit(X, y, groups=group)
    alone = make_surrogate("extra_trees", **options).fit(X, y)
    assert within(grouped.predict(unseen), truth)[90] == pytest.approx(0.9, abs=0.05)
    assert grouped.calibration.coverage_after[90] == pytest.approx(0.9, abs=0.05)
    assert within(alone.predict(unseen), truth)[90] < 0.7


def test_the_coverage_told_is_not_that_of_the_errors_it_was_fitted_to():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(120, 10))
    law = fit_laws(np.ones(10), samples[0], 1e-3).overall
    # of ten errors the largest is the 90 % factor, so that all of them lie within, and say nothing
    assert (np.abs(samples[0]) <= law.factors[90] * law.std(np.ones(10)) * (1 + 1e-12)).all()
    # a ninth error is less than the largest of eight, from which the other folds' factor is, in eight of nine cases
    told = [cross_coverage(np.ones(10), error, 1e-3, np.arange(10) % 5)[90] for error in samples]
    assert np.mean(told) == pytest.approx(8 / 9, abs=0.04)


def test_calibration_widens_the_spread_of_a_boosted_ensemble():
    X, y = noisy(120)
    surrogate = make_surrogate("xgboost").fit(X, y)
    report = surrogate.calibration
    assert report.coverage_before[90] < 0.75 < report.coverage_after[90]
    raw, calibrated = surrogate.surrogate.predict(X), surrogate.predict(X)
    assert (calibrated.mean == raw.mean).all()
    expected = np.maximum(report.slope * raw.std + report.intercept, report.floor)
    inside = ~calibrated.outside
    assert inside.mean() > 0.9
    np.testing.assert_array_equal(calibrated.std[inside], expected[inside])


def test_the_report_is_that_of_the_held_out_predictions():
    X, y = noisy(60)
    report = make_surrogate("extra_trees", n_trees=40).fit(X, y).calibration
    held_out = report.out_of_fold
    error = y - held_out.mean
    assert (report.n, report.n_held_out, report.folds, report.grouped, report.fallback) == (60, 60, 5, False, False)
    assert report.rows.tolist() == list(range(60))
    assert report.mae == pytest.approx(np.abs(error).mean())
    assert report.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert report.spearman_error == pytest.approx(spearman(held_out.std, np.abs(error)))
    assert report.mean_std == pytest.approx(held_out.std.mean())
    assert report.factors == pytest.approx(conformal_factors(error, held_out.std))
    # the errors that the factors were fitted to: their ceil(0.9 * 61) = 55 smallest
    assert within(held_out, y)[90] == pytest.approx(55 / 60)


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
    options = {"n_trees": 40, "column_fraction": 1.0}
    alone = make_surrogate("extra_trees", **options).fit(X, y).calibration
    grouped = make_surrogate("extra_trees", **options).fit(X, y, groups=[f"system {g}" for g in group]).calibration
    assert grouped.grouped
    assert not alone.grouped
    assert grouped.mae > 10 * alone.mae


def test_a_dear_model_is_calibrated_on_one_part_whose_groups_it_did_not_see():
    X, y = told(1000)
    group = np.arange(1000) // 4
    held_out = hold_out(Dear(), FeatureInputs(X), y, group, folds=5)
    assert held_out.n_fits == 1
    assert len(held_out.rows) == pytest.approx(200, abs=4)
    rest = np.setdiff1d(np.arange(1000), held_out.rows)
    assert not set(group[rest]) & set(group[held_out.rows])
    assert held_out.fold_of_row.max() == 4
    surrogate = CalibratedSurrogate(Dear()).fit(X, y, groups=group)
    assert (surrogate.calibration.folds, surrogate.calibration.n_held_out) == (1, len(held_out.rows))
    assert len(surrogate.surrogate.seen[0]) == 1000  # in the end it learns from all
    assert CalibratedSurrogate(Dear()).fit(X[:100], y[:100]).calibration.folds == 5


def test_of_many_rows_one_part_is_held_out(monkeypatch):
    monkeypatch.setattr(held_out_module, "MANY_ROWS", 500)
    report = CalibratedSurrogate(Told(), folds=4).fit(*told(600)).calibration
    assert (report.folds, report.n_held_out) == (1, 150)
    assert (np.diff(report.rows) > 0).all()


def one_large_group(n, of_others, seed=0):
    """Rows of which the last few are of other groups."""
    X, y = told(n, seed)
    return X, y, np.r_[np.zeros(n - of_others, dtype=int), 1 + np.arange(of_others) // 4]


@pytest.mark.parametrize("of_others", [1, 8])
def test_a_dear_model_is_calibrated_on_errors_enough_beside_one_large_group(of_others):
    X, y, group = one_large_group(600, of_others)
    report = CalibratedSurrogate(Dear()).fit(X, y, groups=group).calibration
    assert (report.folds, report.grouped) == (1, False)
    assert report.n_held_out == pytest.approx(120, abs=2)
    assert report.smallest_training_share == pytest.approx(0.8, abs=0.01)


def test_where_groups_leave_no_part_of_a_fit_size_random_rows_are_held_out():
    # two groups of nearly half, and one that is nearest to a fifth but far too small
    X, y = told(600)
    group = np.repeat([0, 1, 2], [295, 295, 10])
    report = CalibratedSurrogate(Dear()).fit(X, y, groups=group).calibration
    assert (report.n_held_out, report.grouped) == (120, False)
    assert set(group[report.rows]) >= {0, 1}
    assert report.factors == pytest.approx({50: 0.674, 80: 1.282, 90: 1.645}, abs=0.4)


def test_of_many_rows_in_many_folds_the_part_held_out_has_errors_enough(monkeypatch):
    monkeypatch.setattr(held_out_module, "MANY_ROWS", 500)
    report = CalibratedSurrogate(Told(), folds=200).fit(*told(600)).calibration
    assert report.n_held_out == 100


def test_too_few_held_out_errors_fall_back(monkeypatch):
    monkeypatch.setattr(held_out_module, "MANY_ROWS", 5)
    monkeypatch.setattr(held_out_module, "LEAST_HELD_OUT", 2)
    assert CalibratedSurrogate(Told()).fit(*told(20)).calibration.fallback


@pytest.mark.parametrize("name", ["ridge", "extra_trees"])
def test_a_group_with_most_of_the_rows_is_parted_so_that_errors_are_those_of_a_model_that_learnt(name):
    X, y = noisy(400)
    group = np.repeat([0, 1, 2], [392, 4, 4])
    made = make_surrogate(name).fit(X, y, groups=group)
    report = made.calibration
    assert (report.folds, report.grouped) == (5, False)
    assert report.smallest_training_share == pytest.approx(0.8, abs=0.02)
    unseen, truth = noisy(2000, seed=1)
    assert within(made.predict(unseen), truth)[90] == pytest.approx(0.9, abs=0.05)
    assert report.coverage_after[90] == pytest.approx(0.9, abs=0.05)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=10, max_size=60), seeds)
def test_models_learn_from_half_of_the_rows_and_only_too_large_a_group_is_parted(groups, seed):
    labels = np.array(groups)
    X, y = told(len(labels))
    held_out = hold_out(Told(seed=seed % 1000), FeatureInputs(X), y, labels, folds=5)
    names, sizes = np.unique(labels, return_counts=True)
    assert held_out.smallest_training_share >= 0.5
    assert held_out.grouped == bool(sizes.max() <= len(labels) / 2)
    for name, size in zip(names, sizes, strict=True):
        if size <= len(labels) / 2:
            assert len(set(held_out.fold_of_row[labels == name])) == 1


@pytest.mark.parametrize("transform", ["none", "log"])
def test_a_refit_that_fails_leaves_nothing_that_predicts(transform, monkeypatch, tmp_path):
    X, y = noisy(60)
    surrogate = make_surrogate("ridge", transform=transform).fit(X, np.exp(y))
    monkeypatch.setattr(Domain, "fit", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        surrogate.fit(X, 100 * np.exp(y))
    for use in (lambda: surrogate.predict(X), lambda: surrogate.save(tmp_path)):
        with pytest.raises(RuntimeError, match="fit the surrogate before it"):
            use()


def test_a_model_whose_refit_fails_does_not_predict(monkeypatch):
    X, y = noisy(60)
    ridge = Ridge().fit(X, y)
    monkeypatch.setattr(Ridge, "_fit_features", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ridge.fit(X, y)
    with pytest.raises(RuntimeError, match="fit the surrogate before it predicts"):
        ridge.predict(X)


def test_the_model_itself_is_trained_last_and_a_bad_row_is_counted_among_all(monkeypatch):
    trained = []
    fit = Told._fit_features
    monkeypatch.setattr(Told, "_fit_features", lambda self, X, *rest: (trained.append(len(X)), fit(self, X, *rest)))
    CalibratedSurrogate(Told()).fit(*told(50))
    assert trained == [40] * 5 + [50]
    X, y = told(50)
    X[37, 1] = np.nan
    with pytest.raises(UserError, match="column 1 in row 37"):
        CalibratedSurrogate(Told()).fit(X, y)


def test_a_part_without_spread_is_learnt_as_it_is():
    # the ten last rows alone differ, in a group of their own: without them the target is constant
    X, _ = told(40)
    y = np.r_[np.zeros(30), np.arange(1.0, 11.0)]
    report = CalibratedSurrogate(Told()).fit(X, y, groups=np.r_[np.arange(30) // 10, np.full(10, 3)]).calibration
    assert (report.out_of_fold.mean[30:] == 0).all()


def test_kinds_of_rows_are_calibrated_apart():
    X, y = told(2000)
    kinds = np.where(np.arange(2000) % 2, "spinel", "perovskite")
    y = np.where(kinds == "spinel", X[:, 0] + 10 * (y - X[:, 0]), y)
    unseen, truth = told(4000, seed=1)
    new_kinds = np.where(np.arange(4000) % 2, "spinel", "perovskite")
    truth = np.where(new_kinds == "spinel", unseen[:, 0] + 10 * (truth - unseen[:, 0]), truth)
    surrogate = CalibratedSurrogate(Told(), domain="none").fit(X, y, kinds=kinds)
    assert surrogate.calibration.kinds == {"perovskite": 1000, "spinel": 1000}
    prediction = surrogate.predict(unseen, kinds=new_kinds)
    for kind in ("spinel", "perovskite"):
        rows = new_kinds == kind
        assert within(prediction.take(rows), truth[rows])[90] == pytest.approx(0.9, abs=0.04)
    together = within(surrogate.predict(unseen).take(new_kinds == "spinel"), truth[new_kinds == "spinel"])
    assert together[90] < 0.85
    new = surrogate.predict(unseen, kinds=["ilmenite"] * 4000)
    np.testing.assert_array_equal(new.std, surrogate.predict(unseen).std)
    np.testing.assert_array_equal(new.interval(90)[1], surrogate.predict(unseen).interval(90)[1])


def test_a_rare_kind_has_no_law_of_its_own():
    n = 100
    kinds = np.where(np.arange(n) < MIN_ROWS_OF_KIND - 1, "rare", "common")
    assert set(CalibratedSurrogate(Told()).fit(*told(n), kinds=kinds).calibration.kinds) == {"common"}


def test_beyond_the_domain_the_std_goes_over_to_that_of_the_targets():
    X, y = noisy(200)
    made = {
        domain: make_surrogate("extra_trees", n_trees=30, domain=domain).fit(X, y)
        for domain in ("widen", "measure", "none")
    }
    far = X[:20] + np.linspace(0, 30, 20)[:, None]
    found = {domain: surrogate.predict(far) for domain, surrogate in made.items()}
    distance, raw = found["widen"].distance, found["none"].std
    assert found["none"].distance is None
    assert not found["none"].outside.any()
    np.testing.assert_array_equal(found["measure"].std, raw)
    np.testing.assert_array_equal(found["measure"].distance, distance)
    assert found["measure"].outside[-1]
    share = np.where(distance > 1, (1 - 1 / np.maximum(distance, 1)) ** 2, 0)
    expected = raw**2 + share * np.maximum(y.std() ** 2 - raw**2, 0)
    np.testing.assert_allclose(found["widen"].std, np.sqrt(expected))
    assert found["widen"].std[-1] == pytest.approx(y.std(), rel=0.05)


@pytest.mark.parametrize("name", ["extra_trees", "xgboost"])
def test_widened_intervals_hold_nearer_to_their_share_beyond_the_domain(name):
    X, y = noisy(200)
    rng = np.random.default_rng(1)
    far = X + rng.uniform(0.5, 2, (200, 1)) * np.eye(6)[0]  # along what the target depends on
    truth = np.sin(4 * far[:, 0]) + (0.05 + 0.4 * far[:, 1]) * rng.normal(size=200)
    held = {}
    for domain in ("widen", "measure"):
        prediction = make_surrogate(name, domain=domain).fit(X, y).predict(far)
        outside = prediction.outside
        assert outside.mean() > 0.5
        held[domain] = within(prediction.take(outside), truth[outside])
    for percent in (80, 90):
        assert held["measure"][percent] < held["widen"][percent]
        assert abs(held["widen"][percent] - percent / 100) < abs(held["measure"][percent] - percent / 100)


def test_what_is_added_beyond_the_domain_is_epistemic():
    X, y = told(200)
    far = np.array([[500.0, 0.1]])
    near, wide = (CalibratedSurrogate(Told(), domain=d).fit(X, y).predict(far) for d in ("measure", "widen"))
    assert wide.aleatoric == near.aleatoric
    assert wide.epistemic > near.epistemic
    assert wide.aleatoric**2 + wide.epistemic**2 == pytest.approx(wide.std**2)


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


def test_the_same_data_give_the_same_prediction_again_and_after_being_kept(tmp_path):
    X, y = noisy(80)
    kinds = np.where(np.arange(80) % 2, "a", "b")
    made = [make_surrogate("extra_trees", n_trees=20, seed=3).fit(X, y, kinds=kinds) for _ in range(2)]
    made[0].save(tmp_path / "kept")
    kept = CalibratedSurrogate.load(tmp_path / "kept")
    unseen, _ = noisy(50, seed=1)
    expected = made[0].predict(unseen + 0.5, kinds=kinds[:50])
    for other in (made[1], kept):
        found = other.predict(unseen + 0.5, kinds=kinds[:50])
        for part in ("mean", "std", "distance"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
        np.testing.assert_array_equal(found.interval(80), expected.interval(80))
    assert kept.calibration.as_dict() == made[0].calibration.as_dict()
    assert kept.calibration.out_of_fold is None


@pytest.mark.parametrize("n", [6, 25])
def test_the_report_becomes_json_without_nan_and_back(n):
    report = make_surrogate("dummy").fit(*noisy(n)).calibration
    text = json.dumps(report.as_dict(), allow_nan=False)
    document = json.loads(text)
    assert document["n"] == n
    assert set(document["coverage_after"]) == {"50", "80", "90"}
    assert not {"out_of_fold", "rows"} & set(document)
    assert CalibrationReport.from_dict(document).as_dict() == document


def test_what_cannot_be_calibrated_is_refused_with_what_to_do(tmp_path):
    X, y = noisy(20)
    dummy = make_surrogate("dummy")
    with pytest.raises(UserError, match="at least two results to learn from, got 1"):
        dummy.fit([[1.0]], [2.0])
    with pytest.raises(UserError, match="4 rows cannot be parted into 5 folds"):
        dummy.fit(X[:4], y[:4])
    with pytest.raises(UserError, match=r"one group per row, shape \(20,\), got \(2,\)"):
        dummy.fit(X, y, groups=["a", "b"])
    with pytest.raises(UserError, match=r"one kind per row, shape \(20,\), got \(2,\)"):
        dummy.fit(X, y, kinds=["a", "b"])
    with pytest.raises(UserError, match="a constant target teaches nothing"):
        dummy.fit(X, np.ones(20))
    with pytest.raises(UserError, match="option folds must be an integer >= 2, got 1"):
        make_surrogate("dummy", folds=1)
    with pytest.raises(UserError, match=r"option transform must be one of none, log.* got 'logg'. Did you mean log\?"):
        make_surrogate("dummy", transform="logg")
    with pytest.raises(UserError, match="no calibrated surrogate is kept in"):
        CalibratedSurrogate.load(tmp_path)
    (tmp_path / "calibration.json").write_text(f'{{"version": {FORM}}}')
    with pytest.raises(UserError, match=r"is damaged \(calibration\.json cannot be read\): train it again"):
        CalibratedSurrogate.load(tmp_path)


def test_it_must_be_fitted_before_it_predicts_or_is_kept(tmp_path):
    with pytest.raises(RuntimeError, match="fit the surrogate before it predicts"):
        make_surrogate("dummy").predict([[1.0]])
    with pytest.raises(RuntimeError, match="fit the surrogate before it is kept"):
        make_surrogate("dummy").save(tmp_path)
