"""Workers of dask as Slurm jobs, for one computation."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import dask
from dask.utils import parse_bytes
from distributed.deploy.spec import ProcessInterface

from matscout.errors import UserError
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

    from matscout.settings import Settings


@contextmanager
def _no_signal_handlers() -> Iterator[None]:
    """Let nobody set handlers: dask-jobqueue 0.9.0 makes Ctrl-C end the process without a word when it is imported."""
    kept, signal.signal = signal.signal, lambda *_: None
    try:
        yield
    finally:
        signal.signal = kept


with _no_signal_handlers():
    from dask_jobqueue import SLURMCluster
    from dask_jobqueue.slurm import SLURMJob

_RESTART_SECONDS = 600  # on a network file system, a worker takes minutes to start
_MEMORY_PER_CORE = 2_000_000_000  # bytes
_COMMAND_SECONDS = 30  # how long Slurm's commands may take to answer


class _SlurmJob(SLURMJob):
    """A job that remembers why it was refused."""

    refusal: str | None = None

    async def start(self) -> None:
        """Submit it; dask would lose the error."""
        try:
            await super().start()
        except RuntimeError as error:
            self.refusal = " ".join(str(error).partition("stderr:")[2].split())
            await ProcessInterface.start(self)


class SlurmCluster(OwnCluster, SLURMCluster):
    """Slurm jobs with a one-thread worker process on each of their cores.

    Parameters
    ----------
    settings
        Which jobs.
    folder
        For certificates, and for what jobs print unless the settings name another one; seen by the nodes.
    """

    job_cls = _SlurmJob

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._logs = (settings.slurm_log_folder or folder / "logs").expanduser().absolute()
        self._walltime = settings.slurm_walltime
        self.start_seconds = settings.slurm_start_seconds
        defaults = dask.config.get("jobqueue.slurm")
        host = {"host": settings.slurm_host} if settings.slurm_host else {}
        super().__init__(
            queue=settings.slurm_partition,
            account=settings.slurm_account,
            cores=settings.slurm_cores,
            processes=settings.slurm_cores,
            memory=settings.slurm_memory or f"{_MEMORY_PER_CORE * settings.slurm_cores} B",
            walltime=settings.slurm_walltime,
            interface=settings.slurm_interface,
            python=f"{sys.executable} -P",
            job_name="matscout",
            log_directory=str(self._logs),
            death_timeout=DEATH_SECONDS,
            worker_extra_args=[*(defaults["worker-extra-args"] or []), *WORKER_OPTIONS],
            job_script_prologue=[
                *(f"export {name}={value}" for name, value in ENVIRONMENT.items()),
                *([settings.slurm_prologue] if settings.slurm_prologue else defaults["job-script-prologue"] or []),
            ],
            job_extra_directives=[settings.slurm_directives] if settings.slurm_directives else None,
            scheduler_options={
                **(defaults["scheduler-options"] or {}),
                "dashboard_address": f"{DASHBOARD_HOST}:0",
                **host,
            },
            protocol="tls://",
            security=temporary_security(folder),
            shared_temp_directory=str(folder),
            silence_logs=False,
        )
        self.scale(jobs=settings.slurm_jobs)

    @property
    def _job_ids(self) -> list[str]:
        return [job.job_id for job in list(self.workers.values()) if job.job_id]

    def _queue(self, columns: str) -> list[str]:
        """Lines of the queue about the jobs; none once they ended."""
        return _lines_of(["squeue", "--noheader", f"--jobs={','.join(self._job_ids)}", f"--format={columns}"])

    def trouble(self) -> str | None:
        """Why no worker will come any more; None while one may."""
        refused = [job.refusal for job in list(self.workers.values()) if job.refusal]
        if not self._job_ids:
            return f"Slurm refused the job: {refused[0]}" if refused else None
        try:
            if self._queue("%i"):
                return None
        except OSError:  # this may pass
            return None
        numbers = f"Slurm job{'s' * (len(self._job_ids) > 1)} {', '.join(self._job_ids)}"
        return f"{numbers} ended (walltime: {self._walltime}){last_lines(sorted(self._logs.glob('*.err')))}"

    def state(self) -> str:
        """Say what the jobs are at."""
        try:
            lines = self._queue("%i: %T, %r")
        except OSError as error:
            return str(error)
        return "; ".join(f"Slurm job {line}" for line in lines) or "there is no Slurm job"

    def end_workers(self) -> None:
        """Cancel the jobs."""
        if self._job_ids:
            with suppress(OSError):  # they end when they find no scheduler
                _lines_of(["scancel", *self._job_ids])


def _lines_of(command: list[str]) -> list[str]:
    """Lines that a command of Slurm prints; none for jobs that are long gone.

    Raises
    ------
    OSError
        Slurm does not answer.
    """
    try:
        done = subprocess.run(  # noqa: S603  numbers of jobs
            command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} does not answer within {_COMMAND_SECONDS} s") from None
    if done.returncode and "Invalid job id" not in done.stderr:
        raise OSError(f"{command[0]}: {' '.join(done.stderr.split())}")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


@contextmanager
def slurm_cluster(settings: Settings) -> Iterator[SlurmCluster]:
    """Run Slurm jobs with workers, as the settings say, until the context is left.

    Raises
    ------
    UserError
        There is no Slurm here, or a setting cannot be used.
    """
    if shutil.which("sbatch") is None:
        raise UserError("no sbatch on PATH: slurm works on a machine from which Slurm jobs can be submitted")
    from matscout.featurizers.cache import cache_folder

    parent = (settings.slurm_shared_folder or cache_folder().parent / "slurm").expanduser().absolute()
    try:
        if settings.slurm_memory is not None:
            parse_bytes(settings.slurm_memory)
    except ValueError:
        raise UserError(
            f"environment variable MATSCOUT_SLURM_MEMORY={settings.slurm_memory!r}: name an amount such as 64GB"
        ) from None
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = tempfile.TemporaryDirectory(prefix="run-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot write into {parent}: {error.strerror}; MATSCOUT_SLURM_SHARED_FOLDER names another folder"
        ) from None
    # A worker that died is started again by its job, which dask must not cancel meanwhile.
    with folder, dask.config.set({"distributed.deploy.lost-worker-timeout": f"{_RESTART_SECONDS} s"}):
        try:
            with dask.config.set({"temporary-directory": folder.name}):
                cluster = SlurmCluster(settings, Path(folder.name))
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(f"cannot start a dask scheduler for Slurm jobs: {error}") from None
        try:
            yield cluster
        finally:
            cluster.end()
