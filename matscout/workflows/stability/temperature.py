"""Free energies of formation at a temperature, from 0 K energies and cells.

The scheme is pymatgen's: the descriptor of Bartel et al. for solids, tabulated experiments for common gases. Here it is
computed by columns, from pymatgen's tables.

References
----------
Bartel et al., Nature Communications 9, 4168 (2018), doi:10.1038/s41467-018-06682-4.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element
from scipy.constants import physical_constants

from matscout.errors import UserError, warn
from matscout.workflows.stability.checks import EnergyWarning
from matscout.workflows.stability.compositions import fraction_table, grid_keys
from matscout.workflows.stability.hull import Hull
from matscout.workflows.stability.naming import names_from_formulas, some
from matscout.workflows.stability.schemes import corrected_entries, protocols_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.entries import ComputedEntry
    from pymatgen.core.structure import Structure
    from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

    from matscout.workflows.stability.compositions import FractionTable, System
    from matscout.workflows.stability.naming import EntryId

Floats: TypeAlias = "NDArray[np.float64]"
WithoutStructure: TypeAlias = Literal["refuse", "leave out"]

TEMPERATURES = (300.0, 2000.0)
"""Lowest and highest temperature of the scheme's tables, in K."""

_BOLTZMANN = physical_constants["Boltzmann constant in eV/K"][0]
_DIATOMIC_GASES = ("Cl", "F", "H", "N", "O")


def hull_at(
    entries: Iterable[ComputedEntry],
    temperature: float,
    *,
    scheme: str = "none",
    source: str | None = None,
    without_structure: WithoutStructure = "refuse",
) -> Hull:
    """Build the hull of the free energies of formation at a temperature.

    Per atom, G = H + G_delta(volume, reduced mass, T) - sum of the elements' free energies at T, where H is the 0 K
    formation energy of the entry and G_delta the descriptor, fitted to solids at 300 to 1800 K with an error of about
    50 meV/atom; the tables go on to 2000 K. An entry with the formula of a common gas (H2O, CO2, HF and others),
    whether molecule or crystal, takes the experimental free energy of the gas instead. Elements are where the scale
    starts, each in its stable phase at the temperature and 1 bar, so they stand at 0; the scheme knows no difference
    between the entries of an element, or of a gas, and only the lowest at 0 K is kept.

    Parameters
    ----------
    entries
        pymatgen entries at 0 K, with an entry of each element, and compounds with their structures.
    temperature
        K, 300 to 2000.
    scheme, source
        As in `Hull.from_entries`.
    without_structure
        What becomes of a compound without a structure, so without a volume: "refuse", or "leave out" with a warning
        that names it.

    Returns
    -------
    A hull of formation energies, under the ids of the entries.

    Raises
    ------
    UserError
        The temperature is out of range, a compound has no structure, an element has no entry or no tabulated free
        energy.

    References
    ----------
    Bartel et al., Nature Communications 9, 4168 (2018), doi:10.1038/s41467-018-06682-4.
    """
    _check_temperature(temperature)
    cold = _Cold.of(entries, scheme, source)
    bare = [row for row in cold.kept if cold.structures[row] is None and not cold.needs_no_volume[row]]
    rows = cold.without(bare, without_structure)
    # What is odd about the energies was said of those at 0 K.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnergyWarning)
        return Hull(
            (cold.table.fractions[rows], cold.table.elements),
            cold.free_energies(rows, temperature),
            [cold.ids[row] for row in rows],
            formation_energies=True,
            protocols=[cold.protocols[row] for row in rows],
            sources=[cold.sources[row] for row in rows],
            scheme=scheme,
            temperature=float(temperature),
        )


def gibbs_entries(
    entries: Iterable[ComputedEntry],
    temperature: float,
    *,
    scheme: str = "none",
    without_structure: WithoutStructure = "refuse",
) -> list[GibbsComputedStructureEntry]:
    """Make pymatgen's entries of free energies of formation, of the entries that `hull_at` keeps.

    Their energies are those of `hull_at`, which is quicker. Parameters and errors are its own, but here elements and
    gases need a structure too. The entries keep their ids, in their order; one without an id goes by its formula.
    """
    from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

    _check_temperature(temperature)
    cold = _Cold.of(entries, scheme, None)
    rows = cold.without([row for row in cold.kept if cold.structures[row] is None], without_structure)
    cold.free_energies(rows, temperature)  # what is wrong with an entry is said with its id
    structures = {row: structure for row, structure in enumerate(cold.structures) if structure is not None}
    made = []
    for row in rows:
        entry = GibbsComputedStructureEntry(
            structures[row],
            float(cold.enthalpies[row]),
            int(temperature) if temperature == int(temperature) else temperature,  # it looks up the text of whole ones
        )
        entry.entry_id = str(cold.ids[row])  # it gives gases other ids, but ids are what labels are joined by
        made.append(entry)
    return made


