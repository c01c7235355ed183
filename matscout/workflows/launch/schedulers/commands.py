"""Programs of a scheduler, run with a time limit and in an environment that holds no secrets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


COMMAND_SECONDS = 60.0
"""How long a program of a scheduler may take to answer: a busy controller of a large centre needs tens of seconds."""

_NOTHING = Path(os.devnull)
_PASSED = ("HOME", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")


class QueueFullError(UserError):
    """The scheduler takes no further job of this user at the moment: a reason to wait, not a mistake.

    As after a `SchedulerDownError`, `Scheduler.find` tells whether the job was taken nonetheless.
    """


class SchedulerDownError(UserError):
    """The scheduler does not answer.

    Where this comes from a submission the job may have been taken nonetheless: ask `Scheduler.find` for its name before
    it is submitted again.
    """


class SchedulerMissingError(UserError):
    """The programs of the scheduler are not on this machine."""


@dataclass(frozen=True)
class Answer:
    """What a program said.

    Attributes
    ----------
    program
        Its name.
    code
        Its exit code, negative where a signal ended it; None where it was ended after its time.
    output, errors
        Standard output and standard error.
    """

    program: str
    code: int | None
    output: str
    errors: str

    @property
    def was_cut_off(self) -> bool:
        """Whether it was ended before it had answered."""
        return self.code is None or self.code < 0

    @property
    def words(self) -> str:
        """What it complains of, in one line."""
        return " ".join((self.errors or self.output).split()) or f"exit code {self.code} without a word"


def run_program(
    command: Sequence[str],
    *,
    passed: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: Path | None = None,
    seconds: float | None = None,
) -> Answer:
    """Run a program of a scheduler.

    Its environment is a small one, as some schedulers hand all of it to the job: what is set in the shell of a
    login node must not decide what a job does (from cron it would be another one), and no password of it may get into
    a job.

    Parameters
    ----------
    command
        Program and arguments.
    passed
        Further variables of this process that it needs, such as ``SLURM_CONF``.
    extra
        Further variables.
    folder
        Where it runs.
    stdin
        File of its standard input; empty if none.
    seconds
        Time limit; `COMMAND_SECONDS` if none.

    Raises
    ------
    SchedulerMissingError
        There is no such program.
    """
    known = {name: os.environ[name] for name in (*_PASSED, *passed) if name in os.environ}
    with (stdin or _NOTHING).open("rb") as given:
        try:
            process = subprocess.Popen(  # noqa: S603  a scheduler's program; numbers and names of jobs
                list(command),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**known, "LC_ALL": "C", **(extra or {})},
                start_new_session=True,  # what it started ends with it, and Ctrl-C is not for it
            )
        except (FileNotFoundError, PermissionError) as error:
            if folder is not None and not folder.is_dir():
                raise UserError(f"there is no folder {folder}") from None
            why = "not on PATH" if isinstance(error, FileNotFoundError) else "not a program that may be run"
            raise SchedulerMissingError(
                f"{command[0]} is {why}: this works on a machine from which jobs can be submitted"
            ) from None
    with process:
        try:
            output, errors = process.communicate(timeout=COMMAND_SECONDS if seconds is None else seconds)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired as late:
            _kill(process)
            output, errors, code = late.stdout or b"", late.stderr or b"", None
        except BaseException:
            _kill(process)
            raise
    return Answer(command[0], code, output.decode(errors="replace"), errors.decode(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of some patterns stands in a text, in whatever case and however its lines are broken."""
    flat = " ".join(text.split())
    return any(re.search(pattern, flat, re.IGNORECASE) for pattern in patterns)
