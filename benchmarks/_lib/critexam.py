"""The 72,261 compounds of the critical examination's train and validation parts, with published energies.

Bartel et al., npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y.
"""

from __future__ import annotations

import csv
import gzip
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.composition import Composition
from scipy.optimize import minimize

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTS = ("train", "val")


@dataclass(frozen=True)
class Critexam:
    """Compounds, one for each composition.

    Attributes
    ----------
    formulas
        n formulas.
    formation_energies, decomposition_energies
        As published, eV/atom, shape (n,); the second on the hull of all 85,014 compounds.
    """

    formulas: list[str]
    formation_energies: np.ndarray
    decomposition_energies: np.ndarray

    def __len__(self) -> int:
        return len(self.formulas)

    @cached_property
    def amounts(self) -> list[dict[str, float]]:
        """Atoms of each element in each formula."""
        return [Composition(formula).get_el_amt_dict() for formula in self.formulas]

    @cached_property
    def by_system(self) -> dict[tuple[str, ...], list[int]]:
        """Rows of the compounds with exactly these elements, in alphabetical order."""
        found: dict[tuple[str, ...], list[int]] = {}
        for row, amounts in enumerate(self.amounts):
            found.setdefault(tuple(sorted(amounts)), []).append(row)
        return found

    def inside(self, elements: Iterable[str]) -> list[int]:
        """Rows of all compounds in a chemical system and in the systems inside it."""
        system = sorted(elements)
        parts = (part for size in range(2, len(system) + 1) for part in combinations(system, size))
        return [row for part in parts for row in self.by_system.get(part, ())]

    def fractions(self, rows: list[int], elements: Iterable[str]) -> np.ndarray:
        """Atomic fractions of compounds, shape (len(rows), number of elements)."""
        columns = list(elements)
        amounts = np.array([[self.amounts[row].get(symbol, 0.0) for symbol in columns] for row in rows])
        amounts = amounts.reshape(len(rows), len(columns))
        return np.asarray(amounts / amounts.sum(axis=1, keepdims=True))

    def program(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Phases that a compound may decompose into: fractions (p, d), eV/atom (p,); and its own fractions (1, d)."""
        elements = sorted(self.amounts[row])
        others = [other for other in self.inside(elements) if other != row]
        d = len(elements)
        points = np.vstack([np.eye(d), self.fractions(others, elements)])
        energies = np.append(np.zeros(d), self.formation_energies[others])
        return points, energies, self.fractions([row], elements)


def data_folder() -> Path:
    """Folder of public data: MATSCOUT_DATA, or ../shared/data beside the repository."""
    return Path(os.environ.get("MATSCOUT_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def read_critexam(folder: Path) -> Critexam:
    """Read both parts from the folder of public data."""
    formulas, formation = _columns(folder, "Ef")
    same, decomposition = _columns(folder, "Ed")
    if same != formulas:
        raise ValueError(f"the formulas of Ef and Ed differ in {folder / 'critexam'}")
    return Critexam(formulas, formation, decomposition)


def _columns(folder: Path, name: str) -> tuple[list[str], np.ndarray]:
    formulas, energies = [], []
    for part in PARTS:
        with gzip.open(folder / "critexam" / f"{name}_{part}.csv.gz", "rt") as file:
            for row in csv.DictReader(file):
                formulas.append(row["formula"])
                energies.append(float(row["target"]))
    return formulas, np.array(energies)


def loose_decomposition_energy(data: Critexam, row: int, decomposition_energies: np.ndarray) -> float:
    """Decomposition energy in eV/atom as the published code finds it, with SLSQP.

    It starts from 0.01 of each competitor, stops where the energy of a formula unit changes by less than 1e-4 eV, and
    leaves out amounts below 1e-4: often not at the lowest energy. See `decomp_solution` in
    https://github.com/CJBartel/TestStabilityML/blob/master/mlstabilitytest/stability/HullAnalysis.py.
    """
    elements = sorted(data.amounts[row])
    others = [other for other in data.inside(elements) if other != row]
    if decomposition_energies[row] >= 0:  # then only what is stable competes
        others = [other for other in others if decomposition_energies[other] < 0]
    names = [*elements, *(data.formulas[other] for other in others)]
    units = [*({element: 1.0} for element in elements), *(data.amounts[other] for other in others)]
    order = sorted(range(len(names)), key=names.__getitem__)
    matrix = np.array([[units[i].get(element, 0.0) for i in order] for element in elements])
    per_atom = np.append(np.zeros(len(elements)), data.formation_energies[others])[order]
    energies = per_atom * matrix.sum(axis=0)
    target = np.array([data.amounts[row][element] for element in elements])
    for tolerance in (1e-4, 1e-3, 5e-3, 1e-2):
        solution = minimize(
            lambda amounts: amounts @ energies,
            np.full(len(order), 0.01),
            method="SLSQP",
            bounds=[(0, target.sum())] * len(order),
            constraints=[{"type": "eq", "fun": lambda amounts: matrix @ amounts - target}],
            tol=tolerance,
            options={"maxiter": 1000},
        )
        if solution.success:
            break
    amounts = np.where(solution.x > 1e-4, solution.x, 0.0)
    return float(data.formation_energies[row] - amounts @ energies / target.sum())
