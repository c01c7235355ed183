"""The LaunchPad in words of calculations."""

from __future__ import annotations

from datetime import datetime

import pytest
from fireworks import Firework, FWAction, FWorker, Workflow
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.workflows.launch.firetask import CalculationTask
from matscout.workflows.launch.ledger import LIVE, Ledger


def request_of(a):
    structure = Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    geometry = Geometry.from_structure(structure)
    return CalculationRequest.of(geometry, protocol="chgnet-static", protocol_id="p", subject=f"candidate:{a}")


@pytest.fixture
def ledger(tmp_path):
    with connect(tmp_path / "store") as store:
        ledger = Ledger(store)
        ledger.prepare()
        yield ledger


def reserved(ledger):
    """Folder and allocation of the only launch that is under way, as FireWorks reads them."""
    [launch] = ledger.launchpad.launches.find({"state": {"$in": list(LIVE)}})
    return launch["launch_dir"], launch["state_history"][0]["reservation_id"]


def test_a_calculation_is_added_once_and_submitted_in_order_of_priority(ledger):
    requests = [request_of(a) for a in (4.0, 4.1, 4.2)]
    assert ledger.add(requests[:2], "node") == 2
    assert ledger.add(requests, "node") == 1
    ledger.launchpad.set_priority(3, 5)
    assert ledger.ready("node", 10) == [requests[2].id, requests[0].id, requests[1].id]
    assert ledger.ready("node", 1) == [requests[2].id]
    assert ledger.ready("another", 10) == []


def test_it_is_ready_reserved_running_and_ended(ledger, tmp_path):
    request = request_of(4.0)
    ledger.add([request], "node")
    ledger.reserve({request.id: tmp_path / "1"}, "node", "alloc-7")
    assert ledger.ids_in(["RESERVED"]) == [request.id]
    assert reserved(ledger) == (str(tmp_path / "1"), "alloc-7")
    assert ledger.ready("node", 10) == []
    ledger.started({request.id: "n001"})
    ledger.started({request.id: "n001"})
    assert ledger.ids_in(["RUNNING"]) == [request.id]
    ledger.ended({request.id: (True, {"energy": -3.0})})
    ledger.ended({request.id: (True, {"energy": -3.0})})
    assert ledger.ids_in(LIVE) == []
    assert ledger.counts() == {"COMPLETED": 1}


def test_one_that_is_not_ready_or_not_there_is_named_and_nothing_is_reserved(ledger, tmp_path):
    requests = [request_of(4.0), request_of(4.1)]
    ledger.add(requests, "node")
    ledger.reserve({requests[0].id: tmp_path / "1"}, "node", "alloc-7")
    folders = {request.id: tmp_path / "2" for request in requests}
    with pytest.raises(KeyError, match=f"{requests[0].id} is not ready but RESERVED"):
        ledger.reserve(folders, "node", "alloc-8")
    with pytest.raises(KeyError, match="no calculation unheard-of"):
        ledger.reserve({requests[1].id: tmp_path, "unheard-of": tmp_path}, "node", "alloc-8")
    assert ledger.counts() == {"RESERVED": 1, "READY": 1}


@pytest.mark.parametrize("started", [False, True])
def test_an_attempt_that_was_lost_is_made_again(ledger, tmp_path, started):
    request = request_of(4.0)
    ledger.add([request], "node")
    ledger.reserve({request.id: tmp_path / "1"}, "node", "alloc-1")
    if started:
        ledger.started({request.id: "n001"})
    ledger.release([request.id])
    ledger.release([request.id])
    assert ledger.ready("node", 10) == [request.id]
    ledger.reserve({request.id: tmp_path / "2"}, "node", "alloc-2")
    assert reserved(ledger) == (str(tmp_path / "2"), "alloc-2")


def test_a_failure_may_be_tried_again(ledger, tmp_path):
    request = request_of(4.0)
    ledger.add([request], "node")
    ledger.reserve({request.id: tmp_path / "1"}, "node", "alloc-1")
    ledger.ended({request.id: (False, {"cause": "memory"})})
    assert ledger.counts() == {"FIZZLED": 1}
    ledger.release([request.id])
    assert ledger.ready("node", 10) == [request.id]


def test_what_is_held_back_is_not_submitted(ledger):
    requests = [request_of(a) for a in (4.0, 4.1)]
    ledger.add(requests, "node")
    assert ledger.hold([requests[0].id], held=True) == 1
    assert ledger.ready("node", 10) == [requests[1].id]
    assert ledger.hold([request.id for request in requests], held=False) == 1
    assert len(ledger.ready("node", 10)) == 2


def test_what_somebody_defused_by_lpad_stays_defused_when_its_job_ends(ledger, tmp_path):
    request = request_of(4.0)
    ledger.add([request], "node")
    ledger.reserve({request.id: tmp_path / "1"}, "node", "alloc-1")
    ledger.launchpad.fireworks.update_one({"fw_id": 1}, {"$set": {"state": "DEFUSED"}})
    ledger.ended({request.id: (True, {})})
    ledger.release([request.id])
    assert ledger.counts() == {"DEFUSED": 1}


