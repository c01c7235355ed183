"""PBS: OpenPBS and PBS Professional."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from matscout.workflows.launch.schedulers.base import JobState, Scheduler, clock, shell_code
from matscout.workflows.launch.schedulers.commands import matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.workflows.launch.schedulers.base import AllocationRequest, State
    from matscout.workflows.launch.schedulers.commands import Answer

_LIVE: dict[str, State] = {
    "Q": "waiting",
    "W": "waiting",
    "T": "waiting",
    "H": "held",
    "R": "running",
    "E": "running",
    "B": "running",
    "S": "running",  # suspended by the scheduler, which lets it go on
    "U": "running",
}
_ENDED = frozenset("FCX")  # C is Torque's

_KILLED: dict[int, State] = {-29: "walltime", -28: "walltime", -27: "memory", -26: "memory"}
"""Exit codes of jobs that PBS ended for what they used; other negative ones say that the job could not be run."""

_EXCEEDED: dict[str, State] = {
    r"exceeded resource walltime|walltime \d+ exceeded": "walltime",
    r"exceeded resource v?mem|v?mem \d+\w* exceeded": "memory",
}
"""What PBS comments on jobs that it ended."""

_NO_HISTORY = (r"not configured to maintain job history", r"illegal option|invalid option|usage:")
_SIGNAL = 256  # PBS adds the signal that ended the script to this


class Pbs(Scheduler):
    """PBS: ``qsub``, ``qstat``, ``qselect``, ``qdel``."""

    q_type = "PBS"
    label = "PBS"
    prefix = "#PBS"
    passed = ("PBS_CONF_FILE", "PBS_DEFAULT", "PBS_EXEC", "PBS_HOME", "PBS_SERVER", "KRB5CCNAME")
    full = (r"would exceed", r"Maximum number of jobs already in queue")
    down = (
        r"cannot connect to (server|host)",
        r"pbs_iff",
        r"Connection (refused|timed out|reset)",
        r"Communication failure|communication error",
        r"Invalid credential",
        r"End of File",
        r"server (is )?(busy|shutting down)",
        r"No default server|Expired",
    )
    unknown_job = (r"Unknown Job Id", r"Job has finished", r"Request invalid for state of job", r"Unknown or finished")
    _cancel_program: ClassVar[str] = "qdel"

    def _directives(self, request: AllocationRequest) -> dict[str, str | int | None]:
        worker = self.worker
        chunk = [f"{worker.nodes}", f"ncpus={worker.cores}", f"mpiprocs={worker.ranks}"]
        chunk.append(f"ompthreads={worker.cores // worker.ranks}")
        memory = request.memory or worker.memory
        chunk += [f"mem={memory}mb"] if memory else []
        chunk += [f"ngpus={worker.gpus}"] if worker.gpus else []
        return {"walltime": clock(request.walltime or worker.walltime), "select": ":".join(chunk)}

    def _submission(self, script_path: Path) -> Answer:
        return self._run(["qsub", script_path.name], folder=script_path.parent)

    def _job_id(self, output: str) -> str | None:
        # The last line: sites print greetings before it.
        found = re.findall(r"^(\d+(?:\.[\w.-]+)?)\s*$", output, re.MULTILINE)
        return found[-1] if found else None

    def _queue(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:
        named = [number for name in names for number in self._named(name)]
        wanted = list(dict.fromkeys([*ids, *named]))
        if not wanted:
            return []
        fine = (*self.unknown_job, *_NO_HISTORY)
        answer = self._run(["qstat", "-x", "-f", *wanted])
        if answer.code and matches(_NO_HISTORY, answer.errors):
            text = self._ask(["qstat", "-f", *wanted], fine=fine)
        else:
            text = self._checked(answer, fine)
        return [_with_asked_id(job, wanted) for job in map(_from_block, _blocks(text)) if job]

    def _named(self, name: str) -> list[str]:
        command = ["qselect", "-x", "-u", self.user, "-N", name]
        answer = self._run(command)
        if answer.code and matches(_NO_HISTORY, answer.errors):
            command.remove("-x")
            return self._ask(command).split()
        return self._checked(answer, ()).split()


def _blocks(text: str) -> list[str]:
    """Split what ``qstat -f`` prints by jobs, its broken lines joined."""
    joined = re.sub(r"\n\t", "", text.replace("\r\n", "\n"))
    return re.split(r"^(?=Job Id:)", joined, flags=re.MULTILINE)


def _from_block(block: str) -> JobState | None:
    head = re.match(r"Job Id:\s*(\S+)", block)
    if head is None:
        return None
    values: dict[str, str] = dict(re.findall(r"^\s+([\w.]+) = (.*)$", block, re.MULTILINE))
    raw, comment = values.get("job_state", ""), values.get("comment", "").strip()
    status = values.get("Exit_status", values.get("exit_status", ""))
    if raw not in _ENDED:
        return JobState(head[1], values.get("Job_Name", ""), _LIVE.get(raw, "running"), raw, comment)
    code = int(status) if re.fullmatch(r"-?\d+", status) else None
    state, code = _end(code, comment)
    return JobState(head[1], values.get("Job_Name", ""), state, raw, comment, code)


def _end(code: int | None, comment: str) -> tuple[State, int | None]:
    """State and exit code, as a shell gives it, of a job that ended."""
    limits = (state for pattern, state in _EXCEEDED.items() if matches((pattern,), comment))
    limit = _KILLED.get(code or 0) or next(limits, None)
    if limit or code is None or code < 0:  # one without a code was deleted before it ran
        return limit or ("cancelled" if code is None else "node"), None
    code = shell_code(code, code - _SIGNAL if code > _SIGNAL else 0)
    if code == 0:
        return "completed", 0
    return ("cancelled" if matches((r"and terminated|deleted",), comment) else "failed"), code


def _with_asked_id(job: JobState, asked: Sequence[str]) -> JobState:
    """Return a job under the id that was asked for: servers add their domain, or not."""
    number = job.id.partition(".")[0]
    same = next((one for one in asked if one == job.id or one.partition(".")[0] == number), job.id)
    return JobState(same, job.name, job.state, job.raw, job.reason, job.exit_code)
