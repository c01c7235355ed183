"""Volumes of candidates from their elements and their prototype's shape alone, without a calculation.

The volume v per atom balances what all pairs of atoms take up,

    v^(8/3) = sum over pairs of roles i, j of S_ij L_ij^8,

where S_ij is the sum of d^-8 over the pairs of atoms of the two roles, per atom, in a cell of the volume 1 per atom (so
that one short bond counts as it would in a fit of bond lengths, and many neighbours make bonds longer), and L_ij is the
length that the two elements want:

    L_ij = r_i + r_j + (k_i - k_j) (e_j - e_i) + h_i f(m - e_i) + h_j f(m - e_j),   f(x) = s tanh(x / s), s = 0.7.

r is an element's radius, e its electronegativity, m the mean of e over the crystal's atoms; k and h say how the radius
changes with the partner's electronegativity and with the crystal's, the latter up to a limit: a metal is larger among
its own than as a cation, and a cation the same in a chloride and in a fluoride but for its partner. The sum does not
ask how sites are grouped: a role that is split into two of the same element changes nothing.

The parameters, four numbers for each element, stand in volume_parameters.toml and were fitted by benchmarks/volumes.py,
which prints all figures, to relaxed crystals at their own shape and the volume 1 per atom, one role per element:

- the 1,265 crystals of the phonon set in Matbench (PBEsol; Petretto et al., Sci. Data 5, 180065 (2018),
  doi:10.1038/sdata.2018.65);
- 3,787 perovskites (RPBE; Castelli et al., Energy Environ. Sci. 5, 9034 (2012), doi:10.1039/c2ee22341d), each at its
  own shape and as a decoration of the cubic perovskite;
- the elements that are fcc, bcc, hcp, simple cubic or diamond, at their measured volumes (the table of ASE).

Where these say little, an element follows its neighbours in the periodic table and a prior: radii in proportion to the
single-bond radii of Pyykkö and Atsumi (Chem. Eur. J. 15, 186 (2009), doi:10.1002/chem.200800987), Pauling's
electronegativities.

Mean absolute errors of the volume, held out in five folds that never part a chemical system, both sets in one fit:
5.5 % on the phonon set, 5.1 % on the perovskites, 6.2 % on them as cubic ones; pymatgen's `DLSVolumePredictor` has 10.2
and 14.8 % on the first two. The eighth power, s, the weights of the sets and the 8 % below were chosen with such errors
in sight, the parameters not. On 943 Fe-Li-O-P entries of the Materials Project, which were never fitted, it is 6.7 %.

The fit takes RPBE to make crystals 8 % larger than PBEsol does, and a volume predicted here lies in the middle: as a
rule above experiment. benchmarks/volumes.py compares it with measured cells: NaCl, MgO, CsCl and their like come out 10
to 18 % too large, EuO 34 %, high-spin MnO and FeO 9 to 20 % too small. A relaxation that starts there arrives all the
same; a static calculation at such a volume is off by tens of meV/atom.
"""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.db.prototypes import Prototype

    Floats = NDArray[np.float64]

#: Lengths below this (Å) are not credible for any pair of elements; the shortest fitted one is that of H and H.
SHORTEST = 0.5

#: s, in units of electronegativity: how far a crystal's mean electronegativity changes a radius in proportion.
SATURATION = 0.7

#: A prediction stays between these multiples of the sum of the elements' average volumes. Real crystals of the sets
#: named above lie between 0.69 and 1.64 (99.8 % of them); molecular prototypes filled with metals would go far beyond.
BOUNDS = (0.5, 2.5)

#: Pairs farther apart than this, in units of the cube root of the volume per atom, count as evenly spread.
_CUTOFF = 3.2

_CHUNK = 1 << 13
_BLOCK = 1 << 20


class VolumeParameters(NamedTuple):
    """Parameters of the elements by atomic number, shape (119,) each; place 0 stands for "no element".

    Parameters
    ----------
    radius
        r, Å.
    pair_slope
        k, Å per unit of electronegativity.
    electronegativity
        e, on Pauling's scale where the data leave it there.
    crystal_slope
        h, Å per unit of electronegativity.
    average_volume
        Å³/atom: what an atom of the element adds to a crystal's volume on average; only for the bounds.
    """

    radius: Floats
    pair_slope: Floats
    electronegativity: Floats
    crystal_slope: Floats
    average_volume: Floats


@cache
def volume_parameters() -> VolumeParameters:
    """Read the fitted parameters."""
    with Path(__file__).with_name("volume_parameters.toml").open("rb") as file:
        rows = list(tomllib.load(file)["elements"].values())
    table = np.zeros((N_ELEMENTS, len(VolumeParameters._fields)))
    table[1:] = rows
    table.flags.writeable = False
    return VolumeParameters(*table.T)


def predict_volumes(
    prototype: Prototype, decoration: NDArray[np.uint8], *, parameters: VolumeParameters | None = None
) -> Floats:
    """Predict the volumes of decorations of one prototype.

    Parameters
    ----------
    prototype
        The prototype; only its shape counts, not its size.
    decoration
        Atomic numbers by role, shape (n, n_roles); an element may fill several roles.
    parameters
        Other parameters than the fitted ones.

    Returns
    -------
    Å³/atom, shape (n,): finite for all elements from H to Og, and within `BOUNDS` times the sum of the elements'
    average volumes.

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> (5 * predict_volumes(get_prototype("cubic-perovskite"), np.array([[38, 22, 8]]))).round(1).item()  # SrTiO3
    63.1
    """
    used = parameters or volume_parameters()
    sums, fractions = pair_sums(prototype), prototype.multiplicity / prototype.n_sites
    pair_length = _pair_lengths(used)
    elements = np.ascontiguousarray(np.asarray(decoration).T, dtype=np.intp)
    volumes = np.empty(elements.shape[1])
    for start in range(0, len(volumes), _CHUNK):
        part = slice(start, start + _CHUNK)
        volumes[part] = _volumes(elements[:, part], sums, fractions, used, pair_length)
    return volumes


