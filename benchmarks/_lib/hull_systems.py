"""Random chemical systems with everything that hulls stumble over, and the linear program that judges them.

The tests take them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, identity, kron

from matscout.workflows.stability import Hull

if TYPE_CHECKING:
    from collections.abc import Callable

ELEMENTS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In")
SAME_COMPOSITION = 1e-8  # atomic fractions
_N_QUERIES = 8
_N_DECOMPOSED = 4
_SOLVED_TO = 1e-9  # eV/atom between the primal and the dual side of the linear program
_TIGHT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class RandomSystem:
    """One chemical system.

    Attributes
    ----------
    symbols
        d element symbols.
    amounts
        Of the entries, shape (n, d), not normalised.
    formation_energies
        eV/atom, shape (n,).
    references
        Energies of the elements in eV/atom, shape (d,), or None where the hull is given formation energies.
    queries
        Other compositions, shape (q, d).
    """

    symbols: tuple[str, ...]
    amounts: np.ndarray
    formation_energies: np.ndarray
    references: np.ndarray | None
    queries: np.ndarray

    @property
    def fractions(self) -> np.ndarray:
        """Atomic fractions of the entries, shape (n, d)."""
        return fractions_of(self.amounts)

    @property
    def energies(self) -> np.ndarray:
        """Energies in the convention of the hull, eV/atom, shape (n,)."""
        return self.absolute(self.fractions, self.formation_energies)

    def absolute(self, fractions: np.ndarray, formation_energies: np.ndarray) -> np.ndarray:
        """Return formation energies in the convention of the hull, eV/atom, shape (n,)."""
        return formation_energies if self.references is None else formation_energies + fractions @ self.references

    def hull(self) -> Hull:
        """Give the entries to the library, under their row numbers."""
        ids = list(range(len(self.amounts)))
        by_formation = self.references is None
        return Hull((self.amounts, self.symbols), self.energies, ids, formation_energies=by_formation)


class Differences(NamedTuple):
    """Largest differences between the library and the linear program.

    Attributes
    ----------
    e_above_hull, decomposition_energy
        eV/atom.
    decomposed_energy
        Of decompositions, eV/atom.
    decomposed_fractions
        Between the atoms that go into decompositions and come out.
    """

    e_above_hull: float
    decomposition_energy: float
    decomposed_energy: float
    decomposed_fractions: float


def fractions_of(amounts: np.ndarray) -> np.ndarray:
    """Atomic fractions of amounts, shape (n, d)."""
    return np.asarray(amounts / amounts.sum(axis=1, keepdims=True))


def lowest_energies(
    points: np.ndarray, energies: np.ndarray, targets: np.ndarray, allowed: np.ndarray | None = None
) -> np.ndarray:
    """Lowest energy of phases that make each target, in eV/atom, shape (m,), by one linear program for all of them.

    Parameters
    ----------
    points
        Atomic fractions of the phases, shape (p, d).
    energies
        eV/atom, shape (p,).
    targets
        Atomic fractions, shape (m, d).
    allowed
        Which phases each target may decompose into, shape (m, p); None for all.

    Raises
    ------
    RuntimeError
        What HiGHS calls a solution is none: its value and the bound that its multipliers prove are apart.
    """
    m, p = len(targets), len(points)
    mask = np.ones((m, p), dtype=bool) if allowed is None else allowed
    matrix = csr_matrix(kron(identity(m), points.T, format="csc")[:, mask.ravel()])
    solution = linprog(
        np.tile(energies, m)[mask.ravel()], A_eq=matrix, b_eq=targets.ravel(), method="highs", options=_TIGHT
    )
    if not solution.success:
        raise RuntimeError(f"HiGHS failed: {solution.message}")
    amounts = np.zeros((m, p))
    amounts[mask] = solution.x
    multipliers = solution.eqlin.marginals.reshape(m, -1)
    missing = targets - amounts @ points
    reached = amounts @ energies + (multipliers * missing).sum(axis=1)
    room = np.where(mask, energies - multipliers @ points.T, np.inf).min(axis=1)
    bound = (multipliers * targets).sum(axis=1) + np.minimum(room, 0.0)
    gap = float((reached - bound).max())
    if gap > _SOLVED_TO:
        raise RuntimeError(f"HiGHS stopped {gap:.1e} eV/atom from the lowest energy")
    return np.asarray(reached)


def random_system(rng: np.random.Generator, n_elements: int | None = None) -> RandomSystem:
    """Draw 2 to 7 elements and a few dozen entries.

    Among them are duplicates, multiples of a formula, compositions on lines and planes through others, entries that lie
    exactly on a facet, entries at and above the elements' plane, polymorphs of elements, compositions that nearly
    coincide, and energies that tie.
    """
    d = int(rng.integers(2, 8)) if n_elements is None else n_elements
    largest = int(rng.choice([1, 2, 3, 6, 20]))
    amounts = rng.integers(0, largest + 1, (int(rng.integers(1, 25)), d)).astype(float)
    amounts *= rng.random(amounts.shape) < rng.choice([0.4, 0.7, 1.0])
    amounts = amounts[(amounts > 0).sum(axis=1) > 1]
    if not len(amounts):
        amounts = np.ones((1, d))
    energies = _ENERGIES[rng.integers(len(_ENERGIES))](rng, fractions_of(amounts))
    for grow in _GROWTHS:
        if rng.random() < 0.4:
            amounts, energies = grow(rng, amounts, energies)
    order = rng.permutation(len(amounts))
    amounts, energies = amounts[order], energies[order]
    references = None
    if rng.random() < 0.5:
        references = -rng.uniform(0, 10, d)
        amounts, energies = np.vstack([amounts, np.eye(d)]), np.append(energies, np.zeros(d))
        amounts, energies = _above_their_references(amounts, energies)
    return RandomSystem(ELEMENTS[:d], amounts, energies, references, _queries(rng, amounts))


def differences(system: RandomSystem) -> Differences:
    """Compare hull, decomposition energies and decompositions of a system with the linear program."""
    hull = system.hull()
    d, n = len(system.symbols), len(system.amounts)
    points = np.vstack([np.eye(d), system.fractions])
    energies = np.append(np.zeros(d), system.formation_energies)
    targets = np.vstack([system.fractions, fractions_of(system.queries)])
    heights = lowest_energies(points, energies, targets)

    asked = np.vstack([system.amounts, system.queries])
    above = np.append(system.formation_energies, np.zeros(len(system.queries)))
    distance = hull.e_above_hull((asked, system.symbols), system.absolute(targets, above))

    compounds = np.flatnonzero(system.fractions.max(axis=1) < 1)
    expected = np.zeros(n)
    if len(compounds):
        own = system.fractions[compounds]
        other = np.abs(own[:, None] - points).max(axis=2) > SAME_COMPOSITION
        expected[compounds] = system.formation_energies[compounds] - lowest_energies(points, energies, own, other)
    decomposed = [_decomposed(hull, system, asked[i], heights[i]) for i in _spread(len(asked))]
    return Differences(
        float(np.abs(distance - (above - heights)).max()),
        float(np.abs(hull.decomposition_energy() - expected).max()),
        max(energy for energy, _ in decomposed),
        max(atoms for _, atoms in decomposed),
    )


def _decomposed(hull: Hull, system: RandomSystem, amounts: np.ndarray, height: float) -> tuple[float, float]:
    """Error of the energy, and of the atoms, of one decomposition."""
    shares = hull.decompose({s: x for s, x in zip(system.symbols, amounts.tolist(), strict=True) if x})
    fractions = {s: np.eye(len(system.symbols))[i] for i, s in enumerate(system.symbols)}
    fractions |= dict(enumerate(system.fractions))
    energies = dict.fromkeys(system.symbols, 0.0) | dict(enumerate(system.formation_energies.tolist()))
    made = sum(share * fractions[phase] for phase, share in shares.items())
    energy = sum(share * energies[phase] for phase, share in shares.items())
    return abs(energy - height), float(np.abs(made - amounts / amounts.sum()).max())


def _spread(n: int) -> list[int]:
    """Return a few numbers below n, the last among them."""
    return sorted(set(np.linspace(0, n - 1, _N_DECOMPOSED).astype(int).tolist()))


# ---- energies of compounds, eV/atom


def _rough(rng: np.random.Generator, fractions: np.ndarray) -> np.ndarray:
    return rng.normal(-0.3, 0.4, len(fractions))


def _tied(rng: np.random.Generator, fractions: np.ndarray) -> np.ndarray:
    return rng.integers(-12, 4, len(fractions)) / 8


def _smooth(rng: np.random.Generator, fractions: np.ndarray) -> np.ndarray:
    """All nearly on the hull, as in a solid solution."""
    return -rng.uniform(0.1, 2) * (1 - (fractions**2).sum(axis=1)) + rng.normal(0, 1e-3, len(fractions))


def _pyramid(rng: np.random.Generator, fractions: np.ndarray) -> np.ndarray:
    """All exactly on a few facets around one compound."""
    top = fractions[rng.integers(len(fractions))]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(top > 0, fractions / top, np.inf)
    return -ratios.min(axis=1)


def _electronegative(rng: np.random.Generator, fractions: np.ndarray) -> np.ndarray:
    """Binaries and their mixtures are worth up to a few eV/atom, as in ionic compounds."""
    chi = rng.uniform(0.8, 4, fractions.shape[1])
    mean = fractions @ chi
    return -(fractions * (chi - mean[:, None]) ** 2).sum(axis=1) + rng.normal(0, 0.1, len(fractions))


_ENERGIES: tuple[Callable[[np.random.Generator, np.ndarray], np.ndarray], ...] = (
    _rough,
    _tied,
    _smooth,
    _pyramid,
    _electronegative,
)

# ---- further entries


Entries = tuple[np.ndarray, np.ndarray]


def _joined(amounts: np.ndarray, energies: np.ndarray, more: np.ndarray, energies_of_more: np.ndarray) -> Entries:
    return np.vstack([amounts, more]), np.append(energies, energies_of_more)


def _duplicates(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    rows = rng.integers(0, len(amounts), 6)
    step = rng.choice([0.0, 0.0, 1e-10, 1e-6, 0.05], 6)
    return _joined(amounts, energies, amounts[rows] * rng.integers(1, 8, (6, 1)), energies[rows] + step)


def _on_lines(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    """Compositions and energies between two others, or a little off."""
    first, second = rng.integers(0, len(amounts), (2, 6))
    return _mixed(rng, amounts, energies, np.stack([first, second], axis=1))


def _on_planes(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    """Compositions and energies inside a simplex of others, or a little off."""
    return _mixed(rng, amounts, energies, rng.integers(0, len(amounts), (6, amounts.shape[1])))


def _mixed(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray, rows: np.ndarray) -> Entries:
    weights = rng.integers(1, 4, rows.shape)
    atoms = weights * amounts.sum(axis=1)[rows]
    step = rng.choice([0.0, 0.0, 1e-10, -1e-8, 1e-3, -1e-3], len(rows))
    more = (weights[..., None] * amounts[rows]).sum(axis=1)
    return _joined(amounts, energies, more, (atoms * energies[rows]).sum(axis=1) / atoms.sum(axis=1) + step)


def _flat(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    """At the elements' plane, and above it."""
    more = rng.integers(0, 5, (4, amounts.shape[1])) + np.eye(amounts.shape[1])[rng.integers(amounts.shape[1])]
    return _joined(amounts, energies, more, rng.choice([0.0, 1e-12, -1e-12, 0.2], 4) * (more > 0).any(axis=1))


