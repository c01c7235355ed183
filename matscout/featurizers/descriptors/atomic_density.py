"""Atoms' surroundings by what stands at which distance and angle: SOAP and atom-centred symmetry functions.

dscribe expands them, element by element; here the elements become columns of fixed number, and the atoms one crystal.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols
from matscout.errors import UserError
from matscout.featurizers.base import MAGPIE_DATA, Descriptor
from matscout.featurizers.descriptors._dscribe import (
    HIMANEN_CITATION,
    LAAKSO_CITATION,
    numbered_atoms,
    power_spectra,
    soap,
    symmetry_functions,
)
from matscout.featurizers.descriptors._options import (
    checked_names,
    checked_number,
    checked_rows,
    checked_species,
    checked_whole,
)
from matscout.featurizers.descriptors._surroundings import (
    POOLS,
    at_volume,
    compact,
    neighbours_within,
    pooled,
    refuse_dense,
    refuse_large,
)
from matscout.featurizers.elements import MAGPIE_CITATION, site_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

BARTOK_CITATION = (
    "Bartók, Kondor, Csányi, On representing chemical environments, Phys. Rev. B 87, 184115 (2013), "
    "doi:10.1103/PhysRevB.87.184115"
)
DARBY_CITATION = (
    "Darby, Kermode, Csányi, Compressing local atomic neighbourhood descriptors, npj Comput. Mater. 8, 166 (2022), "
    "doi:10.1038/s41524-022-00847-y"
)
CARO_CITATION = (
    "Caro, Optimizing many-body atomic descriptors for enhanced computational performance of machine learning based "
    "interatomic potentials, Phys. Rev. B 100, 024112 (2019), doi:10.1103/PhysRevB.100.024112"
)
BEHLER_CITATION = (
    "Behler, Atom-centered symmetry functions for constructing high-dimensional neural network potentials, J. Chem. "
    "Phys. 134, 074106 (2011), doi:10.1063/1.3553717"
)
GASTEGGER_CITATION = (
    "Gastegger et al., wACSF: weighted atom-centered symmetry functions as descriptors in machine learning potentials, "
    "J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667"
)

SCALED_VOLUME = 20.0
"""Å^3/atom at which all crystals are looked at when `scaled`."""

WEIGHTS = ("one", "atomic_number", "mendeleev_number", "electronegativity", "covalent_radius", "volume_per_atom")
"""Properties of elements that atoms can be counted by, each relative to its largest value among all elements."""

_DEFAULT_WEIGHTS = ("one", "electronegativity", "covalent_radius", "atomic_number")
_LARGEST_CUTOFF = 20.0
_MOST_COLUMNS = 100_000
_MOST_TRIPLES = 100_000_000  # of an atom and two neighbours, in one crystal; half a minute
_AT_ONCE = 2048  # sites whose surroundings are held in memory


class _Surroundings(Descriptor):
    """Descriptions of each atom's surroundings, made one of a crystal.

    dscribe gets the elements numbered from 1 in the place of their atomic numbers: only their number is its business.
    """

    software = ("dscribe", *MAGPIE_DATA)

    def __init__(
        self,
        species: Sequence[str] | None,
        weights: Sequence[str] | None,
        r_cut: float,
        pool: Sequence[str],
        *,
        scaled: bool,
    ) -> None:
        if species is not None and weights is not None:
            raise UserError("give species, for columns of each, or weights, for columns common to all: not both")
        if not isinstance(scaled, bool):
            raise UserError(f"scaled must be true or false, got {scaled!r}")
        self._r_cut = checked_number("r_cut", r_cut, above=1, most=_LARGEST_CUTOFF)
        self._scaled = scaled
        self._pools = checked_names("pool", pool, tuple(POOLS))
        self._species = None if species is None else checked_species(species)
        self._weights = checked_names("weights", _DEFAULT_WEIGHTS if weights is None else weights, WEIGHTS)

    @abstractmethod
    def _of_sites(self, atoms: Atoms, sites: range, n_species: int) -> NDArray[np.float64]:
        """Describe some sites with dscribe, shape (len(sites), n_numbers)."""

    @abstractmethod
    def _weighted(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over elements, each counted by its weights of shape (n_weights, n_species)."""

    def _name(self, preset: str, columns: Sequence[str], unit: str) -> None:
        n_columns = len(columns) * len(self._pools)
        if n_columns > _MOST_COLUMNS:
            raise UserError(f"{preset}: {n_columns} columns, more than {_MOST_COLUMNS}: take fewer species, or weights")
        self.names = tuple(f"{preset} {pool} {column}" for pool in self._pools for column in columns)
        self.units = (unit,) * n_columns

    def _refuse(self, crystal: Crystal) -> None:
        """Refuse a crystal, as it is looked at, that would take too much memory or time."""
        refuse_dense(crystal)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        present = np.unique(crystal.numbers).tolist()
        species = present if self._species is None else self._species
        if missing := [symbols()[z] for z in present if z not in species]:
            raise UserError(
                f"{', '.join(missing)} is not among the species that this descriptor was made for: "
                f"{', '.join(symbols()[z] for z in species)}"
            )
        crystal = compact(at_volume(crystal, SCALED_VOLUME) if self._scaled else crystal)
        self._refuse(crystal)
        atoms = numbered_atoms(crystal, species)
        blocks = []
        for start in range(0, len(crystal), _AT_ONCE):
            sites = range(start, min(start + _AT_ONCE, len(crystal)))
            values = self._of_sites(atoms, sites, len(species))
            blocks.append(values if self._species is not None else self._weighted(values, self._weights_of(species)))
        return pooled(np.concatenate(blocks), self._pools)

    def _weights_of(self, species: Sequence[int]) -> NDArray[np.float64]:
        return np.array([_relative(name)[list(species)] for name in self._weights])