def test_all_is_there_when_the_store_is_opened_again(tmp_path):
    request = request_of(4.0)
    with connect(tmp_path / "store") as store:
        ledger = Ledger(store)
        ledger.prepare()
        ledger.add([request], "node")
        ledger.reserve({request.id: tmp_path / "1"}, "node", "alloc-1")
    with connect(tmp_path / "store") as store:
        again = Ledger(store)
        again.prepare()
        assert again.ids_in(LIVE) == [request.id]


def test_a_kill_while_indexes_are_made_leaves_them_to_the_next_process(tmp_path, monkeypatch):
    with connect(tmp_path / "store") as store:
        ledger = Ledger(store)
        with monkeypatch.context() as killed:
            killed.setattr(ledger.launchpad, "tuneup", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                ledger.prepare()
        ledger.prepare()
        names = set(store.collection("fireworks").index_information())
        assert names >= {"spec.calculation_1", "state_1", "fw_id_1"}


class FireWorksOwn:
    """The same by FireWorks' own methods, which take one Firework at a time."""

    def __init__(self, launchpad):
        self.launchpad = launchpad

    def add(self, requests, worker):
        for request in requests:
            spec = {
                "calculation": request.id,
                "protocol": request.protocol,
                "subject": request.subject,
                "request": request.model_dump(mode="json"),
                "_category": worker,
                "_priority": 0,
            }
            name = f"{request.geometry.reduced_formula} {request.protocol}"
            self.launchpad.add_wf(Workflow([Firework([CalculationTask()], spec=spec, name=name)], name=name))

    def reserve(self, folders, worker, allocation_id):
        for one, folder in folders.items():
            fworker = FWorker(worker, category=worker)
            _, launch_id = self.launchpad.reserve_fw(fworker, str(folder), fw_id=self._firework(one)["fw_id"])
            self.launchpad.set_reservation_id(launch_id, allocation_id)

    def started(self, hosts):
        for one, host in hosts.items():
            launch = self.launchpad.launches.find_one({"launch_id": self._firework(one)["launches"][-1]})
            fworker = FWorker.from_dict(launch["fworker"])
            self.launchpad.checkout_fw(fworker, launch["launch_dir"], fw_id=launch["fw_id"], host=host)

    def ended(self, outcomes):
        for one, (completed, summary) in outcomes.items():
            launch_id = self._firework(one)["launches"][-1]
            state = "COMPLETED" if completed else "FIZZLED"
            self.launchpad.complete_launch(launch_id, FWAction(stored_data=summary), state=state)

    def release(self, ids):
        for one in ids:
            firework = self._firework(one)
            if firework["state"] in ("RESERVED", "RUNNING"):
                self.launchpad.mark_fizzled(firework["launches"][-1])
            self.launchpad.rerun_fw(firework["fw_id"])

    def hold(self, ids, *, held):
        for one in ids:
            (self.launchpad.pause_fw if held else self.launchpad.resume_fw)(self._firework(one)["fw_id"])

    def _firework(self, calculation_id):
        return self.launchpad.fireworks.find_one({"spec.calculation": calculation_id})


def everything(store):
    """All of a LaunchPad's documents without times, which FireWorks writes now as text, now as a time."""
    names = ("fireworks", "launches", "workflows", "fw_id_assigner")
    documents = {name: list(store.collection(name).find({}, {"_id": 0})) for name in names}
    documents["launches"].sort(key=lambda launch: launch["launch_id"])
    return {name: [without_times(one) for one in found] for name, found in documents.items()}


def without_times(value, key=""):
    if isinstance(value, dict):
        return {name: without_times(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [without_times(one) for one in value]
    if isinstance(value, datetime) or (key.endswith(("_on", "_start", "_end")) and isinstance(value, str)):
        return "a time"
    return "seconds" if key.endswith("_secs") and value is not None else value


def test_every_document_is_what_fireworks_itself_writes(tmp_path):
    requests = [request_of(4.0 + 0.1 * number) for number in range(6)]
    a, b, c, d, e, f = (request.id for request in requests)
    steps = [
        lambda pad: pad.add(requests, "node"),
        lambda pad: pad.reserve({one: tmp_path / one for one in (a, b, c, d, e)}, "node", "alloc-1"),
        lambda pad: pad.started({a: "n001", b: "n002", d: "n001"}),
        lambda pad: pad.ended({a: (True, {"energy": -3.0}), c: (True, {}), d: (False, {"cause": "memory"})}),
        lambda pad: pad.release([b, d, e]),
        lambda pad: pad.hold([b, f], held=True),
        lambda pad: pad.hold([f], held=False),
        lambda pad: pad.reserve({d: tmp_path / "again"}, "node", "alloc-2"),
        lambda pad: pad.ended({d: (True, {})}),
    ]
    with connect(tmp_path / "ours") as ours, connect(tmp_path / "theirs") as theirs:
        ledger = Ledger(ours)
        ledger.prepare()
        other = Ledger(theirs)
        other.prepare()
        for number, step in enumerate(steps):
            step(ledger)
            step(FireWorksOwn(other.launchpad))
            assert everything(ours) == everything(theirs), number
        assert ledger.counts() == {"COMPLETED": 3, "PAUSED": 1, "READY": 2}
