from __future__ import annotations

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models import make_surrogate
from matscout.models.delta import DeltaSurrogate

SMALL = {"n_trees": 40}


def funnel(n, seed=0, share=0.5, noise=0.02):
    """Features, a dear result and a cheap one, that is shifted, steeper, and known of some rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    dear = X[:, 0] + np.sin(3 * X[:, 1]) + 0.3 * rng.normal(size=n)
    cheap = 1.25 * dear + 0.4 + 0.1 * X[:, 2] + noise * rng.normal(size=n)
    return X, dear, np.where(rng.random(n) < share, cheap, np.nan)


def covered(prediction, truth):
    lower, upper = prediction.interval(90)
    return float(((lower <= truth) & (truth <= upper)).mean())


@pytest.mark.parametrize("mode", ["correct", "feature"])
def test_a_cheap_result_makes_a_row_better_known_and_both_kinds_are_calibrated(mode):
    X, dear, cheap = funnel(500)
    unseen, truth, their_cheap = funnel(3000, seed=1)
    surrogate = DeltaSurrogate("extra_trees", mode=mode, **SMALL, column_fraction=1.0)
    prediction = surrogate.fit(X, dear, baseline=cheap).predict(unseen, baseline=their_cheap)
    known = ~np.isnan(their_cheap)
    error = np.abs(prediction.mean - truth)
    assert error[known].mean() < 0.5 * error[~known].mean()
    assert prediction.std[known].mean() < 0.6 * prediction.std[~known].mean()
    for rows in (known, ~known):
        assert covered(prediction.take(rows), truth[rows]) == pytest.approx(0.9, abs=0.06)


def test_rows_without_a_cheap_result_are_those_of_the_plain_surrogate():
    X, dear, cheap = funnel(120)
    delta = DeltaSurrogate("extra_trees", **SMALL).fit(X, dear, baseline=cheap)
    plain = make_surrogate("extra_trees", **SMALL).fit(X, dear).predict(X)
    for found in (delta.predict(X), delta.predict(X, baseline=np.full(120, np.nan))):
        for part in ("mean", "std", "distance"):
            np.testing.assert_array_equal(getattr(found, part), getattr(plain, part))
    mixed = delta.predict(X, baseline=cheap)
    unknown = np.isnan(cheap)
    np.testing.assert_array_equal(mixed.take(unknown).std, plain.take(unknown).std)
    np.testing.assert_array_equal(mixed.take(unknown).interval(80), plain.take(unknown).interval(80))
    assert set(delta.calibrations) == {"known", "unknown"}


def test_the_slope_is_that_of_the_least_squares_line():
    X, dear, cheap = funnel(200)
    delta = DeltaSurrogate("dummy").fit(X, dear, baseline=cheap)
    known = ~np.isnan(cheap)
    assert delta.slope == pytest.approx(np.polyfit(cheap[known], dear[known], 1)[0])


def test_a_correction_that_needs_no_features_is_exact():
    X, dear, _ = funnel(100)
    prediction = (
        DeltaSurrogate("dummy").fit(X, dear, baseline=2 * dear + 3 + 1e-9 * X[:, 0]).predict(X, baseline=2 * dear + 3)
    )
    assert prediction.mean == pytest.approx(dear, abs=1e-7)


def test_a_cheap_result_that_tells_nothing_does_no_harm():
    X, dear, _ = funnel(300)
    unseen, truth, _ = funnel(2000, seed=1)
    rng = np.random.default_rng(5)
    delta = DeltaSurrogate("extra_trees", **SMALL).fit(X, dear, baseline=100 * rng.normal(size=300))
    plain = make_surrogate("extra_trees", **SMALL).fit(X, dear).predict(unseen)
    found = delta.predict(unseen, baseline=100 * rng.normal(size=2000))
    assert abs(delta.slope) < 0.01
    assert np.abs(found.mean - truth).mean() < 1.1 * np.abs(plain.mean - truth).mean()


def test_too_few_cheap_results_correct_nothing():
    X, dear, cheap = funnel(60, share=1.0)
    cheap[9:] = np.nan
    delta = DeltaSurrogate("extra_trees", **SMALL).fit(X, dear, baseline=cheap)
    assert delta.slope is None
    assert set(delta.calibrations) == {"unknown"}
    plain = make_surrogate("extra_trees", **SMALL).fit(X, dear)
    np.testing.assert_array_equal(delta.predict(X, baseline=cheap).mean, plain.predict(X).mean)


def test_compositions_can_be_corrected_but_get_no_feature():
    with pytest.raises(UserError, match="takes compositions, to which no feature is added: use mode correct"):
        DeltaSurrogate("composition_network", mode="feature")


@pytest.mark.parametrize("mode", ["correct", "feature"])
def test_it_is_kept_and_predicts_the_same_numbers(mode, tmp_path):
    X, dear, cheap = funnel(120)
    delta = DeltaSurrogate("extra_trees", mode=mode, seed=4, **SMALL).fit(X, dear, np.arange(120) // 3, baseline=cheap)
    delta.save(tmp_path)
    kept = DeltaSurrogate.load(tmp_path)
    for baseline in (cheap, None):
        first, second = (one.predict(X, baseline=baseline) for one in (delta, kept))
        for part in ("mean", "std", "distance"):
            np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
        np.testing.assert_array_equal(first.interval(90), second.interval(90))
    assert kept.slope == delta.slope


def test_columns_keep_their_names_and_order(tmp_path):
    import pandas as pd

    X, dear, cheap = funnel(60)
    frame = pd.DataFrame(X, columns=list("abcde"))
    delta = DeltaSurrogate("extra_trees", mode="feature", **SMALL).fit(frame, dear, baseline=cheap)
    with pytest.raises(UserError, match="another order"):
        delta.predict(frame[list("edcba")], baseline=cheap)


def test_options_may_be_numpys_numbers(tmp_path):
    X, dear, cheap = funnel(40)
    options = {"n_trees": np.int64(5), "column_fraction": np.float64(0.5), "folds": np.int64(4)}
    delta = DeltaSurrogate("extra_trees", **options).fit(X, dear, baseline=cheap)
    delta.save(tmp_path)
    kept = DeltaSurrogate.load(tmp_path)
    assert kept.options == {"n_trees": 5, "column_fraction": 0.5, "folds": 4}
    np.testing.assert_array_equal(kept.predict(X, baseline=cheap).mean, delta.predict(X, baseline=cheap).mean)


def test_what_cannot_be_corrected_is_refused(tmp_path):
    X, dear, cheap = funnel(30)
    delta = DeltaSurrogate("dummy")
    with pytest.raises(UserError, match="no row has a cheap result"):
        delta.fit(X, dear, baseline=np.full(30, np.nan))
    with pytest.raises(UserError, match=r"one cheap result per row, shape \(30,\), NaN where unknown, got \(3,\)"):
        delta.fit(X, dear, baseline=cheap[:3])
    with pytest.raises(UserError, match="cheap result of row 2 is infinite"):
        delta.fit(X, dear, baseline=np.r_[1.0, 2.0, np.inf, np.ones(27)])
    with pytest.raises(UserError, match="option mode must be one of correct, feature"):
        DeltaSurrogate("dummy", mode="correction")
    with pytest.raises(UserError, match="no transform: use mode feature"):
        DeltaSurrogate("dummy", transform="log")
    with pytest.raises(UserError, match="leave the task classification out"):
        DeltaSurrogate("dummy", task="classification")
    with pytest.raises(UserError, match="no delta surrogate is kept in"):
        DeltaSurrogate.load(tmp_path)
    with pytest.raises(RuntimeError, match="fit the surrogate"):
        delta.save(tmp_path)
