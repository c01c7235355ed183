"""Correction schemes on real entries: how well references fitted to experiment predict, and which labels change.

    python benchmarks/corrections.py

The entries and enthalpies are taken from MATSCOUT_DATA, or ../shared/data beside the repository.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from matscout.workflows.stability import compare_schemes, get_scheme, read_entries

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("MATSCOUT_DATA", ROOT.parent / "shared" / "data")) / "entries"
FILES = ("calc_compounds_norm.json.gz", "exp_compounds_norm.json.gz", "Fe_Li_O_P_entries.json.gz")
SHOWN = 5
NEAR = 0.025  # eV/atom


def describe_fit(spec: str) -> None:
    """Print the errors of the fit and of its predictions for compounds left out of it."""
    start = perf_counter()
    fitted = get_scheme(spec)
    seconds = perf_counter() - start
    print(f"fitted-references: {len(fitted.formulas)} compounds, read and fitted in {seconds:.1f} s")
    print(f"{'':<28} {'mean absolute':>14} {'root mean square':>17} {'median':>8}   meV/atom")
    for what, errors in (("after the fit", fitted.errors), ("left out one at a time", fitted.left_out_errors)):
        size = 1000 * np.abs(errors)
        print(f"{what:<28} {size.mean():>14.1f} {np.sqrt((size**2).mean()):>17.1f} {np.median(size):>8.1f}")
    with_u = sum(species.endswith("+U") for species in fitted.shifts)
    print(
        f"{len(fitted.shifts)} species fitted, {with_u} of them with +U; computed energy kept for "
        f"{len(fitted.not_fitted)}: {', '.join(fitted.not_fitted)}"
    )
    print(f"not used: {', '.join(f'{formula} ({why})' for formula, why in fitted.unused)}")
    worst = np.argsort(-np.abs(fitted.left_out_errors))[:SHOWN]
    print(
        "worst left out: " + ", ".join(f"{fitted.formulas[i]} {1000 * fitted.left_out_errors[i]:+.0f}" for i in worst)
    )


def describe_change(entries: list, before: str, after: str, name: str) -> None:
    """Print how the labels of entries change from one scheme to another."""
    start = perf_counter()
    frame = compare_schemes(entries, before, after, allow_mixed=True)
    seconds = perf_counter() - start
    flips = frame[frame.stable_before != frame.stable_after]
    near = ((frame.e_above_hull_before <= NEAR) != (frame.e_above_hull_after <= NEAR)).sum()
    stable = [frame.attrs[side]["stable"] for side in ("before", "after")]
    change = 1000 * frame.change.abs()
    window = f"within {1000 * NEAR:.0f} meV/atom"
    print(f"\n{name}, {len(frame)} entries, in {seconds:.1f} s")
    if frame.attrs["before"]["mixed"]:
        print("  (the hull before mixes protocols that may not meet; made only to show what mixing does)")
    print(
        f"  stable {stable[0]} -> {stable[1]}, {len(flips)} labels flip; {window} {near} flip; "
        f"distance changes by {change.mean():.1f} in the mean, {change.max():.0f} meV/atom at most"
    )
    for row in flips.head(SHOWN).itertuples():
        distances = f"{1000 * row.e_above_hull_before:>7.0f} -> {1000 * row.e_above_hull_after:>5.0f} meV/atom"
        print(f"  {row.formula:<14} {distances}")


def main() -> None:
    """Print errors and changes."""
    missing = [name for name in FILES if not (FOLDER / name).is_file()]
    if missing:
        sys.exit(f"no {', '.join(missing)} in {FOLDER}: set MATSCOUT_DATA to the folder that holds entries/")
    fitted = f"fitted-references:{FOLDER / FILES[0]}:{FOLDER / FILES[1]}"
    describe_fit(fitted)
    entries = read_entries(FOLDER / FILES[2])
    describe_change(
        entries, "none", "mp2020", "Fe-Li-O-P, corrected as in the file -> mp2020 by the pymatgen installed"
    )
    describe_change(entries, "mp2020", fitted, "Fe-Li-O-P, mp2020 -> fitted-references")
    for entry in entries:
        entry.energy_adjustments = []
    describe_change(entries, "none", "mp2020", "Fe-Li-O-P, uncorrected GGA and GGA+U -> mp2020")


if __name__ == "__main__":
    main()
