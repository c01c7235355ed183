"""A client that mongomock takes for one of its own, over one SQLite file."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mongomock.database import Database
from mongomock.mongo_client import MongoClient

from matscout.db.embedded.collection import EmbeddedCollection
from matscout.db.embedded.rows import ServerStore

if TYPE_CHECKING:
    from matscout.db.embedded.engine import Engine


class EmbeddedDatabase(Database):
    """A database whose collections are rows."""

    _store: Any  # a DatabaseStore of ours

    def get_collection(self, name: str, *args: Any, **kwargs: Any) -> EmbeddedCollection:
        """Return a collection, whether it exists or not."""
        if name not in self._collection_accesses:
            self._ensure_valid_collection_name(name)
            self._collection_accesses[name] = EmbeddedCollection(
                self,
                name=name,
                read_preference=self.read_preference,
                codec_options=self._codec_options,
                _db_store=self._store,
            )
        collection: EmbeddedCollection = super().get_collection(name, *args, **kwargs)
        return collection

    def rename_collection(self, name: str, new_name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Give a collection another name."""
        with self._store.engine.write():
            result: dict[str, Any] = super().rename_collection(name, new_name, *args, **kwargs)
            return result

    def with_options(self, *args: Any, **kwargs: Any) -> Any:
        """Return the database with other options."""
        other: Any = super().with_options(*args, **kwargs)
        if other is self:
            return self
        return EmbeddedDatabase(
            self.client,
            self.name,
            self._store,
            read_preference=other.read_preference,
            codec_options=other.codec_options,
            read_concern=other.read_concern,
        )


class EmbeddedClient(MongoClient):
    """What a `pymongo.MongoClient` offers, as far as mongomock does, without a server.

    Parameters
    ----------
    engine
        The open file.
    options
        As for `mongomock.MongoClient`, such as ``tz_aware``.
    """

    _store: Any  # a ServerStore of ours

    def __init__(self, engine: Engine, **options: Any) -> None:
        super().__init__(_store=ServerStore(engine), **options)
        self.host = str(engine.path)  # clients of the same file are equal

    def __repr__(self) -> str:
        return f"EmbeddedClient({self.host!r})"

    def get_database(self, name: str | None = None, *args: Any, **kwargs: Any) -> EmbeddedDatabase:
        """Return a database, whether it exists or not."""
        if name is not None and name not in self._database_accesses:
            self._database_accesses[name] = EmbeddedDatabase(
                self,
                name,
                _store=self._store[name],
                read_preference=self.read_preference,
                codec_options=self._codec_options,
            )
        database: EmbeddedDatabase = super().get_database(name, *args, **kwargs)
        return database

    def drop_database(self, name_or_db: Any) -> None:
        """Drop all collections of a database."""
        with self._store.engine.write():
            super().drop_database(name_or_db)

    def close(self) -> None:
        """Close the file."""
        self._store.engine.close()
