"""Surrogates on public data: our scores beside what they are to reach and what was published.

    python benchmarks/models.py [STEP ...]
    python benchmarks/models.py --kept [STEP ...]

Steps: steels, metals (expt_is_metal), moduli (log_kvrh) and phonons on the official folds of Matbench; perovskites
(Castelli) with a learning curve; critexam, network and stability (formation energies of the Materials Project, and the
labels that follow from them; the network is trained by composition_network.py, which takes hours, and its kept
predictions are scored here); coverage (calibrated intervals of every surrogate on new chemical systems); candidates
(mean and std for 987,012 elpasolites); surrogates (what each costs a campaign in a round). Several steps, or all, run
in a process of their own each.

What a step finds is printed, and written into benchmarks/data/models.json with the machine, the versions and all
options; ``--kept`` prints what is there, and runs nothing. The exit code is 1 if a figure misses its target; the last
lines say which. The data is looked for in MATSCOUT_DATA, else in ../shared/data beside the project; a step without its
data is left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
KEPT = Path(__file__).with_name("data") / "models.json"
CRITEXAM = "critexam/Ef_train.csv.gz"
PEROVSKITES = "perovskites/castelli_perov5_val.csv.gz"

STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "steels": ("matbench_models:steels", ("matbench/steels.csv.gz",)),
    "metals": ("matbench_models:metals", ("matbench/expt_is_metal.csv.gz",)),
    "moduli": ("matbench_models:moduli", ("matbench/log_kvrh.csv.gz",)),
    "phonons": ("phonon_models:phonons", ("matbench/phonons_structures.json.gz",)),
    "perovskites": ("perovskite_models:five_folds", (PEROVSKITES,)),
    "critexam": ("critexam_models:critexam", (CRITEXAM,)),
    "network": ("critexam_models:network", ()),
    "stability": ("critexam_models:stability", (CRITEXAM,)),
    "coverage": ("coverage:coverage", (CRITEXAM, PEROVSKITES)),
    "candidates": ("model_costs:candidates", (CRITEXAM,)),
    "surrogates": ("model_costs:surrogates", (CRITEXAM, PEROVSKITES)),
}
"""Module and function of each step, which returns its figures, and the files of data that it needs."""


def run(name: str) -> int:
    """Run one step and keep its figures; 1 if one misses its target."""
    from _lib.figures import keep, print_figures

    function, needed = STEPS[name]
    absent = [DATA / file for file in needed if not (DATA / file).is_file()]
    if absent:
        print(f"skipped: no {absent[0]}; name the folder of data by MATSCOUT_DATA")
        return 0
    module, _, name_of = function.partition(":")
    load, start = os.getloadavg()[0], time.perf_counter()
    figures = getattr(import_module(f"_lib.{module}"), name_of)()
    if figures:
        keep(KEPT, name, figures, time.perf_counter() - start, load)
    missed = print_figures(figures)
    for one in missed:
        print(f"MISSED {one}")
    return 1 if missed else 0


def run_each(names: list[str]) -> int:
    """Run steps in processes of their own; 1 if a figure of one misses its target."""
    failed = []
    for name in names:
        print(f"-- {name}", flush=True)
        if subprocess.run([sys.executable, __file__, name], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"not as it should be: {', '.join(failed)}")
    return 1 if failed else 0


def show(names: list[str]) -> int:
    """Print the figures that were kept; 1 if one misses its target or is not there."""
    from _lib.figures import print_kept

    missed = print_kept(KEPT, names)
    for one in missed:
        print(f"MISSED {one}")
    return 1 if missed else 0


def main() -> int:
    """Run the named step or steps, or all; or show what was kept."""
    parser = argparse.ArgumentParser(description="surrogates on public data")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all where none is named")
    parser.add_argument("--kept", action="store_true", help="print the figures that were kept, run nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.steps if name not in STEPS]
    if unknown:
        parser.error(f"unknown step {unknown[0]}: choose of {', '.join(STEPS)}")
    if arguments.kept:
        return show(arguments.steps or list(STEPS))
    return run(arguments.steps[0]) if len(arguments.steps) == 1 else run_each(arguments.steps or list(STEPS))


if __name__ == "__main__":
    sys.exit(main())
