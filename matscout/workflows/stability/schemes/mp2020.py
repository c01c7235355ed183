"""The Materials Project's corrections of 2020, by pymatgen's own class."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.schemes.base import (
    Corrected,
    CorrectionScheme,
    adjusted,
    in_words,
    told_left_out,
    what_to_do,
    with_reasons,
)
from matscout.workflows.stability.schemes.due import hubbard_u, is_due
from matscout.workflows.stability.schemes.mp2020_table import mp2020_table
from matscout.workflows.stability.schemes.protocols import (
    MATERIALS_PROJECT,
    calculated_by,
    is_gga_of_materials_project,
    names_of,
    protocol_of,
    protocols_of,
    runs_as_materials_project,
    states_corrections_only,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry, EnergyAdjustment

_FAR = 1e-6  # eV/atom: recorrected energies that agree to this are unchanged
_ALWAYS_AN_ANION = frozenset({"S"})  # of the table's elements; the others go by their oxidation states


class Mp2020(CorrectionScheme):
    """GGA and GGA+U energies of the Materials Project's settings, corrected by pymatgen.

    Anions are corrected towards experimental formation enthalpies, and GGA+U towards GGA. The scheme begins from
    uncorrected energies, so that entries corrected before, also by another version, come out as of today. Corrections
    depend on pymatgen's version, which `version` names.

    Energies of other settings are refused: the corrections were fitted to one set of pseudopotentials and U values.

    References
    ----------
    Wang et al., Scientific Reports 11, 15496 (2021), doi:10.1038/s41598-021-94550-5.
    Jain et al., Physical Review B 84, 045115 (2011), doi:10.1103/PhysRevB.84.045115.
    """

    name = MATERIALS_PROJECT
    summary = "GGA and GGA+U of the Materials Project's settings, with its corrections of 2020"

    @property
    def version(self) -> str:
        """Pymatgen's version, and a hash of the corrections it brings."""
        return mp2020_table().version

    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Take corrected entries only: those that `correct` returns."""
        other = {protocol: ids for protocol, ids in entries_of.items() if protocol != MATERIALS_PROJECT}
        if not other:
            return
        if all(map(is_gga_of_materials_project, other)):
            raise UserError(
                f"energies of {in_words(other)} are not corrected by {self.name}, as those of its hulls are: "
                "correct the entries first, as Hull.from_entries(entries, scheme='mp2020') does"
            )
        self._refuse(other)

    def joins(self, protocols: Iterable[str]) -> bool:
        """Whether all are of the Materials Project's settings."""
        return all(map(is_gga_of_materials_project, protocols))

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Refuse entries of other settings than the Materials Project's."""
        other: dict[str, list[object]] = {}
        for entry, name, protocol in zip(entries, names_of(entries), protocols_of(entries), strict=True):
            if not runs_as_materials_project(entry, protocol):
                other.setdefault(protocol, []).append(name)
        if other:
            self._refuse(other)

    def correct(self, entries: Sequence[ComputedEntry]) -> Corrected:
        """Correct entries by pymatgen's MaterialsProject2020Compatibility; those it discards are left out.

        Discarded are entries with other pseudopotentials or U values than the Materials Project's, oxides and fluorides
        of GGA where it takes GGA+U, and entries that do not name their pseudopotentials.

        Raises
        ------
        UserError
            Entries are of another code or functional, or nothing can be corrected.
        """
        self.check_references(entries)
        pairs: list[tuple[ComputedEntry, ComputedEntry]] = []
        left_out: list[tuple[str, str]] = []
        unguessed: list[str] = []
        for entry, name in zip(entries, names_of(entries), strict=True):
            if _is_corrected_elsewhere(entry):
                pairs.append((entry, entry))
                continue
            adjustments, refusal, no_states = _adjustments(entry)
            if refusal:
                left_out.append((name, refusal))
                continue
            pairs.append((entry, adjusted(entry, adjustments, self.name)))
            if no_states:
                unguessed.append(name)
        if entries and not pairs:
            raise UserError(
                f"the correction scheme {self.name} can correct none of the {len(entries)} entries: "
                f"{with_reasons(left_out)}"
            )
        return self._corrected(pairs, left_out, unguessed)

    def _corrected(
        self,
        pairs: Sequence[tuple[ComputedEntry, ComputedEntry]],
        left_out: Sequence[tuple[str, str]],
        unguessed: Sequence[str],
    ) -> Corrected:
        kept = [new for _, new in pairs]
        changes = [abs(new.energy_per_atom - old.energy_per_atom) for old, new in pairs]
        n_changed = sum(change > _FAR for change in changes)
        n_corrected = sum(bool(entry.energy_adjustments) for entry in kept)
        largest = max(changes, default=0.0)
        report = {
            "scheme": self.name,
            "version": self.version,
            "entries": len(kept),
            "corrected": n_corrected,
            "changed": n_changed,
            "largest_change": largest,
            "left_out": len(left_out),
            "oxidation_states_unknown": len(unguessed),
        }
        how = f"{n_changed} differ from the energies given, by up to {largest:.3f} eV/atom" if n_changed else "as given"
        lines = [f"{self.name} ({self.version}): {n_corrected} of {len(kept)} entries corrected; {how}"]
        if unguessed:
            lines.append(
                f"no oxidation states found, so the most electronegative element alone corrected: {some(unguessed)}"
            )
        if left_out:
            lines.append(told_left_out(left_out))
        return Corrected(tuple(kept), tuple(left_out), report, tuple(lines))

    def _refuse(self, other: Mapping[str, Sequence[object]]) -> None:
        raise UserError(
            f"the correction scheme {self.name} is made for GGA and GGA+U of the Materials Project's settings, "
            f"not for {in_words(other)}. {what_to_do(other)}, or calculate all with one protocol"
        )


