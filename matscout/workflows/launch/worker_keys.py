"""What a worker may be told in ``workers.yaml``, each key described where it is defined."""

from __future__ import annotations

import os
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from matscout.errors import UserError, nearest
from matscout.workflows.launch.node_processes import COMMANDS

SchedulerName = Literal["slurm", "pbs", "sge", "lsf"]
Keep = Literal["all", "large", "nothing"]

_LARGE = ("WAVECAR*", "CHG*", "AECCAR*", "LOCPOT*", "ELFCAR*", "PROCAR*", "vaspout.h5*", "*.gpw", "*.cube")

_NOT_OF: dict[str, tuple[str, ...]] = {
    "slurm": ("parallel_environment",),
    "pbs": ("parallel_environment", "qos", "gpu_type"),
    "sge": ("qos", "gpu_type", "ranks_per_node", "nodes"),
    "lsf": ("parallel_environment", "gpu_type", "ranks_per_node"),
}
"""Keys that a scheduler has no use for: written down, they would be promises that nobody keeps."""

_OURS: dict[str, str] = {
    "slurm": r"--?(requeue|no-requeue|job-name|J|output|o|error|e|time|t|signal|array|a|chdir|D)(?![\w-])",
    "pbs": r"-(r|N|o|e|j|J|S|l\s*walltime|l\s*select)(?![\w-])",
    "sge": r"-(r|N|o|e|j|t|S|cwd|wd|l\s*h_rt|l\s*s_rt)(?![\w-])",
    "lsf": r"-(r|rn|J|o|oo|e|eo|W|wa|wt|i|cwd)(?![\w-])",
}
"""Directives that the engine writes itself: a job that restarts, or has another name, would be lost."""

_TELLTALE = (
    r"(?:PASS(?:WORD|WD|PHRASE)?|PASSWORDS|SECRETS?|TOKENS?|CREDENTIALS?|(?:API|ACCESS|PRIVATE|SECRET|MAPI)_?KEY)"
)
_SECRET_NAME = re.compile(rf"(?:^|_){_TELLTALE}(?:_|$)|APIKEY$", re.IGNORECASE)
_ASSIGNED = re.compile(r"\b([A-Za-z_][A-Za-z0-9_]*)=")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@")
_DATABASE = frozenset({"MATSCOUT_STORE"})

_WORD = r"^[A-Za-z0-9_.,:@+/=%-]+$"
_UNITS = {"MB": 1, "GB": 1024, "TB": 1024**2, "M": 1, "G": 1024, "T": 1024**2}


def seconds_of(value: Any) -> Any:
    """Read a time such as 24:00:00 or 2-00:00:00, in s.

    Examples
    --------
    >>> seconds_of("24:00:00"), seconds_of("1-12:30:00")
    (86400, 131400)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", value) if isinstance(value, str) else None
    if found is None:
        raise UserError(f"{value!r} is no time: write it as hours:minutes:seconds, such as 24:00:00, or 2-00:00:00")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def mebibytes_of(value: Any) -> Any:
    """Read an amount of memory such as 64GB, in MiB, as schedulers count.

    Examples
    --------
    >>> mebibytes_of("64GB"), mebibytes_of("1.5 GB")
    (65536, 1536)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]B?)", value) if isinstance(value, str) else None
    if found is None:
        raise UserError(f"{value!r} is no amount of memory: write it with its unit, such as 64GB")
    return round(float(found[1]) * _UNITS[found[2]])


def _line(value: Any) -> Any:
    """Check a line of shell: one line, and no secret in it."""
    if isinstance(value, str):
        if not value.isprintable():
            raise UserError(f"{value!r} holds a line break or another control character: write several lines as a list")
        for name in _ASSIGNED.findall(value):
            _no_secret(name, "")
        _no_secret("", value)
    return value


def _no_secret(name: str, value: str) -> None:
    if _SECRET_NAME.search(name):
        raise UserError(
            f"{name} looks like a secret, which must not stand in a script: let the code read it from a file of yours "
            "on the cluster"
        )
    if name in _DATABASE:
        raise UserError(f"{name}: a job needs no database; the process that submits is the only one that has it")
    if _ADDRESS.search(value):
        raise UserError("an address with a password must not stand in a script")


