from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Species

from matscout.db.candidates import CandidateTable
from matscout.errors import UserError
from matscout.workflows.enumeration import (
    ChargeNeutrality,
    Goldschmidt,
    common_oxidation_states,
    enumerate_candidates,
    get_prototype,
    make_filter,
    tolerance_factor,
)
from matscout.workflows.enumeration.neutrality import can_be_neutral
from matscout.workflows.enumeration.oxidation import MISSING_COMMON_STATES, charge_table
from matscout.workflows.enumeration.tolerance import shannon_radius

SRTIO3 = (1.44, 0.605, 1.40)  # Shannon 1976: Sr XII, Ti VI, O VI, in Å
PEROVSKITE = {"A": ["Cs", "K", "Sr", "La"], "B": ["Pb", "Mg", "Ti", "Al", "Fe"], "X": ["F", "Br", "O"]}


def table_of(name, *rows):
    decoration = np.array([[Element(e).Z for e in row] for row in rows])
    return CandidateTable([get_prototype(name)], np.zeros(len(rows)), decoration, np.ones(len(rows)))


# oxidation states


def test_states_that_pymatgen_lacks_are_few_and_really_missing():
    for symbol, states in MISSING_COMMON_STATES.items():
        element = Element(symbol)
        assert not set(states) & set(element.common_oxidation_states), symbol
        assert set(states) <= set(element.oxidation_states), symbol


def test_common_states_are_those_of_the_textbook():
    assert common_oxidation_states("O") == (-2,)
    assert common_oxidation_states("Ge") == (-4, 2, 4)
    assert common_oxidation_states("Tl") == (1, 3)
    assert common_oxidation_states("Cu") == (1, 2)
    assert common_oxidation_states("Fe") == (2, 3)
    assert common_oxidation_states("He") == ()


def test_no_element_has_the_state_0():
    for name in ("common", "icsd", "all"):
        charges, valid = charge_table(name)
        assert not (charges[np.arange(charges.shape[1]) < valid[:, None]] == 0).any()


# charge neutrality


def test_known_compounds_are_neutral_and_impossible_ones_are_not():
    table = table_of(
        "cubic-perovskite",
        ("Sr", "Ti", "O"),
        ("Cs", "Pb", "Br"),
        ("La", "Mn", "O"),
        ("K", "Mg", "F"),
        ("K", "Mg", "O"),
        ("Sr", "Ti", "F"),
        ("He", "Ti", "O"),
    )
    assert ChargeNeutrality()(table).keep.tolist() == [True] * 4 + [False] * 3


def test_metals_alone_are_not_neutral():
    metals = enumerate_candidates(["heusler", "A_cF4_225_a"], ["Cu", "Mn", "Al", "Ni"])
    assert not ChargeNeutrality()(metals).keep.any()


elements_drawn = st.sampled_from(
    ["H", "Li", "C", "N", "O", "F", "Mg", "P", "Cl", "Mn", "Fe", "Ge", "Xe", "W", "Pb", "U"]
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(elements_drawn, st.integers(1, 12)), min_size=1, max_size=5),
    st.sampled_from(["common", "icsd", "all"]),
)
def test_neutrality_is_that_of_a_loop_over_all_charges(pairs, name):
    numbers = np.array([[Element(element).Z for element, _ in pairs]], dtype=np.uint8)
    amounts = np.array([amount for _, amount in pairs])
    charges, valid = charge_table(name)
    states = [charges[number, : valid[number]].tolist() for number in numbers[0]]
    expected = any(np.dot(choice, amounts) == 0 for choice in product(*states))
    assert can_be_neutral(numbers, amounts, charge_table(name)).tolist() == [expected]


