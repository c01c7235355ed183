"""Free energies and open systems: this library beside pymatgen on 943 real entries, in one run.

    python benchmarks/open_systems.py

The entries are taken from MATSCOUT_DATA, or ../shared/data beside the repository.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram, PhaseDiagram
from pymatgen.core import Element
from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

from matscout.workflows.stability import Hull, hull_at, open_hull, read_entries, stable_phases_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymatgen.entries.computed_entries import ComputedEntry

REPEATS = 5
TEMPERATURE = 900
POTENTIAL = -7.0  # of oxygen, eV/atom
DIAGRAMS = 5  # of pymatgen, to time one for each range


def median_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return statistics.median(times)


def line(what: str, ours: float, peer: float) -> None:
    """Print one comparison of times in seconds."""
    print(f"{what:<58} {1e3 * ours:>9.1f} ms {1e3 * peer:>11.1f} ms {peer / ours:>7.0f}")


def free_energies(entries: list[ComputedEntry]) -> None:
    """Free energies of formation at one temperature."""
    columns = hull_at(entries, TEMPERATURE).columns()
    ours = dict(zip(columns.ids, columns.energies.tolist(), strict=True))
    reference = GibbsComputedStructureEntry.from_entries(entries, TEMPERATURE)
    worst = max(abs(ours[entry.entry_id] - entry.energy_per_atom) for entry in reference)
    line(
        f"{len(entries)} entries, free energies at {TEMPERATURE} K",
        median_seconds(lambda: hull_at(entries, TEMPERATURE)),
        median_seconds(lambda: GibbsComputedStructureEntry.from_entries(entries, TEMPERATURE), 3),
    )
    print(f"  largest difference to pymatgen {worst:.0e} eV/atom")


def open_systems(entries: list[ComputedEntry]) -> None:
    """Distances to the hull open to oxygen, and all potentials at which it changes."""
    hull = Hull.from_entries(entries)
    opened = open_hull(hull, {"O": POTENTIAL})
    ours = dict(zip(opened.ids, opened.own_e_above_hull().tolist(), strict=True))
    reference = GrandPotentialPhaseDiagram(entries, {Element("O"): POTENTIAL})
    distances = {e.original_entry.entry_id: reference.get_e_above_hull(e) for e in reference.all_entries}
    worst = max(abs(ours[name] - distance) for name, distance in distances.items())
    line(
        f"{len(opened.ids)} entries, distances open to O at {POTENTIAL:g} eV/atom",
        median_seconds(lambda: open_hull(hull, {"O": POTENTIAL}).own_e_above_hull()),
        median_seconds(lambda: _distances(entries), 3),
    )
    print(f"  {len(opened.stable_ids)} stable; largest difference to pymatgen {worst:.0e} eV/atom")
    highest = hull.reference_energies["O"]
    changes = np.array(PhaseDiagram(entries).get_transition_chempots(Element("O")))
    ranges = stable_phases_over(hull, "O", changes.min() - 1, highest)
    ends = ranges["low"].to_numpy()[1:]
    potentials = iter(((ranges["low"] + ranges["high"]) / 2).tolist())
    missed = np.abs(ends[:, None] - changes).min(axis=1).max()
    line(
        f"{len(ranges)} ranges of the potential of O with their stable phases",
        median_seconds(lambda: stable_phases_over(hull, "O", changes.min() - 1, highest)),
        len(ranges) * median_seconds(lambda: _stable(entries, next(potentials)), DIAGRAMS),
    )
    print(
        f"  pymatgen: a diagram for each range, timed on {DIAGRAMS}; ends are at most {missed:.0e} eV/atom from its own"
    )


def _distances(entries: list[ComputedEntry]) -> list[float | None]:
    diagram = GrandPotentialPhaseDiagram(entries, {Element("O"): POTENTIAL})
    return [diagram.get_e_above_hull(entry) for entry in diagram.all_entries]


def _stable(entries: list[ComputedEntry], potential: float) -> set[object]:
    return set(GrandPotentialPhaseDiagram(entries, {Element("O"): potential}).stable_entries)


def main() -> int:
    """Print medians of both and how many times faster."""
    root = Path(__file__).resolve().parents[1]
    path = Path(os.environ.get("MATSCOUT_DATA", root.parent / "shared" / "data")) / "entries/Fe_Li_O_P_entries.json.gz"
    if not path.is_file():
        print(f"no {path}: nothing to compare on; set MATSCOUT_DATA")
        return 1
    entries = read_entries(path)
    print(f"{'':<58} {'matscout':>12} {'pymatgen':>14} {'ratio':>7}")
    free_energies(entries)
    open_systems(entries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
