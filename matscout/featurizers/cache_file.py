"""One file of the cache of features: the rows of one featurizer, in SQLite.

The file is opened for each call, so that it can be taken away between two, and keeps a rollback journal: unlike a
write-ahead log, that works on a network file system. A row carries a checksum over its key and its content, as
a wrong number would be worse than none.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
import zlib
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.featurizers.cache_failures import DamagedFileError, OtherReleaseError
from matscout.featurizers.cache_lock import BUSY_SECONDS
from matscout.featurizers.rows import FeatureRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matscout.featurizers.base import Featurizer

SCHEMA_VERSION = 1
"""Raised whenever a file written now cannot be read by the code of before, or the other way round."""

_APPLICATION = 0x6D736663  # "msfc": tells SQLite files of this cache from others
_BATCH = 500  # keys of one statement; any SQLite takes 999
_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE rows (key BLOB NOT NULL UNIQUE, body BLOB NOT NULL, failed INTEGER NOT NULL)",
    "CREATE INDEX rows_failed ON rows (failed) WHERE failed",
)
_PAGE = 8192  # bytes; of SQLite's own 4096 a row of a few hundred numbers leaves half unused
_SETTINGS = (
    f"PRAGMA page_size = {_PAGE}",
    "PRAGMA synchronous = FULL",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)

# A row's body: checksum, kind, seconds; then what the kind says.
_HEAD = struct.Struct("<IBd")
_NUMBERS, _PACKED, _ERROR = range(3)


class Stored(NamedTuple):
    """What a file says about itself."""

    key: str
    n_features: int
    identity: dict[str, Any]
    rows: int
    errors: int
    first_written: datetime
    last_written: datetime


def row_key(key: str) -> bytes:
    """Shorten a content key to the 16 bytes that rows are kept by."""
    return blake2b(key.encode(), digest_size=16).digest()


def pack_row(key: bytes, row: FeatureRow) -> bytes:
    """Write a row as bytes: exactly its numbers, packed where that pays, or its error."""
    if row.error is not None:
        kind, content = _ERROR, row.error.encode()
    else:
        raw = np.ascontiguousarray(row.values, dtype="<f8").tobytes()
        packed = zlib.compress(raw, 1)
        kind, content = (_PACKED, packed) if len(packed) < len(raw) else (_NUMBERS, raw)
    body = _HEAD.pack(0, kind, row.seconds)[4:] + content
    return zlib.crc32(key + body).to_bytes(4, "little") + body


def unpack_row(key: bytes, body: object, n_features: int) -> FeatureRow | None:
    """Read a row back; None where the bytes are not what was written under this key, or of another length."""
    if not isinstance(body, bytes) or len(body) < _HEAD.size:
        return None
    checksum, kind, seconds = _HEAD.unpack_from(body)
    if zlib.crc32(key + body[4:]) != checksum:
        return None
    content = body[_HEAD.size :]
    if kind == _ERROR:
        return FeatureRow(np.full(n_features, np.nan), content.decode(), seconds)
    raw = zlib.decompress(content) if kind == _PACKED else content
    if len(raw) != 8 * n_features:
        return None
    return FeatureRow(np.frombuffer(raw, dtype="<f8").astype(np.float64), None, seconds)


def read_rows(path: Path, featurizer: Featurizer, keys: Sequence[str]) -> tuple[dict[str, FeatureRow], int]:
    """Read the rows that are there, and count those that are damaged.

    Raises
    ------
    sqlite3.Error, DamagedFileError, OtherReleaseError
        The file cannot be read.
    """
    names = {row_key(key): key for key in keys}
    wanted = sorted(names)
    found: dict[str, FeatureRow] = {}
    damaged = 0
    with _opened(path, "rw") as connection:
        if not _is_made(connection):
            return {}, 0
        _check(connection, featurizer)
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            for key, body in connection.execute(f"SELECT key, body FROM rows WHERE key IN ({marks})", batch):  # noqa: S608  marks only
                row = unpack_row(key, body, len(featurizer)) if key in names else None
                if row is None:
                    damaged += 1
                else:
                    found[names[key]] = row
    return found, damaged


def write_rows(path: Path, featurizer: Featurizer, rows: Mapping[str, FeatureRow]) -> None:
    """Write rows, all or none of them, over those of the same keys; make the file where there is none.

    Raises
    ------
    sqlite3.Error, DamagedFileError, OtherReleaseError
        Nothing was written.
    """
    keys = {row_key(key): row for key, row in rows.items()}
    packed = [(key, pack_row(key, keys[key]), int(keys[key].error is not None)) for key in sorted(keys)]
    now = time.time()
    with _opened(path, "rwc") as connection:
        connection.execute("BEGIN IMMEDIATE")
        if not _is_made(connection):
            _make(connection, featurizer, now)
        _check(connection, featurizer)
        connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", packed)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'last_written'", (now,))
        connection.execute("COMMIT")


def describe_file(path: Path) -> Stored | None:
    """Return what is in a file; None where it was never finished."""
    with _opened(path, "rw") as connection:
        if not _is_made(connection):
            return None
        meta = _read_meta(connection)
        if meta["key"] != path.stem:
            raise DamagedFileError(f"it holds features of {meta['key']}, not what its name says")
        (n_rows,) = connection.execute("SELECT COUNT(*) FROM rows").fetchone()
        (n_errors,) = connection.execute("SELECT COUNT(*) FROM rows WHERE failed").fetchone()
    times = (meta["first_written"], meta["last_written"])
    return Stored(meta["key"], meta["n_features"], meta["identity"], n_rows, n_errors, *times)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.text_factory = bytes  # of a damaged file not every text is one
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
            yield connection
        except UnicodeDecodeError as error:  # SQLite quotes what is damaged in its message
            raise DamagedFileError(f"it cannot be read ({error})") from None


def _is_made(connection: sqlite3.Connection) -> bool:
    """Tell a file of the cache from an empty one, which a killed writer leaves.

    Raises
    ------
    DamagedFileError
        It is neither.
    OtherReleaseError
        The file is of another schema.
    """
    ((application,), (version,), (n_tables,)) = (
        connection.execute(question).fetchone()
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT COUNT(*) FROM sqlite_master")
    )
    if application != _APPLICATION:
        if application or n_tables:
            raise DamagedFileError("it is not a cache of features")
        return False
    if version != SCHEMA_VERSION:
        raise OtherReleaseError(f"its format is {version}, and this release of matscout reads {SCHEMA_VERSION}")
    return True


def _make(connection: sqlite3.Connection, featurizer: Featurizer, now: float) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    meta = {
        "key": featurizer.key,
        "n_features": len(featurizer),
        "identity": json.dumps(featurizer.identity(), sort_keys=True),
        "first_written": now,
        "last_written": now,
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = {name.decode(): value for name, value in connection.execute("SELECT * FROM meta")}
        meta["key"] = meta["key"].decode()
        meta["n_features"] = int(meta["n_features"])
        meta["identity"] = dict(json.loads(meta["identity"]))
        for part in ("options", "software"):
            meta["identity"][part] = dict(meta["identity"][part])
        for name in ("first_written", "last_written"):
            meta[name] = datetime.fromtimestamp(meta[name], UTC)
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise DamagedFileError(f"what it says about itself cannot be read ({error})") from None
    return meta


def _check(connection: sqlite3.Connection, featurizer: Featurizer) -> None:
    meta = _read_meta(connection)
    if (meta["key"], meta["n_features"]) != (featurizer.key, len(featurizer)):
        raise DamagedFileError(f"it holds {meta['n_features']} features of {meta['key']}, not what its name says")
