"""Features of compositions beside matminer's: the values and the time, on real formulas and on a candidate table."""

from __future__ import annotations

import csv
import gzip
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.candidates import CandidateTable
from matscout.featurizers import CompositionFeaturizer
from matscout.workflows.enumeration import get_prototype, predict_volumes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_PARITY = 5_000
N_MATMINER = 200
N_CANDIDATES = 400_000
REPEATS = 3
LARGEST_DIFFERENCE = 1e-9  # from matminer, relative; the most that we allow ourselves
TIMES_AS_FAST = {"formulas": 100, "a table": 1_000}  # as matminer, for magpie; the least


def seconds(function: Callable[[], object]) -> float:
    """Median of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def read_formulas(path: Path) -> list[str]:
    """Formulas of a data set, in its order."""
    with gzip.open(path, "rt", newline="") as file:
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


def matminer_featurizers() -> dict[str, Any]:
    """Make what matminer has for our presets."""
    from matminer.featurizers.composition import ElementProperty, IonProperty, Stoichiometry, ValenceOrbital

    return {
        "magpie": ElementProperty.from_preset("magpie"),
        "valence_orbital": ValenceOrbital(),
        "ionic": IonProperty(fast=True),
        "stoichiometry": Stoichiometry(),
    }


def of_matminer(matminer: Any, formulas: list[str]) -> np.ndarray:
    """Features as matminer makes them, one formula after the other."""
    from pymatgen.core.composition import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen's, of elements without an electronegativity
        return np.array([matminer.featurize(Composition(formula)) for formula in formulas], dtype=float)


def compare(name: str, matminer: Any, formulas: list[str], table: CandidateTable) -> list[str]:
    """Print parity with matminer and both times of one preset; return what is not as it should be."""
    featurizer = CompositionFeaturizer(name)
    parity = formulas[:N_PARITY]
    same = "equal" if list(featurizer.feature_names) == matminer.feature_labels() else "DIFFER"
    apart = relative_difference(featurizer.transform(parity), of_matminer(matminer, parity))
    sample = formulas[:: len(formulas) // N_MATMINER][:N_MATMINER]
    slow = seconds(lambda: of_matminer(matminer, sample)) / len(sample)
    fast = seconds(lambda: featurizer.transform(formulas)) / len(formulas)
    fastest = seconds(lambda: featurizer.transform(table)) / len(table)
    print(
        f"{name:16s}{len(featurizer):8d}  {same:>5s}{apart:12.1e}{slow * 1e6:12.1f}"
        f"{fast * 1e6:10.2f} ({slow / fast:6.0f} x){fastest * 1e6:10.2f} ({slow / fastest:6.0f} x)"
    )
    missed = [] if same == "equal" else [f"{name}: names are not matminer's"]
    if not apart <= LARGEST_DIFFERENCE:  # nor is NaN
        missed.append(f"{name}: {apart:.1e} from matminer, {LARGEST_DIFFERENCE:.0e} at most")
    if name == "magpie":
        for (rows, wanted), ours in zip(TIMES_AS_FAST.items(), (fast, fastest), strict=True):
            if slow / ours < wanted:
                missed.append(f"{name} from {rows}: {slow / ours:.0f} times as fast as matminer, {wanted} at least")
    return missed


def print_compositions(path: Path) -> list[str]:
    """Print parity and times of every preset that matminer has, too; return what is not as it should be."""
    formulas = read_formulas(path)
    table = random_perovskites(N_CANDIDATES)
    print(f"largest relative difference from matminer on {N_PARITY} formulas; µs a row on one core, matminer on")
    print(f"{N_MATMINER} formulas, ours on {len(formulas)} formulas and on a table of {len(table)} perovskites")
    print(f"{'preset':16s}{'columns':>8s}  names  difference    matminer       formulas            table")
    made = matminer_featurizers().items()
    return [missed for name, matminer in made for missed in compare(name, matminer, formulas, table)]
