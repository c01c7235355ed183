"""What clusters of dask have in common that belong to one computation: workers on this machine, or Slurm jobs.

The dask scheduler runs in this process. It executes what anybody sends who can connect to it, and login nodes are
shared: so all connections are encrypted, and both sides show a certificate that is made anew for each run.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Security, WorkerPlugin

DASHBOARD_HOST = "127.0.0.1"
"""The dashboard is not encrypted: from another machine it is seen through a tunnel."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    # Nothing large is kept on a worker, so a worker short of memory gains nothing by writing to disk, and one that
    # pauses would pause for ever: it goes on until the limit ends it, and a new one takes its work.
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
}
"""What worker processes find in their environment: one thread each."""

WORKER_OPTIONS = ("--no-dashboard", "--dashboard-address", f"{DASHBOARD_HOST}:0")
"""Options of `dask worker`: what workers serve beside their work is not seen from outside."""

DEATH_SECONDS = 60
"""How long a worker looks for its scheduler before it ends."""

_CLOSE_SECONDS = 20
_LOG_LINES = 10


class OwnCluster(ABC):
    """A cluster that knows what became of its workers.

    Attributes
    ----------
    start_seconds
        How long the first worker may take to come, s.
    """

    start_seconds: float

    @abstractmethod
    def trouble(self) -> str | None:
        """Why no worker will come any more; None while one may."""

    @abstractmethod
    def state(self) -> str:
        """Say what the workers are at."""

    @abstractmethod
    def end_workers(self) -> None:
        """End the workers: whatever they are at, nobody will ask for it."""

    def end(self) -> None:
        """End the workers and the scheduler, whatever state they are in."""
        self.end_workers()
        with suppress(TimeoutError):  # the rest ends with this process
            self.close(timeout=_CLOSE_SECONDS)  # type: ignore[attr-defined]  # dask's


@dataclass
class SearchPath(WorkerPlugin):
    """Lets workers look for modules where this process does, behind all places where they look by themselves."""

    folders: tuple[str, ...] = ()
    name: str = "matscout-search-path"

    @classmethod
    def of_this_process(cls) -> SearchPath:
        """Return that of this process: a user's modules lie beside the script."""
        return cls(tuple(str(Path(folder).absolute()) for folder in sys.path))

    def setup(self, worker: Any) -> None:  # noqa: ARG002  as dask calls it
        """Extend the search path of a worker."""
        sys.path.extend(folder for folder in self.folders if folder not in sys.path)


def temporary_security(folder: Path) -> Security:
    """Make a certificate for one run, and write it into files that workers read."""
    made = Security.temporary()
    files = {}
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(getattr(made, name))
        files[name] = str(path)
    certificate, key = files["tls_worker_cert"], files["tls_worker_key"]
    return Security(
        require_encryption=True,
        **files,
        tls_client_cert=certificate,
        tls_client_key=key,
        tls_scheduler_cert=certificate,
        tls_scheduler_key=key,
    )


def last_lines(logs: list[Path]) -> str:
    """Return the end of the log written last, to be put behind a sentence."""
    written = [log for log in logs if log.exists() and log.stat().st_size]
    if not written:
        return ""
    log = max(written, key=lambda log: log.stat().st_mtime)
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "; the last they printed:\n  " + "\n  ".join(lines)
