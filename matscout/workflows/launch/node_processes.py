"""Processes of a launcher on a node, each for one calculation at a time, with all the programs it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from matscout.workflows.launch.pool import STARTUP_SECONDS, WORKER
from matscout.workflows.launch.programs import MARK, Programs

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.workflows.launch.allocation import Allocation, Launch

GRACE_SECONDS = 5.0
"""How long programs have to end after they are told so: srun and mpirun end their tasks on other nodes in it."""

COMMANDS = {
    "vasp": "ATOMATE2_VASP_CMD",
    "vasp_gamma": "ATOMATE2_VASP_GAMMA_CMD",
    "vasp_ncl": "ATOMATE2_VASP_NCL_CMD",
}
"""Codes that are started by a run command, and the variable in which atomate2 looks for it."""


def calculation_environment(allocation: Allocation) -> dict[str, str]:
    """Return the environment of an allocation's calculations: that of the job, and the run commands.

    They have one thread unless the job says otherwise; MKL and OpenBLAS go by the same variable.
    """
    commands = {COMMANDS[code]: command for code, command in allocation.commands.items()}
    return {"OMP_NUM_THREADS": "1", **os.environ, **commands}


class CalculationProcess:
    """A worker's process, in a process group of its own, with all the programs it starts.

    Parameters
    ----------
    allocation
        Says with which environment and memory.
    folder
        Working directory.
    alone
        Whether it is for one calculation only, and loads nothing before it.
    """

    def __init__(self, allocation: Allocation, folder: Path, *, alone: bool) -> None:
        options = ["--node"]
        if not alone:
            options += [f"--preload={module}" for module in allocation.preload]
        if allocation.memory_limit:
            options.append(f"--memory={allocation.memory_limit}")
        self.alone = alone
        self.launch: Launch | None = None
        self.ready = False
        self.deadline = time.monotonic() + STARTUP_SECONDS  # until it is ready
        self.started = time.monotonic()
        self.peak_memory = 0.0
        self.was_killed = False
        self._lines = b""
        self._programs = Programs()
        self._process = subprocess.Popen(  # noqa: S603  our own worker, with modules the controller named
            # -P: a queue.py in the folder must not stand in for the library's
            [sys.executable, "-P", "-m", WORKER, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env=calculation_environment(allocation) | {MARK: self._programs.mark},
            start_new_session=True,  # ends as a group, and hears no signal meant for the launcher
        )

    @property
    def output(self) -> int:
        """File descriptor of its answers."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def seconds(self) -> float:
        """How long its calculation has run, s."""
        return time.monotonic() - self.started

    def submit(self, launch: Launch) -> None:
        """Hand over a launch folder that is claimed."""
        assert self._process.stdin is not None
        self.launch = launch
        self.started = time.monotonic()
        with suppress(BrokenPipeError):  # it died while idle: its closed output says so
            self._process.stdin.write(f"{launch.folder}\n".encode())

    def answers(self) -> list[dict[str, Any]] | None:
        """Read what it has answered, or None when it is dead."""
        try:
            content = os.read(self.output, 65536)
        except OSError:
            content = b""
        if not content:
            return None
        *lines, self._lines = (self._lines + content).split(b"\n")
        answers = []
        for line in lines:
            answer = json.loads(line)
            if "ready" in answer:
                self.ready, self.deadline = True, float("inf")
                self.started = time.monotonic()  # a calculation's time begins when its process can begin with it
            else:
                answers.append(answer)
        return answers

    def tell_to_end(self) -> None:
        """Ask it and its programs to end."""
        self._programs.tell(self._process.pid, signal.SIGTERM)

    def end(self, grace: float = GRACE_SECONDS) -> int:
        """End it with all its programs, and return its exit code, negative for a signal.

        It is waited for, as it may be at its end already; then the programs it left are told to end, and waited for.
        What is left after the grace is killed (`was_killed`, where that is the process itself).
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        give_up = time.monotonic() + grace
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        while pid == 0 and time.monotonic() < give_up:
            time.sleep(0.005)
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        self.was_killed = pid == 0
        if not self.was_killed:
            self.tell_to_end()
        while not self.was_killed and self._programs.live(self._process.pid) and time.monotonic() < give_up:
            time.sleep(0.02)
        self._programs.kill(self._process.pid)
        if self.was_killed:
            _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._process.stdout.close()
        # Not before: at the end of its input it kills itself, which would hide how it ended.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self.peak_memory = usage.ru_maxrss / 1024
        return self._process.returncode
