from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from matscout.db._elements import electronegativities, symbols
from matscout.errors import UserError
from matscout.workflows.enumeration import common_oxidation_states, enumerate_candidates, get_prototype
from matscout.workflows.enumeration.filters.electronegativity import ElectronegativityOrder
from matscout.workflows.enumeration.filters.oxidation import charge_table


def pauling_test(states, values, names, *, repeat_anions=True, repeat_cations=True, threshold=0.0):
    """SMACT's rule for one choice of states, after the documentation of smact.screening.pauling_test."""
    if None in values:
        return False
    cations = [name for name, state in zip(names, states, strict=True) if state > 0]
    anions = [name for name, state in zip(names, states, strict=True) if state < 0]
    if not repeat_anions and not repeat_cations and len(set(names)) < len(names):
        return False
    if (not repeat_cations and len(set(cations)) < len(cations)) or (
        not repeat_anions and len(set(anions)) < len(anions)
    ):
        return False
    for (first, chi_1), (second, chi_2) in combinations(zip(states, values, strict=True), 2):
        if first * second > 0:
            continue
        cation, anion = (chi_1, chi_2) if first > 0 else (chi_2, chi_1)
        if cation - anion > threshold or (threshold == 0 and cation == anion):
            return False
    return True


@pytest.mark.parametrize("prototype", ["rock-salt", "cubic-perovskite", "elpasolite"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.3},
        {"threshold": -0.4},
        {"repeat_cations": False},
        {"repeat_anions": False},
        {"repeat_cations": False, "repeat_anions": False},
        {"threshold": 0.5, "repeat_cations": False, "repeat_anions": False},
    ],
)
def test_the_order_is_that_of_a_loop_with_the_rule_of_smact(prototype, options, table_of):
    rng = np.random.default_rng(7)
    pool = np.array([1, 3, 5, 6, 7, 8, 9, 14, 15, 16, 17, 22, 26, 32, 33, 34, 51, 55, 81, 82])
    numbers = rng.choice(pool, (250, len(get_prototype(prototype).roles)))
    table = table_of(prototype, *[[symbols()[number] for number in row] for row in numbers])
    charges, valid = charge_table()
    amounts = get_prototype(prototype).reduced_multiplicity

    def passes(row):
        values = [None if np.isnan(chi) else chi for chi in electronegativities()[row]]
        names = [symbols()[number] for number in row]
        choices = product(*(charges[number, : valid[number]].tolist() for number in row))
        return any(np.dot(q, amounts) == 0 and pauling_test(q, values, names, **options) for q in choices)

    expected = [passes(row) for row in numbers]
    assert ElectronegativityOrder(**options)(table).keep.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_the_counts_are_those_of_smact_itself():
    # smact 4.0.2, smact.screening.pauling_test over all neutral choices of the same states and electronegativities
    numbers = [1, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 22, 26, 29, 30, 34, 38, 50, 53, 56, 82]
    pool = [symbols()[number] for number in numbers]
    states = {symbol: common_oxidation_states(symbol) for symbol in pool}  # as they were given to smact
    table = enumerate_candidates("cubic-perovskite", pool)
    assert len(table) == 26 * 25 * 24
    assert np.count_nonzero(ElectronegativityOrder(oxidation_states=states)(table).keep) == 1942
    assert np.count_nonzero(ElectronegativityOrder(threshold=0.3, oxidation_states=states)(table).keep) == 2252


def test_known_compounds_are_in_order(table_of):
    table = table_of("rock-salt", ("Na", "Cl"), ("B", "P"), ("Si", "C"), ("I", "Cl"), ("Cl", "Na"), ("Na", "Mg"))
    assert ElectronegativityOrder()(table).keep.tolist() == [True, True, True, True, True, False]


def test_wrong_order_is_removed_though_neutral(table_of):
    table = table_of("rock-salt", ("P", "B"))  # P3+ B3- would be neutral, if boron had a state of -3
    states = {"P": [3], "B": [-3]}
    assert not ElectronegativityOrder(oxidation_states=states)(table).keep.any()
    assert ElectronegativityOrder(oxidation_states=states, threshold=0.2)(table).keep.all()


def test_an_element_without_electronegativity_is_unknown(table_of):
    table = table_of("rock-salt", ("He", "O"), ("Mg", "O"), ("Ne", "O"))
    states = {"He": [2], "Mg": [2], "O": [-2]}  # neon has no state: it is judged, and removed
    dropped = ElectronegativityOrder(oxidation_states=states)(table)
    kept = ElectronegativityOrder(oxidation_states=states, unknown="keep")(table)
    assert (dropped.keep.tolist(), dropped.unknown) == ([False, True, False], 1)
    assert (kept.keep.tolist(), kept.unknown) == ([True, True, False], 1)


def test_ions_are_taken_into_account(table_of):
    rows = [("Fe", "O")]
    assert ElectronegativityOrder()(table_of("rock-salt", *rows)).keep.all()
    assert not ElectronegativityOrder()(table_of("rock-salt", *rows, oxidation_states={"A": {"Fe": (3,)}})).keep.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": "large"}, "threshold must be a number, got 'large'"),
        ({"threshold": float("nan")}, "threshold must be a number, got nan"),
        ({"repeat_cations": "no"}, "repeat_cations must be true or false, got 'no'"),
        ({"unknown": "perhaps"}, 'unknown must be "keep" or "drop", got \'perhaps\''),
        ({"threshold": 0.1, "repeat_anions": False}, "repeat_cations and repeat_anions must be the same"),
        ({"oxidation_states": "comon"}, "Nearest: common"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UserError) as error:
        ElectronegativityOrder(**options)
    assert message in str(error.value)
