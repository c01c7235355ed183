"""Fit of the parameters of `matscout.crystals.volume` to real crystals."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core.periodic_table import Element

from matscout.crystals import volume
from matscout.crystals.volume import SATURATION, VolumeParameters, pair_sums
from matscout.db._elements import N_ELEMENTS, atomic_numbers, electronegativities

if TYPE_CHECKING:
    from _lib.volume_data import Crystal

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
        mean, i, j = rows.total(e[rows.element])[rows.pair_of], rows.first, rows.second
        length = radius[i] + radius[j] + (k[i] - k[j]) * (e[j] - e[i])
        for end in (i, j):
            length = length + h[end] * SATURATION * torch.tanh((mean - e[end]) / SATURATION)
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
