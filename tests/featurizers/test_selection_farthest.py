from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.featurizers.selection import farthest_columns, farthest_points, scale

seeds = st.integers(0, 2**32 - 1)


def by_definition(X, n, chosen):
    """Choose as the definition says, slowly."""
    known = X[:, np.nanstd(X, axis=0) > 0]
    scaled = np.nan_to_num((known - np.nanmean(known, axis=0)) / np.nanstd(known, axis=0))
    chosen = list(chosen)
    while len(chosen) < n:
        distance = np.linalg.norm(scaled[:, None] - scaled[None, chosen], axis=2).min(axis=1)
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    return chosen


@settings(deadline=None)
@given(seeds, st.booleans())
def test_each_row_is_the_farthest_from_those_before(seed, with_gaps):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 5)) * [1, 10, 0.1, 5, 0] + 3
    if with_gaps:
        X[rng.random(X.shape) < 0.2] = np.nan
        X[:, 0] = np.arange(40)
        X[:, 4] = 3
    found = farthest_points(X, 8, seed=1).tolist()
    assert found == by_definition(X, 8, found[:1])
    assert farthest_points(X, 7, seed=1, chosen=[4]).tolist() == by_definition(X, 8, [4])[1:]


def test_rows_chosen_earlier_are_kept_away_from_and_not_chosen_again():
    X = [[0.0, 0.0], [0.1, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    assert farthest_points(X, 1, seed=0, chosen=[0, 3]).tolist() == [2]
    assert sorted(farthest_points(X, 99, seed=0, chosen=[0, 3]).tolist()) == [1, 2, 4]


def test_the_seed_draws_the_first_row_and_nothing_else_is_random():
    X = np.random.default_rng(0).normal(size=(200, 3))
    assert (farthest_points(X, 9, seed=5) == farthest_points(X, 9, seed=5)).all()
    assert len({int(farthest_points(X, 1, seed=seed)[0]) for seed in range(8)}) > 4


@settings(deadline=None)
@given(st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, -1e4]))
def test_the_unit_of_a_feature_does_not_count(scale, shift):
    X = np.random.default_rng(0).normal(size=(50, 4))
    other = X * [1, scale, 1, 1] + [0, shift * scale, 0, 0]
    assert (farthest_points(X, 10, seed=2) == farthest_points(other, 10, seed=2)).all()


def test_constant_and_unknown_columns_do_not_count(recwarn):
    X = np.random.default_rng(0).normal(size=(50, 4))
    padded = np.column_stack([X, np.full(50, 0.1), np.full(50, np.nan)])
    assert (farthest_points(X, 10, seed=2) == farthest_points(padded, 10, seed=2)).all()
    assert not recwarn.list


def test_chunks_do_not_show(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 4))
    whole = farthest_points(X, 10, seed=2)
    monkeypatch.setattr(scale, "CHUNK_NUMBERS", 28)
    assert (farthest_points(X, 10, seed=2) == whole).all()


def test_the_same_row_many_times_is_chosen_once_before_it_repeats():
    X = [[0.0], [0.0], [0.0], [1.0], [2.0]]
    found = farthest_points(X, 5, seed=0).tolist()
    assert {X[i][0] for i in found[:3]} == {0.0, 1.0, 2.0}
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_nothing_wanted_or_nothing_left_gives_no_row():
    assert farthest_points([[1.0], [2.0]], 0, seed=0).tolist() == []
    assert farthest_points([[1.0], [2.0]], 3, seed=0, chosen=[0, 1]).tolist() == []
    assert farthest_points(np.empty((0, 3)), 3, seed=0).tolist() == []


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="row 7 was chosen earlier, but there are 2 rows"):
        farthest_points([[1.0], [2.0]], 1, seed=0, chosen=[7])
    with pytest.raises(ValueError, match="infinite in column 1"):
        farthest_points([[1.0, np.inf], [2.0, 0.0]], 1, seed=0)
    with pytest.raises(ValueError, match="shape"):
        farthest_points([1.0, 2.0], 1, seed=0)


# ------------------------------------------------------------------------------------------------------------- columns


def columns_by_definition(X, n, chosen):
    """Choose as the definition says, from unit vectors and their negatives, slowly."""
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    unit = filled - filled.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=0)
    chosen = list(chosen)
    while len(chosen) < n:
        apart = np.linalg.norm(unit[:, :, None] - unit[:, None, chosen], axis=0)
        turned = np.linalg.norm(unit[:, :, None] + unit[:, None, chosen], axis=0)
        distance = np.minimum(apart, turned).min(axis=1)
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    return chosen


@given(seeds, st.sampled_from([(40, 12), (8, 30)]), st.booleans())
def test_each_column_is_the_farthest_from_those_before(seed, shape, with_gaps):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1])) + 3
    if with_gaps:
        X[1:][rng.random((shape[0] - 1, shape[1])) < 0.1] = np.nan
        X[:2] = rng.normal(size=(2, shape[1]))
    found = farthest_columns(X, 6, seed=1).tolist()
    assert found == columns_by_definition(X, 6, found[:1])
    assert farthest_columns(X, 5, seed=1, chosen=[4]).tolist() == columns_by_definition(X, 6, [4])[1:]


def test_a_column_and_its_negative_say_the_same():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    X = np.column_stack([x, -3 * x + 1, x + 0.1 * y, y])
    assert farthest_columns(X, 4, seed=0, chosen=[0]).tolist() == [3, 2, 1]


def test_constant_columns_are_not_chosen():
    X = np.random.default_rng(0).normal(size=(50, 4))
    padded = np.column_stack([np.full(50, 0.1), X, np.full(50, np.nan)])
    assert sorted(farthest_columns(padded, 99, seed=0).tolist()) == [1, 2, 3, 4]
    assert sorted(farthest_columns(padded, 99, seed=0, chosen=[0, 2]).tolist()) == [1, 3, 4]
    assert farthest_columns(padded[:, :1], 2, seed=0).tolist() == []
    assert farthest_columns(X, 0, seed=0).tolist() == []


def test_wrong_columns_are_named():
    with pytest.raises(ValueError, match="column 7 was chosen earlier, but there are 2 columns"):
        farthest_columns([[1.0, 2.0], [2.0, 1.0]], 1, seed=0, chosen=[7])


def test_numbers_of_32_bits_are_added_up_as_64():
    values = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    values[:, 2] = 0.1
    assert farthest_columns(values, 4, seed=0).tolist() == farthest_columns(values.astype(float), 4, seed=0).tolist()
    values[:, 2] = 1e36
    assert 2 not in farthest_columns(values, 4, seed=0)
