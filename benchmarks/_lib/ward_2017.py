"""Voronoi features beside the structural part of matminer's Ward 2017 set: the time and the values.

matminer, which is slow, is run on some crystals spread over the whole, in the same process. Seconds are those of the
processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.featurizers import StructureFeaturizer

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

REPEATS = 3
FACTOR = 10  # that we are to be faster by


def ward_2017() -> dict[str, Any]:
    """Return the structural featurizers of matminer's Ward 2017 set, by what they describe."""
    from matminer.featurizers import structure

    return {
        "coordination numbers": structure.SiteStatsFingerprint.from_preset("CoordinationNumber_ward-prb-2017"),
        "heterogeneity": structure.StructuralHeterogeneity(),
        "ordering": structure.ChemicalOrdering(),
        "packing efficiency": structure.MaximumPackingEfficiency(),
        "local differences": structure.SiteStatsFingerprint.from_preset("LocalPropertyDifference_ward-prb-2017"),
    }


def ours(crystals: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """Features of each crystal, and the shortest of a few times for each, s."""
    featurizer = StructureFeaturizer("voronoi")
    featurizer.featurize(Crystal.from_structure(crystals[0]))  # imports
    features, seconds = [], []
    for crystal in crystals:
        times = []
        for _ in range(REPEATS):
            start = time.process_time()
            row = featurizer.featurize(Crystal.from_structure(crystal))
            times.append(time.process_time() - start)
        features.append(row)
        seconds.append(min(times))
    return np.array(features), np.array(seconds)


def theirs(parts: dict[str, Any], crystals: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """Do the same with matminer, once."""
    features, seconds = [], []
    for crystal in crystals:
        start = time.process_time()
        features.append(np.concatenate([part.featurize(crystal) for part in parts.values()]))
        seconds.append(time.process_time() - start)
    return np.array(features), np.array(seconds)


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differences relative to the larger of the two values and 1."""
    return np.asarray(np.abs(first - second) / np.maximum(1, np.maximum(np.abs(first), np.abs(second))))


def print_voronoi(crystals: list[Structure], n_matminer: int) -> list[str]:
    """Print times and differences; return what is not as it should be."""
    sample = slice(None, None, max(1, len(crystals) // n_matminer))
    parts = ward_2017()
    features, seconds = ours(crystals)
    their_features, their_seconds = theirs(parts, crystals[sample])

    timed = len(their_seconds)
    median, their_median = np.median(seconds[sample]), np.median(their_seconds)
    ratio = np.median(their_seconds / seconds[sample])
    print(f"{len(crystals)} crystals of {np.median([len(c) for c in crystals]):.0f} atoms (median); ", end="")
    print(f"matminer, which is slow, is run on {timed} of them")
    print(f"{'median of processor time':34s}{'ms a crystal':>14s}")
    print(f"{f'matminer, {timed} crystals':34s}{their_median * 1e3:14.1f}")
    print(f"{f'voronoi, the same {timed}':34s}{median * 1e3:14.1f}")
    print(f"{f'voronoi, all {len(crystals)}':34s}{np.median(seconds) * 1e3:14.1f}")
    print(f"matminer / voronoi: {ratio:.0f} (median of the {timed}; at least {FACTOR} are wanted)")

    names = [name for part in parts.values() for name in part.feature_labels()]
    same = names == list(StructureFeaturizer("voronoi").feature_names)
    print(f"names and order of the {len(names)} columns: {'equal' if same else 'DIFFERENT'}")
    print(f"{'largest difference':34s}{'columns':>10s}{'relative':>12s}")
    found = differences(features[sample], their_features)
    start = 0
    for family, part in parts.items():
        end = start + len(part.feature_labels())
        print(f"{family:34s}{end - start:10d}{found[:, start:end].max():12.1e}")
        start = end
    missed = [] if same else ["voronoi: names are not matminer's"]
    if not ratio >= FACTOR:
        missed.append(f"voronoi: {ratio:.1f} times as fast as matminer, {FACTOR} at least wanted")
    return missed
