from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.db.candidates import CandidateTable, FilterCount, merge_filter_counts
from matscout.errors import UserError
from matscout.workflows.enumeration import get_prototype, make_filter
from matscout.workflows.enumeration.filters import (
    FilterResult,
    apply_filters,
    filter_names,
    named_filter,
    rules,
)

#: One of each, with options as a campaign file gives them.
ALL = """
- [bartel-tau, {unknown: drop}]
- [charge-neutrality, {assign: true}]
- [crustal-abundance, {minimum: 1}]
- [electronegativity-order, {threshold: 0.1}]
- [exclude-elements, {classes: [toxic]}]
- [goldschmidt, {unknown: drop}]
- [hhi, {production: 3000}]
- [known-compounds, {entries: [SrTiO3, Cs2AgBiBr6, KMgF3], keep: known}]
- [max-atoms, {limit: 5}]
- [max-cost, {limit: 100}]
- [max-electrons, {limit: 120}]
- [max-sites, {limit: 5}]
- [octahedral-factor, {unknown: drop}]
"""


def perovskites(rows_of_three, rows_of_four, prototypes=("cubic-perovskite", "elpasolite")):
    """Make a table of both families."""
    decoration = np.zeros((len(rows_of_three) + len(rows_of_four), 4), dtype=np.uint8)
    for row, numbers in enumerate([*rows_of_three, *rows_of_four]):
        decoration[row, : len(numbers)] = numbers
    index = [0] * len(rows_of_three) + [1] * len(rows_of_four)
    return CandidateTable([get_prototype(name) for name in prototypes], index, decoration, np.ones(len(decoration)))


def same(first, second):
    """Whether two results say the same."""
    assert first.keep.tolist() == second.keep.tolist()
    assert first.unknown == second.unknown
    assert list(first.columns) == list(second.columns)
    for name, values in first.columns.items():
        np.testing.assert_array_equal(values, second.columns[name])


numbers = st.sampled_from([1, 3, 7, 8, 9, 11, 12, 17, 19, 22, 26, 29, 35, 38, 47, 50, 55, 57, 79, 82, 83])
candidates = st.builds(
    perovskites,
    st.lists(st.tuples(*[numbers] * 3), min_size=1, max_size=20),
    st.lists(st.tuples(*[numbers] * 4), max_size=20),
)
each_filter = pytest.mark.parametrize(("name", "options"), yaml.safe_load(ALL))


def test_each_filter_is_tested():
    assert tuple(name for name, _ in yaml.safe_load(ALL)) == filter_names()


# every filter


@each_filter
@settings(max_examples=15)
@given(table=candidates, data=st.data())
def test_rows_are_judged_one_by_one_in_any_order(name, options, table, data):
    order = np.array(data.draw(st.permutations(range(len(table)))))
    rule = make_filter(name, **options)
    whole = rule(table)
    columns = {column: values[order] for column, values in whole.columns.items()}
    same(rule(table.take(order)), FilterResult(whole.keep[order], whole.unknown, columns))


@each_filter
@settings(max_examples=15)
@given(table=candidates, size=st.integers(1, 9))
def test_the_size_of_chunks_does_not_matter(name, options, table, size):
    rule = make_filter(name, **options)
    parts = [rule(part) for part in table.chunks(size)]
    whole = rule(table)
    joined = {column: np.concatenate([part.columns[column] for part in parts]) for column in whole.columns}
    unknown = sum(part.unknown for part in parts)
    same(whole, FilterResult(np.concatenate([part.keep for part in parts]), unknown, joined))


@each_filter
def test_the_size_of_inner_chunks_does_not_matter(name, options, monkeypatch):
    rng = np.random.default_rng(3)
    table = perovskites(rng.integers(1, 90, (150, 3)), rng.integers(1, 90, (150, 4)))
    rule = make_filter(name, **options)
    whole = rule(table)
    monkeypatch.setattr(rules, "_CHUNK", 13)
    same(whole, rule(table))


@each_filter
def test_a_table_without_rows_is_judged(name, options):
    rule = make_filter(name, **options)
    table = perovskites([(38, 22, 8)], [])
    result = rule(table.take([]))
    assert result.keep.shape == (0,)
    assert list(result.columns) == list(rule(table).columns)
    assert all(values.shape == (0,) for values in result.columns.values())


@each_filter
def test_b_and_b_prime_may_be_exchanged(name, options):
    rng = np.random.default_rng(5)
    rows = rng.choice([8, 9, 11, 17, 22, 26, 35, 38, 47, 55, 79, 82, 83], (300, 4))
    rule = make_filter(name, **options)
    first, second = rule(perovskites([], rows)), rule(perovskites([], rows[:, [0, 2, 1, 3]]))
    assert first.keep.tolist() == second.keep.tolist()


# functions of the user's own


def light(table):
    return (table.decoration <= 38).all(axis=1)


TABLE = perovskites([(38, 22, 8), (19, 12, 9), (55, 82, 35)], [(55, 47, 83, 17)])


