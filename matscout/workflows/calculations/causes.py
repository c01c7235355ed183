"""Why a calculation failed, what shows it, and what is worth another attempt.

A failure is data: one of eight causes with its evidence, a line that somebody can look up. Told from what the
scheduler says of the job, the exception, signals and exit codes, and what the codes wrote, in this order of trust.
"""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import traceback
from typing import TYPE_CHECKING, Any

from pydantic import Field

from matscout.db.documents import Cause, Document
from matscout.workflows.calculations.signs import (
    CODE_TEXTS,
    LONGEST,
    MACHINE_TEXTS,
    custodian_sign,
    find,
    killed_by,
    last_line,
    output_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matscout.db.documents import Attempt


class Finding(Document):
    """Why a calculation failed."""

    cause: Cause = Field(description="Class of the cause")
    evidence: str = Field(description="The line of output with its file, signal, exit code or scheduler's state")
    message: str = Field(description="The same for a person, in one line")


JOB_STATES: dict[str, tuple[Cause, str]] = {
    "memory": ("memory", "the scheduler ended the job for its memory"),
    "walltime": ("walltime", "the job reached its time limit"),
    "node": ("node", "a node of the job failed, or was taken away"),
}
"""States of a scheduler's job, as `JobState` has them, that tell a cause by themselves."""

LOST_STATES: dict[str, tuple[Cause, str]] = {
    "vanished": ("node", "the job vanished from the queue"),
    "cancelled": ("node", "the job was cancelled"),
}
"""States of jobs that somebody has ended, or nobody knows of: then the codes did not end by themselves."""

_SIGNALS: dict[int, tuple[Cause, str]] = {
    signal.SIGKILL: ("memory", "killed, as the kernel does when memory runs out"),
    signal.SIGXCPU: ("walltime", "the limit of processor time was reached"),
    signal.SIGUSR2: ("walltime", "the scheduler warned that time runs out"),
    signal.SIGBUS: ("node", "a bus error: a disk or the memory of the machine failed"),
    signal.SIGTERM: ("node", "told to end from outside"),
    signal.SIGHUP: ("node", "told to end from outside"),
    signal.SIGXFSZ: ("node", "a file became larger than the system allows"),
    signal.SIGSEGV: ("unknown", "a segmentation fault"),
    signal.SIGABRT: ("unknown", "the code aborted itself"),
    signal.SIGFPE: ("unknown", "a floating point exception"),
    signal.SIGILL: ("node", "an instruction this processor does not have"),
}

_EXIT_CODES: dict[int, tuple[Cause, str]] = {
    126: ("node", "the run command cannot be executed here"),
    127: ("node", "the run command was not found here"),
}

_EXCEPTIONS: dict[str, tuple[Cause, str]] = {
    "MemoryError": ("memory", "the memory was not enough"),
    "OutOfMemoryError": ("memory", "the memory was not enough"),
    "TimeoutExpired": ("walltime", "longer than the time limit"),
    "KohnShamConvergenceError": ("scf", "the electrons did not converge"),
    "PoissonConvergenceError": ("scf", "the Poisson equation did not converge"),
    "SCFError": ("scf", "the electrons did not converge"),
    "TooFewBandsError": ("input", "there are too few bands"),
    "CollapsedCellError": ("relaxation", "the cell collapsed"),
    "CalculatorSetupError": ("input", "the code cannot take its input"),
    "BadConfiguration": ("input", "the code is not set up here"),
    "KPointError": ("input", "the code cannot take these k-points"),
    "PmgVaspPspDirError": ("input", "no pseudopotentials are set up here"),
    "UserError": ("input", "it cannot be calculated as asked"),
}
"""Exceptions that tell by themselves, by class name: the codes they come from need not be installed."""

_UNREADABLE = "UnreadableOutputError ParseError JSONDecodeError ReadError UnicodeDecodeError EOFError BadGzipFile"
_READING_EXCEPTIONS: dict[str, tuple[Cause, str]] = dict.fromkeys(
    [*_UNREADABLE.split(), "ValidationError"], ("parse", "the output cannot be read")
)
"""What raises on an output that is cut off: only where the output itself does not tell why."""

_MACHINE_ERROR_NAMES = "ENOSPC EDQUOT EIO EROFS EACCES ESTALE ENODEV ENXIO EHOSTDOWN EREMOTEIO ETIMEDOUT"
_MACHINE_ERRORS = frozenset(getattr(errno, name) for name in _MACHINE_ERROR_NAMES.split() if hasattr(errno, name))

_CODE_IN_WORDS = re.compile(r"(?:return|exit|error)[ _]?code(?: is|:|=)?\s*(-?\d+)|exit status (\d+)")


def classify(
    folder: Path,
    error: BaseException | None = None,
    *,
    exit_code: int | None = None,
    job_state: str | None = None,
    logs: Sequence[Path] = (),
) -> Finding:
    """Tell why a calculation failed.

    Parameters
    ----------
    folder
        Its launch folder; it and the folders below are searched for what the codes wrote. May be gone.
    error
        What it raised, if anything.
    exit_code
        Of its process; negative for a signal, as `subprocess` gives it. 128 + n counts as signal n, as in a shell.
    job_state
        What the scheduler says of the job: the state of a `JobState`.
    logs
        Files elsewhere that belong to it, such as the output of the scheduler's job.

    Examples
    --------
    >>> from pathlib import Path
    >>> finding = classify(Path("/nowhere"), exit_code=-9)
    >>> finding.cause, finding.evidence
    ('memory', 'signal 9 (SIGKILL)')
    """
    files = [*output_files(folder), *(path for path in logs if path.is_file())]
    machine = find(files, folder, MACHINE_TEXTS)
    if job_state in JOB_STATES:
        cause, message = JOB_STATES[job_state]
        told = machine.line if machine and machine.cause == cause else f"scheduler: {job_state}"
        return Finding(cause=cause, evidence=told, message=message)
    if machine is not None:
        return Finding(cause=machine.cause, evidence=machine.line, message=machine.message)
    if job_state in LOST_STATES and error is None:
        cause, message = LOST_STATES[job_state]
        return Finding(cause=cause, evidence=f"scheduler: {job_state}", message=message)
    found = _of_exception(error, _EXCEPTIONS) or _of_exit(exit_code) or _of_words(error)
    if found is not None and found.cause != "unknown":
        return _with_last_line(found, folder, files) if found.evidence.endswith(":") else found
    return (
        _of_output(folder, files)
        or found
        or _of_exception(error, _READING_EXCEPTIONS)
        or _unknown(folder, files, error, exit_code, job_state)
    )


def is_of_machine(error: BaseException) -> bool:
    """Whether an error is that of the machine, whatever was calculated: its disk is full, or a program is not there."""
    if not isinstance(error, OSError) or error.errno in _MACHINE_ERRORS:
        return isinstance(error, OSError)
    # any file may be missing, but this is where `subprocess` starts a program
    raised_in = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    return error.errno in {errno.ENOENT, errno.ENOEXEC} and raised_in == ["_execute_child"]


def _with_last_line(found: Finding, folder: Path, files: list[Path]) -> Finding:
    """Add what the code wrote last to an exception that says nothing but its name, as GPAW's."""
    sign = find(files, folder, [text for text in CODE_TEXTS if text.cause == found.cause])
    line = sign.line if sign else last_line(files, folder)
    return found.model_copy(update={"evidence": f"{found.evidence} {line}"}) if line else found


def _of_output(folder: Path, files: list[Path]) -> Finding | None:
    reported = killed_by(files, folder)
    killed = _of_exit(reported[0]) if reported else None
    if reported and killed and killed.cause != "unknown":
        return Finding(cause=killed.cause, evidence=reported[1], message=killed.message)
    sign = find(files, folder, CODE_TEXTS) or custodian_sign(folder)
    if sign is not None and sign.cause == "unknown":
        sign = custodian_sign(folder) or sign
    if sign is not None:
        return Finding(cause=sign.cause, evidence=sign.line, message=sign.message)
    return Finding(cause="unknown", evidence=reported[1], message=killed.message) if reported and killed else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]


