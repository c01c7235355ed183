"""Compare our Magpie features with matminer's: the values and the time.

Real formulas of the Materials Project (critexam, Bartel et al. 2020), matminer timed on 200 of them in the same run;
then perovskite candidates straight from their table. The data is looked for in MATSCOUT_DATA, else in ../shared/data
beside the project.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matscout.db.candidates import CandidateTable
from matscout.featurizers import CompositionFeaturizer, featurize_candidates
from matscout.workflows.enumeration import get_prototype, predict_volumes

if TYPE_CHECKING:
    from collections.abc import Callable

BESIDE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("MATSCOUT_DATA", BESIDE_PROJECT)) / "critexam" / "Ef_val.csv.gz"
N_PARITY = 5_000
N_MATMINER = 200
N_CANDIDATES = 400_000
REPEATS = 3


def seconds(function: Callable[[], object]) -> float:
    """Shortest of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def read_formulas() -> list[str]:
    """Formulas of the data set, in its order."""
    with gzip.open(DATA, "rt", newline="") as file:
        return [row["formula"] for row in csv.DictReader(file)]


def random_perovskites(n: int) -> CandidateTable:
    """Cubic perovskites of elements drawn at random."""
    elements = np.array([z for z in range(3, 84) if z not in (10, 18, 36, 54)], dtype=np.uint8)
    decoration = np.random.default_rng(0).choice(elements, (n, 3))
    decoration = decoration[(np.diff(np.sort(decoration, axis=1), axis=1) > 0).all(axis=1)]
    prototype = get_prototype("cubic-perovskite")
    index = np.zeros(len(decoration), dtype=np.int32)
    return CandidateTable([prototype], index, decoration, predict_volumes(prototype, decoration))


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, relative to the larger of the two values, where they differ at all."""
    difference = np.abs(ours - theirs)
    size = np.maximum(np.abs(ours), np.abs(theirs))
    return float(np.divide(difference, size, out=np.zeros_like(size), where=difference > 0).max())


def main() -> int:
    """Print the figures; 0 also where the data is absent, as nothing is wrong then."""
    if not DATA.is_file():
        print(f"skipped: no {DATA}; name its folder by MATSCOUT_DATA")
        return 0
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core.composition import Composition

    formulas = read_formulas()
    featurizer = CompositionFeaturizer("magpie")
    matminer = ElementProperty.from_preset("magpie")
    parity = formulas[:N_PARITY]
    theirs = np.array([matminer.featurize(Composition(formula)) for formula in parity])
    same_names = list(featurizer.feature_names) == matminer.feature_labels()
    print(f"parity on {len(parity)} formulas: names and order {'equal' if same_names else 'DIFFER'}, ", end="")
    print(f"largest relative difference {relative_difference(featurizer.transform(parity), theirs):.1e}")

    sample = formulas[:: len(formulas) // N_MATMINER][:N_MATMINER]
    slow = seconds(lambda: [matminer.featurize(Composition(formula)) for formula in sample]) / len(sample)
    fast = seconds(lambda: featurizer.transform(formulas)) / len(formulas)
    table = random_perovskites(N_CANDIDATES)
    fastest = seconds(lambda: featurizer.transform(table)) / len(table)
    with_sites = seconds(lambda: featurize_candidates(table, ["magpie", "sites"])) / len(table)
    print(f"{'one core':32s}{'µs a row':>10s}{'matminer / ours':>18s}")
    print(f"{'matminer, formulas':32s}{slow * 1e6:10.1f}{1:18.0f}")
    print(f"{'magpie, formulas':32s}{fast * 1e6:10.2f}{slow / fast:18.0f}")
    print(f"{'magpie, candidate table':32s}{fastest * 1e6:10.2f}{slow / fastest:18.0f}")
    print(f"{'magpie + sites, candidate table':32s}{with_sites * 1e6:10.2f}{slow / with_sites:18.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
