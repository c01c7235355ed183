from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.naming import formula, names_from_formulas, reduced_formulas

symbols = st.sampled_from(["H", "Li", "Na", "K", "Fe", "Ti", "Sr", "P", "S", "N", "O", "F", "Cl", "Cs", "U"])


@settings(deadline=None)
@given(st.dictionaries(symbols, st.integers(1, 14), min_size=1, max_size=5))
def test_formulas_are_written_as_pymatgen_writes_them(amounts):
    assert formula(fraction_table([amounts]), 0) == Composition(amounts).reduced_formula


@pytest.mark.parametrize(
    "text", ["O", "Li4O4", "H2O2", "N3", "LiFePO4", "Ca(OH)2", "Na3.5Cl1.75", "Pu2C3", "La17.5Fe2"]
)
def test_formulas_that_are_special_or_odd(text):
    whole = Composition(Composition(text).get_integer_formula_and_factor()[0]).reduced_formula
    assert formula(fraction_table([text]), 0) == whole


def test_large_whole_numbers_are_kept():
    assert reduced_formulas(fraction_table(["Fe0.97O", "H122C61N"]), range(2)) == ["Fe97O100", "H122C61N"]


def test_what_whole_numbers_do_not_give_is_written_with_decimals():
    given = ["Fe0.9471O", "Fe1.8942O2", "Li0.9713Ni0.9517O2", "YBa2Cu3O6.973", "Na0.123456Cl"]
    written = ["Fe0.9471O", "Fe0.9471O", "Li0.9713Ni0.9517O2", "Ba2YCu3O6.973", "Na0.123456Cl"]
    assert reduced_formulas(fraction_table(given), range(len(given))) == written


@given(st.dictionaries(symbols, st.floats(0.001, 1.0), min_size=2, max_size=4))
def test_a_formula_names_its_own_composition(amounts):
    table = fraction_table([amounts])
    again = fraction_table([formula(table, 0)])
    assert again.elements == table.elements
    assert again.fractions == pytest.approx(table.fractions, abs=1e-6)


def test_missing_ids_are_filled_in_by_energy():
    table = fraction_table(["NaCl", "Na2Cl2", "KCl"])
    names = names_from_formulas(table, np.array([-3.0, -3.5, -1.0]), [None, None, "mine"], taken={"NaCl#2"})
    assert names == ["NaCl#3", "NaCl", "mine"]