def _of_exception(error: BaseException | None, known: dict[str, tuple[Cause, str]]) -> Finding | None:
    for raised in _chain(error):
        if is_of_machine(raised) or (isinstance(raised, OSError) and raised.errno == errno.EFBIG):
            message = "the disk is full or gone, a file too large, or a program not there"
            return Finding(cause="node", evidence=_words(raised), message=message)
        if isinstance(raised, OSError) and raised.errno == errno.ENOMEM:
            return Finding(cause="memory", evidence=_words(raised), message="the memory was not enough")
        for base in type(raised).__mro__:
            if base.__name__ in known:
                cause, message = known[base.__name__]
                return Finding(cause=cause, evidence=_words(raised), message=message)
    return None


def _of_words(error: BaseException | None) -> Finding | None:
    """Look into the text of an exception, where codes that run as other processes leave theirs."""
    for raised in _chain(error):
        words = _words(raised)
        if isinstance(raised, subprocess.CalledProcessError):
            found = _of_exit(raised.returncode)
        else:
            match = _CODE_IN_WORDS.search(words)
            found = _of_exit(int(match[1] or match[2])) if match else None
        if found is not None and found.cause != "unknown":
            return Finding(cause=found.cause, evidence=f"{found.evidence}, {words}", message=found.message)
        for text in (*MACHINE_TEXTS, *CODE_TEXTS):
            if text.cause != "unknown" and text.pattern.search(words):
                return Finding(cause=text.cause, evidence=words, message=text.message)
    return None


