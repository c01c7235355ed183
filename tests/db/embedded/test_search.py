"""Every filter and every order over every kind of value: with an index or without, the answer is mongomock's."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import Any

import mongomock
import pytest
from bson import Code, Decimal128, Int64, ObjectId, Regex

from matscout.db.embedded import EmbeddedClient, Engine

MISSING = object()
TIME = datetime(2020, 1, 1)  # noqa: DTZ001  as BSON has it
SORTABLE = [
    MISSING,
    None,
    False,
    True,
    0,
    -0.0,
    1,
    1.0,
    Int64(1),
    2.5,
    -3,
    10,
    2**53,
    2**53 + 1,
    float(2**53),
    2**63 - 1,
    -(2**63),
    float("inf"),
    "",
    "a",
    "a\x00",
    "ab",
    "é",
    "0" * 24,
    TIME,
    datetime(1960, 1, 1),  # noqa: DTZ001
    ObjectId("0" * 24),
    ObjectId("f" * 24),
    b"",
    b"zz",
    b"aaa",
    [],
    [1],
    [0, 10],
    [None],
    ["a", 2.5],
    ["0" * 24],
]
AWKWARD = [
    [[1, 2]],
    [[1, 2], 10],
    {},
    {"a": 1},
    {"a": True, "b": [1]},
    {"b": [1.0], "a": 1},
    [{"a": 1}],
]
LEAVES = [MISSING, None, 0, 1, True, 2.5, "a", [], [0, 10], [None]]
NESTED = [
    *[{} if leaf is MISSING else {"v": leaf} for leaf in LEAVES],
    *[[{} if leaf is MISSING else {"v": leaf}, {"v": 1}] for leaf in LEAVES],
    [],
    [1, {"v": 0}],
    [{"x": 1}],
    None,
    5,
    "text",
    [[{"v": 1}]],
    MISSING,
]


def field(name: str, value: Any) -> dict[str, Any]:
    return {} if value is MISSING else {name: value}


@pytest.fixture
def both(tmp_path):
    """Return a function that makes a collection of the embedded store and one of mongomock with the same content."""
    client = EmbeddedClient(Engine(tmp_path / "store.sqlite"))

    def make(documents, *indexes):
        mine, theirs = client.db.things, mongomock.MongoClient().db.things
        for index in indexes:
            mine.create_index(index)
        mine.insert_many([dict(document) for document in documents])
        theirs.insert_many([dict(document) for document in documents])
        return mine, theirs

    yield make
    client.close()


def ids(collection, spec, sort=(), **options):
    cursor = collection.find(spec, **options)
    return [document["_id"] for document in (cursor.sort(list(sort)) if sort else cursor)]


def filters_of(values: list[Any]) -> list[Any]:
    operators = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]
    single = [{operator: value} for operator, value in product(operators, values)]
    listed = [{"$in": [value, "a"]} for value in values] + [{"$nin": [value, 1]} for value in values]
    ranges = [
        {low: a, high: b}
        for low, high in product(["$gt", "$gte"], ["$lt", "$lte"])
        for a, b in product([0, 1, 2.5], [1, 10, "a"])
    ]
    others = [
        {"$exists": True},
        {"$exists": False},
        {"$exists": False, "$ne": 1},
        {"$in": []},
        {"$eq": 1, "$lt": 10},
        {"$in": [0, 10], "$gt": 5},
        {"$size": 1},
        {"$regex": "^a"},
        {"$not": {"$gt": 1}},
        {"$all": [0, 10]},
        {"$elemMatch": {"$gt": 5}},
        {"$type": "string"},
        Regex("a"),
        float("nan"),
        {"$gt": float("nan")},
        2**70,
        10**400,
        Code("a"),
        {"a": 1, "$b": 2},
    ]
    return [*values, *single, *listed, *ranges, *others]


def test_filters_on_an_indexed_field_select_what_mongomock_selects(both):
    stored = [*SORTABLE, *AWKWARD, float("nan")]
    mine, theirs = both([{"_id": n, **field("v", value)} for n, value in enumerate(stored)], "v")
    values = [value for value in [*SORTABLE, *AWKWARD] if value is not MISSING]
    for search in filters_of(values):
        spec = {"v": search}
        assert ids(mine, spec) == ids(theirs, spec), spec
        assert mine.count_documents(spec) == theirs.count_documents(spec), spec
        first = mine.find_one(spec)
        assert ids(theirs, spec)[:1] == ([] if first is None else [first["_id"]]), spec


def test_values_without_an_order_are_found_by_equality(both):
    stored = [Decimal128("1"), Decimal128("2"), Regex("a"), Code("a"), "a", 1, [Decimal128("1")]]
    mine, theirs = both([{"_id": n, "v": value} for n, value in enumerate(stored)], "v")
    for search in [*stored, Regex("^a"), {"$in": [Decimal128("1"), "a"]}, {"$in": ["a", Code("a")]}, {"$ne": "a"}]:
        assert ids(mine, {"v": search}) == ids(theirs, {"v": search}), search


def test_filters_where_no_document_has_an_array_select_what_mongomock_selects(both):
    stored = [value for value in SORTABLE if not isinstance(value, list)]
    mine, theirs = both([{"_id": n, **field("v", value)} for n, value in enumerate(stored)], "v")
    for search in filters_of([value for value in stored if value is not MISSING]):
        assert ids(mine, {"v": search}) == ids(theirs, {"v": search}), search
        assert mine.count_documents({"v": search}) == theirs.count_documents({"v": search}), search


def test_filters_on_an_indexed_path_select_what_mongomock_selects(both):
    mine, theirs = both([{"_id": n, **field("r", value)} for n, value in enumerate(NESTED)], "r.v", "r.1.v")
    values = [value for value in [*LEAVES, 10, {"v": 1}] if value is not MISSING]
    searches = [search for search in filters_of(values) if search != {"$all": [0, 10]}]  # there mongomock stumbles
    for path, search in product(["r.v", "r.1.v"], searches):
        assert ids(mine, {path: search}) == ids(theirs, {path: search}), (path, search)
        assert mine.count_documents({path: search}) == theirs.count_documents({path: search}), (path, search)


def test_filters_on_the_id_select_what_mongomock_selects(both):
    stored = [value for value in SORTABLE if value is not MISSING and not isinstance(value, list)]
    distinct = list(
        {(mongomock.helpers.hashdict({"": value})): value for value in stored if not isinstance(value, bool)}.values()
    )
    mine, theirs = both([{"_id": value} for value in [*distinct, {"a": 1}, {"b": [1], "a": 2}]])
    for search in filters_of([*distinct, {"a": 1}, {"a": 1.0}]):
        assert ids(mine, {"_id": search}) == ids(theirs, {"_id": search}), search


def test_branches_and_conjunctions_select_what_mongomock_selects(both):
    documents = [{"_id": n, "a": n % 3, "b": [n % 2, n % 5], "c": n} for n in range(40)]
    mine, theirs = both(documents, "a", "b")
    parts = [
        {"a": 1},
        {"b": {"$gt": 2}},
        {"a": {"$in": [0, 2]}, "b": 1},
        {"c": 7},
        {"c": {"$lt": 20}},
        {},
        {"_id": {"$gte": 30}},
    ]
    for x, y in product(parts, parts):
        for spec in (
            {"$or": [x, y]},
            {"$and": [x, y]},
            {"$nor": [x, y]},
            {"$or": [{"$and": [x, y]}, {"a": 2, "$or": [x, y]}]},
        ):
            assert ids(mine, spec) == ids(theirs, spec), spec
            assert mine.count_documents(spec) == theirs.count_documents(spec), spec
            order = [("b", -1), ("_id", 1)]
            assert ids(mine, spec, order, limit=3) == ids(theirs, spec, order, limit=3), spec


@pytest.mark.parametrize("stored", [SORTABLE, [*SORTABLE, *AWKWARD]], ids=["ordered in SQL", "ordered here"])
@pytest.mark.parametrize("limit", [0, 4])
def test_indexed_values_sort_as_mongomock_sorts_them(both, stored, limit):
    documents = [{"_id": n, **field("v", value), "twice": n // 2} for n, value in enumerate([*stored, *stored])]
    mine, theirs = both(documents, "v", "twice")
    for first, second in product([1, -1], [1, -1]):
        for sort in (
            [("v", first)],
            [("v", first), ("_id", second)],
            [("v", first), ("twice", second)],
            [("_id", first)],
            [("$natural", first)],
        ):
            for spec in ({}, {"twice": {"$gte": 7}}, {"unindexed": None, "twice": {"$lt": 20}}):
                assert ids(mine, spec, sort, limit=limit) == ids(theirs, spec, sort, limit=limit), (spec, sort)


def test_paths_into_arrays_sort_as_mongomock_sorts_them(both):
    mine, theirs = both([{"_id": n, **field("r", value)} for n, value in enumerate(NESTED)], "r.v")
    for direction in (1, -1):
        assert ids(mine, {}, [("r.v", direction)]) == ids(theirs, {}, [("r.v", direction)])


def test_unselective_clauses_of_a_large_collection_keep_the_order(both, monkeypatch):
    monkeypatch.setattr("matscout.db.embedded.search.SELECTIVE", 5)
    documents = [{"_id": n, "state": "ready" if n % 7 else "done", "priority": n * 7919 % 50} for n in range(300)]
    mine, theirs = both(documents, "state", "priority")
    for spec in ({"state": "ready"}, {"state": "done"}, {"state": "ready", "priority": {"$lt": 20}}, {"state": "none"}):
        for sort in ([("priority", -1), ("_id", -1)], [("priority", 1)]):
            assert ids(mine, spec, sort, limit=7, skip=2) == ids(theirs, spec, sort, limit=7, skip=2)


def test_a_list_longer_than_sqlite_takes_parameters_is_searched(both):
    mine, _ = both([{"_id": n, "v": str(n)} for n in range(500)], "v")
    many = [str(n) for n in range(0, 200_000, 2)]
    assert mine.count_documents({"v": {"$in": many}}) == 250
    assert ids(mine, {"v": {"$in": many}}, [("v", 1)], limit=2) == [0, 10]
    assert ids(mine, {"_id": {"$in": list(range(499, 200_000))}}) == [499]


def test_a_wrong_filter_is_refused_even_where_there_is_nothing(both):
    mine, theirs = both([{"_id": 1, "v": 1}], "v")
    for spec in ({"v": {"$nope": 1}}, {"$nope": 1}, {"$or": []}, {"v": {"$in": 3}}):
        for collection in (mine, mine.database.empty, theirs, theirs.database.empty):
            if spec == {"v": {"$in": 3}} and collection.name == "empty":
                continue
            with pytest.raises(mongomock.OperationFailure):
                list(collection.find(spec))


def test_an_index_answers_without_reading_documents(both, monkeypatch):
    mine, _ = both([{"_id": n, "v": n % 4, "w": n} for n in range(100)], "v", "w")
    read = []
    original = type(mine._store).body
    monkeypatch.setattr(type(mine._store), "body", lambda self, db, seq: read.append(seq) or original(self, db, seq))
    assert mine.count_documents({"v": 1, "w": {"$lt": 50}}) == 13
    assert not read
    assert ids(mine, {"v": {"$in": [1, 2]}}, [("w", -1)], limit=3) == [98, 97, 94]
    assert len(read) == 3
