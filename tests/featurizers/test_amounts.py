from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition

from matscout.db._elements import atomic_numbers, symbols
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError
from matscout.featurizers.amounts import Amounts, amounts_of_table, read_amounts
from matscout.workflows.enumeration import get_prototype

contents = st.dictionaries(st.sampled_from(symbols()[1:]), st.integers(1, 9), min_size=1, max_size=5)


def as_dict(amounts, row=0):
    """Symbol -> amount of a row."""
    pairs = zip(amounts.elements[row].tolist(), amounts.values[row].tolist(), strict=True)
    return {symbols()[z]: amount for z, amount in pairs if amount}


@given(st.lists(contents, max_size=6))
def test_a_matrix_of_amounts_loses_nothing(rows):
    numbers = np.arange(1, 119, dtype=np.uint8)
    matrix = np.zeros((len(rows), 118))
    for line, row in zip(matrix, rows, strict=True):
        for symbol, amount in row.items():
            line[atomic_numbers()[symbol] - 1] = amount
    amounts = Amounts.from_matrix(matrix, numbers)
    assert [as_dict(amounts, i) for i in range(len(rows))] == rows


def test_a_matrix_row_without_an_element_is_named():
    with pytest.raises(UserError, match="row 1 holds no element"):
        Amounts.from_matrix(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([8, 26], dtype=np.uint8))


@given(st.lists(st.tuples(contents, st.booleans()), max_size=6))
def test_formulas_and_compositions_are_read_in_their_order(rows):
    given_ = [
        Composition(row) if as_composition else "".join(f"{symbol}{amount}" for symbol, amount in row.items())
        for row, as_composition in rows
    ]
    amounts, errors = read_amounts(given_)
    assert not errors
    assert [list(as_dict(amounts, i).items()) for i in range(len(rows))] == [list(row.items()) for row, _ in rows]


def test_a_row_that_is_nothing_takes_no_other_along():
    unreadable = [None, 3, 2.5, b"Fe", float("nan"), "(Zz)" * 250_000, "Fe\nXx", {"Fe": 1}, Composition({})]
    unreadable += [Composition({"Fe": -1, "O": 2}, allow_negative=True), Composition({"Fe": float("inf")}), np.ones(3)]
    rows = [row for wrong in unreadable for row in ("SrTiO3", wrong, "Ca3(PO4)2", "NH4NO3")]
    amounts, errors = read_amounts(rows)
    assert sorted(errors) == list(range(1, len(rows), 4))
    assert max(map(len, errors.values())) < 300
    alone, _ = read_amounts(["SrTiO3", "H", "Ca3(PO4)2", "NH4NO3"])
    np.testing.assert_array_equal(amounts.elements, np.tile(alone.elements, (len(unreadable), 1)))
    np.testing.assert_array_equal(amounts.values, np.tile(alone.values, (len(unreadable), 1)))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (None, "None is no formula: it is missing"),
        (float("nan"), "nan is no formula: it is missing"),
        (b"Fe2O3", "b'Fe2O3' is no formula, but of type bytes"),
        (Composition({"Fe": -1, "O": 2}, allow_negative=True), "Fe-1O2 has an amount that is not positive: -1 of Fe"),
        (Composition({}), "{} holds no element"),
        (Composition({"X": 1, "O": 1}), "X0+1O1 is no composition of elements: X0+"),
        ("Fe0", "'Fe0' has an amount that is not positive: 0 of Fe"),
    ],
)
def test_an_error_quotes_the_row_and_says_what_is_wrong(wrong, error):
    assert read_amounts(["Fe", wrong])[1] == {1: error}


def test_no_rows_have_no_amounts():
    amounts, errors = read_amounts([])
    assert (len(amounts), amounts.elements.shape[0], errors) == (0, 0, {})
    assert list(amounts.blocks(10)) == []


@given(st.lists(contents, min_size=1, max_size=30), st.integers(1, 7))
def test_blocks_hold_each_row_once_with_nothing_filled_up(rows, size):
    amounts, _ = read_amounts([Composition(row) for row in rows])
    found = {}
    for places, elements, values in amounts.blocks(size):
        assert len(elements) <= size
        for place, of_row, values_of_row in zip(np.arange(len(rows))[places].tolist(), elements, values, strict=True):
            found[place] = {symbols()[z]: v for z, v in zip(of_row.tolist(), values_of_row.tolist(), strict=True)}
    assert [found[i] for i in range(len(rows))] == rows


def table_of(*decorations):
    """Perovskites and elpasolites of given elements, one in several roles or not."""
    prototypes = [get_prototype("cubic-perovskite"), get_prototype("elpasolite")]
    rows = [decoration.split() for decoration in decorations]
    numbers = [[atomic_numbers()[symbol] for symbol in row] + [0] * (4 - len(row)) for row in rows]
    return CandidateTable(prototypes, [len(row) - 3 for row in rows], numbers, [12.0] * len(rows))


def test_a_table_has_the_amounts_of_its_formulas():
    table = table_of("Sr Ti O", "Cs Ag Bi Br", "O Ti O", "O O O", "O O O Ba")
    amounts = amounts_of_table(table)
    assert [as_dict(amounts, i) for i in range(len(table))] == [
        Composition(formula).get_el_amt_dict() for formula in ("SrTiO3", "Cs2AgBiBr6", "TiO4", "O", "Ba3O2")
    ]
    assert amounts.elements.min() > 0


def test_an_empty_table_has_no_amounts():
    assert len(amounts_of_table(table_of("Sr Ti O").take([]))) == 0
