"""Entries from files: pymatgen's computed entries as JSON, or as its tables of entries, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monty.json import MontyDecoder
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
    EnergyAdjustment,
    ManualEnergyAdjustment,
    TemperatureEnergyAdjustment,
)

from matscout.errors import UserError
from matscout.workflows.stability.blocks import names_from_formulas, some
from matscout.workflows.stability.compositions import fraction_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from os import PathLike

_GZIP = b"\x1f\x8b"
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
    last. Either may be gzipped, whatever its name. Each entry comes out with an id of its own: the second "mp-1" of a
    file becomes "mp-1#2", one without an id goes by its formula. No class but pymatgen's entries, their energy
    adjustments and structures is made of what the file says.

    Raises
    ------
    UserError
        The file is missing, not JSON, cut short, or holds no entries, or an entry is incomplete.
    """
    place = Path(path)
    content = _bytes(place)
    if place.name.lower().removesuffix(".gz").endswith(".csv"):
        entries = _table_entries(content, place)
    else:
        document = _document(content, place)
        entries = [_entry(item, f"{path}, entry {name}") for name, item in _listed(document, path)]
    _give_ids(entries)
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


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except FileNotFoundError:
        raise UserError(f"no file of entries {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); copy or download it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _document(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content, object_hook=_disarm)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); expected pymatgen entries as JSON, gzipped or not") from error


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
        named = [(_name(i, item), item) for i, item in enumerate(content)]
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


def _name(i: int, item: Any) -> str:
    entry_id = item.get("entry_id") if isinstance(item, dict) else None
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
        raise UserError(
            f"{path} has the columns {', '.join(header)[:80] or 'of an empty file'}; expected those of pymatgen: Name, "
            "a symbol for each element, and Energy (eV per cell) as the last"
        )
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


def _give_ids(entries: list[ComputedEntry | ComputedStructureEntry]) -> None:
    """Make ids distinct, in the order of the file, and fill in the missing ones."""
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
    table = fraction_table([entry.composition for entry in entries])
    energies = np.array([entry.energy_per_atom for entry in entries])
    names = names_from_formulas(table, energies, [entry.entry_id for entry in entries])
    for entry, name in zip(entries, map(str, names), strict=True):
        entry.entry_id = name
