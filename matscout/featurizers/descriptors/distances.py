"""Distances between the atoms of a crystal: how many atoms, and which, stand how far from one another."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.base import MAGPIE_DATA, Descriptor
from matscout.featurizers.descriptors._options import checked_number, checked_whole
from matscout.featurizers.descriptors._surroundings import compact, neighbours_within
from matscout.featurizers.elements import MAGPIE_CITATION, site_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

BHATIA_THORNTON_CITATION = (
    "Bhatia, Thornton, Structural aspects of the electrical resistivity of binary alloys, Phys. Rev. B 2, 3004 (1970), "
    "doi:10.1103/PhysRevB.2.3004"
)
WILLIGHAGEN_CITATION = (
    "Willighagen, Wehrens, Verwer, de Gelder, Buydens, Method for the computational comparison of crystal structures, "
    "Acta Cryst. B 61, 29 (2005), doi:10.1107/S0108768104028344"
)

_DEFAULT_RANGE = {True: (4.0, 0.2), False: (10.0, 0.5)}  # r_max and width, by `scaled`
_SMOOTHEST = 5
_LARGEST_RANGE = 100.0
_MOST_BINS = 10_000
_MOST_PAIRS = 5_000_000  # of one crystal, for the sake of memory


class RadialDistribution(Descriptor):
    """Radial distribution functions of atoms, and of their electronegativities, in bins of one width.

    Three functions of the distance r, all means over the atoms of the crystal:

    - ``rdf``: the density of other atoms at r over the mean density of atoms, so that 1 is "as if placed anywhere";
    - ``electronegativity rdf``: the same, each pair of atoms i and j weighted by (d_i + d_j) / 2;
    - ``electronegativity pair rdf``: each pair weighted by d_i d_j,

    d being an atom's electronegativity less the crystal's mean. They are the number-number, number-concentration and
    concentration-concentration functions of Bhatia and Thornton (1970), a property in the place of the concentration,
    so that any elements have the same columns. The third is negative where atoms of unlike electronegativity are
    neighbours; with charges in the place of d it is the function of Willighagen et al. (2005), without their 1/r.

    The columns are three times ``r_max / width``. Each is named by the ends of its bin.

    Parameters
    ----------
    scaled
        Measure distances in units of the cube root of the volume per atom. Then a crystal that is only blown up has
        the same features: a candidate stands at a predicted volume, whose error would else move every shell of
        neighbours, and the volume itself is a feature of "geometry". Else in Å.
    r_max
        Distance up to which bins reach; 4 by default, or 10 Å if not `scaled`.
    width
        Width of a bin; `r_max` is a whole multiple of it. By default 0.2, or 0.5 Å.
    smoothness
        How a pair is divided among bins: by a cardinal B-spline of this degree, 0 to 5, centred at the middle of
        each bin. 0 are plain bins, as in a histogram; with 1 the features are continuous as atoms move, with 2, the
        default, their slopes too. The shares of a pair sum to 1.

    Notes
    -----
    With ``smoothness=0`` and ``scaled=False``, ``rdf`` is matminer's ``RadialDistributionFunction`` over the number of
    sites, by which matminer does not divide: there a supercell has another function than its cell.

    Without an electronegativity of one of its elements (He, Ne, Ar, Rn, and those beyond No), a crystal's last two
    functions are NaN. Crystals with equal distances cannot be told apart (homometric ones); by ``rdf`` alone, neither
    can crystals whose elements are exchanged.

    Raises
    ------
    UserError
        An option has a value it cannot take.
    """

    version = 1
    software = MAGPIE_DATA
    citations = (BHATIA_THORNTON_CITATION, WILLIGHAGEN_CITATION, MAGPIE_CITATION)

    def __init__(
        self, *, scaled: bool = True, r_max: float | None = None, width: float | None = None, smoothness: int = 2
    ) -> None:
        if not isinstance(scaled, bool):
            raise UserError(f"scaled must be true or false, got {scaled!r}")
        default_r_max, default_width = _DEFAULT_RANGE[scaled]
        self._scaled = scaled
        self._smoothness = checked_whole("smoothness", smoothness, least=0, most=_SMOOTHEST)
        self._width = checked_number("width", default_width if width is None else width, above=0, most=_LARGEST_RANGE)
        self._n_bins = _number_of_bins(default_r_max if r_max is None else r_max, self._width)
        edges = [f"{self._width * i:.6g}" for i in range(self._n_bins + 1)]
        bins = [f"{low}-{high}" for low, high in pairwise(edges)]
        kinds = ("rdf", "electronegativity rdf", "electronegativity pair rdf")
        self.names = tuple(f"{kind} {bin_}{'' if scaled else ' Å'}" for kind in kinds for bin_ in bins)
        self.units = tuple(unit for unit in ("", "Pauling", "Pauling^2") for _ in bins)

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        volume_per_atom = crystal.volume / len(crystal)
        unit = self._width * (volume_per_atom ** (1 / 3) if self._scaled else 1.0)  # Å
        # A spline reaches smoothness / 2 bins beyond its own.
        radius = (self._n_bins + self._smoothness / 2) * unit
        _refuse_many(crystal, radius)
        centres, neighbours, distances = neighbours_within(compact(crystal), radius)
        deviation = site_table().column("electronegativity")[crystal.numbers]
        deviation = deviation - deviation.mean()
        # Each pair is there in both directions, so that d_i stands for the mean of d_i and d_j.
        weights = np.array([np.ones(len(distances)), deviation[centres], deviation[centres] * deviation[neighbours]])
        sums = _histograms(distances / unit, weights, self._n_bins, self._smoothness)
        ideal = len(crystal) * _shell_volumes(self._n_bins, self._smoothness) * unit**3 / volume_per_atom
        features = sums / ideal
        if not np.isfinite(deviation).all():  # also where there is no pair
            features[1:] = np.nan
        return features.ravel()


def _number_of_bins(r_max: float, width: float) -> int:
    checked_number("r_max", r_max, above=0, most=_LARGEST_RANGE)
    n_bins = round(r_max / width)
    if abs(n_bins * width - r_max) > 1e-9 * r_max:
        raise UserError(f"r_max must be a whole multiple of width, got {r_max:g} and {width:g}")
    if n_bins > _MOST_BINS:
        raise UserError(f"{n_bins} bins are too many: {_MOST_BINS} at most; r_max is {r_max:g}, width {width:g}")
    return n_bins


def _refuse_many(crystal: Crystal, radius: float) -> None:
    """Refuse a crystal with far too many pairs of atoms within `radius` (Å).

    Raises
    ------
    UserError
        There are more than fit into memory.
    """
    expected = len(crystal) ** 2 / crystal.volume * 4 / 3 * np.pi * radius**3
    if expected > _MOST_PAIRS:
        raise UserError(
            f"about {expected:.1e} pairs of atoms within r_max, more than {_MOST_PAIRS:.0e}; take a smaller r_max, "
            "or the primitive cell"
        )


def _histograms(
    distances: NDArray[np.float64], weights: NDArray[np.float64], n_bins: int, degree: int
) -> NDArray[np.float64]:
    """Sum weights by distance, each divided among `degree` + 1 bins.

    Parameters
    ----------
    distances
        In units of the width of a bin, shape (n,).
    weights
        Shape (n_kinds, n).

    Returns
    -------
    Shape (n_kinds, n_bins).
    """
    position = distances + degree / 2
    last = np.floor(position).astype(np.int64)
    shares = _spline_shares(position - last, degree)
    # Bins below the first and beyond the last collect what falls out of range.
    bins = np.clip(last - np.arange(degree + 1)[:, None], -1, n_bins) + 1
    sums = [np.bincount(bins.ravel(), (shares * weight).ravel(), minlength=n_bins + 2) for weight in weights]
    return np.array(sums, dtype=float)[:, 1 : n_bins + 1]


def _spline_shares(fraction: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Cardinal B-spline of a degree at fraction, fraction + 1, ..., fraction + degree; shape (degree + 1, n).

    References
    ----------
    Cox's and de Boor's recursion: de Boor, J. Approx. Theory 6, 50 (1972), doi:10.1016/0021-9045(72)90080-9.
    """
    shares = np.ones((1, len(fraction)))
    for k in range(1, degree + 1):
        at = fraction + np.arange(k + 1)[:, None]
        padded = np.zeros((k + 2, len(fraction)))
        padded[1:-1] = shares
        shares = (at * padded[1:] + (k + 1 - at) * padded[:-1]) / k
    return shares


def _shell_volumes(n_bins: int, degree: int) -> NDArray[np.float64]:
    """Count what a uniform density of 1 puts into each bin, distances in units of the width; shape (n_bins,).

    The mean of r² under a spline centred at c is c² + (degree + 1) / 12: for degree 0 the volume of the shell.
    """
    middles = np.arange(n_bins, dtype=np.float64) + 0.5
    volumes: NDArray[np.float64] = 4 * np.pi * (middles**2 + (degree + 1) / 12)
    return volumes
