"""Files as rows to be featurized: formulas in CSV, Parquet or text, crystals in files or folders, candidate tables.

Everything is read part by part, but CSV, whose columns have no kind before the last row is read.
"""

from __future__ import annotations

import zlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.featurizers.parts import CrystalPart, FormulaPart, Source
from matscout.featurizers.tables import csv_source, parquet_source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from matscout.featurizers.parts import Part

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
        `STRUCTURE_COLUMNS` of `matscout.featurizers.tables`. A column `id` says what rows are known by; all others are
        kept beside the features, one called `formula` as `input formula` where it is not the one chosen.

    Raises
    ------
    UserError
        There is no such file or column, or it holds nothing of this.
    """
    path = Path(path)
    if path.is_dir():
        _refuse_column(path, column)
        return _folder(path)
    if not path.is_file():
        near = nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else None
        raise UserError(f"no file or folder {path}." + (f" Did you mean {path.parent / near}?" if near else ""))
    ending = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()
    if ending in {".csv", ".csv.gz"}:
        return csv_source(path, column)
    if ending == ".parquet":
        return parquet_source(path, column)
    _refuse_column(path, column)
    if ending in {".txt", ".txt.gz"}:
        return _lines(path)
    return _crystals([path], str(path))


def _refuse_column(path: Path, column: str | None) -> None:
    if column is not None:
        raise UserError(f"{path} has no columns: --column belongs to CSV and Parquet")


def formulas_in(lines: Sequence[str], name: str) -> Source:
    """Take a formula from each line that is not empty."""
    formulas = [line.strip().removeprefix("\ufeff") for line in lines if line.strip()]

    def read(size: int) -> Iterator[Part]:
        for start in range(0, len(formulas), size):
            rows = range(start, min(start + size, len(formulas)))
            yield FormulaPart(formulas[rows.start : rows.stop], [str(row) for row in rows])

    return Source("formulas", read, len(formulas), name=name)


def _lines(path: Path) -> Source:
    import gzip

    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            return formulas_in(file.readlines(), str(path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as text: {error}") from error


# crystals


def _folder(path: Path) -> Source:
    files = sorted(file for file in path.iterdir() if not file.is_dir() and _may_hold_crystals(file))
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
    def read(size: int) -> Iterator[Part]:
        rows = (row for file in files for row in _crystals_of(file, alone=len(files) == 1))
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
