"""A store is opened by its folder or its uri; what was acknowledged is there; troubles are told in one sentence."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, replace

import mongomock
import pytest

from matscout.db.lease import Holder, StoreLeased
from matscout.db.store import FILE, connect, hide_password
from matscout.errors import NoStoreError, UserError

WRITER = """
import sys
from pymongo import InsertOne, UpdateOne
from matscout.db.store import connect

store, name = connect(sys.argv[1]), sys.argv[2]
jobs, log = store.collection("jobs"), store.collection("log")
jobs.create_index("state")
number = 0
while True:
    a, b, c = (f"{name}-{number + step}" for step in range(3))
    jobs.insert_one({"_id": a, "state": "new", "text": "x" * 3000})
    print("new", a, flush=True)
    jobs.find_one_and_update({"_id": a}, {"$set": {"state": "done"}})
    print("done", a, flush=True)
    jobs.bulk_write([InsertOne({"_id": b, "state": "new"}), UpdateOne({"_id": b}, {"$set": {"state": "done"}})])
    print("done", b, flush=True)
    with store.transaction():
        jobs.insert_one({"_id": c, "state": "new"})
        log.insert_one({"_id": c})
    print("new", c, flush=True)
    number += 3
"""

READER = """
import sys
from matscout.db.store import connect

