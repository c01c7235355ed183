from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models import acquisition
from matscout.models.acquisition import (
    ACQUISITIONS,
    expected_improvement,
    get_acquisition,
    greedy,
    keywords,
    lower_confidence_bound,
    probability,
    random_choice,
    thompson,
    uncertainty,
)

means = st.floats(-2, 2)
stds = st.floats(0.01, 2)
MEAN = np.array([0.3, -0.1, 0.05, 0.2])
STD = np.array([0.1, 0.2, 0.01, 0.5])


def arguments(name, seed=0):
    known = {"threshold": 0.025, "best": 0.05, "kappa": 1.0, "rng": np.random.default_rng(seed)}
    return {keyword: known[keyword] for keyword in keywords(name)}


@settings(deadline=None)
@given(means, stds, means)
def test_probability_is_the_integral_of_the_density_up_to_the_threshold(mean, std, threshold):
    edges = sorted({np.clip(threshold, mean - 9 * std, mean + 9 * std), mean - 9 * std})
    expected = quad(norm(mean, std).pdf, edges[0], edges[-1])[0] if len(edges) > 1 else 0.0
    assert probability([mean], [std], threshold=threshold)[0] == pytest.approx(expected, abs=1e-7)


@settings(deadline=None)
@given(means, stds, means)
def test_expected_improvement_is_the_integral_of_the_improvement(mean, std, best):
    top = min(best, mean + 9 * std)
    bottom = mean - 9 * std
    expected = quad(lambda v: (best - v) * norm.pdf(v, mean, std), bottom, top)[0] if bottom < top else 0.0
    assert expected_improvement([mean], [std], best=best)[0] == pytest.approx(expected, abs=1e-7)


def test_expected_improvement_keeps_its_digits_far_above_the_best():
    # asymptotic series of the normal tail at z = -20: pdf(z) / z^2 * (1 - 3 / z^2 + 15 / z^4 - 105 / z^6)
    series = norm.pdf(20) / 400 * (1 - 3 / 400 + 15 / 400**2 - 105 / 400**3)
    assert expected_improvement([20.0], [1.0], best=0.0)[0] == pytest.approx(series, rel=1e-6)


def test_certainty_is_the_limit_of_a_vanishing_std():
    mean, tiny = np.array([-0.1, 0.1]), np.full(2, 1e-12)
    for function in (lambda m, s: probability(m, s, threshold=0.0), lambda m, s: expected_improvement(m, s, best=0.0)):
        np.testing.assert_allclose(function(mean, np.zeros(2)), function(mean, tiny), atol=1e-12)


@settings(deadline=None)
@given(means, means, stds)
def test_of_two_equally_uncertain_candidates_the_lower_wins(first, second, std):
    low, high = sorted((first, second))
    for name in ("probability", "expected_improvement", "lower_confidence_bound", "greedy"):
        better, worse = ACQUISITIONS[name](np.array([low, high]), np.array([std, std]), **arguments(name))
        assert better >= worse


@settings(deadline=None)
@given(stds, stds)
def test_of_two_candidates_above_the_best_the_less_certain_wins_where_exploration_is_wanted(first, second):
    mean, std = np.array([0.5, 0.5]), np.array(sorted((first, second)))
    for name in ("probability", "expected_improvement", "lower_confidence_bound", "uncertainty"):
        certain, uncertain = ACQUISITIONS[name](mean, std, **arguments(name))
        assert uncertain >= certain


def test_simple_rules_order_as_they_say():
    assert np.argsort(-greedy(MEAN, STD)).tolist() == [1, 2, 3, 0]
    assert np.argsort(-uncertainty(MEAN, STD)).tolist() == [3, 1, 0, 2]
    assert (lower_confidence_bound(MEAN, STD, kappa=0.0) == greedy(MEAN, STD)).all()
    assert lower_confidence_bound(MEAN, STD, kappa=2.0) == pytest.approx([-0.1, 0.5, -0.03, 0.8])


@pytest.mark.parametrize("function", [random_choice, thompson])
def test_random_rules_depend_on_their_generator_alone(function):
    first, again, other = (function(MEAN, STD, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).all()


def test_thompson_draws_have_the_mean_and_std_of_the_prediction():
    rng = np.random.default_rng(0)
    draws = -np.array([thompson(MEAN, STD, rng=rng) for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), MEAN, atol=4 * STD.max() / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), STD, rtol=0.06)


def test_random_choice_takes_each_candidate_equally_often():
    rng = np.random.default_rng(0)
    first = np.bincount([random_choice(MEAN, STD, rng=rng).argmax() for _ in range(4000)], minlength=4)
    np.testing.assert_allclose(first, 1000, atol=4 * np.sqrt(4000 * 0.25 * 0.75))


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_the_unknown_stays_unknown_and_alone(name):
    score = ACQUISITIONS[name]([0.1, np.nan, 0.1, 0.1], [0.1, 0.1, np.nan, 0.0], **arguments(name))
    assert np.isnan(score).tolist() == [False, True, True, False]


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_what_is_given_is_left_as_it_was_and_not_handed_out(name):
    mean, std = MEAN.copy(), STD.copy()
    ACQUISITIONS[name](mean, std, **arguments(name))[:] = -np.inf
    assert (mean == MEAN).all()
    assert (std == STD).all()


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_a_negative_std_and_unequal_shapes_are_refused(name):
    with pytest.raises(ValueError, match=r"std must not be negative, got -0\.1"):
        ACQUISITIONS[name]([0.1, 0.1], [0.1, -0.1], **arguments(name))
    with pytest.raises(ValueError, match="one shape"):
        ACQUISITIONS[name]([0.1, 0.1], [0.1], **arguments(name))


def test_acquisitions_are_found_by_name_with_their_options():
    assert get_acquisition("greedy") is greedy
    bound = get_acquisition("lower_confidence_bound", kappa=3.0)
    assert (bound(MEAN, STD) == lower_confidence_bound(MEAN, STD, kappa=3.0)).all()
    assert keywords("probability") == ("threshold",)


def test_an_unknown_name_or_option_is_answered_with_the_nearest():
    with pytest.raises(
        UserError, match=r'unknown acquisition "expected-improvement"\. Did you mean expected_improvement?'
    ):
        get_acquisition("expected-improvement")
    with pytest.raises(UserError, match=r'no option "kapa"\. Did you mean kappa?'):
        get_acquisition("lower_confidence_bound", kapa=1.0)
    with pytest.raises(UserError, match=r'greedy has no option "kappa"\. It takes: none'):
        get_acquisition("greedy", kappa=1.0)


def test_every_acquisition_is_documented():
    assert all(function.__doc__ for function in ACQUISITIONS.values())
    assert acquisition.__doc__
