from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from matscout.errors import UserError
from matscout.models.report import StabilityScores, calculations_saved, stability_scores

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, n=40):
    rng = np.random.default_rng(seed)
    true = rng.normal(0.05, 0.1, n)
    true[:2] = -0.1, 0.5
    return true, true + rng.normal(0, 0.08, n), rng.uniform(0.03, 0.2, n)


def test_decisions_by_hand():
    true = [-0.10, 0.02, 0.03, 0.20, 0.30, 0.40, 0.50, 0.60]
    mean = [-0.05, 0.01, 0.10, 0.00, 0.20, 0.30, 0.40, 0.50]
    scores = stability_scores(true, mean, threshold=0.025)
    assert (scores.n_stable, scores.n_called) == (2, 3)
    assert scores.prevalence == 2 / 8
    assert scores.hard.precision == pytest.approx(2 / 3)
    assert scores.hard.recall == 1
    assert scores.hard.f1 == pytest.approx(0.8)
    assert scores.hard.false_negative_rate == 0
    assert scores.acceleration == pytest.approx((2 / 3) / (2 / 8))
    assert scores.largest_acceleration == 4
    assert scores.f1_all_stable == pytest.approx(2 * 0.25 / 1.25)
    assert (scores.ece, scores.brier, scores.reliability) == (None, None, ())


def test_f1_of_calling_everything_stable_is_that_of_doing_so():
    true, _, _ = drawn(0)
    scores = stability_scores(true, true)
    assert scores.f1_all_stable == pytest.approx(stability_scores(true, np.full(40, -1.0)).hard.f1)


@settings(max_examples=30)
@given(seeds)
def test_ranking_is_that_of_scikit_learn(seed):
    from scipy.stats import norm

    true, mean, std = drawn(seed)
    scores = stability_scores(true, mean, std, threshold=0.025)
    probability = norm.cdf((0.025 - mean) / std)
    assert scores.roc_auc == pytest.approx(metrics.roc_auc_score(true <= 0.025, probability))
    assert scores.pr_auc == pytest.approx(metrics.average_precision_score(true <= 0.025, probability))
    assert scores.brier == pytest.approx(metrics.brier_score_loss(true <= 0.025, probability))
    assert sum(one.n for one in scores.reliability) == 40


def test_probabilities_too_near_to_one_are_still_ranked():
    true = np.array([-1.0, 0.5, -1.0, 0.5])
    scores = stability_scores(true, [-2.0, -1.0, -1.8, 2.0], [0.01] * 4)  # P(stable) of three rounds to 1
    assert scores.saved[0].saved == 0.5
    assert scores.roc_auc == 1


def test_a_certain_prediction_is_ranked_by_its_distance():
    true = np.array([-0.1, 0.2, 0.3, 0.05])
    scores = stability_scores(true, [-0.2, -0.1, 0.4, 0.01], [0.0, 0.0, 0.0, 0.1])
    assert scores.roc_auc == 1
    assert scores.saved[0].saved == 0.75


def test_on_the_hull_is_stable_whatever_the_rounding():
    scores = stability_scores([1e-12, 0.1], [-1e-12, 0.1], [0.0, 0.0])
    assert (scores.n_stable, scores.n_called) == (1, 1)


def test_savings_by_hand():
    #         rank:  1     2     3     4      5     6      7      8      9      10
    stable = np.array([True, True, False, True, False, False, True, False, False, False])
    score = -np.arange(10.0)
    saved = {one.missed: one for one in calculations_saved(stable, score, [0.0, 0.05, 0.25, 0.5])}
    assert saved[0.0].saved == pytest.approx(0.3)
    assert saved[0.05].saved == pytest.approx(0.3)  # a twentieth of four is none
    assert saved[0.25].saved == pytest.approx(0.6)
    assert saved[0.5].saved == pytest.approx(0.8)
    assert saved[0.25].perfect == pytest.approx(0.7)


def test_rows_of_one_score_are_calculated_together():
    stable = np.array([True, False, True, False])
    assert calculations_saved(stable, np.array([2.0, 2.0, 2.0, 1.0]), [0.0, 0.5])[1].saved == 0.25
    assert calculations_saved(stable, np.ones(4), [0.0])[0].saved == 0


def test_savings_of_a_random_order_are_the_mean_over_all_orders():
    stable = np.array([True, True, False, False, False, True])
    for missed in (0.0, 0.34):
        expected = calculations_saved(stable, np.zeros(6), [missed])[0].random
        saved = [calculations_saved(stable, np.array(order), [missed])[0].saved for order in permutations(range(6))]
        assert np.mean(saved) == pytest.approx(expected)


@given(seeds)
def test_more_may_be_missed_more_is_saved_and_nothing_beats_a_perfect_ranking(seed):
    true, mean, std = drawn(seed)
    saved = stability_scores(true, mean, std).saved
    assert [one.missed for one in saved] == [0, 0.05, 0.09]
    assert [one.saved for one in saved] == sorted(one.saved for one in saved)
    assert all(0 <= one.saved <= one.perfect for one in saved)
    stable = true <= 0
    for one in saved:
        order = np.argsort(-(-mean / std), kind="stable")[: round((1 - one.saved) * 40)]
        assert (stable.sum() - stable[order].sum()) <= one.missed * stable.sum() + 1e-9


def test_nothing_stable_leaves_scores_undefined():
    scores = stability_scores([0.1, 0.2], [-0.1, 0.3], [0.1, 0.1])
    assert scores.prevalence == 0
    assert scores.hard.precision == 0
    assert (scores.acceleration, scores.largest_acceleration, scores.f1_all_stable) == (None, None, None)
    assert [one.saved for one in scores.saved] == [None] * 3
    assert scores.discovery.found[-1] == 0


def test_nothing_called_stable_has_no_precision():
    scores = stability_scores([-0.1, 0.2], [0.1, 0.3])
    assert (scores.hard.precision, scores.acceleration, scores.hard.recall) == (None, None, 0)


def test_discovery_counts_what_is_found_by_rank():
    curve = stability_scores([-0.1, 0.3, -0.2, 0.4], [-0.2, -0.1, 0.1, 0.2]).discovery
    assert curve.calculated == (0, 1, 2, 3, 4)
    assert curve.found == (0, 1, 1, 2, 2)
    assert curve.random == (0, 0.5, 1, 1.5, 2)


def test_the_spread_of_a_random_order_is_hypergeometric():
    from scipy.stats import hypergeom

    true, mean, std = drawn(1)
    curve = stability_scores(true, mean, std).discovery
    n_stable = int((true <= 0).sum())
    laws = [hypergeom(40, n_stable, int(n)) for n in curve.calculated[1:-1]]
    assert curve.random[1:-1] == pytest.approx([law.mean() for law in laws])
    assert curve.random_std[1:-1] == pytest.approx([law.std() for law in laws])
    assert (curve.random_std[0], curve.random_std[-1]) == (0, 0)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    true = rng.normal(size=5000)
    curve = stability_scores(true, true).discovery
    assert len(curve.calculated) == 201
    assert (curve.calculated[0], curve.calculated[-1]) == (0, 5000)
    assert curve.found[-1] == (true <= 0).sum()


def test_mistakes_are_named():
    with pytest.raises(UserError, match="must not be negative, got -1"):
        stability_scores([0.1], [0.1], [-1.0])
    with pytest.raises(ValueError, match="not finite"):
        stability_scores([np.nan], [0.1])


def test_scores_survive_a_dict():
    scores = stability_scores(*drawn(2))
    assert StabilityScores.from_dict(scores.as_dict()) == scores
