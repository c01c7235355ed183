"""Whatever is asked of a store, it answers as mongomock does over a dictionary: now, and after it was opened anew.

The embedded store is held to that with all kinds of values and indexes. The server that the integration tests start is
a stand-in for MongoDB with gaps of its own, so it is asked only what it answers right.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar
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

Draw = "Callable[[st.SearchStrategy[Any]], Any]"

ids = st.sampled_from("abcdefgh")
small = st.integers(-3, 3)
states = st.sampled_from(["waiting", "running", "completed"])
edges = st.sampled_from([-0.0, 2**53, 2**53 + 1, -(2**63), 1e300, float("inf")])
dates = st.integers(-1000, 1000).map(lambda ms: datetime(1970, 1, 1) + timedelta(milliseconds=ms))  # noqa: DTZ001  as BSON
scalars = st.one_of(
    st.none(),
    st.booleans(),
    small,
    st.floats(-3, 3, width=16),
    edges,
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


def one_field(name: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: value})


def any_of(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


class Contract:
    """Random operations for the stand-in of a server: plain values, and what it can do."""

    comparisons = st.sampled_from(["$gt", "$gte", "$lt", "$lte"])
    values: ClassVar[dict[str, st.SearchStrategy[Any]]] = {"state": states, "n": small, "result.energy": small}
    indexes = st.lists(st.sampled_from(["state", "n", "result.energy"]), unique=True)
    unset = st.just({"log": ""})
    one_or_many = st.just(value=True)  # which document is the first of several is a server's own affair
    ordered = st.just(value=True)  # and so is the order of writes that need none

    def __init__(self) -> None:
        self.documents = st.fixed_dictionaries({"_id": ids, "state": states}, optional=self.fields())
        self.replacements = st.fixed_dictionaries({"state": states}, optional=self.fields())
        one = st.one_of(self.clauses())
        two = st.lists(one, min_size=2, max_size=2)
        self.filters = st.one_of(
            st.just({}),
            one,
            two.map(lambda both: both[0] | both[1]),
            two.map(lambda both: {"$or": both}),
            two.map(lambda both: {"$and": both, "state": "waiting"}),
        )
        direction = st.sampled_from([1, -1])
        key = st.tuples(st.sampled_from([*self.values, "_id"]), direction)
        keys = st.lists(key, max_size=2, unique_by=lambda pair: pair[0])
        self.sorts = keys.map(lambda pairs: pairs if "_id" in dict(pairs) else [*pairs, ("_id", 1)])
        operators = {
            "$set": any_of(self.values).filter(bool),
            "$unset": self.unset,
            "$inc": one_field("count", small),
        }
        self.updates = any_of(operators).map(lambda update: update or {"$push": {"log": "x"}})

    def fields(self) -> dict[str, st.SearchStrategy[Any]]:
        return {"n": small, "u": small, "tags": st.lists(st.sampled_from("xyz")), "result": any_of({"energy": small})}

    def clauses(self) -> list[st.SearchStrategy[dict[str, Any]]]:
        return [
            one_field("_id", ids | one_field("$in", st.lists(ids, min_size=1, max_size=3))),
            one_field("state", states | one_field("$in", st.lists(states, min_size=1, max_size=2))),
            one_field("n", st.dictionaries(self.comparisons, small, min_size=1, max_size=2)),
            one_field("result.energy", st.dictionaries(self.comparisons, small, min_size=1, max_size=2)),
        ]

    def operation(self, draw: Draw) -> Callable[[Any], Any]:
        """Draw one operation; what it returns of a collection can be compared."""
        name = draw(st.sampled_from([name for name in dir(self) if name.startswith("do_")]))
        return getattr(self, name)(draw)

    def do_insert(self, draw):
        document = draw(self.documents)
        return lambda collection: collection.insert_one(dict(document)).inserted_id

    def do_insert_many(self, draw):
        many, ordered = draw(st.lists(self.documents, min_size=1, max_size=4)), draw(self.ordered)
        return lambda collection: collection.insert_many([dict(one) for one in many], ordered=ordered).inserted_ids

    def do_upsert(self, draw):
        query, update = {"_id": draw(ids), "state": draw(states)}, {"$set": {"n": 1}, "$setOnInsert": {"count": 9}}
        return lambda collection: collection.update_one(query, update, upsert=True).upserted_id

    def do_update(self, draw):
        query, update, many = draw(self.filters), draw(self.updates), draw(self.one_or_many)
        return lambda collection: (
            (collection.update_many if many else collection.update_one)(query, update).matched_count
        )

    def do_replace(self, draw):
        id_, replacement, upsert = draw(ids), draw(self.replacements), draw(st.booleans())
        return lambda collection: (
            collection.replace_one({"_id": id_}, {"_id": id_} | replacement, upsert=upsert).upserted_id
        )

    def do_delete(self, draw):
        query, many = draw(self.filters), draw(self.one_or_many)
        return lambda collection: (collection.delete_many if many else collection.delete_one)(query).deleted_count

    def do_find(self, draw):
        query, sort = draw(self.filters), draw(self.sorts)
        skip, limit = draw(st.integers(0, 2)), draw(st.integers(0, 3))
        return lambda collection: list(collection.find(query).sort(sort).skip(skip).limit(limit))

    def do_project(self, draw):
        query, fields = draw(self.filters), draw(st.sampled_from([{"state": 1}, {"tags": 0}, {"_id": 0, "n": 1}]))
        return lambda collection: list(collection.find(query, dict(fields)).sort("_id", 1))

    def do_count(self, draw):
        query = draw(self.filters)
        return lambda collection: (collection.count_documents(query), collection.estimated_document_count())

    def do_group(self, draw):
        group = {"_id": "$state", "n": {"$sum": 1}, "least": {"$min": "$n"}}
        stages = [{"$match": draw(self.filters)}, {"$group": group}]
        return lambda collection: sorted(collection.aggregate(stages), key=lambda row: row["_id"])

    def do_distinct(self, draw):
        state = draw(states)
        return lambda collection: set(collection.distinct("n", {"state": state}))

    def do_checkout(self, draw):
        query, sort, update = draw(self.filters), draw(self.sorts), draw(self.updates)
        which = draw(st.sampled_from([ReturnDocument.BEFORE, ReturnDocument.AFTER]))
        return lambda collection: collection.find_one_and_update(query, update, sort=sort, return_document=which)

    def do_take_out(self, draw):
        query, sort = draw(self.filters), draw(self.sorts)
        return lambda collection: collection.find_one_and_delete(query, sort=sort)

    def do_bulk(self, draw):
        kinds = [
            self.documents.map(InsertOne),
            st.builds(UpdateOne, one_field("_id", ids), self.updates),
            st.builds(UpdateMany, self.filters, self.updates),
            st.builds(
                lambda id_, new: ReplaceOne({"_id": id_}, {"_id": id_} | new, upsert=True), ids, self.replacements
            ),
            st.builds(DeleteOne, one_field("_id", ids)),
            st.builds(DeleteMany, one_field("_id", ids)),
        ]
        many, ordered = draw(st.lists(st.one_of(kinds), min_size=1, max_size=4)), draw(self.ordered)
        return lambda collection: self.counts(collection.bulk_write(many, ordered=ordered).bulk_api_result)

    def counts(self, details: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name: number for name, number in details.items() if name in {"nInserted", "nRemoved", "nMatched"} and number
        }
        return kept | {"errors": [(error["index"], error["code"]) for error in details["writeErrors"]]}

    def answer(self, operation: Callable[[Any], Any], collection: Any) -> Any:
        """Return what an operation answers, or the kind of error it raises."""
        try:
            return operation(collection)
        except BulkWriteError as error:
            return self.counts(
                {"writeErrors": error.details["writeErrors"], "nInserted": error.details.get("nInserted")}
            )
        except OperationFailure as error:
            return type(error)

    def content(self, collection: Any) -> list[Any]:
        return list(collection.find().sort("_id", 1))


class FullContract(Contract):
    """Random operations for the embedded store: all kinds of values, and every answer to the last bit."""

    one_or_many = ordered = st.booleans()
    comparisons = st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
    values = Contract.values | {
        "v": values,
        "u": small,
        "tags": st.lists(st.sampled_from("xyz"), max_size=2),
        "result.steps": st.just([]),
    }
    indexes = st.lists(
        st.sampled_from(
            [
                "state",
                "n",
                "result.energy",
                "tags",
                "result.steps.f",
                "v",
                [("state", 1), ("_id", -1)],
                [("n", -1), ("v", 1)],
            ]
        ),
        unique_by=str,
    )
    unset = any_of({"log": st.just(""), "count.x": st.just(""), "result.old": st.just("")}).filter(bool)

    def fields(self) -> dict[str, st.SearchStrategy[Any]]:
        steps = st.lists(any_of({"f": small}), max_size=3)
        result = any_of({"energy": small | st.none(), "steps": steps, "old": small})
        return super().fields() | {"v": values, "result": result}

    def clauses(self) -> list[st.SearchStrategy[dict[str, Any]]]:
        anything = values | st.dictionaries(self.comparisons, values, min_size=1, max_size=2)
        anything |= one_field("$in", st.lists(values, max_size=3)) | one_field("$exists", st.booleans())
        return [
            *super().clauses(),
            one_field("state", one_field("$in", st.lists(states, max_size=2))),
            one_field("tags", st.sampled_from("xyz") | one_field("$all", st.lists(st.sampled_from("xyz"), min_size=1))),
            one_field("result.steps.f", small | st.none() | one_field("$exists", st.booleans())),
            one_field("result.steps", st.just([]) | one_field("$size", st.integers(0, 2))),
            one_field("v", anything),
        ]

    def do_modify(self, draw):
        query, update, many = draw(self.filters), draw(self.updates), draw(st.booleans())
        return lambda collection: (collection.update_many if many else collection.update_one)(query, update).raw_result[
            "nModified"
        ]

    def do_exchange(self, draw):
        query, sort, replacement = draw(self.filters), draw(self.sorts), draw(self.replacements)
        return lambda collection: collection.find_one_and_replace(query, dict(replacement), sort=sort)

    def do_unwind(self, draw):
        stages = [{"$match": draw(self.filters)}, {"$sort": {"_id": -1}}, {"$limit": 2}, {"$unwind": "$tags"}]
        return lambda collection: list(collection.aggregate(stages))

    def do_distinct(self, draw):
        query = draw(self.filters)
        return lambda collection: set(collection.distinct("tags", query))

    def content(self, collection: Any) -> list[Any]:
        """Return BSON in natural order: Python takes 1, 1.0 and True for the same, and any order of keys."""
        return [bson.encode(document) for document in collection.find()]


def indexed(collection: Any) -> set[Any]:
    """Return what is indexed; mongomock forgets the index of `_id` with the last document."""
    return {(("_id", 1),), *(tuple(index["key"]) for index in collection.index_information().values())}


def insertion(document: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda collection: collection.insert_one(dict(document)).inserted_id


def run_contract(contract: Contract, data: st.DataObject, open_store: Callable[[], Store]) -> None:
    """Do the same to the store and to mongomock, compare at every step, and once more after opening the store anew."""
    reference = mongomock.MongoClient().db.things
    name = f"things_{uuid4().hex}"
    answer, content = contract.answer, contract.content
    with open_store() as store:
        things = store.collection(name)
        for index in data.draw(contract.indexes):
            assert things.create_index(index) == reference.create_index(index)
        if data.draw(st.booleans()):
            unique = {"unique": True, "sparse": True}
            assert things.create_index("u", **unique) == reference.create_index("u", **unique)
        for document in data.draw(st.lists(contract.documents, max_size=5, unique_by=lambda document: document["_id"])):
            assert answer(insertion(document), things) == answer(insertion(document), reference)
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


EMBEDDED, SERVER = FullContract(), Contract()
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # answers do not depend on how long a disk takes


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_embedded_store_answers_as_mongomock_does(data):
    with TemporaryDirectory(dir=MEMORY) as folder:
        run_contract(EMBEDDED, data, lambda: connect(folder))


@pytest.mark.integration
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_mongodb_server_answers_as_mongomock_does(data):
    uri = os.environ["MATSCOUT_TEST_MONGO_URI"]
    run_contract(SERVER, data, lambda: connect(uri))
