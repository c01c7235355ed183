"""Which protocol an entry was calculated by, and which protocols a set of entries holds.

An entry says so itself, as `data["protocol"]` or `parameters["protocol"]`; else it is read from what the Materials
Project writes into its entries: run type, Hubbard U and energy adjustments.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from pymatgen.core.entries import CompositionEnergyAdjustment

from matscout.workflows.stability.blocks import NOT_STATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pymatgen.core.entries import ComputedEntry, EnergyAdjustment

MATERIALS_PROJECT = "mp2020"
"""Protocol of reference entries: Materials Project settings with MP2020 corrections."""

OTHER_CORRECTIONS = "mp-legacy"
"""Materials Project settings with other corrections than MP2020, such as those from before 2021."""

MIXED_FUNCTIONALS = "mp-gga-r2scan"
"""Materials Project entries joined by its own GGA/r2SCAN mixing scheme."""

_WITHOUT_U = frozenset({MATERIALS_PROJECT, OTHER_CORRECTIONS, MIXED_FUNCTIONALS, NOT_STATED})
_FITTED = "fitted-references"
_SPELLING = {"gga": "GGA", "pbe": "PBE", "pbesol": "PBEsol", "scan": "SCAN", "r2scan": "r2SCAN"}
_CORRECTED_ANIONS = frozenset({"S", "F", "Cl", "Br", "I", "N", "H", "Se", "Te", "Sb", "Si"})
_SAME_U = 1e-6  # eV
_SAME_CORRECTION = 4  # digits of eV/atom; published corrections have three
_UNKNOWN_U = float("nan")


def protocol_of(entry: ComputedEntry) -> str:
    """Protocol of an entry on its own.

    Returns
    -------
    What the entry states in `data["protocol"]` or `parameters["protocol"]`; else "mp2020" for an entry with MP2020
    corrections, "mp-legacy" for a GGA run with other corrections; else the run type, such as "GGA", "GGA+U" or
    "r2SCAN", after the code where that is not VASP; else "not stated".

    An element or an alloy in a file of corrected entries has no correction of its own: `protocols_of` tells that it
    belongs to the others.

    Examples
    --------
    >>> from pymatgen.core.entries import ComputedEntry
    >>> protocol_of(ComputedEntry("Fe2O3", -30, parameters={"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0}}))
    'GGA+U'
    >>> protocol_of(ComputedEntry("Fe2O3", -30, data={"protocol": "gpaw-pbe"}))
    'gpaw-pbe'
    """
    stated = _stated(entry)
    if stated is not None:
        return stated
    marks = list(_marks(entry.energy_adjustments))
    calculated = calculated_by(entry)
    if not marks:
        return calculated
    if any(mark.name.endswith("mixing adjustment") for mark in marks):
        return MIXED_FUNCTIONALS
    if calculated.removesuffix("+U") not in {"GGA", NOT_STATED}:
        return f"{calculated} corrected"
    if all(mark.name.startswith("MP2020") for mark in marks):
        return MATERIALS_PROJECT
    return NOT_STATED if calculated == NOT_STATED else OTHER_CORRECTIONS


def protocols_of(entries: Iterable[ComputedEntry]) -> list[str]:
    """Protocol of each entry, judged together with the others.

    Three things are seen only in the set:

    - Beside corrected Materials Project entries, a GGA entry without corrections is corrected too if none are due:
      elements and alloys are, an oxide is not.
    - GGA and GGA+U are the same calculation for what holds no element with a U. They are one protocol, "GGA+U", unless
      an element has a U in one entry and none, or another, in the next.
    - MP2020 corrections of two versions, which differ in their energies per atom, are two protocols.
    """
    listed = list(entries)
    names = [protocol_of(entry) for entry in listed]
    present = set(names)
    corrected = next(
        (name for name in (MIXED_FUNCTIONALS, MATERIALS_PROJECT, OTHER_CORRECTIONS) if name in present), ""
    )
    if corrected:
        names = [
            corrected if _belongs(entry, name, corrected) else name for entry, name in zip(listed, names, strict=True)
        ]
    _tell_versions_apart(listed, names)
    _tell_u_apart(listed, names)
    return names


def ids_by_protocol(entries: Iterable[ComputedEntry]) -> dict[str, list[object]]:
    """Ids of the entries of each protocol, as `CorrectionScheme.check_protocols` takes them; a formula where no id."""
    listed = list(entries)
    found: dict[str, list[object]] = {}
    for entry, name in zip(listed, protocols_of(listed), strict=True):
        found.setdefault(name, []).append(name_of(entry))
    return found


def name_of(entry: ComputedEntry) -> str:
    """Id of an entry for messages and reports; its formula where it has none."""
    return entry.reduced_formula if entry.entry_id is None else str(entry.entry_id)


def calculated_by(entry: ComputedEntry) -> str:
    """Run type of an entry whatever was corrected later: "GGA", "GGA+U", "r2SCAN" and so on.

    An entry that names another protocol than one of the corrected sets goes by that name.
    """
    stated = _stated(entry)
    if stated is not None and not _is_corrected_set(stated):
        return stated
    run_type = entry.parameters.get("run_type") or entry.data.get("run_type")
    if not run_type:
        return NOT_STATED
    plain = str(run_type).replace("_U", "+U").removesuffix("+U")
    functional = _SPELLING.get(plain.casefold(), plain)
    software = str(entry.parameters.get("software") or "vasp")
    if software.casefold() != "vasp":
        functional = f"{software} {functional}"
    return f"{functional}+U" if hubbard_u(entry) else functional


def hubbard_u(entry: ComputedEntry) -> dict[str, float]:
    """U in eV of each element of the entry that has one; NaN for all where only the run type says that there is a U."""
    given = entry.parameters.get("hubbards")
    if given:
        present = entry.composition.get_el_amt_dict()
        return {symbol: float(u) for symbol, u in given.items() if abs(float(u)) > _SAME_U and symbol in present}
    run_type = str(entry.parameters.get("run_type") or entry.data.get("run_type") or "")
    if run_type.replace("_U", "+U").endswith("+U"):
        return dict.fromkeys(entry.composition.get_el_amt_dict(), _UNKNOWN_U)
    return {}


def is_gga_of_materials_project(protocol: str) -> bool:
    """Whether a protocol is GGA or GGA+U as the Materials Project runs them, corrected or not."""
    return protocol in {"GGA", OTHER_CORRECTIONS} or protocol.startswith(("GGA+U", MATERIALS_PROJECT))


def is_due(entry: ComputedEntry) -> bool:
    """Whether MP2020 would change the energy of an entry of Materials Project settings.

    The rule of pymatgen's MaterialsProject2020Compatibility, told without its corrections: oxygen other than in
    ozonides, a most electronegative element that is an anion with a correction, or a Hubbard U.
    """
    amounts = entry.composition.get_el_amt_dict()
    if len(amounts) == 1:
        return False
    if hubbard_u(entry) or ("O" in amounts and entry.data.get("oxide_type") != "ozonide"):
        return True
    anion = most_electronegative(entry)
    return anion in _CORRECTED_ANIONS and not -1 < _oxidation_state(entry, anion) < 0


def most_electronegative(entry: ComputedEntry) -> str:
    """Symbol of the element with the largest Pauling electronegativity."""
    return str(max(entry.composition.elements, key=lambda element: element.X).symbol)


def states_corrections_only(entry: ComputedEntry) -> bool:
    """Whether an entry names a corrected set but brings no corrections that could be taken off again."""
    stated = _stated(entry)
    return stated is not None and _is_corrected_set(stated) and not entry.energy_adjustments and is_due(entry)


def _stated(entry: ComputedEntry) -> str | None:
    name = entry.data.get("protocol") or entry.parameters.get("protocol")
    return None if not name else str(name)


def _is_corrected_set(protocol: str) -> bool:
    return protocol in {MATERIALS_PROJECT, OTHER_CORRECTIONS} or protocol.startswith(_FITTED)


def _marks(adjustments: Sequence[EnergyAdjustment]) -> Iterator[EnergyAdjustment]:
    """Pick the adjustments that show a correction: those of 0 eV are no sign, unless MP2020 put them there."""
    return (each for each in adjustments if each.name.startswith("MP2020") or abs(each.value) > 0)


def _belongs(entry: ComputedEntry, name: str, corrected: str) -> bool:
    """Whether an entry without corrections is one of a corrected set all the same."""
    if _stated(entry) is not None:
        return False
    if corrected == MIXED_FUNCTIONALS and name in {"r2SCAN", MATERIALS_PROJECT}:
        return True
    return name == "GGA" and not is_due(entry)


def _oxidation_state(entry: ComputedEntry, symbol: str) -> float:
    """Oxidation state as pymatgen's compatibility takes it: given with the entry, else guessed; 0 where unknown."""
    states: Any = entry.data.get("oxidation_states")
    if states is None:
        try:
            guesses = entry.composition.oxi_state_guesses(max_sites=-20)
        except ValueError:  # too large a formula
            guesses = ()
        states = guesses[0] if guesses else {}
    return float(states.get(symbol, 0))


def _tell_versions_apart(entries: Sequence[ComputedEntry], names: list[str]) -> None:
    """Name the MP2020 entries whose correction per atom is not that of most of the set."""
    seen: dict[str, Counter[float]] = defaultdict(Counter)
    corrections: dict[int, dict[str, float]] = {}
    for i, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if name != MATERIALS_PROJECT:
            continue
        corrections[i] = {
            each.name: round(each.value / each.n_atoms, _SAME_CORRECTION)
            for each in entry.energy_adjustments
            if isinstance(each, CompositionEnergyAdjustment) and each.n_atoms
        }
        for kind, value in corrections[i].items():
            seen[kind][value] += 1
    usual = {kind: values.most_common(1)[0][0] for kind, values in seen.items() if len(values) > 1}
    for i, own in corrections.items():
        other = [f"{kind} {own[kind]:g} eV/atom" for kind in sorted(usual) if own.get(kind, usual[kind]) != usual[kind]]
        if other:
            names[i] = f"{MATERIALS_PROJECT} with {' and '.join(other).replace('MP2020 ', '')}"


def _tell_u_apart(entries: Sequence[ComputedEntry], names: list[str]) -> None:
    """Make one protocol of a functional with and without +U where no element is treated in two ways."""
    by_functional: dict[str, list[int]] = defaultdict(list)
    for i, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if name not in _WITHOUT_U and _stated(entry) is None and name == calculated_by(entry):
            by_functional[name.removesuffix("+U")].append(i)
    for functional, rows in by_functional.items():
        if any(names[i] != functional for i in rows):
            _name_by_u(functional, rows, entries, names)


def _name_by_u(functional: str, rows: Sequence[int], entries: Sequence[ComputedEntry], names: list[str]) -> None:
    treatments: dict[str, set[float]] = defaultdict(set)
    for i in rows:
        own = hubbard_u(entries[i])
        for symbol in entries[i].composition.get_el_amt_dict():
            treatments[symbol].add(own.get(symbol, 0.0))
    if all(len(values) == 1 for values in treatments.values()):
        for i in rows:
            names[i] = f"{functional}+U"
        return
    several = {symbol for symbol, values in treatments.items() if len(values - {0.0}) > 1}
    for i in rows:
        own = {symbol: u for symbol, u in hubbard_u(entries[i]).items() if symbol in several}
        if own:
            names[i] += f" ({', '.join(f'{symbol} {own[symbol]:g}' for symbol in sorted(own))})"
