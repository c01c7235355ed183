"""Predicted volumes: fit of the parameters of `matscout.workflows.enumeration.volume`, and its errors.

Reads the phonon set, the perovskites and the Fe-Li-O-P entries from the folder MATSCOUT_DATA (else ../shared/data):

    python benchmarks/volumes.py            # prints
    python benchmarks/volumes.py --write    # writes volume_parameters.toml into the package, and prints

Each real crystal is taken as a prototype with one role per element, at its own shape; only its volume is predicted. The
perovskites are taken a second time as decorations of the cubic perovskite, with roles by the order of the formula. The
folds never part a chemical system. The fit has no random start: it gives the same numbers every time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import re
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import ase.build
import ase.data
import numpy as np
import torch
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from matscout.db._elements import N_ELEMENTS, atomic_numbers, electronegativities, symbols
from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration import get_prototype, prototype_library, volume
from matscout.workflows.enumeration.volume import VolumeParameters, pair_sums, predict_volumes, volume_parameters

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
PHONONS = DATA / "matbench" / "phonons_structures.json.gz"
PEROVSKITES = DATA / "perovskites" / "castelli_perov5_val.csv.gz"
ENTRIES = DATA / "entries" / "Fe_Li_O_P_entries.json.gz"
PARAMETERS = Path(volume.__file__).with_name("volume_parameters.toml")

N_FOLDS = 5
#: Sets of the fit: weight of a crystal, and place of the set's volumes between PBEsol (-1/2) and RPBE (1/2).
FITTED = {"phonons": (2.0, -0.5), "perovskites": (0.5, 0.5), "as cubic": (0.5, 0.5), "elements": (8.0, 0.0)}
#: Logarithm of how much larger RPBE makes a crystal than PBEsol. Left free it grows to 0.10 to 0.13 and takes up what
#: unstable perovskites are larger by, too; of 0.08 and free, 0.08 had the smaller errors in cross-validation.
SHIFT = 0.08
ITERATIONS = 300
#: Errors of ln(volume) far beyond this count by their size, not by its square.
OUTLIER = 0.05

#: Single-bond radii in pm from H to Og: Pyykkö and Atsumi, Chem. Eur. J. 15, 186 (2009), doi:10.1002/chem.200800987.
SINGLE_BOND = """
32 46 133 102 85 75 71 63 64 67 155 139 126 116 111 103 99 96 196 171 148 136 134 122 119 116 111 110 112 118 124 121
121 116 114 117 210 185 163 154 147 138 128 125 125 120 128 136 142 140 140 136 133 131 232 196 180 163 176 174 173 172
168 169 168 167 166 165 164 170 162 152 146 137 131 129 122 123 124 133 144 144 151 145 147 142 223 201 186 175 169 170
171 172 166 166 168 168 165 167 173 176 161 157 149 143 141 134 129 128 121 122 136 143 162 175 165 157
"""
#: Electronegativities that Pauling's scale lacks: Allen, J. Am. Chem. Soc. 111, 9003 (1989), doi:10.1021/ja00207a003.
ALLEN = {"He": 4.160, "Ne": 4.787, "Ar": 3.242}
#: Electronegativity of the heaviest elements, for which nobody has one: about that of the actinides.
UNKNOWN_ELECTRONEGATIVITY = 1.3
#: Measured crystals whose one-atom or two-atom cells ASE can build from a lattice constant and c/a.
SIMPLE_LATTICES = ("fcc", "bcc", "hcp", "diamond", "sc")
_CHAINS = ("Se", "Te")  # which ASE calls hcp, and cannot build

HEAD = """# Parameters of matscout.workflows.enumeration.volume, which says what they mean.
# Fitted by benchmarks/volumes.py: do not edit, run `python benchmarks/volumes.py --write`.
# symbol = [radius Å, pair slope Å, electronegativity, crystal slope Å, average volume Å³/atom]
[elements]
"""


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


class Rows:
    """Many crystals as flat tensors: one row for each pair of roles, one for each role."""

    def __init__(self, crystals: list[Crystal], settings: list[tuple[float, float]]) -> None:
        self.n = len(crystals)
        self.log_volume = torch.tensor(np.log([c.volume for c in crystals]))
        self.weight, self.level = torch.tensor(settings, dtype=torch.float64).T
        pairs, roles = [], []
        for place, c in enumerate(crystals):
            z, sums = c.decoration[0], pair_sums.__wrapped__(c.prototype)
            fractions = c.prototype.multiplicity / c.prototype.n_sites
            first, second = np.triu_indices(len(z))
            double = np.where(first == second, 1.0, 2.0)
            pairs.append(np.stack([np.full(len(first), place), z[first], z[second], double * sums[first, second]]))
            roles.append(np.stack([np.full(len(z), place), z, fractions]))
        of_pairs, of_roles = np.concatenate(pairs, axis=1), np.concatenate(roles, axis=1)
        self.pair_of, self.first, self.second = (torch.tensor(row.astype(int)) for row in of_pairs[:3])
        self.role_of, self.element = (torch.tensor(row.astype(int)) for row in of_roles[:2])
        self.sums, self.fraction = torch.tensor(of_pairs[3]), torch.tensor(of_roles[2])

    def weighted(self, keep: np.ndarray) -> torch.Tensor:
        """Return the weights of the kept crystals, 0 for the others."""
        return self.weight * torch.tensor(keep, dtype=torch.float64)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Add up values of roles by crystal, weighted by the roles' parts of the atoms."""
        return torch.zeros(self.n, dtype=torch.float64).index_add(0, self.role_of, self.fraction * values)


