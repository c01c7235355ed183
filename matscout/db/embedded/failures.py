"""What SQLite reports, as one sentence that says what to do."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEARLY_NOTHING = 1 << 20  # bytes: SQLite reports a full disk as an I/O error where it cannot grow a side file


def disk_full(folder: Path) -> str:
    """Return the sentence about a full disk."""
    return (
        f"the disk of {folder} is full (or MATSCOUT_STORE_MAX_MB is reached): "
        "free space and run the same command again; nothing acknowledged is lost"
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the SQLite errors that a person can put right into `UserError`; others are defects and stay."""
    try:
        yield
    except sqlite3.Error as error:
        message = _explanation(error, path)
        if message is None:
            raise
        raise UserError(message) from error


def _explanation(error: sqlite3.Error, path: Path) -> str | None:
    folder = path.parent
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without the detail in the upper bits
    if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(folder).free < _NEARLY_NOTHING:
        code = sqlite3.SQLITE_FULL
    messages = {
        sqlite3.SQLITE_FULL: disk_full(folder),
        sqlite3.SQLITE_IOERR: f"the disk of {folder} failed ({error}): check the disk and your quota, then run the "
        "same command again; nothing acknowledged is lost",
        sqlite3.SQLITE_CORRUPT: f"the store {path} is damaged ({error}): bring back a copy of the folder, or save what "
        f"can be read with `sqlite3 {path.name} .recover`",
        sqlite3.SQLITE_NOTADB: f"{path} is not a matscout store, or its first page is damaged: name another folder, or "
        "bring back a copy of this one",
        sqlite3.SQLITE_READONLY: f"no permission to write {path}: name a folder of your own",
        sqlite3.SQLITE_PERM: f"no permission to use {path}: name a folder of your own",
        sqlite3.SQLITE_CANTOPEN: f"cannot open {path}: you need permission to read the file and to write in its folder",
        sqlite3.SQLITE_BUSY: f"another process kept {path} locked for long: see whether it hangs, then try again",
    }
    return messages.get(code)
