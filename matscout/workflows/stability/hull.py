"""Convex hulls of many chemical systems at once."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matscout.errors import UserError, warn
from matscout.workflows.stability.answers import Decomposition
from matscout.workflows.stability.blocks import Blocks
from matscout.workflows.stability.changes import label_changes, rounded_distance, touched_blocks
from matscout.workflows.stability.checks import (
    check_elements,
    check_protocols,
    finite_energies,
    known_scheme,
    one_each,
    warn_of_odd_energies,
    warn_of_strong_energies,
)
from matscout.workflows.stability.compositions import fraction_table, system_of
from matscout.workflows.stability.contents import columns, completeness
from matscout.workflows.stability.given import given_ids
from matscout.workflows.stability.naming import names_from_formulas, reduced_formulas
from matscout.workflows.stability.systems import UNLISTED, Systems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core.composition import Composition
    from pymatgen.core.entries import ComputedEntry

    from matscout.workflows.stability.answers import Completeness, EntryColumns, Facet, LabelChanges
    from matscout.workflows.stability.compositions import Compositions, FractionTable, System
    from matscout.workflows.stability.naming import EntryId

Floats: TypeAlias = "NDArray[np.float64]"


class Hull:
    """The lower convex hull of formation energies, in any number of chemical systems.

    Only the lowest entry of a composition counts, Na2Cl2 is NaCl, and entries above the elements' plane never shape the
    hull. Wherever compositions are taken they may be formulas, pymatgen Compositions, or a pair of amounts of shape
    (n, k) and their k element symbols.

    Parameters
    ----------
    compositions
        n compositions.
    energies
        eV/atom, shape (n,): absolute, with each element among the entries; or, with `formation_energies`, relative to
        the elements.
    ids
        n names; made from the formulas, in the order in which entries come, where None. An entry given twice under one
        id counts once.
    formation_energies
        Energies are relative to elements that stand at 0 without being listed. The convention holds in every call on
        this hull. An entry of an element below 0 is a phase like any other.
    protocols
        Protocol of all entries, or n of them; None where it is not stated.
    sources
        Where all entries are from, or n of these: what `completeness` counts by.
    scheme
        Name of the correction scheme that lets energies of several protocols stand on this hull. The energies are taken
        as they are: `from_entries` corrects.
    temperature
        Of free energies, in K; None where the energies are those of 0 K. Said of what is shown, never applied.

    Raises
    ------
    UserError
        An element has no entry, an energy is not finite, a composition is empty, an id has two energies, or the scheme
        does not join the protocols.

    Warns
    -----
    EnergyWarning
        Formation energies are not what compounds have: energies per cell, perhaps.

    Examples
    --------
    >>> hull = Hull(["Na", "Cl2", "NaCl", "Na3Cl"], [-1.3, -1.8, -3.6, -1.9])
    >>> hull.stable_ids
    ('Na', 'Cl2', 'NaCl')
    >>> hull.e_above_hull(["Na2Cl2", "Na3Cl"], [-3.5, -1.9]).round(3).tolist()
    [0.1, 0.55]
    >>> print(hull.reaction("Na3Cl"))
    Na3Cl -> 2 Na + NaCl
    >>> hull.add(["Na3Cl"], [-3.0], ["new"]).frame()
          id  before  after  change
    0  Na3Cl    0.55    1.1    0.55
    """

    def __init__(
        self,
        compositions: Compositions,
        energies: ArrayLike,
        ids: Sequence[EntryId | None] | None = None,
        *,
        formation_energies: bool = False,
        protocols: str | Sequence[str] | None = None,
        sources: str | Sequence[str] | None = None,
        scheme: str = "none",
        temperature: float | None = None,
    ) -> None:
        self._formation_energies, self._temperature = formation_energies, temperature
        self._scheme = known_scheme(scheme)
        self._entries = Blocks()
        self._systems = Systems(self._entries, formation_energies=formation_energies)
        self._version: str | None = None
        self._own: Floats | None = None  # distances of all entries, until one more comes
        self.add(compositions, energies, ids, protocols=protocols, sources=sources)

    @classmethod
    def from_entries(cls, entries: Iterable[ComputedEntry], *, scheme: str = "none", source: str | None = None) -> Self:
        """Build the hull of pymatgen entries, corrected by a scheme, from their corrected energies.

        Entries go by their ids; one without goes by its formula, with a number for the higher entries of a composition.
        Their protocols are those of `matscout.workflows.stability.schemes.protocols_of`. What the scheme cannot correct
        is left out, with a warning that names it.
        """
        from matscout.workflows.stability.schemes import corrected_entries, protocols_of

        corrected = corrected_entries(entries, scheme)
        if corrected.left_out:
            warn(corrected.describe_left_out())
        listed = list(corrected.entries)
        table = fraction_table([entry.composition for entry in listed], [entry.entry_id for entry in listed])
        energies = np.array([entry.energy_per_atom for entry in listed])
        amounts = (table.fractions * table.atoms[:, None], table.elements)
        ids = [entry.entry_id for entry in listed]
        return cls(amounts, energies, ids, protocols=protocols_of(listed), sources=source, scheme=scheme)

    def __len__(self) -> int:
        return len(self._entries.ids)

    def __repr__(self) -> str:
        return f"<Hull {self.version}: {len(self)} entries in {len(self._entries.by_system)} chemical systems>"

    def __copy__(self) -> Self:
        return deepcopy(self)  # two hulls that share their entries would change each other

    @property
    def formation_energies(self) -> bool:
        """Whether energies are relative to elements that stand at 0 without being listed."""
        return self._formation_energies

    @property
    def scheme(self) -> str:
        """Name of the correction scheme that joins the protocols."""
        return self._scheme

    @property
    def temperature(self) -> float | None:
        """Temperature of the free energies in K, or None."""
        return self._temperature

    @property
    def ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries in the order they came in, which is the order of `decomposition_energy`."""
        return tuple(self._entries.ids)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols of the entries, in alphabetical order, "not stated" among them."""
        return tuple(sorted(self._entries.ids_of_protocol))

    @property
    def elements(self) -> System:
        """Symbols of all elements among the entries, in alphabetical order."""
        return self._entries.elements()

    @property
    def reference_energies(self) -> dict[str, float]:
        """What formation energies are counted from, in eV/atom: the lowest entry of each element, or 0."""
        return {element: self._reference(element) for element in self.elements}

    @property
    def stable_ids(self) -> tuple[EntryId, ...]:
        """Ids of the entries whose `e_above_hull` is 0, in the order of `ids`; all of those that tie."""
        return self.metastable_ids(0.0)

    @property
    def version(self) -> str:
        """Content hash (16 hex) of given ids, compositions, energies, convention and temperature, in whatever order."""
        if self._version is None:
            convention = "formation" if self.formation_energies else "absolute"
            at = "" if self.temperature is None else f" at {self.temperature:g} K"
            self._version = self._entries.content_hash(convention + at)
        return self._version

    def add(
        self,
        compositions: Compositions,
        energies: ArrayLike,
        ids: Sequence[EntryId | None] | None = None,
        *,
        protocols: str | Sequence[str] | None = None,
        sources: str | Sequence[str] | None = None,
    ) -> LabelChanges:
        """Add entries; only the chemical systems that contain theirs are touched.

        Parameters, errors and warnings are those of the hull itself. Where anything is wrong nothing is added.

        Returns
        -------
        The old entries whose `e_above_hull` changed, and by how much.
        """
        given = given_ids(ids)
        table = fraction_table(compositions, given)
        values = finite_energies(energies, table, given)
        given = [None] * len(table) if given is None else given
        names = names_from_formulas(table, values, given, self._entries)
        origins = list(
            zip(one_each(protocols, len(table), "protocols"), one_each(sources, len(table), "sources"), strict=True)
        )
        self._check_elements(table, names)
        new = self._entries.unseen(names, table, values)
        check_protocols(self._entries, self.scheme, [origins[row] for row in new], [names[row] for row in new])
        warn_of_odd_energies(table, self._formation(table, values), names, new, relative=self.formation_energies)
        touched = touched_blocks(self._entries, self._systems, table, values, list(new))
        before = self._systems.own_heights(touched, without_own=False)
        self._entries.insert(new, names, table, values, origins)
        self._entries.made_ids.update(names[row] for row in new if given[row] is None)
        if (table.fractions[list(new)] == 1.0).any():
            self._systems.forget_elements()
        self._version = self._own = None
        return label_changes(self._entries, self._systems, touched, before)

    def formation_energy(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Energy relative to the elements, in eV/atom, shape (n,)."""
        table = fraction_table(compositions)
        values = finite_energies(energies, table)
        self._check_elements(table)
        formation = self._formation(table, values)
        warn_of_strong_energies(table, formation)
        return formation

    def hull_energy(self, compositions: Compositions) -> Floats:
        """Energy of the hull at compositions, in eV/atom in the hull's convention, shape (n,)."""
        table = fraction_table(compositions)
        self._check_elements(table)
        return self._systems.heights(table)

    def e_above_hull(self, compositions: Compositions, energies: ArrayLike) -> Floats:
        """Distance to the hull in eV/atom, shape (n,): 0 on it, negative below it.

        Distances under 1e-9 eV/atom are 0.
        """
        table = fraction_table(compositions)
        values = finite_energies(energies, table)
        self._check_elements(table)
        warn_of_strong_energies(table, self._formation(table, values))
        return rounded_distance(values, self._systems.heights(table))

    def own_e_above_hull(self, chemical_system: str | Sequence[str] | None = None) -> Floats:
        """Distance to the hull in eV/atom of the own entries, or of those inside a chemical system.

        In the order of `ids`, or of `columns(chemical_system)`.
        """
        if chemical_system is not None:
            return rounded_distance(self._own_distances(chemical_system, without_own=False), 0.0)
        if self._own is None:
            self._own = rounded_distance(self._own_distances(None, without_own=False), 0.0)
        return self._own.copy()

    def metastable_ids(self, window: float) -> tuple[EntryId, ...]:
        """Ids of the entries that lie at most `window` eV/atom above the hull, in the order of `ids`."""
        above = self.own_e_above_hull()
        return tuple(name for name, distance in zip(self.ids, above.tolist(), strict=True) if distance <= window)

    def decomposition_energy(self, chemical_system: str | Sequence[str] | None = None) -> Floats:
        """Distance of each own entry to the hull built without its own composition, in eV/atom, as `own_e_above_hull`.

        Negative for every stable compound, and also for a metastable polymorph below that hull. 0 for every entry of an
        element, which no hull can do without.
        """
        return self._own_distances(chemical_system, without_own=True)

    def decompose(self, composition: Composition | str) -> dict[EntryId, float]:
        """Phases of lowest energy at a composition with the fraction of all atoms in each, the largest first.

        The fractions sum to 1. An element that is not among the entries goes by its symbol. Where phases tie, one of
        the decompositions of lowest energy is given, and a composition with an entry on the hull is that entry.
        """
        return self.decompose_all([composition])[0]

    def decompose_all(self, compositions: Compositions) -> list[dict[EntryId, float]]:
        """Decompose n compositions at once, as `decompose` does."""
        table = fraction_table(compositions)
        self._check_elements(table)
        return self._systems.decompositions(table)

    def reaction(self, composition: Composition | str) -> Decomposition:
        """Decompose a composition, as a balanced reaction of reduced formula units."""
        return self.reactions([composition])[0]

    def reactions(self, compositions: Compositions) -> list[Decomposition]:
        """Decompose n compositions at once, as `reaction` does."""
        table = fraction_table(compositions)
        energies = self.hull_energy((table.fractions, table.elements))
        shares = self.decompose_all((table.fractions, table.elements))
        names = list(dict.fromkeys(name for parts in shares for name in parts))
        formula_of = self._formulas(names)
        made = zip(reduced_formulas(table, range(len(table))), shares, energies.tolist(), strict=True)
        return [Decomposition.balanced(own, parts, formula_of, energy) for own, parts, energy in made]

    def facets(self, chemical_system: str | Sequence[str]) -> tuple[Facet, ...]:
        """Find which phases coexist in a chemical system of up to 5 elements, and at which chemical potentials."""
        from matscout.workflows.stability.coexistence import facets

        return facets(self._systems, self._known_system(chemical_system))

    def chemical_potential_window(
        self, entry_id: EntryId, chemical_system: str | Sequence[str] | None = None
    ) -> dict[str, tuple[float, float]]:
        """Range of each element's chemical potential in which an entry is stable.

        Parameters
        ----------
        entry_id
            A stable entry.
        chemical_system
            Whose phases compete; the entry's own where None.

        Returns
        -------
        Lowest and highest in eV/atom relative to the element's lowest phase; -inf where nothing bounds it.
        """
        from matscout.workflows.stability.coexistence import potential_window

        block, row = self._entries.find(entry_id)
        system = block.system if chemical_system is None else self._known_system(chemical_system)
        return potential_window(self._systems, system, entry_id, block, row)

    def columns(self, chemical_system: str | Sequence[str] | None = None) -> EntryColumns:
        """Return all entries, or those inside a chemical system, as columns."""
        return columns(self._entries, self.elements if chemical_system is None else self._known_system(chemical_system))

    def completeness(
        self, chemical_system: str | Sequence[str], without: Collection[EntryId] | EntryId = ()
    ) -> Completeness:
        """Count the entries that compete in a chemical system, such as "Li-Fe-O": in which systems, and from where.

        Parameters
        ----------
        chemical_system
            Its elements.
        without
            Ids that do not count, such as the one that is judged.
        """
        left_out = {without} if isinstance(without, str | int) else set(without)
        for name in left_out:
            self._entries.find(name)
        return completeness(
            self._entries, self._known_system(chemical_system), left_out, unlisted_elements=self.formation_energies
        )

    def _reference(self, element: str) -> float:
        return 0.0 if self.formation_energies else self._systems.corner(element)

    def _formation(self, table: FractionTable, values: Floats) -> Floats:
        """Count energies of rows from the elements, which may be among the rows themselves."""
        references = np.array([self._reference(element) for element in table.elements])
        for column in np.flatnonzero(np.isinf(references)):
            own = values[table.fractions[:, column] == 1.0]
            references[column] = own.min() if len(own) else 0.0  # an element without energy is in no row
        return np.asarray(values - table.fractions @ references)

    def _formulas(self, ids: Sequence[EntryId]) -> dict[EntryId, str]:
        """Reduced formulas of own entries, and of elements that are not listed."""
        unlisted = [name for name in ids if name not in self._entries]
        symbols = [str(name).removesuffix(UNLISTED) for name in unlisted]
        of_elements = reduced_formulas(fraction_table(symbols), range(len(symbols)))
        return self._entries.formulas(name for name in ids if name in self._entries) | dict(
            zip(unlisted, of_elements, strict=True)
        )

    def _known_system(self, chemical_system: str | Sequence[str]) -> System:
        system = system_of(chemical_system)
        missing = [element for element in system if np.isinf(self._systems.corner(element))]
        if missing:
            raise UserError(
                f"the hull has no entry of {', '.join(missing)}, so none of the chemical system {'-'.join(system)}; "
                f"it holds {', '.join(self.elements)}"
            )
        return system

    def _check_elements(self, table: FractionTable, names: Sequence[EntryId] | None = None) -> None:
        check_elements(self._entries, table, names, formation_energies=self.formation_energies)

    def _own_distances(self, chemical_system: str | Sequence[str] | None, *, without_own: bool) -> Floats:
        inside = None if chemical_system is None else self._known_system(chemical_system)
        return self._systems.own_distances(inside, without_own=without_own)
