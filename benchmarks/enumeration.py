"""Speed and memory of enumeration.

    python benchmarks/enumeration.py

Spaces whose sizes are known in closed form: cubic ABX3 over 64 elements, 64 x 63 x 62 = 249,984 candidates; elpasolites
over the 39 main-group elements from H to Bi, 39 x 38 x 37 x 36 = 1,974,024 ordered decorations, of which exchanging
B and B' leaves 987,012; ThCr2Si2 over 52 elements, 52 x 51 x 50 = 132,600; Heuslers over n elements, n(n-1)(n-2)/2,
and quaternary ones, n(n-1)(n-2)(n-3)/8. Each step in a process of its own, so that its peak memory is its own.
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
from _lib.spaces import main_group

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 3
SAMPLE = 500

TRANSITION = "Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Tc Ru Rh Pd Ag Cd La Hf Ta W Re Os Ir Pt Au Hg"


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
    compare("cubic-perovskite", elements, len(table) / seconds)
    rows = np.random.default_rng(0).integers(len(table), size=SAMPLE)
    built, _ = timed(lambda: table.structures(rows))
    print(f"  {SAMPLE / built:,.0f} Structures/s")


def compare(name: str, elements: list[str], rate: float) -> None:
    """Print how many times slower the obvious loop is, on a sample."""
    loop = pymatgen_loop(name, elements)
    print(f"  pymatgen loop {loop:,.0f} candidates/s on {SAMPLE}: here {rate / loop:,.0f} times faster")


def pymatgen_loop(name: str, elements: list[str]) -> float:
    """Candidates per second of the obvious loop: substitute the elements, predict the volume, write the formula."""
    import warnings
    from itertools import islice, permutations

    from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

    from matscout.workflows.enumeration import get_prototype

    first = elements[: len(get_prototype(name).roles)]
    prototype = get_prototype(name).structure(first)
    predictor = DLSVolumePredictor()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for decoration in islice(permutations(elements[::-1], len(first)), SAMPLE):
            structure = prototype.copy()
            structure.replace_species(dict(zip(first, decoration, strict=True)))
            predictor.get_predicted_structure(structure).reduced_formula  # noqa: B018  the loop's last step
    return SAMPLE / (time.perf_counter() - start)


def elpasolites() -> None:
    """Count elpasolites over 39 elements in closed form, and enumerate them."""
    from matscout.workflows.enumeration import count_candidates, enumerate_candidates

    enumerate_candidates("elpasolite", ["K", "Na", "Al", "F"])
    seconds, counts = timed(lambda: count_candidates("elpasolite", main_group()))
    print(f"elpasolites, 39 elements: {sum(counts.values()):,} counted in closed form in {1e3 * seconds:.1f} ms")
    seconds, table = timed(lambda: enumerate_candidates("elpasolite", main_group()))
    report("elpasolites, 39 elements, B and B' merged (1,974,024 ordered)", len(table), seconds, 987_012)
    seconds, formulas = timed(lambda: table.formulas)
    print(f"  formulas {seconds:.1f} s, {len(formulas):,}")
    seconds, ids = timed(lambda: table.ids_at(np.arange(len(table))))
    print(f"  ids {seconds:.1f} s, {len(set(ids)):,} different")


def elpasolites_to_parquet() -> None:
    """Enumerate elpasolites part by part, filter for charge neutrality and write them; compare with pymatgen."""
    from matscout.db.candidate_files import read_candidates, write_candidates
    from matscout.workflows.enumeration import ChargeNeutrality, iterate_candidates

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "elpasolites.parquet"

        def step() -> int:
            return write_candidates(iterate_candidates("elpasolite", main_group(), [ChargeNeutrality()]), path)

        seconds, written = timed(step)
        count = read_candidates(path).filter_counts[0]
        report("elpasolites, neutral ones written as Parquet part by part", count.before, seconds, 987_012)
        print(f"  {written:,} neutral, {path.stat().st_size / 1e6:.1f} MB")
    compare("elpasolite", main_group(), count.before / seconds)


def other_families() -> None:
    """Enumerate ThCr2Si2 and Heuslers, and compare their numbers with the closed forms of the literature."""
    from matscout.workflows.enumeration import enumerate_candidates

    elements = perovskite_elements()
    n = 52
    for name, expected in (
        ("ThCr2Si2", n * (n - 1) * (n - 2)),
        ("heusler", n * (n - 1) * (n - 2) // 2),
        ("inverse-heusler", n * (n - 1) * (n - 2) // 2),
        ("half-heusler", n * (n - 1) * (n - 2) // 2),
        ("quaternary-heusler", n * (n - 1) * (n - 2) * (n - 3) // 8),
    ):
        enumerate_candidates(name, elements[:6])
        seconds, table = timed(lambda name=name: enumerate_candidates(name, elements[:n]))
        report(f"{name}, {n} elements", len(table), seconds, expected)


def report(what: str, n: int, seconds: float, expected: int) -> None:
    """Print the figures of a step."""
    if n != expected:
        raise SystemExit(f"{what}: {n:,} candidates, {expected:,} expected")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {n:,} candidates in {seconds:.2f} s, {n / seconds:,.0f} candidates/s, peak memory {peak:.0f} MB")


STEPS = {step.__name__: step for step in (cubic_perovskites, elpasolites, elpasolites_to_parquet, other_families)}


def main() -> int:
    """Run the named step, or all, each in a process of its own."""
    if len(sys.argv) > 1:
        STEPS[sys.argv[1]]()
        return 0
    print(f"medians of {REPEATS}, one core")
    return max(subprocess.run([sys.executable, __file__, name], check=False).returncode for name in STEPS)


if __name__ == "__main__":
    sys.exit(main())
