"""Data-mined substitution: agreement with pymatgen, and how many times faster.

Reads the Fe-Li-O-P entries from the folder MATSCOUT_DATA (else ../shared/data):

    python benchmarks/substitution.py

pymatgen searches all 230 ions for one list of known ions at a time; the known ions are those of four well-known
compounds. The last line is the whole way from the entries to a table of candidates.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor
from pymatgen.core.structure_prediction.substitutor import Substitutor

from matscout.crystals.structure_files import read_structures
from matscout.workflows.enumeration.substitution.ion_substitution import ion_table, probable_replacements
from matscout.workflows.enumeration.substitution.parents import known_crystals
from matscout.workflows.enumeration.substitution.predicted import substitute

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
ENTRIES = DATA / "entries" / "Fe_Li_O_P_entries.json.gz"
KNOWN = (("Na+", "Cl-"), ("K+", "Mg2+", "F-"), ("Sr2+", "Ti4+", "O2-"), ("Li+", "Fe2+", "P5+", "O2-"))
THRESHOLD = 1e-3
SAMPLE = 200


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def compare() -> None:
    """Print sets found, largest relative difference and times for each list of ions, both ways round."""
    names, places = ion_table().names, ion_table().places
    everything = np.arange(len(names))
    print(
        f"{'known ions':<24}{'given':<11}{'sets':>5}  {'largest difference':>18}  {'pymatgen':>9}  {'here':>8}  ratio"
    )
    for ions in KNOWN:
        known = [places[ion] for ion in ions]
        for given, theirs in (
            ("known", lambda ions=ions: Substitutor(threshold=THRESHOLD).pred_from_list(ions)),
            (
                "candidate",
                lambda ions=ions: SubstitutionPredictor(threshold=THRESHOLD).list_prediction(
                    ions, to_this_composition=False
                ),
            ),
        ):
            slow, predicted = timed(theirs)
            runs = [
                timed(lambda given=given, known=known: probable_replacements(known, everything, THRESHOLD, given))
                for _ in range(5)
            ]
            fast = statistics.median(seconds for seconds, _ in runs)
            found = runs[-1][1]
            ours = {
                tuple(names[ion] for ion in row): probability
                for row, probability in zip(found.ions.tolist(), found.probability.tolist(), strict=True)
            }
            wanted = {tuple(map(str, one["substitutions"].values())): one["probability"] for one in predicted}
            wanted = {row: probability for row, probability in wanted.items() if len(set(row)) == len(row)}
            assert wanted.keys() == ours.keys()
            difference = max(abs(ours[row] / wanted[row] - 1) for row in wanted)
            print(
                f"{' '.join(ions):<24}{given:<11}{len(ours):>5}  {difference:>18.0e}  {slow:>7.2f} s  "
                f"{fast * 1e3:>5.2f} ms  {slow / fast:,.0f}"
            )


def whole_way() -> None:
    """Print the time from entries to candidates."""
    structures, _ = read_structures(ENTRIES)
    preparing, (crystals, refused) = timed(lambda: known_crystals(structures[:SAMPLE]))
    searching, (table, _) = timed(lambda: substitute(crystals, threshold=THRESHOLD))
    print(
        f"\n{SAMPLE} entries: prepared in {preparing:.0f} s, {len(refused)} no parents; {len(table)} candidates "
        f"in {searching:.1f} s"
    )
    for count in table.filter_counts:
        print(f"  {count.name:<16}removed {count.removed} of {count.before}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    ion_table()
    compare()
    if ENTRIES.is_file():
        whole_way()
    else:
        print(f"no entries at {ENTRIES}: set MATSCOUT_DATA to the folder of the public data")
