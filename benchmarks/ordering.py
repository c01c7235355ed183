"""Ordered cells of mixed sites: how many, how fast, and against comparing every division with every other.

    python benchmarks/ordering.py

The obvious way makes every division of every supercell and groups the crystals with pymatgen's `StructureMatcher`; it
is timed where it ends within half a minute. pymatgen's `EnumerateStructureTransformation` is not timed: it needs the
program enumlib, which pip does not install.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pymatgen.core.structure import Structure

    from matscout.db.prototypes import Prototype

REPEATS = 3

#: Prototype, division, primitive cells, the role that is divided in two where brute force is to be timed.
CASES: list[tuple[str, dict[str, tuple[int, ...]], int, str | None]] = [
    ("cubic-perovskite", {"X": (2, 1)}, 1, "X"),
    ("cubic-perovskite", {"X": (2, 1)}, 2, "X"),
    ("cubic-perovskite", {"X": (2, 1)}, 3, None),
    ("cubic-perovskite", {"X": (2, 1)}, 4, None),
    ("cubic-perovskite", {"X": (2, 1)}, 5, None),
    ("cubic-perovskite", {"A": (1, 1), "X": (2, 1)}, 2, None),
    ("cubic-perovskite", {"B": (1, 1)}, 8, None),
    ("elpasolite", {"X": (2, 1)}, 1, "X"),
    ("elpasolite", {"X": (2, 1)}, 2, None),
    ("orthorhombic-perovskite", {"X": (2, 1)}, 1, None),
]


def timed(step: Callable[[], list[Prototype]]) -> tuple[float, int]:
    """Return the median time of a step in seconds, and how many cells it gave."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), len(found)


def sublattices(n_cells: int) -> Iterator[np.ndarray]:
    """Give every supercell of so many cells."""
    for a, b, c in product(range(1, n_cells + 1), repeat=3):
        if a * b * c == n_cells:
            for x, y, z in product(range(b), range(c), range(c)):
                yield np.array([[a, x, y], [0, b, z], [0, 0, c]])


def brute_force(prototype: Prototype, role: str, parts: tuple[int, ...], max_cells: int) -> tuple[float, int]:
    """Seconds and number of groups when every division of a role in two is compared with every other."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    start = time.perf_counter()
    symbols = ["Sr", "Ti", "Zr", "O"] if len(prototype.roles) == 4 else ["Sr", "Ti", "O"]
    mixed = symbols[prototype.roles.index(role)]
    crystals: list[Structure] = []
    for n_cells in range(1, max_cells + 1):
        for sublattice in sublattices(n_cells):
            crystal = prototype.structure(symbols).make_supercell(sublattice)
            sites = [i for i, site in enumerate(crystal) if site.specie.symbol == mixed]
            for chosen in combinations(sites, len(sites) * parts[1] // sum(parts)):
                divided = crystal.copy()
                for site in chosen:
                    divided.replace(site, "N")
                crystals.append(divided)
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1)
    groups = matcher.group_structures(crystals)
    return time.perf_counter() - start, len(groups)


def said(mixtures: Mapping[str, tuple[int, ...]]) -> str:
    """Write a division as in the prototypes' names."""
    return ",".join(f"{role}={':'.join(map(str, parts))}" for role, parts in mixtures.items())


def main() -> int:
    """Print one line per case."""
    from matscout.workflows.enumeration import get_prototype
    from matscout.workflows.enumeration.ordering.ordered_cells import ordered_prototypes

    ordered_prototypes(get_prototype("cubic-perovskite"), {"X": (2, 1)})  # imports
    print(f"medians of {REPEATS}, one core; brute force once")
    for name, mixtures, max_cells, role in CASES:
        prototype = get_prototype(name)

        def step(
            prototype: Prototype = prototype, mixtures: Mapping[str, tuple[int, ...]] = mixtures, cells: int = max_cells
        ) -> list[Prototype]:
            return ordered_prototypes(prototype, mixtures, max_cells=cells)

        seconds, found = timed(step)
        line = f"{name}({said(mixtures)}) up to {max_cells} cells: {found:,} ordered cells in {seconds:.3f} s"
        if role:
            slow, groups = brute_force(prototype, role, mixtures[role], max_cells)
            if groups != found:
                raise SystemExit(f"{line}, but brute force finds {groups:,}")
            line += f"; brute force {slow:.2f} s, {slow / seconds:,.0f} times as long"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
