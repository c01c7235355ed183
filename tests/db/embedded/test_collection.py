"""What the embedded collection does beyond answering: write back, undo, stream, exclude one another."""

from __future__ import annotations

import threading
import tracemalloc

import pytest
from bson import ObjectId
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, IndexModel, InsertOne, ReadPreference, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, InvalidOperation, OperationFailure, WriteError

from matscout.db.embedded import EmbeddedClient, Engine


@pytest.fixture
def client(tmp_path):
    with EmbeddedClient(Engine(tmp_path / "store.sqlite")) as client:
        yield client


@pytest.fixture
def things(client):
    return client.matscout.things


@pytest.fixture
def reopened(client):
    """Return a function that closes the client and opens the file anew."""
    opened = [client]

    def again():
        opened[-1].close()
        opened.append(EmbeddedClient(Engine(client._store.engine.path)))
        return opened[-1]

    yield again
    opened[-1].close()


def test_a_change_that_python_takes_for_none_is_written(things, reopened):
    things.insert_one({"_id": 1, "v": 1, "w": {"a": 1, "b": 2}})
    things.update_one({"_id": 1}, {"$set": {"v": True}})
    things.update_one({"_id": 1}, {"$set": {"w": {"b": 2, "a": 1}}})
    found = reopened().matscout.things.find_one({"_id": 1})
    assert found["v"] is True
    assert list(found["w"]) == ["b", "a"]


def test_all_that_changes_in_place_is_there_after_a_restart(things, reopened):
    things.insert_many([{"_id": n, "state": "new", "n": 0, "log": []} for n in range(6)])
    things.update_one({"_id": 0}, {"$set": {"state": "updated"}})
    things.update_many({"_id": {"$gt": 3}}, {"$inc": {"n": 2}, "$push": {"log": "x"}})
    things.replace_one({"_id": 1}, {"state": "replaced"})
    things.find_one_and_update({"_id": 2}, {"$unset": {"n": ""}})
    things.find_one_and_replace({"_id": 3}, {"state": "exchanged"})
    things.bulk_write([UpdateOne({"_id": 0}, {"$set": {"n": 7}}), InsertOne({"_id": 6})])
    things.update_one({"_id": 5}, [{"$set": {"state": "by a pipeline"}}])
    assert list(reopened().matscout.things.find()) == [
        {"_id": 0, "state": "updated", "n": 7, "log": []},
        {"_id": 1, "state": "replaced"},
        {"_id": 2, "state": "new", "log": []},
        {"_id": 3, "state": "exchanged"},
        {"_id": 4, "state": "new", "n": 2, "log": ["x"]},
        {"_id": 5, "state": "by a pipeline", "n": 2, "log": ["x"]},
        {"_id": 6},
    ]


def test_the_id_cannot_be_changed(things):
    things.insert_one({"_id": 1, "v": 1})
    with pytest.raises(WriteError, match="_id"):
        things.update_one({"v": 1}, {"$set": {"_id": 2, "v": 5}})
    assert list(things.find()) == [{"_id": 1, "v": 1}]


def test_an_array_is_no_id(things):
    with pytest.raises(WriteError, match="array"):
        things.insert_one({"_id": [1]})


def test_unique_indexes_hold_for_every_way_of_writing_and_after_a_restart(things, reopened):
    things.create_index([("a", 1), ("b", 1)], unique=True)
    things.insert_many([{"_id": n, "a": 1, "b": n} for n in range(3)])
    for reopen in (False, True):
        collection = reopened().matscout.things if reopen else things
        for write in (
            lambda c: c.insert_one({"a": 1, "b": 2}),
            lambda c: c.update_one({"_id": 0}, {"$set": {"b": 1}}),
            lambda c: c.replace_one({"_id": 0}, {"a": 1, "b": 1}),
            lambda c: c.find_one_and_update({"_id": 0}, {"$inc": {"b": 2}}),
            lambda c: c.update_one({"_id": 9}, {"$set": {"a": 1, "b": 0}}, upsert=True),
        ):
            with pytest.raises(DuplicateKeyError):
                write(collection)
            assert list(collection.find()) == [{"_id": n, "a": 1, "b": n} for n in range(3)]


def test_of_many_updates_those_before_the_failed_one_stay(things, reopened):
    things.create_index("v", unique=True)
    things.insert_many([{"_id": n, "v": n} for n in range(4)])
    with pytest.raises(DuplicateKeyError):
        things.update_many({"_id": {"$gt": 1}}, {"$set": {"v": 9}})
    assert [document["v"] for document in reopened().matscout.things.find()] == [0, 1, 9, 3]


def test_a_unique_index_over_equal_values_is_not_made(things):
    things.insert_many([{"v": 1}, {"v": 1}])
    with pytest.raises(DuplicateKeyError):
        things.create_index("v", unique=True)
    assert "v_1" not in things.index_information()


def test_a_partial_unique_index_leaves_the_others_alone(things):
    things.create_index("v", unique=True, partialFilterExpression={"live": True})
    things.insert_many([{"v": 1, "live": True}, {"v": 1, "live": False}, {"v": 1, "live": False}])
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"v": 1, "live": True})


