"""Tables of element properties that a user brings, checked: as a frame, a mapping, a CSV file or a document."""

from __future__ import annotations

import csv
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers, symbols
from matscout.errors import UserError, nearest
from matscout.featurizers.elements import ElementTable
from matscout.featurizers.formulas import ISOTOPES

if TYPE_CHECKING:
    from pandas import DataFrame

    TableSource = ElementTable | DataFrame | Mapping[str, Any] | os.PathLike[str] | str

_MOST_SHOWN = 60  # characters of something wrong


def is_table(source: Any) -> TypeGuard[TableSource]:
    """Whether something is meant as a table of element properties; a text is if it names a CSV file."""
    if isinstance(source, str):
        return source.lower().endswith(".csv")
    return isinstance(source, (ElementTable, Mapping, os.PathLike)) or _is_frame(source)


def _is_frame(source: Any) -> bool:
    return hasattr(source, "columns") and hasattr(source, "index")


def read_element_table(source: TableSource) -> ElementTable:
    """Read a table of element properties.

    Parameters
    ----------
    source
        An `ElementTable`; a pandas frame with the element symbols as its index; a mapping from symbol to the
        properties by name; a CSV file with the columns ``element,property,...``, empty where a value is unknown; or
        what `table_document` wrote.

    Returns
    -------
    The table, NaN where a property is unknown.

    Raises
    ------
    UserError
        A symbol is unknown or stands twice, so does the name of a property, a value is no finite number, or there is
        nothing in it; the message says where.

    Examples
    --------
    >>> table = read_element_table({"Fe": {"price": 0.4}, "Au": {"price": 58_000}})
    >>> table.properties, table.values[[26, 79, 8], 0].tolist()
    (('price',), [0.4, 58000.0, nan])
    """
    if isinstance(source, ElementTable):
        return _checked(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_csv(Path(source))
    given: Any = source
    if _is_frame(given):
        return _from_frame(given)
    if _is_document(given):
        return _from_document(given)
    rows = []
    for symbol, values in given.items():
        if not isinstance(values, Mapping):
            raise UserError(f"element properties: expected {_shown(symbol)}: {{property: value}}, got {_shown(values)}")
        rows.append((f"element {_shown(symbol)}", symbol, values))
    properties = dict.fromkeys(name for _, _, values in rows for name in values)
    return _table("element properties", tuple(properties), rows)


def table_document(table: ElementTable) -> dict[str, Any]:
    """Write a table as JSON takes it: elements without any value are left out, unknown values null."""
    rows = {
        symbols()[z]: [None if np.isnan(value) else float(value) for value in table.values[z]]
        for z in range(1, N_ELEMENTS)
        if not np.isnan(table.values[z]).all()
    }
    return {
        "properties": list(table.properties),
        "units": list(table.units),
        "citations": list(table.citations),
        "values": rows,
    }


def _is_document(source: Mapping[str, Any]) -> bool:
    return {"properties", "values"} <= set(source)


def _from_document(document: Mapping[str, Any]) -> ElementTable:
    properties = tuple(document["properties"])
    rows = [
        (f"element {symbol}", symbol, dict(zip(properties, values, strict=True)))
        for symbol, values in document["values"].items()
    ]
    table = _table("element properties", properties, rows)
    units = tuple(document.get("units", table.units))
    return _checked(ElementTable(properties, units, table.values, tuple(document.get("citations", ()))))


def _from_frame(frame: DataFrame) -> ElementTable:
    known = frame.notna()
    _check_names("the frame", frame.columns)
    rows = (
        (f"row {_shown(symbol)}", symbol, dict(zip(frame.columns, _known_values(values, mask), strict=True)))
        for symbol, values, mask in zip(
            frame.index, frame.itertuples(index=False, name=None), known.itertuples(index=False, name=None), strict=True
        )
    )
    return _table("the frame", tuple(frame.columns), rows)


def _known_values(values: Sequence[Any], known: Sequence[bool]) -> Iterator[Any]:
    return (value if is_known else None for value, is_known in zip(values, known, strict=True))


def _from_csv(path: Path) -> ElementTable:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            if not header or header[0].casefold() not in {"element", "symbol"}:
                raise UserError(
                    f"{path}: the first line must name the columns, element first, as element,price,hardness; "
                    f"it is {_shown(','.join(header))}"
                )
            _check_names(str(path), header[1:])
            return _table(str(path), tuple(header[1:]), _csv_rows(path, lines, header))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read as a table of element properties: {reason}") from error


def _csv_rows(path: Path, lines: Any, header: Sequence[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    for fields in lines:
        if not any(field.strip() for field in fields):
            continue
        where = f"line {lines.line_num}"
        if len(fields) != len(header):
            raise UserError(f"{path}, {where}: {len(fields)} fields for {len(header)} columns")
        symbol, *values = (field.strip() for field in fields)
        yield where, symbol, dict(zip(header[1:], values, strict=True))


def _table(name: str, properties: tuple[str, ...], rows: Iterable[tuple[str, Any, Mapping[str, Any]]]) -> ElementTable:
    """Put rows (where it stands, symbol, properties) into a table."""
    _check_names(name, properties)
    column = {one: place for place, one in enumerate(properties)}
    values = np.full((N_ELEMENTS, len(properties)), np.nan)
    seen: set[int] = set()
    for where, symbol, given in rows:
        number = _atomic_number(name, where, symbol)
        if number in seen:
            raise UserError(f"{name}, {where}: {symbols()[number]} stands there twice")
        seen.add(number)
        for one, value in given.items():
            values[number, column[one]] = _number(f"{name}, {where}, {one}", value)
    if not seen:
        raise UserError(f"{name}: there is no element in it")
    return ElementTable(tuple(map(str, properties)), ("",) * len(properties), values, ())


def _check_names(name: str, properties: Iterable[Any]) -> None:
    names = list(properties)
    if not names:
        raise UserError(f"{name}: there is no property in it")
    for place, one in enumerate(names):
        if not isinstance(one, str) or not one.strip():
            raise UserError(f"{name}: a property needs a name, got {_shown(one)}")
        if one in names[:place]:
            raise UserError(f'{name}: the property "{one}" stands there twice')


def _atomic_number(name: str, where: str, symbol: Hashable) -> int:
    text = str(getattr(symbol, "symbol", symbol))
    number = atomic_numbers().get(text)
    if number is None:
        if text in ISOTOPES:
            raise UserError(f"{name}, {where}: {text} counts as hydrogen, so give its properties as H")
        near = nearest(text, atomic_numbers()) if 0 < len(text) < 4 else None
        hint = f" Nearest: {near}." if near else ""
        raise UserError(f"{name}, {where}: there is no element {_shown(text)}.{hint}")
    return number


def _number(where: str, value: Any) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: {_shown(value)} is not a number; leave it empty where it is unknown") from None
    if np.isinf(number):
        raise UserError(f"{where}: {number:g} is not finite; leave it empty where it is unknown")
    return number


def _checked(table: ElementTable) -> ElementTable:
    """Check a table that was made by hand."""
    _check_names("the ElementTable", table.properties)
    values = np.asarray(table.values, dtype=float)
    n = len(table.properties)
    if values.shape != (N_ELEMENTS, n):
        raise UserError(
            f"the ElementTable has values of the shape {values.shape}: {n} properties take "
            f"({N_ELEMENTS}, {n}), a row for each atomic number from 0"
        )
    if len(table.units) != n:
        raise UserError(f"the ElementTable has {len(table.units)} units for {n} properties")
    if np.isinf(values).any():
        number, column = np.argwhere(np.isinf(values))[0].tolist()
        raise UserError(
            f"the ElementTable, {symbols()[number]}, {table.properties[column]}: not finite; NaN stands for unknown"
        )
    return ElementTable(tuple(table.properties), tuple(table.units), values, tuple(table.citations))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