class SmoothOverlap(_Surroundings):
    r"""SOAP: the power spectrum of the density of atoms around each atom (smooth overlap of atomic positions).

    A Gaussian on every atom, the central one among them, is expanded in radial functions n and spherical harmonics l, m
    around the centre; the products of coefficients c,

    .. math:: p_{nn'l} \propto \sum_m c_{nlm} c_{n'lm},

    do not depend on how the crystal is turned. They are averaged over the atoms as they are ("outer" in dscribe), not
    the coefficients before ("inner"): in a mean of coefficients, surroundings turned against one another cancel.

    Elements are told apart in one of two ways:

    - by default, through ``weights``: the Gaussians are multiplied by a property of their element, which gives one
      density and one spectrum for each property, dscribe's compression "mu2" (Darby et al. 2022). The columns are as
      many for two elements as for ninety, and elements never met before have a place in them;
    - with ``species``, each pair of them has columns of its own, the usual SOAP: sharper, but their number grows with
      the square of that of the species, and no other element may occur.

    Parameters
    ----------
    species
        Element symbols, in any order; None counts atoms by weights.
    weights
        Properties to count atoms by, of `WEIGHTS`, each relative to the largest value of all elements.
    r_cut
        Cutoff, Å. Atoms count less the nearer they are to it, by Caro's polynomial, and nothing at it; a sharp edge
        would make features jump when an atom crosses it.
    n_max, l_max
        Number of radial functions (Gaussian type orbitals); largest l, up to 20.
    sigma
        Width of the Gaussians, Å.
    scaled
        Look at every crystal at 20 Å^3 per atom, all distances longer or shorter alike. Then the cutoff holds about
        the same number of atoms in each, and a crystal that is only blown up has the same features: a candidate stands
        at a predicted volume, whose error would else shift all of them. The volume itself is a feature of "geometry".
        If not scaled, Å are those of the crystal, and a crystal of less than 2 Å^3 per atom is refused.
    pool
        How the atoms' numbers become the crystal's: any of mean, std, min, max.

    Notes
    -----
    The columns of a weight are NaN in a crystal with an element that has no such property.

    The spectrum says nothing about which of two mirror images a crystal is. Of surroundings it knows the distances and
    angles of pairs of neighbours, which more than one crystal may share.

    Raises
    ------
    UserError
        An option has a value it cannot take.

    References
    ----------
    Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115.
    Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), doi:10.1016/j.cpc.2019.106949.
    Darby, Kermode, Csányi, npj Comput. Mater. 8, 166 (2022), doi:10.1038/s41524-022-00847-y.
    """

    citations = (BARTOK_CITATION, DARBY_CITATION, CARO_CITATION, HIMANEN_CITATION, LAAKSO_CITATION, MAGPIE_CITATION)

    def __init__(
        self,
        *,
        species: Sequence[str] | None = None,
        weights: Sequence[str] | None = None,
        r_cut: float = 5.0,
        n_max: int = 6,
        l_max: int = 4,
        sigma: float = 0.5,
        scaled: bool = True,
        pool: Sequence[str] = ("mean",),
    ) -> None:
        super().__init__(species, weights, r_cut, pool, scaled=scaled)
        checked_number("sigma", sigma, above=0, most=self._r_cut)
        self._n_max = checked_whole("n_max", n_max, least=1, most=20)
        self._l_max = checked_whole("l_max", l_max, least=0, most=20)
        self._basis = (self._r_cut, self._n_max, self._l_max, float(sigma))
        soap(self._basis, 1)  # refuses a basis there is none of
        self._name("soap", self._columns(), "Å^3")

    def _columns(self) -> list[str]:
        same: list[tuple[int, ...]] = list(combinations_with_replacement(range(1, self._n_max + 1), 2))
        if self._species is None:
            kinds = [(name, same) for name in self._weights]
        else:
            unlike = list(product(range(1, self._n_max + 1), repeat=2))
            pairs = combinations_with_replacement([symbols()[z] for z in self._species], 2)
            kinds = [(f"{first}-{second}", same if first == second else unlike) for first, second in pairs]
        degrees = range(self._l_max + 1)
        return [f"{kind} l={degree} n={n},{m}" for kind, orders in kinds for degree in degrees for n, m in orders]

    def _refuse(self, crystal: Crystal) -> None:
        super()._refuse(crystal)
        refuse_large(crystal, self._r_cut + soap(self._basis, 1).get_cutoff_padding())

    def _of_sites(self, atoms: Atoms, sites: range, n_species: int) -> NDArray[np.float64]:
        return power_spectra(self._basis, n_species, atoms, sites)

    def _weighted(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        # The spectrum of a sum of densities: each pair of elements once, unlike ones in both orders of n and n'.
        n_degrees, n = self._l_max + 1, self._n_max
        upper = np.triu_indices(n)
        total = np.zeros((len(values), len(weights), n_degrees, len(upper[0])))
        start = 0
        for i, j in combinations_with_replacement(range(weights.shape[1]), 2):
            size = n_degrees * (len(upper[0]) if i == j else n * n)
            part = values[:, start : start + size].reshape(len(values), n_degrees, -1)
            start += size
            if i != j:
                both = part.reshape(len(values), n_degrees, n, n)
                part = (both + both.swapaxes(2, 3))[:, :, upper[0], upper[1]]
            total += (weights[:, i] * weights[:, j])[:, None, None] * part[:, None]
        return total.reshape(len(values), -1)


class SymmetryFunctions(_Surroundings):
    r"""Behler's atom-centred symmetry functions: sums over the neighbours of each atom, and over pairs of them.

    With r the distances from atom i, θ the angle at it and f(r) = (1 + cos(π r / r_cut)) / 2,

    - G1 = Σ_j f(r_ij);
    - G2 = Σ_j exp(-η (r_ij - R_s)²) f(r_ij);
    - G4 = 2^(1-ζ) Σ_{j<k} (1 + λ cos θ_jik)^ζ exp(-η (r_ij² + r_ik² + r_jk²)) f(r_ij) f(r_ik) f(r_jk).

    Elements are told apart in one of two ways:

    - by default, through ``weights``: each neighbour counts by a property of its element, each pair by the product of
      both, and every property has columns of its own (weighted symmetry functions, Gastegger et al. 2018). Their number
      is the same for any elements;
    - with ``species``, each of them has columns in G1 and G2 and each pair in G4, and no other element may occur.

    The element of the central atom itself does not enter.

    Parameters
    ----------
    species
        Element symbols, in any order; None counts atoms by weights.
    weights
        Properties to count atoms by, of `WEIGHTS`, each relative to the largest value of all elements.
    r_cut
        Cutoff, Å.
    g2
        Pairs (η in Å^-2, R_s in Å); by default eight shells from 1 Å to the cutoff.
    g4
        Triples (η in Å^-2, ζ, λ), ζ a whole number and λ 1 or -1; by default η = 0.01 with ζ = 1, 2, 4, 16.
        An empty list leaves angles out, which are most of the time.
    scaled
        Look at every crystal at 20 Å^3 per atom: see `SmoothOverlap`.
    pool
        How the atoms' numbers become the crystal's: any of mean, std, min, max.

    Notes
    -----
    The columns of a weight are NaN in a crystal with an element that has no such property.

    Mirror images have the same functions. The means of G1 and G2 alone hold nothing but the distances in the crystal,
    which unlike crystals may share (homometric ones).

    Raises
    ------
    UserError
        An option has a value it cannot take.

    References
    ----------
    Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717.
    Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667.
    Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), doi:10.1016/j.cpc.2019.106949.
    """

    citations = (BEHLER_CITATION, GASTEGGER_CITATION, HIMANEN_CITATION, LAAKSO_CITATION, MAGPIE_CITATION)

    def __init__(
        self,
        *,
        species: Sequence[str] | None = None,
        weights: Sequence[str] | None = None,
        r_cut: float = 5.0,
        g2: Sequence[Sequence[float]] | None = None,
        g4: Sequence[Sequence[float]] | None = None,
        scaled: bool = True,
        pool: Sequence[str] = ("mean", "std"),
    ) -> None:
        super().__init__(species, weights, r_cut, pool, scaled=scaled)
        self._g2 = _default_g2(self._r_cut) if g2 is None else checked_rows("g2", g2, 2)
        self._g4 = _DEFAULT_G4 if g4 is None else checked_rows("g4", g4, 3)
        if any(zeta < 1 or zeta % 1 or abs(lambda_) != 1 for _, zeta, lambda_ in self._g4):
            # dscribe takes (1 + λ cos θ) to the power ζ, which rounding may make negative for atoms in a line
            raise UserError(f"g4: ζ must be a whole number and λ 1 or -1, got {self._g4}")
        radial = ["G1", *(f"G2 eta={eta:.4g} Rs={shift:.4g}" for eta, shift in self._g2)]
        angular = [f"G4 eta={eta:.4g} zeta={zeta:g} lambda={lambda_:g}" for eta, zeta, lambda_ in self._g4]
        if len({*radial, *angular}) < len(radial) + len(angular):
            raise UserError("g2, g4: each function once, to four digits")
        if self._species is None:
            columns = [f"{name} {function}" for name in self._weights for function in (*radial, *angular)]
        else:
            elements = [symbols()[z] for z in self._species]
            pairs = [f"{elements[j]}-{first}" for i, first in enumerate(elements) for j in range(i + 1)]
            columns = [f"{element} {function}" for element in elements for function in radial]
            columns += [f"{pair} {function}" for pair in pairs for function in angular]
        self._name("acsf", columns, "")

    def _refuse(self, crystal: Crystal) -> None:
        super()._refuse(crystal)
        refuse_large(crystal, self._r_cut)
        neighbours = np.bincount(neighbours_within(crystal, self._r_cut)[0], minlength=len(crystal))
        triples = int((neighbours**2).sum())
        if self._g4 and triples > _MOST_TRIPLES:
            raise UserError(f"{triples} pairs of neighbours, more than {_MOST_TRIPLES}: take a smaller r_cut")

    def _of_sites(self, atoms: Atoms, sites: range, n_species: int) -> NDArray[np.float64]:
        return symmetry_functions(self._r_cut, self._g2, self._g4, n_species, atoms, sites)

    def _weighted(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        n_species = weights.shape[1]
        first, second = np.tril_indices(n_species)  # as dscribe numbers pairs
        radial, angular = np.split(values, [n_species * (1 + len(self._g2))], axis=1)
        radial = radial.reshape(len(values), n_species, -1)
        angular = angular.reshape(len(values), len(first), len(self._g4))
        # einsum without BLAS, whose last digits depend on the number of threads
        sums = np.einsum("wk,skf->swf", weights, radial)
        pairs = np.einsum("wp,spf->swf", weights[:, first] * weights[:, second], angular)
        return np.concatenate([sums, pairs], axis=2).reshape(len(values), -1)


_DEFAULT_G4 = tuple((0.01, float(zeta), float(sign)) for zeta in (1, 2, 4, 16) for sign in (1, -1))


def _default_g2(r_cut: float) -> tuple[tuple[float, ...], ...]:
    """Eight shells, each as wide as it is far from the next."""
    spacing = (r_cut - 1) / 8
    return tuple((1 / (2 * spacing**2), 1 + i * spacing) for i in range(8))


@cache
def _relative(weight: str) -> NDArray[np.float64]:
    """Weights of elements by atomic number, shape (119,): 1 at most, NaN where the property is unknown."""
    if weight == "one":
        return np.ones(N_ELEMENTS)
    values = site_table().column(weight)
    relative: NDArray[np.float64] = values / np.nanmax(values)
    return relative
