"""Real crystals whose volumes are known, as prototypes at their own shape."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import ase.build
import ase.data
import numpy as np
from pymatgen.core.structure import Structure

from matscout.db._elements import N_ELEMENTS, atomic_numbers, symbols
from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration import get_prototype

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[3] / "shared" / "data"))
PHONONS = DATA / "matbench" / "phonons_structures.json.gz"
PEROVSKITES = DATA / "perovskites" / "castelli_perov5_val.csv.gz"
ENTRIES = DATA / "entries" / "Fe_Li_O_P_entries.json.gz"

#: Measured crystals whose one-atom or two-atom cells ASE can build from a lattice constant and c/a.
SIMPLE_LATTICES = ("fcc", "bcc", "hcp", "diamond", "sc")
_CHAINS = ("Se", "Te")  # which ASE calls hcp, and cannot build


class Crystal(NamedTuple):
    """A real crystal: shape and decoration, chemical system, volume in Å³/atom."""

    prototype: Prototype
    decoration: np.ndarray
    system: str
    volume: float


def as_crystal(structure: Structure) -> Crystal:
    """Return a structure as a prototype with one role per element, and its own decoration, shape (1, n_roles)."""
    numbers = [site.specie.Z for site in structure]
    return crystal(structure.lattice.matrix, structure.frac_coords, numbers, structure.volume / len(structure))


def crystal(lattice: np.ndarray, frac_coords: np.ndarray, numbers: list[int], per_atom: float) -> Crystal:
    """Return sites with atomic numbers as a prototype with one role per element, and its decoration."""
    elements = sorted(set(numbers))
    roles = tuple(symbols()[number] for number in elements)
    prototype = Prototype("real", "", roles, lattice, frac_coords, [elements.index(number) for number in numbers])
    return Crystal(prototype, np.array([elements], dtype=np.uint8), "-".join(sorted(roles)), per_atom)


def read_structures() -> dict[str, list[Structure]]:
    """Read the real crystals, the perovskites in the order of their file."""
    with gzip.open(PHONONS) as file:
        phonons = [Structure.from_dict(row[0]) for row in json.load(file)["data"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # coordinates that pymatgen rounds to ideal values
        perovskites = [Structure.from_str(row["cif"], fmt="cif") for row in perovskite_rows()]
    with gzip.open(ENTRIES) as file:
        entries = [Structure.from_dict(entry["structure"]) for entry in json.load(file)]
    return {"phonons": phonons, "perovskites": perovskites, "entries": entries}


def perovskite_rows() -> list[dict[str, str]]:
    """Read the rows of the perovskites."""
    with gzip.open(PEROVSKITES) as file:
        return list(csv.DictReader(io.TextIOWrapper(file)))


def as_cubic(perovskites: list[Crystal]) -> list[Crystal]:
    """Return the perovskites at the shape of the cubic one, their roles by the order of the formula."""
    shape = get_prototype("cubic-perovskite")
    order = np.argsort(shape.role_of_site, kind="stable")
    cubic = []
    for row, real in zip(perovskite_rows(), perovskites, strict=True):
        parts = re.findall(r"([A-Z][a-z]?)(\d*)", row["formula"])
        numbers = [atomic_numbers()[symbol] for symbol, count in parts for _ in range(int(count or 1))]
        cubic.append(crystal(shape.lattice, shape.frac_coords[order], numbers, real.volume))
    return cubic


def elements() -> list[Crystal]:
    """Return the elements whose measured crystals are simple lattices."""
    found = []
    for number, state in enumerate(ase.data.reference_states[:N_ELEMENTS]):
        if state and state["symmetry"] in SIMPLE_LATTICES and symbols()[number] not in ("", *_CHAINS):
            atoms = ase.build.bulk(symbols()[number])
            per_atom = atoms.get_volume() / len(atoms)
            found.append(crystal(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers.tolist(), per_atom))
    return found


#: Lattice constants in Å at room temperature, as handbooks give them, and the number of atoms in the cubic cell.
MEASURED = {
    "rock-salt": (
        8,
        "LiF 4.026 NaF 4.634 NaCl 5.640 KCl 6.293 MgO 4.212 CaO 4.811 BaO 5.539 MnO 4.445 FeO 4.307 EuO 5.144",
    ),
    "cesium-chloride": (2, "CsCl 4.123 CsBr 4.286 TlCl 3.834 NiAl 2.887 TiNi 3.015 AgMg 3.31"),
    "zincblende": (8, "ZnS 5.409 CdTe 6.482 GaAs 5.653 InSb 6.479 SiC 4.360 CuCl 5.416"),
    "fluorite": (12, "CaF2 5.463 BaF2 6.200 CeO2 5.411 UO2 5.470 AuAl2 5.997"),
}


def measured() -> dict[str, tuple[list[str], list[Crystal]]]:
    """Formulas and crystals of a few structure types with their measured volumes, by the prototype's name."""
    found = {}
    for name, (n_atoms, text) in MEASURED.items():
        words = text.split()
        prototype = get_prototype(name)
        crystals = []
        for formula, constant in zip(words[::2], words[1::2], strict=True):
            elements = re.findall("[A-Z][a-z]?", formula)
            row = np.array([[atomic_numbers()[element] for element in elements]], dtype=np.uint8)
            system = "-".join(sorted(elements))
            crystals.append(Crystal(prototype, row, system, float(constant) ** 3 / n_atoms))
        found[name] = (words[::2], crystals)
    return found