def gas_chemical_potential(
    element: str, temperature: float, pressure: float = 1.0, *, on_free_energies: bool = False
) -> float:
    """Chemical potential of an element in its diatomic gas, in eV/atom relative to the element's reference.

    mu = G(T, 1 bar) + kT/2 ln(p / 1 bar) for an ideal gas, for `open_hull(..., relative=True)`. On a hull of 0 K
    energies, G is the tabulated free energy of the gas counted from its enthalpy at 298 K, as in pymatgen's scheme. On
    a hull of free energies at the same temperature (`hull_at`) the gas at 1 bar is the reference itself, and only the
    term of the pressure is left.

    Parameters
    ----------
    element
        H, N, O, F or Cl.
    temperature
        K, 300 to 2000.
    pressure
        Partial pressure of the gas, bar.
    on_free_energies
        The hull is one of free energies at this temperature.

    Raises
    ------
    UserError
        The element has no such gas, the temperature is out of range or the pressure not positive.

    References
    ----------
    Reuter and Scheffler, Physical Review B 65, 035406 (2001), doi:10.1103/PhysRevB.65.035406, for the formula.

    Examples
    --------
    >>> round(gas_chemical_potential("O", 1000, 0.21), 2)
    -1.21
    """
    if element not in _DIATOMIC_GASES:
        raise UserError(f"no diatomic gas of {element!r} is tabulated; there are {', '.join(_DIATOMIC_GASES)}")
    _check_temperature(temperature)
    if not (pressure > 0 and math.isfinite(pressure)):
        raise UserError(f"the pressure of a gas is positive and finite, not {pressure:g} bar")
    of_pressure = _BOLTZMANN * temperature / 2 * math.log(pressure)
    return float(of_pressure if on_free_energies else _of_elements((element,), temperature)[0] + of_pressure)


@dataclass(frozen=True, eq=False)
class _Cold:
    """Entries at 0 K, by columns.

    Attributes
    ----------
    ids, protocols, sources, structures
        Of each entry, (n,).
    table
        Compositions.
    enthalpies
        0 K formation energies, eV/atom, shape (n,).
    gases
        Experimental gas that has the composition of an entry, by its formula in the table of gases, or None, (n,).
    kept
        Rows of all entries but the higher ones of an element or of a gas.
    """

    ids: tuple[EntryId, ...]
    protocols: tuple[str, ...]
    sources: tuple[str, ...]
    structures: tuple[Structure | None, ...]
    table: FractionTable
    enthalpies: Floats
    gases: tuple[str | None, ...]
    kept: tuple[int, ...]

    @classmethod
    def of(cls, entries: Iterable[ComputedEntry], scheme: str, source: str | None) -> _Cold:
        """Put entries in columns, and count their energies from the elements."""
        kept = corrected_entries(entries, scheme)
        if kept.left_out:
            warn(kept.describe_left_out())
        corrected = kept.entries
        compositions = [entry.composition for entry in corrected]
        energies = np.array([entry.energy_per_atom for entry in corrected])
        given = [entry.entry_id for entry in corrected]
        names = names_from_formulas(fraction_table(compositions), energies, given)
        protocols = protocols_of(corrected)
        hull = Hull(compositions, energies, names, protocols=protocols, sources=source, scheme=scheme)
        structure_of: dict[EntryId, Structure | None] = {}
        for name, entry in zip(names, corrected, strict=True):
            structure_of.setdefault(name, getattr(entry, "structure", None))
        columns = hull.columns()
        amounts = (columns.amounts, columns.elements)
        table = fraction_table(amounts, columns.ids)
        gases = _gases(table)
        return cls(
            columns.ids,
            columns.protocols,
            columns.sources,
            tuple(structure_of[name] for name in columns.ids),
            table,
            hull.formation_energy(amounts, columns.energies),
            gases,
            _kept(table, columns.energies, columns.ids, gases),
        )

    @cached_property
    def needs_no_volume(self) -> NDArray[np.bool_]:
        """Whether an entry is an element or a gas, shape (n,)."""
        gases = np.array([gas is not None for gas in self.gases], dtype=bool)
        return np.asarray(gases | (self.table.fractions.max(axis=1, initial=0.0) == 1.0))

    def without(self, bare: list[int], what: WithoutStructure) -> list[int]:
        """Rows to go on with, once those without a structure are refused or left out."""
        if what not in ("refuse", "leave out"):
            raise UserError(f'without_structure is "refuse" or "leave out", not {what!r}')
        if bare:
            who = f"{len(bare)} of {len(self.kept)} entries have no structure: {some(self.ids[row] for row in bare)}"
            if what == "refuse":
                raise UserError(
                    f"a free energy needs a volume, but {who}; give ComputedStructureEntries, or leave these "
                    f'out with without_structure="leave out": what they compete with then looks more stable'
                )
            warn(f"no free energy, so not on the hull: {who}. What they compete with looks more stable")
        left_out = set(bare)
        return [row for row in self.kept if row not in left_out]

    def free_energies(self, rows: list[int], temperature: float) -> Floats:
        """Free energies of formation of some entries, eV/atom."""
        self._check_tabulated(rows)
        energies = np.zeros(len(self.table))
        wanted = np.zeros(len(self.table), dtype=bool)
        wanted[rows] = True
        solid = wanted & ~self.needs_no_volume
        for system, members, fractions in self.table.by_system():
            chosen = members[solid[members]]
            if len(chosen):
                x = fractions[solid[members]]
                cells = [cell for cell in (self.structures[row] for row in chosen.tolist()) if cell is not None]
                volumes = np.array([cell.volume / len(cell) for cell in cells])
                delta = _descriptor(volumes, _reduced_masses(system, x), temperature)
                energies[chosen] = self.enthalpies[chosen] + delta - x @ _of_elements(system, temperature)
        for row in rows:
            gas = self.gases[row]
            if gas is not None:
                energies[row] = _of_gas(gas, temperature)
        return energies[rows]

    def _check_tabulated(self, rows: list[int]) -> None:
        known = next(iter(_tables()[0].values()))
        for column, element in enumerate(self.table.elements):
            needing = [row for row in rows if self.table.fractions[row, column] > 0]
            compounds = [row for row in needing if not self.needs_no_volume[row]]
            if element not in known and compounds:
                raise UserError(
                    f"no free energy of the element {element} is tabulated, but "
                    f"{some(self.ids[row] for row in compounds)} need it: leave out what holds {element}"
                )


