from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from matscout.db._elements import N_ELEMENTS
from matscout.errors import UserError
from matscout.featurizers.element_tables import is_table, read_element_table, table_document
from matscout.featurizers.elements import ElementTable, magpie_table, site_table

MAPPING = {"Fe": {"price": 0.4, "age": 3000}, "O": {"price": 0.1}}


def values_of(table):
    """Properties by atomic number, without the elements that have none."""
    return {z: table.values[z].tolist() for z in range(N_ELEMENTS) if not np.isnan(table.values[z]).all()}


def test_a_mapping_a_frame_and_a_file_are_one_table(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("\ufeffelement, price ,age\nFe, 0.4,3000\n\nO,1e-1,\n", encoding="utf-8")
    frame = pd.DataFrame({"price": [0.4, 0.1], "age": pd.array([3000, pd.NA], dtype="Int64")}, index=["Fe", "O"])
    for source in (MAPPING, frame, path, str(path)):
        assert is_table(source)
        table = read_element_table(source)
        assert table.properties == ("price", "age")
        np.testing.assert_equal(values_of(table), {26: [0.4, 3000], 8: [0.1, np.nan]})


def test_a_table_is_the_same_after_it_was_a_document():
    table = site_table()
    again = read_element_table(json.loads(json.dumps(table_document(table), allow_nan=False)))
    assert (again.properties, again.units, again.citations) == (table.properties, table.units, table.citations)
    np.testing.assert_array_equal(again.values, table.values)


def test_gaps_are_filled_with_the_mean_as_matminer_fills_them():
    filled = magpie_table("nan").filled("mean")
    np.testing.assert_allclose(filled.values, magpie_table("mean").values, rtol=1e-12)
    assert np.isnan(filled.values[0]).all()


def test_a_property_that_no_element_has_stays_unknown():
    table = ElementTable(("nothing",), ("",), np.full((N_ELEMENTS, 1), np.nan), ())
    assert np.isnan(table.filled("mean").values).all()


@pytest.mark.parametrize("other", ["magpie", 3, None, ["Fe"]])
def test_other_things_are_no_tables(other):
    assert not is_table(other)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ({"Xx": {"price": 1}}, "element properties, element 'Xx': there is no element 'Xx'"),
        ({"fe": {"price": 1}}, "there is no element 'fe'. Nearest: Fe."),
        ({"D": {"price": 1}}, "D counts as hydrogen, so give its properties as H"),
        ({26: {"price": 1}}, "there is no element '26'"),
        ({"Fe": {"price": "cheap"}}, "element 'Fe', price: 'cheap' is not a number"),
        ({"Fe": {"price": [1]}}, "element 'Fe', price: [1] is not a number"),
        ({"Fe": {"price": float("inf")}}, "element 'Fe', price: inf is not finite"),
        ({"Fe": {"": 1}}, "a property needs a name, got ''"),
        ({"Fe": {3: 1}}, "a property needs a name, got 3"),
        ({"Fe": 3}, "expected 'Fe': {property: value}, got 3"),
        ({"Fe": {}}, "there is no property in it"),
        ({}, "there is no property in it"),
        (pd.DataFrame({"price": [1, 2]}, index=["Fe", "Fe"]), "the frame, row 'Fe': Fe stands there twice"),
        (pd.DataFrame({"price": [1, 2]}), "the frame, row 0: there is no element '0'"),
        (pd.DataFrame([[1, 2]], index=["Fe"], columns=["a", "a"]), 'the property "a" stands there twice'),
        (pd.DataFrame({"price": ["much"]}, index=["Fe"]), "the frame, row 'Fe', price: 'much' is not a number"),
        (pd.DataFrame(index=["Fe"]), "the frame: there is no property in it"),
        (pd.DataFrame({"price": []}), "the frame: there is no element in it"),
        (
            ElementTable(("a",), ("",), np.zeros((118, 1)), ()),
            "values of the shape (118, 1): 1 properties take (119, 1)",
        ),
        (ElementTable(("a", "a"), ("", ""), np.zeros((119, 2)), ()), 'the property "a" stands there twice'),
        (ElementTable(("a",), (), np.zeros((119, 1)), ()), "0 units for 1 properties"),
        (ElementTable(("a",), ("",), np.full((119, 1), np.inf), ()), "a: not finite"),
    ],
)
def test_a_table_with_something_wrong_in_it_is_refused_with_the_place(source, error):
    with pytest.raises(UserError, match=re.escape(error)):
        read_element_table(source)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "the first line must name the columns"),
        (b"Fe,1\n", "the first line must name the columns, element first, as element,price,hardness; it is 'Fe,1'"),
        (b"element\nFe\n", "there is no property in it"),
        (b"element,a,a\nFe,1,2\n", 'the property "a" stands there twice'),
        (b"element,a\n", "there is no element in it"),
        (b"element,a\nFe,1\nXx,2\n", "line 3: there is no element 'Xx'"),
        (b"element,a\nFe,1\nFe,2\n", "line 3: Fe stands there twice"),
        (b"element,a\nFe,one\n", "line 2, a: 'one' is not a number"),
        (b"element,a\nFe,-inf\n", "line 2, a: -inf is not finite"),
        (b"element,a\nFe,1,2\n", "line 2: 3 fields for 2 columns"),
        (b"\xff\xfe\x00", "cannot be read as a table of element properties"),
    ],
)
def test_a_file_with_something_wrong_in_it_is_refused_with_the_line(tmp_path, content, error):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(error)) as caught:
        read_element_table(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv cannot be read .*No such file"):
        read_element_table(tmp_path / "none.csv")
