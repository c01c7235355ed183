"""Grid Engine: Sun's, Univa's, Altair's, and its free successors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from xml.etree import ElementTree as ET

from matscout.workflows.launch.schedulers.base import JobState, Scheduler, clock
from matscout.workflows.launch.schedulers.commands import SchedulerDownError, SchedulerMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.workflows.launch.schedulers.base import AllocationRequest, State
    from matscout.workflows.launch.schedulers.commands import Answer

_EXIT_LIMIT = 25  # qsub's exit code where a user has as many jobs as allowed
_HISTORY_DAYS = 30
_USERS_MISTAKES = frozenset({26, 27, 28, 29, 30})  # reasons such as a folder that cannot be entered
_AFTER_JOB = 100  # the script was ended by a signal
_NONE_KNOWN = (r"job (id|name) \S+ not found", r"no jobs running since startup")
"""How qacct says that it has no such job, or that there is no accounting file: answers, both with exit code 1."""


class Sge(Scheduler):
    """Grid Engine: ``qsub``, ``qstat``, ``qdel``, and ``qacct`` for jobs that have ended."""

    q_type = "SGE"
    label = "Grid Engine"
    prefix = "#$"
    passed = ("SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT", "SGE_EXECD_PORT")
    full = (r"only \d+ jobs are allowed per (user|cluster)", r"job rejected: .*\blimit\b")
    down = (
        r"unable to contact qmaster",
        r"unable to send message to qmaster",
        r"commlib error",
        r"got (select|read|send) error",
        r"failed receiving gdi request",
        r"can't unpack gdi request|gdi timeout",
    )
    unknown_job = (r"does not exist", r"already in deletion|is already in .*deletion")
    _cancel_program: ClassVar[str] = "qdel"

    def _directives(self, request: AllocationRequest) -> dict[str, str | int | None]:
        worker = self.worker
        seconds, reserve = self._times(request)
        slots = worker.nodes * worker.cores
        memory = request.memory or worker.memory
        return {
            "walltime": clock(seconds),
            "warning": clock(seconds - reserve),
            "slots": f"{worker.parallel_environment} {slots}" if worker.parallel_environment else None,
            # h_vmem is counted for each slot
            "memory": f"{-(-memory // worker.cores)}M" if memory else None,
            "gpus": worker.gpus or None,
        }

    def _submission(self, script_path: Path) -> Answer:
        return self._run(["qsub", script_path.name], folder=script_path.parent)

    def _job_id(self, output: str) -> str | None:
        found = re.search(r"^Your job (\d+) ", output, re.MULTILINE)
        return found[1] if found else None

    def _is_full(self, answer: Answer, text: str) -> bool:
        return answer.code == _EXIT_LIMIT or super()._is_full(answer, text)

    def _queue(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:  # noqa: ARG002
        # As XML: the table cuts names after ten characters.
        text = self._ask(["qstat", "-xml", "-u", self.user])
        try:
            # Written by the site's own scheduler for its own users.
            root = ET.fromstring(text)  # noqa: S314
        except ET.ParseError as error:
            raise SchedulerDownError(f"what qstat answers is no XML: {error}") from None
        return [
            _from_xml(job, job.findtext("JB_job_number", ""), job.findtext("state", ""))
            for job in root.iter("job_list")
        ]

    def _past(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:
        """Jobs of the last days in the accounting file, which is read through once.

        A job that only a name is known of has left its results where they are looked for; one that had a number is
        not to be taken for lost because accounting fails.
        """
        try:
            text = self._ask(["qacct", "-o", self.user, "-d", str(_HISTORY_DAYS), "-j"], fine=_NONE_KNOWN)
        except SchedulerMissingError:
            return []
        except SchedulerDownError:
            if ids:
                raise
            return []
        jobs = map(_from_accounting, re.split(r"^=+\s*$", text, flags=re.MULTILINE))
        return [job for job in jobs if job and (job.id in ids or job.name in names)]


def _from_xml(job: ET.Element, number: str, raw: str) -> JobState:
    """Read a job of ``qstat -xml``: letters such as qw, hqw, r, t, dr, s, Eqw."""
    state: State = "running"
    if "h" in raw or "E" in raw or "s" in raw:  # held; in error; suspended by a person
        state = "held"
    elif "q" in raw or "w" in raw:
        state = "waiting"
    reason = "the scheduler met an error: qstat -j tells which" if "E" in raw else ""
    return JobState(number, job.findtext("full_job_name") or job.findtext("JB_name") or "", state, raw, reason)


def _from_accounting(block: str) -> JobState | None:
    values = dict(re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", block, re.MULTILINE))
    number = values.get("jobnumber", "")
    if not number.isdigit():
        return None
    failed, code = _first_number(values.get("failed")), _first_number(values.get("exit_status"))
    reason = values.get("failed", "").partition(":")[2].strip()
    raw = f"failed {failed}"
    return JobState(number, values.get("jobname", ""), _end(values, failed or 0, code or 0), raw, reason, code)


def _end(values: dict[str, str], failed: int, code: int) -> State:
    """Tell what ended a job: qacct says little more than which limit was asked for and how long the job ran."""
    if failed == 0 and code == 0:
        return "completed"
    if values.get("deleted_by", "NONE") not in {"NONE", ""}:
        return "cancelled"
    limit = re.search(r"\bh_rt=(\d+)", values.get("category", ""))
    ran = _first_number(values.get("ru_wallclock")) or 0
    killed = "h_rt" in values.get("failed", "")
    if limit and ran >= int(limit[1]) and (killed or failed == _AFTER_JOB or code > 128):
        return "walltime"
    if killed:  # the reason is the same for h_rt and h_vmem
        return "memory" if limit else "walltime"
    return "node" if 0 < failed < _AFTER_JOB and failed not in _USERS_MISTAKES else "failed"


def _first_number(text: str | None) -> int | None:
    found = re.match(r"\s*(-?\d+)", text or "")
    return int(found[1]) if found else None
