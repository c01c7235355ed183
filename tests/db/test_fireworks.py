"""FireWorks' LaunchPad keeps its state in the embedded store, through the same client."""

from __future__ import annotations

import threading

import pytest

from matscout.db.store import connect

launchpad_module = pytest.importorskip("fireworks.core.launchpad")

from fireworks import Firework, FWAction, FWorker, ScriptTask, Workflow  # noqa: E402  after importorskip
from fireworks.utilities import fw_serializers  # noqa: E402


@pytest.fixture
def open_launchpad(tmp_path, monkeypatch):
    """Return a function that opens the store in the folder and returns it with its LaunchPad."""
    opened = []

    def open_one():
        store = connect(tmp_path / "store")
        opened.append(store)
        monkeypatch.setattr(launchpad_module, "MongoClient", lambda *_, **__: store.client)
        # Looking for the task's class, FireWorks would import all of its own tests.
        where = "fireworks.user_objects.firetasks.script_task"
        monkeypatch.setitem(fw_serializers.SAVED_FW_MODULES, "ScriptTask", where)
        monkeypatch.setattr(launchpad_module, "GRIDFS_FALLBACK_COLLECTION", None)
        return store, launchpad_module.LaunchPad(strm_lvl="CRITICAL")

    yield open_one
    for store in opened:
        store.close()


def test_twenty_fireworks_are_reserved_in_order_of_priority_and_completed(open_launchpad, tmp_path):
    store, launchpad = open_launchpad()
    launchpad.reset("", require_password=False)
    for number in range(10):
        first = Firework([ScriptTask.from_str("true")], spec={"_priority": number % 5}, name=f"first {number}")
        second = Firework([ScriptTask.from_str("true")], parents=[first], name=f"second {number}")
        launchpad.add_wf(Workflow([first, second]))
    priorities = []
    for _ in range(10):
        firework, launch_id = launchpad.reserve_fw(FWorker(), str(tmp_path))
        priorities.append(firework.spec["_priority"])
        launchpad.complete_launch(launch_id, FWAction(stored_data={"done": firework.name}))
    assert priorities == sorted(priorities, reverse=True)

    store.close()
    store, launchpad = open_launchpad()
    assert launchpad.fireworks.count_documents({"state": "READY"}) == 10
    while (reserved := launchpad.reserve_fw(FWorker(), str(tmp_path))) and reserved[0]:
        launchpad.complete_launch(reserved[1], FWAction())
    assert launchpad.fireworks.distinct("state") == ["COMPLETED"]
    assert launchpad.workflows.count_documents({"state": "COMPLETED"}) == 10
    assert len(launchpad.get_fw_ids()) == 20


def test_no_firework_is_reserved_twice_by_threads(open_launchpad, tmp_path):
    _, launchpad = open_launchpad()
    launchpad.reset("", require_password=False)
    for _ in range(12):
        launchpad.add_wf(Firework([ScriptTask.from_str("true")]))
    reserved = []

    def work():
        while (pair := launchpad.reserve_fw(FWorker(), str(tmp_path))) and pair[0]:
            reserved.append(pair[0].fw_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reserved) == list(range(1, 13))
