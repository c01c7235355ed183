"""A collection that mongomock takes for one of its own.

mongomock changes documents in place, so each update notes the document it was handed and writes it back as soon as it
has changed. Every operation is one transaction; an error in it leaves no trace, but for the errors of one write among
many that MongoDB itself lets stand beside the others.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import bson
from mongomock import helpers
from mongomock.aggregate import process_pipeline
from mongomock.collection import Collection
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from matscout.db.embedded.cursor import EmbeddedCursor, as_pairs
from matscout.db.embedded.pipeline import begin, needed_fields
from matscout.db.embedded.projection import picked
from matscout.db.embedded.search import Row, Search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matscout.db.embedded.engine import Engine

SHORT = 100
"""Results of at most this many documents are read in one go."""

PAGE, PAGE_BYTES = 200, 1_000_000
"""Documents, and bytes of them, that are read at once where more pass by."""

AT_ONCE = 50
"""Documents that are read by one statement: a page may be so many larger than it should."""

_NOT_THERE = "sessions, collations, hints and array filters are not implemented in the embedded store"


class EmbeddedCollection(Collection):
    """A collection whose documents are rows."""

    _db_store: Any  # a DatabaseStore of ours
    _updating: str = ""  # "one" or "many" while mongomock updates;
    _row: Row | None = None  # the document that it is about to change in place,
    _id: Any = None  # and the id of that before the change

    @property
    def _engine(self) -> Engine:
        engine: Engine = self._db_store.engine
        return engine

    # ------------------------------------------------------------------------------------------------------- reading

    def find(self, *args: Any, **kwargs: Any) -> EmbeddedCursor:
        """Return a cursor, as pymongo does."""
        cursor: Any = super().find(*args, **kwargs)
        return EmbeddedCursor.clone(cursor)

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: A002  mongomock's name
        """Return the first document, or None."""
        spec = {} if filter is None else filter if isinstance(filter, Mapping) else {"_id": filter}
        return next(self.find(spec, *args, **kwargs).limit(-1), None)

    def stream(
        self, spec: dict[str, Any], sort: Any, fields: Any, skip: int = 0, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Read documents: few in one transaction, many page by page as they are asked for.

        Of many, those are left out that no longer match when their page is read.
        """
        order = as_pairs(sort)
        if limit is not None and skip + limit <= SHORT:
            with self._engine.read() as db:
                rows = list(Search(self._store, db, spec, order).rows(skip, limit))
            yield from (self._projected(row.document, fields) for row in rows)
            return
        with self._engine.read() as db:
            search = Search(self._store, db, spec, order)
            places = array("q", search.seqs(skip, limit) if search.precise else search.seqs())
            state = self._engine.state()
        found = self._pages(search, places, state)
        if not search.precise:
            found = islice(found, skip, None if limit is None else skip + limit)
        yield from (self._projected(document, fields) for document in found)

    def _pages(self, search: Search, places: array[int], state: tuple[int, int]) -> Iterator[dict[str, Any]]:
        rest = iter(places)
        while True:
            page, looked_at, size = [], 0, 0
            with self._engine.read():
                recheck = not search.precise or self._engine.state() != state
                while looked_at < PAGE and size <= PAGE_BYTES and (some := list(islice(rest, AT_ONCE))):
                    rows = search.read_all(some)
                    page += [row.document for row in rows if not recheck or search.applies(row.document)]
                    looked_at += len(some)
                    size += sum(len(row.body) for row in rows)
            yield from page
            if not looked_at:
                return

    def _projected(self, document: dict[str, Any], fields: Any) -> dict[str, Any]:
        if not fields:
            return document
        simple = picked(document, fields)
        if simple is not None:
            return simple
        fields = dict(fields) if isinstance(fields, Mapping) else fields  # mongomock takes it apart for a moment
        projected: dict[str, Any] = self._copy_only_fields(document, fields, dict)
        return projected

    def count_documents(self, filter: Any, **kwargs: Any) -> int:  # noqa: A002  mongomock's name
        """Count matching documents, in SQL where the filter allows it."""
        options = {name: value for name, value in kwargs.items() if value is not None}
        limit, skip = options.get("limit"), options.get("skip", 0)
        usual = set(options) <= {"skip", "limit", "maxTimeMS", "hint", "comment"}
        if not usual or not (limit is None or (isinstance(limit, int | float) and limit >= 1)):
            return int(super().count_documents(filter, **options))  # mongomock says what is wrong with them
        spec = helpers.patch_datetime_awareness_in_document(filter)
        with self._engine.read() as db:
            number = max(Search(self._store, db, spec).count() - int(skip), 0)
        return number if limit is None else min(number, int(limit))

    def aggregate(self, pipeline: Sequence[dict[str, Any]], session: Any = None, **_: Any) -> Any:
        """Run a pipeline: match, sort, skip and limit at its head as a query, the rest in memory by mongomock."""
        stages = list(pipeline)
        if any("$out" in stage for stage in stages):
            with self._engine.write():
                return process_pipeline(list(self.find()), self.database, stages, session)
        cursor, rest = begin(self.find(), stages)
        needed = needed_fields(rest)
        if needed is None:
            documents = list(cursor)
        else:
            documents = [{name: value for name, value in found.items() if name in needed} for found in cursor]
        return process_pipeline(documents, self.database, rest, session)

    # ------------------------------------------------------------------------------------------------------- writing

    def _insert(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        with self._engine.write(keep=(BulkWriteError,)):
            return super()._insert(data, *args, **kwargs)

    def _update(self, spec: Any, document: Any, *args: Any, **kwargs: Any) -> Any:
        with self._engine.write(keep=(WriteError,)):
            self._updating = "many" if kwargs.get("multi") else "one"
            try:
                return super()._update(spec, document, *args, **kwargs)
            finally:
                self._updating, self._row = "", None

    def _iter_documents(self, filter: Any) -> Iterator[dict[str, Any]]:  # noqa: A002  mongomock's name
        if not self._updating:
            yield from self.stream(filter, None, None)
            return
        with self._engine.read() as db:
            search = Search(self._store, db, filter)
            rows = list(search.rows(limit=1)) if self._updating == "one" else _settled(search)
        for row in rows:
            self._row, self._id = row, row.document["_id"]
            yield row.document

    def _apply_update_document(self, existing_document: Any, *args: Any) -> None:
        super()._apply_update_document(existing_document, *args)
        self._write_back(existing_document)

    def _apply_update_pipeline(self, existing_document: Any, *args: Any) -> None:
        super()._apply_update_pipeline(existing_document, *args)
        self._write_back(existing_document)

    def _write_back(self, document: dict[str, Any]) -> None:
        """Write a document that mongomock has changed in place; one made for an upsert it inserts itself."""
        row = self._row
        if row is None or row.document is not document or document.get("_id") != self._id:
            return  # another _id is what mongomock refuses next
        body = bson.encode(document)
        if body != row.body:
            self._store.replace(row.seq, bson.decode(body), body)

    def _ensure_uniques(self, new_data: dict[str, Any]) -> None:
        """Refuse a document, already written, that shares the value of a unique index with another one."""
        for index in self._store.indexes.values():
            if not index.get("unique"):
                continue
            spec = {path: _value_at(new_data, path) for path, _ in index["key"]}
            if index.get("sparse") and all(value is None for value in spec.values()):
                continue
            if index.get("partialFilterExpression") is not None:
                spec = {"$and": [index["partialFilterExpression"], spec]}
            with self._engine.read() as db:
                if len(list(Search(self._store, db, spec).rows(limit=2))) > 1:
                    raise DuplicateKeyError("E11000 Duplicate Key Error", 11000)

    def _find_and_modify(
        self,
        query: dict[str, Any],
        projection: Any = None,
        update: Any = None,
        upsert: bool = False,  # noqa: FBT001, FBT002  mongomock's signature
        sort: Any = None,
        return_document: bool = ReturnDocument.BEFORE,  # noqa: FBT001  mongomock's signature
        session: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Take one document and change it, with nobody in between.

        mongomock's own loses the order where the projection leaves `_id` out, and the place of a positional operator.
        """
        remove = kwargs.pop("remove", False)
        if session or kwargs.get("collation") or kwargs.get("array_filters"):
            raise NotImplementedError(_NOT_THERE)
        with self._engine.write(keep=(WriteError,)):
            target = self.find_one(query, {"_id": 1}, sort=sort)
            if target is None and (remove or not upsert):
                return None
            narrowed = query if target is None else {**query, "_id": target["_id"]}
            before = None if target is None else self.find_one(narrowed, projection)
            if remove:
                self._delete(narrowed)
                return before
            result = self._update(narrowed, update, upsert=upsert)
            if return_document == ReturnDocument.BEFORE:
                return before
            return self.find_one({"_id": target["_id"] if target else result["upserted"]}, projection)

    def _delete(
        self,
        filter: Any,  # noqa: A002  mongomock's name
        collation: Any = None,
        hint: Any = None,
        multi: bool = False,  # noqa: FBT001, FBT002  mongomock's signature
        session: Any = None,
    ) -> dict[str, Any]:
        if hint or collation or session:
            raise NotImplementedError(_NOT_THERE)
        spec = helpers.patch_datetime_awareness_in_document(filter)
        number = 0
        with self._engine.write() as db:
            search = Search(self._store, db, spec)
            for row in _settled(search) if multi else list(search.rows(limit=1)):
                self._store.delete(row.seq)
                number += 1
        return {"n": number, "ok": 1.0}

    def bulk_write(self, requests: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """Run many writes in one transaction; those before a failed one stay."""
        with self._engine.write(keep=(BulkWriteError,)):
            return super().bulk_write(requests, *args, **kwargs)

    # ------------------------------------------------------------------------------------------------------- indexes

    def create_index(self, key_or_list: Any, *args: Any, **kwargs: Any) -> Any:
        """Make an index over documents present and future."""
        if kwargs.get("expireAfterSeconds") is not None:
            raise NotImplementedError("the embedded store keeps every document: it has no expireAfterSeconds")
        with self._engine.write():
            return super().create_index(as_pairs(key_or_list), *args, **kwargs)

    def create_indexes(self, indexes: Iterable[Any], session: Any = None) -> list[str]:
        """Make several indexes from pymongo's IndexModels."""
        with self._engine.write():
            options = [dict(index.document) for index in indexes]
            return [self.create_index(one.pop("key"), session=session, **one) for one in options]

    def drop_index(self, index_or_name: Any, session: Any = None) -> None:
        """Forget an index."""
        with self._engine.write():
            super().drop_index(index_or_name, session)

    def drop_indexes(self, session: Any = None) -> None:
        """Forget all indexes but that of `_id`."""
        with self._engine.write():
            for name in list(self._store.indexes):
                self.drop_index(name, session)

    def with_options(self, *args: Any, **kwargs: Any) -> Any:
        """Return the collection with other options."""
        other: Any = super().with_options(*args, **kwargs)
        if other is self:
            return self
        return EmbeddedCollection(
            self.database,
            self.name,
            _db_store=self._db_store,
            write_concern=other.write_concern,
            read_concern=other.read_concern,
            read_preference=other.read_preference,
            codec_options=other.codec_options,
        )


def _settled(search: Search) -> Iterator[Row]:
    """Return all matching documents; which ones is settled before the first of them is changed or deleted."""
    for seq in array("q", search.seqs()):
        row = search.read(seq)
        if row is not None and (search.precise or search.applies(row.document)):
            yield row


def _value_at(document: dict[str, Any], path: str) -> Any:
    try:
        return helpers.get_value_by_dot(document, path)
    except KeyError:
        return None
