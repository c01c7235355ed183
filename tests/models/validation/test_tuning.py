from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.models import SURROGATES, make_surrogate
from matscout.models.report import ReportCard, make_report_card
from matscout.models.validation import Range, TunedSurrogate, cross_validate, default_space, make_splits, tune
from matscout.models.validation.spaces import draw_options


@pytest.fixture(scope="module")
def noisy():
    """A target of one feature among noise: leaves of one row learn the noise by heart."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    return X, 0.3 * np.sign(X[:, 0]) + rng.normal(0, 1.0, 120)


FEW = {"n_trees": 20}


def test_the_best_options_are_those_that_do_best_on_the_validation_part():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 4)), rng.normal(size=600)  # nothing to learn: the smoother the better
    tuning = tune(
        "extra_trees", X, y, space={"min_leaf": [1, 50]}, n_trials=3, validation_part=0.5, options=FEW, seed=2
    )
    split = make_splits("hold-out", y, test_part=0.5, seed=2)[0]
    scores = []
    for trial in tuning.trials:
        surrogate = make_surrogate("extra_trees", **FEW, **trial.options).surrogate
        surrogate.fit(X[split.train], y[split.train])
        scores.append(np.abs(surrogate.predict(X[split.test]).mean - y[split.test]).mean())
    assert [trial.score for trial in tuning.trials] == pytest.approx(scores)
    assert tuning.best.score == min(trial.score for trial in tuning.trials)
    assert tuning.best.options == {"min_leaf": 50}
    assert (tuning.n_train, tuning.n_validation) == (300, 300)


def test_options_by_default_come_first_and_fewer_trials_are_the_first_of_more(noisy):
    few, more = (tune("extra_trees", *noisy, n_trials=n, options=FEW) for n in (2, 4))
    assert few.trials[0].options == {}
    assert [trial.options for trial in few.trials] == [trial.options for trial in more.trials[:2]]
    assert [trial.score for trial in few.trials] == [trial.score for trial in more.trials[:2]]
    assert more.best.score <= few.best.score


def test_a_small_space_is_not_tried_twice(noisy):
    tuning = tune("extra_trees", *noisy, space={"min_leaf": [2, 3]}, n_trials=10, options=FEW)
    assert sorted(trial.options.get("min_leaf", 0) for trial in tuning.trials) == [0, 2, 3]


def test_a_failed_trial_is_one_of_the_results(noisy):
    tuning = tune("extra_trees", *noisy, space={"min_leaf": [-1]}, n_trials=2, options=FEW)
    assert tuning.trials[1].score is None
    assert "min_leaf must be an integer" in tuning.trials[1].error
    assert tuning.best is tuning.trials[0]
    assert json.loads(json.dumps(tuning.as_dict()))["trials"][1]["options"] == {"min_leaf": -1}


def test_nothing_is_chosen_where_all_trials_fail(noisy):
    X, _ = noisy
    with pytest.raises(UserError, match=r"none of 2 trials of extra_trees succeeded, the first: UserError: all 96"):
        tune("extra_trees", X, np.ones(120), n_trials=2)


def test_no_group_is_in_both_inner_parts(noisy, monkeypatch):
    from matscout.models.forests import ExtraTrees

    seen = []
    fit = ExtraTrees.fit
    monkeypatch.setattr(
        ExtraTrees, "fit", lambda self, X, y, groups=None: seen.append(groups) or fit(self, X, y, groups)
    )
    groups = np.arange(120) // 10
    tuning = tune("extra_trees", *noisy, groups, n_trials=1, options=FEW)
    assert tuning.n_validation % 10 == 0
    assert len(np.unique(seen[0])) == 12 - tuning.n_validation // 10


@pytest.mark.parametrize("metric", ["mae", "rmse", "nll", "crps"])
def test_any_metric_can_be_made_small(noisy, metric):
    tuning = tune("extra_trees", *noisy, space={"min_leaf": [10]}, n_trials=2, metric=metric, options=FEW)
    assert all(np.isfinite(trial.score) for trial in tuning.trials)


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_probabilities_are_tuned_too(noisy, metric):
    X, y = noisy
    options = FEW | {"task": "classification"}
    tuning = tune("extra_trees", X, y > 0, space={"min_leaf": [10]}, n_trials=2, metric=metric, options=options)
    assert tuning.best.options == {"min_leaf": 10}
    assert tuning.best.score < tuning.trials[0].score


def test_a_tuned_surrogate_chooses_from_its_training_part_only(noisy):
    X, y = noisy
    poisoned = y.copy()
    split = make_splits("hold-out", y)[0]
    poisoned[split.test] = 1e6
    found = []
    for target in (y, poisoned):
        tuned = TunedSurrogate("extra_trees", n_trials=3, options=FEW)
        validation = cross_validate(lambda tuned=tuned: tuned, X, target, [split])
        found.append((tuned.tuning.best.options, [t.score for t in tuned.tuning.trials], validation.prediction.mean))
    assert found[0][:2] == found[1][:2]
    assert np.array_equal(found[0][2], found[1][2])
    assert validation.surrogate == "extra_trees"


def test_a_validation_tells_what_each_split_chose(noisy):
    X, y = noisy
    splits = make_splits("k-fold", y, folds=2)
    validation = cross_validate(lambda: TunedSurrogate("extra_trees", n_trials=3, options=FEW, seed=5), X, y, splits)
    best = [tune("extra_trees", X[s.train], y[s.train], n_trials=3, options=FEW, seed=5).best.options for s in splits]
    assert validation.chosen == tuple(best)
    assert any(best)
    search = {"n_trials": 3, "metric": "mae", "validation_part": 0.2, "seed": 5}
    assert validation.options == {"n_trees": 20, "tuning": search | {"searched": ["column_fraction", "min_leaf"]}}
    card = make_report_card(validation, y)
    assert [split.chosen for split in card.by_split] == best
    assert ReportCard.from_dict(json.loads(json.dumps(card.as_dict()))) == card


def test_a_surrogate_that_is_not_tuned_has_chosen_nothing(noisy):
    X, y = noisy
    validation = cross_validate("dummy", X, y, make_splits("k-fold", y, folds=2))
    assert validation.chosen == ()
    assert [split.chosen for split in make_report_card(validation, y).by_split] == [{}, {}]


def test_kinds_of_rows_reach_the_calibration_of_a_tuned_surrogate(noisy):
    X, y = noisy
    kinds = np.where(np.arange(120) % 2, "rock-salt", "CsCl")
    y = np.where(kinds == "CsCl", 0.01, 1.0) * y
    split = make_splits("hold-out", y)[0]
    space = {"min_leaf": [5]}
    tuned = cross_validate(
        lambda: TunedSurrogate("extra_trees", space=space, n_trials=2, options=FEW), X, y, [split], kinds=kinds
    )
    best = make_surrogate("extra_trees", **FEW, **tuned.chosen[0])
    best.fit(X[split.train], y[split.train], kinds=kinds[split.train])
    alone = best.predict(X[split.test], kinds[split.test])
    assert np.array_equal(tuned.prediction.std, alone.std)
    assert np.array_equal(tuned.intervals[90], np.column_stack(alone.interval(90)))
    assert tuned.calibrations[0]["kinds"] == {"CsCl": 49, "rock-salt": 47}


def test_a_tuned_surrogate_keeps_its_name_behind_a_transform():
    tuned = TunedSurrogate("extra_trees", n_trials=1, options=FEW | {"transform": "classify-then-regress"})
    X = np.random.default_rng(0).normal(size=(80, 2))
    y = np.where(X[:, 0] > 0, X[:, 0], 0.0)
    validation = cross_validate(lambda: tuned, X, y, make_splits("hold-out", y))
    assert validation.surrogate == "extra_trees"


def test_what_is_searched_of_a_transfer_depends_on_its_mode_and_task():
    assert default_space("chgnet_transfer")["head"][0] == "gaussian_process"
    assert "gaussian_process" not in default_space("chgnet_transfer", {"task": "classification"})["head"]
    assert "head" not in default_space("chgnet_transfer", {"mode": "fine-tune"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"metric": "mse"}, "metric must be one of mae.*Did you mean"),
        ({"space": {"min_leafs": [1]}}, 'no option "min_leafs". Did you mean min_leaf'),
        ({"space": {"min_leaf": "12"}}, "expected a Range or a list of choices, got '12'"),
        ({"space": {"min_leaf": []}}, "expected a Range or a list"),
        ({"options": {"min_leaf": 2}}, "min_leaf is both given and searched"),
        ({"n_trials": 0}, "n_trials must be an integer >= 1"),
    ],
)
def test_mistakes_are_named(noisy, arguments, said):
    with pytest.raises(UserError, match=said):
        tune("extra_trees", *noisy, **arguments)


def test_a_surrogate_without_a_space_says_so():
    for name in ("dummy", "ridge"):
        with pytest.raises(UserError, match=f"the options of {name} are not worth a search: train it without tuning"):
            default_space(name)
    with pytest.raises(UserError, match="unknown surrogate"):
        default_space("extra_threes")


SEARCHED = [name for name in SURROGATES if name not in ("dummy", "ridge")]


@given(st.sampled_from(SEARCHED), st.integers(0, 2**32 - 1))
def test_what_is_drawn_is_always_allowed(name, seed):
    options = draw_options(default_space(name), np.random.default_rng(seed))
    assert (
        make_surrogate(name, **options).surrogate.options() | options
        == make_surrogate(name, **options).surrogate.options()
    )


@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_numbers_are_drawn_within_their_bounds(low, span, log, integer, seed):
    drawn = Range(low, low + span, log=log, integer=integer).draw(np.random.default_rng(seed))
    assert low <= drawn <= low + span
    assert isinstance(drawn, int) == integer


def test_each_whole_number_is_as_likely():
    rng = np.random.default_rng(0)
    drawn = [Range(1, 3, integer=True).draw(rng) for _ in range(3000)]
    assert np.bincount(drawn)[1:] / 3000 == pytest.approx([1 / 3] * 3, abs=0.04)


def test_each_decade_is_as_likely():
    rng = np.random.default_rng(0)
    drawn = np.array([Range(0.01, 1, log=True).draw(rng) for _ in range(3000)])
    assert (drawn < 0.1).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("low", "high", "log"), [(2, 1, False), (1, 1, False), (0, 1, True), (0, np.inf, False)])
def test_a_range_that_holds_nothing_is_refused(low, high, log):
    with pytest.raises(UserError, match="needs"):
        Range(low, high, log=log)
