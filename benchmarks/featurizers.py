"""Features: the time beside matminer's in the same run, parity with it, whole spaces, and more than one worker.

    python benchmarks/featurizers.py [STEP]

Steps: compositions (5,000 real formulas of the Materials Project; critexam, Bartel et al. 2020), elpasolites (987,012
candidates to Parquet), voronoi (200 real crystals of the phonon set of Matbench), workers (2,000 of them on dask). Each
runs in a process of its own, so that its peak memory is its own. The exit code is 1 if a figure is not what it should
be, and the last lines say which. The data is looked for in MATSCOUT_DATA, else in ../shared/data beside the project; a
step without its data is left out.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

from pymatgen.core.structure import Structure

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FORMULAS = DATA / "critexam" / "Ef_val.csv.gz"
CRYSTALS = DATA / "matbench" / "phonons_structures.json.gz"


def phonon_crystals(n: int | None = None) -> list[Structure]:
    """Read crystals of the phonon set: all, or n spread over it."""
    with gzip.open(CRYSTALS, "rt") as file:
        rows = json.load(file)["data"]
    return [Structure.from_dict(row[0]) for row in (rows if n is None else rows[:: len(rows) // n][:n])]


def compositions() -> list[str]:
    """Compare presets of compositions with matminer's."""
    from _lib.composition_features import print_compositions

    return print_compositions(FORMULAS)


def elpasolites() -> list[str]:
    """Write 987,012 elpasolites to Parquet."""
    from _lib.distribution import print_elpasolites
    from _lib.spaces import main_group

    return print_elpasolites(main_group())


def voronoi() -> list[str]:
    """Compare Voronoi features with matminer's on 200 crystals."""
    from _lib.ward_2017 import print_voronoi

    return print_voronoi(phonon_crystals(200), 20)


def workers() -> list[str]:
    """Compare two dask workers with one."""
    from _lib.distribution import print_workers

    return print_workers(phonon_crystals())


STEPS = {
    "compositions": (compositions, FORMULAS),
    "elpasolites": (elpasolites, None),
    "voronoi": (voronoi, CRYSTALS),
    "workers": (workers, CRYSTALS),
}
"""Each step, which returns what is not as it should be, and the file that it needs."""


def run(name: str) -> int:
    """Run one step; 1 if something is not as it should be."""
    step, data = STEPS[name]
    if data is not None and not data.is_file():
        print(f"skipped: no {data}; name the folder of data by MATSCOUT_DATA")
        return 0
    missed = step()
    for one in missed:
        print(f"MISSED {one}")
    return 1 if missed else 0


def main() -> int:
    """Run the named step, or all, each in a process of its own."""
    if len(sys.argv) > 1:
        return run(sys.argv[1])
    failed = []
    for name in STEPS:
        print(f"-- {name}", flush=True)
        if subprocess.run([sys.executable, __file__, name], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"not as it should be: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