def test_a_function_of_columns_is_a_filter():
    table = apply_filters(TABLE, [light, lambda table: table.volume > 0])
    assert table.formulas == ["SrTiO3", "KMgF3"]
    assert [count.name for count in table.filter_counts] == ["light", "<lambda>"]


def test_a_name_given_to_a_function_stands_in_the_counts():
    named = named_filter("at-most-strontium")(light)
    assert apply_filters(TABLE, [named]).filter_counts == (FilterCount("at-most-strontium", 4, 2, 0),)
    del light.name


def test_a_name_must_be_a_text():
    with pytest.raises(ValueError, match="a filter's name must be a text, got 3"):
        named_filter(3)


def test_a_later_filter_sees_the_columns_of_an_earlier_one():
    def ideal(table):
        return np.abs(table.columns["tolerance_factor"] - 1) < 0.01

    table = apply_filters(TABLE, [make_filter("goldschmidt"), ideal])
    assert table.formulas == ["SrTiO3"]


def fails(table):
    return table.columns["missing"] > 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (fails, "the filter fails failed: KeyError: 'missing'"),
        (named_filter("my-rule")(lambda _: 1 / 0), "the filter my-rule failed: ZeroDivisionError: division by zero"),
        (named_filter("my-rule")(lambda table: table.volume), "the filter my-rule must return True or False for each"),
        (named_filter("my-rule")(lambda _: [True]), "for each of 4 candidates, got bool of shape (1,)"),
        (named_filter("my-rule")(lambda _: None), "got object of shape ()"),
        (
            named_filter("my-rule")(lambda table: FilterResult(table.volume > 0, columns={"z": np.ones(3)})),
            "the filter my-rule must give a value of its column z for each of 4 candidates, got the shape (3,)",
        ),
    ],
)
def test_a_function_that_fails_is_named(rule, message):
    with pytest.raises(UserError) as error:
        apply_filters(TABLE, [rule])
    assert message in str(error.value)


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("matscout.workflows.enumeration.filters.sizes.FilterResult", None)
    with pytest.raises(TypeError):
        apply_filters(TABLE, [make_filter("max-sites", limit=3)])


# nothing left, and chunks


def heavy(table):
    return (table.decoration > 90).any(axis=1)


def test_when_nothing_is_left_the_counts_say_why():
    with pytest.raises(UserError) as error:
        apply_filters(TABLE, [light, heavy])
    assert str(error.value) == "no candidates left: light removed 2 of 4, heavy removed 2 of 2"


def test_a_chunk_may_be_empty_and_still_counts_every_filter():
    table = apply_filters(TABLE, [heavy, light], may_be_empty=True)
    assert len(table) == 0
    assert table.filter_counts == (FilterCount("heavy", 4, 4), FilterCount("light", 0, 0))


@settings(max_examples=20)
@given(table=candidates, size=st.integers(1, 9))
def test_merged_counts_of_chunks_are_those_of_the_whole(table, size):
    filters = [make_filter("charge-neutrality"), make_filter("goldschmidt"), light]
    whole = apply_filters(table, filters, may_be_empty=True)
    parts = [apply_filters(part, filters, may_be_empty=True) for part in table.chunks(size)]
    assert merge_filter_counts(part.filter_counts for part in parts) == whole.filter_counts
    assert [formula for part in parts for formula in part.formulas] == whole.formulas


def test_counts_of_different_filters_do_not_merge():
    with pytest.raises(ValueError, match="chunks went through different filters"):
        merge_filter_counts([(FilterCount("a", 1, 0),), (FilterCount("b", 1, 0),)])
    assert merge_filter_counts([]) == ()


# by name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bartel-tau", {"limit": 4.0}),
        ("charge-neutrality", {"oxidation_states": "icsd", "assign": True}),
        ("crustal-abundance", {"minimum": 0.1}),
        ("electronegativity-order", {"threshold": 0.2}),
        ("exclude-elements", {"elements": ("As",), "classes": ("radioactive",)}),
        ("goldschmidt", {"maximum": 1.0}),
        ("hhi", {"production": 2500, "unknown": "drop"}),
        ("known-compounds", {"entries": ["NaCl"], "keep": "all"}),
        ("max-atoms", {"limit": 10, "per": "cell"}),
        ("max-cost", {"limit": 50}),
        ("max-electrons", {"limit": 200, "kind": "valence"}),
        ("max-sites", {"limit": 5}),
        ("octahedral-factor", {"minimum": 0.41}),
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
        ("xyz", {}, "Known: bartel-tau, charge-neutrality, crustal-abundance,"),
        ("bartel", {}, "Nearest: bartel-tau."),
        ("charge-neutrality", {"assign": "yes"}, "assign must be true or false, got 'yes'"),
        ("bartel-tau", {"limit": True}, "bartel-tau: limit must be a positive number, got True"),
        ("octahedral-factor", {"minimum": 0.95}, "octahedral-factor: minimum 0.95 is larger than maximum 0.9"),
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
