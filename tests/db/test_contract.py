"""Whatever is asked of a store, it answers as mongomock does over a dictionary: now, and after it was opened anew.

The embedded store is held to it with all kinds of values and indexes; a MongoDB server (integration) with what a server
and mongomock agree on.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import bson
import mongomock
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from matscout.db.store import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.db.store import Store

ids = st.sampled_from("abcdefgh")
small = st.integers(0, 7)
states = st.sampled_from(["waiting", "running", "finished"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.floats(-3, 3, width=16),
    st.sampled_from([-0.0, 2**53, 2**53 + 1, -(2**63), 1e300, float("inf")]),
)
dates = st.integers(-1000, 1000).map(lambda ms: datetime(1970, 1, 1) + timedelta(milliseconds=ms))  # noqa: DTZ001  as BSON
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.sampled_from(["", "a", "a\x00", "ab", "é", "😀", "0" * 24]),
    dates,
    st.sampled_from([ObjectId("0" * 24), ObjectId("1" * 24)]),
    st.sampled_from([b"", b"b", b"ab"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
results = st.fixed_dictionaries(
    {},
    optional={
        "energy": st.integers(-4, 4) | st.none(),
        "steps": st.lists(st.fixed_dictionaries({}, optional={"f": small}), max_size=3),
    },
)


def documents(value: st.SearchStrategy[Any] | None) -> st.SearchStrategy[dict[str, Any]]:
    optional = {
        "n": st.integers(-2, 2),
        "tags": st.lists(st.sampled_from("xyz"), max_size=3),
        "result": results,
        "u": ids,
    }
    optional |= {} if value is None else {"v": value}
    return st.fixed_dictionaries({"_id": ids, "state": states}, optional=optional)


class Contract:
    """Random operations that a backend and mongomock run alike."""

    def __init__(self, value: st.SearchStrategy[Any] | None = None) -> None:
        self.documents = documents(value)
        indexes: list[Any] = ["state", "n", "tags", "result.energy", "result.steps.f"]
        if value is not None:
            indexes += ["v", [("state", 1), ("_id", -1)]]
        self.indexes = st.lists(st.sampled_from(indexes), unique_by=str)
        comparison = st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
        clauses = [
            st.fixed_dictionaries({"_id": ids | st.fixed_dictionaries({"$in": st.lists(ids, max_size=3)})}),
            st.fixed_dictionaries({"state": states}),
            st.fixed_dictionaries({"state": st.fixed_dictionaries({"$in": st.lists(states, max_size=2)})}),
            st.fixed_dictionaries({"n": st.dictionaries(comparison, st.integers(-2, 2), min_size=1, max_size=2)}),
            st.fixed_dictionaries({"n": st.booleans().map(lambda exists: {"$exists": exists})}),
            st.fixed_dictionaries({"tags": st.sampled_from("xyz")}),
            st.fixed_dictionaries(
                {"result.energy": st.dictionaries(comparison, st.integers(-4, 4), min_size=1, max_size=2)}
            ),
            st.fixed_dictionaries({"result.steps.f": small}),
        ]
        if value is not None:
            anything = value | st.dictionaries(comparison, value, min_size=1, max_size=2)
            anything |= st.fixed_dictionaries({"$in": st.lists(value, max_size=3)}) | st.just({"$exists": False})
            clauses += [
                st.fixed_dictionaries({"v": anything}),
                st.fixed_dictionaries({"result.steps.f": st.none() | st.just({"$exists": False})}),
                st.fixed_dictionaries({"result.steps": st.just([]) | st.just({"$size": 2})}),
            ]
        one = st.one_of(clauses)
        both = st.lists(one, min_size=1, max_size=2)
        self.filters = st.just({}) | one | both.map(lambda f: f[0] | f[-1])
        self.filters |= both.map(lambda f: {"$or": f}) | both.map(lambda f: {"$and": f, "state": "waiting"})
        paths = ["n", "state", "_id", "result.energy", *(["v", "tags", "result.steps.f"] if value is not None else [])]
        keys = st.lists(
            st.tuples(st.sampled_from(paths), st.sampled_from([1, -1])), max_size=2, unique_by=lambda key: key[0]
        )
        self.sorts = keys.map(lambda key: [*key, *([] if "_id" in dict(key) else [("_id", 1)])])
        sets = {"state": states, "n": st.integers(-2, 2), "result.energy": st.integers(-4, 4), "u": small}
        updates = {
            "$set": st.fixed_dictionaries({}, optional=sets | ({"v": value} if value is not None else {})),
            "$unset": st.fixed_dictionaries({}, optional={"result.energy": st.just(""), "result.steps": st.just("")}),
            "$inc": st.fixed_dictionaries({"count": st.integers(-1, 3)}),
            "$push": st.fixed_dictionaries({"log": states}),
        }
        self.updates = st.fixed_dictionaries({}, optional=updates).map(
            lambda update: {operator: fields for operator, fields in update.items() if fields} or {"$inc": {"count": 1}}
        )
        self.replacements = self.documents.map(lambda document: {k: v for k, v in document.items() if k != "_id"})

    def operation(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Callable[[Any], Any]:
        """Draw one operation; what it returns of a collection can be compared."""
        name = draw(st.sampled_from([name for name in dir(self) if name.startswith("do_")]))
        return getattr(self, name)(draw)

    def do_insert(self, draw):
        document = draw(self.documents)
        return lambda collection: collection.insert_one(dict(document)).inserted_id

    def do_insert_many(self, draw):
        many, ordered = draw(st.lists(self.documents, min_size=1, max_size=4)), draw(st.booleans())
        return lambda collection: collection.insert_many([dict(one) for one in many], ordered=ordered).inserted_ids

    def do_update(self, draw):
        query, update, many = draw(self.filters), draw(self.updates), draw(st.booleans())
        return lambda collection: told((collection.update_many if many else collection.update_one)(query, update))

    def do_upsert(self, draw):
        query, update = {"_id": draw(ids), "state": draw(states)}, {"$set": {"n": 1}, "$setOnInsert": {"count": 9}}
        return lambda collection: told(collection.update_one(query, update, upsert=True))

    def do_replace(self, draw):
        query, replacement, upsert = {"_id": draw(ids)}, draw(self.replacements), draw(st.booleans())
        return lambda collection: told(collection.replace_one(query, query | replacement, upsert=upsert))

    def do_delete(self, draw):
        query, many = draw(self.filters), draw(st.booleans())
        return lambda collection: (collection.delete_many if many else collection.delete_one)(query).deleted_count

    def do_find(self, draw):
        query, sort, skip, limit = (
            draw(self.filters),
            draw(self.sorts),
            draw(st.integers(0, 2)),
            draw(st.integers(0, 3)),
        )
        return lambda collection: list(collection.find(query).sort(sort).skip(skip).limit(limit))

    def do_project(self, draw):
        query, fields = (
            draw(self.filters),
            draw(st.sampled_from([{"state": 1}, {"result.steps": 0}, {"_id": 0, "n": 1}])),
        )
        return lambda collection: list(collection.find(query, dict(fields)).sort("_id", 1))

    def do_count(self, draw):
        query = draw(self.filters)
        return lambda collection: (collection.count_documents(query), collection.estimated_document_count())

    def do_group(self, draw):
        query = draw(self.filters)
        group = {"_id": "$state", "n": {"$sum": 1}, "least": {"$min": "$result.energy"}}
        return lambda collection: sorted(
            collection.aggregate([{"$match": query}, {"$group": group}]), key=lambda row: row["_id"]
        )

    def do_page_of_pipeline(self, draw):
        query, limit = draw(self.filters), draw(st.integers(1, 3))
        stages = [{"$match": query}, {"$sort": {"_id": -1}}, {"$limit": limit}, {"$unwind": "$tags"}]
        return lambda collection: list(collection.aggregate(stages))

    def do_distinct(self, draw):
        query = draw(self.filters)
        return lambda collection: set(collection.distinct("tags", query))

    def do_checkout(self, draw):
        query, sort, update = draw(self.filters), draw(self.sorts), draw(self.updates)
        which = draw(st.sampled_from([ReturnDocument.BEFORE, ReturnDocument.AFTER]))
        return lambda collection: collection.find_one_and_update(query, update, sort=sort, return_document=which)

    def do_exchange(self, draw):
        query, sort, replacement = draw(self.filters), draw(self.sorts), draw(self.replacements)
        return lambda collection: collection.find_one_and_replace(query, dict(replacement), sort=sort)

    def do_take_out(self, draw):
        query, sort = draw(self.filters), draw(self.sorts)
        return lambda collection: collection.find_one_and_delete(query, sort=sort)

    def do_bulk(self, draw):
        kinds = [
            self.documents.map(InsertOne),
            st.builds(UpdateOne, self.filters, self.updates),
            st.builds(UpdateMany, self.filters, self.updates),
            st.builds(lambda id_, new: ReplaceOne({"_id": id_}, {"_id": id_} | new, upsert=True), ids, self.replacements),
            st.builds(DeleteOne, self.filters),
            st.builds(DeleteMany, st.fixed_dictionaries({"_id": ids})),
        ]
        many, ordered = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4)), draw(st.booleans())
        return lambda collection: counts(collection.bulk_write(many, ordered=ordered).bulk_api_result)


def told(result: Any) -> tuple[Any, ...]:
    return result.matched_count, result.modified_count, result.upserted_id


def counts(details: dict[str, Any]) -> dict[str, Any]:
    kept = {name: number for name, number in details.items() if name.startswith("n") and number}
    return kept | {"errors": [(error["index"], error["code"]) for error in details["writeErrors"]]}


def answer(operation: Callable[[Any], Any], collection: Any) -> Any:
    """Return what an operation answers, or the kind of error it raises."""
    try:
        return operation(collection)
    except BulkWriteError as error:
        return counts({"writeErrors": error.details["writeErrors"], "nInserted": error.details.get("nInserted")})
    except OperationFailure as error:
        return type(error)


def content(collection: Any) -> list[bytes]:
    """Return the documents to the last bit: Python takes 1, 1.0 and True for the same."""
    return [bson.encode(document) for document in collection.find().sort("_id", 1)]


def run_contract(contract: Contract, data: st.DataObject, open_store: Callable[[], Store]) -> None:
    """Do the same to the store and to mongomock, compare at every step, and once more after opening the store anew."""
    reference = mongomock.MongoClient().db.things
    name = f"things_{uuid4().hex}"
    with open_store() as store:
        things = store.collection(name)
        for index in data.draw(contract.indexes):
            assert things.create_index(index) == reference.create_index(index)
        if data.draw(st.booleans()):
            assert things.create_index("u", **UNIQUE) == reference.create_index("u", **UNIQUE)
        for document in data.draw(st.lists(contract.documents, max_size=5, unique_by=lambda document: document["_id"])):
            add = insertion(document)
            assert answer(add, things) == answer(add, reference)
        for _ in range(data.draw(st.integers(1, 10))):
            operation = contract.operation(data.draw)
            assert answer(operation, things) == answer(operation, reference)
            assert content(things) == content(reference)
    with open_store() as store:
        things = store.collection(name)
        assert content(things) == content(reference)
        assert indexed(things) == indexed(reference)
        for document in list(reference.find()):
            again = insertion({**document, "_id": "z"})
            assert answer(again, things) == answer(again, reference)
        things.drop()


def insertion(document: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda collection: collection.insert_one(dict(document)).inserted_id


def indexed(collection: Any) -> set[Any]:
    """Return what is indexed; mongomock forgets the index of `_id` with the last document."""
    return {(("_id", 1),), *(tuple(index["key"]) for index in collection.index_information().values())}


UNIQUE = {"unique": True, "sparse": True}
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # answers do not depend on how long a disk takes
EMBEDDED = Contract(values)
SERVER = Contract()


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_the_embedded_store_answers_as_mongomock_does(data):
    with TemporaryDirectory(dir=MEMORY) as folder:
        run_contract(EMBEDDED, data, lambda: connect(folder))


@pytest.mark.integration
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mongodb_server_answers_as_mongomock_does(data):
    uri = os.environ["MATSCOUT_TEST_MONGO_URI"]
    run_contract(SERVER, data, lambda: connect(uri))
