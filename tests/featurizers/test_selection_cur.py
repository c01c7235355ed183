"""CUR chooses what numpy's singular vectors say, and explains what a projection on what it chose explains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.errors import UserError
from matscout.featurizers.selection import cur, cur_columns, cur_rows, scale

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(40, 8), (9, 30), (15, 15)])


def standardised(X):
    mean, std = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    return np.nan_to_num(np.divide(X - mean, std, out=np.zeros(X.shape), where=std > 1e-9))


def random_matrix(seed, shape, gaps=0.0):
    """Columns that are alike, of all sizes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1])) ** 3
    X = X * 10.0 ** rng.uniform(-3, 3, shape[1]) + rng.normal(size=shape[1])
    known = X[:2].copy()
    X[rng.random(shape) < gaps] = np.nan
    X[:2] = known
    return X


def columns_by_definition(Z, n, components):
    """Choose with numpy's SVD of the whole matrix, what is chosen being projected out of it each time."""
    left, chosen, explained = Z.copy(), [], []
    for _ in range(n):
        _, values, right = np.linalg.svd(left, full_matrices=False)
        right = right[:components][values[:components] > 1e-8 * values[0]]
        leverage = (right**2).sum(axis=0)
        leverage[chosen] = -1
        chosen.append(int(leverage.argmax()))
        picked = Z[:, chosen]
        left = Z - picked @ np.linalg.lstsq(picked, Z, rcond=None)[0]
        explained.append(1 - (left**2).sum() / (Z**2).sum())
    return chosen, explained


@given(seeds, shapes, st.sampled_from([1, 3]), st.sampled_from([0.0, 0.1]))
def test_columns_are_those_of_the_largest_leverage(seed, shape, components, gaps):
    X = random_matrix(seed, shape, gaps)
    found = cur_columns(X, 5, components=components)
    chosen, explained = columns_by_definition(standardised(X), 5, components)
    assert found.indices.tolist() == chosen
    assert found.explained == pytest.approx(explained, abs=1e-8)


@given(seeds, shapes, st.sampled_from([1, 3]), st.sampled_from([0.0, 0.1]))
def test_rows_are_those_of_the_largest_leverage(seed, shape, components, gaps):
    X = random_matrix(seed, shape, gaps)
    found = cur_rows(X, 5, components=components)
    chosen, explained = columns_by_definition(standardised(X).T, 5, components)
    assert found.indices.tolist() == chosen
    assert found.explained == pytest.approx(explained, abs=1e-8)


@settings(max_examples=30)
@given(seeds, st.sampled_from([(80, 20), (20, 80)]), st.integers(1, 6))
def test_a_matrix_of_rank_k_is_made_again_from_k_columns_or_rows(seed, shape, rank):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])) + 5
    Z = standardised(X)
    for found, vectors, whole in ((cur_columns(X, 99), Z, Z), (cur_rows(X, 99), Z.T, Z.T)):
        assert len(found.indices) == rank
        assert found.explained[-1] == pytest.approx(1, abs=1e-9)
        picked = vectors[:, found.indices]
        assert picked @ np.linalg.lstsq(picked, whole, rcond=None)[0] == pytest.approx(whole, abs=1e-6)


def test_what_is_explained_grows_to_all_of_it():
    X = random_matrix(0, (60, 10))
    for found in (cur_columns(X, 10), cur_rows(X, 10)):
        assert len(set(found.indices.tolist())) == 10
        assert (np.diff(found.explained) > 0).all()
        assert found.explained[-1] == pytest.approx(1)


def test_a_few_columns_explain_more_than_as_many_drawn_at_random():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 40)) + 0.1 * rng.normal(size=(300, 40))
    Z = standardised(X)
    random = []
    for _ in range(20):
        picked = Z[:, rng.choice(40, 5, replace=False)]
        random.append(1 - ((Z - picked @ np.linalg.lstsq(picked, Z, rcond=None)[0]) ** 2).sum() / (Z**2).sum())
    assert cur_columns(X, 5).explained[-1] > np.median(random)


def test_constant_and_unknown_columns_do_not_count():
    X = random_matrix(0, (50, 6))
    padded = np.column_stack([np.full(50, 0.1), X, np.full(50, np.nan)])
    assert (cur_columns(padded, 6).indices == cur_columns(X, 6).indices + 1).all()
    assert (cur_rows(padded, 6).indices == cur_rows(X, 6).indices).all()
    assert len(cur_columns(padded, 99).indices) == 6


def test_chunks_do_not_show(monkeypatch):
    X = random_matrix(2, (70, 9), gaps=0.1)
    X[:, 0] = np.arange(70)
    whole = cur_columns(X, 6), cur_rows(X, 6), cur_columns(X.T, 6), cur_rows(X.T, 6)
    monkeypatch.setattr(scale, "CHUNK_NUMBERS", 40)
    for before, found in zip(
        whole, (cur_columns(X, 6), cur_rows(X, 6), cur_columns(X.T, 6), cur_rows(X.T, 6)), strict=True
    ):
        assert (found.indices == before.indices).all()
        assert found.explained == pytest.approx(before.explained, abs=1e-12)


def test_large_matrices_give_what_small_ones_give(monkeypatch):
    """They go to ARPACK in place of LAPACK."""
    X = random_matrix(3, (60, 30))
    whole = cur_columns(X, 8), cur_rows(X, 8)
    monkeypatch.setattr(cur, "_DENSE", 5)
    for before, found in zip(whole, (cur_columns(X, 8), cur_rows(X, 8)), strict=True):
        assert (found.indices == before.indices).all()
        assert found.explained == pytest.approx(before.explained, abs=1e-9)


def test_the_same_column_many_times_is_chosen_once():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    X = np.column_stack([x, x, -x, y, x])
    assert cur_columns(X, 5).indices.tolist() == [0, 3]


def test_nothing_wanted_or_nothing_there_gives_nothing():
    X = random_matrix(0, (20, 4))
    for found in (cur_columns(X, 0), cur_rows(X, -1), cur_columns(np.ones((5, 3)), 2), cur_rows(np.ones((5, 3)), 2)):
        assert found.indices.tolist() == []
    assert cur_rows(np.empty((0, 3)), 3).indices.tolist() == []
    assert cur_columns(np.empty((3, 0)), 3).indices.tolist() == []


def test_mistakes_are_told():
    with pytest.raises(UserError, match="infinite in column 1"):
        cur_columns([[1.0, np.inf], [2.0, 0.0]], 1)
    with pytest.raises(UserError, match="over one singular vector at least, not over 0"):
        cur_rows(random_matrix(0, (20, 4)), 1, components=0)
