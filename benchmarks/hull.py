"""Hulls: this library beside pymatgen's PhaseDiagram and loops of linear programs, in one run on one core.

    python benchmarks/hull.py [--systems N]

Real energies are taken from MATSCOUT_DATA, or ../shared/data beside the repository. Times are processor seconds for one
compound; those of the peers are from a sample, whose size is printed. The last part compares N random systems (10,000
unless told) with a linear program, which takes most of the time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import sys
import warnings
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np
from _lib.critexam import Critexam, data_folder, loose_decomposition_energy, read_critexam
from _lib.hull_systems import differences, random_system
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.optimize import linprog
from threadpoolctl import threadpool_limits

from matscout.workflows.stability import Hull, read_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REPEATS = 3
N_ELEMENTS = 64  # of the ABX3: 41,664 ternary systems
PYMATGEN_SYSTEMS = 20  # of the ABX3
PYMATGEN_COMPOUNDS = 200
PROGRAMS = 2000
ADDED = 200
LOOSE = 0.003  # eV/atom above a published decomposition energy
RANDOM_SYSTEMS = 10_000


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call on one core, whatever else the machine does."""
    times = []
    for _ in range(repeats):
        start = process_time()
        work()
        times.append(process_time() - start)
    return statistics.median(times)


def line(what: str, ours: float, peer: float, target: str = "") -> None:
    """Print one comparison; seconds for one compound each."""
    print(f"  {what:<70} {1e6 * ours:>8.1f} µs {1e6 * peer:>9.1f} µs {peer / ours:>7.0f}x {target}")


def peak_memory() -> float:
    """Highest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)


def entry(amounts: dict[str, float], energy: float) -> PDEntry:
    """Return pymatgen's entry of a composition and a formation energy in eV/atom."""
    composition = Composition(amounts)
    return PDEntry(composition, energy * composition.num_atoms)


def entries_inside(data: Critexam, elements: list[str], largest: int) -> dict[int, PDEntry]:
    """Return entries of up to so many elements by row; those of the elements are -1, -2 and so on."""
    found = {-1 - i: entry({element: 1.0}, 0.0) for i, element in enumerate(elements)}
    rows = [row for row in data.inside(elements) if len(data.amounts[row]) <= largest]
    return found | {row: entry(data.amounts[row], data.formation_energies[row]) for row in rows}


# ---- ABX3


def many_ternaries(data: Critexam) -> None:
    """ABX3 with all roles over all ternary systems of the elements that have most compounds."""
    counts: dict[str, int] = {}
    for symbol in itertools.chain.from_iterable(data.amounts):
        counts[symbol] = counts.get(symbol, 0) + 1
    chosen = sorted(sorted(counts, key=counts.__getitem__)[-N_ELEMENTS:])
    triples = np.array(list(itertools.combinations(range(N_ELEMENTS), 3)))
    roles = np.array(list(itertools.permutations([1.0, 1.0, 3.0])))  # a decoration tells A from B, its formula does not
    amounts = np.zeros((len(roles), len(triples), N_ELEMENTS))
    for part, role in zip(amounts, roles, strict=True):
        np.put_along_axis(part, triples, role[None], axis=1)
    energies = np.random.default_rng(0).normal(-0.8, 0.5, (len(roles), len(triples))).clip(-2.4)
    binaries = [row for pair in itertools.combinations(chosen, 2) for row in data.by_system.get(pair, ())]
    formulas = [data.formulas[row] for row in binaries]
    known = data.formation_energies[binaries]

    def ours() -> np.ndarray:
        hull = Hull(formulas, known, formulas, formation_energies=True)
        return hull.e_above_hull((amounts.reshape(-1, N_ELEMENTS), chosen), energies.ravel())

    asked = np.random.default_rng(1).choice(len(triples), PYMATGEN_SYSTEMS, replace=False)
    questions = []
    for i in asked.tolist():
        elements = [chosen[column] for column in triples[i]]
        made = [dict(zip(elements, amounts[k, i, triples[i]].tolist(), strict=True)) for k in range(len(roles))]
        own = [entry(a, energies[k, i]) for k, a in enumerate(made)]
        questions.append((list(entries_inside(data, elements, 2).values()), own))

    def build() -> list[PhaseDiagram]:
        return [PhaseDiagram(competitors) for competitors, _ in questions]

    def ask(diagrams: list[PhaseDiagram]) -> np.ndarray:
        options = {"allow_negative": True, "check_stable": False}
        distances = [
            [diagram.get_decomp_and_e_above_hull(e, **options)[1] for e in own]
            for diagram, (_, own) in zip(diagrams, questions, strict=True)
        ]
        return np.array(distances).T

    n, n_asked = energies.size, len(asked) * len(roles)
    distances = ours().reshape(energies.shape)
    diagrams = build()
    worst = np.abs(distances[:, asked] - ask(diagrams)).max()
    seconds, building = median_seconds(ours) / n, median_seconds(build) / n_asked
    asking = median_seconds(lambda: ask(diagrams)) / n_asked
    print(f"{n:,} ABX3 in {len(triples):,} ternary systems, against elements and {len(binaries):,} binaries")
    each = len(roles) * building + asking
    line(f"hull and distances; pymatgen ({n_asked}), a diagram each", seconds, each, "(goal 50)")
    line(f"hull and distances; pymatgen ({n_asked}), a diagram for {len(roles)}", seconds, building + asking)
    line(f"hull and distances; pymatgen ({n_asked}), diagrams at hand", seconds, asking)
    print(f"  largest difference to pymatgen {worst:.0e} eV/atom; peak memory {peak_memory():.2f} GB (goal: under 2)")


