from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.composition import Composition

from matscout.errors import UserError
from matscout.featurizers.amounts import Amounts
from matscout.featurizers.elements import atomic_numbers, symbols

amount_texts = st.sampled_from(["", "1", "2", "12", "0.5", ".25", "3.0", "100", "0.001"])
terms = st.tuples(st.sampled_from(symbols()[1:]), amount_texts)


def as_dict(amounts, row=0):
    """Symbol -> amount of a row."""
    pairs = zip(amounts.elements[row].tolist(), amounts.values[row].tolist(), strict=True)
    return {symbols()[z]: amount for z, amount in pairs if amount}


@settings(deadline=None)
@given(st.lists(terms, min_size=1, max_size=6))
def test_a_plain_formula_is_read_as_pymatgen_reads_it(terms):
    formula = "".join(symbol + digits for symbol, digits in terms)
    assert as_dict(Amounts.from_compositions([formula])) == Composition(formula).get_el_amt_dict()


@pytest.mark.parametrize("formula", ["Ca3(PO4)2", "Mg(Al[OH]4)2", "Y3N@C80", "Fe 2 O 3", "(Li0.5Na0.5)2O"])
def test_brackets_and_blanks_are_read_as_pymatgen_reads_them(formula):
    assert as_dict(Amounts.from_compositions([formula])) == pytest.approx(Composition(formula).get_el_amt_dict())


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(symbols()[1:]), st.integers(1, 9), min_size=1, max_size=5), max_size=6))
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
