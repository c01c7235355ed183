"""P(stable, final): its speed beside a phase diagram for each sample, its calibration on a synthetic truth, its errors.

    python benchmarks/probability.py [--million]

Known are random binaries of 40 elements; candidates are random ternaries near their hull. Seconds are those of one
core.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
from dataclasses import dataclass
from time import process_time
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry
from scipy.integrate import quad
from scipy.stats import norm

from matscout.workflows.stability import Hull, probability_stable_final, probability_stable_now

if TYPE_CHECKING:
    from numpy.typing import NDArray

ELEMENTS = [
    Element.from_Z(z).symbol for z in (1, *range(3, 10), *range(11, 18), *range(19, 36), *range(37, 43), 50, 53)
]
SAMPLES = 500
PEER_SYSTEMS, PEER_SAMPLES = 5, 20
THRESHOLDS = (0.0, 0.025)  # eV/atom
CROWDS = (100, 400, 1_000)


@dataclass(frozen=True)
class Space:
    """Known binaries, and candidates with their predictions in eV/atom."""

    known: dict[str, float]
    hull: Hull
    amounts: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: float


def make_space(n_systems: int, per_system: int, above: float, spread: float, std: float) -> Space:
    """Candidates in random ternary systems, their means normally distributed about a distance above the hull."""
    rng = np.random.default_rng(0)
    pairs = itertools.combinations(ELEMENTS, 2)
    binaries = [f"{a}{n}{b}{m}" for a, b in pairs for n, m in ((1, 1), (2, 1))]
    known = dict(zip(binaries, rng.normal(-0.5, 0.5, len(binaries)).tolist(), strict=True))
    hull = Hull(binaries, list(known.values()), binaries, formation_energies=True)
    triples = np.array(list(itertools.combinations(range(len(ELEMENTS)), 3)))
    chosen = np.repeat(triples[rng.choice(len(triples), n_systems, replace=False)], per_system, axis=0)
    amounts = np.zeros((len(chosen), len(ELEMENTS)))
    np.put_along_axis(amounts, chosen, rng.integers(1, 6, chosen.shape).astype(float), axis=1)
    mean = hull.hull_energy((amounts, ELEMENTS)) + rng.normal(above, spread, len(amounts))
    return Space(known, hull, amounts, mean, std)


def speed(space: Space) -> None:
    """Time all candidates, and the obvious loop on a few of their systems and samples."""
    start = process_time()
    final = probability_stable_final(space.hull, (space.amounts, ELEMENTS), space.mean, space.std, n_samples=SAMPLES)
    ours = process_time() - start
    systems = np.unique(space.amounts > 0, axis=0)
    n = len(space.mean)
    print(f"{n:,} candidates in {len(systems):,} ternary systems, {SAMPLES} samples: {ours:.1f} s")
    if len(systems) > 5_000:
        return
    rng = np.random.default_rng(1)
    count = 0
    differences: list[float] = []
    start = process_time()
    for system in systems[rng.choice(len(systems), PEER_SYSTEMS, replace=False)]:
        rows = np.flatnonzero(((space.amounts > 0) == system).all(axis=1))
        stable = loop(space, rows, rng)
        count += len(rows) * PEER_SAMPLES
        differences += (stable.mean(axis=0) - final.probability[rows]).tolist()
    peer = (process_time() - start) / count * n * SAMPLES
    print(f"  a pymatgen diagram for each sample, from {count:,} of {n * SAMPLES:,} labels: {peer:,.0f} s")
    print(f"  ratio {peer / ours:,.0f}; on its candidates the loop's mean differs by {np.mean(differences):+.3f}")


def loop(space: Space, rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each candidate of a system is stable in each of a few samples, shape (samples, candidates)."""
    symbols = {ELEMENTS[column] for column in np.flatnonzero(space.amounts[rows[0]])}
    known = [
        ComputedEntry(formula, energy * Composition(formula).num_atoms)
        for formula, energy in space.known.items()
        if set(Composition(formula).get_el_amt_dict()) <= symbols
    ]
    known += [ComputedEntry(symbol, 0.0) for symbol in symbols]
    cells = [{ELEMENTS[c]: space.amounts[row, c] for c in np.flatnonzero(space.amounts[row])} for row in rows]
    stable = []
    for _ in range(PEER_SAMPLES):
        energies = rng.normal(space.mean[rows], space.std) * space.amounts[rows].sum(axis=1)
        drawn = [ComputedEntry(cell, energy) for cell, energy in zip(cells, energies.tolist(), strict=True)]
        diagram = PhaseDiagram([*known, *drawn])
        stable.append([diagram.get_e_above_hull(entry, check_stable=False) <= 1e-9 for entry in drawn])
    return np.array(stable)


