"""A worker: one process that runs one calculation after the other, for as long as its controller lives.

It says that it is ready once it has loaded what it needs, then reads launch folders from standard input, one a line,
and answers each with a line of JSON. It opens no store and no
network. When its input ends the controller is gone, and it ends at once: what it was at is then an interrupted attempt.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from filelock import FileLock

from matscout.db.files import write_text
from matscout.workflows.calculations.run import calculate
from matscout.workflows.launch.folders import LOCK, RESULT, read_request


def work(folder: Path) -> None:
    """Run the calculation of a launch folder and leave its result there.

    Raises
    ------
    OSError
        The folder cannot be read or written.
    """
    with FileLock(folder / LOCK, timeout=0):
        result = calculate(read_request(folder), folder)
        write_text(folder / RESULT, result.model_dump_json())


def _read_folders(folders: SimpleQueue[Path]) -> None:
    for line in sys.stdin:
        folders.put(Path(line.rstrip("\n")))
    os._exit(0)


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a code prints belongs into the log, not between the answers
    folders: SimpleQueue[Path] = SimpleQueue()
    Thread(target=_read_folders, args=(folders,), daemon=True).start()
    from matscout.workflows.calculations import chgnet  # noqa: F401  takes seconds, and fails here rather than in a result

    print(json.dumps({"ready": True}), file=answers, flush=True)
    while True:
        folder = folders.get()
        answer = {"folder": str(folder), "error": None}
        try:
            work(folder)
        except Exception as error:  # noqa: BLE001  handed to the controller, which says it to the user
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
