"""Workers of dask on this machine, for one computation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import dask
from distributed import Scheduler
from distributed.deploy.spec import ProcessInterface, SpecCluster
from distributed.system import MEMORY_LIMIT

from matscout.featurizers.clusters import (
    DASHBOARD_HOST,
    DEATH_SECONDS,
    ENVIRONMENT,
    WORKER_OPTIONS,
    OwnCluster,
    last_lines,
    temporary_security,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Security

START_SECONDS = 600.0
"""How long workers may take to start: on a network file system, minutes."""

_SHARE_OF_MEMORY = 0.8  # of this machine's, for all workers together


class LocalCluster(OwnCluster, SpecCluster):
    """One-thread worker processes on this machine.

    dask's own cluster of this name starts workers by `multiprocessing`, which runs a user's script again in each of
    them, and lets them write to the terminal. These are started as those of a queue are.

    Parameters
    ----------
    n_workers
        Number of processes.
    folder
        For certificates, scratch files and what the processes print.
    """

    start_seconds = START_SECONDS

    def __init__(self, n_workers: int, folder: Path) -> None:
        self._worker_log = folder / "workers.log"
        security = temporary_security(folder)
        super().__init__(
            scheduler={
                "cls": Scheduler,
                "options": {
                    "protocol": "tls://",
                    "host": "127.0.0.1",
                    "port": 0,
                    "security": security,
                    "dashboard_address": f"{DASHBOARD_HOST}:0",
                },
            },
            workers={
                "local": {
                    "cls": _LocalWorkers,
                    "options": {
                        "n_workers": n_workers,
                        "folder": folder,
                        "log": self._worker_log,
                        "security": security,
                    },
                }
            },
            security=security,
        )

    @property
    def _processes(self) -> list[_LocalWorkers]:
        return [worker for worker in self.workers.values() if isinstance(worker, _LocalWorkers)]

    def trouble(self) -> str | None:
        """Why no worker will come any more; None while one may."""
        if any(one.process is not None and one.process.poll() is None for one in self._processes):
            return None
        return f"the worker processes ended{last_lines([self._worker_log])}"

    def state(self) -> str:
        """Say what the workers are at."""
        return f"the worker processes run{last_lines([self._worker_log])}"

    def end_workers(self) -> None:
        """Kill the worker processes."""
        for one in self._processes:
            one.kill()


class _LocalWorkers(ProcessInterface):
    """The process that starts all worker processes, and starts one again that died."""

    def __init__(self, scheduler: str, name: str, n_workers: int, folder: Path, log: Path, security: Security) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._log = log
        self._folder = folder
        certificates = security.get_tls_config_for_role("worker")
        self._options = [
            scheduler,
            # The cluster would end what has the name of a worker that is lost for long.
            *("--name", f"{name}-worker", "--nworkers", str(n_workers), "--nthreads", "1", "--nanny"),
            *("--host", "127.0.0.1", "--protocol", "tls://", *WORKER_OPTIONS),
            *("--memory-limit", str(int(_SHARE_OF_MEMORY * MEMORY_LIMIT / n_workers))),
            *("--local-directory", str(folder), "--death-timeout", str(DEATH_SECONDS)),
            *("--tls-ca-file", certificates["ca_file"]),
            *("--tls-cert", certificates["cert"], "--tls-key", certificates["key"]),
        ]

    async def start(self) -> None:
        """Start it."""
        line, self._lifeline = os.pipe()  # its closing tells the workers that this process has ended
        try:
            with self._log.open("wb") as log:
                self.process = subprocess.Popen(  # noqa: ASYNC220, S603  returns at once; ourselves
                    # -P: a queue.py in the user's folder must not stand in for the library's
                    [
                        *(sys.executable, "-P", "-m", "matscout.featurizers._local_workers"),
                        *(str(line), str(self._folder), *self._options),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | ENVIRONMENT,
                    start_new_session=True,  # Ctrl-C is for the parent; and what it starts can be ended with it
                    pass_fds=(line,),
                )
        finally:
            os.close(line)
        await super().start()

    def kill(self) -> None:
        """End it and the workers."""
        if self.process is not None and self._lifeline is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            os.close(self._lifeline)
            self._lifeline = None

    async def close(self) -> None:
        """See `kill`."""
        self.kill()
        await super().close()


@contextmanager
def local_cluster(n_workers: int) -> Iterator[LocalCluster]:
    """Run one-thread worker processes on this machine, until the context is left."""
    with tempfile.TemporaryDirectory(prefix="matscout-dask-", ignore_cleanup_errors=True) as folder:
        with dask.config.set({"temporary-directory": folder}):
            cluster = LocalCluster(n_workers, Path(folder))
        try:
            yield cluster
        finally:
            cluster.end()