# ---- decomposition energies


def decomposition_energies(data: Critexam) -> None:
    """Decomposition energies of all compounds, each against the hull without it."""
    n = len(data)
    building, asking = [], []
    for _ in range(REPEATS):
        start = process_time()
        hull = Hull(data.formulas, data.formation_energies, data.formulas, formation_energies=True)
        built = process_time()
        energies = hull.decomposition_energy()
        building.append((built - start) / n)
        asking.append((process_time() - built) / n)
    ours, with_hull = statistics.median(asking), statistics.median(building) + statistics.median(asking)
    print(f"decomposition energies of {n:,} compounds: {n * ours:.1f} s; their hull {n * (with_hull - ours):.1f} s")

    rng = np.random.default_rng(0)
    asked = rng.choice(n, PYMATGEN_COMPOUNDS, replace=False).tolist()
    questions = [(row, entries_inside(data, sorted(data.amounts[row]), 99)) for row in asked]

    def build() -> list[PhaseDiagram]:
        return [PhaseDiagram(list(entries.values())) for _, entries in questions]

    def ask(diagrams: list[PhaseDiagram]) -> np.ndarray:
        pairs = zip(diagrams, questions, strict=True)
        return np.array([d.get_decomp_and_phase_separation_energy(entries[row])[1] for d, (row, entries) in pairs])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that many competitors are slow
        diagrams = build()
        to_pymatgen = np.abs(energies[asked] - ask(diagrams)).max()
        peer = median_seconds(lambda: ask(diagrams)) / len(asked)
        peer_building = median_seconds(build, 1) / len(asked)
    line(f"energies alone; pymatgen ({len(asked)}), diagrams at hand", ours, peer, "(goal 100)")
    line(f"formulas, hull and energies; pymatgen ({len(asked)}), diagrams at hand", with_hull, peer)
    line(f"formulas, hull and energies; pymatgen ({len(asked)}), a diagram each", with_hull, peer + peer_building)

    sample = rng.choice(n, PROGRAMS, replace=False).tolist()
    programs = [data.program(row) for row in sample]

    def solve(options: dict[str, float]) -> list[float]:
        return [linprog(c, A_eq=x.T, b_eq=b[0], method="highs", options=options).fun for x, c, b in programs]

    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    to_program = np.abs(energies[sample] - (data.formation_energies[sample] - solve(tight))).max()
    peer = median_seconds(lambda: solve({})) / len(sample)
    line(f"energies alone; a loop of HiGHS ({len(sample)}), competitors at hand", ours, peer, "(goal 8)")
    line(f"formulas, hull and energies; a loop of HiGHS ({len(sample)})", with_hull, peer)
    print(f"  largest difference to pymatgen's optimizer {to_pymatgen:.0e}, to HiGHS {to_program:.0e} eV/atom")
    published(data, energies)


