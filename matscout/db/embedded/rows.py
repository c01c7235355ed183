"""mongomock's three storage classes over rows: databases of a server, collections of a database, documents of those.

They have the methods that mongomock calls on its own, and hold nothing but names.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import bson
from pymongo.errors import WriteError

from matscout.db.embedded.keys import index_entries, key
from matscout.db.embedded.schema import ID_FIELD, CollectionInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from matscout.db.embedded.engine import Engine
    from matscout.db.embedded.schema import Field


class CollectionStore:
    """The documents and indexes of one collection."""

    def __init__(self, engine: Engine, database: str, name: str) -> None:
        self.engine = engine
        self.database = database
        self.name = name

    @property
    def info(self) -> CollectionInfo | None:
        """What the tables say about the collection, inside a transaction; None while it does not exist."""
        return self.engine.catalogue.get((self.database, self.name))

    def create(self) -> CollectionInfo:
        """Make the collection where it does not exist, inside a transaction."""
        info = self.info
        if info is None:
            with self.engine.write() as db:
                db.execute("INSERT INTO collections (database, name) VALUES (?, ?)", (self.database, self.name))
            self.engine.forget_catalogue()
            info = self.info
            assert info is not None
        return info

    @property
    def is_created(self) -> bool:
        """Whether the collection exists; as in MongoDB it does until it is dropped."""
        with self.engine.read():
            return self.info is not None

    def drop(self) -> None:
        """Remove documents, indexes and the collection itself."""
        with self.engine.write() as db:
            info = self.info
            if info is None:
                return
            for field in _entry_fields(info):
                db.execute("DELETE FROM entries WHERE field = ?", (field.id,))
            for table in ("fields", "indexes", "documents"):
                db.execute(f"DELETE FROM {table} WHERE collection = ?", (info.id,))  # noqa: S608  names of ours
            db.execute("DELETE FROM collections WHERE id = ?", (info.id,))
            self.engine.forget_catalogue()

    # ------------------------------------------------------------------------------------------------------- indexes

    @property
    def indexes(self) -> dict[str, dict[str, Any]]:
        """Options of each index by its name, in the order of their making."""
        with self.engine.read():
            return self.info.indexes if self.info else {}

    def create_index(self, name: str, options: dict[str, Any]) -> None:
        """Keep an index and fill it from the documents there are."""
        with self.engine.write() as db:
            info = self.create()
            db.execute("INSERT OR REPLACE INTO indexes VALUES (?, ?, ?)", (info.id, name, bson.encode(options)))
            paths = [path for path, _ in options["key"] if path not in info.fields]
            for path in dict.fromkeys(paths):
                db.execute("INSERT INTO fields (collection, path) VALUES (?, ?)", (info.id, path))
            self.engine.forget_catalogue()
            info = self.create()
            for path in dict.fromkeys(paths):
                for seq, document in self._numbered():
                    self._add_entries(db, info, info.fields[path], seq, document)

    def drop_index(self, name: str) -> None:
        """Forget an index, and the entries no other one needs; KeyError where there is none of that name."""
        with self.engine.write() as db:
            info = self.create()
            del info.indexes[name]
            db.execute("DELETE FROM indexes WHERE collection = ? AND name = ?", (info.id, name))
            needed = {path for index in info.indexes.values() for path, _ in index["key"]}
            for field in _entry_fields(info):
                if field.path not in needed:
                    db.execute("DELETE FROM entries WHERE field = ?", (field.id,))
                    db.execute("DELETE FROM fields WHERE id = ?", (field.id,))
            self.engine.forget_catalogue()

    # ----------------------------------------------------------------------------------------------------- documents

    @property
    def is_empty(self) -> bool:
        """Whether there is no document."""
        with self.engine.read() as db:
            if self.info is None:
                return True
            return not db.execute(
                "SELECT EXISTS (SELECT 1 FROM documents WHERE collection = ?)", (self.info.id,)
            ).fetchone()[0]

    def __contains__(self, id_: Any) -> bool:
        with self.engine.read():
            return self._seq(id_) is not None

    def __setitem__(self, id_: Any, document: dict[str, Any]) -> None:
        with self.engine.write() as db:
            info = self.create()
            seq = self._seq(id_)
            if seq is not None:
                self.replace(seq, document, bson.encode(document))
                return
            seq = db.execute(
                "INSERT INTO documents (collection, key, body) VALUES (?, ?, ?)",
                (info.id, _id_key(id_), bson.encode(document)),
            ).lastrowid
            assert seq is not None
            for field in _entry_fields(info):
                self._add_entries(db, info, field, seq, document)

    def __delitem__(self, id_: Any) -> None:
        with self.engine.write():
            seq = self._seq(id_)
            if seq is None:
                raise KeyError(id_)
            self.delete(seq)

    @property
    def documents(self) -> Iterator[dict[str, Any]]:
        """All documents in natural order, one at a time."""
        for _, document in self._numbered():
            yield document

    def body(self, db: sqlite3.Connection, seq: int) -> bytes | None:
        """Return the BSON of a document; None where it was deleted."""
        row = db.execute("SELECT body FROM documents WHERE seq = ?", (seq,)).fetchone()
        return row[0] if row else None

    def bodies(self, db: sqlite3.Connection, seqs: list[int]) -> dict[int, bytes]:
        """Return the BSON of some documents by their places, without those that were deleted."""
        places = ", ".join("?" * len(seqs))
        return dict(db.execute(f"SELECT seq, body FROM documents WHERE seq IN ({places})", seqs))  # noqa: S608

    def replace(self, seq: int, document: dict[str, Any], body: bytes) -> None:
        """Write a document anew, with the index entries that changed."""
        with self.engine.write() as db:
            info = self.create()
            db.execute("UPDATE documents SET body = ? WHERE seq = ?", (body, seq))
            for field in _entry_fields(info):
                self._add_entries(db, info, field, seq, document, present=True)

    def delete(self, seq: int) -> None:
        """Remove a document."""
        with self.engine.write() as db:
            info = self.create()
            db.execute("DELETE FROM documents WHERE seq = ?", (seq,))
            for field in _entry_fields(info):
                db.execute("DELETE FROM entries WHERE field = ? AND seq = ?", (field.id, seq))

    def _seq(self, id_: Any) -> int | None:
        if self.info is None:
            return None
        with self.engine.read() as db:
            found = db.execute(
                "SELECT seq FROM documents WHERE collection = ? AND key = ?", (self.info.id, _id_key(id_))
            )
            row = found.fetchone()
            return row[0] if row else None

    def _numbered(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self.engine.read() as db:
            number = self.info.id if self.info else 0
            places = db.execute("SELECT seq FROM documents WHERE collection = ? ORDER BY seq", (number,))
            seqs = array("q", (seq for (seq,) in places))
        for seq in seqs:
            with self.engine.read() as db:
                body = self.body(db, seq)
            if body is not None:
                yield seq, bson.decode(body)

    def _add_entries(
        self,
        db: sqlite3.Connection,
        info: CollectionInfo,
        field: Field,
        seq: int,
        document: dict[str, Any],
        *,
        present: bool = False,
    ) -> None:
        """Bring the index entries of one path of a document up to date; `present` where it may have some already."""
        entries, several = index_entries(field.path, document)
        if present:
            rows = db.execute("SELECT value, first FROM entries WHERE field = ? AND seq = ?", (field.id, seq))
            before = dict(rows.fetchall())
            if before == entries:
                return
            db.execute("DELETE FROM entries WHERE field = ? AND seq = ?", (field.id, seq))
        db.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?)",
            [(field.id, seq, value, first) for value, first in entries.items()],
        )
        if several and not info.fields[field.path].multikey:
            db.execute("UPDATE fields SET multikey = 1 WHERE id = ?", (field.id,))
            self.engine.forget_catalogue()


def _entry_fields(info: CollectionInfo) -> list[Field]:
    return [field for field in info.fields.values() if field is not ID_FIELD]


def _id_key(id_: Any) -> bytes:
    if isinstance(id_, list):
        raise WriteError("the '_id' of a document cannot be an array", 53)
    return key(id_)


class DatabaseStore:
    """The collections of one database."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def __getitem__(self, name: str) -> CollectionStore:
        return CollectionStore(self.engine, self.name, name)

    def __contains__(self, name: str) -> bool:
        return self[name].is_created

    @property
    def _collections(self) -> dict[str, CollectionStore]:
        return {name: self[name] for name in self.list_created_collection_names()}

    def list_created_collection_names(self) -> list[str]:
        """Return the names of the collections that exist, in the order of their making."""
        with self.engine.read():
            return [name for database, name in self.engine.catalogue if database == self.name]

    @property
    def is_created(self) -> bool:
        """Whether any collection exists."""
        return bool(self.list_created_collection_names())

    def create_collection(self, name: str) -> CollectionStore:
        """Make an empty collection."""
        with self.engine.write():
            self[name].create()
        return self[name]

    def rename(self, name: str, new_name: str) -> None:
        """Give a collection another name."""
        with self.engine.write() as db:
            info = self[name].create()
            db.execute("UPDATE collections SET name = ? WHERE id = ?", (new_name, info.id))
            self.engine.forget_catalogue()


class ServerStore:
    """The databases of one file."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __getitem__(self, name: str) -> DatabaseStore:
        return DatabaseStore(self.engine, name)

    def __contains__(self, name: str) -> bool:
        return self[name].is_created

    def list_created_database_names(self) -> list[str]:
        """Return the names of the databases that hold a collection."""
        with self.engine.read():
            return list(dict.fromkeys(database for database, _ in self.engine.catalogue))
