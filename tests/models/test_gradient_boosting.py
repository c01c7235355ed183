from __future__ import annotations

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models import gradient_boosting
from matscout.models.gradient_boosting import EARLY_STOPPING_ROWS, XGBoostEnsemble, set_aside
from matscout.models.registry import load_surrogate

SMALL = {"n_members": 3, "n_trees": 20}


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    return X, X[:, 0] + np.abs(X[:, 1]) + 0.2 * rng.normal(size=n)


def first_member_of_xgboost_itself(X, y, options, n_trees=20):
    """The first member for seed 0, made by xgboost alone."""
    rng = np.random.default_rng((0, 0))
    weights = rng.standard_exponential(len(y))
    rows = xgboost.QuantileDMatrix(X, y, max_bin=options.get("max_bin", 256))
    rows.set_weight(weights / weights.mean())
    parameters = {"tree_method": "hist", "nthread": 1, "seed": int(rng.integers(2**31)), "subsample": 0.5}
    return xgboost.train(parameters | {"colsample_bynode": 0.2, "eta": 0.12} | options, rows, n_trees)


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({}, {"max_depth": 3}),
        ({"max_depth": 5, "l2": 3.0, "max_bin": 16}, {"max_depth": 5, "lambda": 3.0, "max_bin": 16}),
        (
            {"grow_policy": "lossguide", "max_leaves": 5, "max_depth": 0},
            {"grow_policy": "lossguide", "max_leaves": 5, "max_depth": 0},
        ),
        ({"objective": "absolute_error"}, {"objective": "reg:absoluteerror", "max_depth": 3}),
        ({"objective": "pseudo_huber", "huber_slope": 0.3}, {"objective": "reg:pseudohubererror", "max_depth": 3}),
    ],
)
def test_a_member_is_what_xgboost_itself_makes_of_these_options(options, theirs):
    X, y = data()
    centred = y - y.mean()
    base = np.median(centred) if options.get("objective") == "absolute_error" else 0.0
    slope = {"huber_slope": 0.3 * y.std()} if "huber_slope" in options else {}
    expected = first_member_of_xgboost_itself(X, centred, theirs | slope | {"base_score": float(base)})
    ours = XGBoostEnsemble(**SMALL, **options).fit(X, y)
    assert (ours._members[0].inplace_predict(X) == expected.inplace_predict(X)).all()


def test_a_member_of_a_classification_is_xgboosts_logistic_one():
    X, y = data()
    labels = (y > 1) * 1.0
    options = {"objective": "binary:logistic", "max_depth": 3, "base_score": labels.mean()}
    expected = first_member_of_xgboost_itself(X, labels, options)
    ours = XGBoostEnsemble(**SMALL, task="classification").fit(X, labels)
    assert (ours._members[0].inplace_predict(X) == expected.inplace_predict(X)).all()


def test_the_std_of_an_ensemble_is_the_spread_of_its_members():
    X, y = data()
    ensemble = XGBoostEnsemble(n_members=4, n_trees=20).fit(X, y)
    members = np.array([member.inplace_predict(X.astype(np.float32)) for member in ensemble._members], dtype=float)
    prediction = ensemble.predict(X)
    np.testing.assert_allclose(prediction.mean, members.mean(axis=0) + y.mean(), rtol=1e-12)
    np.testing.assert_allclose(prediction.std, members.std(axis=0, ddof=1), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"objective": "absolute_error"}, {"early_stopping_rounds": 5}])
def test_targets_far_from_zero_are_told_apart(options, tmp_path):
    X, y = data()
    y = np.round(y, 3)  # to meV/atom; in single precision a million has steps of 0.06
    near, far = (XGBoostEnsemble(**SMALL, **options).fit(X, y + shift) for shift in (0.0, 1e6))
    expected, found = near.predict(X), far.predict(X)
    np.testing.assert_allclose(found.mean - 1e6, expected.mean, atol=1e-4)
    np.testing.assert_allclose(found.std, expected.std, atol=1e-4)
    far.save(tmp_path)
    kept = load_surrogate(tmp_path).predict(X)
    assert (kept.mean == found.mean).all()
    assert (kept.std == found.std).all()


