"""Launch folders: how a controller asks for a calculation, and how a worker answers.

A folder holds one attempt. Its files appear complete or not at all, so that it may be read at any moment; after a power
cut a claim may be empty, and is a claim nonetheless:

``job.json``
    the request;
``claim.json``
    who started it, on a cluster: made once, so that no two launchers start one attempt;
``result.json``
    the answer, completed or failed;
``interrupted.json``
    why it was stopped without an answer, where somebody was left to say so;
``log.txt``
    what its codes printed;
``running.lock``
    held by a worker of this machine while it lives.

A folder closed by `close_folder` can neither be started nor answered any more: what it then holds is final.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from matscout.db.documents import CalculationRequest, CalculationResult, Cause, Document
from matscout.db.files import write_text

if TYPE_CHECKING:
    from pydantic import BaseModel

    from matscout.workflows.calculations.causes import Finding

JOB = "job.json"
CLAIM = "claim.json"
RESULT = "result.json"
INTERRUPTED = "interrupted.json"
LOG = "log.txt"
LOCK = "running.lock"

CLOSED = "-closed"
"""What `close_folder` adds to a folder's name."""

_Kind = TypeVar("_Kind", bound=Document)

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class Claim(Document):
    """Who started an attempt."""

    launcher: str = Field(description="Name of the launcher, unique for all time")
    host: str = Field(description="Machine it runs on")
    pid: int = Field(description="Its process there")
    started: str = Field(description="UTC, ISO 8601")


class Interruption(Document):
    """Why an attempt was stopped before it had a result."""

    cause: Cause | None = Field(default=None, description="Class of the cause, where the calculation has a part in it")
    evidence: str = Field(description="Signal, time or error that stopped it")
    message: str = Field(description="The same for a person")
    seconds: float = Field(description="How long it had run, s")


LaunchState = Literal["waiting", "running", "done", "interrupted", "gone"]
"""Never started; started and its launcher lives; has a result; started and has none; no such folder."""


class Look(NamedTuple):
    """What a launch folder shows."""

    state: LaunchState
    result: CalculationResult | None = None
    interruption: Interruption | None = None
    claim: Claim | None = None
    problem: str | None = None
    """Why its result cannot be read, if it cannot: the attempt is then interrupted, with its output cut off."""


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


def failure(
    request: CalculationRequest, finding: Finding, *, seconds: float = 0.0, host: str = ""
) -> CalculationResult:
    """Make the result of a calculation that could not write its own."""
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=request.geometry.reduced_formula,
        overrides=request.overrides,
        adjustments=request.adjustments,
        outcome="failed",
        cause=finding.cause,
        message=finding.message,
        evidence=finding.evidence,
        seconds=round(seconds, 3),
        host=host,
    )


def create(path: Path, document: BaseModel) -> bool:
    """Make a file that must not be there yet, also on a network file system.

    A hard link is made or not made by the server alone, while locks are off on many clusters' file systems. Whoever
    makes it first is told so.

    Returns
    -------
    False when somebody else has made it.

    Raises
    ------
    OSError
        The disk is full, or the folder gone: nothing was made.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(document.model_dump_json())
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return _create_alone(path, document)
            # The answer of a network file system may get lost after it has made the link: the count then shows it.
            if temporary.stat().st_nlink == 2:
                return True
            if isinstance(error, FileExistsError):
                return False
            raise
        return True
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _create_alone(path: Path, document: BaseModel) -> bool:
    """Make the file where there are no hard links: its content may then lack after a crash, which counts as made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(document.model_dump_json())
    return True


def claim(folder: Path, content: Claim) -> bool:
    """Take a launch folder for this launcher alone; False when it is taken, answered, or withdrawn.

    Raises
    ------
    OSError
        The disk is full or cannot be written: nobody can work here.
    """
    if (folder / RESULT).exists():
        return False
    try:
        return create(folder / CLAIM, content)
    except FileNotFoundError:
        return False  # closed by the controller, which wants it no more


def look(folder: Path, *, alive: bool) -> Look:
    """Tell what became of an attempt.

    Parameters
    ----------
    folder
        Its launch folder, open or closed.
    alive
        Whether its launcher may still be at work, as the scheduler says. Where it is not, close the folder first: a
        worker may outlive its launcher by moments.
    """
    if not folder.is_dir():
        closed = folder.with_name(folder.name + CLOSED)
        if folder.name.endswith(CLOSED) or not closed.is_dir():
            return Look("gone")
        folder = closed
    problem = None
    try:
        result = read_result(folder)
        if result is not None:
            return Look("done", result)
    except ValueError as error:
        problem = f"{RESULT}: {error}"
    interruption = _read(folder / INTERRUPTED, Interruption)
    claimed = _read(folder / CLAIM, Claim)
    if interruption is not None or problem:
        return Look("interrupted", None, interruption, claimed, problem)
    if not (folder / CLAIM).exists():
        return Look("waiting")
    return Look("running" if alive else "interrupted", None, None, claimed)


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    """Read a file that tells more but decides nothing; what cannot be read is as if it were not there."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def close_folder(folder: Path) -> Path:
    """Take a launch folder away from whoever might still work in it, and return where it is now.

    Renaming is one step: a result that is in the folder before it stays, and none can come after it, as workers write
    by the old name. May be repeated.

    Raises
    ------
    FileNotFoundError
        There is no such folder, open or closed.
    """
    closed = folder.with_name(folder.name + CLOSED)
    try:
        folder.rename(closed)
    except FileNotFoundError:
        if not closed.is_dir():
            raise
    return closed
