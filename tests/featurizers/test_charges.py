from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from matscout.db._elements import symbols
from matscout.featurizers import CompositionFeaturizer, charges

# oxidation states, worked by hand; radii (Å) after Cordero et al., Dalton Trans. 2008, 2832
KNOWN = {
    "NaCl": {
        "residual_charge": 0,
        "mean_absolute_charge": 1,
        "neutral_assignments": 1,
        "charge_per_cation": 1,
        "largest_common_over_charge": 0,
        "largest_known_over_charge": 0,
        "smallest_common_over_charge": 0,
        "cation_fraction": 1 / 2,
        "radius_ratio": 1.66 / 1.02,
    },
    "SrTiO3": {  # Sr2+ Ti4+ O2-
        "residual_charge": 0,
        "mean_absolute_charge": 12 / 5,
        "neutral_assignments": 1,
        "charge_per_cation": 3,
        "largest_common_over_charge": 0,
        "cation_fraction": 2 / 5,
        "radius_ratio": (1.95 + 1.60) / 2 / 0.66,
    },
    "Fe3O4": {  # all iron as Fe3+ comes nearest; iron is known up to Fe6+
        "residual_charge": 1 / 7,
        "mean_absolute_charge": 17 / 7,
        "neutral_assignments": 0,
        "charge_per_cation": 8 / 3,
        "largest_common_over_charge": 1 / 3,
        "largest_known_over_charge": 6 - 8 / 3,
        "smallest_common_over_charge": -2 / 3,
        "cation_fraction": 3 / 7,
    },
    "NiAl": {  # Ni2+ Al3+: nothing takes the charge
        "residual_charge": 5 / 2,
        "mean_absolute_charge": 5 / 2,
        "neutral_assignments": 0,
        "charge_per_cation": 0,
        "largest_common_over_charge": 5 / 2,
        "smallest_common_over_charge": 5 / 2,
        "cation_fraction": 1,
        "radius_ratio": 1,
    },
    "SrSO4": {  # sulfur is a cation here, S6+ of 2, 4 and 6
        "residual_charge": 0,
        "mean_absolute_charge": 16 / 6,
        "neutral_assignments": 1,
        "charge_per_cation": 4,
        "largest_common_over_charge": 0,
        "smallest_common_over_charge": -2,
        "cation_fraction": 1 / 3,
    },
    "BiOCl": {"neutral_assignments": 1, "charge_per_cation": 3, "cation_fraction": 1 / 3},  # two anions
    "OF2": {  # both could be anions: only fluorine is; oxygen has no positive common state
        "residual_charge": 4 / 3,
        "charge_per_cation": 2,
        "largest_common_over_charge": -4,
        "largest_known_over_charge": 0,
        "smallest_common_over_charge": -2,
        "cation_fraction": 1 / 3,
    },
    "Cl2": {
        "residual_charge": 0,
        "mean_absolute_charge": 0,
        "neutral_assignments": 1,
        "charge_per_cation": 0,
        "largest_common_over_charge": 7,
        "smallest_common_over_charge": 1,
        "cation_fraction": 1,
        "radius_ratio": 1,
    },
}


def featurized(*formulas, **options):
    featurizer = CompositionFeaturizer("charge_balance", **options)
    return [dict(zip(featurizer.feature_names, row, strict=True)) for row in featurizer.transform(formulas)]


@pytest.mark.parametrize("formula", KNOWN)
def test_charges_of_known_compounds_balance_as_by_hand(formula):
    (row,) = featurized(formula)
    assert {name: row[name] for name in KNOWN[formula]} == pytest.approx(KNOWN[formula])


amounts = st.dictionaries(st.sampled_from(symbols()[1:]), st.integers(1, 6), min_size=2, max_size=6)


@given(amounts)
def test_the_best_choice_of_states_is_that_found_by_trying_each(composition):
    states = [Element(symbol).common_oxidation_states or (0,) for symbol in composition]
    choices = np.array(list(product(*states)))
    assume(len(choices) <= charges._MOST_COMBINATIONS)
    fractions = np.array(list(composition.values())) / sum(composition.values())
    residuals = np.abs(choices @ fractions)
    best = residuals < residuals.min() + 1e-9
    (row,) = featurized(Composition(composition))
    assert row["residual_charge"] == pytest.approx(residuals.min(), abs=1e-8)
    assert row["mean_absolute_charge"] == pytest.approx((np.abs(choices) @ fractions)[best].min())
    assert row["neutral_assignments"] == min(10, np.count_nonzero(residuals < 1e-6))


@given(amounts)
def test_a_compound_is_possible_for_the_other_preset_where_an_assignment_is_neutral(composition):
    assume(all(Element(symbol).common_oxidation_states for symbol in composition))
    assume(np.prod([len(Element(symbol).common_oxidation_states) for symbol in composition]) <= 512)
    (row,) = featurized(Composition(composition))
    possible = CompositionFeaturizer("ionic").transform([Composition(composition)])[0, 0]
    assert bool(possible) == (row["neutral_assignments"] > 0) == (row["residual_charge"] == 0)


def test_elements_too_many_to_try_all_states_are_held_at_the_smallest(monkeypatch):
    formula = "Cl5S4Fe3Mn2Na1"
    (whole,) = featurized(formula)
    monkeypatch.setattr(charges, "_MOST_COMBINATIONS", 60)  # Cl 5, S 4, Fe 2: the next, manganese, would make it more
    (limited,) = featurized(formula)
    chosen = np.array(list(product((-1, 1, 3, 5, 7), (-2, 2, 4, 6), (2, 3), (2,), (1,))))
    assert limited["residual_charge"] == pytest.approx(np.abs(chosen @ [5, 4, 3, 2, 1]).min() / 15)
    assert whole["residual_charge"] <= limited["residual_charge"]
    assert {name: whole[name] for name in list(whole)[3:]} == {name: limited[name] for name in list(limited)[3:]}


def test_rows_are_the_same_whatever_number_of_choices_is_held_in_memory(monkeypatch):
    formulas = [*KNOWN, "Cs2AgBiBr6", "NH4NO3", "CaTi(PO4)2", "PbC2O4", "LiFePO4"]
    whole = featurized(*formulas)
    monkeypatch.setattr(charges, "_COMBINATIONS_AT_ONCE", 7)
    assert featurized(*formulas) == whole


def test_every_element_up_to_bismuth_and_a_composition_of_all_elements_is_known():
    values = CompositionFeaturizer("charge_balance").transform([*symbols()[1:84], "".join(symbols()[1:])])
    assert np.isfinite(values).all()


def test_an_element_without_electronegativity_is_unknown_where_that_is_asked_for():
    argon, salt = featurized("Ar2NaCl", "NaCl", missing="nan")
    assert [name for name, value in argon.items() if np.isnan(value)] == list(argon)[3:]
    assert argon["residual_charge"] == 0
    assert salt == featurized("NaCl")[0]
