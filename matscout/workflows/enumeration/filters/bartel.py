"""The tolerance factor tau of Bartel et al., with their choice of oxidation states."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers, electronegativities
from matscout.workflows.enumeration.filters._options import check_choice, check_number
from matscout.workflows.enumeration.filters.assignments import neutral_assignments
from matscout.workflows.enumeration.filters.oxidation import ChargeTable, charge_table, charges_of_roles
from matscout.workflows.enumeration.filters.perovskites import COORDINATION, Perovskite, perovskite_of
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype
from matscout.workflows.enumeration.filters.shannon import MAX_CHARGE, radii
from matscout.workflows.enumeration.filters.tolerance import positive_radii

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from matscout.db.candidates import CandidateTable
    from matscout.workflows.enumeration.filters.assignments import Assignments

#: Below this tau a compound is taken for a perovskite.
LIMIT = 4.18

#: Anions and their charges; cations that have one charge; cations that are 3+ in an oxide wherever they can be.
_ANIONS = {"N": -3, "O": -2, "S": -2, "Se": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1}
_ONE = ("H", "Li", "Na", "K", "Rb", "Cs", "Fr", "Ag")
_TWO = ("Be", "Mg", "Ca", "Sr", "Ba", "Ra")
_THREE = (
    *("Sc", "Y", "La", "Al", "Ga", "In"),
    *("Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu"),
)

#: Electronegativities closer than this ratio count as similar.
_SIMILAR = 0.9


def bartel_tau(r_a: ArrayLike, r_b: ArrayLike, r_x: ArrayLike, n_a: ArrayLike) -> NDArray[np.float64]:
    """Tolerance factor tau = r_X/r_B - n_A (n_A - (r_A/r_B) / ln(r_A/r_B)) of perovskites.

    Parameters
    ----------
    r_a, r_b, r_x
        Ionic radii in Å, shape (n,) or broadcastable; NaN where unknown.
    n_a
        Oxidation state of A.

    Returns
    -------
    Dimensionless, shape (n,); NaN where a radius is unknown or r_A is not larger than r_B, as A is by definition the
    larger cation.

    Raises
    ------
    ValueError
        A radius is zero or negative.

    References
    ----------
    Bartel et al., Science Advances 5, eaav0693 (2019), doi:10.1126/sciadv.aav0693.

    Examples
    --------
    >>> bartel_tau(1.44, 0.605, 1.40, 2).round(2).item()  # SrTiO3, Shannon radii
    3.8
    """
    a, b, x = positive_radii(A=r_a, B=r_b, X=r_x)
    charge = np.asarray(n_a, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = x / b - charge * (charge - a / b / np.log(a / b))
    return np.where(a > b, tau, np.nan)


@dataclass(frozen=True)
class BartelTau:
    """Keep perovskites whose tolerance factor tau is below a limit.

    Prototypes and radii are those of `Goldschmidt`: ABX3, A2BB'X6 and such with mixed roles, Shannon's radii with 12
    neighbours on A and 6 on B and X, averaged over the ions of a site; n_A is averaged alike. A candidate with
    r_A <= r_B is removed: the elements stand on each other's sites. Adds the column `bartel_tau`; NaN where it is
    unknown or r_A <= r_B.

    Oxidation states are chosen as in the authors' programs. X is N, O, S, Se or a halogen with its usual charge; alkali
    metals and Ag are 1+, alkaline earths 2+, and any other cation has a charge for which Shannon gives a radius. Of
    several neutral choices for ABX3, if X is O and a cation is of Sc, Y, La, Al, Ga, In or a lanthanoid behind Ce, both
    are 3+ if they can be; else the charges are as near to each other as can be where the smaller electronegativity is
    more than 0.9 of the larger, and as far apart as can be where it is not; of two such choices the less
    electronegative cation takes the larger charge. For A2BB'X6 and mixed roles those cations whose charge is not the
    same in all neutral choices are compared, with the most and the least electronegative of them in place of the two.
    Where the authors' programs stop without a choice the candidate is unknown, except that the electronegativities
    decide where a cation of the list above cannot be 3+.

    Parameters
    ----------
    limit
        tau must be less.
    unknown
        What happens to candidates without a neutral choice, without a radius, or with another X: `keep` or `drop`.

    References
    ----------
    Bartel et al., Science Advances 5, eaav0693 (2019), doi:10.1126/sciadv.aav0693; programs and tables at
    https://github.com/CJBartel/perovskite-stability.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Cs"], "B": ["Ba", "Cd"], "X": ["Cl"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [BartelTau()])
    >>> table.formulas, table.columns["bartel_tau"].round(2).tolist()
    (['CsCdCl3'], [3.8])
    """

    limit: float = LIMIT
    unknown: Literal["keep", "drop"] = "keep"
    name: str = field(default="bartel-tau", init=False)

    def __post_init__(self) -> None:
        check_number(self.name, "limit", self.limit)
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        tau = np.full(len(table), np.nan)
        unknown = np.ones(len(table), dtype=bool)
        for prototype, rows in parts_by_prototype(table):
            perovskite = perovskite_of(prototype, self.name)
            decoration = table.decoration[rows, : len(perovskite.amounts)]
            cations = charges_of_roles(prototype, _cation_states(), table.oxidation_states)
            anions = charges_of_roles(prototype, _anion_states(), table.oxidation_states)
            is_anion = np.isin(np.arange(len(perovskite.amounts)), perovskite.columns["X"])
            tables = [anions[role] if of_x else cations[role] for role, of_x in enumerate(is_anion)]
            choice = choose_states(decoration, perovskite, tables)
            tau[rows], unknown[rows] = _tau_of(decoration, perovskite, choice)
        keep = tau < self.limit
        if self.unknown == "keep":
            keep |= unknown
        return FilterResult(keep, int(unknown.sum()), {"bartel_tau": tau})


def _tau_of(
    decoration: NDArray[np.uint8], perovskite: Perovskite, choice: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Compute tau and whether it is unknown, shape (n,) each, from the charges chosen, 0 where none could be."""
    of_a = list(perovskite.columns["A"])
    n_a = choice[:, of_a] @ perovskite.amounts[of_a] / perovskite.amounts[of_a].sum()
    sites = perovskite.site_radii(decoration, choice)
    known = (choice != 0).all(axis=1) & ~np.isnan(sites["A"] + sites["B"] + sites["X"])
    tau = np.full(len(decoration), np.nan)
    tau[known] = bartel_tau(sites["A"][known], sites["B"][known], sites["X"][known], n_a[known])
    return tau, ~known


