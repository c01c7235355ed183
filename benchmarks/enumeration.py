"""Speed and memory of enumeration.

    python benchmarks/enumeration.py

Two spaces whose sizes are known in closed form: cubic ABX3 over 64 elements, 64 x 63 x 62 = 249,984 candidates; and
elpasolites over the 39 main-group elements from H to Bi, 39 x 38 x 37 x 36 = 1,974,024 ordered decorations, of which
the exchange of B and B' leaves 987,012. Each step in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 3
SAMPLE = 500

MAIN_GROUP = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Ga Ge As Se Br Kr Rb Sr In Sn Sb Te I Xe Cs Ba Tl Pb Bi"
)
TRANSITION = "Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Tc Ru Rh Pd Ag Cd La Hf Ta W Re Os Ir Pt Au Hg"


def main_group() -> list[str]:
    """Return the 39 main-group elements from H to Bi, rare gases included."""
    return MAIN_GROUP.split()


def perovskite_elements() -> list[str]:
    """Return the 64 elements from H to Bi without rare gases and Ce to Lu."""
    rare_gases = {"He", "Ne", "Ar", "Kr", "Xe"}
    return [e for e in main_group() if e not in rare_gases] + TRANSITION.split()


def timed(step: Callable[[], object]) -> tuple[float, object]:
    """Return the median time of a step in seconds, and what it gave."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def cubic_perovskites() -> None:
    """Enumerate cubic ABX3 over 64 elements, and compare with a loop over pymatgen's structures."""
    from matscout.workflows.enumeration import enumerate_candidates

    elements = perovskite_elements()
    enumerate_candidates("cubic-perovskite", ["Sr", "Ti", "O"])  # reads the library
    seconds, table = timed(lambda: enumerate_candidates("cubic-perovskite", elements))
    report("cubic ABX3, 64 elements", len(table), seconds, 249_984)
    rate = len(table) / seconds
    loop = pymatgen_loop(elements)
    print(f"  pymatgen loop {loop:,.0f} candidates/s on {SAMPLE}: here {rate / loop:,.0f} times faster")
    rows = np.random.default_rng(0).integers(len(table), size=SAMPLE)
    built, _ = timed(lambda: table.structures(rows))
    print(f"  {SAMPLE / built:,.0f} Structures/s")


def pymatgen_loop(elements: list[str]) -> float:
    """Candidates per second of the obvious loop: substitute the elements, predict the volume, write the formula."""
    import warnings
    from itertools import islice, permutations

    from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

    from matscout.workflows.enumeration import get_prototype

    prototype = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"])
    predictor = DLSVolumePredictor()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for a, b, x in islice(permutations(elements, 3), SAMPLE):
            structure = prototype.copy()
            structure.replace_species({"Sr": a, "Ti": b, "O": x})
            predictor.get_predicted_structure(structure).reduced_formula  # noqa: B018  the loop's last step
    return SAMPLE / (time.perf_counter() - start)


def elpasolites() -> None:
    """Enumerate elpasolites over 39 elements."""
    from matscout.workflows.enumeration import enumerate_candidates

    enumerate_candidates("elpasolite", ["K", "Na", "Al", "F"])
    seconds, table = timed(lambda: enumerate_candidates("elpasolite", main_group()))
    report("elpasolites, 39 elements, B and B' merged (1,974,024 ordered)", len(table), seconds, 987_012)
    seconds, formulas = timed(lambda: table.formulas)
    print(f"  formulas {seconds:.1f} s, {len(formulas):,}")
    seconds, ids = timed(lambda: table.ids_at(np.arange(len(table))))
    print(f"  ids {seconds:.1f} s, {len(set(ids)):,} different")


def elpasolites_to_parquet() -> None:
    """Enumerate elpasolites, filter for charge neutrality and write them."""
    from matscout.workflows.enumeration import ChargeNeutrality, Goldschmidt, enumerate_candidates

    neutral = ChargeNeutrality()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "elpasolites.parquet"

        def step() -> object:
            table = enumerate_candidates("elpasolite", main_group(), [neutral])
            table.to_parquet(path)
            return table

        seconds, table = timed(step)
        size = path.stat().st_size / 1e6
    before = table.filter_counts[0].before
    report("elpasolites, neutral ones written as Parquet", before, seconds, 987_012)
    print(f"  {len(table):,} neutral, {size:.1f} MB")
    seconds, result = timed(lambda: Goldschmidt()(table))
    print(f"  Goldschmidt factor of these {seconds:.1f} s, {np.count_nonzero(result.keep):,} stay")


def report(what: str, n: int, seconds: float, expected: int) -> None:
    """Print the figures of a step."""
    if n != expected:
        raise SystemExit(f"{what}: {n:,} candidates, {expected:,} expected")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {n:,} candidates in {seconds:.2f} s, {n / seconds:,.0f} candidates/s, peak memory {peak:.0f} MB")


STEPS = {step.__name__: step for step in (cubic_perovskites, elpasolites, elpasolites_to_parquet)}


def main() -> int:
    """Run the named step, or all, each in a process of its own."""
    if len(sys.argv) > 1:
        STEPS[sys.argv[1]]()
        return 0
    print(f"medians of {REPEATS}, one core")
    return max(subprocess.run([sys.executable, __file__, name], check=False).returncode for name in STEPS)


if __name__ == "__main__":
    sys.exit(main())