def test_members_of_a_larger_ensemble_begin_with_those_of_a_smaller():
    X, y = data()
    small, large = (XGBoostEnsemble(n_members=n, n_trees=20).fit(X, y)._members for n in (3, 6))
    for first, second in zip(small, large, strict=False):
        assert (first.inplace_predict(X) == second.inplace_predict(X)).all()


@pytest.mark.parametrize("rounds", [0, 3])
def test_threads_do_not_change_a_prediction(rounds):
    X, y = data(400)
    options = {"n_members": 5, "n_trees": 20, "early_stopping_rounds": rounds}
    one, two = (XGBoostEnsemble(**options, n_threads=n).fit(X, y).predict(X) for n in (1, 2))
    assert (one.mean == two.mean).all()
    assert (one.std == two.std).all()


def test_early_stopping_ends_where_the_rows_set_aside_gain_no_more():
    X, _ = data()
    y = np.random.default_rng(1).normal(size=150)  # nothing to learn
    ensemble = XGBoostEnsemble(n_trees=200, n_members=4, early_stopping_rounds=10).fit(X, y)
    assert max(member.num_boosted_rounds() for member in ensemble._members) < 60
    X, y = data(400)
    ensemble = XGBoostEnsemble(n_trees=30, n_members=4, early_stopping_rounds=10).fit(X, y)
    assert min(member.num_boosted_rounds() for member in ensemble._members) > 20


def test_a_stopped_member_is_the_best_one_on_the_rows_set_aside(monkeypatch):
    masks = []

    def noted(*arguments):
        masks.append(set_aside(*arguments))
        return masks[-1]

    monkeypatch.setattr(gradient_boosting, "set_aside", noted)
    X, y = data(200)
    ensemble = XGBoostEnsemble(n_trees=300, n_members=2, learning_rate=0.3, early_stopping_rounds=20).fit(X, y)
    for member, aside in zip(ensemble._members, masks, strict=True):
        n = member.num_boosted_rounds()
        assert 1 < n < 300
        errors = [
            np.mean((member.inplace_predict(X[aside], iteration_range=(0, stop)) + y.mean() - y[aside]) ** 2)
            for stop in range(1, n + 1)
        ]
        assert np.argmin(errors) == n - 1


