"""What a job does once it runs: the part of a script below the directives, in bash."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matscout.workflows.launch.schedulers.base import AllocationRequest
    from matscout.workflows.launch.workers_file import Worker

FAILED_MODULES = "failed_modules.txt"
"""File in an allocation's folder that names the modules that did not load."""

EXIT_NO_FOLDER = 72
EXIT_NO_MODULE = 78

# The shell waits for the launcher in the background, as it would handle a signal only after one in front had ended.
_SIGNALS = """\
child=
pass_on() { if [ -n "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else exit 75; fi; }
trap 'pass_on USR1' USR1 USR2
trap 'pass_on TERM' TERM"""

_WAIT = """\
child=$!
while wait "$child"; code=$?; [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do :; done
child="""


def body(worker: Worker, request: AllocationRequest) -> str:
    """Write the commands of a job.

    The order: to the folder, the worker's variables, its modules, its commands before, the launcher, its commands
    after. Signals that come before the walltime is over are passed on to the launcher. The job ends with the
    launcher's exit code.
    """
    folder = shlex.quote(str(request.folder))
    lines = [
        "export MATSCOUT_JOB_STARTED=$(date +%s)",  # the launcher starts later, but its walltime began here
        _SIGNALS,
        f'cd -- {folder} || {{ echo "matscout: $(hostname) does not see" {folder} >&2; exit {EXIT_NO_FOLDER}; }}',
        *(f"export {name}={shlex.quote(value)}" for name, value in worker.environment.items()),
        *_modules(worker.modules, goes_on=request.goes_on_without_modules),
        *worker.before,
        f"{shlex.join(request.command or launcher(worker, request))} &",
        _WAIT,
        *worker.after,
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def launcher(worker: Worker, request: AllocationRequest) -> tuple[str, ...]:
    """Return the command that runs the calculations of an allocation."""
    return (worker.python, "-P", "-m", "matscout.workflows.launch.node", str(request.folder))


def _modules(modules: tuple[str, ...], *, goes_on: bool) -> list[str]:
    """Load modules one by one, so that the one that fails has a name."""
    if not modules:
        return []
    # Shells of jobs are often no login shells, which alone know of modules.
    lines = ["type module >/dev/null 2>&1 || . /etc/profile"]
    for module in modules:
        name = shlex.quote(module)
        end = "" if goes_on else f'; echo "matscout: no module" {name} >&2; exit {EXIT_NO_MODULE}'
        lines.append(f"module load {name} || {{ echo {name} >>{FAILED_MODULES}{end}; }}")
    return lines
