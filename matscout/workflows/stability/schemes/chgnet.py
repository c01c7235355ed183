"""CHGNet beside the Materials Project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.schemes.base import Corrected, CorrectionScheme, adjusted, in_words
from matscout.workflows.stability.schemes.protocols import (
    MATERIALS_PROJECT,
    OTHER_CORRECTIONS,
    is_gga_of_materials_project,
    names_of,
    other_version,
    protocol_of,
    protocols_of,
    unpublished_corrections,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry

_CHGNET = frozenset({"chgnet-relax", "chgnet-static"})
"""Protocols whose model learned MP2020-corrected energies: another CHGNet may have learned others."""

_STATE = (
    f"State it in each entry of the file: the run_type, hubbards and potcar_symbols of the Materials Project under "
    f'"parameters", or "protocol": "{MATERIALS_PROJECT}" (or "chgnet-relax") under "data"'
)
_CORRECT = "Correct them by pymatgen's MaterialsProject2020Compatibility first"
_OTHERWISE = "or calculate the references again (in a campaign, references: recompute: true)"


class ChgnetAsMp2020(CorrectionScheme):
    """CHGNet energies beside MP2020-corrected Materials Project entries, unchanged.

    CHGNet was trained on energies that already held the MP2020 corrections, so its energies estimate corrected ones,
    and must not be corrected again. The error of that estimate is measured, with `calibration_sample` and
    `measure_error`, on entries that the protocol calculates again.

    Every entry must be one or the other: energies that MP2020 would correct, and that are not, are refused, and so are
    those that do not state how they were calculated.

    References
    ----------
    Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
    """

    name = "chgnet-as-mp2020"
    summary = "CHGNet energies beside MP2020-corrected Materials Project entries"

    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Take CHGNet protocols and the corrected entries."""
        other = {p: ids for p, ids in entries_of.items() if p != MATERIALS_PROJECT and p not in _CHGNET}
        if other:
            raise UserError(
                f"the correction scheme {self.name} joins {' and '.join(sorted(_CHGNET))} with {MATERIALS_PROJECT} "
                f"entries, not with {in_words(other)}" + (f". {_STATE}" if NOT_STATED in other else "")
            )

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Refuse entries that are neither CHGNet's nor corrected as MP2020 is published."""
        self._protocols(entries)

    def correct(self, entries: Sequence[ComputedEntry]) -> Corrected:
        """Leave energies as they are, once it is sure whose they are.

        Raises
        ------
        UserError
            As `check_references`.
        """
        protocols = self._protocols(entries)
        # Elements and alloys have no correction that would show that they belong to the corrected entries.
        told = [
            entry if protocol_of(entry) == protocol else adjusted(entry, entry.energy_adjustments, protocol)
            for entry, protocol in zip(entries, protocols, strict=True)
        ]
        return super().correct(told)

    def _protocols(self, entries: Sequence[ComputedEntry]) -> list[str]:
        """Protocol of each entry: "mp2020" or one of CHGNet's."""
        protocols = protocols_of(entries, beside=MATERIALS_PROJECT)
        refused: dict[str, list[str]] = {}
        for entry, name, protocol in zip(entries, names_of(entries), protocols, strict=True):
            found = protocol
            if protocol == MATERIALS_PROJECT and (own := unpublished_corrections(entry)):
                found = f"{MATERIALS_PROJECT} with {own}"
            if found != MATERIALS_PROJECT and found not in _CHGNET:
                refused.setdefault(found, []).append(f"{name} ({entry.reduced_formula})")
        if refused:
            why = "; ".join(f"{len(who)} {_why(protocol)}: {some(who)}" for protocol, who in sorted(refused.items()))
            raise UserError(
                f"the correction scheme {self.name} needs MP2020-corrected Materials Project entries, but "
                f"{why}. {'. '.join(_advice(refused))}, {_OTHERWISE}"
            )
        return protocols


def _why(protocol: str) -> str:
    version = other_version(protocol)
    if version:
        return f"are corrected by another version of MP2020 ({version})"
    if protocol == OTHER_CORRECTIONS:
        return "are corrected, but not by MP2020"
    if protocol == NOT_STATED:
        return "do not state how they were calculated"
    if is_gga_of_materials_project(protocol):
        return f"are not corrected ({protocol}), though MP2020 corrects such compounds"
    return f"are of {protocol}"


def _advice(refused: Mapping[str, object]) -> list[str]:
    """Say what to do about refused protocols."""
    stated = [_STATE] if NOT_STATED in refused else []
    gga = [_CORRECT] if any(map(is_gga_of_materials_project, refused)) else []
    return [*stated, *gga] or ["Leave them out"]
