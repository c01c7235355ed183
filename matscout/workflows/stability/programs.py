"""Heights of many hulls at once, as linear programs that a batched simplex method solves together.

The hull at a composition x is the lowest energy of phases that make x: minimise e.s over shares s >= 0 with X^T s = x.
One such program has a row for each element and a column for each phase, and the elements themselves are a first basis.
A hull of thousands of chemical systems asks for thousands of small programs; here each step of the revised simplex
method is taken for all of them in a few array operations. Each answer is proved: no phase lies below the plane of its
chemical potentials, and its shares are not negative, so the plane touches the hull at x. What cannot be proved that
way, with phases of nearly one composition, is left to HiGHS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

Floats = NDArray[np.float64]

SMALLEST_SHARE = 1e-8
"""Atomic fraction below which a phase is not part of a decomposition."""

_ABSENT = 1e6  # eV/atom: what fills up the smaller of the programs solved together, never part of an answer
_BELOW = 1e-11  # eV/atom below the plane of a basis at which a phase enters it
_NEGATIVE = 1e-10  # share below 0 that rounding explains
# By how much compositions are moved while pivoting, so that no step is empty and none repeats. A composition that is
# itself so near to the edge of a facet is tried again with less.
_OFF_CORNERS = (1e-7, 1e-9, 1e-11)
_SMALLEST_PIVOT = 1e-11
_STEPS = 60  # pivots for each element before a program is left to HiGHS; some 3 are usual
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB of compositions of phases in one batch
_TOLERANCES = (1e-10, 1e-7)  # the tightest that HiGHS takes, then its own


@dataclass(frozen=True, eq=False)
class Phases:
    """Phases that compete in one chemical system; the first d are its elements at energy 0.

    Attributes
    ----------
    fractions
        Atomic fractions, shape (p, d).
    energies
        Formation energies in eV/atom, shape (p,).
    """

    fractions: Floats
    energies: Floats


@dataclass(frozen=True, eq=False)
class PhaseSets:
    """Phases that compete in each of m chemical systems of d elements, as one table.

    Attributes
    ----------
    fractions
        Atomic fractions, shape (t, d).
    energies
        Formation energies in eV/atom, shape (t,).
    starts, sizes
        First row of each system, and how many it has, shape (m,).
    """

    fractions: Floats
    energies: Floats
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, phases: Sequence[Phases]) -> Self:
        """Put the phases of several systems behind one another."""
        sizes = np.array([len(one.energies) for one in phases], dtype=np.intp)
        fractions, energies = [one.fractions for one in phases], [one.energies for one in phases]
        return cls(np.concatenate(fractions), np.concatenate(energies), np.cumsum(sizes) - sizes, sizes)

    @classmethod
    def join(cls, sets: Sequence[PhaseSets]) -> Self:
        """Put several of them behind one another."""
        rows = np.cumsum([0, *(len(one.energies) for one in sets)])
        return cls(
            np.concatenate([one.fractions for one in sets]),
            np.concatenate([one.energies for one in sets]),
            np.concatenate([one.starts + row for one, row in zip(sets, rows[:-1], strict=True)]),
            np.concatenate([one.sizes for one in sets]),
        )

    def one(self, system: int) -> Phases:
        """Return the phases of one system."""
        rows = slice(self.starts[system], self.starts[system] + self.sizes[system])
        return Phases(self.fractions[rows], self.energies[rows])


@dataclass(frozen=True, eq=False)
class Heights:
    """Answers to n programs of one number of elements d.

    Attributes
    ----------
    energy
        Height of the hull in eV/atom, shape (n,).
    potentials
        Chemical potentials of the elements in eV/atom, relative to them, shape (n, d).
    phases
        Rows of the phases each composition decomposes into, shape (n, d).
    shares
        Their atomic fractions, shape (n, d); zero for those that only close the basis.
    """

    energy: Floats
    potentials: Floats
    phases: NDArray[np.intp]
    shares: Floats


def solve(competitors: PhaseSets, which: NDArray[np.intp], at: Floats, without: NDArray[np.intp]) -> Heights:
    """Find the hull at compositions, each in one of several chemical systems of d elements.

    Parameters
    ----------
    competitors
        Phases of each system.
    which
        The system of each composition, shape (n,).
    at
        Atomic fractions, shape (n, d).
    without
        A phase that does not compete for this composition, or -1, shape (n,). Never an element.
    """
    n, d = at.shape
    answer = Heights(np.empty(n), np.empty((n, d)), np.empty((n, d), dtype=np.intp), np.empty((n, d)))
    sizes = competitors.sizes[which]
    for rows in _batches(sizes, d):
        fractions, energies = _stack(competitors, which[rows], int(sizes[rows].max()), d)
        left_out = np.flatnonzero(without[rows] >= 0)
        energies[left_out, without[rows][left_out]] = _ABSENT
        _solve_batch(fractions, energies, at[rows], answer, rows)
    return answer


def _batches(sizes: NDArray[np.intp], d: int) -> Iterator[NDArray[np.intp]]:
    """Programs of about one size, as many as memory should hold at once."""
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        smallest = max(int(sizes[order[start]]), 1)
        end = int(np.searchsorted(sizes[order], smallest * 3 // 2 + 4, side="right"))
        largest = int(sizes[order[end - 1]])
        end = min(end, start + max(1, _NUMBERS_AT_ONCE // (largest * d)))
        yield order[start:end]
        start = end


def _stack(competitors: PhaseSets, which: NDArray[np.intp], size: int, d: int) -> tuple[Floats, Floats]:
    """Phases of each program, filled up to one number, shapes (m, p, d) and (m, p)."""
    slot = np.arange(size)
    present = slot < competitors.sizes[which, None]
    rows = np.where(present, competitors.starts[which, None] + slot, 0)
    filling = np.eye(1, d)[0]
    fractions = np.where(present[..., None], competitors.fractions[rows], filling)
    return fractions, np.where(present, competitors.energies[rows], _ABSENT)


def _solve_batch(fractions: Floats, energies: Floats, at: Floats, answer: Heights, rows: NDArray[np.intp]) -> None:
    """Solve programs of one size and write the answers to `rows`."""
    for size in _OFF_CORNERS:
        proved = _try(fractions, energies, at, size, answer, rows)
        if proved.all():
            return
        fractions, energies, at, rows = fractions[~proved], energies[~proved], at[~proved], rows[~proved]
    for i, row in enumerate(rows.tolist()):
        potentials, phases, shares = by_program(fractions[i], energies[i], at[i])
        answer.energy[row] = potentials @ at[i]
        answer.potentials[row], answer.phases[row], answer.shares[row] = potentials, phases, shares


def _try(
    fractions: Floats, energies: Floats, at: Floats, size: float, answer: Heights, rows: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Write what simplex steps find to `rows`, and say for which of them it is proved, shape (m,)."""
    basis = _pivot(fractions, energies, _off_corners(at, size))
    each = np.arange(len(at))[:, None]
    potentials, shares = _potentials_and_shares(fractions[each, basis], energies[each, basis], at)
    answer.energy[rows] = (potentials * at).sum(axis=1)
    answer.potentials[rows] = potentials
    answer.phases[rows] = basis
    answer.shares[rows] = np.maximum(shares, 0.0)
    room = (energies - np.matmul(fractions, potentials[:, :, None])[..., 0]).min(axis=1)
    scale = 1.0 + np.abs(potentials).max(axis=1)
    return np.asarray((room > -10 * _BELOW * scale) & (shares.min(axis=1) > -_NEGATIVE))


