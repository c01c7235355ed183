"""How nearly the charges of a composition balance, and how much its cations are asked to give."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS, electronegativities
from matscout.featurizers.amounts import row_sums
from matscout.featurizers.base import ELEMENT_DATA, MAGPIE_DATA
from matscout.featurizers.elements import MAGPIE_CITATION, PYMATGEN_CITATION, mean_for_unknown, site_table
from matscout.featurizers.encodings import BLOCK_ROWS, Encoding
from matscout.featurizers.ions import common_states
from matscout.featurizers.ordered_elements import by_electronegativity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.elements import Missing
    from matscout.featurizers.encodings import Out

    Numbers = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Counts = NDArray[np.intp]

SMACT_CITATION = (
    "Davies et al., Computational screening of all stoichiometric inorganic materials, Chem 1, 617 (2016), "
    "doi:10.1016/j.chempr.2016.09.010"
)

_NEUTRAL = 1e-3  # e/atom: amounts in a formula are often rounded to three digits
_SAME = 1e-9  # e/atom: two sums that differ by rounding
_MOST_ASSIGNMENTS = 10
_MOST_COMBINATIONS = 1024  # of oxidation states, of one composition, that are all written out
_COMBINATIONS_AT_ONCE = 1 << 17  # of many compositions

# Who takes charge: silicon (1.90) does in Mg2Si. Sulfur does not in SrSO4, 0.86 below oxygen; chlorine does in BiOCl.
_LEAST_OF_ANIONS = 1.9
_BELOW_HIGHEST = 0.6


class ChargeBalance(Encoding):
    """Whether and how nearly common oxidation states balance, and what the anions ask of the cations.

    The states are pymatgen's, as for `IonicCharacter`; an element without a common state, such as argon, has 0. Anions
    are the elements with a common negative state and an electronegativity of at least 1.9 that lies at most 0.6 below
    the highest one of the composition. Where that holds of all elements, only the most electronegative is an anion.
    Neither an element alone nor an alloy of metals has an anion.

    Columns:

    residual_charge
        Smallest absolute sum of charges over all choices of one common state for each element; 0 for an element alone.
    mean_absolute_charge
        Mean over the atoms of the absolute charge in this choice, the smallest one of equally good choices.
    neutral_assignments
        How many choices add up to less than 0.001 e/atom, 10 at most; 1 for an element alone.
    charge_per_cation
        What each cation must give on average when all anions are in their lowest common state; 0 without anions.
    largest_common_over_charge, largest_known_over_charge, smallest_common_over_charge
        By how much the cations' mean largest common state, largest state known at all, and smallest positive common
        state (0 for an element that has none) lie above that charge. An ordinary compound has at least 0, at least 0
        and at most 0.
    cation_fraction
        Atomic fraction of all that is no anion.
    radius_ratio
        Mean covalent radius of the cations over that of the anions; 1 without anions.

    Where a composition has more than 1,024 choices, the scarcest elements are held at their common state that is
    nearest to 0, the positive one of two, as many of them as need be.

    Parameters
    ----------
    missing
        What an element without an electronegativity or radius gets: the mean, or NaN in all columns that need it.
    """

    citations = (SMACT_CITATION, PYMATGEN_CITATION, MAGPIE_CITATION)
    software = (*ELEMENT_DATA, *MAGPIE_DATA)

    def __init__(self, missing: Missing = "mean") -> None:
        columns = {
            "residual_charge": "e/atom",
            "mean_absolute_charge": "e/atom",
            "neutral_assignments": "",
            "charge_per_cation": "e",
            "largest_common_over_charge": "e",
            "largest_known_over_charge": "e",
            "smallest_common_over_charge": "e",
            "cation_fraction": "",
            "radius_ratio": "",
        }
        self.names = tuple(columns)
        self.units = tuple(columns.values())
        electronegativity, radius = electronegativities(), site_table().column("covalent_radius")
        if missing == "mean":
            electronegativity, radius = mean_for_unknown(electronegativity), mean_for_unknown(radius)
        self._electronegativity, self._radius = electronegativity, radius

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write the columns as the class describes them."""
        for rows, elements, values in amounts.blocks(BLOCK_ROWS):
            ordered, fractions = by_electronegativity(elements, values)
            block = np.empty((len(ordered), len(self.names)))
            block[:, :3] = _assigned(ordered, fractions)
            block[:, 3:] = self._asked_for(ordered, fractions)
            out[rows] = block

    def _asked_for(self, elements: Numbers, fractions: Floats) -> Floats:
        """Return the columns that follow from who is an anion, shape (m, 6); elements stand in order."""
        states = _extreme_states()
        electronegativity = self._electronegativity[elements]
        is_anion = _anions(electronegativity, states.lowest[elements])
        anions, cations = np.where(is_anion, fractions, 0), np.where(is_anion, 0, fractions)
        of_anions, of_cations = row_sums(anions), row_sums(cations)
        charge = np.abs(row_sums(states.lowest[elements] * anions)) / of_cations
        over = [
            row_sums(state[elements] * cations) / of_cations - charge
            for state in (states.largest, states.largest_known, states.smallest_positive)
        ]
        radius = self._radius[elements]
        divisor = np.where(of_anions > 0, row_sums(radius * anions) * of_cations, 1)
        ratio = np.where(of_anions > 0, row_sums(radius * cations) * of_anions / divisor, 1)
        block = np.stack([charge, *over, of_cations, ratio], axis=1)
        block[np.isnan(electronegativity).any(axis=1)] = np.nan  # nobody knows then who the anions are
        return block