def predict_volume(crystal: Crystal, *, parameters: VolumeParameters | None = None) -> float:
    """Predict the volume of a crystal from its elements and its shape; its own volume does not count.

    Parameters
    ----------
    crystal
        Any crystal. Its elements are taken as the roles of a prototype; how sites are grouped changes nothing.
    parameters
        Other parameters than the fitted ones.

    Returns
    -------
    Å³/atom: what `predict_volumes` returns for the prototype of this shape.

    Raises
    ------
    UserError
        The cell is so skew that it cannot be reduced.

    Examples
    --------
    >>> from matscout.crystals.crystal import Crystal
    >>> sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    >>> round(5 * predict_volume(Crystal(np.eye(3), sites, np.array([38, 22, 8, 8, 8]))), 1)  # SrTiO3
    63.1
    """
    from matscout.db._symmetry import spglib_call

    used = parameters or volume_parameters()
    present, role_of_site = np.unique(crystal.numbers, return_inverse=True)
    # a skew cell could have more images within reach than memory holds
    lattice = crystal.lattice * (len(crystal) / crystal.volume) ** (1 / 3)
    reduced = spglib_call("delaunay_reduce", lattice)
    if reduced is None:
        raise UserError("the cell is too skew: no basis of short vectors is found")
    sums = _sums(reduced, crystal.frac_coords @ lattice @ np.linalg.inv(reduced), role_of_site)
    fractions = np.bincount(role_of_site) / len(crystal)
    return float(_volumes(present[:, None], sums, fractions, used, _pair_lengths(used))[0])


def _volumes(
    elements: NDArray[np.intp], sums: Floats, fractions: Floats, parameters: VolumeParameters, pair_length: Floats
) -> Floats:
    """Volumes of decorations, shape (n_roles, n): role by role, so that no row's rounding depends on the others."""
    mean = np.zeros(elements.shape[1])
    average = np.zeros(elements.shape[1])
    for fraction, element in zip(fractions, elements, strict=True):
        mean += fraction * parameters.electronegativity[element]
        average += fraction * parameters.average_volume[element]
    grown = [
        parameters.crystal_slope[element]
        * SATURATION
        * np.tanh((mean - parameters.electronegativity[element]) / SATURATION)
        for element in elements
    ]
    total = np.zeros(elements.shape[1])
    for i, first in enumerate(elements):
        row = first * N_ELEMENTS
        for j in range(i, len(elements)):
            length = pair_length[row + elements[j]]
            length += grown[i]
            length += grown[j]
            np.maximum(length, SHORTEST, out=length)
            for _ in range(3):  # the eighth power
                length *= length
            length *= sums[i, j] if i == j else 2 * sums[i, j]
            total += length
    size = np.sqrt(np.sqrt(np.sqrt(total)))
    return np.asarray(np.clip(size**3, BOUNDS[0] * average, BOUNDS[1] * average))


def _pair_lengths(parameters: VolumeParameters) -> Floats:
    """Lengths of all pairs of elements without what the crystal adds to them, in Å, shape (119 * 119,)."""
    radius, slope, e = parameters.radius, parameters.pair_slope, parameters.electronegativity
    lengths = radius[:, None] + radius + (slope[:, None] - slope) * (e - e[:, None])
    return np.asarray(lengths.ravel())


@lru_cache(maxsize=512)
def pair_sums(prototype: Prototype) -> Floats:
    """Add up d^-8 over the pairs of atoms of two roles.

    Returns
    -------
    Per atom of the crystal, for a cell of the volume 1 per atom; symmetric, shape (n_roles, n_roles). Each pair counts
    once from either end. Beyond a distance of 3.2 the atoms count as evenly spread.
    """
    sums = _sums(prototype.lattice, prototype.frac_coords, prototype.role_of_site)
    sums.flags.writeable = False
    return sums


def _sums(lattice: Floats, frac_coords: Floats, role_of_site: NDArray[np.int64]) -> Floats:
    """See `pair_sums`; every role has sites."""
    n_sites = len(role_of_site)
    lattice = lattice * (n_sites / abs(np.linalg.det(lattice))) ** (1 / 3)
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    # site vectors are brought to within half a cell, so images reach half a cell farther
    images = [np.arange(-n, n + 1) for n in np.ceil(_CUTOFF / heights + 0.5).astype(int)]
    shifts = np.array(list(product(*images))) @ lattice
    by_site = np.zeros((n_sites, n_sites))
    block = max(1, _BLOCK // (len(shifts) * n_sites))
    for start in range(0, n_sites, block):
        sites = slice(start, start + block)
        delta = frac_coords[None] - frac_coords[sites, None]
        delta = (delta - np.round(delta)) @ lattice
        squared = sum((delta[..., axis, None] + shifts[:, axis]) ** 2 for axis in range(3))
        near = (squared > 1e-6) & (squared < _CUTOFF**2)  # not a site and itself
        by_site[sites] = np.divide(1.0, squared**4, out=np.zeros_like(squared), where=near).sum(axis=2)
    belongs = np.eye(int(role_of_site.max()) + 1)[role_of_site]
    fractions = np.bincount(role_of_site) / n_sites
    far = 4 * np.pi / (5 * _CUTOFF**5) * np.outer(fractions, fractions)
    return np.asarray(belongs.T @ by_site @ belongs / n_sites + far)
