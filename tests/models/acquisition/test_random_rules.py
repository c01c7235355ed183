from __future__ import annotations

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models.acquisition import epsilon_greedy, greedy, random_choice, thompson

MEAN = np.array([0.3, -0.1, 0.05, 0.2])
STD = np.array([0.1, 0.2, 0.01, 0.5])


def places(score):
    """Rows in the order of their scores."""
    return np.argsort(-score, kind="stable").tolist()


@pytest.mark.parametrize("function", [random_choice, thompson, epsilon_greedy])
def test_random_rules_depend_on_their_generator_alone(function):
    mean, std = np.linspace(0, 1, 50), np.full(50, 0.1)
    first, again, other = (function(mean, std, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_thompson_draws_have_the_mean_and_std_of_the_prediction():
    rng = np.random.default_rng(0)
    draws = -np.array([thompson(MEAN, STD, rng=rng) for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), MEAN, atol=4 * STD.max() / np.sqrt(4000))
    np.testing.assert_allclose(draws.std(axis=0), STD, rtol=0.06)


def test_random_choice_takes_each_candidate_equally_often():
    rng = np.random.default_rng(0)
    first = np.bincount([random_choice(MEAN, STD, rng=rng).argmax() for _ in range(4000)], minlength=4)
    np.testing.assert_allclose(first, 1000, atol=4 * np.sqrt(4000 * 0.25 * 0.75))


def test_without_chance_the_order_is_greedy_and_ties_fall_to_the_first_row():
    mean = np.array([0.3, 0.1, 0.2, 0.1])
    score = epsilon_greedy(mean, np.ones(4), rng=np.random.default_rng(0), epsilon=0.0)
    assert places(score) == places(greedy(mean, np.ones(4))) == [1, 3, 2, 0]
    assert score.tolist() == [-3, 0, -2, -1]


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_each_place_goes_by_chance_to_any_row_that_is_left(epsilon):
    n, draws = 5, 6000
    rng = np.random.default_rng(0)
    orders = np.array(
        [places(epsilon_greedy(np.arange(n), np.ones(n), rng=rng, epsilon=epsilon)) for _ in range(draws)]
    )
    for place in range(n - 1):
        # the best of those left: greedily, or by chance
        best_left = [min(set(range(n)) - set(order[:place].tolist())) for order in orders]
        expected = 1 - epsilon + epsilon / (n - place)
        share = np.mean(orders[:, place] == best_left)
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / draws) + 1e-9)


def test_an_epsilon_that_is_no_probability_is_refused():
    with pytest.raises(UserError, match=r"epsilon must be a number >= 0 and <= 1, got 1\.5"):
        epsilon_greedy(MEAN, STD, rng=np.random.default_rng(0), epsilon=1.5)
