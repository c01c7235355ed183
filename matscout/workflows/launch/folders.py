"""Launch folders: how a controller asks for a calculation, and how a worker answers.

A folder holds one attempt: ``job.json`` is the request, ``result.json`` the answer, ``running.lock`` is held by the
worker while it lives. Files appear complete or not at all, so that a folder may be read at any moment, also after a
power cut.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matscout.db.documents import CalculationRequest, CalculationResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

JOB = "job.json"
RESULT = "result.json"
LOCK = "running.lock"


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name, sync it, rename it, and sync its folder.

    Parameters
    ----------
    path
        The file to appear; it replaces one of that name.
    write
        Called with the open temporary file.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written; nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600, which colleagues could not read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file whole (see `write_whole`)."""
    write_whole(path, lambda file: file.write(text.encode()))


def prepare(folder: Path, request: CalculationRequest) -> None:
    """Make a launch folder that holds a request."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / JOB, request.model_dump_json())


def read_request(folder: Path) -> CalculationRequest:
    """Read the request of a launch folder."""
    return CalculationRequest.model_validate_json((folder / JOB).read_bytes())


def read_result(folder: Path) -> CalculationResult | None:
    """Read the result of a launch folder, or None while there is none."""
    try:
        return CalculationResult.model_validate_json((folder / RESULT).read_bytes())
    except (FileNotFoundError, ValidationError):  # an older edition's result is no result
        return None
