"""Why an attempt ended without a result: told from its launcher, the scheduler, and what the job printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from matscout.workflows.calculations.causes import LOST_STATES, Finding, classify
from matscout.workflows.launch.allocation import EXIT_MACHINE
from matscout.workflows.launch.folders import INTERRUPTED, LOG
from matscout.workflows.launch.schedulers.base import OUTPUT

if TYPE_CHECKING:
    from matscout.workflows.launch.allocations import AllocationRecord
    from matscout.workflows.launch.folders import Look
    from matscout.workflows.launch.schedulers import JobState

KILLED = 128
"""An exit code of this and n more is that of a program that signal n has ended."""

_OUTSIDE = frozenset({*LOST_STATES, "node"})
"""States of a job that somebody else has ended."""


class Why(NamedTuple):
    """Why an attempt has no result."""

    finding: Finding | None
    """The cause; None where it was stopped for a reason that lies neither in it nor in its machine."""
    words: str
    """The same for a person."""


def why(seen: Look, folder: Path, record: AllocationRecord, state: JobState) -> Why:
    """Tell why an attempt was interrupted.

    Parameters
    ----------
    seen
        What its launch folder shows.
    folder
        That folder.
    record
        Its allocation.
    state
        What the scheduler says of the job.
    """
    if seen.state == "gone":
        finding = Finding(cause="node", evidence=f"no folder {folder}", message="its launch folder is gone")
    elif seen.problem is not None:
        finding = Finding(cause="parse", evidence=seen.problem, message="its result is there, but cannot be read")
    elif seen.interruption is not None:
        told = seen.interruption
        if told.cause is not None:
            evidence = f"{INTERRUPTED}: {told.evidence}"
            finding = Finding(cause=told.cause, evidence=evidence, message=told.message)
        elif state.state in _OUTSIDE:
            finding = classify(folder, job_state=state.state)
        else:
            return Why(None, told.message)
    elif state.state == "failed" and (state.exit_code or 0) > KILLED and not (folder / LOG).exists():
        # It was claimed and had not begun, as its process was still loading: it has no part in this.
        return Why(None, f"its launcher was killed before it began: exit code {state.exit_code}")
    else:
        finding = _of_job(folder, record, state)
    return Why(finding, finding.message)


def _of_job(folder: Path, record: AllocationRecord, state: JobState) -> Finding:
    """Tell why a job left an attempt without a word."""
    code = state.exit_code if state.state == "failed" else None  # else the scheduler itself has ended it
    finding = classify(folder, exit_code=code, job_state=state.state, logs=(Path(record.folder) / OUTPUT,))
    if finding.cause == "unknown" and code == EXIT_MACHINE:
        return Finding(cause="node", evidence=f"exit code {code} of its job", message="its machine could not calculate")
    return finding
