"""Launch folders: how a controller asks for a calculation, and how a worker answers.

A folder holds one attempt: ``job.json`` is the request, ``result.json`` the answer, ``running.lock`` is held by the
worker while it lives. Files appear complete or not at all, so that a folder may be read at any moment, also after a
power cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from matscout.db.documents import CalculationRequest, CalculationResult
from matscout.db.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

JOB = "job.json"
RESULT = "result.json"
LOCK = "running.lock"


def prepare(folder: Path, request: CalculationRequest) -> None:
    """Make a launch folder that holds a request."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / JOB, request.model_dump_json())


def read_request(folder: Path) -> CalculationRequest:
    """Read the request of a launch folder."""
    return CalculationRequest.model_validate_json((folder / JOB).read_bytes())


def read_result(folder: Path) -> CalculationResult | None:
    """Read the result of a launch folder, or None while there is none.

    Raises
    ------
    ValueError
        There is one, but it is not what a worker of this edition writes.
    """
    try:
        content = (folder / RESULT).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return CalculationResult.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
