from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.workflows.stability import probability_stable_now

energies = st.floats(-5, 5)
spreads = st.floats(1e-3, 2)


def test_agrees_with_the_table_of_the_normal_distribution():
    # One and 1.96 standard deviations.
    assert probability_stable_now([-1.1, -0.9, -1.196], 0.1, -1.0) == pytest.approx([0.84134, 0.15866, 0.975], abs=1e-4)


@given(energies, spreads, energies, st.floats(0, 0.2))
def test_the_threshold_moves_the_hull(mean, std, hull, threshold):
    moved = probability_stable_now(mean, std, hull + threshold)
    assert probability_stable_now(mean, std, hull, threshold) == pytest.approx(moved, abs=1e-12)


@given(energies, energies, spreads, energies)
def test_the_lower_prediction_is_at_least_as_likely(one, other, std, hull):
    low, high = probability_stable_now([min(one, other), max(one, other)], std, hull)
    assert 0 <= high <= low <= 1


def test_a_certain_prediction_is_stable_up_to_the_threshold_itself():
    assert probability_stable_now([-1, -0.75, -0.7], 0, -1, threshold=0.25).tolist() == [1, 1, 0]


def test_the_unknown_stays_unknown_and_alone():
    result = probability_stable_now([-1, np.nan, -1, -1], [np.nan, 0, 0.1, 0.1], [-1, -1, np.nan, -1])
    assert np.isnan(result).tolist() == [True, True, True, False]


def test_a_negative_standard_deviation_is_named():
    with pytest.raises(ValueError, match=r"must not be negative, got -0\.1"):
        probability_stable_now([0, 0], [0.1, -0.1], 0)