Word = Annotated[str, Field(pattern=_WORD)]
Line = Annotated[str, BeforeValidator(_line)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Cleanup(BaseModel):
    """What is removed from a launch folder, and when: centres limit the number of files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    completed: Keep | None = Field(
        default=None,
        description="Removed once the result of a completed calculation is in the store; if left out, all of CHGNet's, "
        "whose result is all there is, and large files of other codes",
    )
    failed: Keep = Field(default="large", description="Removed once a failed calculation is in the store")
    large: tuple[str, ...] = Field(default=_LARGE, description="Names of large files, for: large")
    failed_after_days: float | None = Field(
        default=None, gt=0, description="All else of a failed calculation is removed after so many days; never if none"
    )


class Worker(BaseModel):
    """A place where calculations run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name of the worker: its key")
    scheduler: SchedulerName = Field(description="slurm, pbs, sge or lsf")
    launch_folder: Path = Field(
        description="Where launch folders are made: a file system that this machine and the nodes see under one path. "
        "~ and $VARIABLES are replaced when the file is read",
    )
    walltime: int = Field(description="Longest time of a job, such as 24:00:00; kept in s")
    partition: Word | None = Field(default=None, description="Partition or queue; the site's default if none")
    account: Word | None = Field(default=None, description="Account or project that jobs are charged to")
    qos: Word | None = Field(default=None, description="Quality of service (Slurm), service class (LSF)")
    nodes: Count = Field(default=1, description="Nodes of a job")
    cores: Count = Field(default=1, description="Cores on each node; with sge all cores of the job")
    ranks_per_node: Count | None = Field(default=None, description="MPI ranks on each node; one a core if none")
    memory: int | None = Field(default=None, description="Memory of each node, such as 64GB; kept in MiB")
    limit_memory: bool = Field(
        default=False,
        strict=True,
        description="Hold each calculation's process to the memory of the job, shared by those that run at once: for "
        "schedulers that hold nobody to it",
    )
    gpus: int = Field(default=0, ge=0, le=1_000, strict=True, description="GPUs of each node")
    gpu_type: Word | None = Field(default=None, description="Kind of GPU, as Slurm calls it")
    parallel_environment: Word | None = Field(
        default=None, description="Grid Engine's parallel environment for more than one core"
    )
    directives: tuple[Line, ...] = Field(
        default=(), description="Further directives, as they stand behind #SBATCH and the like: --constraint=avx512"
    )
    modules: tuple[Line, ...] = Field(default=(), description="Modules to load, in this order")
    environment: dict[str, str] = Field(
        default_factory=dict, description="Variables, as they stand: nothing in them is replaced. No secrets"
    )
    before: tuple[Line, ...] = Field(default=(), description="Lines of bash before the calculations")
    after: tuple[Line, ...] = Field(default=(), description="Lines of bash after them")
    python: str = Field(
        default=sys.executable, description="Python that has matscout, on the nodes; the one that submits if none"
    )
    commands: dict[str, Line] = Field(
        default_factory=dict, description="Run commands, of vasp, vasp_gamma and vasp_ncl, such as vasp: srun vasp_std"
    )
    protocols: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Protocols that it may take; * stands for any characters"
    )
    max_queued: Count = Field(default=10, description="Jobs of this worker in the queue at most, running ones included")
    per_allocation: Count = Field(default=1, description="Calculations packed into one job at most")
    at_once: Count = Field(default=1, description="Calculations of a job that run at once")
    reserve: int = Field(
        default=60,
        ge=10,
        le=3_600,
        strict=True,
        description="Time before the end of the walltime at which a job is told to end in order, s",
    )
    cleanup: Cleanup = Field(default_factory=Cleanup, description="What is removed from launch folders, and when")

    @field_validator("walltime", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return seconds_of(value)

    @field_validator("memory", mode="before")
    @classmethod
    def _amount(cls, value: Any) -> Any:
        return None if value is None else mebibytes_of(value)

    @field_validator("scheduler", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        name = value.lower() if isinstance(value, str) else value
        if name == "local":
            raise UserError("this machine needs no worker, leave it out: matscout run calculates here")
        return name

    @field_validator("directives", "modules", "before", "after", "protocols", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("environment", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name, content in value.items():
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise UserError(f"{name!r} is no name of a variable")
            if isinstance(content, bool) or not isinstance(content, str | int | float):
                raise UserError(f"{name} must be text or a number: write it in quotation marks")
            _no_secret(name, str(content))
            _line(str(content))
        return {name: str(content) for name, content in value.items()}

    @field_validator("commands")
    @classmethod
    def _are_started_by_commands(cls, commands: dict[str, str]) -> dict[str, str]:
        for name in commands:
            if name not in COMMANDS:
                close = nearest(name, COMMANDS)
                hint = f"Nearest: {close}." if close else "Other codes run in the Python of the worker."
                raise UserError(f'"{name}" has no run command; {", ".join(COMMANDS)} have one. {hint}')
        return commands

    @field_validator("directives")
    @classmethod
    def _are_directives(cls, lines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        ours = _OURS.get(info.data.get("scheduler", ""), r"(?!)")
        for line in lines:
            if not line.startswith("-") or "$$" in line:
                raise UserError(
                    f"{line!r} is no directive: write what stands behind #SBATCH or the like, from the dash"
                )
            if re.match(ours, line):
                raise UserError(f"{line!r} is written by matscout itself; leave it out, or use the key for it")
        return lines

    @field_validator("launch_folder")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        path = Path(os.path.expandvars(folder.expanduser()))
        if "$" in str(path):
            raise UserError(f"{str(folder)!r} holds a variable that is not set here, or a $")
        if not path.is_absolute() or not str(path).isprintable():
            raise UserError(f"{str(folder)!r} must be an absolute path, without control characters")
        return path

    @field_validator("python")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value or not value.isprintable():
            raise UserError(f"{value!r} is no path of Python")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Worker:
        """Check what depends on the scheduler, or on several keys."""
        idle = [key for key in _NOT_OF[self.scheduler] if key in self.model_fields_set]
        if idle:
            raise UserError(f"scheduler {self.scheduler} has no use for {' and '.join(idle)}: leave {_them(idle)} out")
        if self.scheduler == "sge" and self.cores > 1 and self.parallel_environment is None:
            raise UserError("parallel_environment is missing, which sge needs for more than one core")
        if self.cores % self.ranks:
            raise UserError(f"{self.cores} cores cannot be shared by {self.ranks} MPI ranks: cores must be a multiple")
        if self.walltime <= self.reserve:
            raise UserError(f"the walltime of {self.walltime} s leaves nothing but the reserve of {self.reserve} s")
        if self.limit_memory and self.memory is None:
            raise UserError("limit_memory without memory: say how much")
        if self.gpu_type and not self.gpus:
            raise UserError("gpu_type without gpus: say how many")
        return self

    @property
    def ranks(self) -> int:
        """MPI ranks on each node."""
        return self.ranks_per_node or self.cores

    def takes(self, protocol: str) -> bool:
        """Whether it may run calculations of a protocol."""
        return any(fnmatchcase(protocol, pattern) for pattern in self.protocols)


def _them(keys: list[str]) -> str:
    return "it" if len(keys) == 1 else "them"
