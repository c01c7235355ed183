"""What ends a launcher before its calculations are done: the walltime, and signals."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matscout.workflows.launch.allocation import Allocation

TIME_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""How schedulers warn before the walltime's end."""

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def seconds_left(allocation: Allocation, environment: Mapping[str, str], clock: float) -> float:
    """Return how much of the walltime is left, s.

    Parameters
    ----------
    environment
        May hold ``MATSCOUT_JOB_STARTED``, when the scheduler's script began, and Slurm's ``SLURM_JOB_END_TIME``, both
        in seconds since 1970; without them the job begins now.
    clock
        Now, in seconds since 1970.
    """
    left = allocation.seconds
    with suppress(KeyError, ValueError):
        left -= max(0.0, clock - float(environment["MATSCOUT_JOB_STARTED"]))
    with suppress(KeyError, ValueError):
        left = min(left, float(environment["SLURM_JOB_END_TIME"]) - clock)
    return left


@contextmanager
def heard_signals() -> Iterator[int]:
    """Turn signals into bytes on a file descriptor, so that none is missed between two looks."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    handlers = {number: signal.signal(number, lambda *_: None) for number in (*TIME_SIGNALS, *END_SIGNALS)}
    try:
        yield reader
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
