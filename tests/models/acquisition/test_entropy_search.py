from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, truncnorm

from matscout.models.acquisition import max_value_entropy_search
from matscout.models.acquisition.entropy_search import _lowest_values

means = st.floats(-2, 2)
stds = st.floats(0.05, 2)


@given(st.lists(st.tuples(means, stds), min_size=1, max_size=5), means)
def test_it_is_the_entropy_lost_by_a_candidate_that_cannot_lie_below_the_lowest(rows, best):
    mean, std = np.array(rows).T
    values = _lowest_values(mean, std, best, 4)
    found = max_value_entropy_search(mean, std, best=best, n_values=4)
    for row, (m, s) in enumerate(rows):
        left = [truncnorm.entropy((value - m) / s, 40, loc=m, scale=s) for value in values]
        assert found[row] == pytest.approx(norm.entropy(m, s) - np.mean(left), abs=1e-6)


def test_the_lowest_values_are_those_of_a_simulation():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=30), rng.uniform(0.1, 1, size=30)
    draws = rng.normal(mean, std, size=(40_000, 30)).min(axis=1)
    values = _lowest_values(mean, std, np.inf, 4)
    np.testing.assert_allclose(values, np.quantile(draws, [0.125, 0.375, 0.625, 0.875]), atol=0.02)
    lowest = float(values[1])
    assert _lowest_values(mean, std, lowest, 4).tolist() == [values[0], lowest, lowest, lowest]


@given(means, means, stds)
def test_the_lower_of_two_equally_uncertain_ones_tells_more(first, second, std):
    low, high = sorted((first, second))
    better, worse = max_value_entropy_search([low, high], [std, std])
    assert better >= worse


def test_what_is_known_tells_nothing_but_is_compared_with():
    free = max_value_entropy_search([0.0, 0.5], [0.1, 0.1])
    beside_a_known_one = max_value_entropy_search([0.0, 0.5, -0.3], [0.1, 0.1, 0.0])
    assert beside_a_known_one[2] == 0
    assert beside_a_known_one[:2] == pytest.approx(max_value_entropy_search([0.0, 0.5], [0.1, 0.1], best=-0.3))
    assert beside_a_known_one[0] < free[0]
