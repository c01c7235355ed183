from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from matscout.models.acquisition import (
    ACQUISITIONS,
    expected_improvement,
    greedy,
    knowledge_gradient,
    lower_confidence_bound,
    probability,
    probability_improvement,
    query_by_committee,
    uncertainty,
    upper_confidence_bound,
)

means = st.floats(-2, 2)
stds = st.floats(0.01, 2)
MEAN = np.array([0.3, -0.1, 0.05, 0.2])
STD = np.array([0.1, 0.2, 0.01, 0.5])


def score(name, mean, std):
    needed = {"best": 0.05} if name in {"expected_improvement", "probability_improvement"} else {}
    return ACQUISITIONS[name](mean, std, **needed)


def integral(function, mean, std, edge):
    """Expectation of a function that bends at an edge, over a normal distribution."""
    low, high = mean - 9 * std, mean + 9 * std
    parts = sorted({low, float(np.clip(edge, low, high)), high})
    return sum(quad(lambda v: function(v) * norm.pdf(v, mean, std), a, b)[0] for a, b in pairwise(parts))


@given(means, stds, means)
def test_probability_is_the_integral_of_the_density_up_to_the_threshold(mean, std, threshold):
    expected = integral(lambda v: float(v <= threshold), mean, std, threshold)
    assert probability([mean], [std], threshold=threshold)[0] == pytest.approx(expected, abs=1e-7)


@given(means, stds, means, st.floats(0, 1))
def test_probability_of_improvement_counts_what_improves_by_the_margin(mean, std, best, margin):
    expected = integral(lambda v: float(best - v >= margin), mean, std, best - margin)
    found = probability_improvement([mean], [std], best=best, margin=margin)[0]
    assert found == pytest.approx(expected, abs=1e-7)


@given(means, stds, means)
def test_expected_improvement_is_the_integral_of_the_improvement(mean, std, best):
    expected = integral(lambda v: max(best - v, 0.0), mean, std, best)
    assert expected_improvement([mean], [std], best=best)[0] == pytest.approx(expected, abs=1e-7)


def test_expected_improvement_keeps_its_digits_far_above_the_best():
    # asymptotic series of the normal tail at z = -20: pdf(z) / z^2 * (1 - 3 / z^2 + 15 / z^4 - 105 / z^6)
    series = norm.pdf(20) / 400 * (1 - 3 / 400 + 15 / 400**2 - 105 / 400**3)
    assert expected_improvement([20.0], [1.0], best=0.0)[0] == pytest.approx(series, rel=1e-6)


@given(st.lists(st.tuples(means, stds, st.floats(0, 1)), min_size=2, max_size=5), means)
def test_knowledge_gradient_is_the_expected_fall_of_the_lowest_mean(rows, best):
    mean, std, noise = np.array(rows).T
    found = knowledge_gradient(mean, std, noise=noise, best=best)
    for row in range(len(mean)):
        others = min(best, np.delete(mean, row).min())
        # the mean after a calculation with noise is itself normal before it
        change = std[row] ** 2 / np.hypot(std[row], noise[row])
        now = min(others, mean[row])
        expected = now - integral(lambda v, others=others: min(v, others), mean[row], change, others)
        assert found[row] == pytest.approx(expected, abs=1e-6)


def test_knowledge_gradient_is_the_expected_improvement_on_the_lowest_where_that_is_another_one():
    mean, std = np.array([0.0, 0.3, 0.5]), np.array([0.0, 0.2, 0.4])
    found = knowledge_gradient(mean, std)
    np.testing.assert_allclose(found[1:], expected_improvement(mean, std, best=0.0)[1:], rtol=1e-12)
    assert found[0] == 0


def test_knowledge_gradient_of_one_candidate_alone_decides_nothing():
    assert knowledge_gradient([0.1], [0.1]).tolist() == [0.0]
    assert knowledge_gradient([0.1], [0.1], best=0.1)[0] == pytest.approx(0.1 * norm.pdf(0))
    assert knowledge_gradient([], []).tolist() == []


def test_knowledge_gradient_does_not_compare_with_the_unknown():
    pair = knowledge_gradient([0.1, 0.2], [0.1, 0.1])
    assert knowledge_gradient([0.1, 0.2, np.nan], [0.1, 0.1, 0.1])[:2].tolist() == pair.tolist()


