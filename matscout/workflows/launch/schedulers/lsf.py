"""IBM Spectrum LSF."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from matscout.workflows.launch.schedulers.base import JobState, Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.workflows.launch.schedulers.base import AllocationRequest, State
    from matscout.workflows.launch.schedulers.commands import Answer

_STATES: dict[str, State] = {
    "PEND": "waiting",
    "PROV": "waiting",
    "WAIT": "waiting",
    "PSUSP": "held",
    "USUSP": "held",
    "RUN": "running",
    "SSUSP": "running",  # suspended by LSF, which lets it go on
    "UNKWN": "running",  # its node does not answer: it may still be at work
    "DONE": "completed",
    "EXIT": "failed",
    "ZOMBI": "node",
}
_REASONS: dict[str, State] = {
    "TERM_RUNLIMIT": "walltime",
    "TERM_CPULIMIT": "walltime",
    "TERM_DEADLINE": "walltime",
    "TERM_WINDOW": "walltime",
    "TERM_MEMLIMIT": "memory",
    "TERM_SWAP": "memory",
    "TERM_PREEMPT": "node",
    "TERM_LOAD": "node",
    "TERM_REMOVE_HUNG_JOB": "node",
    "TERM_ZOMBIE": "node",
    "TERM_OWNER": "cancelled",
    "TERM_FORCE_OWNER": "cancelled",
    "TERM_ADMIN": "cancelled",
    "TERM_FORCE_ADMIN": "cancelled",
}
_DELIMITER = "^"
_COLUMNS = f"jobid stat exit_code job_name exit_reason delimiter='{_DELIMITER}'"
# bsub tries again for ever where a queue is full, unless it is told how often.
_NO_RETRIES = {"LSB_NTRIES": "1"}


class Lsf(Scheduler):
    """LSF: ``bsub``, ``bjobs``, ``bkill``."""

    q_type = "LoadSharingFacility"
    label = "LSF"
    prefix = "#BSUB"
    passed = ("LSF_BINDIR", "LSF_ENVDIR", "LSF_LIBDIR", "LSF_SERVERDIR", "XLSF_UIDDIR", "EGO_TOP")
    full = (
        r"pending (job|slots?) threshold reached",
        r"job (slot )?limit .*reached|reached .*job limit",
        r"too many jobs",
    )
    down = (
        r"daemon not responding",
        r"LSF is down",
        r"LIM is down",
        r"master (LIM|host) is (unknown|down)|cannot (locate|contact) master",
        r"Connection (refused|timed out)",
        r"(communication|system call) time-?out|Request from a non-LSF host",
    )
    unknown_job = (r"is not found", r"No (unfinished|matching) job found", r"already finished", r"No job found")
    _cancel_program: ClassVar[str] = "bkill"

    def _directives(self, request: AllocationRequest) -> dict[str, str | int | None]:
        worker = self.worker
        seconds, reserve = self._times(request)
        minutes, warning = -(-seconds // 60), -(-reserve // 60)
        memory = request.memory or worker.memory
        return {
            "qos": worker.qos,
            "walltime": f"{minutes // 60}:{minutes % 60:02d}",
            "slots": worker.nodes * worker.cores,
            "cores": worker.cores,
            "memory": f"{memory}MB" if memory else None,
            "gpus": worker.gpus or None,
            "action": "USR1" if warning < minutes else None,
            "warning": warning if warning < minutes else None,
        }

    def _submission(self, script_path: Path) -> Answer:
        # LSF reads directives from standard input only.
        return self._run(["bsub"], extra=_NO_RETRIES, folder=script_path.parent, stdin=script_path)

    def _job_id(self, output: str) -> str | None:
        found = re.search(r"^Job <(\d+)> is submitted", output, re.MULTILINE)
        return found[1] if found else None

    def _queue(self, ids: Sequence[str], names: Sequence[str]) -> list[JobState]:
        ask = ["bjobs", "-a", "-noheader", "-o", _COLUMNS]
        texts = [self._ask([*ask, *ids], fine=self.unknown_job)] if ids else []
        texts += [self._ask([*ask, "-J", name], fine=self.unknown_job) for name in names]
        return [job for text in texts for line in text.splitlines() if (job := _from_line(line))]


def _from_line(line: str) -> JobState | None:
    parts = [part.strip() for part in line.split(_DELIMITER, 4)]
    if len(parts) != 5 or not parts[0].isdigit():
        return None
    number, raw, code, name, reason = parts
    reason = "" if reason == "-" else reason
    state = _STATES.get(raw, "running")
    if raw == "EXIT":
        state = _REASONS.get(reason.partition(":")[0].strip(), "failed")
    ended = raw in {"DONE", "EXIT"}
    known = int(code) if code.isdigit() else (0 if raw == "DONE" else None)
    return JobState(number, name, state, raw, reason, known if ended else None)