def test_states_of_the_users_own_replace_the_table():
    table = enumerate_candidates("cubic-perovskite", PEROVSKITE)
    own = ChargeNeutrality({"K": [1], "Fe": [2], "F": [-1]})
    assert table.take(own(table).keep).formulas == ["KFeF3"]


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ("comon", 'unknown table of oxidation states "comon". Nearest: common.'),
        ({"Xx": [1]}, 'unknown element "Xx"'),
        ({"Fe": [0]}, "0 is not the charge of an ion of Fe"),
        ({"Fe": [2.5]}, "2.5 is not the charge"),
        ({"Fe": [True]}, "True is not the charge"),
        ({"Fe": 2}, "a list of charges is expected for Fe, got 2"),
        (3, "or the states by element, got 3"),
    ],
)
def test_impossible_oxidation_states_are_named(states, message):
    with pytest.raises(UserError) as error:
        ChargeNeutrality(states)
    assert message in str(error.value)


# tolerance factor

radii = st.floats(0.1, 3.0)


def test_agrees_with_the_textbook_value():
    assert tolerance_factor(*SRTIO3) == pytest.approx(1.002, abs=5e-4)


@given(radii, radii, radii)
def test_scales_away(a, b, x):
    assert tolerance_factor(2 * a, 2 * b, 2 * x) == pytest.approx(tolerance_factor(a, b, x))


def test_an_unknown_radius_stays_unknown_and_alone():
    assert np.isnan(tolerance_factor([1.44, np.nan], 0.605, 1.40)).tolist() == [False, True]


def test_a_negative_radius_is_named():
    with pytest.raises(ValueError, match=r"site B must be positive, got -0\.6"):
        tolerance_factor(1.44, -0.6, 1.40)


@pytest.mark.parametrize(
    ("ion", "radius"),
    [
        (("Sr", 2, 12), 1.44),
        (("Ti", 4, 6), 0.605),
        (("O", -2, 6), 1.40),
        (("Cs", 1, 12), 1.88),
        (("Pb", 2, 6), 1.19),
        (("Br", -1, 6), 1.96),
        (("Fe", 2, 6), 0.78),  # high spin
        (("Mg", 2, 12), 0.89),  # tabulated up to 8 neighbours
        (("N", -3, 6), 1.46),  # only with 4
        (("Cu", 2, 4), 0.57),  # not the square 0.57 or another shape
    ],
)
def test_radii_are_those_of_shannon(ion, radius):
    assert shannon_radius(*ion) == radius


def test_radii_with_the_tabulated_neighbours_are_those_of_pymatgen():
    for symbol, charge, cn, roman in [
        ("La", 3, 12, "XII"),
        ("Zr", 4, 6, "VI"),
        ("S", -2, 6, "VI"),
        ("Ca", 2, 12, "XII"),
    ]:
        assert shannon_radius(symbol, charge, cn) == Species(symbol, charge).get_shannon_radius(roman)


def test_an_ion_that_is_not_in_the_table_has_no_radius():
    assert np.isnan(shannon_radius("Sn", 2, 6))
    assert np.isnan(shannon_radius("He", 0, 6))
    assert np.isnan(shannon_radius("H", 1, 1))  # -0.38 Å


@pytest.mark.parametrize(
    ("row", "factor"),
    [(("Sr", "Ti", "O"), 1.002), (("Cs", "Pb", "Br"), 0.862), (("K", "Mg", "F"), 1.025), (("Ba", "Ti", "O"), 1.062)],
)
def test_factors_of_known_perovskites(row, factor):
    result = Goldschmidt()(table_of("cubic-perovskite", row))
    assert result.columns["tolerance_factor"] == pytest.approx([factor], abs=1e-3)
    assert result.keep.all()
    assert result.unknown == 0


def test_an_elpasolite_takes_the_mean_of_b_and_b_prime():
    result = Goldschmidt()(table_of("elpasolite", ("Cs", "Ag", "Bi", "Br")))
    assert result.columns["tolerance_factor"] == pytest.approx(
        [(1.88 + 1.96) / 2**0.5 / ((1.15 + 1.03) / 2 + 1.96)], abs=1e-6
    )


def brute_factors(row):
    """All factors of neutral assignments of an ABX3."""
    a, b, x = row
    for qa, qb, qx in product(*(common_oxidation_states(e) for e in row)):
        if qa + qb + 3 * qx == 0:
            t = float(tolerance_factor(shannon_radius(a, qa, 12), shannon_radius(b, qb, 6), shannon_radius(x, qx, 6)))
            if not np.isnan(t):
                yield t