def test_noise_makes_a_calculation_less_worth():
    gain = [knowledge_gradient(MEAN, STD, noise=noise).max() for noise in (0.0, 0.1, 1.0, 1e9)]
    assert sorted(gain, reverse=True) == gain
    assert gain[-1] < 1e-6
    with pytest.raises(ValueError, match="noise must not be negative"):
        knowledge_gradient(MEAN, STD, noise=-0.1)


@given(means, stds, means)
def test_the_votes_entropy_is_that_of_a_coin_as_biased_as_the_committee(mean, std, threshold):
    p = norm.cdf(threshold, mean, std)
    expected = -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)
    assert query_by_committee([mean], [std], threshold=threshold)[0] == pytest.approx(expected, abs=1e-9)


def test_a_committee_that_cannot_agree_is_asked_first():
    found = query_by_committee([0.1, 0.1, 0.2], [0.1, 9.0, 0.1], threshold=0.1)
    assert found[:2] == pytest.approx(np.log(2))
    assert found[2] < np.log(2)
    # both ways alike, also where one vote in 1e60 is otherwise
    far = query_by_committee([1.7, -1.5], [0.1, 0.1], threshold=0.1)
    assert far[0] == pytest.approx(far[1], rel=1e-9)
    assert far[0] > 0


def test_the_committee_is_heard_on_what_it_can_learn():
    total, part = np.array([0.5, 0.5]), np.array([0.1, 0.4])
    found = query_by_committee([0.3, 0.3], total, threshold=0.1, epistemic=part)
    assert found.tolist() == query_by_committee([0.3, 0.3], part, threshold=0.1).tolist()
    assert query_by_committee([0.3, 0.1], [0.5, 0.5], threshold=0.1, epistemic=[0.0, 0.0]).tolist() == [0.0, 0.0]


def test_certainty_is_the_limit_of_a_vanishing_std():
    mean, tiny = np.array([-0.1, 0.1]), np.full(2, 1e-12)
    for function in (
        lambda m, s: probability(m, s, threshold=0.0),
        lambda m, s: expected_improvement(m, s, best=0.0),
        lambda m, s: knowledge_gradient(m, s, best=0.0),
        lambda m, s: query_by_committee(m, s, threshold=0.0),
    ):
        np.testing.assert_allclose(function(mean, np.zeros(2)), function(mean, tiny), atol=1e-12)


@given(means, means, stds)
def test_of_two_equally_uncertain_candidates_the_lower_wins(first, second, std):
    low, high = sorted((first, second))
    for name in (
        "probability",
        "probability_improvement",
        "expected_improvement",
        "lower_confidence_bound",
        "upper_confidence_bound",
        "greedy",
    ):
        better, worse = score(name, np.array([low, high]), np.array([std, std]))
        assert better >= worse


@given(stds, stds)
def test_of_two_candidates_above_the_best_the_less_certain_wins_where_exploration_is_wanted(first, second):
    mean, std = np.array([0.5, 0.5]), np.array(sorted((first, second)))
    for name in (
        "probability",
        "probability_improvement",
        "expected_improvement",
        "knowledge_gradient",
        "lower_confidence_bound",
        "uncertainty",
        "query_by_committee",
    ):
        certain, uncertain = score(name, mean, std)
        assert uncertain >= certain


def test_simple_rules_order_as_they_say():
    assert np.argsort(-greedy(MEAN, STD)).tolist() == [1, 2, 3, 0]
    assert np.argsort(-uncertainty(MEAN, STD)).tolist() == [3, 1, 0, 2]
    assert (lower_confidence_bound(MEAN, STD, kappa=0.0) == greedy(MEAN, STD)).all()
    assert lower_confidence_bound(MEAN, STD, kappa=2.0) == pytest.approx([-0.1, 0.5, -0.03, 0.8])


def test_the_upper_bound_of_minus_the_objective_is_minus_its_lower_bound():
    assert upper_confidence_bound(MEAN, STD, kappa=2.0) == pytest.approx(-MEAN + 2 * STD)
