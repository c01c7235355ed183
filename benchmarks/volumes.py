"""Predicted volumes: fit of the parameters of `matscout.crystals.volume`, and its errors.

Reads the phonon set, the perovskites and the Fe-Li-O-P entries from the folder MATSCOUT_DATA (else ../shared/data):

    python benchmarks/volumes.py            # prints
    python benchmarks/volumes.py --write    # writes volume_parameters.toml into the package, and prints

Each real crystal is taken as a prototype with one role per element, at its own shape; only its volume is predicted. The
perovskites are taken a second time as decorations of the cubic perovskite, with roles by the order of the formula. The
folds never part a chemical system. The fit has no random start: it gives the same numbers every time.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from _lib.volume_data import (
    ENTRIES,
    PEROVSKITES,
    PHONONS,
    Crystal,
    as_crystal,
    as_cubic,
    elements,
    measured,
    read_structures,
)
from _lib.volume_fit import SHIFT, Fit, Periodic, Rows
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from matscout.crystals import volume
from matscout.crystals.volume import VolumeParameters, predict_volumes, volume_parameters
from matscout.db._elements import N_ELEMENTS, symbols
from matscout.workflows.enumeration import get_prototype, prototype_library

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

PARAMETERS = Path(volume.__file__).with_name("volume_parameters.toml")

N_FOLDS = 5
#: Sets of the fit: weight of a crystal, and place of the set's volumes between PBEsol (-1/2) and RPBE (1/2).
FITTED = {"phonons": (2.0, -0.5), "perovskites": (0.5, 0.5), "as cubic": (0.5, 0.5), "elements": (8.0, 0.0)}
#: Of the sets that show nothing new from crystal to crystal one in so many is predicted one by one: the package takes
#: 1 ms for a geometry it has not seen, pymatgen 6.
STEPS = {"phonons": 1, "perovskites": 5, "as cubic": 5, "elements": 1}

HEAD = """# Parameters of matscout.crystals.volume, which says what they mean.
# Fitted by benchmarks/volumes.py: do not edit, run `python benchmarks/volumes.py --write`.
# symbol = [radius Å, pair slope Å, electronegativity, crystal slope Å, average volume Å³/atom]
[elements]
"""


def predict(crystals: list[Crystal], parameters: VolumeParameters | None = None) -> np.ndarray:
    """Predicted over real volumes, shape (n_crystals,)."""
    return np.array([predict_volumes(c.prototype, c.decoration, parameters=parameters)[0] / c.volume for c in crystals])


def errors(ratio: np.ndarray) -> str:
    """Write the errors of predicted to real volumes."""
    error = 100 * np.abs(ratio - 1)
    return (
        f"mean absolute error {error.mean():5.2f} %, median {np.median(error):5.2f} %, "
        f"median of predicted/real {np.median(ratio):.3f}"
    )


def folds(sets: dict[str, list[Crystal]]) -> dict[str, np.ndarray]:
    """Fold of each crystal: all crystals of a chemical system, in all sets, share one."""
    systems = sorted({c.system for crystals in sets.values() for c in crystals})
    fold = dict(zip(systems, np.random.default_rng(0).permutation(len(systems)) % N_FOLDS, strict=True))
    return {name: np.array([fold[c.system] for c in crystals]) for name, crystals in sets.items()}


def held_out(rows: Rows, fold: np.ndarray, prior: Periodic) -> tuple[np.ndarray, np.ndarray]:
    """Fit without each fold in turn.

    Returns
    -------
    Predicted over real volumes of the crystals left out, and the same with the set's own shift granted.
    """
    ratio, granted = np.empty(rows.n), np.empty(rows.n)
    for left_out in range(N_FOLDS):
        fit = Fit(rows, rows.weighted(fold != left_out), prior)
        log_ratio = (fit.log_volume(rows) - rows.log_volume).numpy()
        test = fold == left_out
        ratio[test] = np.exp(log_ratio)[test]
        granted[test] = np.exp(log_ratio + SHIFT * rows.level.numpy())[test]
    return ratio, granted


def write(parameters: VolumeParameters) -> None:
    """Write the parameters into the package."""
    lines = (
        f"{symbol} = [{', '.join(f'{value:.4f}' for value in row)}]\n"
        for symbol, *row in list(zip(symbols(), *parameters, strict=True))[1:]
    )
    PARAMETERS.write_text(HEAD + "".join(lines), encoding="utf-8")


def compare_with_pymatgen(structures: dict[str, list[Structure]], crystals: dict[str, list[Crystal]]) -> None:
    """Print the errors of pymatgen's predictor on the same crystals, and the time of both."""
    predictor = DLSVolumePredictor(min_scaling=None, max_scaling=None)
    spent = 0.0
    compared = {name: structures[name][:: STEPS[name]] for name in ("phonons", "perovskites")}
    for name, sample in compared.items():
        real = np.array([c.volume for c in crystals[name][:: STEPS[name]]])
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # elements that are missing from its table
            theirs = np.array([predictor.predict(s) / len(s) for s in sample])
        spent += time.perf_counter() - start
        print(f"pymatgen's DLS, {len(sample):5d} {name:12s} {errors(theirs / real)}")
    per_crystal = spent / sum(len(sample) for sample in compared.values())
    shape = get_prototype("cubic-perovskite")
    many = np.random.default_rng(0).integers(1, N_ELEMENTS, (1_000_000, 3)).astype(np.uint8)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        predict_volumes(shape, many)
        times.append(time.perf_counter() - start)
    here = float(np.median(times)) / len(many)
    print(
        f"pymatgen {1e3 * per_crystal:.2f} ms a crystal; here {1e-6 / here:.1f} million cubic perovskites a second, "
        f"{per_crystal / here:,.0f} times as fast"
    )


