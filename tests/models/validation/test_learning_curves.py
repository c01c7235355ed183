from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models.base import Prediction
from matscout.models.validation import LearningCurve, learning_curve
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
    assert curve.std == pytest.approx([0] * 5, abs=1e-12)
    assert curve.n_test == 40


def test_subsets_grow_within_a_repeat_and_differ_between_them(seen, curve):
    runs = [[set(rows) for rows, _ in seen[i : i + 5]] for i in range(0, 15, 5)]
    for run in runs:
        assert all(small < large for small, large in pairwise(run))
    assert runs[0][0] != runs[1][0] != runs[2][0]
    assert runs[0][-1] == runs[1][-1] == runs[2][-1]  # all rows that are not tested


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
    flat = curve_of(SIZES.astype(int).tolist(), (0.5 * SIZES**-1.2 + 0.1)[:, None] + noise, np.ones((6, 8)), n_test=9)
    falling = curve_of(SIZES.astype(int).tolist(), (0.5 * SIZES**-0.4)[:, None] + noise, np.ones((6, 8)), n_test=9)
    assert flat.saturating.c == pytest.approx(0.1, abs=0.01)
    assert not flat.still_falls
    assert falling.still_falls


def test_three_sizes_are_too_few_for_a_saturation():
    curve = curve_of([10, 20, 40], np.ones((3, 2)), np.ones((3, 2)), n_test=5)
    assert curve.saturating is None
    assert curve.mae_of_double is None


def test_an_error_of_zero_has_a_law():
    curve = curve_of([10, 20, 40, 80], np.zeros((4, 2)), np.ones((4, 2)), n_test=5)
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
        ({"test_part": 0.8}, "needs two sizes, and 6 rows are there"),
    ],
)
def test_mistakes_are_named(seen, arguments, said):
    X = np.arange(30.0)[:, None]
    with pytest.raises(UserError, match=said):
        learning_curve(lambda: Wrong(seen), X, X[:, 0], **arguments)


def test_an_error_in_training_names_the_size():
    X = np.arange(40.0)[:, None]
    with pytest.raises(UserError, match=r"learning curve, 2 rows to learn from"):
        learning_curve("dummy", X, X[:, 0], sizes=[2, 20])