def test_any_neutral_assignment_may_pass_and_the_best_is_reported():
    table = enumerate_candidates("cubic-perovskite", ["K", "Pb", "Sn", "Mn", "U", "La", "O", "F", "N", "S", "Fe"])
    result = Goldschmidt(0.85, 0.95, unknown="drop")(table)
    symbols = [[Element.from_Z(int(z)).symbol for z in row] for row in table.decoration]
    assert result.unknown > 0
    for row, keep, factor in zip(symbols, result.keep, result.columns["tolerance_factor"], strict=True):
        all_factors = list(brute_factors(row))
        inside = [t for t in all_factors if 0.85 <= t <= 0.95]
        assert keep == bool(inside)
        if not all_factors:
            assert np.isnan(factor)
        else:
            assert factor == pytest.approx(min(inside or all_factors, key=lambda t: abs(t - 1)))


def test_candidates_without_a_radius_are_unknown_and_kept_unless_dropped():
    table = table_of("cubic-perovskite", ("Cs", "Sn", "I"), ("Sr", "Ti", "O"))  # Shannon has no Sn2+
    kept, dropped = Goldschmidt()(table), Goldschmidt(unknown="drop")(table)
    assert kept.keep.tolist() == [True, True]
    assert dropped.keep.tolist() == [False, True]
    assert kept.unknown == dropped.unknown == 1
    assert np.isnan(kept.columns["tolerance_factor"]).tolist() == [True, False]


def test_a_prototype_that_is_no_perovskite_is_named():
    table = enumerate_candidates("AB3C_cP5_221_a_c_b", ["Sr", "Ti", "O"])
    with pytest.raises(UserError, match="AB3C_cP5_221_a_c_b has A, B, C"):
        Goldschmidt()(table)


def test_filters_leave_the_known_perovskites():
    table = enumerate_candidates("cubic-perovskite", PEROVSKITE, [ChargeNeutrality(), Goldschmidt(0.8, 1.1)])
    assert {"CsPbBr3", "SrTiO3", "KMgF3", "LaAlO3", "LaFeO3", "KFeF3"} <= set(table.formulas)
    assert [count.name for count in table.filter_counts] == ["charge-neutrality", "goldschmidt"]
    assert table.filter_counts[0].before == 60
    assert table.filter_counts[1].before == 60 - table.filter_counts[0].removed
    assert table.columns["tolerance_factor"].shape == (len(table),)


# by name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("charge-neutrality", {"oxidation_states": "icsd"}),
        ("goldschmidt", {"maximum": 1.0}),
        ("max-sites", {"limit": 5}),
    ],
)
def test_a_filter_is_made_by_its_name(name, options):
    made = make_filter(name, **options)
    assert made.name == name
    for option, value in options.items():
        assert getattr(made, option) == value


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("goldschmid", {}, 'unknown filter "goldschmid". Nearest: goldschmidt.'),
        ("xyz", {}, "Known: charge-neutrality, goldschmidt, max-sites."),
        ("goldschmidt", {"minimun": 1}, 'goldschmidt has no option "minimun". Nearest: minimum.'),
        ("goldschmidt", {"name": "x"}, 'goldschmidt has no option "name"'),
        ("goldschmidt", {"minimum": 2}, "minimum 2 is larger than maximum 1.11"),
        ("goldschmidt", {"maximum": "large"}, "maximum must be a positive number, got 'large'"),
        ("goldschmidt", {"unknown": "no"}, 'unknown must be "keep" or "drop"'),
        ("max-sites", {}, "max-sites needs its option limit"),
        ("max-sites", {"limit": 0}, "at least 1, got 0"),
        ("max-sites", {"limit": True}, "got True"),
    ],
)
def test_wrong_names_and_options_are_named(name, options, message):
    with pytest.raises(UserError) as error:
        make_filter(name, **options)
    assert message in str(error.value)
