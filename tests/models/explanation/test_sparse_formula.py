from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sympy

from matscout.errors import UserError
from matscout.models.explanation import SparseFormula
from matscout.models.explanation.terms import Term, read_unit, unit_of


def planted(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3.0, (n, 5))
    y = 3 * X[:, 0] * X[:, 1] - 2 * X[:, 2] / X[:, 3] + 0.05 * rng.normal(size=n)
    return X, y


NAMES = ["x1", "x2", "x3", "x4", "x5"]


@pytest.fixture(scope="module")
def law():
    X, y = planted()
    return SparseFormula.fit(X, y, NAMES)


def test_a_planted_law_is_found_with_its_number_of_terms(law):
    assert [term.text(NAMES) for term in law.terms] == ["x1 * x2", "x3 / x4"]
    assert law.coefficients == pytest.approx([3, -2], abs=0.03)
    assert law.intercept == pytest.approx(0, abs=0.05)
    assert law.cross_validated[2] == pytest.approx(0.05, rel=0.25)
    assert law.cross_validated[1] > 10 * law.cross_validated[2]
    assert law.rmse < law.cross_validated[2]


def test_it_holds_on_new_rows(law):
    X, y = planted(seed=1)
    assert np.sqrt(np.mean((law.predict(X) - y) ** 2)) == pytest.approx(0.05, rel=0.2)
    frame = pd.DataFrame(X, columns=NAMES)[["x4", "x3", "x2", "x1"]]  # by name; one that is not needed is not there
    assert law.predict(frame).tolist() == law.predict(X).tolist()


def test_the_order_of_the_columns_does_not_count(law):
    X, y = planted()
    other = [3, 0, 4, 2, 1]
    again = SparseFormula.fit(X[:, other], y, [NAMES[column] for column in other])
    assert again.expression == law.expression
    assert again.predict(X[:, other]).tobytes() == law.predict(X).tobytes()


def test_the_tolerance_factor_is_found_from_radii():
    rng = np.random.default_rng(2)
    a, b, x = rng.uniform(0.5, 2.0, (3, 80))
    t = (a + x) / (np.sqrt(2) * (b + x))  # Goldschmidt 1926
    law = SparseFormula.fit(np.column_stack([a, b, x]), t, ["r_A", "r_B", "r_X"], ["Å", "Å", "Å"])
    assert law.dimension == 1
    assert law.rmse < 1e-12
    new = rng.uniform(0.5, 2.0, (10, 3))
    expected = (new[:, 0] + new[:, 2]) / (np.sqrt(2) * (new[:, 1] + new[:, 2]))
    assert law.predict(new) == pytest.approx(expected, abs=1e-12)


def test_terms_without_terms_are_chosen_without_nesting():
    rng = np.random.default_rng(2)
    X = rng.uniform(0.5, 2.0, (60, 3))
    law = SparseFormula.fit(X, np.log(X[:, 0]) - abs(X[:, 1] - X[:, 2]), ["a", "b", "c"], nested=False)
    assert {term.text(law.names) for term in law.terms} == {"log(a)", "abs(b - c)"}
    assert law.coefficients == pytest.approx([-1, 1], abs=1e-9) or law.coefficients == pytest.approx([1, -1], abs=1e-9)


def test_noise_gets_no_long_law():
    rng = np.random.default_rng(0)
    law = SparseFormula.fit(rng.normal(size=(40, 3)), rng.normal(size=40), nested=False)
    assert law.dimension == 1


def test_so_many_terms_as_are_wanted():
    X, y = planted(60)
    law = SparseFormula.fit(X, y, NAMES, dimension=4, nested=False)
    assert law.dimension == 4
    assert list(law.cross_validated) == [1, 2, 3, 4]


def test_only_like_units_are_added_and_only_numbers_have_logarithms():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2, (60, 3))
    y = np.log(X[:, 0] + X[:, 1]) + 0.2 * X[:, 2]
    units = ["Å", "eV", "Å"]

    def unit(term):
        """Fails where a part makes no sense."""
        return read_unit(units[term.column]) if not term.parts else unit_of(term.operation, *map(unit, term.parts))

    law = SparseFormula.fit(X, y, ["a", "b", "c"], units, dimension=2, folds=2)
    assert all(unit(term) is not None for term in law.terms)
    free = SparseFormula.fit(X, y, ["a", "b", "c"], dimension=2, folds=2)
    assert "log(a + b)" in free.expression
    assert free.rmse < 1e-12 < law.rmse


