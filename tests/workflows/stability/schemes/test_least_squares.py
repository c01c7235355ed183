from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.workflows.stability.schemes.least_squares import fit

seeds = st.integers(0, 2**32 - 1)


def example(seed, n=12, k=4, noise=0.1):
    """Rows as compounds are: few of the columns each, fractions that sum to 1."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((n, k)) * (rng.random((n, k)) < 0.6)
    matrix[np.arange(n), rng.integers(0, k, n)] += 0.1
    matrix /= matrix.sum(axis=1, keepdims=True)
    truth = rng.normal(size=k)
    return matrix, truth, matrix @ truth + noise * rng.normal(size=n)


def left_out_one_by_one(matrix, target, weights):
    errors = []
    for row in range(len(target)):
        rest = np.arange(len(target)) != row
        errors.append(target[row] - matrix[row] @ fit(matrix[rest], target[rest], weights[rest]).unknowns)
    return errors


@given(seeds)
def test_agrees_with_numpy(seed):
    matrix, _, target = example(seed, n=30)
    assert fit(matrix, target).unknowns == pytest.approx(np.linalg.lstsq(matrix, target)[0], abs=1e-9)


@given(seeds, st.integers(2, 14), st.integers(1, 6))
def test_errors_left_out_are_those_of_fits_without_the_row(seed, n, k):
    """Few rows for many columns, so that many a row alone tells a column."""
    matrix, _, target = example(seed, n, k)
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, n)
    solved = fit(matrix, target, weights)
    assert solved.left_out_errors == pytest.approx(left_out_one_by_one(matrix, target, weights), abs=1e-6)


@given(seeds)
def test_a_column_that_never_occurs_and_two_in_one_ratio_are_not_told_and_bend_nothing(seed):
    matrix, truth, _ = example(seed, n=20, noise=0.0)
    wider = np.column_stack([matrix, np.zeros(20), np.zeros(20), np.zeros(20)])
    pair = np.array([0.2, 0.2, 0.2, 0.0, 0.0, 0.2, 0.2])
    target = np.append(matrix @ truth, 5.0)
    solved = fit(np.vstack([wider, pair]), target)
    assert solved.told.tolist() == [True] * 4 + [False] * 3
    assert solved.unknowns == pytest.approx([*truth, 0, 0, 0], abs=1e-8)
    assert solved.errors[-1] == pytest.approx(5.0 - 0.2 * truth[:3].sum())


def test_a_heavy_row_is_met():
    matrix, target = np.ones((2, 1)), np.array([0.0, 1.0])
    assert fit(matrix, target, np.array([1.0, 3.0])).unknowns == pytest.approx([0.75])