def published(data: Critexam, energies: np.ndarray) -> None:
    """Compare with the published energies, and see how those came about that cannot be."""
    above = energies - data.decomposition_energies
    loose = np.flatnonzero(above > LOOSE).tolist()
    print(
        f"  against the published energies: {(np.abs(above) < 1e-6).sum():,} agree within 1e-6 eV/atom, "
        f"{(above > 1e-6).sum():,} are above, by {above.max():.4f} at most, {len(loose)} of them by more than {LOOSE}"
    )
    again = [loose_decomposition_energy(data, row, energies) for row in loose]
    same = np.abs(data.decomposition_energies[loose] - again) < 1e-5
    how = f"at the published energy for {same.sum()} of these {len(loose)}"
    print(f"  the published optimizer stops early: run again, {how}")


# ---- one more entry


def one_more_entry(data: Critexam) -> None:
    """Compounds that were left out, one by one, into a hull whose labels are known."""
    n = len(data)
    last = np.random.default_rng(0).choice(n, ADDED, replace=False).tolist()
    first = sorted(set(range(n)) - set(last))
    formulas = [data.formulas[row] for row in first]
    hull = Hull(formulas, data.formation_energies[first], formulas, formation_energies=True)
    hull.own_e_above_hull()
    times, changed = [], []
    for row in last:
        start = process_time()
        changes = hull.add([data.formulas[row]], [data.formation_energies[row]], [data.formulas[row]])
        times.append(1e3 * (process_time() - start))
        changed.append(len(changes))
    whole = Hull(data.formulas, data.formation_energies, data.formulas, formation_energies=True)
    labels = dict(zip(whole.ids, whole.own_e_above_hull().tolist(), strict=True))
    worst = np.abs(hull.own_e_above_hull() - [labels[name] for name in hull.ids]).max()
    median, late = np.quantile(times, [0.5, 0.9])
    print(f"one entry into a hull of {len(first):,} and more, with the labels that change ({ADDED} times)")
    print(f"  {median:.2f} ms in the median (goal: under 10), {late:.2f} for one in ten, {max(times):.1f} at most")
    print(
        f"  {sum(n > 0 for n in changed)} changed labels, {sum(changed)} in all; "
        f"largest difference to labels of a hull built anew {worst:.0e} eV/atom"
    )


# ---- one system of 943 entries


def real_entries(path: Path) -> None:
    """Materials Project entries of one quaternary system."""
    entries = read_entries(path)
    compositions, energies = [e.composition for e in entries], [e.energy_per_atom for e in entries]

    def ours() -> np.ndarray:
        return Hull.from_entries(entries).e_above_hull(compositions, energies)

    def peer() -> list[float]:
        diagram = PhaseDiagram(entries)
        return [diagram.get_e_above_hull(e) for e in entries]

    worst = np.abs(ours() - peer()).max()
    print(f"e_above_hull of {len(entries)} entries of Fe-Li-O-P")
    line(
        "hull and distances; pymatgen, one diagram",
        median_seconds(ours) / len(entries),
        median_seconds(peer) / len(entries),
    )
    print(f"  largest difference to pymatgen {worst:.0e} eV/atom")


# ---- random systems


def random_systems(n_systems: int) -> None:
    """Compare systems of 2 to 7 elements that are as awkward as they get with a linear program."""
    start = perf_counter()
    rng = np.random.default_rng(0)
    worst = np.max([differences(random_system(rng)) for _ in range(n_systems)], axis=0)
    print(f"{n_systems:,} random systems of 2 to 7 elements beside a linear program ({perf_counter() - start:.0f} s)")
    print(
        f"  largest difference (goal 1e-7 eV/atom): e_above_hull {worst[0]:.0e}, decomposition energy {worst[1]:.0e}, "
        f"energy of decompositions {worst[2]:.0e}, their atoms {worst[3]:.0e}"
    )


def main() -> None:
    """Print times for one compound, and how many times faster."""
    parser = argparse.ArgumentParser(description="Hulls beside pymatgen and linear programs.")
    parser.add_argument("--systems", type=int, default=RANDOM_SYSTEMS, help="random systems to compare")
    n_systems = parser.parse_args().systems
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    folder = data_folder()
    with threadpool_limits(1):
        print(f"{'':<72} {'matscout':>11} {'peer':>12} {'ratio':>8}")
        if (folder / "critexam").is_dir():
            data = read_critexam(folder)
            many_ternaries(data)
            decomposition_energies(data)
            one_more_entry(data)
            real_entries(folder / "entries" / "Fe_Li_O_P_entries.json.gz")
        else:
            print(f"no {folder / 'critexam'}: what needs real energies is left out; set MATSCOUT_DATA")
        random_systems(n_systems)


if __name__ == "__main__":
    main()
