"""Goldschmidt's tolerance factor and the octahedral factor as filters of perovskites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from matscout.workflows.enumeration.filters._options import check_choice, check_window
from matscout.workflows.enumeration.filters.assignments import neutral_assignments
from matscout.workflows.enumeration.filters.oxidation import OxidationStates, charge_table, charges_of_roles
from matscout.workflows.enumeration.filters.perovskites import perovskite_of
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from matscout.db.candidates import CandidateTable

    FactorOfRadii = Callable[[dict[str, NDArray[np.float64]]], NDArray[np.float64]]


def tolerance_factor(r_a: ArrayLike, r_b: ArrayLike, r_x: ArrayLike) -> NDArray[np.float64]:
    """Goldschmidt tolerance factor of ABX3 perovskites.

    Parameters
    ----------
    r_a, r_b, r_x
        Ionic radii in Å, shape (n,) or broadcastable; NaN where unknown.

    Returns
    -------
    Dimensionless, shape (n,); NaN where a radius is unknown.

    Raises
    ------
    ValueError
        A radius is zero or negative.

    References
    ----------
    Goldschmidt, Naturwissenschaften 14, 477 (1926), doi:10.1007/BF01507527.

    Examples
    --------
    >>> tolerance_factor(1.44, 0.605, 1.40).round(3).item()  # SrTiO3, Shannon radii
    1.002
    """
    a, b, x = positive_radii(A=r_a, B=r_b, X=r_x)
    return np.asarray((a + x) / (np.sqrt(2) * (b + x)))


def octahedral_factor(r_b: ArrayLike, r_x: ArrayLike) -> NDArray[np.float64]:
    """Octahedral factor r_B/r_X of perovskites.

    Parameters
    ----------
    r_b, r_x
        Ionic radii in Å, shape (n,) or broadcastable; NaN where unknown.

    Returns
    -------
    Dimensionless, shape (n,); NaN where a radius is unknown.

    Raises
    ------
    ValueError
        A radius is zero or negative.

    Examples
    --------
    >>> octahedral_factor(0.605, 1.40).round(3).item()  # SrTiO3, Shannon radii
    0.432
    """
    b, x = positive_radii(B=r_b, X=r_x)
    return np.asarray(b / x)


def positive_radii(**by_site: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Return radii as arrays of one shape; a `ValueError` names the site of one that is not positive."""
    arrays = np.broadcast_arrays(*(np.asarray(given, dtype=float) for given in by_site.values()))
    for site, values in zip(by_site, arrays, strict=True):
        if (values <= 0).any():
            raise ValueError(f"radius of site {site} must be positive, got {np.nanmin(values):g} Å")
    return tuple(arrays)


@dataclass(frozen=True)
class Goldschmidt:
    """Keep perovskites whose tolerance factor lies in a window.

    For perovskites of any symmetry whose roles have these names: ABX3, A2BB'X6, and such with mixed roles (X.1, X.2).
    The radius of a site is the mean of its ions', weighted by their amounts. Radii are Shannon's, A with 12 neighbours,
    B and X with 6 (see `shannon.shannon_radius` for what is not tabulated). Charges are those of neutral assignments of
    oxidation states: a candidate stays if any of them gives a factor in the window. Adds the column
    `tolerance_factor`: of the assignment in the window that is nearest to 1, else of the nearest of all.

    Parameters
    ----------
    minimum, maximum
        The window, ends included.
    unknown
        What happens to candidates without a neutral assignment all of whose radii are known: `keep` or `drop`.
    oxidation_states
        As for `ChargeNeutrality`.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Mg", "Sr"], "B": ["Ti"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [Goldschmidt(0.9, 1.1)])
    >>> table.formulas, table.columns["tolerance_factor"].round(3).tolist()
    (['SrTiO3'], [1.002])
    """

    minimum: float = 0.8
    maximum: float = 1.11
    unknown: Literal["keep", "drop"] = "keep"
    oxidation_states: OxidationStates = "common"
    name: str = field(default="goldschmidt", init=False)

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        return _in_window(self, table, "tolerance_factor", lambda r: tolerance_factor(r["A"], r["B"], r["X"]), 1.0)


@dataclass(frozen=True)
class OctahedralFactor:
    """Keep perovskites whose octahedral factor r_B/r_X lies in a window.

    Prototypes, radii and charges are those of `Goldschmidt`; for A2BB'X6 r_B is the mean of B and B'. A candidate stays
    if any neutral assignment gives a factor in the window. Adds the column `octahedral_factor`: of the assignment in
    the window that is nearest to its middle, else of the nearest of all.

    Parameters
    ----------
    minimum, maximum
        The window, ends included. Hard spheres X around a B touch each other below 0.414, the square root of 2 less 1;
        0.37 is chosen lower, so that LaAlO3 stays, which has 0.38 with Shannon's radii.
    unknown, oxidation_states
        As for `Goldschmidt`.

    References
    ----------
    Filip and Giustino, PNAS 115, 5397 (2018), doi:10.1073/pnas.1719179115 (limits of hard spheres).

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Ca"], "B": ["C", "Ti"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [OctahedralFactor()])
    >>> table.formulas, table.columns["octahedral_factor"].round(3).tolist()
    (['CaTiO3'], [0.432])
    """

    minimum: float = 0.37
    maximum: float = 0.90
    unknown: Literal["keep", "drop"] = "keep"
    oxidation_states: OxidationStates = "common"
    name: str = field(default="octahedral-factor", init=False)

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        middle = (self.minimum + self.maximum) / 2
        return _in_window(self, table, "octahedral_factor", lambda r: octahedral_factor(r["B"], r["X"]), middle)


def _check(rule: Goldschmidt | OctahedralFactor) -> None:
    """Refuse options that make no window, or that nobody knows."""
    check_window(rule.name, rule.minimum, rule.maximum)
    check_choice(rule.name, "unknown", rule.unknown, ("keep", "drop"))
    charge_table(rule.oxidation_states)


def _in_window(
    rule: Goldschmidt | OctahedralFactor, table: CandidateTable, column: str, factor_of: FactorOfRadii, target: float
) -> FilterResult:
    """Judge by a factor of the radii, of all neutral assignments."""
    common = charge_table(rule.oxidation_states)
    inside = np.zeros(len(table), dtype=bool)
    best = np.full(len(table), np.nan)
    for prototype, part in parts_by_prototype(table):
        perovskite = perovskite_of(prototype, rule.name)
        decoration = table.decoration[part, : len(perovskite.amounts)]
        tables = charges_of_roles(prototype, common, table.oxidation_states)
        for places, charges in neutral_assignments(decoration, perovskite.amounts, tables).rounds():
            rows = part[places]
            factor = factor_of(perovskite.site_radii(decoration[places], charges))
            fits = (factor >= rule.minimum) & (factor <= rule.maximum)
            nearer = np.isnan(best[rows]) | (np.abs(factor - target) < np.abs(best[rows] - target))
            better = ~np.isnan(factor) & (nearer & (fits | ~inside[rows]) | fits & ~inside[rows])
            best[rows[better]] = factor[better]
            inside[rows] |= fits
    unknown = np.isnan(best)
    keep = inside | unknown if rule.unknown == "keep" else inside
    return FilterResult(keep, int(unknown.sum()), {column: best})