def outside(entries: list[Crystal]) -> None:
    """Print the errors on crystals that had no part in the fit."""
    ratio = predict(entries)
    print(f"never fitted: {len(entries)} Fe-Li-O-P entries (PBE+U): {errors(ratio)}")
    for system in sorted({c.system for c in entries}):
        rows = np.array([c.system == system for c in entries])
        print(f"  {system:10s} {rows.sum():4d}: {errors(ratio[rows])}")


def extremes(crystals: list[Crystal]) -> None:
    """Print how far real crystals and predictions for any decoration go from the sum of the elements' averages."""
    part = volume_parameters().average_volume
    real = [c.volume / (part[c.decoration[0]] @ (c.prototype.multiplicity / c.prototype.n_sites)) for c in crystals]
    low, high = np.quantile(real, [0.001, 0.999])
    print(f"volumes of {len(real)} real crystals: {low:.2f} to {high:.2f} times the averages (99.8 % of them)")
    rng = np.random.default_rng(0)
    lowest, highest, met, total = np.inf, 0.0, 0, 0
    for prototype in prototype_library().values():
        decoration = rng.integers(1, N_ELEMENTS, (300, len(prototype.roles))).astype(np.uint8)
        volumes = predict_volumes(prototype, decoration)
        average = volume_parameters().average_volume[decoration] @ (prototype.multiplicity / prototype.n_sites)
        lowest, highest = min(lowest, volumes.min()), max(highest, volumes.max())
        met += int((~np.isfinite(volumes)).sum() + np.isin(np.round(volumes / average, 9), volume.BOUNDS).sum())
        total += len(volumes)
    print(
        f"{total} random decorations of {len(prototype_library())} prototypes, H to Og: {lowest:.1f} to {highest:.1f} "
        f"Å³/atom, {100 * met / total:.2f} % at a bound"
    )


def main() -> int:
    """Print the fit and the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the fitted parameters into the package")
    arguments = parser.parse_args()
    missing = [path for path in (PHONONS, PEROVSKITES, ENTRIES) if not path.is_file()]
    if missing:
        print(f"no {missing[0]}: set MATSCOUT_DATA to the folder of public data", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    structures = read_structures()
    crystals = {name: [as_crystal(structure) for structure in sample] for name, sample in structures.items()}
    sets = {name: crystals[name] for name in ("phonons", "perovskites")}
    sets |= {"as cubic": as_cubic(sets["perovskites"]), "elements": elements()}
    name_of = np.array([name for name, sample in sets.items() for _ in sample])
    rows = Rows([c for sample in sets.values() for c in sample], [FITTED[name] for name in name_of])
    fold, prior = np.concatenate(list(folds(sets).values())), Periodic()

    every = np.ones(rows.n, dtype=bool)
    fit = Fit(rows, rows.weighted(every), prior)
    if arguments.write:
        write(fit.parameters())
        volume_parameters.cache_clear()
    shipped, refit = volume_parameters(), fit.parameters()
    changed = max(float(np.abs(a - b)[1:].max()) for a, b in zip(shipped, refit, strict=True))
    print(f"parameters shipped and fitted now differ by at most {changed:.4f}")

    ratio, granted = held_out(rows, fold, prior)
    print(f"fitted to all sets, held out in {N_FOLDS} folds of chemical systems")
    for name in sets:
        part = name_of == name
        print(f"  {part.sum():5d} {name:12s} {errors(ratio[part])}")
        if FITTED[name][1]:
            print(f"        with the set's shift: {errors(granted[part])}")
    for unseen in (["phonons"], ["perovskites", "as cubic"]):
        one = Fit(rows, rows.weighted(~np.isin(name_of, unseen)), prior)
        part = name_of == unseen[0]
        transferred = np.exp((one.log_volume(rows) - rows.log_volume).numpy())[part]
        print(f"fitted without the {unseen[0]}, of which {errors(transferred)}")
    for name, sample in sets.items():
        part = sample[:: STEPS[name]]
        print(f"as shipped (not held out), {len(part):4d} {name:12s} {errors(predict(part))}")
    for name, (formulas, sample) in measured().items():
        ratios = predict(sample)
        listed = ", ".join(f"{formula} {value:.2f}" for formula, value in zip(formulas, ratios, strict=True))
        print(f"predicted/measured, {name}: median {np.median(ratios):.2f}; {listed}")
    outside(crystals["entries"])
    extremes([c for sample in sets.values() for c in sample])
    compare_with_pymatgen(structures, crystals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
