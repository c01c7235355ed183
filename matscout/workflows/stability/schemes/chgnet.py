"""CHGNet beside the Materials Project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.schemes.base import CorrectionScheme, in_words, is_materials_project, named
from matscout.workflows.stability.schemes.protocols import MATERIALS_PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry

_CORRECTED_ANIONS = frozenset({"O", "S", "F", "Cl", "Br", "I", "N"})


class ChgnetAsMp2020(CorrectionScheme):
    """CHGNet energies beside MP2020-corrected Materials Project entries, unchanged.

    CHGNet was trained on energies that already held the MP2020 corrections, so its energies estimate corrected ones,
    and must not be corrected again. The error of that estimate is measured, with `calibration_sample` and
    `measure_error`, on entries that the protocol calculates again.

    References
    ----------
    Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
    """

    name = "chgnet-as-mp2020"
    summary = "CHGNet energies beside MP2020-corrected Materials Project entries"

    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Take CHGNet protocols and the corrected entries."""
        other = {p: ids for p, ids in entries_of.items() if p != MATERIALS_PROJECT and not p.startswith("chgnet-")}
        if other:
            raise UserError(
                f"the correction scheme {self.name} joins chgnet- protocols with {MATERIALS_PROJECT} entries, "
                f"not with {in_words(other)}"
            )

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Refuse entries with other corrections, without a sign of the Materials Project, or not corrected."""
        foreign = [entry for entry in entries if not all(a.name.startswith("MP2020") for a in entry.energy_adjustments)]
        self._refuse(foreign, "are corrected, but not by MP2020")
        bare = [entry for entry in entries if not entry.energy_adjustments]
        unknown = [entry for entry in bare if not is_materials_project(entry)]
        self._refuse(unknown, "show no sign of the Materials Project: no corrections, and no run_type in parameters")
        due = [entry for entry in entries if _is_anion_compound(entry)]
        raw = [entry for entry in due if not entry.energy_adjustments]
        # MP2020 leaves a few of these compounds alone, where it finds no negative oxidation state, but never most.
        self._refuse(raw if 2 * len(raw) > len(due) else [], "are not corrected, though MP2020 corrects such anions")

    def _refuse(self, entries: Sequence[ComputedEntry], why: str) -> None:
        if entries:
            raise UserError(
                f"the correction scheme {self.name} needs MP2020-corrected Materials Project entries, but "
                f"{len(entries)} {why}: {named(entries)}. Apply pymatgen's MaterialsProject2020Compatibility first, "
                f"or calculate the references again (recompute: true)"
            )


def _is_anion_compound(entry: ComputedEntry) -> bool:
    symbols = entry.composition.get_el_amt_dict()
    return len(symbols) > 1 and not _CORRECTED_ANIONS.isdisjoint(symbols)
