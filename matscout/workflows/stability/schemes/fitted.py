"""Elemental reference energies fitted to experimental formation enthalpies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.entries import CompositionEnergyAdjustment

import matscout
from matscout.errors import UserError
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.schemes.base import (
    Corrected,
    CorrectionScheme,
    adjusted,
    in_words,
    told_left_out,
    what_to_do,
)
from matscout.workflows.stability.schemes.enthalpies import read_enthalpies
from matscout.workflows.stability.schemes.least_squares import fit
from matscout.workflows.stability.schemes.matching import as_list, lowest_of, match, weights
from matscout.workflows.stability.schemes.protocols import (
    is_gga_of_materials_project,
    names_of,
    protocol_of,
    states_corrections_only,
    without_u,
)
from matscout.workflows.stability.schemes.species import Species, functional_of, species_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike
    from typing import Self

    from pymatgen.core.entries import ComputedEntry

    from matscout.workflows.stability.schemes.enthalpies import FormationEnthalpy

_ROUNDED = 6  # digits of eV in the hash, above the noise of a fit on another machine
_OTHER_SETTINGS = 0.05  # eV/atom by which an element's energy may differ from the fit's without a word


@dataclass(frozen=True, eq=False)
class FittedReferences(CorrectionScheme):
    """Formation energies counted from elemental energies that are fitted to experiment.

    Density functional theory is least right where a compound is compared with its elements. The energy of each element
    is therefore fitted, so that calculated compounds have their experimental formation enthalpies in the sense of least
    squares, in eV/atom. An element run with +U is a species of its own (Fe+U beside Fe), which is what lets GGA and
    GGA+U meet. Elements that the enthalpies cannot tell keep their computed energy and are listed in `not_fitted`.

    Entries of elements stay where they are and compounds are shifted: an entry gets, for each of its atoms, the
    computed minus the fitted energy of the species. Two limits follow. Alloys are shifted as salts are, so distances of
    intermetallics are better judged by another scheme. Oxygen is one species, so peroxides and superoxides come out too
    stable beside oxides.

    Make one with `fit` or `from_files`, or name its files: `get_scheme("fitted-references:ENTRIES:ENTHALPIES")`.

    Attributes
    ----------
    name
        "fitted-references", followed by the files where it was made from files.
    species
        Which species there are, and how they were calculated.
    shifts
        Fitted minus computed energy of each species, eV/atom.
    computed
        Computed energy of each element, eV/atom.
    not_fitted
        Species that the enthalpies do not tell.
    formulas, errors, left_out_errors
        The compounds fitted; calculated minus experimental formation energy of each after the fit, and with the
        compound itself left out of the fit, eV/atom, shape (n,).
    unused
        Formula of each enthalpy that was not used, and why.
    digest
        Content hash of the fit, 8 hex.

    References
    ----------
    Stevanović, Lany, Zhang, Zunger, Physical Review B 85, 115104 (2012), doi:10.1103/PhysRevB.85.115104.
    """

    species: Species
    shifts: Mapping[str, float]
    computed: Mapping[str, float]
    not_fitted: tuple[str, ...]
    formulas: tuple[str, ...]
    errors: np.ndarray[tuple[int], np.dtype[np.float64]]
    left_out_errors: np.ndarray[tuple[int], np.dtype[np.float64]]
    unused: tuple[tuple[str, str], ...]
    digest: str
    name: str = "fitted-references"
    summary: str = "elemental energies fitted to experimental formation enthalpies"

    @classmethod
    def fit(
        cls,
        entries: Iterable[ComputedEntry],
        enthalpies: Iterable[FormationEnthalpy] | Mapping[str, float],
        *,
        weighted: bool = False,
        name: str = "fitted-references",
    ) -> Self:
        """Fit elemental energies.

        Parameters
        ----------
        entries
            Calculated compounds and their elements, of one functional with or without +U; corrections they have are
            taken off. The lowest entry of a composition counts.
        enthalpies
            Experiments, eV per formula unit; a plain mapping of formulas to energies will do. Matched by composition,
            not by the text of the formula; the lowest of a composition counts.
        weighted
            Weigh compounds by their inverse squared uncertainty per atom; one that is unknown, or 0, counts as the mean
            of the known ones. Otherwise every compound counts the same.
        name
            What `register_scheme` shall know it by.

        Raises
        ------
        UserError
            No compound is in both, or the entries are of two functionals or two values of U.
        """
        listed = list(entries)
        species = Species.of(listed)
        given = as_list(enthalpies)
        usable = [entry for entry in listed if not species.refusal(entry) and not states_corrections_only(entry)]
        lowest = lowest_of(usable)
        computed = {
            str(entry.composition.elements[0].symbol): float(entry.uncorrected_energy_per_atom)
            for entry in lowest.values()
            if entry.is_element
        }
        rows, unused = match(given, lowest, computed)
        if not rows:
            raise UserError(
                f"none of the {len(given)} formation enthalpies has a calculated entry with its elements, so that no "
                f"elemental energy can be fitted: {some(f'{formula}: {why}' for formula, why in unused)}"
            )
        return cls._solved(species, computed, rows, unused, weighted=weighted, name=name)

    @classmethod
    def _solved(
        cls,
        species: Species,
        computed: dict[str, float],
        rows: Sequence[tuple[FormationEnthalpy, ComputedEntry]],
        unused: Sequence[tuple[str, str]],
        *,
        weighted: bool,
        name: str,
    ) -> Self:
        of_rows = [species_of(entry) for _, entry in rows]
        columns = sorted({each for amounts in of_rows for each in amounts})
        matrix = np.array([[amounts.get(column, 0.0) for column in columns] for amounts in of_rows])
        matrix /= matrix.sum(axis=1, keepdims=True)
        elemental = np.array([computed[column.removesuffix("+U")] for column in columns])
        energies = np.array([entry.uncorrected_energy_per_atom for _, entry in rows])
        experimental = np.array([enthalpy.energy_per_atom for enthalpy, _ in rows])
        target = energies - matrix @ elemental - experimental
        solved = fit(matrix, target, weights([enthalpy for enthalpy, _ in rows]) if weighted else None)
        shifts = {
            column: float(shift)
            for column, shift, told in zip(columns, solved.unknowns, solved.told, strict=True)
            if told
        }
        content = (species.functional, species.u_values, {key: round(shifts[key], _ROUNDED) for key in sorted(shifts)})
        return cls(
            species=species,
            shifts=shifts,
            computed=computed,
            not_fitted=tuple(sorted({*columns, *computed} - shifts.keys())),
            formulas=tuple(enthalpy.formula for enthalpy, _ in rows),
            errors=solved.errors,
            left_out_errors=solved.left_out_errors,
            unused=tuple(unused),
            digest=sha256(repr(content).encode()).hexdigest()[:8],
            name=name,
        )

    @classmethod
    def from_files(cls, entries: str | PathLike[str], enthalpies: str | PathLike[str]) -> FittedReferences:
        """Fit to a file of entries, as `read_entries` takes it, and one of enthalpies, as `read_enthalpies` does.

        Campaigns and the command line name the two as `fitted-references:ENTRIES:ENTHALPIES`, relative to the working
        folder; the paths hold no colon. Files that have not changed are fitted once in a process.
        """
        paths = Path(entries), Path(enthalpies)
        return _fitted_files(str(entries), str(enthalpies), tuple(map(_stamp, paths)))

    @classmethod
    def may_join(cls, protocols: Iterable[str]) -> bool:
        """Whether a fit to GGA and GGA+U entries of the Materials Project's settings would join these protocols."""
        return all(map(is_gga_of_materials_project, protocols))

    @property
    def references(self) -> dict[str, float]:
        """Reference energy of each species, fitted or else computed, eV/atom."""
        known = {key: self.computed[key.removesuffix("+U")] for key in {*self.shifts, *self.not_fitted}}
        return {key: known[key] + self.shifts.get(key, 0.0) for key in sorted(known)}

    @property
    def protocol(self) -> str:
        """Protocol of the entries that it has corrected: two fits are two protocols."""
        return f"{FittedReferences.name} {self.digest}"

    @property
    def version(self) -> str:
        """Version of this library, and a hash of the fit."""
        return f"matscout {matscout.__version__}, {len(self.formulas)} enthalpies, fit {self.digest}"

    def __str__(self) -> str:
        fitted, left_out = (1000 * np.abs(each).mean() for each in (self.errors, self.left_out_errors))
        unused = f" ({len(self.unused)} not used)" if self.unused else ""
        kept = f"; computed energies kept for {', '.join(self.not_fitted)}" if self.not_fitted else ""
        return (
            f"{len(self.shifts)} elemental energies fitted to {len(self.formulas)} formation enthalpies{unused}: mean "
            f"absolute error {fitted:.0f} meV/atom, {left_out:.0f} meV/atom left out one at a time{kept}"
        )

    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Take entries that this very fit has corrected."""
        other = {protocol: ids for protocol, ids in entries_of.items() if protocol != self.protocol}
        if not other:
            return
        if self.joins(other):
            raise UserError(
                f"energies of {in_words(other)} are not counted from fitted references, as those of this hull are: "
                f"correct the entries first, as Hull.from_entries(entries, scheme={self.name!r}) does"
            )
        self._refuse(other)

    def joins(self, protocols: Iterable[str]) -> bool:
        """Whether all are of the functional that was fitted."""
        return all(
            protocol == self.protocol
            or ("GGA" if is_gga_of_materials_project(protocol) else without_u(protocol)) == self.species.functional
            for protocol in protocols
        )

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Refuse entries of another functional than the fit's."""
        other: dict[str, list[object]] = {}
        for entry, name in zip(entries, names_of(entries), strict=True):
            if functional_of(entry) != self.species.functional and not states_corrections_only(entry):
                other.setdefault(protocol_of(entry), []).append(name)
        if other:
            self._refuse(other)

    def correct(self, entries: Sequence[ComputedEntry]) -> Corrected:
        """Shift compounds by the fitted minus computed energies of their species; elements stay.

        Corrections that entries have are taken off first. Left out are entries with another U than the fit's, and those
        called corrected that do not bring their corrections.

        Raises
        ------
        UserError
            Entries are of another functional.
        """
        self.check_references(entries)
        kept: list[ComputedEntry] = []
        left_out: list[tuple[str, str]] = []
        for entry, name in zip(entries, names_of(entries), strict=True):
            if states_corrections_only(entry):
                refusal = f"called {protocol_of(entry)}, but without the corrections that were made"
            else:
                refusal = self.species.refusal(entry)
            if refusal:
                left_out.append((name, refusal))
            else:
                kept.append(adjusted(entry, self._adjustments(entry), self.protocol))
        return self._corrected(kept, left_out)

    def _adjustments(self, entry: ComputedEntry) -> list[CompositionEnergyAdjustment]:
        if entry.is_element:
            return []
        return [
            CompositionEnergyAdjustment(-self.shifts[each], amount, name=f"fitted reference ({each})")
            for each, amount in species_of(entry).items()
            if each in self.shifts
        ]

    def _corrected(self, kept: Sequence[ComputedEntry], left_out: Sequence[tuple[str, str]]) -> Corrected:
        compounds = [entry for entry in kept if not entry.is_element]
        unfitted = sorted({each for entry in compounds for each in species_of(entry)} - self.shifts.keys())
        lines = [f"fitted-references: {self}"]
        if unfitted:
            lines.append(f"not fitted, so computed as they are: {', '.join(unfitted)}")
        element, difference = self._largest_difference(kept)
        if difference > _OTHER_SETTINGS:
            lines.append(
                f"{element} lies {difference:.2f} eV/atom from where the fit has it: are the settings the same, "
                "and the stable phases among the entries?"
            )
        if left_out:
            lines.append(told_left_out(left_out))
        report = {
            "scheme": self.name,
            "version": self.version,
            "entries": len(kept),
            "corrected": sum(bool(entry.energy_adjustments) for entry in kept),
            "left_out": len(left_out),
            "not_fitted": unfitted,
            "mean_absolute_error": float(np.abs(self.errors).mean()),
            "leave_one_out_error": float(np.abs(self.left_out_errors).mean()),
            "element_difference": difference,
        }
        return Corrected(tuple(kept), tuple(left_out), report, tuple(lines))

    def _largest_difference(self, entries: Iterable[ComputedEntry]) -> tuple[str, float]:
        """Element whose lowest entry is farthest from the fit's, and how far in eV/atom."""
        elements = lowest_of(entry for entry in entries if entry.is_element).values()
        found = [
            (abs(entry.uncorrected_energy_per_atom - self.computed[symbol]), symbol)
            for entry in elements
            if (symbol := str(entry.composition.elements[0].symbol)) in self.computed
        ]
        difference, symbol = max(found, default=(0.0, ""))
        return symbol, float(difference)

    def _refuse(self, other: Mapping[str, Sequence[object]]) -> None:
        raise UserError(
            f"these fitted references belong to {self.species.functional} energies, with or without +U, not to "
            f"{in_words(other)}. {what_to_do(other)}, or fit references to entries of their protocol"
        )


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes with a file."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)  # reading it will say what is wrong
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _fitted_files(entries: str, enthalpies: str, stamps: tuple[tuple[int, int], ...]) -> FittedReferences:
    from matscout.workflows.stability.entries import read_entries

    del stamps  # part of the key
    name = f"{FittedReferences.name}:{entries}:{enthalpies}"
    return FittedReferences.fit(read_entries(entries), read_enthalpies(enthalpies), name=name)
