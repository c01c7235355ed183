"""The tables of a store, and what they say about its collections.

``documents.seq`` is the natural order. ``entries`` holds, for each indexed path of each document, the keys of its
values (`matscout.db.embedded.keys`); one of them is what the document sorts by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson

from matscout.errors import UserError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

SCHEMA_VERSION = 1
"""Raised whenever a store written now cannot be used by the code of before."""

_KIND = "matscout store"

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE collections (id INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (database, name));
CREATE TABLE indexes (
    collection INTEGER NOT NULL,
    name TEXT NOT NULL,
    options BLOB NOT NULL,
    UNIQUE (collection, name)
);
CREATE TABLE fields (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    path TEXT NOT NULL,
    multikey INTEGER NOT NULL DEFAULT 0,
    UNIQUE (collection, path)
);
CREATE TABLE documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    key BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX documents_by_key ON documents (collection, key);
CREATE INDEX documents_by_collection ON documents (collection);
CREATE TABLE entries (
    field INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    value BLOB NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (field, seq, value)
) WITHOUT ROWID;
CREATE INDEX entries_by_value ON entries (field, value, seq, first);
CREATE INDEX entries_unordered ON entries (field) WHERE first = 2;
"""


@dataclass(frozen=True)
class Field:
    """An indexed path of a collection; ``_id`` is one whose entries are the documents themselves (`id` 0)."""

    id: int
    path: str
    multikey: bool
    """Whether some document has had more than one value there."""


ID_FIELD = Field(0, "_id", multikey=False)


@dataclass
class CollectionInfo:
    """What the tables say about one collection."""

    id: int
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=lambda: {"_id": ID_FIELD})


Catalogue = dict[tuple[str, str], CollectionInfo]


def prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    """Check that the database is a store this code can use, inside a transaction; make the tables of a new one."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        if not create:
            raise UserError(f"there is no store in {path.parent} yet: the file {path.name} is empty")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('kind', ?), ('schema_version', ?)", (_KIND, SCHEMA_VERSION))
        return
    meta = dict(connection.execute("SELECT name, value FROM meta")) if "meta" in tables else {}
    if meta.get("kind") != _KIND:
        raise UserError(f"{path} is an SQLite file, but not a matscout store: name another folder")
    if meta["schema_version"] > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer matscout (store version {meta['schema_version']}, this one knows up to "
            f"{SCHEMA_VERSION}): update matscout"
        )


def read_catalogue(connection: sqlite3.Connection) -> Catalogue:
    """Read collections, indexes and indexed paths: a few rows each."""
    rows = connection.execute("SELECT id, database, name FROM collections ORDER BY id")
    catalogue = {(database, name): CollectionInfo(number) for number, database, name in rows}
    by_id = {info.id: info for info in catalogue.values()}
    for number, name, options in connection.execute("SELECT collection, name, options FROM indexes ORDER BY rowid"):
        index = bson.decode(options)
        by_id[number].indexes[name] = index | {"key": [tuple(pair) for pair in index["key"]]}
    for field_id, number, path, multikey in connection.execute("SELECT id, collection, path, multikey FROM fields"):
        by_id[number].fields[path] = Field(field_id, path, bool(multikey))
    return catalogue
