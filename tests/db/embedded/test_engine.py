"""One file: transactions that are whole or nothing, a journal that fits the disk, and plain words for its troubles."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from matscout.db.embedded import EmbeddedClient, Engine
from matscout.db.embedded.engine import is_local
from matscout.errors import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def test_an_idle_store_is_one_file_that_can_be_copied(path, tmp_path):
    with EmbeddedClient(Engine(path)) as client:
        client.db.things.insert_one({"_id": 1})
        assert (tmp_path / "store.sqlite-wal").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["store.sqlite"]
    shutil.copy(path, tmp_path / "copy.sqlite")
    with EmbeddedClient(Engine(tmp_path / "copy.sqlite", read_only=True)) as client:
        assert client.db.things.find_one() == {"_id": 1}


def test_readers_keep_the_log_of_a_writer_that_closes(path):
    writer, reader = EmbeddedClient(Engine(path)), EmbeddedClient(Engine(path, read_only=True))
    writer.db.things.insert_one({"_id": 1})
    assert reader.db.things.find_one() == {"_id": 1}
    writer.close()
    assert reader.db.things.find_one() == {"_id": 1}
    reader.close()
    with EmbeddedClient(Engine(path)) as client:
        assert client.db.things.find_one() == {"_id": 1}


@pytest.mark.parametrize(
    ("folder", "local"),
    [
        ("/tmp/store", True),
        ("/home/me/store", False),
        ("/home/local disk/store", True),
        ("/homeless/store", True),
        ("/scratch/me", False),
        ("/odd/store", False),
    ],
)
def test_only_a_disk_known_to_be_of_this_host_gets_a_write_ahead_log(folder, local):
    mounts = (
        "/dev/sda1 / ext4 rw 0 0\nlogin:/home /home nfs4 rw 0 0\n/dev/sdb /home/local\\040disk xfs rw 0 0\n"
        "mds@tcp:/work /scratch lustre rw 0 0\nwhatever /odd fuse.new rw 0 0\n"
    )
    assert is_local(Path(folder), mounts) is local


def test_a_network_disk_gets_a_rollback_journal(path, tmp_path, monkeypatch):
    monkeypatch.setattr("matscout.db.embedded.engine.is_local", lambda *_: False)
    with EmbeddedClient(Engine(path)) as client:
        client.db.things.insert_one({"_id": 1})
        assert not (tmp_path / "store.sqlite-wal").exists()
        with EmbeddedClient(Engine(path, read_only=True)) as reader:
            assert reader.db.things.find_one() == {"_id": 1}
            client.db.things.insert_one({"_id": 2})
            assert reader.db.things.count_documents({}) == 2


@pytest.mark.parametrize("local", [True, False])
def test_what_is_acknowledged_was_synced(path, monkeypatch, local):
    monkeypatch.setattr("matscout.db.embedded.engine.is_local", lambda *_: local)
    engine = Engine(path)
    with engine.write() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal" if local else "delete",)
    engine.close()


def test_steps_fail_by_themselves_and_the_whole_by_its_own_error(path):
    client = EmbeddedClient(Engine(path))
    engine, things = client._store.engine, client.db.things

    def failing(id_):
        with engine.write():
            things.insert_one({"_id": id_})
            things.create_index("v")
            client.db.others.insert_one({"_id": 1})
            raise RuntimeError

    with engine.write():
        things.insert_one({"_id": 1})
        with pytest.raises(RuntimeError):
            failing(2)
        things.insert_one({"_id": 3})
    with pytest.raises(RuntimeError):
        failing(4)
    assert things.distinct("_id") == [1, 3]
    assert client.db.list_collection_names() == ["things"]
    assert list(things.index_information()) == ["_id_"]
    client.close()


def test_a_transaction_that_a_full_disk_undid_does_not_go_on(path):
    client = EmbeddedClient(Engine(path, max_mb=1))
    engine, things = client._store.engine, client.db.things
    things.insert_one({"_id": "before"})

    def write_too_much():
        with engine.write():
            for number in range(20):  # SQLite ends the transaction when the disk is full; no step may begin another
                with suppress(UserError):
                    things.insert_one({"_id": number, "blob": "x" * 100_000})
            assert not engine._connection.in_transaction

    with pytest.raises(UserError, match="the whole transaction was undone"):
        write_too_much()
    assert things.distinct("_id") == ["before"]
    things.insert_one({"_id": "later"})
    client.close()


def test_a_process_that_was_forked_must_connect_again(path):
    engine = Engine(path)

    def child(queue):
        try:
            with engine.read():
                queue.put("read")
        except RuntimeError as error:
            queue.put(str(error))

    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    process = fork.Process(target=child, args=(queue,))
    process.start()
    assert "connect again in the child" in queue.get(timeout=10)
    process.join()
    engine.close()


def test_a_read_only_store_refuses_to_write(path):
    Engine(path).close()
    with EmbeddedClient(Engine(path, read_only=True)) as client, pytest.raises(UserError, match="for reading only"):
        client.db.things.insert_one({})
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM documents").fetchone() == (0,)
    db.close()


def test_a_writer_waits_for_another_one(path):
    one, other = Engine(path), EmbeddedClient(Engine(path))
    started = threading.Event()

    def hold():
        with one.write():
            started.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    started.wait()
    other.db.things.insert_one({"_id": 1})
    thread.join()
    assert other.db.things.count_documents({}) == 1
    one.close()
    other.close()


def test_a_writer_does_not_wait_for_ever(path, monkeypatch):
    monkeypatch.setattr("matscout.db.embedded.engine.BUSY_SECONDS", 0.1)
    one, other = Engine(path), EmbeddedClient(Engine(path))
    with one.write(), pytest.raises(UserError, match="locked for long"):
        other.db.things.insert_one({"_id": 1})
    one.close()
    other.close()
