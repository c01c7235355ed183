"""A probe: a job of a minute that tells whether a worker is as ``workers.yaml`` says."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from matscout.db.files import write_text
from matscout.errors import UserError
from matscout.workflows.launch.allocations import PROBES
from matscout.workflows.launch.schedulers.base import OUTPUT, AllocationRequest, JobState, job_name
from matscout.workflows.launch.schedulers.body import FAILED_MODULES
from matscout.workflows.launch.schedulers.commands import SchedulerDownError
from matscout.workflows.launch.schedulers.registry import make_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matscout.workflows.launch.schedulers.base import Scheduler
    from matscout.workflows.launch.workers_file import Worker

SCRIPT = "job.sh"
PROBE_SECONDS = 60
_TOKEN, _FOUND = "token.txt", "found.txt"
_LATE_SECONDS = 30.0  # how long a file of a node may take to be seen here, on a network file system
_LONGEST_POLL = 15.0  # s
_VERSION = re.compile(r"\d+(\.\w+)+")

_SHELL = f"""\
{{ echo "token=$(cat {_TOKEN})"; echo "node=$(hostname)"; echo "started=$(date +%s)"; echo "cores=$(nproc)"
echo "python=$("$1" -c 'import platform; print(platform.python_version())' 2>&1 | tail -n 1)"
echo "matscout=$("$1" -P -c 'import matscout.workflows.launch.node as n, matscout as m; print(m.__version__)' 2>&1 \
| tail -n 1)"; }} >found.part && mv found.part {_FOUND}"""


@dataclass(frozen=True)
class ProbeReport:
    """What a probe found.

    Attributes
    ----------
    worker, job
        The worker, and the number of the job.
    state
        How the job ended, or where it was when it was given up.
    node, cores
        Where it ran, and how many cores it saw there.
    queue_seconds
        How long it waited for its turn, by the two machines' clocks.
    python, matscout
        Versions found on the node, or what was said in place of them.
    sees_folder
        Whether the node sees the launch folder, and this machine what the node writes there.
    failed_modules
        Modules that did not load.
    output
        The last lines of what the job printed.
    folder
        Where all of it lies; None where it was removed, as nothing is wrong.
    """

    worker: str
    job: str
    state: JobState
    node: str | None = None
    cores: int | None = None
    queue_seconds: float | None = None
    python: str | None = None
    matscout: str | None = None
    sees_folder: bool = False
    failed_modules: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def problems(self) -> list[str]:
        """What has to be put right, in sentences."""
        if self.state.is_live:
            why = f" ({self.state.reason})" if self.state.reason else ""
            return [f"the job did not run in time: it was {self.state.state}{why}, and is cancelled now"]
        if not self.sees_folder:
            how = f": it {self.state.state}" if self.state.state != "completed" else ""
            why = f" ({self.state.reason})" if self.state.reason else ""
            return [f"the job left nothing in its launch folder{how}{why}: the node may not see the folder"]
        found = [f"module {name} does not load" for name in self.failed_modules]
        for what, said in (("Python", self.python), ("matscout", self.matscout)):
            if not _VERSION.fullmatch(said or ""):
                found.append(f"no {what} on the node: {said or 'no word of it'}")
        return found


def probe_script(worker: Worker, folder: Path) -> str:
    """Write the script of a probe in a folder."""
    request = AllocationRequest(
        name=folder.name,
        folder=folder,
        command=("bash", "-c", _SHELL, "probe", worker.python),
        walltime=min(PROBE_SECONDS, worker.walltime),
        goes_on_without_modules=True,
    )
    return make_scheduler(worker).script(request)


def probe_folder(worker: Worker) -> Path:
    """Return a new name for a probe's folder."""
    return worker.launch_folder / PROBES / job_name(uuid4().hex)


def run_probe(worker: Worker, *, seconds: float = 600.0, tell: Callable[[str], object] = lambda _: None) -> ProbeReport:
    """Run a probe and wait for it.

    Parameters
    ----------
    seconds
        How long to wait before it is given up, and cancelled.
    tell
        Called with what the job is at.

    Raises
    ------
    UserError
        The launch folder cannot be written, or the scheduler refuses the job.
    """
    folder = probe_folder(worker)
    token = uuid4().hex
    try:
        folder.mkdir(parents=True)
        write_text(folder / _TOKEN, token)
        write_text(folder / SCRIPT, probe_script(worker, folder))
    except OSError as error:
        raise UserError(f"launch folder of worker {worker.name}: {error.filename}: {error.strerror}") from None
    begun = time.time()
    job, state = _run(make_scheduler(worker), folder, seconds, tell)
    report = _report(worker, folder, job, state, token, begun)
    if report.problems:
        return report
    shutil.rmtree(folder, ignore_errors=True)
    return replace(report, folder=None)


def _run(scheduler: Scheduler, folder: Path, seconds: float, tell: Callable[[str], object]) -> tuple[str, JobState]:
    """Submit the script and wait for its end; whatever ends the waiting before cancels the job."""
    tell("submitting")
    try:
        job = scheduler.submit(folder / SCRIPT)
    except KeyboardInterrupt:
        left = scheduler.find(folder.name)
        scheduler.cancel([left] if left else [])
        raise
    deadline, pause = time.monotonic() + seconds, 0.5
    state = JobState(job, folder.name, "waiting")
    try:
        while state.is_live and state.state != "held" and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_POLL)
            try:
                state = scheduler.jobs([job])[job]
            except SchedulerDownError as error:
                tell(str(error))
                continue
            tell(f"job {job} is {state.state}" + (f" ({state.reason})" if state.reason else ""))
    except BaseException:
        scheduler.cancel([job])
        raise
    if state.is_live:
        scheduler.cancel([job])
    return job, state


def _report(worker: Worker, folder: Path, job: str, state: JobState, token: str, begun: float) -> ProbeReport:
    deadline = time.monotonic() + (0 if state.is_live else _LATE_SECONDS)
    while not (folder / _FOUND).is_file() and time.monotonic() < deadline:
        time.sleep(0.5)
    found = dict(line.partition("=")[::2] for line in _lines(folder / _FOUND))
    started, cores = found.get("started", ""), found.get("cores", "")
    return ProbeReport(
        worker=worker.name,
        job=job,
        state=state,
        node=found.get("node"),
        cores=int(cores) if cores.isdigit() else None,
        queue_seconds=max(float(started) - begun, 0.0) if started.isdigit() else None,
        python=found.get("python"),
        matscout=found.get("matscout"),
        sees_folder=found.get("token") == token,
        failed_modules=tuple(_lines(folder / FAILED_MODULES)),
        output=tuple(_lines(folder / OUTPUT)[-10:]),
        folder=folder,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
