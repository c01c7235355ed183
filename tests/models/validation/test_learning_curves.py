from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models.prediction import Prediction
from matscout.models.registry import make_surrogate
from matscout.models.validation import LearningCurve, learning_curve, make_splits
from matscout.models.validation.learning_curves import curve_of, fit_power_law, fit_saturating

SIZES = np.array([10.0, 20, 40, 80, 160, 320])


class Wrong:
    """Wrong by n^-1/2 for each row, where n is what it learnt from."""

    takes = "features"

    def __init__(self, seen):
        self.seen = seen

    def fit(self, X, y, groups=None):
        self.n = len(y)
        self.seen.append((X.values[:, 0].tolist(), None if groups is None else groups.tolist()))
        return self

    def predict(self, X):
        return Prediction(X.values[:, 0] + self.n**-0.5, np.ones(len(X)))


@pytest.fixture
def seen():
    return []


@pytest.fixture
def curve(seen):
    X = np.arange(200.0)[:, None]
    return learning_curve(lambda: Wrong(seen), X, X[:, 0], repeats=3)


def test_the_law_of_a_known_error_is_found(curve):
    assert curve.sizes == (10, 20, 40, 80, 160)
    assert curve.mae == pytest.approx([n**-0.5 for n in curve.sizes])
    assert (curve.power_law.a, curve.power_law.b) == pytest.approx((1, 0.5))
    assert (curve.saturating.a, curve.saturating.b, curve.saturating.c) == pytest.approx((1, 0.5, 0), abs=1e-3)
    assert curve.still_falls
    assert curve.mae_of_double == pytest.approx(320**-0.5, rel=1e-3)
    assert curve.std[:-1] == pytest.approx([0] * 4, abs=1e-12)
    assert curve.n_test == 40


def test_subsets_grow_within_a_repeat_and_differ_between_them(seen, curve):
    runs = [[set(rows) for rows, _ in seen[i : i + n]] for i, n in ((0, 5), (5, 4), (9, 4))]
    for run in runs:
        assert all(small < large for small, large in pairwise(run))
    assert runs[0][0] != runs[1][0] != runs[2][0]


