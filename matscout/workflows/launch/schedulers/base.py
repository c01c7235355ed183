"""What all schedulers have in common."""

from __future__ import annotations

import os
import pwd
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from matscout.errors import UserError
from matscout.workflows.launch.schedulers.body import body
from matscout.workflows.launch.schedulers.commands import (
    Answer,
    QueueFullError,
    SchedulerDownError,
    matches,
    run_program,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matscout.workflows.launch.workers_file import Worker

State = Literal[
    "waiting", "held", "running", "completed", "failed", "walltime", "memory", "node", "cancelled", "vanished"
]
LIVE: frozenset[State] = frozenset({"waiting", "held", "running"})
"""States of jobs that the scheduler still has to do with."""

OUTPUT = "scheduler.out"
"""File in an allocation's folder that takes what its job prints, and what the scheduler says of it."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")  # PBS and Torque took no more than 15 characters for long
_TEMPLATES = Path(__file__).parent / "templates"
_SIGNALS = 128  # a shell reports a process that ended by signal n as 128 + n


@dataclass(frozen=True)
class AllocationRequest:
    """What one job of a scheduler is to be; all else comes from its worker.

    Attributes
    ----------
    name
        Name of the job, from `job_name`: by it the job is found again.
    folder
        Folder of the allocation, absolute, seen by the nodes: the job runs there, and leaves `OUTPUT`.
    command
        What it runs; the launcher of calculations if none.
    walltime
        In s, in place of the worker's.
    memory
        Of each node in MiB, in place of the worker's.
    goes_on_without_modules
        Whether a module that does not load is noted and no more: a probe finds all that fail.
    """

    name: str
    folder: Path
    command: tuple[str, ...] | None = None
    walltime: int | None = None
    memory: int | None = None
    goes_on_without_modules: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a job: make one with job_name")
        path = str(self.folder)
        if not self.folder.is_absolute() or not path.isprintable():
            raise UserError(
                f"{path!r} cannot be the folder of a job: it must be an absolute path, without line breaks and other "
                "control characters"
            )


@dataclass(frozen=True)
class JobState:
    """What a scheduler says of a job.

    Attributes
    ----------
    id, name
        The scheduler's number, and the name that it was submitted under; no name where nothing is known.
    state
        ``waiting`` for its turn; ``held`` until somebody releases it; ``running``; ``completed`` with exit code 0;
        ``failed`` with another one; ended by its ``walltime``, its ``memory`` limit, the loss of its ``node``, or
        ``cancelled`` by a person; ``vanished``: the scheduler knows nothing of it any more.
    raw
        The state in the scheduler's own word.
    reason
        What the scheduler gives as its reason.
    exit_code
        Of the script, 128 + n where signal n ended it; None where it is not known.
    never_begins
        Whether it asks for more than there is: it is ``held`` until somebody changes it, or the partition.
    """

    id: str
    name: str
    state: State
    raw: str = ""
    reason: str = ""
    exit_code: int | None = None
    never_begins: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it waits, is held, or runs."""
        return self.state in LIVE


assert set(get_args(State)) >= LIVE


def job_name(allocation_id: str) -> str:
    """Return the name of an allocation's job: short enough for every scheduler, and made of the id alone.

    Examples
    --------
    >>> job_name("5f0c8a3e9b1d4c7f8e21")
    'ms-5f0c8a3e9b1d'
    """
    name = f"ms-{allocation_id[:12]}"
    if len(allocation_id) < 12 or not _NAME.fullmatch(name):
        raise ValueError(
            f"{allocation_id!r} is no id of an allocation: at least 12 letters, digits, dashes or underscores"
        )
    return name


class Scheduler(ABC):
    """Speaks to one scheduler on behalf of one worker.

    FireWorks' queue adapter fills in the directives of the script from a template of ours. Its submission is not used:
    it waits without end, and returns None where the scheduler refuses, with the scheduler's words in a log.
    """

    q_type: ClassVar[str]
    """Name of the scheduler in FireWorks."""
    label: ClassVar[str]
    """Name of the scheduler for people."""
    prefix: ClassVar[str]
    """How a directive begins."""
    passed: ClassVar[tuple[str, ...]] = ()
    """Variables that its programs need."""
    full: ClassVar[tuple[str, ...]]
    """How it says that a queue takes no more jobs: patterns."""
    down: ClassVar[tuple[str, ...]]
    """How its programs say that it does not answer: patterns."""
    unknown_job: ClassVar[tuple[str, ...]]
    """How it says that it does not know a job, or that the job has ended: patterns."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.user = pwd.getpwuid(os.getuid()).pw_name

    def script(self, request: AllocationRequest) -> str:
        """Write the script of a job."""
        from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

        own = "\n".join(f"{self.prefix} {line}" for line in self.worker.directives) or None
        values = {"job_name": request.name, "output": OUTPUT, "partition": self.worker.partition}
        adapter = CommonAdapter(
            self.q_type,
            q_name=self.worker.name,
            template_file=str(_TEMPLATES / f"{self.worker.scheduler}.txt"),
            **{**values, "account": self.worker.account, **self._directives(request), "directives": own},
        )
        head: str = adapter.get_script_str(str(request.folder))
        return f"{head.rstrip()}\n\n{body(self.worker, request)}"

    @abstractmethod
    def _directives(self, request: AllocationRequest) -> dict[str, str | int | None]:
        """Values for the template; a line whose value is None is left out."""

    def submit(self, script_path: Path) -> str:
        """Submit a script in its folder, and return the number of the job.

        Raises
        ------
        QueueFullError
            The scheduler takes no more jobs now.
        SchedulerDownError
            It does not answer. The job may exist nonetheless: ask `find` before submitting again.
        SchedulerMissingError
            Its programs are not here.
        UserError
            It refuses the script: with its own words.
        """
        answer = self._submission(script_path)
        if answer.code == 0:
            number = self._job_id(answer.output)
            if number is not None:
                return number
            raise SchedulerDownError(f"{answer.program} gave no job number: {answer.words}")
        text = f"{answer.errors}\n{answer.output}"
        if self._is_full(answer, text):
            raise QueueFullError(f"{self.label} takes no more jobs of worker {self.worker.name} now: {answer.words}")
        if answer.was_cut_off or matches(self.down, text):
            raise SchedulerDownError(self._silence(answer))
        raise UserError(f"{self.label} refuses a job of worker {self.worker.name} ({script_path}): {answer.words}")

    def _times(self, request: AllocationRequest) -> tuple[int, int]:
        """Walltime of a job, and how long before its end it is told to end in order, s."""
        seconds = request.walltime or self.worker.walltime
        return seconds, min(self.worker.reserve, seconds // 2)

    @abstractmethod
    def _submission(self, script_path: Path) -> Answer:
        """Run the program that submits."""

    @abstractmethod
    def _job_id(self, output: str) -> str | None:
        """Find the number of a job in what the submission prints."""

    def _is_full(self, answer: Answer, text: str) -> bool:  # noqa: ARG002  others look at the exit code
        return matches(self.full, text)

    def jobs(self, ids: Iterable[str], names: Iterable[str] = ()) -> dict[str, JobState]:
        """Tell what became of jobs, by one question for all.

        Parameters
        ----------
        ids
            Numbers of jobs.
        names
            Names of jobs whose numbers are not known.

        Returns
        -------
        A state for each id. For each name that the scheduler knows, the state of the newest job of that name, under
        the name.

        Raises
        ------
        SchedulerDownError
            The scheduler does not answer: then nothing is known of any job.
        """
        wanted, called = list(dict.fromkeys(ids)), list(dict.fromkeys(names))
        if not wanted and not called:
            return {}
        seen = {job.id: job for job in self._queue(wanted, called)}
        known = {job.name for job in seen.values()}
        missing = [number for number in wanted if number not in seen]
        nameless = [name for name in called if name not in known]
        if missing or nameless:
            seen = {job.id: job for job in self._past(missing, nameless)} | seen
        found = {number: seen.get(number) or JobState(number, "", "vanished") for number in wanted}
        for job in sorted(seen.values(), key=lambda job: _age(job.id)):
            if job.name in called:
                found[job.name] = job
        return found

    def find(self, name: str) -> str | None:
        """Return the number of the newest job of a name, also of one that has ended; None if there is none.

        Raises
        ------
        SchedulerDownError
            The scheduler does not answer.
        """
        job = self.jobs((), (name,)).get(name)
        return job.id if job else None

    @abstractmethod
    def _queue(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:
        """Jobs that the scheduler has in its memory; others than those asked for may be among them."""

    def _past(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:  # noqa: ARG002
        """Jobs that it has elsewhere."""
        return []

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel jobs; those that have ended are left as they are.

        Raises
        ------
        SchedulerDownError
            The scheduler does not answer.
        """
        numbers = list(dict.fromkeys(ids))
        if numbers:
            self._ask([self._cancel_program, *numbers], fine=self.unknown_job)

    _cancel_program: ClassVar[str]

    def _run(
        self,
        command: Sequence[str],
        *,
        extra: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdin: Path | None = None,
    ) -> Answer:
        return run_program(command, passed=self.passed, extra=extra, folder=folder, stdin=stdin)

    def _ask(self, command: Sequence[str], *, fine: Sequence[str] = ()) -> str:
        """Run a program that answers; `fine` are complaints that are answers, too."""
        return self._checked(self._run(command), fine)

    def _checked(self, answer: Answer, fine: Sequence[str]) -> str:
        if answer.was_cut_off or (answer.code and matches(self.down, answer.errors)):
            raise SchedulerDownError(self._silence(answer))
        if answer.code and not matches(fine, answer.errors + answer.output):
            # Whatever this is, it does not mean that the jobs are gone.
            raise SchedulerDownError(f"{self.label} could not be asked: {answer.program}: {answer.words}")
        return answer.output

    def _silence(self, answer: Answer) -> str:
        if answer.was_cut_off:
            said = f" ({' '.join(answer.errors.split())})" if answer.errors.strip() else ""
            how = "after its time" if answer.code is None else f"by signal {-(answer.code or 0)}"
            return f"{self.label} does not answer: {answer.program} was ended {how}{said}"
        return f"{self.label} does not answer: {answer.program}: {answer.words}"


def clock(seconds: int) -> str:
    """Write a time as schedulers read it.

    Examples
    --------
    >>> clock(90_061)
    '25:01:01'
    """
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def shell_code(code: int, signal: int = 0) -> int:
    """Exit code as a shell gives it, from a code and the signal that ended the process, if one did."""
    return _SIGNALS + signal if signal else code


def _age(number: str) -> tuple[int, str]:
    digits = re.match(r"\d+", number)
    return (int(digits[0]) if digits else 0, number)
