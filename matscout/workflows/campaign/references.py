"""References of the hull: from results to phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.entries import ComputedStructureEntry

from matscout.errors import UserError
from matscout.workflows.campaign.energies import hull_energy, hull_entry, hull_protocol, own_scheme
from matscout.workflows.campaign.reference_plan import elements_of, entry_name
from matscout.workflows.stability.crystals import KnownCrystals
from matscout.workflows.stability.schemes import MATERIALS_PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry

    from matscout.db.candidates import CandidateTable
    from matscout.db.documents import CalculationResult
    from matscout.workflows.calculations.protocols import Protocol
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.spec import CampaignSpec, FileReferences


@dataclass(frozen=True)
class References:
    """The phases of a hull that are not candidates.

    Attributes
    ----------
    formulas, energies, ids
        One phase each; absolute energies in eV/atom.
    crystals
        Entries whose structure is known, those of the file that are not on the hull included: a candidate equal to one
        of them is no discovery.
    protocols
        Protocol of each energy.
    source, scheme
        Where they are from in a word or two, and the correction scheme of the hull.
    report
        Where they come from, and the measured error of what they are compared with, eV/atom.
    own
        Protocol of the candidates, whose energies stand beside them.
    """

    formulas: tuple[str, ...]
    energies: tuple[float, ...]
    ids: tuple[str, ...]
    crystals: tuple[ComputedEntry, ...]
    protocols: tuple[str, ...]
    source: str
    scheme: str
    report: dict[str, Any]
    own: Protocol

    @cached_property
    def known(self) -> KnownCrystals:
        """The crystals, to look candidates up among."""
        return KnownCrystals(self.crystals)


def build_references(
    spec: CampaignSpec,
    table: CandidateTable,
    plan: ReferencePlan,
    results: Mapping[str, CalculationResult],
) -> References:
    """Turn calculated (or given) references into the phases of a hull.

    Parameters
    ----------
    spec, table, plan
        The campaign, its candidates and what `plan_references` asked for.
    results
        Results of the plan's calculations, by id; failed ones are left off the hull and counted.

    Raises
    ------
    UserError
        No calculation of an element finished: names it, and why.
    """
    options = spec.references
    if options.source == "file" and not options.recompute:
        return _given_references(options, spec.full_protocol(), plan, results)
    protocol = spec.full_protocol()
    finished = [(r, results[r.id]) for r in plan.requests if r.id in results and results[r.id].outcome == "completed"]
    failed = [results[r.id] for r in plan.requests if r.id in results and results[r.id].outcome != "completed"]
    _check_elements(elements_of(table), [result for _, result in finished], failed)
    energies = [(result.formula, hull_energy(protocol, result)) for _, result in finished]
    report = {
        "source": plan.description,
        "phases": len(finished),
        "failed": len(failed),
        "lacking": _lacking(plan, [result.formula for _, result in finished]),
        "elements": element_errors(energies) if _on_that_scale(protocol) else {},
    }
    return References(
        formulas=tuple(result.formula for _, result in finished),
        energies=tuple(energy for _, energy in energies),
        ids=tuple(request.subject.removeprefix("reference:") for request, _ in finished),
        crystals=tuple(
            hull_entry(protocol, result, request.subject.removeprefix("reference:")) for request, result in finished
        )
        + _not_calculated(plan, {request.subject for request, _ in finished}),
        protocols=(hull_protocol(protocol),) * len(finished),
        source="references calculated",
        scheme=own_scheme(protocol),
        report=report,
        own=protocol,
    )


def _lacking(plan: ReferencePlan, formulas: Sequence[str]) -> list[str]:
    """Return the formulas that the hull should hold and does not: no prototype has them, or no calculation finished."""
    return sorted(set(plan.formulas) - set(formulas))


def _check_elements(
    elements: Sequence[str], finished: Sequence[CalculationResult], failed: Sequence[CalculationResult]
) -> None:
    from pymatgen.core import Composition

    have = {Composition(result.formula).chemical_system for result in finished}
    for element in elements:
        if element not in have:
            causes = [
                f"{r.subject.split(':', 1)[1]}: {r.message}"
                for r in failed
                if Composition(r.formula).chemical_system == element
            ]
            raise UserError(
                f"no reference of the element {element} could be calculated "
                f"({'; '.join(causes) or 'none was asked for'}): "
                "leave it out of space.elements, or take references from a file"
            )


@cache
def known_element_energies() -> dict[str, float]:
    """Energies of the elements in the Materials Project, eV/atom (source in the data file)."""
    import json

    text = (files("matscout.workflows.calculations") / "mp_elements.json").read_text(encoding="utf-8")
    energies: dict[str, float] = json.loads(text)["energies"]
    return energies


def _on_that_scale(protocol: Protocol) -> bool:
    """Whether energies of a protocol count from where the Materials Project's GGA does: each method has its zero."""
    return protocol.code == "chgnet" or protocol.corrections == MATERIALS_PROJECT


def element_errors(energies: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Compare the lowest energy of each element with the Materials Project's.

    Parameters
    ----------
    energies
        Formula and energy of each phase, eV/atom.

    Returns
    -------
    Calculated minus known energy, eV/atom, by element; elements without a known value are left out.
    """
    from pymatgen.core import Composition

    lowest: dict[str, float] = {}
    for formula, energy in energies:
        composition = Composition(formula)
        if composition.is_element:
            symbol = composition.chemical_system
            lowest[symbol] = min(lowest.get(symbol, np.inf), energy)
    known = known_element_energies()
    return {element: lowest[element] - known[element] for element in sorted(lowest) if element in known}


def _not_calculated(plan: ReferencePlan, calculated: set[str]) -> tuple[ComputedStructureEntry, ...]:
    """Return the file's entries with a structure that the campaign did not calculate, under the same kind of name."""
    return tuple(
        ComputedStructureEntry(entry.structure, entry.energy, entry_id=entry_name(entry))
        for entry in plan.entries
        if isinstance(entry, ComputedStructureEntry) and f"reference:{entry_name(entry)}" not in calculated
    )


def _given_references(
    options: FileReferences, protocol: Protocol, plan: ReferencePlan, results: Mapping[str, CalculationResult]
) -> References:
    from matscout.workflows.stability.schemes import corrected_entries, protocols_of
    from matscout.workflows.stability.schemes.calibration import measure_error

    entries = corrected_entries(plan.entries, options.correction).entries
    by_subject = {f"reference:{entry_name(entry)}": entry for entry in entries}
    pairs = [
        (by_subject[request.subject].energy_per_atom, hull_energy(protocol, results[request.id]))
        for request in plan.requests
        if request.id in results and results[request.id].outcome == "completed"
    ]
    if not pairs:
        raise UserError(
            f"the error of {options.correction} could not be measured: none of the {len(plan.requests)} entries "
            "calculated for it finished. See them with: matscout failures"
        )
    error = measure_error([given for given, _ in pairs], [calculated for _, calculated in pairs])
    return References(
        formulas=tuple(entry.composition.reduced_formula for entry in entries),
        energies=tuple(float(entry.energy_per_atom) for entry in entries),
        ids=tuple(entry_name(entry) for entry in entries),
        crystals=_not_calculated(plan, set()),
        protocols=tuple(protocols_of(entries)),
        source=Path(options.path).name,
        scheme=options.correction,
        report={
            "source": plan.description,
            "phases": len(entries),
            "failed": len(plan.requests) - len(pairs),
            "correction": options.correction,
            "error": asdict(error),
        },
        own=protocol,
    )