with connect(sys.argv[1], read_only=True) as store:
    print("ready", flush=True)
    for line in sys.stdin:
        print(store.collection("jobs").count_documents({"state": line.strip()}), flush=True)
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def message(*arguments, **options):
    with pytest.raises(UserError) as caught:
        connect(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- durable


def test_what_was_acknowledged_survives_a_kill_at_any_moment(folder):
    chance = random.Random(2)
    acknowledged = {}
    for round_ in range(5):
        process = start(WRITER, folder, round_)
        lines = [process.stdout.readline()]
        time.sleep(chance.uniform(0.01, 0.4))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdin.close()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        acknowledged |= {id_: state for state, id_ in (line.split() for line in lines if line.endswith("\n"))}
    assert len(acknowledged) > 20
    with connect(folder, read_only=True) as store:
        jobs = store.collection("jobs")
        stored = {job["_id"]: job["state"] for job in jobs.find()}
        assert acknowledged.keys() <= stored.keys()
        assert {id_ for id_, state in acknowledged.items() if state == "done"} <= {
            i for i, s in stored.items() if s == "done"
        }
        for state in ("new", "done"):
            assert {job["_id"] for job in jobs.find({"state": state})} == {i for i, s in stored.items() if s == state}
        assert {entry["_id"] for entry in store.collection("log").find()} == {
            i for i in stored if int(i.split("-")[1]) % 3 == 2
        }
        with store._engine.read() as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_reader_in_another_process_sees_each_commit_at_once_and_nothing_before(folder):
    with connect(folder) as store:
        jobs = store.collection("jobs")
        jobs.create_index("state")
        reader = start(READER, folder)
        assert reader.stdout.readline() == "ready\n"

        def seen(state):
            reader.stdin.write(f"{state}\n")
            reader.stdin.flush()
            return int(reader.stdout.readline())

        for number in range(20):
            jobs.insert_one({"_id": number, "state": "new"})
            assert seen("new") == number + 1
        with store.transaction():
            jobs.update_many({}, {"$set": {"state": "done"}})
            assert (seen("new"), seen("done")) == (20, 0)
        assert (seen("new"), seen("done")) == (0, 20)
        jobs.drop_indexes()
        assert seen("done") == 20
        reader.communicate()
        assert reader.returncode == 0


def test_a_transaction_over_collections_is_whole_or_nothing(folder):
    with connect(folder) as store:
        a, b = store.collection("a"), store.collection("b")

        def failing():
            with store.transaction():
                a.insert_one({"_id": 2})
                b.update_one({"_id": 1}, {"$set": {"v": 1}})
                raise ZeroDivisionError

        with store.transaction():
            a.insert_one({"_id": 1})
            b.insert_one({"_id": 1})
        with pytest.raises(ZeroDivisionError):
            failing()
        assert list(a.find()) == list(b.find()) == [{"_id": 1}]


# -------------------------------------------------------------------------------------------------------------- opening


def test_the_settings_name_the_store(tmp_path, monkeypatch, no_settings):
    monkeypatch.chdir(tmp_path)
    with connect() as store:
        assert store.folder == tmp_path / "matscout-store"
    monkeypatch.setenv("MATSCOUT_STORE", str(tmp_path / "elsewhere"))
    no_settings()
    with connect() as store:
        assert store.folder == tmp_path / "elsewhere"
        assert store.display_uri == str(tmp_path / "elsewhere")
        assert repr(store) == f"Store('{tmp_path}/elsewhere')"


def test_a_folder_given_relative_stays_the_same_after_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with connect("store") as store:
        monkeypatch.chdir(tmp_path / "below")
        store.collection("a").insert_one({"_id": 1})
        assert store.display_uri == "store"
        assert (store.folder / FILE).samefile(tmp_path / "store" / FILE)


def test_a_store_that_is_not_there_is_not_made_for_a_reader(folder):
    assert message(folder, must_exist=True) == message(folder, read_only=True)
    assert message(folder, must_exist=True).startswith(f"there is no store in {folder}: ")
    assert not folder.exists()
    folder.mkdir()
    (folder / FILE).touch()  # a writer killed before its first commit leaves this
    assert "there is no store" in message(folder, read_only=True)
    connect(folder).close()
    connect(folder, read_only=True).close()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("text")
    assert "is a file" in message(tmp_path / "file")
    assert "as the store's folder: Not a directory" in message(tmp_path / "file" / "below")


def test_another_kind_of_uri_is_refused():
    assert message("postgres://host/db") == "a store is a folder or a mongodb:// uri, not postgres://"


def test_files_that_are_no_store_are_told_apart(folder):
    folder.mkdir()
    (folder / FILE).write_text("no database at all, but long enough to be taken for one" * 100)
    assert "is not a matscout store" in message(folder)
    (folder / FILE).unlink()
    with sqlite3.connect(folder / FILE) as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    assert "is an SQLite file, but not a matscout store" in message(folder)


def test_a_newer_store_is_left_alone(folder):
    connect(folder).close()
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE meta SET value = 7 WHERE name = 'schema_version'")
    db.close()
    assert "written by a newer matscout (store version 7, this one knows up to 1)" in message(folder)


# -------------------------------------------------------------------------------------------------------------- trouble


def test_a_full_disk_is_told_and_loses_nothing(folder, monkeypatch, no_settings):
    monkeypatch.setenv("MATSCOUT_STORE_MAX_MB", "1")
    no_settings()
    acknowledged = 0
    with connect(folder) as store:
        jobs = store.collection("jobs")
        jobs.create_index("state")

        def fill():
            nonlocal acknowledged
            for number in range(1000):
                jobs.insert_one({"_id": number, "state": "new", "text": "x" * 3000})
                acknowledged += 1

        full = rf"^the disk of {folder} is full \(or MATSCOUT_STORE_MAX_MB is reached\): "
        with pytest.raises(UserError, match=full):
            fill()
        assert jobs.count_documents({"state": "new"}) == acknowledged > 100
        with pytest.raises(UserError, match="nothing acknowledged is lost"), store.transaction():
            jobs.update_many({}, {"$set": {"text": "y" * 6000}})
        assert jobs.count_documents({"text": {"$regex": "^x"}}) == acknowledged
    monkeypatch.setenv("MATSCOUT_STORE_MAX_MB", "50")
    no_settings()
    with connect(folder) as store:
        jobs = store.collection("jobs")
        assert jobs.count_documents({}) == acknowledged
        jobs.insert_one({"_id": acknowledged, "state": "new", "text": "x" * 3000})
        assert jobs.count_documents({"state": "new"}) == acknowledged + 1


def test_a_damaged_store_is_told(folder):
    with connect(folder) as store:
        store.collection("jobs").insert_many([{"_id": n, "text": "x" * 3000} for n in range(200)])
    content = bytearray((folder / FILE).read_bytes())
    content[8192:] = bytes(b ^ 0x55 for b in content[8192:])
    (folder / FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged .*bring back a copy"), connect(folder) as store:
        list(store.collection("jobs").find())
    content[:100] = b"\0" * 100
    (folder / FILE).write_bytes(content)
    assert "its first page is damaged" in message(folder)


def test_a_second_writer_is_told_who_the_first_is(folder):
    with connect(folder) as one, connect(folder) as other, one.lease("matscout run one.yaml") as lease:
        assert other.holder() == one.holder() == lease.me
        with pytest.raises(StoreLeased, match=r'in use by "matscout run one.yaml" \(host .*, process \d+, since 20'):
            other.lease("matscout run two.yaml").__enter__()
    with connect(folder) as store:
        assert store.holder() is None
        with store.lease("matscout run two.yaml"):
            store.collection("jobs").insert_one({"_id": 1})


def test_a_lease_is_taken_from_the_dead_only(folder):
    with connect(folder) as store:
        with store.lease("matscout watch one.yaml") as lease:
            assert store.holder(alive=False) == lease.me
            assert not store.break_lease(lease.me)
            assert store.holder() == lease.me
        assert store.holder(alive=False) is None
        dead = replace(Holder.myself("matscout run one.yaml"), heartbeat=0.0, host="elsewhere")
        (folder / "lease.json").write_text(json.dumps(asdict(dead)))
        assert (store.holder(), store.holder(alive=False)) == (None, dead)
        assert store.break_lease(replace(dead, token="another"))
        assert store.holder(alive=False) == dead
        assert store.break_lease(dead)
        assert store.holder(alive=False) is None


def test_who_has_lost_the_lease_writes_no_more(folder):
    with connect(folder) as store, store.lease("one") as lease:
        lease._taken_by = lease.me
        with pytest.raises(StoreLeased):
            store.collection("jobs").insert_one({"_id": 1})
        assert store.collection("jobs").count_documents({}) == 0


def test_a_reader_cannot_have_the_lease(folder):
    connect(folder).close()
    with connect(folder, read_only=True) as store, pytest.raises(UserError, match="for reading only"):
        store.lease("me").__enter__()


# -------------------------------------------------------------------------------------------------------------- MongoDB


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://localhost", "mongodb://localhost"),
        ("mongodb://me:geheim@a:1,b:2/runs?replicaSet=geheim", "mongodb://me:***@a:1,b:2/runs"),
        ("mongodb+srv://me:ge%40heim@cluster.example.org/", "mongodb+srv://me:***@cluster.example.org"),
        ("mongodb://me@host/?tlsCertificateKeyFilePassword=geheim", "mongodb://me@host"),
        ("mongodb://me:ge/heim@host/db", "mongodb://***"),
        ("mongodb://me:geheim@x/geheim@host/db", "mongodb://***"),
        ("mongodb://me:ge?heim@host", "mongodb://me:***@host"),
        ("mongodb://me:ge/he?im@host", "mongodb://***"),
        ("mongodb://[::1]:27017/db", "mongodb://[::1]:27017/db"),
    ],
)
def test_a_password_is_never_shown(uri, shown):
    assert hide_password(uri) == shown


