"""CSV and Parquet files as rows to be featurized: one column of formulas or structures, the others carried along.

Columns that are carried along keep one type from the first row to the last: it is never guessed part by part.
"""

from __future__ import annotations

import json
import warnings
import zlib
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.featurizers.feature_files import METADATA_KEY, OWN_COLUMNS
from matscout.featurizers.parts import CandidatePart, CrystalPart, FormulaPart, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from matscout.featurizers.parts import Kind, Part

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty")
"""Names by which a column of formulas is found; upper and lower case are the same."""

STRUCTURE_COLUMNS = ("structure",)
"""Names by which a column of structures, as pymatgen's JSON, is found."""


def csv_source(path: Path, column: str | None) -> Source:
    """Read a CSV file, gzipped or not.

    Raises
    ------
    UserError
        It cannot be read, a row has more fields than the header, or there is no such column.
    """
    import pandas as pd

    try:
        names = [str(name) for name in pd.read_csv(path, nrows=0, index_col=False).columns]
        chosen = _chosen(path, names, column)
        # sodium nitride is written NaN, which pandas would take for a gap
        texts = {name: str for name in (chosen, "id") if name in names}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, converters=texts, index_col=False, low_memory=False)
    except pd.errors.ParserWarning:
        raise UserError(f"{path}: rows have more fields than the header names: is there a comma too many?") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OSError, EOFError, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as CSV: {error}") from error
    table = _arrow(frame)
    kind = _kind(chosen, frame[chosen].head(1).tolist())

    def read(size: int) -> Iterator[Part]:
        return _parts(table.to_batches(max_chunksize=size), chosen, kind)

    return Source(kind, read, len(frame), name=str(path))


def parquet_source(path: Path, column: str | None) -> Source:
    """Read a Parquet file: of a frame, of a candidate table, or of features, whose features are left out.

    Raises
    ------
    UserError
        It cannot be read, or there is no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, names, n_rows = file.metadata.metadata or {}, file.schema_arrow.names, file.metadata.num_rows
            if b"matscout.candidates" in metadata:
                if column is not None:
                    raise UserError(f"{path} is a table of candidates: --column belongs to formulas and structures")
                return _candidates(path, n_rows)
            _refuse_twice(path, names)
            ours = _feature_columns(metadata)
            chosen = _chosen(path, [name for name in names if name not in ours], column)
            first = next(file.iter_batches(batch_size=1, columns=[chosen]), None)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    kind = _kind(chosen, [] if first is None else first.column(0).to_pylist())

    def read(size: int) -> Iterator[Part]:
        try:
            with pq.ParquetFile(path) as opened:
                yield from _parts(opened.iter_batches(batch_size=size), chosen, kind, ours)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} cannot be read as Parquet: {error}") from error

    return Source(kind, read, n_rows, name=str(path))


def _candidates(path: Path, n_rows: int) -> Source:
    from matscout.db.candidate_files import iterate_candidate_file

    first = next(iterate_candidate_file(path, 1), None)

    def read(size: int) -> Iterator[Part]:
        return map(CandidatePart, iterate_candidate_file(path, size))

    return Source("candidates", read, n_rows, prototypes=() if first is None else first.prototypes, name=str(path))


def _feature_columns(metadata: dict[bytes, bytes]) -> set[str]:
    """Columns of a file of features that are made anew: the features, and their errors."""
    if METADATA_KEY.encode() not in metadata:
        return set()
    document = json.loads(metadata[METADATA_KEY.encode()])
    return {"errors", *(column["name"] for one in document["featurizers"] for column in one["columns"])}


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f'{path} has two columns "{name}": rename one')


def _arrow(frame: Any) -> Any:
    """Turn a frame into an Arrow table; a column of different kinds of values becomes one of texts."""
    import pyarrow as pa

    columns = {}
    for name in frame.columns:
        try:
            columns[str(name)] = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            texts = [None if value != value else str(value) for value in frame[name]]  # noqa: PLR0124  NaN is a gap
            columns[str(name)] = pa.array(texts, pa.string())
    return pa.table(columns)


def _chosen(path: Path, names: Sequence[str], column: str | None) -> str:
    """Name the column of formulas or structures."""
    if column is not None:
        if column in names:
            return column
        near = nearest(column, names)
        raise UserError(
            f'{path} has no column "{column}". '
            + (f"Did you mean {near}? " if near else "")
            + f"It has: {_some(names)}"
        )
    for wanted in (*STRUCTURE_COLUMNS, *FORMULA_COLUMNS):
        for name in names:
            if name.lower() == wanted:
                return name
    raise UserError(
        f"{path} has no column of formulas ({', '.join(FORMULA_COLUMNS)}) or structures: name it by --column. "
        f"Its first line names: {_some(names)}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _kind(column: str, first: Sequence[Any]) -> Kind:
    """Tell structures from formulas by the column's name, or by what its first row looks like."""
    text = first[0] if first else ""
    looks_so = isinstance(text, dict) or (isinstance(text, str) and text.lstrip()[:1] == "{")
    return "crystals" if column.lower() in STRUCTURE_COLUMNS or looks_so else "formulas"


def _parts(batches: Iterable[Any], column: str, kind: Kind, left_out: Iterable[str] = ()) -> Iterator[Part]:
    """Rows of Arrow batches; columns other than the formula and the id go along."""
    start = 0
    for batch in batches:
        rows = batch.column(column).to_pylist()
        numbers = range(start, start + len(rows))
        named = batch.column("id").to_pylist() if "id" in batch.schema.names and column != "id" else numbers
        ids = [str(number if name is None else name) for name, number in zip(named, numbers, strict=True)]
        chosen = {column} if kind == "crystals" or column in OWN_COLUMNS else set()
        extra = {
            f"input {name}" if name in OWN_COLUMNS else name: batch.column(name)
            for name in batch.schema.names
            if name not in {"id", *left_out, *chosen} and not name.startswith("__index_level_")
        }
        start += len(rows)
        if kind == "crystals":
            yield CrystalPart([_structure(row) for row in rows], ids, extra)
        else:
            yield FormulaPart(rows, ids, extra)


def _structure(row: Any) -> Any:
    """Read a structure as pymatgen's JSON; an error in its place where it is none."""
    from pymatgen.core.structure import Structure

    from matscout.crystals.structure_files import PARSER_ERRORS

    try:
        document = json.loads(row) if isinstance(row, str) else row
        return Structure.from_dict(document)
    except PARSER_ERRORS as error:
        return UserError(f"no structure of pymatgen as JSON ({type(error).__name__}: {error})"[:200])
