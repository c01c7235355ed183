from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models import make_surrogate
from matscout.models.validation import Split, cross_validate, make_splits


def test_each_row_is_predicted_by_what_has_not_seen_it(line, nearest):
    X, y = line
    seen = []
    splits = make_splits("k-fold", y, seed=1)
    validation = cross_validate(lambda: nearest(seen), X, y, splits)
    for split, (trained, _, _) in zip(splits, seen, strict=True):
        assert not set(trained[:, 0].tolist()) & set(X[split.test, 0].tolist())
    for row, fold in enumerate(validation.fold_of_row.tolist()):
        assert row in splits[fold].test
        known = y[splits[fold].train]
        assert validation.by_row().mean[row] == known[np.abs(known - y[row]).argmin()]


def test_predictions_stand_in_the_order_of_their_splits(line, nearest):
    X, y = line
    splits = make_splits("monte-carlo", y, repeats=3, test_part=0.5)
    validation = cross_validate(nearest, X, y, splits)
    assert len(validation) == 60
    assert validation.rows.tolist() == np.concatenate([split.test for split in splits]).tolist()
    assert validation.split.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert validation.n_train == (20, 20, 20)
    assert validation.scheme == "monte-carlo"
    first = {row: number for number in (2, 1, 0) for row in splits[number].test.tolist()}
    assert validation.fold_of_row.tolist() == [first.get(row, -1) for row in range(40)]
    with pytest.raises(UserError, match=r"row \d+ is predicted \d times: .* after k-fold"):
        validation.by_row()


def test_groups_reach_the_surrogate(line, nearest):
    X, y = line
    groups = np.array(["b", "a", "d", "c"])[np.arange(40) % 4]
    seen = []
    splits = make_splits("k-fold", y, groups, folds=4)
    cross_validate(lambda: nearest(seen), X, y, splits, groups=groups)
    assert [len(set(labels.tolist())) for _, _, labels in seen] == [3] * 4


def test_a_named_surrogate_is_calibrated_in_each_split():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = X[:, 0] + rng.normal(0, 0.1, 80)
    splits = make_splits("k-fold", y, folds=2)
    validation = cross_validate("extra_trees", X, y, splits, options={"n_trees": 20, "seed": 3})
    assert (validation.surrogate, validation.options["n_trees"], validation.options["seed"]) == ("extra_trees", 20, 3)
    assert [report["n"] for report in validation.calibrations] == [40, 40]
    surrogate = make_surrogate("extra_trees", n_trees=20, seed=3).fit(X[splits[1].train], y[splits[1].train])
    alone = surrogate.predict(X[splits[1].test])
    mine = validation.split == 1
    assert np.array_equal(validation.prediction.mean[mine], alone.mean)
    assert np.array_equal(validation.prediction.std[mine], alone.std)
    assert np.array_equal(validation.intervals[90][mine], np.column_stack(alone.interval(90)))


def test_each_row_has_the_interval_of_its_own_split(line, nearest):
    X, y = line

    class Certain(nearest):
        def predict(self, X):
            prediction = super().predict(X)
            object.__setattr__(prediction, "factors", {90: float(self._y.mean())})
            return prediction

    splits = make_splits("k-fold", y, folds=4)
    validation = cross_validate(Certain, X, y, splits)
    lower, upper = validation.intervals[90].T
    factors = np.array([y[split.train].mean() for split in splits])[validation.split]
    assert (upper - lower) / 2 / validation.prediction.std == pytest.approx(factors)