def test_bulk_writes_before_a_failed_one_stay_and_those_after_depend_on_the_order(things):
    writes = [InsertOne({"_id": 1}), InsertOne({"_id": 1}), InsertOne({"_id": 2})]
    with pytest.raises(BulkWriteError):
        things.bulk_write(writes, ordered=True)
    assert things.count_documents({}) == 1
    with pytest.raises(BulkWriteError):
        things.bulk_write(writes, ordered=False)
    assert things.distinct("_id") == [1, 2]


def test_an_error_in_the_middle_of_a_write_leaves_no_trace(things):
    things.create_index("n")
    things.insert_many([{"_id": 0, "n": 1, "m": 1}, {"_id": 1, "n": 1, "m": "text"}])
    with pytest.raises(TypeError):
        things.update_many({"n": 1}, {"$inc": {"n": 1, "m": 1}})
    assert things.count_documents({"n": 1}) == 2
    with pytest.raises(TypeError):
        things.bulk_write([InsertOne({"_id": 2}), UpdateOne({"_id": 1}, {"$inc": {"m": 1}})])
    assert things.count_documents({}) == 2


def test_taking_one_keeps_to_the_order_whatever_is_projected(things):
    things.insert_many([{"_id": n, "state": "ready", "n": n} for n in range(3)])
    taken = things.find_one_and_update(
        {"state": "ready"}, {"$set": {"state": "run"}}, {"_id": 0, "n": 1}, sort=[("n", -1)]
    )
    assert taken == {"n": 2}
    assert things.find_one({"state": "run"})["_id"] == 2
    assert things.find_one_and_delete({"state": "ready"}, {"_id": 0}, sort=[("n", -1)]) == {"state": "ready", "n": 1}
    assert things.distinct("_id") == [0, 2]


def test_taking_one_knows_the_place_in_an_array(things):
    things.insert_one({"_id": 1, "jobs": [{"id": 1, "s": "a"}, {"id": 2, "s": "a"}]})
    after = things.find_one_and_update(
        {"jobs": {"$elemMatch": {"id": 2}}}, {"$set": {"jobs.$.s": "b"}}, return_document=ReturnDocument.AFTER
    )
    assert [job["s"] for job in after["jobs"]] == ["a", "b"]


def test_eight_threads_take_a_hundred_jobs_once_each(things):
    things.create_index("state")
    things.insert_many([{"_id": n, "state": "ready"} for n in range(100)])
    taken, gate = [], threading.Barrier(8)

    def work():
        gate.wait()
        while job := things.find_one_and_update({"state": "ready"}, {"$set": {"state": "running"}}):
            taken.append(job["_id"])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(100))


