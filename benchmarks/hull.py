"""Distances to hulls: this library beside pymatgen's PhaseDiagram in the obvious loop, in one run.

    python benchmarks/hull.py

The real entries are taken from MATSCOUT_DATA, or ../shared/data beside the repository.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.workflows.stability import Hull, read_entries

if TYPE_CHECKING:
    from collections.abc import Callable

ELEMENTS = [
    Element.from_Z(z).symbol for z in (1, *range(3, 10), *range(11, 18), *range(19, 36), *range(37, 43), 50, 53)
]
REPEATS = 5
PEER_SYSTEMS = 20


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return statistics.median(times)


def line(what: str, ours: float, peer: float, n: int, n_peer: int) -> None:
    """Print one comparison; times of n of ours and of n_peer of the peer's."""
    ratio = (peer / n_peer) / (ours / n)
    print(f"{what:<52} {1e6 * ours / n:>9.1f} µs {1e6 * peer / n_peer:>11.1f} µs {ratio:>9.0f}")


def real_entries() -> None:
    """943 Materials Project entries of one quaternary system."""
    root = Path(__file__).resolve().parents[1]
    path = Path(os.environ.get("MATSCOUT_DATA", root.parent / "shared" / "data")) / "entries/Fe_Li_O_P_entries.json.gz"
    if not path.is_file():
        print(f"no {path}: the comparison on real entries is left out; set MATSCOUT_DATA")
        return
    entries = read_entries(path)
    compositions = [entry.composition for entry in entries]
    energies = [entry.energy_per_atom for entry in entries]
    reference = PhaseDiagram(entries)
    worst = np.abs(
        Hull.from_entries(entries).e_above_hull(compositions, energies)
        - [reference.get_e_above_hull(entry) for entry in entries]
    ).max()
    ours = median_seconds(lambda: Hull.from_entries(entries).e_above_hull(compositions, energies))
    peer = median_seconds(
        lambda: [PhaseDiagram(entries).get_e_above_hull(e, check_stable=False) for e in entries[:5]], 3
    )
    shared = median_seconds(lambda: _label(entries), 3)
    line("943 entries, hull and distances; a diagram for each", ours, peer, 943, 5)
    line("943 entries, hull and distances; one diagram", ours, shared, 943, 943)
    hull = Hull.from_entries(entries)
    sample = [entry for entry in entries if not entry.is_element][:30]
    ours = median_seconds(hull.decomposition_energy)
    peer = median_seconds(lambda: [reference.get_decomp_and_phase_separation_energy(e) for e in sample], 1)
    line("943 entries, decomposition energies", ours, peer, 943, len(sample))
    print(f"  {len(hull.stable_ids)} stable; largest difference to pymatgen {worst:.0e} eV/atom")


def _label(entries: list[ComputedEntry]) -> list[float | None]:
    diagram = PhaseDiagram(entries)
    return [diagram.get_e_above_hull(entry) for entry in entries]


def random_systems(n_systems: int, per_system: int) -> None:
    """ABX3 over many ternary systems against random elements and binaries."""
    rng = np.random.default_rng(0)
    pairs = itertools.combinations(ELEMENTS, 2)
    binaries = [f"{a}{n}{b}{m}" for a, b in pairs for n, m in ((1, 1), (2, 1))]
    binary_energies = rng.normal(-0.5, 0.5, len(binaries))
    triples = list(itertools.combinations(range(len(ELEMENTS)), 3))
    chosen = np.array([triples[i] for i in rng.choice(len(triples), n_systems, replace=False)])
    amounts = np.zeros((n_systems * per_system, len(ELEMENTS)))
    for k in range(per_system):  # the roles of A, B and X go round
        part = amounts[k * n_systems : (k + 1) * n_systems]
        np.put_along_axis(part, np.roll(chosen, k, axis=1), np.array([[1.0, 1.0, 3.0]]), axis=1)
    energies = rng.normal(-0.6, 0.3, len(amounts))

    def ours() -> np.ndarray:
        hull = Hull(binaries, binary_energies, binaries, formation_energies=True)
        return hull.e_above_hull((amounts, ELEMENTS), energies)

    known = dict(zip(binaries, binary_energies, strict=True))
    symbols_of = {formula: set(Composition(formula).get_el_amt_dict()) for formula in known}

    def peer() -> list[float]:
        result = []
        for row in range(PEER_SYSTEMS):
            inside = {ELEMENTS[column] for column in np.flatnonzero(amounts[row])}
            competitors = [
                ComputedEntry(formula, energy * Composition(formula).num_atoms)
                for formula, energy in known.items()
                if symbols_of[formula] <= inside
            ]
            diagram = PhaseDiagram([*competitors, *(ComputedEntry(element, 0) for element in sorted(inside))])
            own = ComputedEntry({ELEMENTS[c]: amounts[row, c] for c in np.flatnonzero(amounts[row])}, 5 * energies[row])
            _, distance = diagram.get_decomp_and_e_above_hull(own, allow_negative=True, check_stable=False)
            result.append(distance)
        return result

    worst = np.abs(ours()[:PEER_SYSTEMS] - peer()).max()
    what = f"{len(amounts):,} ABX3 in {n_systems:,} ternary systems"
    line(what, median_seconds(ours, 3), median_seconds(peer, 3), len(amounts), PEER_SYSTEMS)
    print(f"  largest difference to pymatgen {worst:.0e} eV/atom")


def one_more_entry() -> None:
    """One entry added to a hull that is solved."""
    rng = np.random.default_rng(0)
    formulas = ["".join(triple) + "3" for triple in itertools.combinations(ELEMENTS, 3)]
    hull = Hull(formulas, rng.normal(-0.5, 0.3, len(formulas)), formation_energies=True)
    hull.hull_energy(formulas)
    times = []
    for formula in formulas[:100]:
        start = perf_counter()
        hull.add([formula], [-1.0], [f"{formula} added"])
        hull.e_above_hull([formula], [-0.9])
        times.append(perf_counter() - start)
    median = 1e3 * statistics.median(times)
    print(f"one entry into a hull of {len(formulas):,}, and its distance: {median:.1f} ms in the median")


def main() -> None:
    """Print medians for each entry, and how many times faster."""
    print(f"{'':<52} {'matscout':>12} {'pymatgen':>14} {'ratio':>9}")
    real_entries()
    random_systems(900, 1)
    random_systems(9_880, 3)
    one_more_entry()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    print(f"peak memory {peak / (1024 * 1024 if sys.platform == 'darwin' else 1024):.2f} GB")


if __name__ == "__main__":
    main()