class Periodic:
    """The periodic table as a prior: an element resembles its neighbours, and a tabulated number."""

    def __init__(self) -> None:
        self.radius = torch.tensor([1.0, *(float(pm) / 100 for pm in SINGLE_BOND.split())], dtype=torch.float64)
        chi = electronegativities().copy()
        for symbol, value in ALLEN.items():
            chi[atomic_numbers()[symbol]] = value
        self.electronegativity = torch.tensor(np.nan_to_num(chi, nan=UNKNOWN_ELECTRONEGATIVITY))
        pairs = sorted(set(self._neighbours()))
        self.first, self.second = (torch.tensor(side) for side in zip(*pairs, strict=True))

    def extend(self, values: torch.Tensor, known: np.ndarray, around: float) -> torch.Tensor:
        """Give the elements without data the values for which `roughness` is least."""
        stiff = 0.1 * np.eye(N_ELEMENTS)
        for i, j in zip(self.first.tolist(), self.second.tolist(), strict=True):
            stiff[[i, j], [i, j]] += 1
            stiff[[i, j], [j, i]] -= 1
        filled, unknown = values.numpy().copy(), ~known
        force = 0.1 * around - stiff[np.ix_(unknown, known)] @ filled[known]
        filled[unknown] = np.linalg.solve(stiff[np.ix_(unknown, unknown)], force)
        return torch.tensor(filled)

    @staticmethod
    def _neighbours() -> list[tuple[int, int]]:
        """Pairs of neighbours: along each group, along the rows of d and of f elements, and H as a halogen."""
        pairs = [(1, 9)]
        columns: dict[int, list[int]] = {}
        for z in range(2, N_ELEMENTS):
            element = Element.from_Z(z)
            if element.is_lanthanoid or element.is_actinoid:
                pairs += [(z, z + 1)] * (z not in {71, 103}) + [(z - 32, z)] * element.is_actinoid
            else:
                columns.setdefault(element.group, []).append(z)
        for column in columns.values():
            pairs += pairwise(column)
        for row in (range(22, 30), range(40, 48), range(72, 80), range(104, 112)):
            pairs += [(z, z + 1) for z in row]
        return [*pairs, (39, 57), (39, 71), (71, 103)]

    def roughness(self, values: torch.Tensor, around: torch.Tensor | float) -> torch.Tensor:
        """Penalty on differences between neighbours, and, a tenth as strong, on those from a common value."""
        return ((values[self.first] - values[self.second]) ** 2).sum() + 0.1 * ((values - around) ** 2).sum()


