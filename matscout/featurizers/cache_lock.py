"""A lock on the folder of the cache: many read its files, or one writes them or takes them away.

SQLite's own locks let a reader wait for as long as others write one batch after the other, and do not cover a file that
is deleted: a process that has it open still would take the journal of its successor for its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 60.0
"""How long to wait for other processes."""

_LOCK = ".lock"  # held at work
_QUEUE = ".queue"  # held until the other one is got, so that those who come later do not get it before
_INTERVAL = 0.005  # s
_UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of a file system without locks


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Read files of a folder together with others; without the lock where one may not write there.

    Raises
    ------
    OSError
        Another process does not end.
    """
    with ExitStack() as held:
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), _held(folder / _QUEUE, fcntl.LOCK_EX):
            held.enter_context(_held(folder / _LOCK, fcntl.LOCK_SH))
        yield


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write files of a folder, or take them away, while nobody reads them.

    Raises
    ------
    OSError
        No permission to write there, or others do not end.
    """
    with ExitStack() as held:
        with _held(folder / _QUEUE, fcntl.LOCK_EX):
            held.enter_context(_held(folder / _LOCK, fcntl.LOCK_EX))
        yield


@contextmanager
def _held(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _where_known():
            _wait_for(descriptor, kind, path.parent)
        yield
    finally:
        with _where_known():
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a process was forked meanwhile
        os.close(descriptor)


@contextmanager
def _where_known() -> Iterator[None]:
    """Go on without a lock where the file system has none."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def _wait_for(descriptor: int, kind: int, folder: Path) -> None:
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                said = f"other processes kept it locked for {BUSY_SECONDS:g} s"
                raise TimeoutError(errno.ETIMEDOUT, said, str(folder)) from None
            time.sleep(_INTERVAL)
        else:
            return