@cache
def _cation_states() -> ChargeTable:
    """Charges that cations may have: one for some, else those with a radius of Shannon's."""
    with_radius = ~np.isnan(radii(COORDINATION["B"]))
    states = {
        symbol: [charge for charge in range(1, MAX_CHARGE + 1) if with_radius[number, charge + MAX_CHARGE]]
        for symbol, number in atomic_numbers().items()
    }
    states |= {symbol: [1] for symbol in _ONE} | {symbol: [2] for symbol in _TWO}
    return charge_table(states)


@cache
def _anion_states() -> ChargeTable:
    return charge_table({symbol: [charge] for symbol, charge in _ANIONS.items()})


def choose_states(decoration: NDArray[np.uint8], perovskite: Perovskite, tables: list[ChargeTable]) -> NDArray[np.int8]:
    """Choose the oxidation states of perovskites as Bartel et al. do.

    Parameters
    ----------
    decoration
        Atomic numbers by role, shape (n, n_roles).
    perovskite
        What the roles are.
    tables
        Oxidation states of the elements in each role.

    Returns
    -------
    Charges by role, shape (n, n_roles); 0 where no choice is possible.
    """
    found = neutral_assignments(decoration, perovskite.amounts, tables)
    if perovskite.is_single:
        return _choose_single(decoration, perovskite, found)
    return _choose_mixed(decoration, found)