def test_groups_are_held_out_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 10)
    offset = rng.normal(size=12)[groups]
    X = np.column_stack([rng.uniform(1, 2, 120), np.repeat(rng.uniform(1, 2, 12), 10)])
    y = X[:, 0] + offset
    apart = SparseFormula.fit(X, y, ["a", "b"], dimension=3, groups=groups, nested=False)
    mixed = SparseFormula.fit(X, y, ["a", "b"], dimension=3, nested=False)
    assert apart.expression == mixed.expression
    assert apart.cross_validated[3] > mixed.cross_validated[3]
    one = SparseFormula.fit(X, y, ["a", "b"], dimension=1, groups=np.zeros(120), nested=False)
    assert one.cross_validated == pytest.approx({1: one.cross_validated[1]})


def test_equal_rows_are_held_out_together():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(1, 2, (30, 5)), rng.normal(size=30)
    # noise of which rows that were learnt from would tell: the last digits are those of another way to write a formula
    thrice = np.vstack([X, X * (1 + 1e-15), X])
    law = SparseFormula.fit(thrice, np.tile(y, 3) + 0.05 * rng.normal(size=90), max_dimension=3)
    assert law.dimension == 1
    assert min(law.cross_validated.values()) > 0.9 * y.std()


@pytest.mark.parametrize("odd", [-0.01, 0.0, 1e-300])
def test_a_law_is_defined_in_all_rows_also_in_those_that_are_not_screened_by(odd, monkeypatch):
    monkeypatch.setattr("matscout.models.explanation.laws.MOST_ROWS", 50)
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3, (400, 2))
    target = np.log(X[:, 0]) + 1 / X[:, 0]
    X[7, 0] = odd
    for nested in (False, True):
        law = SparseFormula.fit(X, target, max_dimension=2, nested=nested)
        assert np.isfinite(law.predict(X)).all()
        assert law.rmse == pytest.approx(np.sqrt(np.mean((law.predict(X) - target) ** 2)))
        assert json.dumps(law.as_dict(), allow_nan=False)


def test_terms_of_terms_are_defined_in_all_rows(monkeypatch):
    monkeypatch.setattr("matscout.models.explanation.laws.MOST_ROWS", 50)
    rng = np.random.default_rng(0)
    a, b = rng.uniform(2, 3, 400), rng.uniform(1, 2, 400)
    target = np.log(a - b)
    a[7], b[7] = 1.0, 2.0  # both are positive, but not their difference
    law = SparseFormula.fit(np.column_stack([a, b]), target, max_dimension=2)
    assert np.isfinite(law.predict(np.column_stack([a, b]))).all()
    assert np.isfinite(law.rmse)


def test_a_target_that_is_the_same_in_nearly_all_rows_has_no_law():
    X = np.random.default_rng(0).normal(size=(2000, 2))
    for row in range(5):
        with pytest.raises(UserError, match="the same in nearly all rows"):
            SparseFormula.fit(X, np.arange(2000) == row, max_dimension=1, nested=False)


def test_many_rows_and_columns_are_bounded(monkeypatch):
    monkeypatch.setattr("matscout.models.explanation.laws.MOST_COLUMNS", 4)
    monkeypatch.setattr("matscout.models.explanation.laws.MOST_ROWS", 50)
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 2, (300, 12))
    law = SparseFormula.fit(X, 2 * X[:, 3] / X[:, 7] + 1, nested=False)
    assert law.expression == "1 + 2 * x3 / x7"
    assert law.n_rows == 300


def test_it_comes_back_from_json(law):
    X, _ = planted(seed=1)
    again = SparseFormula.from_dict(json.loads(json.dumps(law.as_dict())))
    assert again.expression == law.expression
    assert again.predict(X).tobytes() == law.predict(X).tobytes()
    assert again.cross_validated == law.cross_validated


