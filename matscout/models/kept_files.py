"""Files that models are kept in: their form, and reading them so that a damaged one is said in one sentence."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.files import write_text
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

FORM = 1
"""Number of the form in which models are kept: another one for each change of what any of their files holds."""

_UNFIT = (ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError)
# a header that is damaged may ask for any amount of memory
_NO_ARCHIVE = (*_UNFIT, MemoryError, OSError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)


class DamagedError(UserError):
    """A kept file was cut short, changed or lost.

    Parameters
    ----------
    file
        The file.
    what
        What is wrong with it.
    folder
        What the user knows the model by; the file's own folder if left out.
    """

    def __init__(self, file: Path, what: str = "cannot be read", folder: Path | None = None) -> None:
        self.file, self.what = file, what
        place = file.parent if folder is None else folder
        super().__init__(f"{place} is damaged ({file.relative_to(place).as_posix()} {what}): train it again")


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Say that a file is damaged, whatever goes wrong with what it holds.

    Raises
    ------
    DamagedError
        It names the file's folder, which is that of the outermost file where one is read within another.
    """
    try:
        yield
    except DamagedError as error:
        raise DamagedError(error.file, error.what, file.parent) from error
    except UserError:
        raise
    except _UNFIT as error:
        raise DamagedError(file) from error


def read_bytes(file: Path, digest: str | None = None) -> bytes:
    """Content of a kept file.

    Raises
    ------
    DamagedError
        It is not there, or has another SHA-256 than the one that is given.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(file, "is not there") from error
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise DamagedError(file)
    return content


def read_json(file: Path) -> dict[str, Any]:
    """Content of a kept JSON file, an object without NaN.

    Raises
    ------
    DamagedError
        It is not there, or holds something else.
    """
    with reading(file):
        try:
            document = json.loads(read_bytes(file).decode("utf-8"), parse_constant=_no_number)
        except RecursionError as error:
            raise DamagedError(file) from error
        if isinstance(document, dict):
            return document
    raise DamagedError(file)


def write_document(file: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document with the number of the form it is kept in; whole or not at all."""
    write_text(file, json.dumps({"version": FORM, **document}, indent=1, allow_nan=False) + "\n")


@contextmanager
def reading_document(file: Path, what: str) -> Iterator[dict[str, Any]]:
    """Give a document to be taken up; it is damaged, whatever goes wrong with that.

    Parameters
    ----------
    file
        As `write_document` wrote it.
    what
        It holds, in words.

    Raises
    ------
    UserError
        It is not there, was kept in another form, or is damaged.
    """
    if not file.is_file():
        raise UserError(f"no {what} is kept in {file.parent}: it holds no {file.name}")
    with reading(file):
        document = read_json(file)
        check_form(file, document["version"])
        yield document


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a kept npz file by name; nothing in it is run.

    Raises
    ------
    DamagedError
        It is not there, or is no whole npz file of numbers.
    """
    try:
        opened = file.open("rb")
    except FileNotFoundError as error:
        raise DamagedError(file, "is not there") from error
    with opened:
        try:
            with np.load(opened, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except _NO_ARCHIVE as error:
            raise DamagedError(file) from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a kept safetensors file by name.

    Raises
    ------
    DamagedError
        It is not there, or is no whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_bytes(file)
    try:
        return load(content)
    except (*_UNFIT, SafetensorError) as error:
        raise DamagedError(file) from error


def finite(document: Any) -> Any:
    """Return what JSON gave, whose leaves are all finite numbers.

    Raises
    ------
    TypeError
        One is not.
    """
    for one in document.values() if isinstance(document, dict) else [document]:
        if isinstance(one, dict):
            finite(one)
        elif isinstance(one, bool) or not isinstance(one, int | float) or not np.isfinite(one):
            raise TypeError(f"expected a finite number, got {one!r}")
    return document


def check_form(file: Path, form: Any) -> None:
    """Raise a `UserError` where a file was kept in another form than this version reads."""
    if isinstance(form, bool) or not isinstance(form, int):
        raise DamagedError(file)
    if form != FORM:
        raise UserError(f"{file.parent} was kept in form {form}, this version of matscout reads {FORM}: train it again")


def fingerprints(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder and those within, by its path in the folder."""
    return {path.relative_to(folder).as_posix(): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def check_fingerprints(folder: Path, expected: Mapping[str, str]) -> None:
    """Raise a `DamagedError` where a file is not there, or not as it was kept; a `ValueError` where none is known."""
    if not expected:
        raise ValueError(f"no fingerprints of the files in {folder}")
    for name, digest in expected.items():
        file = folder / name
        if not file.is_file():
            raise DamagedError(file, "is not there", folder)
        if _digest(file) != digest:
            raise DamagedError(file, "is not as it was kept", folder)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