def test_all_rows_are_learnt_from_once(seen, curve):
    assert [len(rows) for rows, _ in seen].count(160) == 1
    assert [len(run) for run in curve.runs] == [3, 3, 3, 3, 1]
    assert curve.std[-1] is None
    told = []
    learning_curve(
        lambda: Wrong(seen),
        np.arange(25.0)[:, None],
        np.arange(25.0),
        sizes=[10, 20],
        repeats=2,
        progress=told_by(told),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def told_by(told):
    return lambda done, n: told.append((done, n))


def test_a_largest_size_of_less_than_all_rows_is_drawn_each_time(seen):
    X = np.arange(50.0)[:, None]
    curve = learning_curve(lambda: Wrong(seen), X, X[:, 0], sizes=[10, 20], repeats=3)
    assert [len(run) for run in curve.runs] == [3, 3]
    assert None not in curve.std


def test_subsets_are_made_of_whole_groups_that_are_not_tested(seen):
    X, groups = np.arange(60.0)[:, None], np.repeat(np.arange(12), 5)
    curve = learning_curve(lambda: Wrong(seen), X, X[:, 0], groups=groups, sizes=[20, 50], repeats=2)
    assert curve.n_test == 10
    tested = set(groups.tolist()) - {groups[int(row)] for rows, _ in seen for row in rows}
    assert len(tested) == 2
    for rows, labels in seen:
        assert [groups[int(row)] for row in rows] == labels
        assert sorted(np.bincount(labels)[np.unique(labels)].tolist()) == [5] * (len(rows) // 5)


@given(st.floats(0.05, 20), st.floats(0.1, 1.5), st.floats(0, 1))
def test_a_law_is_found_again(a, b, c):
    mae = a * SIZES**-b + c
    law = fit_saturating(SIZES, mae)
    assert law.at(SIZES) == pytest.approx(mae, rel=1e-3)
    assert law.c >= 0
    assert fit_power_law(SIZES, a * SIZES**-b).b == pytest.approx(b)


def test_saturation_is_told_from_a_falling_curve():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.002, (6, 8))
    flat = curve_from((0.5 * SIZES**-1.2 + 0.1)[:, None] + noise)
    falling = curve_from((0.5 * SIZES**-0.4)[:, None] + noise)
    assert flat.saturating.c == pytest.approx(0.1, abs=0.01)
    assert not flat.still_falls
    assert falling.still_falls


def curve_from(mae, n_test=9):
    """Curve of errors that are the same for all tested rows, shape (n_sizes, repeats)."""
    errors = [[np.full(n_test, error) for error in of_size] for of_size in mae]
    sizes = SIZES.astype(int).tolist()[: len(mae)]
    return curve_of(sizes, errors, np.ones_like(mae), groups=np.arange(n_test), repeats=len(mae[0]))


def last_two(before, after, groups=None):
    """Curve whose last two sizes have these errors, shape (trainings, n_test)."""
    n_test = len(before[0])
    labels = np.arange(n_test) if groups is None else groups
    return curve_of([10, 20], [before, after], [[1.0], [1.0]], groups=labels, repeats=len(before))


def test_whether_the_error_falls_is_judged_by_pairs_of_rows():
    rng = np.random.default_rng(0)
    hard = np.abs(rng.normal(0, 1.0, 200))  # rows differ much, but by the same at both sizes
    noise = rng.normal(0, 0.01, 200)
    assert last_two([hard + 0.005, hard + 0.005], [hard + noise]).still_falls
    assert not last_two([hard, hard], [hard + noise]).still_falls
    # the error of a t-test of paired rows, from outside
    from scipy.stats import ttest_1samp

    for fall in (0.0005, 0.0012, 0.0016, 0.003):
        t = ttest_1samp(fall - noise, 0).statistic
        assert last_two([hard + fall] * 2, [hard + noise]).still_falls == (t > 2)


def test_rows_of_one_group_are_one_piece_of_evidence():
    noise = np.random.default_rng(0).normal(0, 0.01, 10)
    before, after = np.full((2, 200), 0.105), [0.1 + np.repeat(noise, 20)]
    assert last_two(before, after).still_falls
    assert not last_two(before, after, np.repeat(np.arange(10), 20)).still_falls
    assert not last_two(before, after, np.zeros(200, dtype=int)).still_falls


def test_subsets_that_differ_much_leave_it_open_whether_the_error_falls():
    before = np.array([np.full(50, 0.30), np.full(50, 0.10)])
    assert not last_two(before, [np.full(50, 0.15)]).still_falls
    assert last_two(before, before - 0.05).still_falls  # both sizes of one repeat go up and down together


class Calibrations:
    """Count how often a calibrated surrogate is trained."""

    def __init__(self, monkeypatch):
        from matscout.models.calibration import CalibratedSurrogate

        self.n = 0
        fit = CalibratedSurrogate.fit

        def counted(surrogate, *data):
            self.n += 1
            return fit(surrogate, *data)

        monkeypatch.setattr(CalibratedSurrogate, "fit", counted)


@pytest.mark.parametrize(
    ("options", "calibrated"),
    [({}, 0), ({"transform": "log"}, 3), ({"task": "classification"}, 3)],
)
def test_a_calibration_that_changes_no_mean_is_left_out(monkeypatch, options, calibrated):
    count = Calibrations(monkeypatch)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    y = (X[:, 0] > 0).astype(float) if "task" in options else np.exp(X[:, 0])
    curve = learning_curve("ridge", X, y, sizes=[20, 40], repeats=2, options=options)
    assert count.n == calibrated
    assert all(np.isfinite(curve.mae))


def test_the_error_without_calibration_is_that_with_it():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + rng.normal(0, 0.1, 60)
    curve = learning_curve("extra_trees", X, y, sizes=[20, 48], repeats=2, options={"n_trees": 10})
    split = make_splits("hold-out", y)[0]
    surrogate = make_surrogate("extra_trees", n_trees=10).fit(X[split.train], y[split.train])
    assert curve.runs[-1] == (np.abs(surrogate.predict(X[split.test]).mean - y[split.test]).mean(),)


def test_three_sizes_are_too_few_for_a_saturation():
    curve = curve_from(np.ones((3, 2)))
    assert curve.saturating is None
    assert curve.mae_of_double is None


def test_an_error_of_zero_has_a_law():
    curve = curve_from(np.zeros((4, 2)))
    assert np.isfinite([curve.power_law.a, curve.power_law.b, curve.saturating.c]).all()


def test_a_curve_survives_json(curve):
    assert LearningCurve.from_dict(json.loads(json.dumps(curve.as_dict()))) == curve


def test_the_same_seed_gives_the_same_curve():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + rng.normal(0, 0.1, 60)
    first, again, other = (
        learning_curve("extra_trees", X, y, sizes=[15, 40], repeats=2, seed=seed, options={"n_trees": 10})
        for seed in (0, 0, 1)
    )
    assert first.runs == again.runs
    assert first.runs != other.runs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sizes": [5]}, r"two or more between 2 and 24, .* got \[5\]"),
        ({"sizes": [5, 25]}, r"got \[5, 25\]"),
        ({"sizes": [1, 10]}, r"got \[1, 10\]"),
        ({"repeats": 1}, "repeats must be an integer >= 2"),
        ({"test_part": 0.8}, "6 rows are too few for a learning curve"),
    ],
)
def test_mistakes_are_named(seen, arguments, said):
    X = np.arange(30.0)[:, None]
    with pytest.raises(UserError, match=said):
        learning_curve(lambda: Wrong(seen), X, X[:, 0], **arguments)


def test_an_error_in_training_names_the_size():
    X = np.arange(40.0)[:, None]
    with pytest.raises(UserError, match=r"learning curve, 2 rows to learn from"):
        learning_curve("dummy", X, np.ones(40), sizes=[2, 20])
