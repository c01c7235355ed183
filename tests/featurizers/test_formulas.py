from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition

from matscout.db._elements import symbols
from matscout.errors import UserError
from matscout.featurizers.formulas import read_formula, read_plain

group_amounts = ["", "", "1", "2", "12", "0.5", ".25", "3.0", "007", "2."]
amount_texts = st.sampled_from([*group_amounts, "100", "0.001", "12345", "1e-3"])
terms = st.tuples(st.sampled_from(symbols()[1:]), amount_texts).map("".join)


def grouped(inside):
    """Terms in brackets of any kind, with an amount behind."""
    brackets = st.sampled_from(["()", "[]", "{}"])
    return st.tuples(st.lists(inside, min_size=1, max_size=3), brackets, st.sampled_from(group_amounts)).map(
        lambda parts: f"{parts[1][0]}{''.join(parts[0])}{parts[1][1]}{parts[2]}"
    )


formulas = st.lists(st.recursive(terms, grouped, max_leaves=6), min_size=1, max_size=5).map("".join)


def by_symbol(amounts):
    return {symbols()[number]: amount for number, amount in amounts.items()}


def as_pymatgen(formula):
    return Composition(formula).get_el_amt_dict()


@given(formulas)
def test_a_formula_is_read_as_pymatgen_reads_it(formula):
    expected = as_pymatgen(formula)
    read = by_symbol(read_formula(formula))
    assert list(read) == list(expected)
    assert read == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.lists(terms, min_size=1, max_size=6).map("".join), max_size=8))
def test_many_plain_formulas_are_read_as_pymatgen_reads_each(formulas):
    found = read_plain(formulas)
    for row, formula in enumerate(formulas):
        if row in found.others:
            continue
        mine = found.rows == row
        read = dict(zip(found.numbers[mine].tolist(), found.values[mine].tolist(), strict=True))
        assert list(by_symbol(read).items()) == list(as_pymatgen(formula).items())


@given(st.lists(st.text("FeOCo123.()[ +\u00e9\u0663", max_size=8), max_size=6))
def test_what_is_read_of_a_list_is_what_is_read_of_each(texts):
    found = read_plain(texts)
    for row, text in enumerate(texts):
        if row not in found.others:
            mine = found.rows == row
            together = dict(zip(found.numbers[mine].tolist(), found.values[mine].tolist(), strict=True))
            assert together == read_formula(text)


def test_only_what_is_not_plain_is_left_for_the_other_way():
    plain = ["NaCl", "Fe2O3", "Li0.5Fe12345.25", "Og"]
    others = ["Ca3(PO4)2", "NH4NO3", "", "Fe 2", "fe", "Fe0", "2Fe", "Xx", "Fe1e3", ".5Fe", "Fe2.5.1"]
    found = read_plain([*plain, *others])
    assert found.others.tolist() == list(range(len(plain), len(plain) + len(others)))
    assert found.values.tolist() == [1, 1, 2, 3, 0.5, 12345.25, 1]


@pytest.mark.parametrize(
    "formula", ["Mg(Al[OH]4)2", "Y3N@C80", " Fe 2 O 3 ", "(Li0.5Na0.5)2O", "Fe 2.0 ( OH ) 3", "Fe1e-2O", "(Fe]2O"]
)
def test_brackets_blanks_and_exponents_are_read_as_by_pymatgen(formula):
    assert by_symbol(read_formula(formula)) == pytest.approx(as_pymatgen(formula))


def test_isotopes_of_hydrogen_are_hydrogen():
    assert read_formula("HDTO") == {1: 3, 8: 1}


def test_no_nesting_is_too_deep_and_no_formula_too_long_to_be_answered():
    assert read_formula("(" * 4_000 + "Fe2" + ")" * 4_000) == {26: 2}
    with pytest.raises(UserError, match="not between"):
        read_formula("(" * 300 + "Fe" + ")9" * 300)
    with pytest.raises(UserError, match="a bracket is not closed"):
        read_formula("(Fe" * 3_000)
    with pytest.raises(UserError, match="is too long: 1000000 characters"):
        read_formula("Fe" * 500_000)
    assert read_formula("Fe2" * 3_000) == {26: 6_000}


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("Xx2O3", "there is no element Xx"),
        ("Uue", "there is no element Uue"),
        ("FE2O3", "there is no element E"),
        ("fe2o3", "symbols begin with a capital letter"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("Fe2O3)", "closed that was not opened"),
        ("((Fe)2", "not closed"),
        ("Fe()2", "nothing between two brackets"),
        ("Fe0", "not positive: 0 of Fe"),
        ("Fe0O", "not positive: 0 of Fe"),
        ("(FeO)0Na", "not positive: 0 of Fe"),
        ("Fe-1O2", "charges and negative amounts are not read"),
        ("Fe3+", "charges and negative amounts are not read"),
        ("Fe\u00b3\u207a", "charges and negative amounts are not read"),
        ("Fe\u2082O\u2083", "write its numbers on the line, 'Fe2O3'"),
        ("CuSO4\u00b75H2O", r"write a hydrate with brackets, CuSO4\(H2O\)5"),
        ("Fe1e400", "not between 1e-08 and 1e\\+100: inf of Fe"),
        ("Fe1e-9O", "not between 1e-08 and 1e\\+100: 1e-09 of Fe"),
        ("Fe2.5.1", "'.' after 5 characters"),
        ("2Fe", "'2' after 0 characters"),
        ("Fe\x00", r"'\\x00' after 2 characters"),
        ("Fe\ud800", r"'\\ud800' after 2 characters"),
    ],
)
def test_what_is_no_formula_is_refused_with_the_reason(formula, reason):
    with pytest.raises(UserError, match=reason):
        read_formula(formula)
    assert read_plain(["Fe", formula, "O"]).others.tolist() == [1]