def test_where_a_term_is_not_defined_the_law_is_unknown():
    log = Term("log", (Term("column", column=0),))
    law = SparseFormula(("a",), (log,), (2.0,), 1.0, 0.0, 1.0)
    assert np.isnan(law.predict([[-1.0], [0.0], [1.0]])).tolist() == [True, True, False]
    assert law.expression == "1 + 2 * log(a)"


A, B, C = (Term("column", column=column) for column in range(3))


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Term("ratio", (Term("sum", (A, B)), Term("sum", (C, B)))), "(a + b) / (c d + b)"),
        (Term("ratio", (A, Term("product", (A, B)))), "a / (a * b)"),
        (Term("ratio", (Term("ratio", (A, B)), A)), "a / b / a"),
        (Term("product", (Term("inverse", (A,)), B)), "(1 / a) * b"),
        (Term("square", (Term("ratio", (A, B)),)), "(a / b)^2"),
        (Term("square", (Term("square", (A,)),)), "(a^2)^2"),
        (Term("inverse", (Term("square", (B,)),)), "1 / b^2"),
        (Term("difference", (A, Term("difference", (B, A)))), "a - (b - a)"),
        (Term("root", (Term("distance", (A, B)),)), "sqrt(abs(a - b))"),
        (Term("distance", (A, Term("sum", (B, C)))), "abs(a - (b + c d))"),
    ],
)
def test_the_text_means_what_the_term_computes(term, text):
    names = ["a", "b", "c d"]
    written = term.text(names)
    assert written.replace("[c d]", "c d") == text
    a, b, c = np.random.default_rng(0).uniform(1, 2, (3, 5))
    read = sympy.lambdify(sympy.symbols("a b c"), sympy.sympify(written.replace("[c d]", "c").replace("^", "**")))
    assert term.values(np.column_stack([a, b, c])) == pytest.approx(read(a, b, c), rel=1e-14)
    assert Term.from_list(json.loads(json.dumps(term.as_list()))) == term


def test_units_are_read_and_multiplied():
    assert read_unit("kg m^2/s^2") == read_unit("m2*kg/s2")
    assert read_unit("g/cm3") == read_unit("g cm^-3") == read_unit("g*cm-3")
    assert read_unit("log10 of GPa") == (("log10 of GPa", 1.0),)
    assert read_unit("log10 of (GPa)") == (("log10 of (GPa)", 1.0),)
    assert unit_of("root", read_unit("Å^2")) == read_unit("Å")
    assert unit_of("product", read_unit("eV/Å"), read_unit("Å")) == read_unit("eV")
    assert unit_of("log", unit_of("ratio", read_unit("Å"), read_unit("Å"))) == ()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"X": np.ones((5, 2)), "y": np.arange(5.0)}, "at least 10 rows"),
        ({"y": np.ones(20)}, "all 20 targets are 1"),
        ({"names": ["a", "a"]}, "2 different names"),
        ({"units": ["Å"]}, "a unit for each of 2"),
        ({"dimension": 0}, "dimension must be"),
        ({"seed": -1}, "seed must be"),
        ({"groups": [None] * 3 + ["a"] * 17}, "3 of 20 rows have no group"),
        ({"X": np.where(np.arange(40).reshape(20, 2) == 3, 1e200, 1.0)}, "column b is unknown .* or larger than"),
        ({"X": np.where(np.arange(40).reshape(20, 2) == 3, np.nan, 1.0)}, "column b is unknown"),
        ({"X": np.ones((20, 2))}, "changes from row to row"),
    ],
)
def test_mistakes_are_named(change, error):
    rng = np.random.default_rng(0)
    given = {"X": rng.normal(size=(20, 2)), "y": rng.normal(size=20), "names": ["a", "b"]} | change
    with pytest.raises(UserError, match=error):
        SparseFormula.fit(given.pop("X"), given.pop("y"), given.pop("names"), **given)


def test_a_missing_column_is_named(law):
    with pytest.raises(UserError, match="no column x1"):
        law.predict(pd.DataFrame({"x2": [1.0], "x3": [1.0], "x4": [1.0]}))
    with pytest.raises(UserError, match="expected 5 features"):
        law.predict([[1.0]])
