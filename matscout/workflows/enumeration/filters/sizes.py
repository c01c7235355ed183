"""Filters by size: sites, atoms and electrons, on which the time of a calculation depends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.workflows.enumeration.filters._options import check_choice, check_limit
from matscout.workflows.enumeration.filters.element_data import valence_electrons
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype

if TYPE_CHECKING:
    from matscout.db.candidates import CandidateTable


@dataclass(frozen=True)
class MaxSites:
    """Keep candidates with at most `limit` sites in the prototype's cell: larger ones cost more to calculate.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> enumerate_candidates(["rutile", "rock-salt"], ["Ti", "O"], [MaxSites(5)]).formulas
    ['TiO']
    """

    limit: int
    name: str = field(default="max-sites", init=False)

    def __post_init__(self) -> None:
        check_limit(self.name, self.limit, "sites")

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        n_sites = np.array([prototype.n_sites for prototype in table.prototypes], dtype=np.int64)
        return FilterResult(n_sites[table.prototype_index] <= self.limit)


@dataclass(frozen=True)
class MaxAtoms:
    """Keep candidates with at most `limit` atoms; adds the column `n_atoms`.

    Parameters
    ----------
    limit
        Number of atoms.
    per
        `formula`: in one unit of the prototype's formula, as 5 in ABX3 whatever the elements are. `cell`: in the
        prototype's cell, as `max-sites` counts them.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> table = enumerate_candidates(["rutile", "rock-salt"], ["Ti", "O"], [MaxAtoms(2)])
    >>> table.formulas, table.columns["n_atoms"].tolist()
    (['TiO'], [2])
    """

    limit: int
    per: Literal["formula", "cell"] = "formula"
    name: str = field(default="max-atoms", init=False)

    def __post_init__(self) -> None:
        check_limit(self.name, self.limit, "atoms")
        check_choice(self.name, "per", self.per, ("formula", "cell"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        counted = [
            prototype.reduced_multiplicity if self.per == "formula" else prototype.multiplicity
            for prototype in table.prototypes
        ]
        n_atoms = np.array([count.sum() for count in counted], dtype=np.int64)[table.prototype_index]
        return FilterResult(n_atoms <= self.limit, columns={"n_atoms": n_atoms})


@dataclass(frozen=True)
class MaxElectrons:
    """Keep candidates with at most `limit` electrons in the prototype's cell; adds the column `n_electrons`.

    Parameters
    ----------
    limit
        Number of electrons.
    kind
        `all`: the atomic numbers added up. `valence`: the group of an element in groups 1 to 12, the group less 10 in
        groups 13 to 18, and all electrons outside the noble-gas core of a lanthanoid or actinoid. A pseudopotential may
        treat more of them.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Sr"], "B": ["Ti"], "X": ["O", "Te"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [MaxElectrons(100)])
    >>> table.formulas, table.columns["n_electrons"].tolist()
    (['SrTiO3'], [84])
    """

    limit: int
    kind: Literal["all", "valence"] = "all"
    name: str = field(default="max-electrons", init=False)

    def __post_init__(self) -> None:
        check_limit(self.name, self.limit, "electrons")
        check_choice(self.name, "kind", self.kind, ("all", "valence"))

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        of_element = np.arange(N_ELEMENTS, dtype=np.int64) if self.kind == "all" else valence_electrons()
        electrons = np.zeros(len(table), dtype=np.int64)
        for prototype, rows in parts_by_prototype(table):
            multiplicity = prototype.multiplicity
            electrons[rows] = of_element[table.decoration[rows, : len(multiplicity)]] @ multiplicity
        return FilterResult(electrons <= self.limit, columns={"n_electrons": electrons})
