"""What goes wrong with the files of the cache of features, and what then."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from matscout.errors import warn
from matscout.featurizers.cache_lock import BUSY_SECONDS, writing

if TYPE_CHECKING:
    from pathlib import Path

ASIDE = ".damaged"
"""Suffix of a file that was set aside."""

_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # a table or column of ours is not there
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}


class DamagedFileError(Exception):
    """The content is not what was written."""


class OtherReleaseError(Exception):
    """The file was written by a release whose files are made otherwise."""


def is_damage(error: BaseException) -> bool:
    """Tell whether an error means that the file's content is not what was written."""
    return isinstance(error, DamagedFileError) or _code(error) in _DAMAGE


def file_number(path: Path) -> int | None:
    """Return what tells a file from a later one of the same name; None where there is none."""
    with suppress(OSError):
        return path.stat().st_ino
    return None


def set_aside(path: Path, number: int | None, damage: BaseException) -> OSError | None:
    """Rename a damaged file, unless another process has done so meanwhile; return what is in the way of that."""
    aside = path.with_suffix(ASIDE)
    try:
        with writing(path.parent):
            if file_number(path) != number:
                return None
            path.replace(aside)
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    except OSError as error:
        return error
    warn(f"the cache {path} is damaged ({damage}): it was set aside as {aside.name}, its rows are computed again")
    return None


def reason(error: BaseException, path: Path) -> str:
    """Say in a few words why a file cannot be used."""
    if isinstance(error, OSError):
        return f"the cache {error.filename or path} cannot be used ({error.strerror})"
    if isinstance(error, OtherReleaseError):
        return f"the cache {path} cannot be used ({error}; matscout cache --clear removes it)"
    reasons = {
        sqlite3.SQLITE_FULL: f"the disk of {path.parent} is full",
        sqlite3.SQLITE_BUSY: f"another process kept {path} locked for {BUSY_SECONDS:g} s",
        sqlite3.SQLITE_READONLY: f"no permission to write {path}",
        sqlite3.SQLITE_PERM: f"no permission to use {path}",
        sqlite3.SQLITE_CANTOPEN: f"no permission to use {path} or its folder",
    }
    return reasons.get(_code(error), f"the cache {path} cannot be used ({error})")


def _code(error: BaseException) -> int:
    """SQLite's code of an error without the detail in the upper bits; 0 where it is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