def test_early_stopping_never_parts_a_group(monkeypatch):
    masks = []

    def noted(n, part, groups, rng):
        masks.append(set_aside(n, part, groups, rng))
        return masks[-1]

    monkeypatch.setattr(gradient_boosting, "set_aside", noted)
    X, y = data(200)
    groups = np.array([f"system {number}" for number in np.arange(200) // 7])
    XGBoostEnsemble(**SMALL, early_stopping_rounds=5).fit(X, y, groups=groups)
    assert len(masks) == 3
    assert (masks[0] != masks[1]).any()
    for aside in masks:
        assert not set(groups[aside]) & set(groups[~aside])
        assert 0.1 < aside.mean() <= 0.15


def test_rows_set_aside_are_not_learnt_from(monkeypatch):
    X, y = data(200)
    aside = np.arange(200) < 30
    monkeypatch.setattr(gradient_boosting, "set_aside", lambda *_: aside)
    wild = np.where(aside, 1e3, y)
    ensemble = XGBoostEnsemble(**SMALL, early_stopping_rounds=100).fit(X, wild)
    assert np.abs(ensemble.predict(X).mean).max() < 10


def test_with_few_rows_none_are_set_aside():
    X, y = data(EARLY_STOPPING_ROWS - 1)
    without, stopped = (XGBoostEnsemble(**SMALL, early_stopping_rounds=n).fit(X, y).predict(X) for n in (0, 5))
    assert (without.mean == stopped.mean).all()


@given(st.lists(st.integers(0, 8), min_size=2, max_size=60), st.floats(0.01, 0.5), st.integers(0, 2**32 - 1))
def test_groups_are_set_aside_as_a_whole_and_some_remain(labels, part, seed):
    groups = np.unique(labels, return_inverse=True)[1]
    aside = set_aside(len(groups), part, groups, np.random.default_rng(seed))
    assert aside.any()
    assert not aside.all()
    sizes = np.bincount(groups)
    if len(sizes) > 1:
        assert not set(groups[aside]) & set(groups[~aside])
        assert aside.sum() <= max(part * len(groups), sizes.min())


def test_classes_that_rows_set_aside_took_all_of_leave_a_model(monkeypatch):
    X, _ = data(120)
    labels = (np.arange(120) < 10) * 1.0
    monkeypatch.setattr(gradient_boosting, "set_aside", lambda *_: labels == 1)
    ensemble = XGBoostEnsemble(**SMALL, task="classification", early_stopping_rounds=5).fit(X, labels)
    assert (ensemble.predict(X).mean < 0.1).all()


def test_an_absolute_error_is_not_led_astray_by_a_few_wild_targets():
    X, y = data(400)
    wild = np.where(np.arange(400) % 20 == 0, y + 300, y)
    unseen, truth = data(300, seed=1)

    def error(objective):
        return np.abs(XGBoostEnsemble(**SMALL, objective=objective).fit(X, wild).predict(unseen).mean - truth).mean()

    squared, absolute = error("squared_error"), error("absolute_error")
    assert absolute < 0.2 * squared


def test_unknown_features_take_the_way_that_training_found(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    unknown = rng.random(300) < 0.5
    X[unknown, 0] = np.nan
    ensemble = XGBoostEnsemble(missing="native", column_fraction=1.0).fit(X, 5.0 * unknown)
    assert np.abs(ensemble.predict(X).mean - 5.0 * unknown).mean() < 0.05
    ensemble.save(tmp_path)
    assert (load_surrogate(tmp_path).predict(X).mean == ensemble.predict(X).mean).all()


def test_members_are_kept_in_xgboosts_own_format(tmp_path):
    X, y = data()
    ensemble = XGBoostEnsemble(**SMALL).fit(X, y)
    ensemble.save(tmp_path)
    files = sorted(tmp_path.glob("*.ubj"))
    assert len(files) == 3
    member = xgboost.Booster(model_file=str(files[1]))
    assert (member.inplace_predict(X) == ensemble._members[1].inplace_predict(X)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_depth": 0}, "max_depth and max_leaves are both 0"),
        ({"objective": "huber"}, r"option objective must be one of .* got 'huber'\. Did you mean pseudo_huber\?"),
        ({"objective": "absolute_error", "task": "classification"}, "objective is one of a regression"),
        ({"validation_part": 0.7}, r"option validation_part must be a number > 0 and <= 0\.5, got 0\.7"),
        ({"grow_policy": "depth"}, "option grow_policy must be one of depthwise, lossguide"),
        ({"huber_slope": 0}, "option huber_slope must be a number > 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        XGBoostEnsemble(**options)


def test_members_of_equal_weights_are_xgboosts_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    y = X[:, 0] * X[:, 1]
    whole = {"n_members": 2, "n_trees": 10, "row_fraction": 1.0, "column_fraction": 1.0}
    same = XGBoostEnsemble(row_weights="equal", **whole).fit(X, y).predict(X)
    assert (same.std < 1e-6).all()  # nothing is left to differ by
    assert XGBoostEnsemble(**whole).fit(X, y).predict(X).std.max() > 0.01
    assert XGBoostEnsemble(row_weights="equal", **whole | {"row_fraction": 0.5}).fit(X, y).predict(X).std.max() > 0.01
    with pytest.raises(UserError, match="option row_weights must be one of bayesian, equal"):
        XGBoostEnsemble(row_weights="none")