def _off_corners(at: Floats, size: float) -> Floats:
    """Compositions moved a little inwards, each element by another amount, so that no basis has a share of 0."""
    d = at.shape[1]
    step = size * (1.0 + np.sqrt(np.arange(2.0, d + 2.0)) % 1.0)
    return np.asarray((at + step) / (1.0 + step.sum()))


def _pivot(fractions: Floats, energies: Floats, at: Floats) -> NDArray[np.intp]:
    """Take simplex steps until no phase lies below the plane of any basis; returns the bases, shape (m, d)."""
    m, _, d = fractions.shape
    bases = np.tile(np.arange(d), (m, 1))
    inverse = np.tile(np.eye(d), (m, 1, 1))  # of the matrix whose columns are the compositions of the basis
    costs = np.zeros((m, d))
    left = np.arange(m)  # programs that are not at their end; the arrays below hold these alone
    for _ in range(_STEPS * d):
        potentials = np.matmul(costs[:, None, :], inverse)
        reduced = energies - np.matmul(fractions, potentials.transpose(0, 2, 1))[..., 0]
        entering = reduced.argmin(axis=1)
        each = np.arange(len(left))
        going = reduced[each, entering] < -_BELOW
        if not going.all():
            # Copying the rest costs as much as a step, so those at their end are carried along until they are many.
            if not going.any():
                break
            if going.sum() < 0.7 * len(left):
                left, fractions, energies, at = left[going], fractions[going], energies[going], at[going]
                inverse, costs, entering = inverse[going], costs[going], entering[going]
                each, going = np.arange(len(left)), np.ones(len(left), dtype=bool)
        step = np.matmul(inverse, fractions[each, entering][:, :, None])[..., 0]
        shares = np.matmul(inverse, at[:, :, None])[..., 0]
        possible = step > _SMALLEST_PIVOT
        ratio = np.where(possible, shares / np.where(possible, step, 1.0), np.inf)
        leaving = ratio.argmin(axis=1)
        going &= possible.any(axis=1)
        _exchange(inverse, step, leaving, going)
        rows = each[going]
        costs[rows, leaving[rows]] = energies[rows, entering[rows]]
        bases[left[rows], leaving[rows]] = entering[rows]
    return bases


