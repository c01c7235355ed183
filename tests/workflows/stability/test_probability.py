from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from matscout.workflows.stability import Hull, probability_stable_final, probability_stable_now

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


@pytest.mark.parametrize("formula", ["NaCl", "Na2Cl", "NaCl2", "Na5Cl3", "Na7Cl3", "Na3Cl7", "Na4Cl9"])
def test_a_certain_prediction_on_a_tie_line_is_as_stable_as_its_label(formula):
    hull = Hull(["Na3Cl", "NaCl3"], [-1.1, -0.7], formation_energies=True)
    share = 2 * Composition(formula).get_atomic_fraction("Na") - 0.5  # of Na3Cl, and the rest is NaCl3
    on_line = -1.1 * share - 0.7 * (1 - share)
    height = hull.hull_energy(formula)
    for energy in (on_line, on_line + 1e-8, on_line - 1e-8):
        label = hull.e_above_hull([formula], [energy])[0] <= 0
        assert probability_stable_now(energy, 0.0, height).tolist() == [label]
        assert probability_stable_final(hull, [formula], energy, 0.0).probability.tolist() == [label]


def test_the_unknown_stays_unknown_and_alone():
    result = probability_stable_now([-1, np.nan, -1, -1], [np.nan, 0, 0.1, 0.1], [-1, -1, np.nan, -1])
    assert np.isnan(result).tolist() == [True, True, True, False]


def test_a_negative_standard_deviation_is_named():
    with pytest.raises(ValueError, match=r"must not be negative, got -0\.1"):
        probability_stable_now([0, 0], [0.1, -0.1], 0)