def test_the_hash_tells_other_rows_and_targets(line, nearest):
    X, y = line
    splits = make_splits("hold-out", y)
    hashes = [cross_validate(nearest, *data, splits).data.hash for data in ((X, y), (X, y), (X, y + 1), (X + 1, y))]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_progress_is_told_after_each_split(line, nearest):
    X, y = line
    told = []
    cross_validate(nearest, X, y, make_splits("k-fold", y), progress=lambda done, n: told.append((done, n)))
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_surrogate_of_compositions_takes_formulas(nearest):
    class OfCompositions(nearest):
        takes = "compositions"

        def fit(self, X, y, groups=None):
            self._y = np.asarray(y)
            return self

        def predict(self, X):
            from matscout.models.prediction import Prediction

            return Prediction(X.fractions.max(axis=1), np.ones(len(X)))

    formulas = ["NaCl", "MgF2", "Fe2O3", "KBr"]
    validation = cross_validate(OfCompositions, formulas, [1.0, 2, 3, 4], make_splits("k-fold", 4, folds=2))
    assert validation.by_row().mean == pytest.approx([1 / 2, 2 / 3, 3 / 5, 1 / 2])
    assert validation.data.kind == "compositions"


def rows(*numbers):
    return np.array(numbers, dtype=np.intp)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ([], "no splits"),
        ([Split(rows(0, 1), rows(1, 2), "mine")], "mine: 1 rows are in training and test, the first is row 1"),
        ([Split(rows(0, 1), rows(40), "mine")], "mine: the split is not of these 40 rows, it names row 40"),
        ([Split(rows(0, 1), rows(), "mine")], "mine: a part is empty"),
    ],
)
def test_splits_that_cannot_be_are_refused(line, nearest, splits, said):
    with pytest.raises(UserError, match=said):
        cross_validate(nearest, *line, splits)


def test_an_error_in_training_names_its_split():
    X, y = np.arange(20.0)[:, None], np.append(np.zeros(19), 1.0)
    splits = make_splits("leave-one-prototype-out", 20, prototypes=["A"] * 19 + ["B"])
    with pytest.raises(UserError, match=r"B, 19 rows to learn from: all 19 targets are 0"):
        cross_validate("dummy", X, y, splits[1:])


def test_targets_and_options_are_checked(line, nearest):
    X, y = line
    with pytest.raises(UserError, match="one target per row, 40 of them"):
        cross_validate(nearest, X, y[:-1], make_splits("k-fold", 40))
    with pytest.raises(UserError, match="give options with the name"):
        cross_validate(nearest, X, y, make_splits("k-fold", 40), options={"seed": 1})


def test_a_part_too_small_to_be_calibrated_leaves_the_others_their_intervals():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + rng.standard_t(2, 60)
    splits = [
        Split(np.arange(8), np.arange(40, 60), "small"),
        Split(np.arange(40), np.arange(40, 60), "large"),
    ]
    validation = cross_validate("ridge", X, y, splits)
    large = make_surrogate("ridge").fit(X[:40], y[:40]).predict(X[40:])
    assert sorted(validation.intervals) == sorted(large.factors)
    for percent, ends in validation.intervals.items():
        assert np.array_equal(ends[20:], np.column_stack(large.interval(percent)))
        half = (ends[:20, 1] - ends[:20, 0]) / 2
        assert half / validation.prediction.std[:20] == pytest.approx(norm.ppf(0.5 + percent / 200))
    assert large.factors[90] != pytest.approx(norm.ppf(0.95), rel=1e-3)


def test_parts_that_are_all_small_have_normal_intervals():
    X = np.random.default_rng(0).normal(size=(16, 2))
    validation = cross_validate("ridge", X, X[:, 0] ** 2, make_splits("k-fold", 16, folds=2))
    lower, upper = validation.intervals[90].T
    assert (upper - lower) / 2 / validation.prediction.std == pytest.approx(norm.ppf(0.95))


def test_a_target_may_depend_on_the_rows_that_are_known(line, nearest):
    X, y = line
    seen = []
    splits = make_splits("k-fold", y, folds=2)
    cross_validate(lambda: nearest(seen), X, y, splits, learnt=lambda rows: y[rows] - y[rows].max())
    for split, (_, target, _) in zip(splits, seen, strict=True):
        assert np.array_equal(target, y[split.train] - y[split.train].max())
    with pytest.raises(UserError, match=r"fold 1 of 2, .* a target to learn of each of 20 rows, got the shape \(1,\)"):
        cross_validate(nearest, X, y, splits, learnt=lambda rows: y[:1])