def test_threads_count_up_without_losing_a_step(things):
    things.insert_one({"_id": 1, "n": 0})
    threads = [
        threading.Thread(target=lambda: [things.update_one({"_id": 1}, {"$inc": {"n": 1}}) for _ in range(25)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert things.find_one({"_id": 1})["n"] == 100


def test_a_collection_passes_by_without_being_held_in_memory(things):
    for start in range(0, 2000, 100):  # 20 MB
        things.insert_many([{"_id": n, "blob": "x" * 10_000, "n": -n} for n in range(start, start + 100)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in things.find({"n": {"$lte": 0}})) == 2000
        assert sum(1 for _ in things.find().sort("n", 1)) == 2000
        assert len(list(things.aggregate([{"$group": {"_id": "$n", "n": {"$sum": 1}}}]))) == 2000
        assert things.count_documents({"blob": {"$ne": "y"}}) == 2000
        things.update_many({}, {"$set": {"n": 1}})
        things.create_index("n")
        things.delete_many({"n": 1})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_a_loop_may_change_what_it_runs_over(things):
    things.create_index("state")
    things.insert_many([{"_id": n, "state": "ready"} for n in range(1000)])
    for document in things.find({"state": "ready"}):
        things.update_one({"_id": document["_id"]}, {"$set": {"state": "done"}})
        things.update_one({"_id": document["_id"] + 500}, {"$set": {"state": "taken"}})
    assert things.count_documents({"state": "done"}) == 500
    assert [document["_id"] for document in things.find({"state": "taken"})] == list(range(500, 1000))


def test_cursors_behave_as_pymongos(things):
    things.insert_many([{"_id": n} for n in range(10)])
    cursor = things.find().sort("_id", -1)
    assert cursor[0] == {"_id": 9}
    assert [document["_id"] for document in cursor[2:4]] == [7, 6]
    assert [document["_id"] for document in cursor.clone().rewind()] == [7, 6]
    with pytest.raises(InvalidOperation):
        cursor.limit(3)
    with pytest.raises(IndexError):
        things.find()[10]
    cursor = things.find(limit=1)
    assert cursor.alive
    assert cursor.next() == {"_id": 0}
    with pytest.raises(StopIteration):
        next(cursor)
    assert not cursor.alive


def test_indexes_come_and_go(things):
    models = [IndexModel([("a", ASCENDING)], name="by_a"), IndexModel("b", unique=True, sparse=True)]
    assert things.create_indexes(models) == ["by_a", "b_1"]
    assert things.create_indexes(models) == ["by_a", "b_1"]
    things.insert_many([{"_id": n, "a": n, "b": n} for n in range(3)])
    with pytest.raises(OperationFailure):
        things.create_index("a", name="by_a", unique=True)
    with pytest.raises(OperationFailure):
        things.drop_index("nothing")
    assert [(index["name"], index["key"]) for index in things.list_indexes()] == [
        ("_id_", {"_id": 1}),
        ("by_a", {"a": 1}),
        ("b_1", {"b": 1}),
    ]
    things.drop_index("by_a")
    assert things.find_one({"a": 2})["_id"] == 2
    things.drop_indexes()
    things.insert_one({"b": 1})
    assert list(things.index_information()) == ["_id_"]
    with things._store.engine.read() as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (0,)


def test_no_index_throws_documents_away(things):
    with pytest.raises(NotImplementedError, match="keeps every document"):
        things.create_index("time", expireAfterSeconds=60)


def test_collections_and_databases_come_and_go(client):
    client.one.a.insert_one({"_id": 1, "v": 1})
    client.one.a.create_index("v")
    client.two.create_collection("b")
    assert client.list_database_names() == ["one", "two"]
    client.one.a.rename("c")
    assert client.one.list_collection_names() == ["c"]
    assert client.one.c.find_one({"v": 1}) == {"_id": 1, "v": 1}
    assert client.one.list_collection_names(filter={"name": {"$regex": "^c"}}) == ["c"]
    with pytest.raises(OperationFailure):
        client.one.a.rename("d")
    client.one.d.insert_one({"_id": 2})
    with pytest.raises(OperationFailure):
        client.one.c.rename("d")
    client.one.c.rename("d", dropTarget=True)
    assert list(client.one.d.find()) == [{"_id": 1, "v": 1}]
    client.drop_database("one")
    client.two.b.drop()
    assert client.list_database_names() == []


def test_collections_of_one_file_do_not_mix(client):
    for database in ("x", "y"):
        for name in ("a", "b"):
            client[database][name].create_index("v")
            client[database][name].insert_one({"_id": 1, "v": f"{database}.{name}"})
    for database in ("x", "y"):
        for name in ("a", "b"):
            assert list(client[database][name].find({"v": {"$gte": ""}}).sort("v", 1)) == [
                {"_id": 1, "v": f"{database}.{name}"}
            ]


def test_options_lead_to_the_same_rows(client, things):
    things.insert_one({"_id": 1})
    other = things.with_options(read_preference=ReadPreference.SECONDARY)
    database = client.matscout.with_options(read_preference=ReadPreference.SECONDARY)
    assert other.find_one() == database.things.find_one() == {"_id": 1}
    assert things.with_options(codec_options=CodecOptions(tz_aware=False)).count_documents({}) == 1


def test_dates_come_back_with_the_time_zone_that_was_asked_for(tmp_path):
    from datetime import UTC, datetime

    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    with EmbeddedClient(Engine(tmp_path / "store.sqlite"), tz_aware=True) as client:
        client.db.things.insert_one({"_id": 1, "at": moment})
        assert client.db.things.find_one({"at": {"$gte": moment}})["at"] == moment
    with EmbeddedClient(Engine(tmp_path / "store.sqlite")) as client:
        assert client.db.things.find_one()["at"] == moment.replace(tzinfo=None)


def test_a_pipeline_may_write_a_collection(client, things):
    things.insert_many([{"_id": n, "even": n % 2 == 0} for n in range(5)])
    things.aggregate([{"$match": {"even": True}}, {"$out": "evens"}])
    assert client.matscout.evens.distinct("_id") == [0, 2, 4]
    joined = things.aggregate(
        [{"$limit": 1}, {"$lookup": {"from": "evens", "localField": "_id", "foreignField": "_id", "as": "found"}}]
    )
    assert [row["found"] for row in joined] == [[{"_id": 0, "even": True}]]


def test_what_is_not_there_is_said(things):
    for refused in (
        lambda: things.find_one_and_update({}, {"$set": {"a": 1}}, array_filters=[{}]),
        lambda: things.delete_one({}, collation={"locale": "de"}),
        lambda: things.count_documents({}, collation={"locale": "de"}),
    ):
        with pytest.raises(NotImplementedError):
            refused()
    with pytest.raises(OperationFailure):
        things.count_documents({}, limit=-1)


def test_ids_of_all_kinds_are_kept_apart(things):
    ids = [1, "1", 1.5, ObjectId("0" * 24), "0" * 24, {"a": 1}, {"a": 2}, None, b"1"]
    things.insert_many([{"_id": id_} for id_ in ids])
    for id_ in ids:
        assert things.find_one({"_id": id_}) == {"_id": id_}
        with pytest.raises(DuplicateKeyError):
            things.insert_one({"_id": id_})
    things.update_one({"_id": {"a": 1}}, {"$set": {"v": 1}})
    assert things.delete_one({"_id": {"a": 1}}).deleted_count == 1
    assert things.count_documents({}) == len(ids) - 1