def _choose_single(decoration: NDArray[np.uint8], perovskite: Perovskite, found: Assignments) -> NDArray[np.int8]:
    """Choose for ABX3: of the neutral assignments the one of the lowest rank."""
    a, b, x = (perovskite.columns[site][0] for site in "ABX")
    chi_a, chi_b = electronegativities()[decoration[:, a]], electronegativities()[decoration[:, b]]
    similar = np.minimum(chi_a, chi_b) > _SIMILAR * np.maximum(chi_a, chi_b)
    trivalent = _is_trivalent()[decoration[:, [a, b]]].any(axis=1) & (decoration[:, x] == atomic_numbers()["O"])
    chosen = np.zeros(decoration.shape, dtype=np.int8)
    lowest = np.full(len(decoration), np.inf)
    for rows, charges in found.rounds():
        difference = charges[:, a].astype(float) - charges[:, b]
        rank = np.where(similar[rows], 1.0, -1.0) * np.abs(difference)
        # half a step decides between two choices with the charges exchanged
        rank += np.where((chi_a[rows] <= chi_b[rows]) == (difference >= 0), 0.0, 0.5)
        rank[trivalent[rows] & (charges[:, a] == 3) & (charges[:, b] == 3)] = -np.inf
        better = (rank < lowest[rows]) | (found.counts[rows] == 1)
        lowest[rows[better]] = rank[better]
        chosen[rows[better]] = charges[better]
    return chosen


@cache
def _is_trivalent() -> NDArray[np.bool_]:
    mask = np.zeros(N_ELEMENTS, dtype=bool)
    mask[[atomic_numbers()[symbol] for symbol in _THREE]] = True
    return mask


def _choose_mixed(decoration: NDArray[np.uint8], found: Assignments) -> NDArray[np.int8]:
    """Choose for A2BB'X6 and mixed roles, by the spread of those charges that the neutral assignments leave open."""
    least = np.full(decoration.shape, 127, dtype=np.int8)
    most = np.full(decoration.shape, -128, dtype=np.int8)
    for rows, charges in found.rounds():
        least[rows] = np.minimum(least[rows], charges)
        most[rows] = np.maximum(most[rows], charges)
    is_open = least < most
    chi = electronegativities()[decoration]
    low, high = np.where(is_open, chi, np.inf), np.where(is_open, chi, -np.inf)
    similar = low.min(axis=1) > _SIMILAR * high.max(axis=1)
    electropositive, electronegative = low.argmin(axis=1), high.argmax(axis=1)

    best = np.full(len(decoration), np.inf)
    ties = np.zeros(len(decoration), dtype=np.intp)
    alone = np.zeros(decoration.shape, dtype=np.int8)
    ordered = np.zeros(decoration.shape, dtype=np.int8)
    for rows, charges in found.rounds():
        top = np.where(is_open[rows], charges, -128).max(axis=1)
        bottom = np.where(is_open[rows], charges, 127).min(axis=1)
        spread = np.where(similar[rows], 1.0, -1.0) * (top.astype(float) - bottom)
        better = (spread < best[rows]) | (found.counts[rows] == 1)
        best[rows[better]], ties[rows[better]] = spread[better], 0
        ordered[rows[better]] = 0
        equal = better | (spread == best[rows])
        ties[rows[equal]] += 1
        alone[rows[equal]] = charges[equal]
        of_electropositive = np.take_along_axis(charges, electropositive[rows, None], 1)[:, 0]
        of_electronegative = np.take_along_axis(charges, electronegative[rows, None], 1)[:, 0]
        in_order = equal & (of_electropositive == top) & (of_electronegative == bottom)
        ordered[rows[in_order]] = charges[in_order]
    return np.where((ties == 1)[:, None], alone, ordered)
