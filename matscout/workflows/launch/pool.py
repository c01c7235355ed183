"""Worker processes on this machine, each with one calculator and one core."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from matscout.errors import UserError
from matscout.workflows.launch.programs import MARK, Programs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

WORKER = "matscout.workflows.launch.worker"
"""The module that a worker's process runs."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

STARTUP_SECONDS = 600.0
"""How long a worker may take to load what it needs: on a network file system, minutes."""

_LAST_SECONDS = 5.0
"""How long a worker that has closed its output may take to end, so that its exit code tells why."""


@dataclass(frozen=True)
class Answer:
    """What became of a launch folder handed to a worker."""

    folder: Path
    outcome: Literal["done", "refused", "died", "timeout"]
    message: str | None = None
    exit_code: int | None = None


class _Worker:
    def __init__(self, log: IO[bytes], preload: Sequence[str]) -> None:
        self.programs = Programs()
        self.process = subprocess.Popen(  # noqa: S603  our own worker, with modules the controller named
            # -P: a queue.py in the user's folder must not stand in for the library's
            [sys.executable, "-P", "-m", WORKER, *(f"--preload={module}" for module in preload)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,  # a second answer in a buffer here would wake no selector
            env=os.environ | _ONE_THREAD | {MARK: self.programs.mark},
            start_new_session=True,  # Ctrl-C is for the controller, which lets running calculations end
        )
        self.ready = False
        self.folder: Path | None = None
        self.seconds = 0.0
        self.deadline = float("inf")

    def submit(self, folder: Path, seconds: float) -> None:
        assert self.process.stdin is not None
        self.folder, self.seconds = folder, seconds
        self.deadline = time.monotonic() + (seconds if self.ready else STARTUP_SECONDS)
        with suppress(BrokenPipeError):  # it died while idle: its closed output reports that on the next wait
            self.process.stdin.write(f"{folder}\n".encode())
            self.process.stdin.flush()

    def end(self, grace: float = 0.0) -> int:
        """End it with all the programs it has started, and return its exit code, negative for a signal."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        self.programs.kill(self.process.pid)
        code = self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class WorkerPool:
    """A fixed number of worker processes; a context manager that ends them.

    Parameters
    ----------
    n_workers
        Processes, each for one calculation at a time on one core.
    log
        File that takes what workers print; what their codes print goes into the launch folder.
    preload
        Modules that each worker loads before it is ready.
    """

    def __init__(self, n_workers: int, log: Path, *, preload: Sequence[str] = ()) -> None:
        self.n_workers = n_workers
        self._log_path = log
        self._preload = preload
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._log = stack.enter_context(self._log_path.open("ab"))
            self._selector = stack.enter_context(selectors.DefaultSelector())
            stack.callback(self._end_all)
            for _ in range(self.n_workers):
                self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def idle(self) -> int:
        """Number of workers without a calculation."""
        return sum(worker.folder is None for worker in self._workers)

    def submit(self, folder: Path, *, time_limit: float) -> None:
        """Hand a prepared launch folder to an idle worker, which is killed with its programs after `time_limit` s."""
        worker = next(worker for worker in self._workers if worker.folder is None)
        worker.submit(folder, time_limit)

    def wait(self, seconds: float) -> list[Answer]:
        """Return the answers that come within `seconds`; as soon as there is one.

        Raises
        ------
        UserError
            A worker ended before it had loaded what it needs: no calculation is to blame.
        """
        answers = [self._answer(key.data) for key, _ in self._selector.select(seconds)]
        late = [worker for worker in self._workers if worker.folder and time.monotonic() > worker.deadline]
        answers += [self._replace(worker, "timeout", f"longer than {worker.seconds:g} s") for worker in late]
        return [answer for answer in answers if answer is not None]

    def _start(self) -> None:
        worker = _Worker(self._log, self._preload)
        self._workers.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _answer(self, worker: _Worker) -> Answer | None:
        assert worker.process.stdout is not None
        line = worker.process.stdout.readline()
        if not line.endswith(b"\n"):
            return self._replace(worker, "died", None)
        answer = json.loads(line)
        if "ready" in answer:
            worker.ready, worker.deadline = True, time.monotonic() + worker.seconds
            return None
        worker.folder, worker.deadline = None, float("inf")
        return Answer(Path(answer["folder"]), "refused" if answer["error"] else "done", answer["error"])

    def _replace(self, worker: _Worker, outcome: Literal["died", "timeout"], message: str | None) -> Answer | None:
        """End a worker that is dead or too late, start another, and report what it was at."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]  # opened with PIPE
        self._workers.remove(worker)
        code = worker.end(_LAST_SECONDS if outcome == "died" else 0.0)
        if not worker.ready:
            raise UserError(f"a worker could not start ({_exit_words(code)}): what it said is in {self._log_path}")
        self._start()
        if worker.folder is None:
            return None
        return Answer(worker.folder, outcome, message or f"the worker ended with {_exit_words(code)}", code)


def _exit_words(code: int) -> str:
    return f"signal {-code}" + (" (often: out of memory)" if code == -9 else "") if code < 0 else f"exit code {code}"
