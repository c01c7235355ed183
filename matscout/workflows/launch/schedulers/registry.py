"""Which schedulers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.workflows.launch.schedulers.lsf import Lsf
from matscout.workflows.launch.schedulers.pbs import Pbs
from matscout.workflows.launch.schedulers.sge import Sge
from matscout.workflows.launch.schedulers.slurm import Slurm

if TYPE_CHECKING:
    from matscout.workflows.launch.schedulers.base import Scheduler
    from matscout.workflows.launch.workers_file import Worker

SCHEDULERS: dict[str, type[Scheduler]] = {"slurm": Slurm, "pbs": Pbs, "sge": Sge, "lsf": Lsf}
"""Schedulers by their name in ``workers.yaml``."""


def make_scheduler(worker: Worker) -> Scheduler:
    """Return what speaks to a worker's scheduler."""
    return SCHEDULERS[worker.scheduler](worker)
