"""References of the hull: which calculations they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition, Element
from pymatgen.core.entries import ComputedStructureEntry

from matscout.db.documents import CalculationRequest, Geometry
from matscout.errors import UserError
from matscout.workflows.campaign.energies import check_mixing, hull_protocol
from matscout.workflows.campaign.reference_prototypes import (
    BINARIES,
    CATION_ROLE_B,
    CLOSE_PACKED,
    ELEMENTS,
    MOLECULAR,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymatgen.core import Structure
    from pymatgen.core.entries import ComputedEntry

    from matscout.db.candidates import CandidateTable
    from matscout.workflows.calculations.protocols import Protocol
    from matscout.workflows.campaign.spec import CampaignSpec, ComputedReferences, FileReferences

Binary = tuple[str, str, int, int]
"""Cation, anion, and how many of each in the reduced formula."""


@dataclass(frozen=True)
class ReferencePlan:
    """What must be calculated before there is a hull.

    Attributes
    ----------
    requests
        Calculations, elements first.
    description
        One line for people: how many of what.
    entries
        Entries of the reference file; empty for computed references.
    counts
        The numbers of `description`, by name.
    formulas
        Reduced formulas of all phases that the hull should hold.
    """

    requests: tuple[CalculationRequest, ...]
    description: str
    entries: tuple[ComputedEntry, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    formulas: tuple[str, ...] = ()


def plan_references(spec: CampaignSpec, table: CandidateTable, entries: Sequence[ComputedEntry] = ()) -> ReferencePlan:
    """Say which calculations the hull's references need.

    Parameters
    ----------
    spec, table
        The campaign and its candidates.
    entries
        Entries of the reference file, when the campaign names one.

    Raises
    ------
    UserError
        More calculations are needed than the campaign allows, or the file lacks an element of the space.
    """
    protocol = spec.full_protocol()
    elements = elements_of(table)
    unknown = protocol.unknown_elements(elements)
    if unknown:
        raise UserError(
            f"protocol {protocol.name} has no parameters for {', '.join(unknown)}: leave them out of the space"
        )
    check_mixing(protocol, elements)
    if spec.references.source == "computed":
        return _plan_computed(spec.references, protocol, table)
    return _plan_file(spec.references, protocol, table, entries)


def _plan_computed(options: ComputedReferences, protocol: Protocol, table: CandidateTable) -> ReferencePlan:
    elements = elements_of(table)
    binaries = charge_balanced_binaries(table.chemical_systems)
    of_elements = [r for element in elements for r in _element_requests(element, protocol, options)]
    tried = options.prototypes_per_stoichiometry
    while True:
        of_binaries = [r for binary in binaries for r in _binary_requests(binary, protocol, options.max_sites, tried)]
        total = len(of_elements) + len(of_binaries)
        if total <= options.max_calculations:
            break
        tried -= 1
        if tried == 0:
            raise UserError(
                f"the references of this space need {total} calculations with one prototype for each of "
                f"{len(binaries)} binaries, more than the {options.max_calculations} allowed: name fewer elements"
            )
    counts = {
        "elements": len(elements),
        "element calculations": len(of_elements),
        "binaries": len(binaries),
        "binary calculations": len(of_binaries),
        "prototypes per stoichiometry": tried,
    }
    description = (
        f"{len(elements)} elements and {len(binaries)} charge-balanced binaries, at most {tried} prototypes each: "
        f"{total} calculations"
    )
    wanted = [Composition({cation: n, anion: m}).reduced_formula for cation, anion, n, m in binaries]
    formulas = {Composition(element).reduced_formula for element in elements} | set(wanted)
    return ReferencePlan((*of_elements, *of_binaries), description, counts=counts, formulas=tuple(sorted(formulas)))


def elements_of(table: CandidateTable) -> list[str]:
    """Return the elements that a table's candidates are made of, by atomic number."""
    return [Element.from_Z(int(z)).symbol for z in np.unique(table.decoration) if z]