def _is_corrected_elsewhere(entry: ComputedEntry) -> bool:
    """Whether an entry says that it is corrected, and brings neither corrections to take off nor what is needed."""
    return (
        protocol_of(entry) == MATERIALS_PROJECT
        and not entry.energy_adjustments
        and (is_due(entry) or calculated_by(entry) == NOT_STATED)
    )


def _adjustments(entry: ComputedEntry) -> tuple[Sequence[EnergyAdjustment], str, bool]:
    """Ask pymatgen for adjustments, why it refuses the entry, and whether it guessed which element is the anion."""
    from pymatgen.entries.compatibility import CompatibilityError, MaterialsProject2020Compatibility

    if states_corrections_only(entry):
        return [], f"called {protocol_of(entry)}, but without the corrections that were made", False
    if "potcar_symbols" not in entry.parameters and not entry.parameters.get("potcar_spec"):
        return [], "no potcar_symbols or potcar_spec in its parameters", False
    bare = adjusted(entry, [], MATERIALS_PROJECT)  # pymatgen writes oxidation states into the data
    if calculated_by(entry) in {"GGA", "GGA+U"}:  # it knows one spelling of the run type, in the parameters alone
        bare.parameters = {**entry.parameters, "run_type": calculated_by(entry)}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            adjustments = MaterialsProject2020Compatibility().get_adjustments(bare)
        except CompatibilityError as error:
            return [], _reason(entry, str(error)), False
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            return [], f"parameters or data that pymatgen cannot read ({type(error).__name__}: {error})", False
    unknown = any("guess oxidation states" in str(warning.message) for warning in said)
    by_state = mp2020_table().anions - _ALWAYS_AN_ANION
    return adjustments, "", unknown and not by_state.isdisjoint(entry.composition.get_el_amt_dict())


def _reason(entry: ComputedEntry, message: str) -> str:
    """Pymatgen's reason in short: its own message may hold the whole structure, or an id of None."""
    if "run type" in message:
        return f"run type {calculated_by(entry)}, not GGA or GGA+U"
    if "U value" in message:
        own = {symbol: f"{u:g}" for symbol, u in hubbard_u(entry).items()}
        given = ", ".join(f"{symbol} {u}" for symbol, u in own.items()) or "none"
        return f"{message.split(' for {', maxsplit=1)[0]} (run as {calculated_by(entry)}, U: {given})"
    return message
