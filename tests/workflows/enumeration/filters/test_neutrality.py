from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from matscout.errors import UserError
from matscout.workflows.enumeration import (
    ChargeNeutrality,
    common_oxidation_states,
    enumerate_candidates,
)
from matscout.workflows.enumeration.filters import assignments
from matscout.workflows.enumeration.filters.assignments import neutral_assignments
from matscout.workflows.enumeration.filters.neutrality import can_be_neutral, most_frequent_assignment
from matscout.workflows.enumeration.filters.oxidation import MISSING_COMMON_STATES, RARER_STATES, charge_table

PEROVSKITE = {"A": ["Cs", "K", "Sr", "La"], "B": ["Pb", "Mg", "Ti", "Al", "Fe"], "X": ["F", "Br", "O"]}


# oxidation states


def test_states_that_pymatgen_lacks_are_few_and_really_missing():
    for symbol, states in [*MISSING_COMMON_STATES.items(), *RARER_STATES.items()]:
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


@pytest.mark.parametrize(
    ("prototype", "row"),
    [
        *(
            ("cubic-perovskite", row.split())
            for row in ("Sr Fe O", "Sr Co O", "Sr Cr O", "La Cu O", "Ba Pr O", "K Mg F")
        ),
        ("hexagonal-perovskite-2H", ["Ba", "Ni", "O"]),
        ("rutile", ["Cr", "O"]),
        ("rutile", ["Rh", "O"]),
        ("rock-salt", ["Ti", "O"]),
        ("elpasolite", ["Ba", "Y", "Ru", "O"]),
        ("elpasolite", ["Ba", "Na", "Os", "O"]),
        ("spinel", ["Mg", "Al", "O"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value),
)
def test_compounds_of_the_textbook_are_neutral(prototype, row, table_of):
    assert ChargeNeutrality()(table_of(prototype, tuple(row))).keep.all()


def test_no_element_has_the_state_0():
    for name in ("common", "icsd", "all"):
        charges, valid = charge_table(name)
        assert not (charges[np.arange(charges.shape[1]) < valid[:, None]] == 0).any()


# charge neutrality


def test_known_compounds_are_neutral_and_impossible_ones_are_not(table_of):
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
    tables = [charge_table(name)] * len(pairs)
    assert can_be_neutral(numbers, amounts, tables).tolist() == [expected]


@settings(max_examples=100)
@given(
    st.lists(st.tuples(elements_drawn, st.integers(1, 6)), min_size=1, max_size=4),
    st.sampled_from(["common", "icsd", "all"]),
)
def test_assignments_are_those_of_a_loop_over_all_charges(pairs, name):
    numbers = np.array([[Element(element).Z for element, _ in pairs]] * 3, dtype=np.uint8)
    amounts = np.array([amount for _, amount in pairs])
    charges, valid = charge_table(name)
    states = [sorted(charges[number, : valid[number]].tolist()) for number in numbers[0]]
    found = neutral_assignments(numbers, amounts, [charge_table(name)] * len(pairs))
    expected = [list(choice) for choice in product(*states) if np.dot(choice, amounts) == 0]
    assert found.counts.tolist() == [len(expected)] * 3
    assert [choice[1].tolist() for _, choice in found.rounds()] == expected


def test_a_search_too_large_for_the_memory_goes_block_by_block(monkeypatch):
    numbers = np.random.default_rng(0).choice([11, 16, 25, 26, 29, 8], (200, 3)).astype(np.uint8)
    amounts, tables = np.array([1, 2, 4]), [charge_table("all")] * 3
    whole = neutral_assignments(numbers, amounts, tables)
    monkeypatch.setattr(assignments, "_BLOCK", 1)
    parts = neutral_assignments(numbers, amounts, tables)
    assert (whole.counts == parts.counts).all()
    assert (whole.charges == parts.charges).all()


def test_many_roles_do_not_run_over():
    # twelve roles: a product of the numbers of elements would not fit into 64 bits
    numbers = np.array([[11] * 6 + [17] * 6, [11] * 7 + [17] * 5], dtype=np.uint8)
    tables = [charge_table({"Na": [1], "Cl": [-1]})] * 12
    assert can_be_neutral(numbers, np.ones(12, dtype=np.int64), tables).tolist() == [True, False]


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


# ions


def test_a_role_takes_its_own_ions_and_the_common_states_for_the_rest(table_of):
    rows = [("La", "Fe", "O"), ("Sr", "Fe", "O"), ("Sr", "Ti", "O")]
    plain = table_of("cubic-perovskite", *rows)
    ions = table_of("cubic-perovskite", *rows, oxidation_states={"B": {"Fe": (3,)}})
    assert ChargeNeutrality()(plain).keep.tolist() == [True, True, True]
    assert ChargeNeutrality()(ions).keep.tolist() == [True, False, True]


def test_an_ion_wins_over_the_states_of_the_filter(table_of):
    table = table_of("cubic-perovskite", ("Sr", "Fe", "O"), oxidation_states={"B": {"Fe": (4,)}})
    assert ChargeNeutrality({"Sr": [2], "Fe": [3], "O": [-2]})(table).keep.tolist() == [True]


def test_parts_of_a_role_have_the_ions_of_the_whole(table_of, split):
    mixed = split("cubic-perovskite", ("A", "B", "X.1", "X.2"), [0, 1, 2, 2, 3])
    table = table_of(mixed, ("Na", "Mg", "S", "F"), oxidation_states={"X": {"S": (-1,), "F": (-1,)}})
    assert ChargeNeutrality()(table).keep.tolist() == [True]
    assert not ChargeNeutrality()(table_of(mixed, ("Na", "Mg", "S", "F"))).keep.any()


def test_roles_that_may_be_exchanged_share_their_ions(table_of):
    # a table writes B and B' of an elpasolite in the order of atomic numbers, whatever the user wrote
    states = {"B": {"Fe": (2,)}, "B'": {"Mo": (6,)}}
    table = table_of("elpasolite", ("Sr", "Fe", "Mo", "O"), ("Sr", "Mo", "Fe", "O"), oxidation_states=states)
    assert ChargeNeutrality(assign=True)(table).columns["charge_B"].tolist() == [2, 6]


def test_an_element_may_have_two_states_in_two_roles(table_of):
    magnetite = neutral_assignments(np.array([[26, 26, 8]], dtype=np.uint8), np.array([1, 2, 4]), [charge_table()] * 3)
    assert sorted(magnetite.charges.tolist()) == [[2, 3, -2], [4, 2, -2]]
    result = ChargeNeutrality(assign=True)(table_of("elpasolite", ("Cs", "Au", "Au", "Cl")))  # Au+ and Au3+
    assert [column.tolist() for column in result.columns.values()] == [[1], [1], [3], [-1]]


# one assignment

TERNARY = ["PbTiO3", "CuFeO2", "BaBiO3", "KNbO3", "LaMnO3", "LaNiO3", "CsPbI3", "InGaO3", "TlVO3", "NaUO3", "PbSnO3"]


@pytest.mark.parametrize("formula", TERNARY)
def test_the_assignment_is_the_one_that_pymatgen_guesses(formula, table_of):
    composition = Composition(formula)
    symbols = [element.symbol for element in composition]
    override = {symbol: list(common_oxidation_states(symbol)) for symbol in symbols}
    guesses = composition.oxi_state_guesses(oxi_states_override=override)
    amounts = np.array([int(composition[symbol]) for symbol in symbols])
    numbers = np.array([[Element(symbol).Z for symbol in symbols]], dtype=np.uint8)
    chosen = most_frequent_assignment(numbers, amounts, [charge_table()] * len(symbols))[0]
    whole = [guess for guess in guesses if all(float(state).is_integer() for state in guess.values())]
    assert dict(zip(symbols, chosen.tolist(), strict=True)) == (whole[0] if whole else dict.fromkeys(symbols, 0))


def test_charges_add_up_and_stand_in_a_column_for_each_role(table_of):
    table = enumerate_candidates(["cubic-perovskite", "rock-salt"], ["K", "Pb", "Sn", "Mn", "Fe", "La", "O", "F", "N"])
    result = ChargeNeutrality(assign=True)(table)
    assert list(result.columns) == ["charge_A", "charge_B", "charge_X"]
    for prototype, rows in table.by_prototype():
        charges = np.stack([result.columns[f"charge_{role}"][rows] for role in prototype.roles], axis=1)
        assert not (charges @ prototype.reduced_multiplicity).any()
        assert ((charges != 0).all(axis=1) == result.keep[rows]).all()
        for role in {"A", "B", "X"} - set(prototype.roles):
            assert not result.columns[f"charge_{role}"][rows].any()