class Fit:
    """Parameters of all elements, fitted to weighted crystals."""

    def __init__(self, rows: Rows, weight: torch.Tensor, prior: Periodic) -> None:
        self.prior = prior
        zeros = torch.zeros(N_ELEMENTS, dtype=torch.float64)
        start = {
            "scale": zeros + 0.8,
            "pair_slope": zeros,
            "electronegativity": prior.electronegativity,
            "crystal_slope": zeros,
            "common_slope": zeros[0],
        }
        self.values = {name: value.clone().requires_grad_() for name, value in start.items()}
        self._least(lambda: self._loss(self.log_volume(rows) + SHIFT * rows.level, rows, weight))
        average = {"size": (zeros + 2.5).requires_grad_(), "common": (zeros[0] + 2.5).requires_grad_()}
        self.values, fitted = average, {name: value.detach() for name, value in self.values.items()}
        self._least(lambda: self._average_loss(rows, weight))
        self.values = {name: value.detach() for name, value in average.items()} | fitted
        self._extend(rows)
        self.values["average_volume"] = self._average()

    def _extend(self, rows: Rows) -> None:
        """Let elements follow their neighbours where no crystal of the fit, or no compound, says otherwise.

        The optimizer leaves what it hardly feels where it started.
        """
        v, prior = self.values, self.prior
        in_any, in_compound = (np.zeros(N_ELEMENTS, dtype=bool) for _ in range(2))
        in_any[rows.element.numpy()] = True
        in_compound[rows.element[rows.fraction < 1].numpy()] = True
        for name, known in (("scale", in_any), ("size", in_any)):
            v[name] = prior.extend(v[name], known, float(v[name][torch.tensor(known)].mean()))
        for name, around in (("pair_slope", 0.0), ("crystal_slope", float(v["common_slope"]))):
            v[name] = prior.extend(v[name], in_compound, around)
        moved = prior.extend(v["electronegativity"] - prior.electronegativity, in_compound, 0.0)
        v["electronegativity"] = prior.electronegativity + moved

    def _least(self, loss) -> None:  # noqa: ANN001  a closure over tensors
        optimizer = torch.optim.LBFGS(
            self.values.values(), max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        optimizer.step(closure)

    @staticmethod
    def _robust(predicted: torch.Tensor, rows: Rows, weight: torch.Tensor) -> torch.Tensor:
        error = (predicted - rows.log_volume) / OUTLIER
        return (weight * (torch.sqrt(1 + error**2) - 1)).sum() * OUTLIER

    def _loss(self, predicted: torch.Tensor, rows: Rows, weight: torch.Tensor) -> torch.Tensor:
        v, prior = self.values, self.prior
        penalty = prior.roughness(v["scale"], v["scale"].mean()) + prior.roughness(v["pair_slope"], 0.0)
        penalty = penalty + prior.roughness(v["crystal_slope"], v["common_slope"])
        penalty = 0.9 * penalty + 0.09 * ((v["electronegativity"] - prior.electronegativity) ** 2).sum()
        return self._robust(predicted, rows, weight) + penalty

    def log_volume(self, rows: Rows) -> torch.Tensor:
        """Logarithms of the predicted volumes, as `volume.predict_volumes` without its bounds."""
        v = self.values
        radius, e, k, h = v["scale"] * self.prior.radius, v["electronegativity"], v["pair_slope"], v["crystal_slope"]
        own, mean, i, j = radius - h * e, rows.total(e[rows.element])[rows.pair_of], rows.first, rows.second
        length = own[i] + own[j] + (k[i] - k[j]) * (e[j] - e[i]) + (h[i] + h[j]) * mean
        taken = rows.sums * torch.clamp(length, min=volume.SHORTEST) ** 8
        return 3 / 8 * torch.log(torch.zeros(rows.n, dtype=torch.float64).index_add(0, rows.pair_of, taken))

    def _average(self) -> torch.Tensor:
        return torch.exp(self.values["size"]) * self.prior.radius**2

    def _average_loss(self, rows: Rows, weight: torch.Tensor) -> torch.Tensor:
        predicted = torch.log(rows.total(self._average()[rows.element])) + SHIFT * rows.level
        penalty = 0.3 * self.prior.roughness(self.values["size"], self.values["common"])
        return self._robust(predicted, rows, weight) + penalty

    def parameters(self) -> VolumeParameters:
        """Return what the package ships, rounded as shipped."""
        v = self.values | {"radius": self.values["scale"] * self.prior.radius}
        return VolumeParameters(*(np.round(v[name].numpy(), 4) for name in VolumeParameters._fields))


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
    compared = {name: structures[name] for name in ("phonons", "perovskites")}
    for name, sample in compared.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # elements that are missing from its table
            theirs = np.array([predictor.predict(s) / len(s) for s in sample])
        spent += time.perf_counter() - start
        print(f"pymatgen's DLS, {len(sample):5d} {name:12s} {errors(theirs / [c.volume for c in crystals[name]])}")
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
        print(f"as shipped (not held out), {name:12s} {errors(predict(sample))}")
    outside(crystals["entries"])
    extremes([c for sample in sets.values() for c in sample])
    compare_with_pymatgen(structures, crystals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
