"""Compare our descriptors of crystals with matminer's of the same kind: the time and the values.

Some dozens of real crystals of the phonon set of Matbench, each side in the same process. Seconds are those of the
processor, so that other work on the machine does not count. The data is looked for in MATSCOUT_DATA, else in
../shared/data beside the project:

    python benchmarks/descriptors.py [--crystals 40]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.featurizers import StructureFeaturizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BESIDE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("MATSCOUT_DATA", BESIDE_PROJECT)) / "matbench" / "phonons_structures.json.gz"
REPEATS = 3
ANGSTROM_STAR = 1.00001495  # Å; what matminer takes for an Å where it goes to atomic units


@dataclass
class Comparison:
    """A descriptor beside another of the same kind, on the same crystals.

    Attributes
    ----------
    what
        The descriptor, its options, and whose it is compared with.
    ours, theirs
        Shortest time for each crystal, s.
    difference
        Largest difference of values over the largest value of the same crystal; NaN where they are not comparable.
    """

    what: str
    ours: np.ndarray
    theirs: np.ndarray
    difference: float

    def line(self) -> str:
        """Write medians, the median ratio, and the difference."""
        times = f"{np.median(self.ours) * 1e3:10.2f}{np.median(self.theirs) * 1e3:12.2f}"
        return f"{self.what:50s}{times}{np.median(self.theirs / self.ours):9.1f}{self.difference:14.1e}"


HEADING = f"{'median ms a crystal, one core':50s}{'ours':>10s}{'theirs':>12s}{'ratio':>9s}{'difference':>14s}"


def read(n: int) -> list[Structure]:
    """Crystals spread over the data set."""
    with gzip.open(DATA, "rt") as file:
        rows = json.load(file)["data"]
    return [Structure.from_dict(row[0]) for row in rows[:: max(1, len(rows) // n)][:n]]


def timed(function: Callable[[Any], Any], crystals: Sequence[Any], repeats: int = 1) -> tuple[list[Any], np.ndarray]:
    """Results for each crystal, and the shortest time for each, s; a first call, for imports, is not counted."""
    function(crystals[0])
    results, seconds = [], []
    for crystal in crystals:
        times = []
        for _ in range(repeats):
            start = time.process_time()
            result = function(crystal)
            times.append(time.process_time() - start)
        results.append(result)
        seconds.append(min(times))
    return results, np.array(seconds)


def described(preset: str, crystals: list[Structure], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features of a preset, and the shortest of a few times for each crystal, checks of the crystal included."""
    featurizer = StructureFeaturizer(preset, **options)
    rows, seconds = timed(lambda crystal: featurizer.featurize(Crystal.from_structure(crystal)), crystals, REPEATS)
    return np.array(rows), seconds


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of rows, over the largest value of the row."""
    return float((np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1)).max())


def compare_rdf(crystals: list[Structure]) -> list[Comparison]:
    """Plain bins as matminer has by default, which knows no other functions; and our defaults."""
    from matminer.featurizers.structure import RadialDistributionFunction

    matminer = RadialDistributionFunction()
    theirs, their_seconds = timed(matminer.featurize, crystals)
    rows, seconds = described("rdf", crystals, scaled=False, r_max=20.0, width=0.1, smoothness=0)
    ours = rows[:, : len(theirs[0])] * [[len(crystal)] for crystal in crystals]  # matminer sums over the sites
    difference = largest_difference(ours, np.array(theirs))
    return [
        Comparison("rdf to 20 Å in plain bins, matminer", seconds, their_seconds, difference),
        Comparison("rdf by default, matminer's default", described("rdf", crystals)[1], their_seconds, np.nan),
    ]


def compare_orbital_field(crystals: list[Structure]) -> list[Comparison]:
    """Compare with matminer's matrices, once its vectors are those of the paper."""
    from matminer.featurizers.structure import OrbitalFieldMatrix
    from pymatgen.analysis.local_env import VoronoiNN

    from matscout.featurizers.descriptors.orbital_field import element_vectors

    matminer = OrbitalFieldMatrix()
    # pymatgen now sorts subshells by energy, so that matminer takes closed shells of d elements for valence shells.
    matminer.ohvs = {z: element_vectors()[None, z, :32] for z in range(1, 95)}

    voronoi = VoronoiNN(allow_pathological=True)

    def every_site(crystal: Structure) -> np.ndarray:
        """Mean over all sites; matminer's takes one of those that are equivalent within 0.01 Å."""
        supercell = crystal * (3, 3, 3)
        sites = range(0, len(supercell), 27)
        matrices = [matminer.get_single_ofm(supercell[i], voronoi.get_nn_info(supercell, i)) for i in sites]
        return np.asarray(np.mean(matrices, axis=0)).ravel()

    theirs, their_seconds = timed(matminer.featurize, crystals)
    ours, seconds = described("orbital_field", crystals)
    difference = largest_difference(ours / ANGSTROM_STAR, np.array(theirs))
    small = np.argsort([len(crystal) for crystal in crystals], kind="stable")[: max(1, len(crystals) // 4)]
    exact = largest_difference(ours[small] / ANGSTROM_STAR, np.array([every_site(crystals[i]) for i in small]))
    what = f"  the {len(small)} smallest of them, by every site"
    return [
        Comparison("orbital_field, matminer", seconds, their_seconds, difference),
        Comparison(what, seconds[small], their_seconds[small], exact),
    ]


def compare_sine_coulomb(crystals: list[Structure]) -> list[Comparison]:
    """Compare with matminer in the cell that we choose; finding that cell is in our time only."""
    from matminer.featurizers.structure import SineCoulombMatrix

    from matscout.featurizers.descriptors._primitive import primitive_cell
    from matscout.featurizers.descriptors.geometry import SYMMETRY_TOLERANCE
    from matscout.featurizers.descriptors.sine_coulomb import chosen_cell

    primitive = [primitive_cell(Crystal.from_structure(crystal), SYMMETRY_TOLERANCE) for crystal in crystals]
    cells = [chosen_cell(cell).structure() for cell in primitive]
    for cell in cells:
        cell.scale_lattice(cell.volume / ANGSTROM_STAR**3)
    theirs, their_seconds = timed(SineCoulombMatrix().fit(cells).featurize, cells, REPEATS)
    theirs = [row[np.argsort(-np.abs(row))] for row in theirs]
    ours, seconds = described("sine_coulomb", crystals)
    difference = largest_difference(ours[:, : len(theirs[0])], np.array(theirs))
    return [Comparison("sine_coulomb, matminer in the cell that we chose", seconds, their_seconds, difference)]


def main() -> int:
    """Print the figures; 0 also where the data is absent, as nothing is wrong then."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crystals", type=int, default=40)
    arguments = parser.parse_args()
    if not DATA.is_file():
        print(f"skipped: no {DATA}; name its folder by MATSCOUT_DATA")
        return 0
    warnings.simplefilter("ignore")  # matminer and what it calls warn of much
    crystals = read(arguments.crystals)
    print(f"{len(crystals)} crystals of {np.median([len(c) for c in crystals]):.0f} atoms (median)")
    print(HEADING)
    for compare in (compare_rdf, compare_orbital_field, compare_sine_coulomb):
        for comparison in compare(crystals):
            print(comparison.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