def crowded(correlation: float) -> None:
    """Time candidates that are all in one chemical system."""
    hull = Hull(["NaCl", "Na2O", "NaClO4"], [-2.0, -1.4, -0.8], formation_energies=True)
    seconds = []
    for n in CROWDS:
        rng = np.random.default_rng(0)
        compositions = rng.integers(1, 9, (n, 3)).astype(float), ["Na", "Cl", "O"]
        mean = hull.hull_energy(compositions) + rng.normal(0.05, 0.1, n)
        start = process_time()
        probability_stable_final(hull, compositions, mean, 0.1, correlation=correlation)
        seconds.append(f"{n:,}: {process_time() - start:.1f} s")
    print(f"candidates in one ternary system, 1000 samples, errors correlated by {correlation:g}: {', '.join(seconds)}")


def rare(correlation: float) -> None:
    """Compare two crystals that are seldom stable with an integral, seed by seed."""
    mean, std, seeds = (0.35, 0.36), 0.1, range(100)
    hull = Hull(["NaCl"], [-2.0], formation_energies=True)

    def density(u: float) -> float:
        own, other = mean[0] + std * u, mean[1] + correlation * std * u
        return float(norm.pdf(u) * norm.sf(own, other, std * np.sqrt(1 - correlation**2)))

    truth, _ = quad(density, -16, -mean[0] / std, limit=200)
    means = np.array(mean) - 2.0
    finals = [
        probability_stable_final(hull, ["NaCl", "NaCl"], means, std, correlation=correlation, seed=seed)
        for seed in seeds
    ]
    found, errors = (np.array([getattr(f, name)[0] for f in finals]) for name in ("probability", "standard_error"))
    score = np.abs(found - truth) / errors
    print(
        f"  correlation {correlation:g}: P(now) {finals[0].now[0]:.3e}, P(final) {found.mean():.3e} "
        f"({found.min():.3e} to {found.max():.3e}), integral {truth:.3e}, "
        f"within 1, 2, 4 standard errors: {', '.join(f'{(score <= k).sum()}' for k in (1, 2, 4))} of {len(seeds)}"
    )


def calibration(space: Space, correlation: float = 0.0) -> None:
    """Draw a truth from the predictions, and compare what was expected with what is stable."""
    rng = np.random.default_rng(2)
    compositions, n = (space.amounts, ELEMENTS), len(space.mean)
    _, system = np.unique(space.amounts > 0, axis=0, return_inverse=True)
    shared = rng.normal(size=system.max() + 1)[system]
    error = np.sqrt(1 - correlation) * rng.normal(size=n) + np.sqrt(correlation) * shared
    truth = joined(space, space.mean + space.std * error).own_e_above_hull()[-n:]
    of_means = joined(space, space.mean).hull_energy(compositions)
    print(f"a truth drawn from the predictions, errors correlated by {correlation:g} within a chemical system")
    print(f"  {'threshold':<12}{'stable':>8}{'P(final)':>10}{'90 % band':>15}{'P(now)':>9}{'hull of means':>16}")
    for threshold in THRESHOLDS:
        final = probability_stable_final(
            space.hull, compositions, space.mean, space.std,
            threshold=threshold, n_samples=SAMPLES, correlation=correlation,
        )  # fmt: skip
        beside_means = probability_stable_now(space.mean, space.std, of_means, threshold)
        band = f"{final.expected.low} to {final.expected.high}"
        print(
            f"  {threshold:<12g}{(truth <= threshold).sum():>8}{final.expected.mean:>10.0f}{band:>15}"
            f"{final.now.sum():>9.0f}{beside_means.sum():>16.0f}"
        )
    reliability((final.probability, final.now, beside_means), truth <= THRESHOLDS[-1])


def joined(space: Space, energies: NDArray[np.float64]) -> Hull:
    """Hull of the known binaries and of the candidates at given energies."""
    hull = Hull(list(space.known), list(space.known.values()), list(space.known), formation_energies=True)
    hull.add((space.amounts, ELEMENTS), energies, [f"candidate {i}" for i in range(len(energies))])
    return hull


def reliability(given: tuple[NDArray[np.float64], ...], stable: NDArray[np.bool_]) -> None:
    """Print the share that is really stable where a probability was given."""
    print(f"  really stable at threshold {THRESHOLDS[-1]:g}, by what was given")
    print(f"  {'':<12}{'P(final)':>18}{'P(now)':>18}{'hull of means':>18}")
    for low, high in itertools.pairwise((0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)):
        shares = []
        for probability in given:
            inside = (probability >= low) & ((probability < high) | (high == 1.0))
            shares.append(f"{stable[inside].mean():.2f} of {inside.sum():,}" if inside.any() else "none")
        print(f"  {low:.1f} to {high:.1f}  " + "".join(f"{share:>18}" for share in shares))


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="also 990,000 candidates, few of them near the hull")
    options = parser.parse_args()
    space = make_space(1_000, 10, above=0.05, spread=0.1, std=0.1)
    speed(space)
    calibration(space)
    calibration(space, correlation=0.5)
    for correlation in (0.0, 0.5):
        crowded(correlation)
    print("two crystals of one composition, seldom stable, 1000 samples")
    for correlation in (0.0, 0.5, 0.9, 0.99):
        rare(correlation)
    if options.million:
        speed(make_space(9_000, 110, above=0.7, spread=0.25, std=0.08))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    print(f"peak memory {peak / 1024**2:.2f} GB")


if __name__ == "__main__":
    main()
