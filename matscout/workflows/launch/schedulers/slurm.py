"""Slurm."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, ClassVar

from matscout.workflows.launch.schedulers.base import JobState, Scheduler, clock, shell_code
from matscout.workflows.launch.schedulers.commands import (
    Answer,
    SchedulerDownError,
    SchedulerMissingError,
    matches,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.workflows.launch.schedulers.base import AllocationRequest, State

_STATES: dict[str, State] = {
    "PENDING": "waiting",
    "CONFIGURING": "waiting",
    "REQUEUED": "waiting",
    "REQUEUE_FED": "waiting",
    "RESV_DEL_HOLD": "held",
    "REQUEUE_HOLD": "held",
    "SPECIAL_EXIT": "held",
    "RUNNING": "running",
    "COMPLETING": "running",
    "RESIZING": "running",
    "SIGNALING": "running",
    "STAGE_OUT": "running",
    "STOPPED": "running",
    "SUSPENDED": "running",  # by another job; it goes on by itself
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMEOUT": "walltime",
    "OUT_OF_MEMORY": "memory",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "PREEMPTED": "node",
    "CANCELLED": "cancelled",
    "DEADLINE": "cancelled",
    "REVOKED": "cancelled",
}

_POLICY = "violates accounting/QOS policy"
_NAMED_LIMIT = r"\b(QOS|Assoc)(Max|Min|Grp)\w+"
_USER_LIMIT = r"\b(QOSMaxSubmitJobPerUserLimit|AssocMaxSubmitJobLimit)\b"
_NEVER = re.compile(r"PartitionTimeLimit|PartitionNodeLimit|BadConstraints|(QOS|Assoc)Max\w+Per(Job|Node)(Limit)?")
"""Reasons for which a job waits until somebody changes it, or the partition."""
_HISTORY = "now-30days"  # how far sacct looks back for a name
_NO_ACCOUNTING = (r"accounting storage is disabled",)


class Slurm(Scheduler):
    """Slurm: ``sbatch``, ``squeue``, ``scontrol``, ``scancel``, and ``sacct`` where there is accounting."""

    q_type = "SLURM"
    label = "Slurm"
    prefix = "#SBATCH"
    passed = ("SLURM_CONF", "SLURM_CLUSTERS")  # SBATCH_* would overrule the script
    full = (
        r"(Max|Grp)SubmitJob",
        r"\b(QOS|Assoc)(Max|Grp)Jobs\w*Limit",
        r"job queue full",
        r"temporarily unable to accept job",
        r"Resource temporarily unavailable",
    )
    down = (
        r"Unable to contact slurm controller",
        r"Socket timed out",
        r"Zero Bytes were transmitted",
        r"Connection (refused|timed out)",
        r"Message (receive|send) failure",
        r"controller in standby mode",
        r"Unable to process configuration file",  # that of Slurm: the disk it lies on, or its server, is not there
        r"Could not establish a configuration source",
        r"munge",
    )
    unknown_job = (r"Invalid job id", r"already completing or completed")
    _cancel_program: ClassVar[str] = "scancel"

    def _directives(self, request: AllocationRequest) -> dict[str, str | int | None]:
        worker = self.worker
        memory = request.memory or worker.memory
        seconds, reserve = self._times(request)
        gpus = ":".join(["gpu", *([worker.gpu_type] if worker.gpu_type else []), str(worker.gpus)])
        return {
            "qos": worker.qos,
            "walltime": clock(seconds),
            "nodes": worker.nodes,
            "ranks": worker.ranks,
            "cores_per_rank": worker.cores // worker.ranks,
            "memory": f"{memory}M" if memory else None,
            "gpus": gpus if worker.gpus else None,
            "reserve": reserve,
        }

    def _submission(self, script_path: Path) -> Answer:
        return self._run(["sbatch", script_path.name], folder=script_path.parent)

    def _job_id(self, output: str) -> str | None:
        found = re.search(r"^Submitted batch job (\d+)", output, re.MULTILINE)
        return found[1] if found else None

    def _is_full(self, answer: Answer, text: str) -> bool:
        """Tell a full queue from a job that is too large: Slurm's sentence is the same for both.

        Newer editions name the limit before. The limit on submitted jobs is also what they name where a job has no
        account, or a wrong one, and nothing may be submitted at all: then no job of the user is in the queue.
        """
        unnamed = _POLICY in text and not re.search(_NAMED_LIMIT, text)
        if unnamed or matches((_USER_LIMIT,), text):
            return bool(self._ask(["squeue", "--noheader", "--all", f"--user={os.getuid()}", "--format=%i"]).strip())
        return super()._is_full(answer, text)

    def _queue(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:  # noqa: ARG002
        # All of the user's jobs: with --jobs, one number that Slurm has forgotten would be an error.
        columns = "JobID:|,State:|,exit_code:|,Reason:|,Name:"
        command = ["squeue", "--noheader", "--all", "--states=all", f"--user={os.getuid()}", f"--Format={columns}"]
        return [job for line in self._ask(command).splitlines() if (job := _from_squeue(line))]

    def _past(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:
        accounted, trouble = self._accounted(ids, names)
        found = {job.id: job for job in accounted}
        missing = [number for number in ids if number not in found]
        if missing or not found:
            shown = self._ask(["scontrol", "--oneliner", "--all", "show", "job"])
            jobs = [job for line in shown.splitlines() if (job := _from_scontrol(line))]
            found |= {job.id: job for job in jobs if job.id in missing or job.name in names}
        if trouble is not None and not found.keys() >= set(ids):
            raise trouble  # they may have ended as they should
        return list(found.values())

    def _accounted(self, ids: Sequence[str], names: Sequence[str]) -> tuple[list[JobState], SchedulerDownError | None]:
        """Ask accounting, where there is one; return also why it does not answer.

        Its database is not Slurm: without it, most is still known.
        """
        columns = "--format=JobID,State,ExitCode,JobName"
        command = ["sacct", "--noheader", "--parsable2", "--allocations", columns, f"--user={os.getuid()}"]
        found: list[JobState] = []
        questions = [[f"--jobs={','.join(ids)}"]] if ids else []
        questions += [[f"--name={','.join(names)}", f"--starttime={_HISTORY}"]] if names else []
        for question in questions:
            try:
                text = self._ask([*command, *question], fine=_NO_ACCOUNTING)
            except SchedulerMissingError:
                break
            except SchedulerDownError as error:
                return found, error
            found += [job for line in text.splitlines() if (job := _from_sacct(line))]
        return found, None


def _from_squeue(line: str) -> JobState | None:
    parts = line.split("|", 4)
    if len(parts) != 5 or not parts[0].strip().isdigit():
        return None
    number, raw, status, reason, name = (part.strip() for part in parts)
    code = None
    if status.isdigit():  # as wait() gives it
        code = shell_code(int(status) >> 8, int(status) & 127)
    return _job(number, name, raw, "" if reason == "None" else reason, code)


def _from_scontrol(line: str) -> JobState | None:
    values = dict(part.split("=", 1) for part in line.split() if "=" in part)
    if not values.get("JobId", "").isdigit():
        return None
    owner = re.search(r"\((\d+)\)", values.get("UserId", ""))
    if owner is None or int(owner[1]) != os.getuid():
        return None
    reason = values.get("Reason", "None")
    code = _code(values.get("ExitCode", ""))
    return _job(
        values["JobId"], values.get("JobName", ""), values["JobState"], "" if reason == "None" else reason, code
    )


def _from_sacct(line: str) -> JobState | None:
    parts = line.split("|", 3)
    if len(parts) != 4 or not parts[0].isdigit():
        return None
    number, raw, code, name = parts
    word, _, reason = raw.partition(" ")  # CANCELLED by 1000
    return _job(number, name, word, reason, _code(code))


def _code(text: str) -> int | None:
    found = re.fullmatch(r"(\d+):(\d+)", text)
    return shell_code(int(found[1]), int(found[2])) if found else None


def _job(number: str, name: str, raw: str, reason: str, code: int | None) -> JobState:
    """Make a state of Slurm's words; one that a later edition adds is taken for that of a job that lives."""
    state = _STATES.get(raw, "running")
    never_begins = state == "waiting" and _NEVER.fullmatch(reason) is not None
    if state == "waiting" and ("held" in reason.lower() or never_begins):
        state = "held"
    ended = state not in {"waiting", "held", "running"}
    return JobState(number, name, state, raw, reason, code if ended else None, never_begins)
