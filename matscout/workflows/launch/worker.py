"""A worker: one process that runs one calculation after the other, for as long as its controller or launcher lives.

It says that it is ready once it has loaded what it needs, then reads launch folders from standard input, one a line,
and answers each with a line of JSON. It opens no store and no network. What its codes print goes into the launch
folder. When its input ends whoever started it is gone, and it ends at once, with the programs it runs: what it was at
is then an interrupted attempt.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import os
import platform
import resource
import signal
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, Any

from filelock import FileLock

from matscout.db.files import write_text
from matscout.errors import UserError
from matscout.workflows.calculations import run
from matscout.workflows.calculations.causes import classify
from matscout.workflows.launch.folders import JOB, LOCK, LOG, RESULT, failure, read_request
from matscout.workflows.launch.programs import MARK, Programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.db.documents import CalculationResult

_LIBC = ctypes.CDLL(None)
_ENDING = Lock()
"""Held while a result is written, and for good once this process ends: its programs die first, which is no result."""


def work(folder: Path) -> CalculationResult:
    """Run the calculation of a launch folder and leave its result there.

    Whatever is raised by the calculation alone is its result.

    Raises
    ------
    OSError, ImportError, UserError
        Nothing can be calculated or written here.
    ValueError
        The request cannot be read.
    """
    request = read_request(folder)
    with _printing_to(folder / LOG):
        try:
            result = run.calculate(request, folder)
        except (OSError, ImportError, UserError):
            raise
        except Exception as error:  # noqa: BLE001  kept as data, with its cause
            result = failure(request, classify(folder, error), host=platform.node())
        with _ENDING:
            write_text(folder / RESULT, result.model_dump_json())
    return result


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Send what this process and its programs print to a file, which goes when it stays empty."""
    kept = os.dup(1), os.dup(2)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        yield
    finally:
        with suppress(OSError):  # a full disk is found where the result is written
            sys.stdout.flush()
            sys.stderr.flush()
        _LIBC.fflush(None)  # codes in C and Fortran have buffers of their own
        empty = os.fstat(log).st_size == 0
        os.close(log)
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        if empty:
            path.unlink(missing_ok=True)


def _read_folders(lines: IO[str], folders: SimpleQueue[Path]) -> None:
    for line in lines:
        folders.put(Path(line.rstrip("\n")))
    _ENDING.acquire()
    if (mark := os.environ.get(MARK)) and os.getpgrp() == os.getpid():
        Programs(mark).kill_others(os.getpid())
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="matscout.workflows.launch.worker")
    parser.add_argument("--node", action="store_true", help="the launch folders are claimed")
    parser.add_argument("--preload", action="append", default=[], help="a module to load before being ready")
    parser.add_argument("--memory", type=float, help="limit of this process's memory, MB")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Answer requests until standard input ends."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    if options.memory:
        limit = int(options.memory * 2**20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    answers = os.fdopen(os.dup(1), "w")
    lines = os.fdopen(os.dup(0))
    os.dup2(2, 1)  # what a code prints belongs into the log, not between the answers
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # and a code that reads must not take the next launch folder away
    folders: SimpleQueue[Path] = SimpleQueue()
    Thread(target=_read_folders, args=(lines, folders), daemon=True).start()
    # Loading takes seconds, and fails here rather than in a result.
    for module in options.preload:
        importlib.import_module(module)

    print(json.dumps({"ready": True}), file=answers, flush=True)
    while True:
        folder = folders.get()
        answer: dict[str, Any] = {"folder": str(folder), "error": None}
        # Locks are often off on the file systems of clusters: there the launcher has claimed the folder.
        alone = nullcontext() if options.node else FileLock(folder / LOCK, timeout=0)
        try:
            with alone:
                answer["outcome"] = work(folder).outcome
        except Exception as error:  # noqa: BLE001  handed to the controller, which says it to the user
            answer["error"] = f"{type(error).__name__}: {error}"
            # what is missing here is missing for every calculation; a request that cannot be read is only its own
            answer["machine"] = isinstance(error, OSError | ImportError) and (folder / JOB).exists()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
