"""One writer at a time: by a lock that dies with its process, a heartbeat, and a file that says who."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import mongomock
import pytest

from matscout.db.lease import STALE_SECONDS, FolderLease, Holder, MongoLease, StoreLeased, read_holder
from matscout.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from matscout.db.lease import FolderLease

with FolderLease(Path(sys.argv[1]), "a process of its own"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def leases():
    return mongomock.MongoClient().db.leases


@pytest.fixture(params=["folder", "MongoDB"])
def take(request, tmp_path, leases):
    """Return a function that takes a lease of either kind."""
    if request.param == "folder":
        return lambda owner: FolderLease(tmp_path, owner)
    return lambda owner: MongoLease(leases, "the store mongodb://host", owner)


def put(kind, tmp_path, leases, holder):
    """Leave a holder's mark as a process elsewhere would."""
    (tmp_path / "lease.json").write_text(json.dumps(asdict(holder)))
    leases.insert_one({"_id": "writer"} | asdict(holder))
    return FolderLease(tmp_path, "me") if kind == "folder" else MongoLease(leases, "the store mongodb://host", "me")


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_second_is_refused_and_told_who_the_first_is(take):
    with take("matscout run") as first:
        with pytest.raises(StoreLeased) as caught:
            take("matscout advance")
        assert caught.value.holder.pid == first.me.pid == os.getpid()
        assert str(caught.value.holder) in str(caught.value)
        assert '"matscout run"' in str(caught.value)
    take("matscout advance").release()


def test_a_lease_can_be_given_back_twice(take):
    lease = take("me")
    lease.release()
    with take("you"):
        lease.release()
        with pytest.raises(StoreLeased):
            take("me")


def test_a_lease_ends_with_a_killed_process(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreLeased, match="a process of its own") as caught:
            FolderLease(tmp_path, "me")
        assert caught.value.holder.pid == process.pid
        process.send_signal(signal.SIGKILL)
    assert read_holder(tmp_path).owner == "a process of its own"
    with FolderLease(tmp_path, "me"):
        assert read_holder(tmp_path).owner == "me"
    assert read_holder(tmp_path) is None


@pytest.mark.parametrize("kind", ["folder", "MongoDB"])
def test_a_living_holder_on_another_host_is_respected(kind, tmp_path, leases):
    holder = replace(Holder.myself("run"), host="elsewhere", heartbeat=time.time() - STALE_SECONDS + 5)
    with pytest.raises(StoreLeased, match=r"host elsewhere.*let go 60 s after"):
        put(kind, tmp_path, leases, holder)


@pytest.mark.parametrize("kind", ["folder", "MongoDB"])
def test_a_silent_holder_on_another_host_is_succeeded(kind, tmp_path, leases):
    holder = replace(Holder.myself("run"), host="elsewhere", heartbeat=time.time() - STALE_SECONDS - 5)
    put(kind, tmp_path, leases, holder).release()


def test_a_dead_process_of_this_host_is_succeeded_at_once(leases):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    leases.insert_one({"_id": "writer"} | asdict(replace(Holder.myself("run"), pid=process.pid)))
    with MongoLease(leases, "the store mongodb://host", "me"):
        assert leases.find_one()["owner"] == "me"


def test_the_heart_beats(take, tmp_path, leases, monkeypatch):
    monkeypatch.setattr("matscout.db.lease.HEARTBEAT_SECONDS", 0.02)
    with take("me") as lease:

        def beat():
            holder = read_holder(tmp_path) or Holder.of(leases.find_one())
            return holder.token == lease.me.token and holder.heartbeat > lease.me.heartbeat

        until(beat)
        lease.check()
    assert [path.name for path in tmp_path.iterdir()] in (["lease.lock"], [])


def test_who_was_taken_for_dead_notices(take, tmp_path, leases, monkeypatch):
    monkeypatch.setattr("matscout.db.lease.HEARTBEAT_SECONDS", 0.02)
    successor = replace(Holder.myself("successor"), host="elsewhere")
    with take("me") as lease:
        if leases.find_one():
            leases.delete_one({})
            leases.insert_one({"_id": "writer"} | asdict(successor))
        else:
            (tmp_path / "new").write_text(json.dumps(asdict(successor)))
            (tmp_path / "new").rename(tmp_path / "lease.json")
        until(lambda: lease._taken_by is not None)
        with pytest.raises(StoreLeased, match="successor"):
            lease.check()
    assert (read_holder(tmp_path) or Holder.of(leases.find_one())) == successor


def test_a_heartbeat_that_fails_is_kept_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("matscout.db.lease.HEARTBEAT_SECONDS", 0.02)
    with FolderLease(tmp_path, "me") as lease:
        (tmp_path / "lease.json").unlink()
        (tmp_path / "lease.json").mkdir()  # nothing can be renamed to it
        until(lambda: lease.failure)
        (tmp_path / "lease.json").rmdir()
        until(lambda: lease.failure is None)
        lease.check()


def test_a_broken_file_is_no_holder(tmp_path):
    for text in ("", "{", "[]", '{"owner": 1}'):
        (tmp_path / "lease.json").write_text(text)
        assert read_holder(tmp_path) is None
        FolderLease(tmp_path, "me").release()


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot lock the store .*: name a folder of your own"):
        FolderLease(tmp_path / "file" / "store", "me")


def test_a_full_disk_is_told_and_leaves_no_lease_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"^the disk of .* is full"):
            FolderLease(tmp_path, "me")
    assert [path.name for path in tmp_path.iterdir()] == ["lease.lock"]
    FolderLease(tmp_path, "me").release()