def _of_exit(code: int | None) -> Finding | None:
    if code is None or code == 0:
        return None
    if code in _EXIT_CODES:
        cause, message = _EXIT_CODES[code]
        return Finding(cause=cause, evidence=f"exit code {code}", message=message)
    number = -code if code < 0 else code - 128
    if number not in _SIGNALS:
        return Finding(cause="unknown", evidence=f"exit code {code}", message="its process ended early")
    cause, message = _SIGNALS[number]
    name = f"signal {number} ({signal.Signals(number).name})"
    return Finding(cause=cause, evidence=name if code < 0 else f"exit code {code}, {name}", message=message)


def _unknown(
    folder: Path, files: list[Path], error: BaseException | None, exit_code: int | None, job_state: str | None
) -> Finding:
    if error is not None:
        return Finding(cause="unknown", evidence=_words(error), message=_words(error))
    told = f"exit code {exit_code}" if exit_code else f"scheduler: {job_state}" if job_state else None
    return Finding(
        cause="unknown",
        evidence=told or last_line(files, folder) or "nothing was written",
        message="no cause could be told",
    )


class Retry(Document):
    """What follows a failure of one cause."""

    retries: int = Field(default=0, ge=0, description="How many times it is started again after this cause")
    memory_factor: float = Field(default=1.0, ge=1, description="Memory of the next attempt, over that of this one")
    walltime_factor: float = Field(default=1.0, ge=1, description="Walltime of the next attempt, over that of this one")
    overrides: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="Settings of the first, second, ... attempt after this cause; the last one for all after it. "
        "Such as lead to the same energy by another way: mixing, step size, optimizer",
    )


class RetryPolicy(Document):
    """What follows a failure, by its cause."""

    causes: dict[Cause, Retry] = Field(default_factory=dict, description="A cause not named here is given up at once")
    interruptions: int = Field(
        default=20,
        ge=0,
        description="Attempts stopped from outside, by a person, the scheduler or the end of a node, after which it is "
        "given up; a failure that its machine has told of counts as one of cause node",
    )
    attempts: int = Field(default=8, ge=1, description="Attempts that failed, of all causes together, at the most")
    certain: frozenset[Cause] = Field(default=frozenset(), description="What a run that ended so would end with again")


class Adjustment(Document):
    """How the next attempt differs from the first."""

    memory_factor: float = Field(default=1.0, description="Times the memory first asked for")
    walltime_factor: float = Field(default=1.0, description="Times the walltime first asked for")
    overrides: dict[str, Any] = Field(default_factory=dict, description="Changed settings, by name")


