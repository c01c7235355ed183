"""An allocation: one job of the scheduler, and what it is to calculate.

The controller writes ``allocation.json`` into a folder that the nodes see; the launcher
(`matscout.workflows.launch.node`) reads it there and leaves beside it:

``started.json``
    which launcher works, on which host, as which job. A second launcher of the same allocation leaves
    ``started-2.json``, and so on;
``ended.json``
    how it ended, and what it started (``ended-2.json``, ...).
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from matscout.db.documents import Document
from matscout.db.files import write_text
from matscout.errors import UserError
from matscout.workflows.launch.folders import create

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALLOCATION = "allocation.json"

EXIT_MACHINE = 3
"""Exit code of a launcher whose machine cannot calculate."""


class Launch(Document):
    """One attempt that an allocation is to run."""

    folder: str = Field(description="Launch folder, absolute")
    expected_seconds: float = Field(
        default=0.0, ge=0, description="How long it may well take: with less time left only a job's first is started, s"
    )
    own_process: bool = Field(
        default=False, description="In a fresh process, as DFT is; else in one that has loaded its model before"
    )


class Allocation(Document):
    """What one job of the scheduler is to calculate, and with what."""

    id: str = Field(description="Id of the allocation")
    launches: tuple[Launch, ...] = Field(description="Attempts, in the order they are started")
    at_once: int = Field(default=1, ge=1, description="Calculations that run at the same time")
    seconds: float = Field(gt=0, description="Walltime of the scheduler's job, s")
    reserve: float = Field(
        default=30.0, ge=0, description="Time before the walltime's end at which all that runs is stopped in order, s"
    )
    commands: dict[str, str] = Field(
        default_factory=dict, description="Run command of each code that has one, such as vasp: srun vasp_std"
    )
    preload: tuple[str, ...] = Field(
        default=(), description="Modules that a shared process loads before its first calculation"
    )
    memory_limit: float | None = Field(
        default=None, gt=0, description="Memory of one calculation's process, MB; None: as the scheduler limits it"
    )


class LauncherStart(Document):
    """That a launcher is at work on an allocation."""

    launcher: str = Field(description="Name of the launcher, unique for all time")
    allocation: str = Field(description="Id of the allocation")
    host: str = Field(description="Machine")
    pid: int = Field(description="Process")
    job: str | None = Field(default=None, description="The scheduler's id of its job")
    started: str = Field(description="UTC, ISO 8601")


class LauncherEnd(Document):
    """How a launcher ended."""

    launcher: str = Field(description="Name of the launcher")
    reason: Literal["done", "time", "signal", "machine"] = Field(
        description="All done; no time for another; told to end; or this machine cannot calculate"
    )
    message: str = Field(description="The same in words")
    completed: int = Field(default=0, description="Calculations that completed")
    failed: int = Field(default=0, description="Calculations that failed, with a result")
    interrupted: int = Field(default=0, description="Calculations that were stopped without a result")
    passed_over: int = Field(default=0, description="Claimed by another launcher, or withdrawn")
    not_started: int = Field(default=0, description="Left for another allocation")
    ended: str = Field(description="UTC, ISO 8601")


def write_allocation(folder: Path, allocation: Allocation) -> None:
    """Make an allocation's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ALLOCATION, allocation.model_dump_json(indent=1))


def read_allocation(folder: Path) -> Allocation:
    """Read what a launcher is to do.

    Raises
    ------
    UserError
        There is no allocation here, or it is not one of this edition.
    """
    path = folder / ALLOCATION
    try:
        return Allocation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"no allocation at {folder}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def announce(folder: Path, start: LauncherStart) -> Path:
    """Write down that a launcher starts; return where it is to write how it ended."""
    return next(ended for started, ended in map(_names(folder), count(1)) if create(started, start))


def _names(folder: Path) -> Callable[[int], tuple[Path, Path]]:
    def of(number: int) -> tuple[Path, Path]:
        suffix = "" if number == 1 else f"-{number}"
        return folder / f"started{suffix}.json", folder / f"ended{suffix}.json"

    return of


def launchers(folder: Path) -> list[tuple[LauncherStart, LauncherEnd | None]]:
    """Return every launcher of an allocation and how it ended, in the order they started."""
    found = []
    for started, ended in map(_names(folder), count(1)):
        try:
            start = LauncherStart.model_validate_json(started.read_bytes())
        except (OSError, ValidationError):
            break
        try:
            end = LauncherEnd.model_validate_json(ended.read_bytes())
        except (OSError, ValidationError):
            end = None
        found.append((start, end))
    return found
