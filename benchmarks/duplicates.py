"""Same or not: labels and groups under 1,000 changes of setting, and the speed of labels and of the duplicate finder.

Reads the phonon set and the perovskites from the folder MATSCOUT_DATA (else ../shared/data):

    python benchmarks/duplicates.py [--changes 20] [--crystals 5000]

Seconds are those of one core, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
from pymatgen.analysis.prototypes import get_protostructure_label
from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher
from pymatgen.core.structure import Structure

from matscout.crystals.protostructure import (
    candidate_labels,
    protostructure_label,
    protostructure_labels,
)
from matscout.db.candidates import CandidateTable
from matscout.workflows.enumeration import prototype_library
from matscout.workflows.enumeration.sameness.duplicates import find_duplicates

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEED = 3
ELEMENTS = ("Na", "Cl", "Fe", "O", "Ti")


def read() -> tuple[list[Structure], list[Structure]]:
    """Read the relaxed crystals of the phonon set and the perovskites."""
    with gzip.open(DATA / "matbench" / "phonons_structures.json.gz") as file:
        phonons = [Structure.from_dict(row[0]) for row in json.load(file)["data"]]
    with gzip.open(DATA / "perovskites" / "castelli_perov5_val.csv.gz") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # coordinates that pymatgen rounds to ideal values
        perovskites = [Structure.from_str(row["cif"], fmt="cif") for row in csv.DictReader(io.TextIOWrapper(file))]
    return phonons, perovskites


def decorated_prototypes() -> list[Structure]:
    """Build every prototype of the library with fixed elements."""
    return [p.structure(ELEMENTS[: len(p.roles)], 18.0) for p in prototype_library().values()]


def spread(crystals: list[Structure], n: int, rng: np.random.Generator, taken: set[str]) -> list[Structure]:
    """Choose crystals of as many space groups as there are, at most 40 atoms each, none whose group is taken."""
    chosen: list[Structure] = []
    for place in rng.permutation(len(crystals)).tolist():
        crystal = crystals[place]
        if len(crystal) > 40 or len(chosen) == n:
            continue
        group = protostructure_label(crystal).split("_")[2]
        if group not in taken:
            taken.add(group)
            chosen.append(crystal)
    return chosen


def changed(crystal: Structure, rng: np.random.Generator) -> Structure:
    """Write a crystal in another cell, on other axes, from another origin, in another order, perhaps mirrored."""
    cell = np.eye(3, dtype=int)
    for _ in range(4):
        first, second = rng.choice(3, 2, replace=False)
        cell[first] += rng.integers(-1, 2) * cell[second]
    if rng.random() < 0.5:
        cell = np.diag(rng.permutation([1, 1, rng.integers(2, 4)])) @ cell
    other = crystal.copy()
    other.make_supercell(cell[rng.permutation(3)])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if rng.random() < 0.5:
        turn[0] *= -1
    order = rng.permutation(len(other))
    coords = (other.frac_coords + rng.random(3))[order]
    return Structure(other.lattice.matrix @ turn, [other[site].specie for site in order.tolist()], coords)


def figure(crystals: list[Structure], changes: int) -> None:
    """Print how often a change of setting changed the label or the group."""
    rng = np.random.default_rng(SEED)
    start = time.process_time()
    copies = [[changed(crystal, rng) for _ in range(changes)] for crystal in crystals]
    everything = [one for crystal, row in zip(crystals, copies, strict=True) for one in [crystal, *row]]
    labels, refused = protostructure_labels(everything)
    of_crystal = np.repeat(np.arange(len(crystals)), changes + 1)
    other_label = sum(
        label != labels[of_crystal == crystal][0] for label, crystal in zip(labels, of_crystal, strict=True)
    )
    shuffled = rng.permutation(len(everything))
    groups = find_duplicates([everything[row] for row in shuffled]).groups[np.argsort(shuffled)]
    other_group = sum((groups[of_crystal == c] != groups[of_crystal == c][0]).sum() for c in range(len(crystals)))
    n_groups = len({label.split("_")[2] for label in labels})
    seconds = time.process_time() - start
    print(f"{len(crystals)} crystals of {n_groups} space groups, {changes * len(crystals):,} changes: {seconds:.0f} s")
    print(f"  another label {other_label}, another group {other_group}, refused {len(refused)}")
    print(f"  groups {len(np.unique(groups))}, of {len(crystals)} crystals")


def of_pymatgen(crystals: list[Structure], changes: int) -> None:
    """Print how often pymatgen's own label changes, at the same tolerance."""
    rng = np.random.default_rng(SEED)
    differ, of_crystals = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for crystal in crystals:
            its = get_protostructure_label(crystal, "spglib", init_symprec=0.01)
            others = [changed(crystal, rng) for _ in range(changes)]
            wrong = sum(get_protostructure_label(other, "spglib", init_symprec=0.01) != its for other in others)
            differ += wrong
            of_crystals += wrong > 0
    print(f"  pymatgen's own label differs after {differ} of {changes * len(crystals):,}, of {of_crystals} crystals")


def finder(crystals: list[Structure]) -> None:
    """Print the time of the duplicate finder and of StructureMatcher's own grouping on the same crystals."""
    rng = np.random.default_rng(SEED)
    rows = [crystals[place] for place in rng.integers(0, len(crystals), len(crystals)).tolist()]
    rows[::2] = [changed(crystal, rng) for crystal in rows[::2]]
    start = time.process_time()
    found = find_duplicates(rows)
    ours = time.process_time() - start
    print(f"{len(rows):,} crystals, half of them in another setting: {len(found.sizes):,} groups in {ours:.1f} s")
    part = rows[:: max(1, len(rows) // 1000)]
    start = time.process_time()
    in_part = len(find_duplicates(part).sizes)
    ours = time.process_time() - start
    start = time.process_time()
    theirs = StructureMatcher(comparator=ElementComparator()).group_structures(part)
    seconds = time.process_time() - start
    print(
        f"  {len(part):,} of them: {ours:.1f} s, {in_part} groups; StructureMatcher.group_structures {seconds:.1f} s,"
    )
    print(f"  {len(theirs)} groups: {seconds / ours:.1f} times as long")


def candidates(n: int = 1_000_000) -> None:
    """Print the speed of labels of candidates."""
    rng = np.random.default_rng(SEED)
    prototypes = [p for p in prototype_library().values() if len(p.roles) == 3]
    index = np.sort(rng.integers(0, len(prototypes), n))
    table = CandidateTable(prototypes, index, rng.integers(1, 90, (n, 3)), np.full(n, 15.0))
    start = time.process_time()
    candidate_labels(table)
    seconds = time.process_time() - start
    print(f"{n:,} candidates of {len(prototypes)} prototypes labelled in {seconds:.1f} s: {n / seconds:,.0f} rows/s")


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=20, help="changes of each of the 50 crystals")
    parser.add_argument("--crystals", type=int, default=5000, help="crystals for the duplicate finder")
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    phonons, perovskites = read()
    taken: set[str] = set()
    chosen = spread(perovskites, 5, rng, taken)
    chosen += spread(phonons, 15, rng, taken)
    chosen += spread(decorated_prototypes(), 50 - len(chosen), rng, taken)
    figure(chosen, options.changes)
    of_pymatgen(chosen, min(options.changes, 4))
    candidates()
    finder((phonons + perovskites)[: options.crystals])


if __name__ == "__main__":
    main()
