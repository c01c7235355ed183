"""The child of a `RowProcess`: it featurizes one row after the other, for as long as its parent lives.

What featurizers print goes nowhere: the pipes of the protocol are out of their reach, and nobody's terminal is theirs.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

    from matscout.featurizers.base import RowFeaturizer
    from matscout.featurizers.rows import FeatureRow

_NOWHERE = os.devnull


def main() -> None:
    """Answer messages until they end."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _redirect(_NOWHERE, 0, 1)  # standard error says why starting failed, and goes the same way then
    _end_with_parent(int(sys.argv[1]))
    with suppress(OSError):  # where memory ends, this process goes rather than its parent, which has all the rows
        Path("/proc/self/oom_score_adj").write_text("1000")
    _answer(requests, answers)


def _redirect(path: str, *descriptors: int) -> None:
    opened = os.open(path, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def _end_with_parent(line: int) -> None:
    """End this process, and all it started, once nobody holds the other end of a pipe any more.

    On Linux the kernel does it, also while C code holds the interpreter; a thread elsewhere.
    """
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(line, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(line, fcntl.F_SETOWN, -os.getpgrp())  # RowProcess made this the first of a group
        fcntl.fcntl(line, fcntl.F_SETFL, fcntl.fcntl(line, fcntl.F_GETFL) | os.O_ASYNC)
    Thread(target=_wait_and_end, args=(line,), daemon=True).start()


def _wait_and_end(line: int) -> None:
    os.read(line, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _answer(requests: BinaryIO, answers: BinaryIO) -> None:
    from matscout.featurizers._row_frames import n_bytes, pack, row_of, unpack

    made: dict[str, RowFeaturizer] = {}
    while start := requests.read(16):
        header, arrays = unpack(start + requests.read((n_bytes(start) or 0) - len(start)))
        if "recipe" in header:
            answer = pack(_make(header, made))
        else:
            row = _run(made[header["featurizer"]], row_of(header, arrays))
            answer = pack({"error": row.error, "seconds": row.seconds, "lasting": row.lasting}, [row.values])
        answers.write(answer)
        answers.flush()


def _make(header: dict[str, Any], made: dict[str, RowFeaturizer]) -> dict[str, Any]:
    """Make a featurizer, and say which it became, or why it did not."""
    from matscout.featurizers.base import Featurizer, RowFeaturizer
    from matscout.featurizers.errors import row_error

    sys.path += [folder for folder in header["path"] if folder not in sys.path]  # behind ours, so as to hide nothing
    try:
        featurizer = Featurizer.from_recipe(header["recipe"])
        if not isinstance(featurizer, RowFeaturizer):
            return {"error": "it does not take one row at a time"}
        featurizer.prepare()
        made[header["key"]] = featurizer
        answer = {"error": None, "key": featurizer.key}
    except BaseException as error:  # noqa: BLE001  the parent says it to the user
        return {"error": row_error(error)}
    sys.stderr.flush()
    _redirect(_NOWHERE, 2)
    return answer


def _run(featurizer: RowFeaturizer, row: Any) -> FeatureRow:
    from matscout.featurizers.rows import failed_row, run_row

    try:
        return run_row(featurizer, row)
    except BaseException as error:  # noqa: BLE001  also one that calls sys.exit must not take the next row along
        return failed_row(featurizer, error)


if __name__ == "__main__":
    main()
