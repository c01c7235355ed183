"""Columns that say nothing or nothing new are dropped, and the report says because of which others."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.featurizers.selection import columns, drop_constant, drop_correlated, scale
from matscout.featurizers.selection.correlation import correlations
from matscout.featurizers.selection.scale import Scale

seeds = st.integers(0, 2**32 - 1)


def named(X):
    return [f"x{i}" for i in range(X.shape[1])]


def all_correlations(X, **options):
    every = np.arange(X.shape[1])
    return correlations(Scale(X), every, every, **options)


def random_matrix(seed, gaps=0.0):
    """Twelve columns, some of them alike, of all sizes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12)) ** 3
    X[:, 5] = -X[:, 2] + 0.1 * X[:, 3]
    X = (X + 10.0 ** rng.uniform(-6, 4, 12)) * 10.0 ** rng.uniform(-6, 6, 12)
    X[rng.random(X.shape) < gaps] = np.nan
    return X


# ------------------------------------------------------------------------------------------------------------ constant


def test_columns_of_one_value_or_of_none_are_dropped():
    X = np.array([[1.0, 3.0, np.nan, np.nan, 0.1], [2.0, 3.0, np.nan, 7.0, 0.1 + 1e-16], [3.0, 3.0, np.nan, 7.0, 0.1]])
    found = drop_constant(X, ["a", "b", "c", "d", "e"])
    assert found.kept.tolist() == [0]
    assert {name: str(why) for name, why in found.dropped.items()} == {
        "b": "constant at 3",
        "c": "unknown in every row",
        "d": "constant at 7",
        "e": "constant at 0.1",
    }
    assert found.apply(X).tolist() == [[1.0], [2.0], [3.0]]


def test_a_single_other_value_anywhere_keeps_a_column(monkeypatch):
    monkeypatch.setattr(scale, "CHUNK_NUMBERS", 10)
    for row in range(10):
        X = np.full((10, 3), 5.0)
        X[row, 1] = 5.1
        assert drop_constant(X, named(X)).kept.tolist() == [1]


def test_rounding_counts_as_nothing_only_up_to_the_tolerance():
    X = np.array([[1.0, 1.0], [1.0 + 1e-12, 1.0 + 1e-6]])
    assert drop_constant(X, ["a", "b"]).kept.tolist() == [1]
    assert drop_constant(X, ["a", "b"], tolerance=0).kept.tolist() == [0, 1]
    assert drop_constant(X, ["a", "b"], tolerance=1e-3).kept.tolist() == []


# -------------------------------------------------------------------------------------------------------- correlations


@given(seeds)
def test_coefficients_are_those_of_numpy(seed):
    X = random_matrix(seed)
    assert all_correlations(X) == pytest.approx(np.corrcoef(X.T), abs=1e-9)


@given(seeds, st.sampled_from([0.05, 0.3, 0.6]))
def test_coefficients_with_gaps_are_those_of_pandas(seed, gaps):
    X = random_matrix(seed, gaps)
    theirs = pd.DataFrame(X).corr(min_periods=3).to_numpy()
    assert all_correlations(X) == pytest.approx(np.nan_to_num(theirs), abs=1e-7)


@given(seeds, st.sampled_from([0.0, 0.3]))
def test_two_blocks_of_columns_give_what_one_gives(seed, gaps):
    X = random_matrix(seed, gaps)
    parts = np.array([0, 4, 7]), np.array([1, 2, 9, 4])
    assert correlations(Scale(X), *parts) == pytest.approx(all_correlations(X)[np.ix_(*parts)], abs=1e-9)


def test_where_one_of_them_does_not_vary_there_is_no_coefficient():
    x = np.arange(10.0)
    y = np.where(x < 5, 3.0, np.nan)
    y[9] = 8.0
    x[9] = np.nan  # y varies, but not where x is known
    assert all_correlations(np.column_stack([x, y, np.full(10, 0.1)])).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_columns_known_together_too_rarely_are_not_compared():
    x, y, z = np.random.default_rng(0).normal(size=(3, 100))
    y[:40], z[:60] = x[:40], x[:60]
    y[40:], z[60:] = np.nan, np.nan
    X = np.column_stack([y, x, z])
    assert drop_correlated(X, "yxz").kept.tolist() == [0, 1]  # y is known in 40 of 100 rows of x, x wherever z is
    assert drop_correlated(X, "yxz", min_overlap=0.3).kept.tolist() == [0]


# ---------------------------------------------------------------------------------------------------------- correlated


def by_definition(X, threshold):
    """Go through the columns one by one, with numpy's coefficients."""
    r = np.abs(np.corrcoef(X.T))
    kept = []
    for column in range(X.shape[1]):
        if not kept or r[kept, column].max() < threshold:
            kept.append(column)
    return kept