def charge_balanced_binaries(chemical_systems: Iterable[str]) -> list[Binary]:
    """Binaries of common oxidation states in the given chemical systems.

    Parameters
    ----------
    chemical_systems
        Element symbols joined by dashes, such as ``Cl-Cs-Pb``.

    Returns
    -------
    Cation, anion and their numbers, sorted. The anion is the more electronegative of the two, and no metal: stannides
    and the like are intermetallics, whose compositions no counting of charges tells.

    Examples
    --------
    >>> charge_balanced_binaries(["F-K-Mg"])
    [('K', 'F', 1, 1), ('Mg', 'F', 1, 2)]
    """
    from matscout.workflows.enumeration.filters.oxidation import common_oxidation_states

    pairs = {pair for system in set(chemical_systems) for pair in combinations(system.split("-"), 2)}
    found = set()
    for pair in pairs:
        cation, anion = sorted(pair, key=_electronegativity)
        if Element(anion).is_metal:
            continue
        for positive in (s for s in common_oxidation_states(cation) if s > 0):
            for negative in (-s for s in common_oxidation_states(anion) if s < 0):
                common = gcd(positive, negative)
                found.add((cation, anion, negative // common, positive // common))
    return sorted(found)


def _electronegativity(symbol: str) -> tuple[float, str]:
    from ase.data import atomic_numbers

    value = Element(symbol).X if atomic_numbers[symbol] not in {2, 10, 18} else np.inf
    return float(value), symbol


def _request(protocol: Protocol, subject: str, structure: Structure) -> CalculationRequest:
    return CalculationRequest.of(
        Geometry.from_structure(structure),
        protocol=protocol.name,
        protocol_id=protocol.id,
        subject=subject,
        overrides=protocol.overrides,
    )


def _element_requests(element: str, protocol: Protocol, options: ComputedReferences) -> list[CalculationRequest]:
    if element in MOLECULAR:
        return [_molecular_request(element, protocol)]
    labels = tuple(dict.fromkeys((*ELEMENTS.get(element, ()), *CLOSE_PACKED)))
    usual = sorted(labels, key=lambda label: label != _at_room_temperature(element))
    chosen = usual[: options.prototypes_per_element]
    return [_prototype_request(label, [element], protocol) for label in labels if label in chosen]


def _at_room_temperature(element: str) -> str | None:
    """Return the close-packed prototype that an element has under ambient conditions, if it has one."""
    from ase.data import atomic_numbers, reference_states

    state = reference_states[atomic_numbers[element]]
    return dict(zip(("fcc", "bcc", "hcp"), CLOSE_PACKED, strict=True)).get(str(state["symmetry"])) if state else None


def _molecular_request(element: str, protocol: Protocol) -> CalculationRequest:
    """Ask for a molecule: alone in a box where the code knows an empty cell, else in its molecular crystal.

    In the crystal the molecules have their bond length, and their packing is left to the relaxation; semilocal DFT
    holds it together by next to nothing, and a box of one molecule is the cheaper cell.
    """
    from matscout.workflows.enumeration import get_prototype

    label, bond = MOLECULAR[element]
    if "vacuum_A" in protocol.settings:
        box = _boxed(element, bond, protocol.settings["vacuum_A"])
        return _request(protocol, f"reference:{element}2:molecule", box)
    structure = get_prototype(label).structure([element])
    *_, distances = structure.get_neighbor_list(4.0)
    structure.scale_lattice(structure.volume * (bond / distances.min()) ** 3)
    return _request(protocol, f"reference:{structure.composition.reduced_formula}:{label}", structure)


def _boxed(element: str, bond: float, vacuum: float) -> Structure:
    """Two atoms in a box that keeps its vacuum when the bond grows by a quarter."""
    from pymatgen.core import Lattice, Structure

    side = vacuum + bond / 4
    box = Lattice.orthorhombic(side + bond, side, side)
    return Structure(box, [element, element], [[0.0, 0.0, 0.0], [bond, 0.0, 0.0]], coords_are_cartesian=True)


def _prototype_request(label: str, elements: Sequence[str], protocol: Protocol) -> CalculationRequest:
    from matscout.workflows.enumeration import enumerate_candidates, get_prototype

    prototype = get_prototype(label)
    table = enumerate_candidates([prototype], {r: [e] for r, e in zip(prototype.roles, elements, strict=True)})
    return _request(protocol, f"reference:{table.formulas[0]}:{label}", table.structure(0))


def _binary_requests(binary: Binary, protocol: Protocol, max_sites: int, tried: int) -> list[CalculationRequest]:
    from matscout.workflows.enumeration import get_prototype

    cation, anion, n_cation, n_anion = binary
    few, many = sorted((n_cation, n_anion))
    requests = []
    for label in _binary_labels(few, many, max_sites)[:tried]:
        first, second = get_prototype(label).multiplicity
        cation_first = (first < second) == (n_cation < n_anion) if few != many else label not in CATION_ROLE_B
        requests.append(_prototype_request(label, (cation, anion) if cation_first else (anion, cation), protocol))
    return requests


@cache
def _binary_labels(few: int, many: int, max_sites: int) -> tuple[str, ...]:
    """Prototypes of a stoichiometry: the named ones, else the library's smallest."""
    from matscout.workflows.enumeration import get_prototype, prototype_library

    if (few, many) in BINARIES:
        return tuple(label for label in BINARIES[few, many] if get_prototype(label).n_sites <= max_sites)
    fitting = []
    for name, prototype in prototype_library().items():
        counts = sorted(int(n) for n in prototype.multiplicity)
        if len(counts) == 2 and counts[0] * many == counts[1] * few and prototype.n_sites <= max_sites:
            fitting.append((prototype.n_sites, name))
    return tuple(name for _, name in sorted(fitting)[:8])


def _plan_file(
    options: FileReferences, protocol: Protocol, table: CandidateTable, entries: Sequence[ComputedEntry]
) -> ReferencePlan:
    from matscout.workflows.stability.entries import missing_elements, restrict

    elements = elements_of(table)
    missing = missing_elements(entries, elements)
    if missing:
        raise UserError(
            f"{options.path} has no entry of the element{'s' * (len(missing) > 1)} {', '.join(missing)}, "
            "which the hull needs"
        )
    inside = restrict(entries, elements)
    if options.recompute:
        return _plan_recompute(options, protocol, inside)
    from matscout.workflows.stability.schemes import MATERIALS_PROJECT, get_scheme
    from matscout.workflows.stability.schemes.calibration import calibration_sample

    scheme = get_scheme(options.correction)
    given = [entry_name(entry) for entry in inside]
    scheme.check_protocols({MATERIALS_PROJECT: given} | {hull_protocol(protocol): ["all that the campaign calculates"]})
    try:
        scheme.check_references(inside)
    except UserError as error:
        raise UserError(f"{options.path}: {error}") from error
    sample = calibration_sample(inside, elements, options.error_sample)
    requests = tuple(_entry_request(entry, protocol) for entry in sample)
    description = (
        f"{len(inside)} entries of {options.path.name}, {len(requests)} of them calculated to measure the error"
    )
    counts = {"entries": len(inside), "calculations": len(requests)}
    return ReferencePlan(requests, description, tuple(inside), counts)


def _entry_request(entry: ComputedStructureEntry, protocol: Protocol) -> CalculationRequest:
    return _request(protocol, f"reference:{entry_name(entry)}", entry.structure)


def entry_name(entry: ComputedEntry) -> str:
    """Return what a file's entry is called on a hull: its reduced formula and its id."""
    return f"{entry.composition.reduced_formula}:{entry.entry_id}"


def _plan_recompute(options: FileReferences, protocol: Protocol, entries: Sequence[ComputedEntry]) -> ReferencePlan:
    """Choose the entries near the file's own hull, nearest first."""
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.schemes import corrected_entries, get_scheme, ids_by_protocol

    # Uncorrected GGA and GGA+U have no hull of their own; corrected, they tell which phases are worth calculating.
    protocols = ids_by_protocol(entries)
    mp2020 = get_scheme("mp2020")
    several = len(protocols) > 1 and mp2020.joins(protocols)
    judged = corrected_entries(entries, mp2020).entries if several else entries
    hull = Hull.from_entries(judged)
    distances = hull.e_above_hull([e.composition for e in judged], [e.energy_per_atom for e in judged])
    near = [judged[i] for i in np.argsort(distances, kind="stable") if distances[i] <= options.window]
    crystals = [entry for entry in near if isinstance(entry, ComputedStructureEntry)]
    lacking = {e.composition.reduced_formula for e in near} - {e.composition.reduced_formula for e in crystals}
    if lacking:
        raise UserError(
            f"{options.path} has no structure for {', '.join(sorted(lacking)[:5])}: it cannot be calculated again. "
            "Set recompute: false and name a correction scheme"
        )
    requests = tuple(_entry_request(entry, protocol) for entry in crystals)[: options.max_calculations]
    description = (
        f"of {len(entries)} entries of {options.path.name} {len(crystals)} lie within {options.window:g} eV/atom of "
        f"its hull; the nearest {len(requests)} are calculated again"
    )
    return ReferencePlan(
        requests, description, tuple(entries), {"entries": len(entries), "calculations": len(requests)}
    )
