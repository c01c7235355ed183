"""`dask worker` that ends, with all its workers, as soon as the process that started it has ended, however that ended.

By itself it would find out, and then wait for what its workers are at.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading


def main() -> None:
    """Take the open end of a pipe, a folder to remove at such an end, and the arguments of `dask worker`."""
    from distributed.cli.dask_worker import main as run_workers

    _, line, folder, *arguments = sys.argv
    threading.Thread(target=_end_with_parent, args=(int(line), folder), daemon=True).start()
    sys.argv[1:] = arguments
    run_workers()


def _end_with_parent(line: int, folder: str) -> None:
    os.read(line, 1)  # nothing is ever written
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":  # worker processes load this file again
    main()
