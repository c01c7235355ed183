"""Predicted volumes: fit of the two constants of `matscout.workflows.enumeration.volume`, and their errors.

Reads the phonon set and the perovskites from the folder MATSCOUT_DATA (else ../shared/data):

    python benchmarks/volumes.py

Each real crystal is taken as a prototype with one role per element, at its own shape; only its volume is predicted.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from pymatgen.core.structure import Structure
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor
from scipy.optimize import minimize

from matscout.db._elements import atomic_numbers
from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration.volume import COORDINATION_SLOPE, LENGTH_SCALE, pair_terms, predict_volumes

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
PHONONS = DATA / "matbench" / "phonons_structures.json.gz"
PEROVSKITES = DATA / "perovskites" / "castelli_perov5_val.csv.gz"


def as_prototype(structure: Structure) -> tuple[Prototype, np.ndarray]:
    """Return a crystal as a prototype with one role per element, and its own decoration, shape (1, n_roles)."""
    symbols = [site.specie.symbol for site in structure]
    elements = sorted(set(symbols))
    prototype = Prototype(
        structure.reduced_formula,
        "",
        tuple(elements),
        structure.lattice.matrix,
        structure.frac_coords,
        np.array([elements.index(symbol) for symbol in symbols]),
    )
    return prototype, np.array([[atomic_numbers()[element] for element in elements]], dtype=np.uint8)


def read() -> dict[str, list[Structure]]:
    """Read the real crystals."""
    with gzip.open(PHONONS) as file:
        phonons = [Structure.from_dict(row[0]) for row in json.load(file)["data"]]
    with gzip.open(PEROVSKITES) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # coordinates that pymatgen rounds to ideal values
        rows = csv.DictReader(io.TextIOWrapper(file))
        perovskites = [Structure.from_str(row["cif"], fmt="cif") for row in rows]
    return {"phonons": phonons, "perovskites": perovskites}


class Fit:
    """Volumes of many crystals as a function of the two constants."""

    def __init__(self, structures: list[Structure]) -> None:
        rows = []
        for structure in structures:
            terms = pair_terms(*as_prototype(structure))
            size = (structure.volume / len(structure)) ** (1 / 3)
            rows.append(np.stack([terms.bond[0], terms.log_coordination, terms.distance * size]))
        filled = np.zeros((3, len(rows), max(row.shape[1] for row in rows)))
        filled[2] = 1.0
        for i, row in enumerate(rows):
            filled[:, i, : row.shape[1]] = row
        self.bond, self.log_coordination, self.distance = filled

    def ratio(self, scale: float, slope: float) -> np.ndarray:
        """Predicted over real volume, shape (n_crystals,)."""
        return ((scale * self.bond + slope * self.log_coordination) / self.distance).max(axis=1) ** 3

    def constants(self, rows: np.ndarray) -> np.ndarray:
        """Return the constants that make the mean absolute logarithm of the ratio least."""

        def loss(constants: np.ndarray) -> float:
            return float(np.abs(np.log(self.ratio(*constants)[rows])).mean())

        return minimize(loss, [1.0, 0.05], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-7}).x


def errors(ratio: np.ndarray) -> str:
    """Write the mean absolute error and the median ratio of predicted to real volumes."""
    return (
        f"mean absolute error {100 * np.abs(ratio - 1).mean():5.2f} %, median of predicted/real {np.median(ratio):.3f}"
    )


def compare_with_pymatgen(structures: list[Structure]) -> None:
    """Print the difference to pymatgen's predictor, and the time of both, on the first 300 crystals."""
    sample = structures[:300]
    predictor = DLSVolumePredictor(min_scaling=None, max_scaling=None)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that are missing from its table
        theirs = np.array([predictor.predict(structure) / len(structure) for structure in sample])
    per_crystal = (time.perf_counter() - start) / len(sample)
    ours = np.array([predict_volumes(*as_prototype(s), coordination=False)[0] for s in sample])
    same = np.abs(ours / theirs - 1) < 1e-6
    print(f"without coordination numbers: the same as pymatgen's on {same.sum()} of {len(sample)} crystals")
    prototype, decoration = as_prototype(sample[0])
    many = np.repeat(decoration, 100_000, axis=0)
    start = time.perf_counter()
    predict_volumes(prototype, many)
    ratio = per_crystal / ((time.perf_counter() - start) / len(many))
    print(
        f"pymatgen {1e3 * per_crystal:.1f} ms a crystal; a decoration of a prototype here is {ratio:,.0f} times faster"
    )


def main() -> int:
    """Print the fit and the errors."""
    if not PHONONS.is_file() or not PEROVSKITES.is_file():
        print(f"no {PHONONS} or no {PEROVSKITES}: set MATSCOUT_DATA to the folder of public data", file=sys.stderr)
        return 2
    structures = read()
    fits = {name: Fit(crystals) for name, crystals in structures.items()}
    phonons = fits["phonons"]
    rows = np.random.default_rng(0).permutation(len(structures["phonons"]))
    held_out = np.empty(len(rows))
    for fold in range(5):
        test = rows[fold::5]
        held_out[test] = phonons.ratio(*phonons.constants(np.setdiff1d(rows, test)))[test]
    print(
        "fitted to all phonon crystals: LENGTH_SCALE {:.4f}, COORDINATION_SLOPE {:.4f}".format(*phonons.constants(rows))
    )
    print(f"phonon crystals, fivefold cross-validation:   {errors(held_out)}")
    for name, fit in fits.items():
        print(f"{len(structures[name])} {name}, without coordination: {errors(fit.ratio(1.0, 0.0))}")
        print(f"{len(structures[name])} {name}, as shipped: {errors(fit.ratio(LENGTH_SCALE, COORDINATION_SLOPE))}")
    compare_with_pymatgen(structures["phonons"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
