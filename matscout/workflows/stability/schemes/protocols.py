"""Which protocol an entry was calculated by, and which protocols a set of entries holds.

An entry says so itself, as `data["protocol"]` or `parameters["protocol"]`; else it is read from what the Materials
Project writes into its entries: run type, Hubbard U and energy adjustments.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from pymatgen.core.entries import CompositionEnergyAdjustment

from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.schemes.due import hubbard_u, is_due
from matscout.workflows.stability.schemes.mp2020_table import mp2020_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry, EnergyAdjustment

MATERIALS_PROJECT = "mp2020"
"""Protocol of reference entries: Materials Project settings with MP2020 corrections."""

OTHER_CORRECTIONS = "mp-legacy"
"""Materials Project settings with other corrections than MP2020, such as those from before 2021."""

MIXED_FUNCTIONALS = "mp-gga-r2scan"
"""Materials Project entries joined by its own GGA/r2SCAN mixing scheme."""

_WITHOUT_U = frozenset({MATERIALS_PROJECT, OTHER_CORRECTIONS, MIXED_FUNCTIONALS, NOT_STATED})
_PLAIN_GGA = frozenset({"GGA", "GGA+U"})
_FITTED = re.compile(r"fitted-references [0-9a-f]{8}")
_ANOTHER_VERSION = re.compile(rf"{MATERIALS_PROJECT} with (.+ eV/atom)")
_WITH_U = re.compile(r"(.+)\+U(?: \([A-Z][a-z]? [0-9.]+(?:, [A-Z][a-z]? [0-9.]+)*\))?")
_SPELLING = {"gga": "GGA", "pbe": "PBE", "pbesol": "PBEsol", "scan": "SCAN", "r2scan": "r2SCAN"}
_SAME_CORRECTION = 4  # digits of eV/atom; published corrections have three


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


def protocols_of(entries: Iterable[ComputedEntry], beside: str = "") -> list[str]:
    """Protocol of each entry, judged together with the others.

    Three things are seen only in the set:

    - Beside corrected Materials Project entries, a GGA entry without corrections is corrected too if none are due:
      elements and alloys are, an oxide is not.
    - GGA and GGA+U are the same calculation for what holds no element with a U. They are one protocol, "GGA+U", unless
      an element has a U in one entry and none, or another, in the next.
    - MP2020 corrections of two versions, which differ in their energies per atom, are two protocols.

    Parameters
    ----------
    entries
        The set.
    beside
        Corrected set that the entries will stand beside, such as "mp2020"; told from the entries themselves where
        empty.
    """
    listed = list(entries)
    names = [protocol_of(entry) for entry in listed]
    present = set(names)
    corrected = beside or next(
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
    """Names of the entries of each protocol, as `CorrectionScheme.check_protocols` takes them."""
    listed = list(entries)
    found: dict[str, list[object]] = {}
    for name, protocol in zip(names_of(listed), protocols_of(listed), strict=True):
        found.setdefault(protocol, []).append(name)
    return found


def names_of(entries: Iterable[ComputedEntry]) -> list[str]:
    """Ids of entries for messages and reports; one without goes by its formula and its place.

    Examples
    --------
    >>> from pymatgen.core.entries import ComputedEntry
    >>> names_of([ComputedEntry("MgO", -12, entry_id="mp-1265"), ComputedEntry("Mg", -1.5)])
    ['mp-1265', 'Mg (entries[1])']
    """
    return [
        f"{entry.reduced_formula} (entries[{i}])" if entry.entry_id is None else str(entry.entry_id)
        for i, entry in enumerate(entries)
    ]


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


def without_u(protocol: str) -> str:
    """Name of a protocol as `protocols_of` makes it, without its +U.

    Examples
    --------
    >>> without_u("GGA+U (Fe 4)"), without_u("GGA+U-QE"), without_u("r2SCAN")
    ('GGA', 'GGA+U-QE', 'r2SCAN')
    """
    found = _WITH_U.fullmatch(protocol)
    return found[1] if found else protocol


def is_gga_of_materials_project(protocol: str) -> bool:
    """Whether a protocol is GGA or GGA+U as the Materials Project runs them, corrected or not.

    Names are those that `protocols_of` makes, to the letter: "GGA+U-QE" and "mp2020-gpaw" are protocols of their own.
    """
    return without_u(protocol) == "GGA" or _is_mp_corrected(protocol) or bool(other_version(protocol))


def runs_as_materials_project(entry: ComputedEntry, protocol: str) -> bool:
    """Whether an entry of a protocol is GGA or GGA+U as the Materials Project runs them, corrected or not.

    What an entry states is believed only where it is the plain name.
    """
    stated = _stated(entry)
    if calculated_by(entry) in _PLAIN_GGA:
        return True
    return is_gga_of_materials_project(protocol) if stated is None else _is_mp_corrected(stated)


def other_version(protocol: str) -> str:
    """Say what sets a protocol of MP2020 corrections apart from the others of its set; empty where nothing does.

    Examples
    --------
    >>> other_version("mp2020 with anion correction (oxide) -0.9 eV/atom"), other_version("mp2020")
    ('anion correction (oxide) -0.9 eV/atom', '')
    """
    found = _ANOTHER_VERSION.fullmatch(protocol)
    return found[1] if found else ""


def unpublished_corrections(entry: ComputedEntry) -> str:
    """MP2020 corrections of an entry that are not those of the table of pymatgen, in words; empty where all are."""
    published = mp2020_table().by_name
    own = _corrections(entry)
    return _written({kind: value for kind, value in own.items() if value not in published.get(kind, ())})


def states_corrections_only(entry: ComputedEntry) -> bool:
    """Whether an entry names a corrected set but brings no corrections that could be taken off again."""
    stated = _stated(entry)
    return stated is not None and _is_corrected_set(stated) and not entry.energy_adjustments and is_due(entry)


def _stated(entry: ComputedEntry) -> str | None:
    name = entry.data.get("protocol") or entry.parameters.get("protocol")
    return None if not name else str(name)


def _is_corrected_set(protocol: str) -> bool:
    return _is_mp_corrected(protocol) or _FITTED.fullmatch(protocol) is not None


def _is_mp_corrected(protocol: str) -> bool:
    return protocol in {MATERIALS_PROJECT, OTHER_CORRECTIONS}


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


def _tell_versions_apart(entries: Sequence[ComputedEntry], names: list[str]) -> None:
    """Name the MP2020 entries whose correction per atom is not the published one, or not that of most of the set."""
    corrections = {
        i: _corrections(entry)
        for i, (entry, name) in enumerate(zip(entries, names, strict=True))
        if name == MATERIALS_PROJECT
    }
    seen: dict[str, Counter[float]] = defaultdict(Counter)
    for own in corrections.values():
        for kind, value in own.items():
            seen[kind][value] += 1
    usual = {kind: _usual(kind, values) for kind, values in seen.items() if len(values) > 1}
    for i, own in corrections.items():
        other = _written({kind: own[kind] for kind in usual if own.get(kind, usual[kind]) != usual[kind]})
        if other:
            names[i] = f"{MATERIALS_PROJECT} with {other}"


def _corrections(entry: ComputedEntry) -> dict[str, float]:
    """Corrections of an entry in eV/atom, by name."""
    return {
        each.name: round(each.value / each.n_atoms, _SAME_CORRECTION)
        for each in entry.energy_adjustments
        if isinstance(each, CompositionEnergyAdjustment) and each.n_atoms
    }


def _usual(kind: str, values: Counter[float]) -> float:
    """Take the published value if the set has it, else the most common."""
    published = mp2020_table().by_name.get(kind, frozenset())
    # Between equally common ones the lower, so that the order of the entries does not matter.
    return min(values, key=lambda value: (value not in published, -values[value], value))


def _written(corrections: Mapping[str, float]) -> str:
    return " and ".join(f"{kind} {corrections[kind]:g} eV/atom" for kind in sorted(corrections)).replace("MP2020 ", "")


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