def _anions(electronegativity: Floats, lowest: Floats) -> NDArray[np.bool_]:
    """Which elements take charge, shape (m, k); they stand in the order of electronegativity."""
    highest = electronegativity[:, -1:]
    is_anion = (lowest < 0) & (electronegativity >= np.maximum(_LEAST_OF_ANIONS, highest - _BELOW_HIGHEST))
    everything = is_anion.all(axis=1)
    is_anion[everything] = False
    is_anion[everything, -1] = electronegativity.shape[1] > 1
    return is_anion


def _assigned(elements: Numbers, fractions: Floats) -> Floats:
    """Residual charge, mean absolute charge and number of neutral assignments, shape (m, 3)."""
    if elements.shape[1] == 1:
        return np.repeat([[0.0, 0.0, 1.0]], len(elements), axis=0)
    counts = _limited(_states_by_size()[1][elements], fractions)
    result = np.empty((len(elements), 3))
    for rows in _parts(counts.prod(axis=1)):
        result[rows] = _tried(elements[rows], fractions[rows], counts[rows])
    return result


def _limited(counts: Counts, fractions: Floats) -> Counts:
    """Numbers of states to try, shape (m, k): those of the scarcest elements 1 where the product would be too large."""
    if counts.shape[1] * np.log(counts.max(initial=1)) <= np.log(_MOST_COMBINATIONS):
        return counts
    by_share = np.argsort(-fractions.round(9), axis=1, kind="stable")
    products = np.cumprod(np.take_along_axis(counts, by_share, axis=1), axis=1, dtype=float)
    limited = counts.copy()
    np.put_along_axis(
        limited,
        by_share,
        np.where(products > _MOST_COMBINATIONS, 1, np.take_along_axis(counts, by_share, axis=1)),
        axis=1,
    )
    return limited


def _parts(combinations: Counts) -> Iterator[slice]:
    """Rows that follow each other and together have so few combinations that memory holds them."""
    part = np.cumsum(combinations) // _COMBINATIONS_AT_ONCE
    starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(combinations)], strict=True):
        yield slice(start, end)


def _tried(elements: Numbers, fractions: Floats, counts: Counts) -> Floats:
    """Write out all choices of states of each row, and return what `_assigned` does."""
    states = _states_by_size()[0]
    m = len(elements)
    rows, charges, sizes = np.arange(m), np.zeros(m), np.zeros(m)  # of each choice for the first elements
    for element, fraction, count in zip(elements.T, fractions.T, counts.T, strict=True):
        repeats = count[rows]
        first = np.repeat(np.cumsum(repeats) - repeats, repeats)
        rows, charges, sizes = np.repeat(rows, repeats), np.repeat(charges, repeats), np.repeat(sizes, repeats)
        given = states[element[rows], np.arange(len(rows)) - first] * fraction[rows]
        charges += given
        sizes += np.abs(given)
    starts = np.searchsorted(rows, np.arange(m))
    residuals = np.abs(charges)
    smallest = np.minimum.reduceat(residuals, starts)
    sizes[residuals > smallest[rows] + _SAME] = np.inf
    neutral = np.add.reduceat(residuals < _NEUTRAL, starts, dtype=np.intp)
    smallest[smallest < _SAME] = 0
    return np.stack([smallest, np.minimum.reduceat(sizes, starts), np.minimum(neutral, _MOST_ASSIGNMENTS)], axis=1)


@cache
def _states_by_size() -> tuple[Floats, Counts]:
    """Return common states by atomic number, nearest to 0 first, + before -, and how many to try: 0 where none is."""
    states, counts = common_states()
    by_size = np.zeros_like(states)
    for z, count in enumerate(counts.tolist()):
        by_size[z, :count] = sorted(states[z, :count].tolist(), key=lambda state: (abs(state), -state))
    return by_size, np.maximum(counts, 1).astype(np.intp)


class _Extremes(NamedTuple):
    """Oxidation states by atomic number, shape (119,) each; 0 where an element has none."""

    lowest: Floats
    largest: Floats
    smallest_positive: Floats
    largest_known: Floats


@cache
def _extreme_states() -> _Extremes:
    from pymatgen.core.periodic_table import Element

    columns = np.zeros((4, N_ELEMENTS))
    for z in range(1, N_ELEMENTS):
        common = Element.from_Z(z).common_oxidation_states
        positive = [state for state in common if state > 0]
        known = Element.from_Z(z).oxidation_states
        columns[:, z] = (
            min(common, default=0),
            max(common, default=0),
            min(positive, default=0),
            max(known, default=0),
        )
    return _Extremes(*columns)
