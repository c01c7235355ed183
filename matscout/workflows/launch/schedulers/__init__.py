"""Schedulers of a cluster: scripts, submission, and what became of jobs.

`make_scheduler` gives what speaks to the scheduler of a worker. Each question has a time limit, and each way in which a
scheduler can fail is an error of its own: a full queue, a scheduler that does not answer, one that is not here, and a
script that it refuses.
"""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.launch.schedulers.base import AllocationRequest, JobState, Scheduler, job_name
    from matscout.workflows.launch.schedulers.commands import (
        QueueFullError,
        SchedulerDownError,
        SchedulerMissingError,
    )
    from matscout.workflows.launch.schedulers.registry import SCHEDULERS, make_scheduler

__all__ = [
    "SCHEDULERS",
    "AllocationRequest",
    "JobState",
    "QueueFullError",
    "Scheduler",
    "SchedulerDownError",
    "SchedulerMissingError",
    "job_name",
    "make_scheduler",
]

__getattr__ = late_names(
    __name__,
    {
        "AllocationRequest": "base",
        "JobState": "base",
        "Scheduler": "base",
        "job_name": "base",
        "QueueFullError": "commands",
        "SchedulerDownError": "commands",
        "SchedulerMissingError": "commands",
        "SCHEDULERS": "registry",
        "make_scheduler": "registry",
    },
)
