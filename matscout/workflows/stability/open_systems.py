"""Hulls of systems that exchange elements with reservoirs.

Where reservoirs hold elements i at chemical potentials mu_i, the grand potential decides on stability:
phi = E - sum of mu_i N_i, per atom of the other elements, over whose compositions the hull is built.

References
----------
Ong et al., Chemistry of Materials 20, 1798 (2008), doi:10.1021/cm702327g.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pymatgen.core.composition import Composition

from matscout.errors import UserError
from matscout.workflows.stability.answers import in_whole_numbers, reaction_term
from matscout.workflows.stability.changes import rounded_distance
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.naming import reduced_formulas, some
from matscout.workflows.stability.reservoirs import (
    SMALLEST_REST,
    absolute_potentials,
    hull_of,
    open_columns,
    references,
    rest_of,
    warn_of_precipitation,
    with_elements,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame

    from matscout.workflows.stability.answers import EntryColumns
    from matscout.workflows.stability.compositions import Compositions, FractionTable
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.naming import EntryId

Floats: TypeAlias = "NDArray[np.float64]"

_SMALLEST_AMOUNT = 1e-6  # atoms for each atom of the entry, below which a reservoir is no part of its reaction


@dataclass(frozen=True)
class OpenReaction:
    """What an entry becomes in an open system, as a balanced reaction.

    Attributes
    ----------
    formula
        Reduced formula of the entry.
    amount
        Formula units of it in the reaction.
    phases
        Ids of the products and the reduced formula units of each.
    formulas
        Reduced formula of each product.
    exchange
        Atoms of each open element that its reservoir takes up, negative where it gives them.
    energy
        Change of the grand potential in eV per atom of the other elements; 0 for a stable entry.
    """

    formula: str
    amount: float
    phases: Mapping[EntryId, float]
    formulas: Mapping[EntryId, str]
    exchange: Mapping[str, float]
    energy: float

    def __str__(self) -> str:
        """Write the reaction, such as "2 Fe2O3 -> 4 FeO + O2", elements of reservoirs last on each side."""
        moved = [(_reservoir_unit(element), atoms) for element, atoms in self.exchange.items()]
        left = [
            reaction_term(self.amount, self.formula),
            *(reaction_term(-n / size, name) for (name, size), n in moved if n < 0),
        ]
        right = [reaction_term(amount, self.formulas[name]) for name, amount in self.phases.items()]
        right += [reaction_term(n / size, name) for (name, size), n in moved if n > 0]
        return f"{' + '.join(left)} -> {' + '.join(right)}"


@dataclass(frozen=True, eq=False)
class OpenHull:
    """A hull open to elements, as `open_hull` makes it.

    Attributes
    ----------
    hull
        The hull over the other elements, under the ids of the entries: energies and distances are grand potentials in
        eV per atom of the other elements, and compositions hold these alone.
    chemical_potentials
        Of the open elements, eV/atom on the scale of the closed hull's energies.
    references
        Energies of the open elements themselves on that scale, eV/atom.
    entries
        The entries as they are in the closed hull, in the order of `ids`.
    """

    hull: Hull
    chemical_potentials: Mapping[str, float]
    references: Mapping[str, float]
    entries: EntryColumns

    def __repr__(self) -> str:
        potentials = ", ".join(f"{element} at {mu:.6g} eV/atom" for element, mu in self.chemical_potentials.items())
        return f"<OpenHull {self.hull.version}: {len(self.hull)} entries, open to {potentials}>"

    @property
    def ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries that hold more than open elements.

        An element that stands at 0 without being listed is among them, by its symbol.
        """
        return self.entries.ids

    @property
    def stable_ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries on the hull, in the order of `ids`."""
        return self.hull.stable_ids

    def own_e_above_hull(self) -> Floats:
        """Distance of each entry to the hull in eV per atom of the other elements, in the order of `ids`."""
        return self.hull.own_e_above_hull()

    def grand_potential(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Grand potential in eV per atom of the other elements, shape (n,).

        Parameters
        ----------
        compositions
            n compositions, open elements included.
        energies
            eV per atom of all elements, on the scale of the closed hull, shape (n,).
        """
        table = self._with_rest_of(compositions)
        values = np.atleast_1d(np.asarray(energies, dtype=float))
        if values.shape != (len(table),) or not np.isfinite(values).all():
            raise UserError(f"{len(table)} compositions need as many finite energies, in eV/atom")
        of_reservoirs = np.zeros(len(table))
        for element, potential in self.chemical_potentials.items():
            if element in table.elements:
                of_reservoirs += potential * table.fractions[:, table.elements.index(element)]
        return np.asarray((values - of_reservoirs) / rest_of(table.fractions, table.elements, self.chemical_potentials))

    def e_above_hull(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Distance to the hull in eV per atom of the other elements, shape (n,), parameters as in `grand_potential`."""
        table = self._with_rest_of(compositions)
        others = [column for column, element in enumerate(table.elements) if element not in self.chemical_potentials]
        rest = table.fractions[:, others]
        amounts = (rest / rest.sum(axis=1, keepdims=True), [table.elements[column] for column in others])
        potentials = self.grand_potential((table.fractions, table.elements), energies)
        return rounded_distance(potentials, self.hull.hull_energy(amounts))

    def reaction(self, entry_id: EntryId) -> OpenReaction:
        """Tell what an entry becomes, and what the reservoirs take up or give.

        Raises
        ------
        UserError
            No entry of this id is in the open system.
        """
        if entry_id not in self._row_of:
            raise UserError(f"no entry {entry_id!r} in the system open to {', '.join(self.chemical_potentials)}")
        return self._reactions([self._row_of[entry_id]])[0]

    def frame(self, *, window: float | None = None) -> DataFrame:
        """All entries, or those at most `window` above the hull, as a table, the nearest to the hull first.

        Columns: id, formula, chemical_system, energy (eV per atom of all elements, of the closed hull), grand_potential
        and e_above_hull (eV per atom of the other elements), reaction, protocol and source.
        """
        import pandas as pd

        above = self.own_e_above_hull()
        rows = np.lexsort((np.array([str(name) for name in self.ids]), above))
        rows = rows if window is None else rows[above[rows] <= window]
        present = self._table.fractions[rows] > 0
        return pd.DataFrame(
            {
                "id": [self.ids[row] for row in rows],
                "formula": reduced_formulas(self._table, rows.tolist()),
                "chemical_system": ["-".join(np.array(self._table.elements)[each]) for each in present],
                "energy": self.entries.energies[rows],
                "grand_potential": self._closed.energies[rows],
                "e_above_hull": above[rows],
                "reaction": [str(reaction) for reaction in self._reactions(rows.tolist())],
                "protocol": [self.entries.protocols[row] for row in rows],
                "source": [self.entries.sources[row] for row in rows],
            }
        )

    @cached_property
    def _table(self) -> FractionTable:
        return fraction_table((self.entries.amounts, self.entries.elements), self.entries.ids)

    @cached_property
    def _closed(self) -> EntryColumns:
        """The entries as they are in the hull over the other elements."""
        return self.hull.columns()

    @cached_property
    def _row_of(self) -> dict[EntryId, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def _with_rest_of(self, compositions: Compositions) -> FractionTable:
        """Parse compositions, each of which must hold something besides open elements."""
        table = fraction_table(compositions)
        empty = np.flatnonzero(rest_of(table.fractions, table.elements, self.chemical_potentials) < SMALLEST_REST)
        if len(empty):
            names = some(dict.fromkeys(reduced_formulas(table, empty.tolist())))
            raise UserError(f"nothing but open elements in {names}, which the reservoirs alone decide on")
        return table

    def _reactions(self, rows: Sequence[int]) -> list[OpenReaction]:
        if not len(rows):
            return []
        amounts = (self._closed.amounts[rows], self._closed.elements)
        above = rounded_distance(self._closed.energies[rows], self.hull.hull_energy(amounts))
        products = self.hull.decompose_all(amounts)
        return [self._balanced(*each) for each in zip(rows, products, (-above).tolist(), strict=True)]

    def _balanced(self, row: int, shares: Mapping[EntryId, float], energy: float) -> OpenReaction:
        """Balance a reaction; `shares` are each product's part of the atoms of the other elements."""
        rows = [row, *(self._row_of[name] for name in shares)]
        formulas = reduced_formulas(self._table, rows)
        atoms = self._table.fractions[rows] * fraction_table(formulas).atoms[:, None]  # in one formula unit
        rest = rest_of(atoms, self._table.elements, self.chemical_potentials)
        made = rest[0] * np.array(list(shares.values())) / rest[1:]
        left_over = dict(zip(self._table.elements, (atoms[0] - made @ atoms[1:]).tolist(), strict=True))
        sizes = {
            element: _reservoir_unit(element)[1]
            for element in self.chemical_potentials
            if abs(left_over[element]) > _SMALLEST_AMOUNT * atoms[0].sum()
        }
        moved = [left_over[element] / size for element, size in sizes.items()]
        amount, numbers = in_whole_numbers(dict(enumerate([*made.tolist(), *moved])))
        n = len(shares)
        return OpenReaction(
            formulas[0],
            amount,
            {name: numbers[i] for i, name in enumerate(shares)},
            dict(zip(shares, formulas[1:], strict=True)),
            {element: numbers[n + i] * size for i, (element, size) in enumerate(sizes.items())},
            energy + 0.0,
        )


def open_hull(
    hull: Hull,
    chemical_potentials: Mapping[str, float],
    *,
    relative: bool = False,
    chemical_system: str | Sequence[str] | None = None,
) -> OpenHull:
    """Open a hull to reservoirs of elements.

    Entries of nothing but open elements drop out. Of entries that differ in open elements alone (Li2O and Li2O2, open
    to O) the one of lowest grand potential counts.

    Parameters
    ----------
    hull
        Hull of all elements.
    chemical_potentials
        Of each open element in eV/atom, on the scale of the hull's energies, as pymatgen takes them.
    relative
        Chemical potentials are counted from the element's lowest phase on this hull: 0 is the pure element, and the
        more negative, the less there is of it.
    chemical_system
        Take only the entries of this system, such as "Li-Fe-P-O".

    Raises
    ------
    UserError
        An open element is not in the hull, all are open, or a chemical potential is not finite.

    Warns
    -----
    UserWarning
        A chemical potential lies above the energy of the element itself, which would precipitate.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["Fe", "O2", "FeO", "Fe2O3"], [-8.4, -4.9, -8.2, -8.0])
    >>> opened = open_hull(hull, {"O": -2.5}, relative=True)
    >>> opened.stable_ids
    ('FeO',)
    >>> print(opened.reaction("Fe2O3"))
    2 Fe2O3 -> 4 FeO + O2
    """
    columns = with_elements(hull, chemical_system)
    absolute = absolute_potentials(hull, columns, chemical_potentials, relative=relative)
    lowest = references(columns)
    warn_of_precipitation(absolute, lowest)
    kept, closed = open_columns(columns, absolute)
    opened = hull_of(closed, hull.scheme, hull.temperature)
    return OpenHull(opened, absolute, {element: lowest[element] for element in absolute}, kept)


def _reservoir_unit(element: str) -> tuple[str, float]:
    """How a reservoir's element is written in a reaction, such as O2, and its atoms in that."""
    formula = str(Composition({element: 1}).reduced_formula)
    return formula, float(Composition(formula).num_atoms)
