"""Where calculations run: worker processes of this machine, or jobs on the queues of schedulers."""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.launch.controller import Controller
    from matscout.workflows.launch.pool import WorkerPool

__all__ = ["Controller", "WorkerPool"]

__getattr__ = late_names(__name__, {"Controller": "controller", "WorkerPool": "pool"})
