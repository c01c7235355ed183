"""Volumes of candidates from their elements alone, by data-mined bond lengths.

The cell is as small as the bond that is shortest against its expected length allows, as in pymatgen's
`DLSVolumePredictor`: an element's bond radius is r + k s, where s is the standard deviation of the electronegativities
in the crystal, and r and k come from pymatgen's table.

That table knows one length per pair of elements, however many neighbours there are: it makes octahedra too small
(SrTiO3 by 17 %, NaCl by 21 %). So the expected length here grows with the logarithm of the coordination numbers, as
bond lengths do at constant valence (Brown and Altermatt, Acta Cryst. B 41, 244 (1985), doi:10.1107/S0108768185002063).

A prototype's distances and coordination numbers are found once; then a million candidates take about a second.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers, electronegativities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

#: Elements without a radius in Slater's table take that of the element above them in their group; actinides after
#: americium take that of americium.
_RADIUS_OF = {"At": "I", "Fr": "Cs"} | dict.fromkeys(("Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr"), "Am")
_RADIUS_OF |= dict(
    zip(
        ("Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"),
        ("Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "I", "Rn"),
        strict=True,
    )
)

#: Rare gases form no bonds: half the distance of neighbours in their crystals is the van der Waals radius.
_RARE_GASES = ("He", "Ne", "Ar", "Kr", "Xe", "Rn")

#: Expected length = LENGTH_SCALE times the sum of bond radii + COORDINATION_SLOPE Å times ln(n_ij n_ji), where n_ij is
#: the effective number of neighbours j around i. Fitted by benchmarks/volumes.py to the 1,265 relaxed crystals of the
#: phonon set in Matbench (Petretto et al., Sci. Data 5, 180065 (2018), doi:10.1038/sdata.2018.65): mean error of the
#: volume 8.4 % in fivefold cross-validation, 10.2 % without the correction.
LENGTH_SCALE = 0.925
COORDINATION_SLOPE = 0.093

_CHUNK = 1 << 17


class BondRadii(NamedTuple):
    """By atomic number, shape (119,) each: r and k of the bond radius in Å (NaN where unknown), atomic radius in Å."""

    r: NDArray[np.float64]
    k: NDArray[np.float64]
    atomic: NDArray[np.float64]


@cache
def bond_radii() -> BondRadii:
    """Bond parameters of pymatgen's table, and atomic radii for the elements that are not in it."""
    from pymatgen.core.periodic_table import Element
    from pymatgen.core.structure_prediction.volume_predictor import bond_params

    r, k, atomic = (np.full(N_ELEMENTS, np.nan) for _ in range(3))
    for symbol, number in atomic_numbers().items():
        element = Element(symbol)
        if symbol in bond_params and symbol != "Ar":  # whose row holds -1.7e11 Å
            r[number], k[number] = (float(bond_params[symbol][key]) for key in ("r", "k"))
        if symbol in _RARE_GASES:
            atomic[number] = element.van_der_waals_radius
        elif element.atomic_radius:
            atomic[number] = element.atomic_radius
    for symbol, other in _RADIUS_OF.items():
        atomic[atomic_numbers()[symbol]] = atomic[atomic_numbers()[other]]
    return BondRadii(r, k, atomic)


def predict_volumes(
    prototype: Prototype, decoration: NDArray[np.uint8], *, coordination: bool = True
) -> NDArray[np.float64]:
    """Predict the volumes of decorations of one prototype.

    A pair of which one element is not in the table of bond radii takes the atomic radii of both, as in pymatgen. Beyond
    pymatgen: elements without an atomic radius take a neighbour's, rare gases the van der Waals radius, and elements
    without an electronegativity take no part in its standard deviation; so every decoration has a volume.

    Parameters
    ----------
    prototype
        The prototype.
    decoration
        Atomic numbers by role, shape (n, n_roles).
    coordination
        Let bond lengths grow with the number of neighbours. Without it, the volumes are those of `DLSVolumePredictor`
        with its limits on the change of volume off: they refer to a cell that a candidate does not have.

    Returns
    -------
    Å³/atom, shape (n,).

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> (5 * predict_volumes(get_prototype("cubic-perovskite"), np.array([[38, 22, 8]]))).round(1).item()  # SrTiO3
    57.4
    """
    scale, slope = (LENGTH_SCALE, COORDINATION_SLOPE) if coordination else (1.0, 0.0)
    volumes = np.empty(len(decoration))
    for start in range(0, len(decoration), _CHUNK):
        part = slice(start, start + _CHUNK)
        terms = pair_terms(prototype, decoration[part])
        sizes = (scale * terms.bond + slope * terms.log_coordination) / terms.distance
        volumes[part] = sizes.max(axis=1) ** 3
    return volumes


class PairTerms(NamedTuple):
    """What a candidate's volume follows from, by pair of roles.

    Parameters
    ----------
    bond
        Sum of the bond radii of the two elements in Å, shape (n, n_pairs).
    log_coordination
        ln(n_ij n_ji), shape (n_pairs,).
    distance
        Shortest distance of the pair at the volume 1 per atom, shape (n_pairs,).
    """

    bond: NDArray[np.float64]
    log_coordination: NDArray[np.float64]
    distance: NDArray[np.float64]


def pair_terms(prototype: Prototype, decoration: NDArray[np.uint8]) -> PairTerms:
    """Return the expected bonds of decorations of one prototype, shape of `decoration` (n, n_roles)."""
    first, second = np.triu_indices(len(prototype.roles))
    radii = bond_radii()
    spread = _electronegativity_spread(decoration, prototype.multiplicity)[:, None]
    of_role = radii.r[decoration] + radii.k[decoration] * spread
    bond = of_role[:, first] + of_role[:, second]
    atomic = radii.atomic[decoration]
    np.copyto(bond, atomic[:, first] + atomic[:, second], where=np.isnan(bond))
    around = prototype.coordination
    # below 1 on average only some sites have such a neighbour, and those are as near to it as in a pair
    log_coordination = np.log(np.maximum(around * around.T, 1.0))
    return PairTerms(bond, log_coordination[first, second], prototype.shortest_distances[first, second])


def _electronegativity_spread(decoration: NDArray[np.uint8], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Spread (standard deviation) of the sites' electronegativities, shape (n,); 0 where none is known."""
    values = electronegativities()[decoration]
    known = ~np.isnan(values)
    values = np.where(known, values, 0.0)
    weight = known * weights
    total = np.maximum(weight.sum(axis=1), 1)
    mean = (values * weight).sum(axis=1) / total
    variance = (weight * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return np.asarray(np.sqrt(variance))