@given(seeds, st.sampled_from([0.3, 0.6, 0.9, 0.99]))
def test_what_stays_is_what_the_definition_keeps(seed, threshold):
    X = random_matrix(seed)
    found = drop_correlated(X, named(X), threshold)
    assert found.kept.tolist() == by_definition(X, threshold)
    r = np.corrcoef(X.T)
    for name, why in found.dropped.items():
        column, other = int(name[1:]), int(why.because_of[1:])
        assert other < column
        assert other in found.kept
        assert why.coefficient == pytest.approx(r[column, other], abs=1e-9)
        earlier = found.kept[found.kept < column]
        assert abs(why.coefficient) == pytest.approx(np.abs(r[column, earlier]).max(), abs=1e-9)


def test_blocks_and_chunks_do_not_show(monkeypatch):
    for seed in range(10):
        X = random_matrix(seed, gaps=0.1)
        whole = drop_correlated(X, named(X), 0.5)
        with monkeypatch.context() as small:
            small.setattr(columns, "_BLOCK", 3)
            small.setattr(scale, "CHUNK_NUMBERS", 50)
            assert drop_correlated(X, named(X), 0.5).frame().equals(whole.frame())
        assert whole.dropped


def test_the_same_column_twice_is_dropped_at_any_threshold():
    x, y = np.random.default_rng(1).normal(size=(2, 200))
    X = np.column_stack([x, y, x, -1e6 * y + 1e9])
    found = drop_correlated(X, "abcd", 1.0)
    assert found.kept.tolist() == [0, 1]
    assert str(found) == (
        "2 of 4 columns kept, dropped: 2 correlated\n  c: correlated 1.0000 with a\n  d: correlated -1.0000 with b"
    )


def test_constant_columns_stay_unless_dropped_before_and_one_report_tells_of_both():
    x, y = np.random.default_rng(1).normal(size=(2, 200))
    X = np.column_stack([np.ones(200), x, 2 * x, y])
    names = ["one", "x", "double", "y"]
    assert drop_correlated(X, names).kept.tolist() == [0, 1, 3]
    both = drop_correlated(X, names, among=drop_constant(X, names))
    assert both.kept_names == ("x", "y")
    assert both.apply(X).shape == (200, 2)
    frame = both.frame()
    assert frame["reason"].tolist() == ["constant", "", "correlated", ""]
    assert frame["because_of"].tolist() == ["", "", "x", ""]
    assert frame["kept"].tolist() == [False, True, False, True]
    assert frame["coefficient"][2] == 1.0


def test_a_long_report_is_cut():
    X = np.ones((3, 14))
    X[0, 0] = 2
    lines = str(drop_constant(X, named(X))).splitlines()
    assert lines[0] == "1 of 14 columns kept, dropped: 13 constant"
    assert len(lines) == 12
    assert lines[-1] == "  and 3 more"


def test_single_precision_and_other_layouts_give_the_same():
    X = random_matrix(3).astype(np.float32)
    assert (
        drop_correlated(X, named(X), 0.5).kept.tolist() == drop_correlated(X.astype(float), named(X), 0.5).kept.tolist()
    )
    assert (
        drop_correlated(np.asfortranarray(X), named(X), 0.5).kept.tolist()
        == drop_correlated(X, named(X), 0.5).kept.tolist()
    )


def test_the_matrix_is_not_copied():
    X = np.random.default_rng(0).normal(size=(300_000, 40)).astype(np.float32)
    tracemalloc.start()
    try:
        drop_correlated(X, named(X), among=drop_constant(X, named(X)))
        assert tracemalloc.get_traced_memory()[1] < X.nbytes
    finally:
        tracemalloc.stop()


def test_nothing_in_gives_nothing_out():
    assert drop_constant(np.empty((0, 2)), "ab").kept.tolist() == []
    assert drop_correlated(np.empty((0, 2)), "ab").kept.tolist() == [0, 1]
    assert drop_correlated(np.empty((5, 0)), []).kept.tolist() == []
    assert str(drop_constant(np.empty((5, 0)), [])) == "0 of 0 columns kept"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X: drop_constant(X, ["a"]), r"values of shape \(3, 2\) do not fit 1 names"),
        (lambda X: drop_correlated(X, ["a", "a"]), "two columns are named a"),
        (lambda X: drop_correlated(X, "ab", 0), "threshold .* above 0 and is at most 1, got 0"),
        (lambda X: drop_correlated(X, "ab", 1.5), "got 1.5"),
        (lambda X: drop_correlated(X, "ab", among=drop_constant(X, "cd")), "of other columns"),
        (lambda X: drop_constant(X, "ab").apply(X[:, :1]), r"\(3, 1\) do not fit 2 names"),
        (lambda X: drop_constant(X * [1, np.inf], "ab"), "infinite in column b"),
        (lambda X: drop_correlated(X * [1, np.inf], "ab"), "infinite in column b"),
    ],
)
def test_mistakes_are_told(call, said):
    with pytest.raises(UserError, match=said):
        call(np.array([[1.0, 2.0], [2.0, 5.0], [4.0, 3.0]]))