def _near(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    """Compositions a thousandth or a millionth from others, with energies as near."""
    rows = rng.integers(0, len(amounts), 5)
    size = rng.choice([1e-3, 1e-6])
    fractions = fractions_of(amounts[rows])
    d = amounts.shape[1]
    moved = fractions + size * (np.eye(d)[rng.integers(0, d, 5)] - np.eye(d)[fractions.argmax(axis=1)])
    return _joined(amounts, energies, moved, energies[rows] + rng.choice([0.0, size, -size], 5))


def _polymorphs_of_elements(rng: np.random.Generator, amounts: np.ndarray, energies: np.ndarray) -> Entries:
    more = np.eye(amounts.shape[1])[rng.integers(0, amounts.shape[1], 3)] * rng.integers(1, 30, (3, 1))
    return _joined(amounts, energies, more, rng.choice([0.0, 0.1, 0.3, -0.1], 3))


_GROWTHS = (_duplicates, _on_lines, _on_planes, _flat, _near, _polymorphs_of_elements)


def _above_their_references(amounts: np.ndarray, energies: np.ndarray) -> Entries:
    """Leave out phases of elements below 0: absolute energies would make them the references."""
    pure = (amounts > 0).sum(axis=1) == 1
    kept = ~pure | (energies >= 0)
    return amounts[kept], energies[kept]


def _queries(rng: np.random.Generator, amounts: np.ndarray) -> np.ndarray:
    """Anywhere, on faces of composition space, and at its rim."""
    d = amounts.shape[1]
    queries = rng.dirichlet(np.ones(d), _N_QUERIES)
    queries[: _N_QUERIES // 2] *= rng.random((_N_QUERIES // 2, d)) < 0.6
    queries[0] = 1e-6
    queries[0, rng.integers(d)] = 1
    queries[queries.sum(axis=1) == 0] = 1
    return np.asarray(queries)
