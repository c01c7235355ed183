"""Files as rows to be featurized: formulas in CSV, Parquet or text, crystals in files or folders, candidate tables.

Everything is read part by part, but CSV, whose columns have no kind before the last row is read.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.featurizers.parts import CandidatePart, CrystalPart, FormulaPart, Source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from matscout.featurizers.parts import Kind, Part

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula", "pretty_formula", "formula_pretty")
"""Names by which a column of formulas is found; upper and lower case are the same."""

STRUCTURE_COLUMNS = ("structure",)
"""Names by which a column of structures, as pymatgen's JSON, is found."""

_CRYSTAL_ENDINGS = (".cif", ".mcif", ".vasp", ".poscar", ".xyz", ".extxyz", ".json")
_CRYSTAL_NAMES = ("POSCAR", "CONTCAR")


def read_source(path: str | os.PathLike[str], *, column: str | None = None) -> Source:
    """Find out what rows a file or a folder holds.

    Parameters
    ----------
    path
        CSV, gzipped or not, with a column of formulas or of structures as pymatgen's JSON; Parquet of a frame with
        such a column, or of a candidate table; a text file with a formula in each line; a file of crystals (CIF,
        POSCAR, pymatgen's JSON, extended XYZ), or a folder of such files.
    column
        The column of formulas or structures; found by its name if there is one of `FORMULA_COLUMNS` or
        `STRUCTURE_COLUMNS`. A column `id` says what rows are known by; all others are kept beside the features.

    Raises
    ------
    UserError
        There is no such file or column, or it holds nothing of this.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        near = nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else None
        raise UserError(f"no file or folder {path}." + (f" Did you mean {path.parent / near}?" if near else ""))
    ending = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()
    if ending in {".csv", ".csv.gz"}:
        return _csv(path, column)
    if ending == ".parquet":
        return _parquet(path, column)
    if column is not None:
        raise UserError(f"{path} has no columns: --column belongs to CSV and Parquet")
    if ending in {".txt", ".txt.gz"}:
        return _lines(path)
    return _crystals([path], str(path))


def formulas_in(lines: Sequence[str], name: str) -> Source:
    """Take a formula from each line that is not empty."""
    formulas = [line.strip() for line in lines if line.strip()]

    def read(size: int) -> Iterator[Part]:
        for start in range(0, len(formulas), size):
            rows = range(start, min(start + size, len(formulas)))
            yield FormulaPart(formulas[rows.start : rows.stop], [str(row) for row in rows])

    return Source("formulas", read, len(formulas), name=name)


def _lines(path: Path) -> Source:
    import gzip

    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return formulas_in(file.readlines(), str(path))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text: {error}") from error


# crystals


def _folder(path: Path) -> Source:
    files = sorted(file for file in path.iterdir() if file.is_file() and _may_hold_crystals(file))
    if not files:
        raise UserError(
            f"{path} holds no file of crystals: their names end in {', '.join(_CRYSTAL_ENDINGS)}, or begin with POSCAR "
            "or CONTCAR"
        )
    return _crystals(files, str(path))


def _may_hold_crystals(file: Path) -> bool:
    name = file.name.lower().removesuffix(".gz")
    return not name.startswith(".") and (name.endswith(_CRYSTAL_ENDINGS) or file.name.startswith(_CRYSTAL_NAMES))


def _crystals(files: Sequence[Path], name: str) -> Source:
    rows = (row for file in files for row in _crystals_of(file, alone=len(files) == 1))

    def read(size: int) -> Iterator[Part]:
        while batch := list(islice(rows, size)):
            yield CrystalPart([structure for _, structure in batch], [name for name, _ in batch])

    return Source("crystals", read, about=len(files) if len(files) > 1 else None, name=name)


def _crystals_of(file: Path, *, alone: bool) -> Iterator[tuple[str, Any]]:
    """Give the crystals of a file by their names, then what could not be read, as errors."""
    from matscout.crystals.structure_files import read_structures

    try:
        structures, refused = read_structures(file)
    except UserError as error:
        if alone:
            raise
        yield file.name, error
        return
    yield from structures
    for crystal in refused:
        yield crystal.name, UserError(crystal.reason)


# tables


def _csv(path: Path, column: str | None) -> Source:
    import pandas as pd

    try:
        names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
        chosen = _chosen(path, names, column)
        # sodium nitride is written NaN, which pandas would take for a gap
        texts = {name: str for name in (chosen, "id") if name in names}
        frame = pd.read_csv(path, converters=texts)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}") from error

    kind = _kind(chosen, frame[chosen].head(1).tolist())

    def read(size: int) -> Iterator[Part]:
        for start in range(0, len(frame), size):
            yield _frame_part(frame.iloc[start : start + size], chosen, kind, start)

    return Source(kind, read, len(frame), name=str(path))


def _parquet(path: Path, column: str | None) -> Source:
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    try:
        file = pq.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a Parquet file: {error}") from error
    with file:
        if b"matscout.candidates" in (file.metadata.metadata or {}):
            return _candidates(path, file.metadata.num_rows)
        chosen = _chosen(path, file.schema_arrow.names, column)
        first = next(file.iter_batches(batch_size=1, columns=[chosen]), None)
        n_rows = file.metadata.num_rows
    kind = _kind(chosen, [] if first is None else first[0].to_pylist())

    def read(size: int) -> Iterator[Part]:
        start = 0
        with pq.ParquetFile(path) as opened:
            for batch in opened.iter_batches(batch_size=size):
                yield _frame_part(batch.to_pandas(), chosen, kind, start)
                start += batch.num_rows

    return Source(kind, read, n_rows, name=str(path))


def _candidates(path: Path, n_rows: int) -> Source:
    from matscout.db.candidate_files import iterate_candidate_file

    first = next(iterate_candidate_file(path, 1), None)

    def read(size: int) -> Iterator[Part]:
        return map(CandidatePart, iterate_candidate_file(path, size))

    return Source("candidates", read, n_rows, prototypes=() if first is None else first.prototypes, name=str(path))


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
        f"It has: {_some(names)}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _kind(column: str, first: Sequence[Any]) -> Kind:
    """Tell structures from formulas by the column's name, or by what its first row looks like."""
    text = first[0] if first else ""
    looks_so = isinstance(text, dict) or (isinstance(text, str) and text.lstrip()[:1] == "{")
    return "crystals" if column.lower() in STRUCTURE_COLUMNS or looks_so else "formulas"


def _frame_part(frame: pd.DataFrame, column: str, kind: Kind, start: int) -> Part:
    """Rows of a frame; columns other than the formula and the id go along."""
    rows = frame[column].tolist()
    ids = frame["id"].astype(str).tolist() if "id" in frame else [str(start + row) for row in range(len(frame))]
    named = {"id", "formula", *([column] if kind == "crystals" else [])}
    extra = {str(name): frame[name].to_numpy() for name in frame.columns if name not in named}
    if kind == "crystals":
        return CrystalPart([_structure(row) for row in rows], ids, extra)
    return FormulaPart(rows, ids, extra)


def _structure(row: Any) -> Any:
    """Read a structure as pymatgen's JSON; an error in its place where it is none."""
    from pymatgen.core.structure import Structure

    from matscout.crystals.structure_files import PARSER_ERRORS

    try:
        document = json.loads(row) if isinstance(row, str) else row
        return Structure.from_dict(document)
    except PARSER_ERRORS as error:
        return UserError(f"no structure of pymatgen as JSON ({type(error).__name__}: {error})"[:200])
