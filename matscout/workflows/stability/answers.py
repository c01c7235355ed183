"""What a hull answers with: columns, changed labels, completeness, facets, reactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.compositions import fraction_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import pandas as pd
    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.naming import EntryId

_KINDS = ("elements", "binaries", "ternaries", "quaternaries", "quinaries")
_LARGEST_DENOMINATOR = 1000  # of an amount in a reaction written in whole numbers
_LARGEST_WHOLE = 10_000
_SAME_AMOUNT = 1e-6
_DIGITS = 6  # significant, of an amount that is no whole number


@dataclass(frozen=True, eq=False)
class EntryColumns:
    """Entries of a hull as columns, in the order of its ids.

    Attributes
    ----------
    ids
        Length n.
    amounts
        Atomic fractions, shape (n, k).
    elements
        Symbols of the k columns, in alphabetical order.
    energies
        eV/atom in the hull's convention, shape (n,).
    protocols, sources
        Length n each; "not stated" for entries that came without.
    """

    ids: tuple[EntryId, ...]
    amounts: NDArray[np.float64]
    elements: System
    energies: NDArray[np.float64]
    protocols: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class LabelChanges:
    """Old entries whose distance to the hull changed when others came.

    Attributes
    ----------
    ids
        Length n, in the order of the hull's ids.
    before, after
        `e_above_hull` in eV/atom, shape (n,) each.
    """

    ids: tuple[EntryId, ...] = ()
    before: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    after: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.ids)

    def frame(self) -> pd.DataFrame:
        """Columns id, before, after and change (eV/atom), the largest change first."""
        import pandas as pd

        columns = {"id": self.ids, "before": self.before, "after": self.after, "change": self.after - self.before}
        return pd.DataFrame(columns).sort_values("change", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Completeness:
    """What competes in a chemical system: a distance to a hull means no more than its competitors do.

    Attributes
    ----------
    by_system
        Entries in each chemical system inside, those without any left out.
    by_size
        Entries by number of elements, from 1 to that of the system. An element that stands at 0 without being listed
        counts as one.
    by_source
        Entries by where they are from.
    compositions
        Distinct compositions by number of elements: the polymorphs of a compound compete as one.
    """

    by_system: Mapping[System, int]
    by_size: Mapping[int, int]
    by_source: Mapping[str, int]
    compositions: Mapping[int, int]

    def __str__(self) -> str:
        """Say what a label is judged against, such as "3 elements and 6 binaries alone, no ternaries".

        Compositions are counted, not entries.
        """
        present = [(size, n) for size, n in self.compositions.items() if n]
        missing = [_kind(size, 2) for size, n in self.compositions.items() if not n]
        text = _listed([f"{n} {_kind(size, n)}" for size, n in present])
        return f"{text} alone, no {_listed(missing, 'or')}" if missing else text


@dataclass(frozen=True)
class Facet:
    """Phases in equilibrium with each other.

    Attributes
    ----------
    phases
        Ids of the phases that coexist: as many as there are elements, more where they lie on one plane.
    chemical_potentials
        Of each element in eV/atom, relative to its lowest phase, at most 0.
    """

    phases: tuple[EntryId, ...]
    chemical_potentials: Mapping[str, float]


@dataclass(frozen=True)
class Decomposition:
    """A composition and the phases of lowest energy that it makes, as a balanced reaction.

    Attributes
    ----------
    formula
        Reduced formula of the composition; with decimals where small whole numbers do not give it.
    amount
        Formula units of it in the reaction.
    phases
        Ids of the products and the reduced formula units of each; whole numbers unless these would be large.
    formulas
        Reduced formula of each product.
    energy
        Energy of the products in eV/atom, in the hull's convention.
    fractions
        Fraction of all atoms in each product, the largest first.
    """

    formula: str
    amount: float
    phases: Mapping[EntryId, float]
    formulas: Mapping[EntryId, str]
    energy: float
    fractions: Mapping[EntryId, float] = field(default_factory=dict)

    @classmethod
    def balanced(
        cls, formula: str, shares: Mapping[EntryId, float], formula_of: Mapping[EntryId, str], energy: float
    ) -> Self:
        """Balance a composition and the atomic fractions of the phases that it makes."""
        formulas = {name: formula_of[name] for name in shares}
        own = _atoms_of(formula)
        amount, amounts = in_whole_numbers(
            {name: share * own / _atoms_of(formulas[name]) for name, share in shares.items()}
        )
        return cls(formula, amount, amounts, formulas, energy, dict(shares))

    def __str__(self) -> str:
        """Write the reaction, such as "Na3Cl -> 2 Na + NaCl"."""
        products = [reaction_term(amount, self.formulas[name]) for name, amount in self.phases.items()]
        return f"{reaction_term(self.amount, self.formula)} -> {' + '.join(products)}"


@lru_cache(maxsize=100_000)
def _atoms_of(formula: str) -> float:
    """Atoms in a formula unit; tables of reactions name the same phases over and over."""
    return float(fraction_table([formula]).atoms[0])


def in_whole_numbers(amounts: Mapping[EntryId, float]) -> tuple[float, dict[EntryId, float]]:
    """Write formula units on both sides of a reaction in smallest whole numbers, from those that one unit makes.

    1 and `amounts` themselves where whole numbers would be large.
    """
    exact = {name: Fraction(amount).limit_denominator(_LARGEST_DENOMINATOR) for name, amount in amounts.items()}
    multiple = lcm(*(fraction.denominator for fraction in exact.values()))
    # Counted in the reaction as it is written: a small error in one unit would leave atoms over in a thousand.
    close = all(abs(float(exact[name]) - amount) * multiple < _SAME_AMOUNT for name, amount in amounts.items())
    largest = multiple * max(1.0, *amounts.values())
    if not close or largest > _LARGEST_WHOLE or not all(exact.values()):
        return 1.0, dict(amounts)
    return float(multiple), {name: float(fraction * multiple) for name, fraction in exact.items()}


def reaction_term(amount: float, formula: str) -> str:
    """Write an amount of a formula, such as 2 NaCl; 1 is left out."""
    if abs(amount - 1) < _SAME_AMOUNT:
        return formula
    if amount > 1 and abs(amount - round(amount)) < _SAME_AMOUNT:
        return f"{round(amount)} {formula}"
    return f"{amount:.{_DIGITS}g} {formula}"


def _kind(size: int, n: int) -> str:
    if size > len(_KINDS):
        return f"phases of {size} elements" if n != 1 else f"phase of {size} elements"
    plural = _KINDS[size - 1]
    if n != 1:
        return plural
    return plural[:-3] + "y" if plural.endswith("ies") else plural[:-1]


def _listed(words: list[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
