"""The programs that a worker has started, wherever they are.

Most are in the worker's process group, but some codes are started in sessions of their own, as custodian does with
VASP: these are known by a variable that they have inherited. They are found also after their worker has died.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

MARK = "MATSCOUT_WORKER"
"""Variable that tells which worker a program belongs to."""


@dataclass(frozen=True)
class Programs:
    """A worker's process, and all that it has started.

    Attributes
    ----------
    mark
        Value of `MARK` in its environment.
    """

    mark: str = field(default_factory=lambda: uuid4().hex)

    def tell(self, group: int, number: signal.Signals) -> None:
        """Send a signal to the worker's process group, and to what it has started outside of it."""
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        for process in self._elsewhere(group):
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def live(self, group: int) -> bool:
        """Whether one of them lives."""
        with suppress(ProcessLookupError):
            os.killpg(group, 0)
            return True
        return bool(self._elsewhere(group))

    def kill(self, group: int) -> None:
        """Kill them all, and what one of them starts meanwhile."""
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self.kill_others(group)

    def kill_others(self, group: int) -> None:
        """Kill what is outside of the worker's process group."""
        killed: set[int] = set()
        while new := self._elsewhere(group) - killed:
            for process in new:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            killed |= new

    def _elsewhere(self, group: int) -> set[int]:
        """Ids of living processes with this mark in other process groups; none where there is no /proc."""
        wanted = f"{MARK}={self.mark}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it belongs to another user, or has ended
                if wanted in path.read_bytes().split(b"\0") and os.getpgid(process := int(path.parent.name)) != group:
                    found.add(process)
        return found
