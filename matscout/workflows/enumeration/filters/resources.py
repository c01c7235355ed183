"""Filters by what elements are and what they cost: excluded ones, price, supply, abundance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers
from matscout.errors import UserError
from matscout.workflows.enumeration.filters._options import check_choice, check_elements, check_number, check_words
from matscout.workflows.enumeration.filters.element_data import (
    atomic_masses,
    costs,
    crustal_abundances,
    element_classes,
    market_concentrations,
)
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable


@dataclass(frozen=True)
class ExcludeElements:
    """Remove candidates that hold one of some elements.

    Parameters
    ----------
    elements
        Symbols.
    classes
        `radioactive`, `toxic`, `rohs`, `noble-gases`, `lanthanoids` or `actinoids`, see
        `element_data.element_classes` for what is in them and why.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> pool = ["Mg", "Cd", "O", "S"]
    >>> enumerate_candidates("rock-salt", pool, [ExcludeElements(["S"], classes=["toxic"])]).formulas
    ['MgO']
    """

    elements: Sequence[str] = ()
    classes: Sequence[str] = ()
    name: str = field(default="exclude-elements", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", check_elements(self.name, "elements", self.elements))
        object.__setattr__(self, "classes", check_words(self.name, "classes", self.classes, element_classes(), "class"))
        if not self.elements and not self.classes:
            raise UserError(f"{self.name} needs elements or classes: {', '.join(element_classes())}")

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        excluded = np.zeros(N_ELEMENTS, dtype=bool)
        symbols = set(self.elements).union(*(element_classes()[name] for name in self.classes))
        excluded[[atomic_numbers()[symbol] for symbol in symbols]] = True
        return FilterResult(~np.asarray(excluded[table.decoration].any(axis=1)))


@dataclass(frozen=True)
class MaxCost:
    """Keep candidates whose elements cost at most so much, weighted by mass; adds the column `cost`, in USD/kg.

    The price is that of the pure elements, with pymatgen's table of 2013 (`pymatgen.analysis.cost`): good for telling
    iron from rhodium, not for an offer. For Na, K and F (250, 1000 and 1900 USD/kg) it holds what small amounts of the
    pure elements cost, so that their salts look dear.

    Parameters
    ----------
    limit
        USD per kg of the compound.
    unknown
        What happens to candidates with an element that has no price: `keep` or `drop`.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Mg", "Ca"], "X": ["O", "F"]}
    >>> table = enumerate_candidates("rock-salt", space, [MaxCost(10)])
    >>> table.formulas, table.columns["cost"].round(2).tolist()
    (['MgO', 'CaO'], [4.18, 4.32])
    """

    limit: float
    unknown: Literal["keep", "drop"] = "keep"
    name: str = field(default="max-cost", init=False)

    def __post_init__(self) -> None:
        check_number(self.name, "limit", self.limit, "a positive number of USD/kg")
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        cost = mass_weighted_mean(table, costs())
        return _limited({"cost": (cost, cost <= self.limit)}, self.unknown)


@dataclass(frozen=True)
class HerfindahlHirschman:
    """Keep candidates whose elements are produced, or lie, in many countries.

    The Herfindahl-Hirschman index of a compound is the mean of its elements', weighted by mass; below 1,500 a market
    counts as open and above 2,500 as concentrated. Adds the columns `hhi_production` and `hhi_reserves`.

    Parameters
    ----------
    production, reserves
        The largest index allowed; None for no limit. At least one is needed.
    unknown
        What happens to candidates with an element that has no index, such as hydrogen: `keep` or `drop`.

    References
    ----------
    Gaultois et al., Chemistry of Materials 25, 2911 (2013), doi:10.1021/cm400893e.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["La", "Ca"], "B": ["Fe"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [HerfindahlHirschman(production=2500)])
    >>> table.formulas, table.columns["hhi_production"].round().tolist()
    (['CaFeO3'], [2184.0])
    """

    production: float | None = None
    reserves: float | None = None
    unknown: Literal["keep", "drop"] = "keep"
    name: str = field(default="hhi", init=False)

    def __post_init__(self) -> None:
        for option, value in (("production", self.production), ("reserves", self.reserves)):
            if value is not None:
                check_number(self.name, option, value)
        if self.production is None and self.reserves is None:
            raise UserError(f"{self.name} needs a limit: production, reserves or both")
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        judged = {}
        limits = {"hhi_production": self.production, "hhi_reserves": self.reserves}
        for (column, limit), of_elements in zip(limits.items(), market_concentrations(), strict=True):
            index = mass_weighted_mean(table, of_elements)
            judged[column] = (index, np.ones(len(table), dtype=bool) if limit is None else index <= limit)
        return _limited(judged, self.unknown)


@dataclass(frozen=True)
class CrustalAbundance:
    """Keep candidates all of whose elements are abundant in the Earth's crust.

    Adds the column `crustal_abundance`: that of the rarest element, in mg/kg.

    Parameters
    ----------
    minimum
        mg/kg (ppm by mass) that every element must reach.
    unknown
        What happens to candidates with an element whose abundance is not known, such as Tc: `keep` or `drop`.

    References
    ----------
    CRC Handbook of Chemistry and Physics, section 14 (abundance of elements in the Earth's crust and in the sea).

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Cs", "Ca"], "B": ["Ti"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [CrustalAbundance(100)])
    >>> table.formulas, table.columns["crustal_abundance"].tolist()
    (['CaTiO3'], [5650.0])
    """

    minimum: float
    unknown: Literal["keep", "drop"] = "keep"
    name: str = field(default="crustal-abundance", init=False)

    def __post_init__(self) -> None:
        check_number(self.name, "minimum", self.minimum, "a positive number of mg/kg")
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        of_elements = crustal_abundances().copy()
        of_elements[0] = np.inf  # no element: behind the last role
        rarest = of_elements[table.decoration].min(axis=1, initial=np.inf)
        return _limited({"crustal_abundance": (rarest, rarest >= self.minimum)}, self.unknown)


def mass_weighted_mean(table: CandidateTable, of_elements: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of a property of the elements, weighted by their mass in the compound.

    Parameters
    ----------
    table
        The candidates.
    of_elements
        The property by atomic number, shape (119,); NaN where unknown.

    Returns
    -------
    Shape (n,); NaN where it is unknown for an element.
    """
    mean = np.full(len(table), np.nan)
    masses = atomic_masses()
    for prototype, rows in parts_by_prototype(table):
        amounts = prototype.reduced_multiplicity
        decoration = table.decoration[rows, : len(amounts)]
        mass = masses[decoration] * amounts
        mean[rows] = (mass * of_elements[decoration]).sum(axis=1) / mass.sum(axis=1)
    return mean


def _limited(
    judged: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]], unknown: Literal["keep", "drop"]
) -> FilterResult:
    """Judge by columns and by whether each lies within its limit; NaN is unknown."""
    known = ~np.any([np.isnan(values) for values, _ in judged.values()], axis=0)
    within = np.all([inside for _, inside in judged.values()], axis=0)
    keep = known & within
    if unknown == "keep":
        keep |= ~known
    return FilterResult(keep, int((~known).sum()), {column: values for column, (values, _) in judged.items()})
