from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from matscout.workflows.stability import programs
from matscout.workflows.stability.programs import Phases, PhaseSets, solve


def by_highs(phases, x, without=-1):
    kept = np.arange(len(phases.energies)) != without
    return linprog(phases.energies[kept], A_eq=phases.fractions[kept].T, b_eq=x, method="highs").fun


def random_phases(rng, n_elements, n_phases, digits=2):
    """Few amounts and coarse energies: duplicates, collinear compositions and phases exactly on a facet."""
    table = rng.integers(0, 4, (n_phases, n_elements))
    table = table[(table > 0).sum(axis=1) > 1]
    fractions = table / table.sum(axis=1, keepdims=True) if len(table) else np.empty((0, n_elements))
    energies = -np.abs(np.round(rng.normal(0, 0.3, len(table)), digits)) - 0.1
    return Phases(np.vstack([np.eye(n_elements), fractions]), np.concatenate([np.zeros(n_elements), energies]))


@pytest.fixture
def highs_calls(monkeypatch):
    calls = []
    original = programs.by_program
    monkeypatch.setattr(programs, "by_program", lambda *a: calls.append(a) or original(*a))
    return calls


@pytest.mark.parametrize("n_elements", range(2, 10))
def test_many_systems_at_once_are_what_highs_says_of_each(n_elements, highs_calls):
    rng = np.random.default_rng(n_elements)
    systems = [random_phases(rng, n_elements, int(rng.integers(0, 30)), int(rng.integers(1, 3))) for _ in range(10)]
    which = np.repeat(np.arange(10), 6)
    at = rng.dirichlet(np.ones(n_elements), 60)
    at[::3] = [systems[k].fractions[rng.integers(len(systems[k].energies))] for k in which[::3]]  # on a phase
    order = rng.permutation(60)
    answer = solve(PhaseSets.of(systems), which[order], at[order], np.full(60, -1))
    expected = [by_highs(systems[k], x) for k, x in zip(which[order], at[order], strict=True)]
    assert answer.energy == pytest.approx(expected, abs=1e-9)
    assert not highs_calls

    made = [s @ systems[k].fractions[p] for k, p, s in zip(which[order], answer.phases, answer.shares, strict=True)]
    assert np.array(made) == pytest.approx(at[order], abs=1e-9)
    for k, plane, height, x in zip(which[order], answer.potentials, answer.energy, at[order], strict=True):
        assert (systems[k].energies - systems[k].fractions @ plane).min() > -1e-9  # no phase lies below the plane
        assert plane @ x == pytest.approx(height, abs=1e-12)


def test_one_phase_may_be_left_out_for_a_composition():
    rng = np.random.default_rng(0)
    phases = random_phases(rng, 3, 25)
    rows = np.arange(3, len(phases.energies))
    answer = solve(PhaseSets.of([phases]), np.zeros(len(rows), dtype=np.intp), phases.fractions[rows], rows)
    assert answer.energy == pytest.approx([by_highs(phases, phases.fractions[row], row) for row in rows], abs=1e-9)
    used = np.where(answer.shares > programs.SMALLEST_SHARE, answer.phases, -1)
    assert not (used == rows[:, None]).any()


def test_nearly_coinciding_phases_are_left_to_highs_where_nothing_else_is_proved(highs_calls):
    rng = np.random.default_rng(7)
    base = rng.dirichlet(np.ones(4), 12)
    near = np.abs(base + rng.normal(0, 1e-9, base.shape))
    fractions = np.vstack([np.eye(4), base, near / near.sum(axis=1, keepdims=True)])
    phases = Phases(fractions, np.concatenate([np.zeros(4), -np.round(1 - fractions[4:].max(axis=1), 2)]))
    at = np.vstack([rng.dirichlet(np.ones(4), 20), fractions[4:]])
    answer = solve(PhaseSets.of([phases]), np.zeros(len(at), dtype=np.intp), at, np.full(len(at), -1))
    made = np.einsum("nk,nkd->nd", answer.shares, fractions[answer.phases])
    assert made == pytest.approx(at, abs=1e-6)
    assert answer.energy == pytest.approx([by_highs(phases, x) for x in at], abs=1e-6)


def test_a_system_of_elements_alone_lies_at_zero():
    phases = Phases(np.eye(3), np.zeros(3))
    answer = solve(
        PhaseSets.of([phases]), np.zeros(2, dtype=np.intp), np.array([[0.2, 0.3, 0.5], [0, 0.5, 0.5]]), np.full(2, -1)
    )
    assert answer.energy.tolist() == [0, 0]
    assert answer.shares == pytest.approx(np.array([[0.2, 0.3, 0.5], [0, 0.5, 0.5]]))


def test_batches_hold_every_program_once(monkeypatch):
    monkeypatch.setattr(programs, "_NUMBERS_AT_ONCE", 200)
    rng = np.random.default_rng(1)
    systems = [random_phases(rng, 3, n) for n in (0, 3, 60, 8, 25)]
    which = rng.integers(0, 5, 100)
    at = rng.dirichlet(np.ones(3), 100)
    answer = solve(PhaseSets.of(systems), which, at, np.full(100, -1))
    assert answer.energy == pytest.approx([by_highs(systems[k], x) for k, x in zip(which, at, strict=True)], abs=1e-9)