def _check_temperature(temperature: float) -> None:
    low, high = TEMPERATURES
    if not low <= temperature <= high:
        hint = "for 298.15 K take 300 K; at 0 K take the hull of the energies themselves"
        raise UserError(
            f"free energies are modelled from {low:g} to {high:g} K, not at {temperature:g} K"
            + (f" ({hint})" if temperature < low else "")
        )


def _tables() -> tuple[Mapping[str, Mapping[str, float]], Mapping[str, Mapping[str, float]]]:
    """Experimental free energies in eV: of elements by temperature, per atom, and of gases by formula, per formula."""
    from pymatgen.analysis.compatibility.computed_entries import G_ELEMS, G_GASES

    return G_ELEMS, G_GASES


def _of_elements(system: System, temperature: float) -> Floats:
    """Free energies of elements in eV/atom, shape (d,), linear between the tabulated temperatures."""
    table = _tables()[0]
    at = [float(t) for t in table]
    return np.array([np.interp(temperature, at, [row[element] for row in table.values()]) for element in system])


def _of_gas(formula: str, temperature: float) -> float:
    """Free energy of formation of a gas in eV/atom, linear between the tabulated temperatures."""
    table = _tables()[1][formula]
    per_formula = np.interp(temperature, [float(t) for t in table], list(table.values()))
    return float(per_formula / Composition(formula).num_atoms)


def _gases(table: FractionTable) -> tuple[str | None, ...]:
    """Return the formula of the tabulated gas that has the composition of a row, or None, (n,)."""
    formulas = list(_tables()[1])
    known = fraction_table(formulas)
    of_key = {
        (system, key.tobytes()): formulas[row]
        for system, rows, fractions in known.by_system()
        for row, key in zip(rows.tolist(), grid_keys(fractions), strict=True)
    }
    found: list[str | None] = [None] * len(table)
    for system, rows, fractions in table.by_system():
        for row, key in zip(rows.tolist(), grid_keys(fractions), strict=True):
            found[row] = of_key.get((system, key.tobytes()))
    return tuple(found)


def _kept(
    table: FractionTable, energies: Floats, ids: Sequence[EntryId], gases: Sequence[str | None]
) -> tuple[int, ...]:
    """Rows of all entries but the higher ones of an element or of a gas, which have no free energy of their own."""
    pure = table.fractions.max(axis=1, initial=0.0) == 1.0
    lowest: dict[object, int] = {}
    for row in np.lexsort((np.array([str(name) for name in ids]), energies)).tolist():
        one_of_its_kind = int(table.fractions[row].argmax()) if pure[row] else gases[row]
        lowest.setdefault(f"row {row}" if one_of_its_kind is None else one_of_its_kind, row)
    return tuple(sorted(lowest.values()))


def _reduced_masses(system: System, fractions: Floats) -> Floats:
    """Reduced mass in amu, shape (n,): equation 6 of Bartel et al., a mean over the pairs of elements."""
    masses = np.array([float(Element(element).atomic_mass) for element in system])
    first, second = np.triu_indices(len(system), 1)
    pairs = masses[first] * masses[second] / (masses[first] + masses[second])
    return np.asarray((fractions[:, first] + fractions[:, second]) @ pairs / (len(system) - 1))


def _descriptor(volumes: Floats, reduced_masses: Floats, temperature: float) -> Floats:
    """G_delta in eV/atom (equation 4 of Bartel et al.), from volumes in Å^3/atom and reduced masses in amu."""
    of_cell = -2.48e-4 * np.log(volumes) - 8.94e-5 * reduced_masses / volumes
    return np.asarray(of_cell * temperature + 0.181 * np.log(temperature) - 0.882)
