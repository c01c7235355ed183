"""Entries from files: pymatgen's computed entries as JSON, or as its tables of entries, gzipped or not."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monty.json import MontyDecoder
from pymatgen.core.composition import Composition
from pymatgen.core.entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
    EnergyAdjustment,
    ManualEnergyAdjustment,
    TemperatureEnergyAdjustment,
)
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from matscout.errors import UserError
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.files import parse_document, read_content
from matscout.workflows.stability.naming import names_from_formulas, some

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from os import PathLike

_COLUMNS = "those of pymatgen: Name, a symbol for each element, and Energy (eV per cell) as the last"
_OTHER_ENERGIES = re.compile(r"atom|formation|hull|mev|hartree|\bha\b|ry\b|rydberg|joule|\bkj|kcal", re.IGNORECASE)
_ENTRIES = frozenset({"ComputedEntry", "ComputedStructureEntry"})
_ADJUSTMENTS: dict[str, type[EnergyAdjustment]] = {
    cls.__name__: cls
    for cls in (
        CompositionEnergyAdjustment,
        ConstantEnergyAdjustment,
        ManualEnergyAdjustment,
        TemperatureEnergyAdjustment,
    )
}
# A file may name any class to be made of its content. Only these are; all else stays plain data.
_KNOWN_CLASSES = frozenset(
    {
        ("datetime", "datetime"),
        ("numpy", "array"),
        ("pymatgen.core.composition", "Composition"),
        ("pymatgen.core.lattice", "Lattice"),
        ("pymatgen.core.periodic_table", "Element"),
        ("pymatgen.core.periodic_table", "Species"),
        ("pymatgen.core.sites", "PeriodicSite"),
        ("pymatgen.core.structure", "PeriodicSite"),
        ("pymatgen.core.structure", "Structure"),
        *(
            (module, name)
            for module in ("pymatgen.core.entries", "pymatgen.entries.computed_entries")
            for name in (*_ENTRIES, *_ADJUSTMENTS)
        ),
    }
)
_FOREIGN = "class not read"


def read_entries(path: str | PathLike[str]) -> list[ComputedEntry | ComputedStructureEntry]:
    """Read computed entries from JSON, or from a table as pymatgen's `EntrySet.to_csv` writes it.

    A JSON file holds a list of entries, or a mapping of names to entries, also under the key "entries". A table is a
    file named .csv or .csv.gz: a column of names, one of amounts for each element, and the energy in eV per cell as the
    last. Either may be gzipped, whatever its name. Each entry comes out with an id of its own: one without goes by its
    formula, and the second "Li2O" of a table that names its rows by formula becomes "Li2O#2". An entry that is there
    twice comes out once. No class but pymatgen's entries, their energy adjustments and structures is made of what the
    file says.

    Raises
    ------
    UserError
        The file is missing, not JSON, cut short, or holds no entries, an entry is incomplete, or an id stands for two
        entries.
    """
    place = Path(path)
    content = read_content(place, "entries")
    if place.name.lower().removesuffix(".gz").endswith(".csv"):
        entries = _table_entries(content, place)
        named_by_formula = [_is_named_by_formula(entry) for entry in entries]
    else:
        document = parse_document(content, place, "pymatgen entries as JSON, gzipped or not", object_hook=_disarm)
        entries = [_entry(item, f"{path}, entry {name}") for name, item in _listed(document, path)]
        named_by_formula = [False] * len(entries)
    entries = _once_each(entries, named_by_formula, place)
    _give_ids(entries, place)
    return entries


def missing_elements(entries: Iterable[ComputedEntry], elements: Iterable[str]) -> list[str]:
    """Elements, in alphabetical order, that no entry is the pure element of."""
    present = {_symbols(entry)[0] for entry in entries if len(_symbols(entry)) == 1}
    return sorted(set(elements) - present)


def restrict(entries: Iterable[ComputedEntry], elements: Collection[str]) -> list[ComputedEntry]:
    """Entries that hold no other elements than these, in their order."""
    allowed = set(elements)
    return [entry for entry in entries if allowed.issuperset(_symbols(entry))]


def _symbols(entry: ComputedEntry) -> list[str]:
    return list(entry.composition.get_el_amt_dict())


def _disarm(item: dict[str, Any]) -> dict[str, Any]:
    """Turn what names any other class than the known ones, or a function, into plain data."""
    if "@module" not in item and "@callable" not in item and "@class" not in item:
        return item
    wanted = (item.get("@module"), item.get("@class"))
    if (
        "@callable" not in item
        and isinstance(wanted[0], str)
        and isinstance(wanted[1], str)
        and wanted in _KNOWN_CLASSES
    ):
        return item
    plain = {key: value for key, value in item.items() if not key.startswith("@")}
    return {_FOREIGN: ".".join(str(part) for part in wanted if part), **plain}


def _listed(document: Any, path: object) -> list[tuple[str, dict[str, Any]]]:
    """Name and dict of every entry in a document."""
    content = document.get("entries", document) if isinstance(document, dict) else document
    if isinstance(content, dict):
        named = [(str(name), item) for name, item in content.items()]
    elif isinstance(content, list):
        named = [
            (_name(i, item.get("entry_id") if isinstance(item, dict) else None), item) for i, item in enumerate(content)
        ]
    else:
        named = []
    good = [(name, item) for name, item in named if isinstance(item, dict) and _is_entry(item)]
    if not good:
        raise UserError(
            f"{path} holds no entries but {_describe(content)}; expected a list of pymatgen computed entries"
        )
    if len(good) < len(named):
        bad = next(item for _, item in named if not (isinstance(item, dict) and _is_entry(item)))
        raise UserError(f"{path}: {len(named) - len(good)} of {len(named)} are not entries, the first {_describe(bad)}")
    return good


def _name(i: int, entry_id: object) -> str:
    return f"{i}" if entry_id is None else f"{i} ({entry_id})"


def _is_entry(item: dict[str, Any]) -> bool:
    return item.get("@class") in _ENTRIES or ("@class" not in item and bool({"composition", "structure"} & set(item)))


def _describe(content: Any) -> str:
    if isinstance(content, list):
        return f"a list of {len(content)}" + (f", the first {_describe(content[0])}" if content else "")
    if isinstance(content, dict):
        kind = content.get("@class") or content.get(_FOREIGN)
        return f"a {kind}" if kind else (f"a mapping with {some(content)}" if content else "an empty mapping")
    return f"{str(content)[:40]!r}"


def _entry(item: dict[str, Any], place: str) -> ComputedEntry | ComputedStructureEntry:
    energy = item.get("energy")
    if isinstance(energy, bool) or not isinstance(energy, int | float) or not math.isfinite(energy):
        raise UserError(f"{place} has no energy: {energy!r}; expected eV per cell")
    try:
        adjustments = [_adjustment(each) for each in item.get("energy_adjustments") or []]
        correction = 0.0 if adjustments else float(item.get("correction") or 0.0)
        common: dict[str, Any] = {
            "correction": correction,
            "energy_adjustments": adjustments,
            "parameters": _plain(item.get("parameters")),
            "data": _plain(item.get("data")),
            "entry_id": item.get("entry_id"),
        }
        if item.get("structure") is not None:
            structure = Structure.from_dict(item["structure"])
            return ComputedStructureEntry(structure, energy, composition=item.get("composition"), **common)
        return ComputedEntry(item["composition"], energy, **common)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{place} cannot be read: {type(error).__name__}: {error}") from error


def _adjustment(item: dict[str, Any]) -> EnergyAdjustment:
    cls = _ADJUSTMENTS.get(item.get("@class", ""))
    if cls is None:
        raise ValueError(f"unknown energy adjustment {item.get('@class') or item.get(_FOREIGN)!r}")
    return cls(**{key: value for key, value in item.items() if not key.startswith("@")})


def _plain(content: dict[str, Any] | None) -> dict[str, Any]:
    return {key: MontyDecoder().process_decoded(value) for key, value in (content or {}).items()}


def _table_entries(content: bytes, path: Path) -> list[ComputedEntry | ComputedStructureEntry]:
    """Entries of a table: name, amounts of the elements, energy in eV per cell."""
    try:
        lines = list(csv.reader(content.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a table of entries ({error})") from error
    header = [name.strip() for name in lines[0]] if lines else []
    elements = header[1:-1]
    foreign = [name for name in elements if not Element.is_valid_symbol(name)]
    if not elements or foreign or len(set(elements)) < len(elements) or "energy" not in header[-1].lower():
        raise UserError(f"{path} has the columns {', '.join(header)[:80] or 'of an empty file'}; expected {_COLUMNS}")
    if Element.is_valid_symbol(header[0]):
        raise UserError(f"{path} has no column of names but {header[0]} as the first; expected {_COLUMNS}")
    if _OTHER_ENERGIES.search(header[-1]):
        raise UserError(f"{path} has {header[-1]!r} as its energies; expected {_COLUMNS}")
    entries = [_table_entry(row, elements, f"{path}, line {n}") for n, row in enumerate(lines[1:], 2) if row]
    if not entries:
        raise UserError(f"{path} holds no entries below its first line")
    return entries


def _table_entry(row: list[str], elements: list[str], place: str) -> ComputedEntry:
    if len(row) != len(elements) + 2:
        raise UserError(f"{place} has {len(row)} columns; expected {len(elements) + 2}")
    name, *amounts, energy = row
    try:
        numbers = {symbol: float(amount or 0) for symbol, amount in zip(elements, amounts, strict=True)}
        value = float(energy)
    except ValueError as error:
        raise UserError(f"{place} ({name}) cannot be read: {error}") from None
    if not math.isfinite(value):
        raise UserError(f"{place} ({name}) has no energy: {energy}; expected eV per cell")
    if not all(math.isfinite(amount) and amount >= 0 for amount in numbers.values()) or not any(numbers.values()):
        raise UserError(f"{place} ({name}) has no composition: {', '.join(amounts)}")
    return ComputedEntry({s: n for s, n in numbers.items() if n}, value, entry_id=name.strip() or None)


def _is_named_by_formula(entry: ComputedEntry) -> bool:
    """Whether the name of an entry is its formula, so that others may have it too."""
    try:
        return Composition(str(entry.entry_id)).reduced_formula == entry.reduced_formula
    except (ValueError, KeyError):
        return False


def _once_each(
    entries: list[ComputedEntry | ComputedStructureEntry], named_by_formula: Sequence[bool], path: Path
) -> list[ComputedEntry | ComputedStructureEntry]:
    """Leave out repeated entries, and refuse an id that stands for two different ones."""
    first: dict[str, ComputedEntry] = {}
    kept, clashes = [], []
    for entry, by_formula in zip(entries, named_by_formula, strict=True):
        known = None if entry.entry_id is None or by_formula else first.setdefault(str(entry.entry_id), entry)
        if known is None or known is entry:
            kept.append(entry)
        elif known.composition.reduced_composition != entry.composition.reduced_composition:
            clashes.append(f"{entry.entry_id} ({known.formula} and {entry.formula})")
        elif abs(known.energy_per_atom - entry.energy_per_atom) > SAME_ENERGY:
            energies = f"{known.energy_per_atom:.6g} and {entry.energy_per_atom:.6g} eV/atom"
            clashes.append(f"{entry.entry_id} ({energies})")
    if clashes:
        raise UserError(f"{path}: one id stands for two entries: {some(clashes)}; give each entry an id of its own")
    return kept


def _give_ids(entries: list[ComputedEntry | ComputedStructureEntry], path: Path) -> None:
    """Make ids distinct, in the order of the file, and fill in the missing ones."""
    places = [f"{_name(i, entry.entry_id)} of {path}" for i, entry in enumerate(entries)]
    table = fraction_table([entry.composition for entry in entries], places)
    taken = {str(entry.entry_id) for entry in entries if entry.entry_id is not None}
    count: Counter[str] = Counter()
    for entry in entries:
        if entry.entry_id is None:
            continue
        own = name = str(entry.entry_id)
        count[own] += 1
        if count[own] > 1:
            while (name := f"{own}#{count[own]}") in taken:
                count[own] += 1
        taken.add(name)
        entry.entry_id = name
    energies = np.array([entry.energy_per_atom for entry in entries])
    names = names_from_formulas(table, energies, [entry.entry_id for entry in entries])
    for entry, name in zip(entries, map(str, names), strict=True):
        entry.entry_id = name