def _exchange(inverse: Floats, step: Floats, leaving: NDArray[np.intp], going: NDArray[np.bool_]) -> None:
    """Update the inverses of bases in which one phase takes the place of another."""
    rows = np.flatnonzero(going)
    out = leaving[rows]
    pivot_row = inverse[rows, out] / step[rows, out][:, None]
    inverse[rows] -= step[rows][:, :, None] * pivot_row[:, None, :]
    inverse[rows, out] = pivot_row


def _potentials_and_shares(corners: Floats, costs: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Chemical potentials and shares of bases, solved afresh; NaN where the corners have no inside."""
    determinant = np.abs(np.linalg.det(corners))
    flat = determinant == 0
    if flat.any():
        corners = np.where(flat[:, None, None], np.eye(corners.shape[1]), corners)
    potentials = np.linalg.solve(corners, costs[:, :, None])[..., 0]
    shares = np.linalg.solve(corners.transpose(0, 2, 1), at[:, :, None])[..., 0]
    potentials[flat] = np.nan
    shares[flat] = np.nan
    return np.asarray(potentials), np.asarray(shares)


def by_program(fractions: Floats, energies: Floats, x: Floats) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Potentials, phases and shares of one composition by HiGHS, shape (d,) each."""
    from scipy.optimize import linprog

    d = len(x)
    for tolerance in _TOLERANCES:
        solution = linprog(
            energies,
            A_eq=fractions.T,
            b_eq=x,
            method="highs",
            options={"primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": tolerance},
        )
        if solution.success:
            break
    else:  # the elements alone always make x, so this is numerical
        raise RuntimeError(f"the linear program of the hull failed at fractions {x.tolist()}: {solution.message}")
    shares = np.asarray(solution.x, dtype=float)
    phases = np.sort(np.argsort(-shares, kind="stable")[:d])
    # The potentials make the height below exact where the basis is degenerate, too.
    potentials = np.asarray(solution.eqlin.marginals, dtype=float)
    potentials = potentials + (energies @ shares - potentials @ x)
    return potentials, phases, shares[phases]