@pytest.mark.parametrize("uri", ["mongodb://me:ge:heim@host", "mongodb://me:ge/heim@host/db", "mongodb://"])
def test_a_uri_that_cannot_be_used_is_told_without_the_password(uri):
    text = message(uri)
    assert "is not a MongoDB uri that can be used" in text
    assert "heim" not in text


def test_a_server_that_does_not_answer_is_told_soon_and_without_the_password():
    before = time.monotonic()
    text = message("mongodb://me:geheim@127.0.0.1:9/runs?serverSelectionTimeoutMS=300")
    assert text.startswith("no MongoDB server answers at mongodb://me:***@127.0.0.1:9/runs: ")
    assert time.monotonic() - before < 5


@pytest.fixture
def server(monkeypatch):
    """Let mongomock stand for a MongoDB server."""
    storage = mongomock.store.ServerStore()
    monkeypatch.setattr("pymongo.MongoClient", lambda uri, **_: mongomock.MongoClient(uri, _store=storage))
    return mongomock.MongoClient(_store=storage)


def test_a_uri_names_the_database_or_leaves_it_to_us(server):
    with connect("mongodb://me:geheim@host/runs") as store:
        store.collection("a").insert_one({"_id": 1})
        assert store.display_uri == "mongodb://me:***@host/runs"
        assert store.folder is None
        with store.transaction():
            store.collection("a").insert_one({"_id": 2})
    with connect("mongodb://host") as store:
        store.collection("b").insert_one({"_id": 1})
    assert server.runs.a.count_documents({}) == 2
    assert server.matscout.b.count_documents({}) == 1


def test_a_store_on_a_server_has_a_version_too(server):
    with pytest.raises(NoStoreError, match="there is no store at mongodb://host/runs"):
        connect("mongodb://host/runs", must_exist=True)
    connect("mongodb://host/runs").close()
    connect("mongodb://host/runs", read_only=True).close()
    server.runs.meta.update_one({"_id": "store"}, {"$set": {"schema_version": 7}})
    assert "newer matscout" in message("mongodb://host/runs")


def test_a_server_has_one_writer_too(server):
    with connect("mongodb://me:geheim@host/runs") as one, connect("mongodb://host/runs") as other:
        with one.lease("first") as lease:
            assert other.holder() == lease.me
            assert not other.break_lease(lease.me)
            with pytest.raises(StoreLeased, match='in use by "first"'):
                other.lease("second").__enter__()
        assert other.holder() is None
        with other.lease("second"):
            assert one.holder().owner == "second"
        dead = replace(Holder.myself("third"), heartbeat=0.0)
        server.runs.leases.insert_one({"_id": "writer"} | asdict(dead))
        assert (one.holder(), one.holder(alive=False)) == (None, dead)
        assert one.break_lease(dead)
        assert one.holder(alive=False) is None