def next_attempt(policy: RetryPolicy, attempts: Sequence[Attempt]) -> Adjustment | None:
    """Decide on another attempt.

    Parameters
    ----------
    policy
        The rules for this calculation's code.
    attempts
        Every attempt so far, in order; all of them ended, none completed.

    Returns
    -------
    What changes in the next attempt, all earlier changes included; None to give up.

    Raises
    ------
    ValueError
        An attempt is still running or completed: there is nothing to decide.

    Examples
    --------
    >>> from matscout.db.documents import Attempt
    >>> killed = Attempt(number=1, folder="1", started="", outcome="failed", cause="memory")
    >>> next_attempt(retry_policy("vasp"), [killed]).memory_factor
    2.0
    >>> wrong = Attempt(number=1, folder="1", started="", outcome="failed", cause="input")
    >>> next_attempt(retry_policy("vasp"), [wrong]) is None
    True
    """
    open_ones = [attempt.number for attempt in attempts if attempt.outcome not in {"failed", "interrupted"}]
    if open_ones:
        raise ValueError(f"attempt {open_ones[0]} did not fail")
    if any(attempt.outcome == "failed" and attempt.cause in policy.certain for attempt in attempts):
        return None
    causes = [attempt.cause for attempt in attempts if attempt.cause is not None and not _was_stopped(attempt)]
    if len(attempts) - len(causes) > policy.interruptions or len(causes) >= policy.attempts:
        return None
    memory = walltime = 1.0
    overrides: dict[str, Any] = {}
    for cause in dict.fromkeys(causes):
        retry, times = policy.causes.get(cause, Retry()), causes.count(cause)
        if times > retry.retries:
            return None
        memory *= retry.memory_factor**times
        walltime *= retry.walltime_factor**times
        if retry.overrides:
            overrides |= retry.overrides[min(times, len(retry.overrides)) - 1]
    return Adjustment(memory_factor=memory, walltime_factor=walltime, overrides=overrides)


def _was_stopped(attempt: Attempt) -> bool:
    """Whether somebody else has ended an attempt, whatever was calculated."""
    return attempt.outcome == "interrupted" and attempt.cause in (None, "node")


_MACHINE = {
    "memory": Retry(retries=2, memory_factor=2.0),
    "walltime": Retry(retries=2, walltime_factor=2.0),
    "node": Retry(retries=3),
    "parse": Retry(retries=1),
    "unknown": Retry(retries=1),
}

_SLOW_MIXING = {"mixer": {"beta": 0.02, "nmaxold": 5, "weight": 100.0}}
_SMALL_STEPS = {"max_step_A": 0.05, "max_steps": 300}  # the smaller, the more

RETRY_POLICIES: dict[str, RetryPolicy] = {
    "": RetryPolicy.model_validate({"causes": _MACHINE}),
    "chgnet": RetryPolicy.model_validate(
        {
            "causes": _MACHINE | {"relaxation": Retry(retries=1, overrides=({"optimizer": "FIRE", "max_steps": 500},))},
            "certain": {"parse", "unknown"},  # the same numbers on every machine
        }
    ),
    "gpaw": RetryPolicy.model_validate(
        {
            "causes": _MACHINE
            | {
                "scf": Retry(
                    retries=2,
                    overrides=(
                        {**_SLOW_MIXING, "max_scf_steps": 500},
                        {**_SLOW_MIXING, "max_scf_steps": 1000, "eigensolver": {"name": "davidson", "niter": 3}},
                    ),
                ),
                "relaxation": Retry(retries=2, overrides=(_SMALL_STEPS, {**_SMALL_STEPS, "optimizer": "FIRE"})),
            }
        }
    ),
    # Custodian has tried its own repairs before a VASP calculation counts as failed.
    "vasp": RetryPolicy.model_validate(
        {
            "causes": _MACHINE
            | {
                "scf": Retry(retries=1, overrides=({"ALGO": "All", "NELM": 200, "AMIX": 0.1, "BMIX": 0.0001},)),
                "relaxation": Retry(retries=1, overrides=({"IBRION": 2, "POTIM": 0.1},)),
            }
        }
    ),
}
"""By code; the empty name is for codes without rules of their own."""


def retry_policy(code: str) -> RetryPolicy:
    """Return the policy of a code."""
    return RETRY_POLICIES.get(code, RETRY_POLICIES[""])
