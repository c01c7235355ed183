"""The controller with real workers and a real store; calculations are single CHGNet energies."""

import os
import signal
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.workflows.calculations import get_protocol
from matscout.workflows.launch.controller import MAX_DEATHS, Controller
from matscout.workflows.launch.folders import prepare
from matscout.workflows.launch.pool import WorkerPool
from matscout.workflows.launch.worker import work


def request_of(a, element="Na"):
    protocol = get_protocol("chgnet-static")
    structure = Structure(Lattice.cubic(a), [element, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return CalculationRequest.of(
        Geometry.from_structure(structure), protocol=protocol.name, protocol_id=protocol.id, subject=f"candidate:{a}"
    )


@pytest.fixture
def store(tmp_path):
    with connect(tmp_path / "store") as opened, opened.lease("test"):
        yield opened


@pytest.fixture
def controller(store, tmp_path):
    return Controller(store, tmp_path / "launches")


@pytest.fixture
def pool(tmp_path):
    with WorkerPool(1, tmp_path / "workers.log", time_limit=120) as workers:
        yield workers


def attempts(store, request):
    return [a["outcome"] for a in store.collection("calculations").find_one({"_id": request.id})["attempts"]]


def test_results_are_in_the_store_before_anybody_is_told(store, controller, pool):
    told = []

    def check(result):
        told.append(store.collection("calculations").find_one({"_id": result.id})["state"])

    results = controller.run([request_of(3.4), request_of(3.5), request_of(1.0)], pool, on_result=check)
    assert sorted(told) == ["failed", "finished", "finished"]
    assert results[request_of(1.0).id].cause == "input-refused"
    assert list(controller.folder.iterdir()) == []


def test_finished_work_is_not_repeated(store, controller, pool):
    controller.run([request_of(3.4)], pool)
    told = []
    results = controller.run([request_of(3.4), request_of(3.4)], pool, on_result=told.append)
    assert list(results) == [request_of(3.4).id]
    assert told == []
    assert attempts(store, request_of(3.4)) == ["finished"]


def test_nothing_is_started_once_it_is_stopping(controller, pool):
    assert controller.run([request_of(3.4)], pool, stopping=lambda: True) == {}


def kill_while_waiting(monkeypatch, pool, times):
    """Kill the worker at work before the pool waits for it, so many times."""
    wait, killed = pool.wait, []

    def kill_and_wait(seconds):
        for worker in pool._workers:
            if worker.ready and worker.folder and len(killed) < times:
                os.kill(worker.process.pid, signal.SIGKILL)
                killed.append(worker)
        return wait(seconds)

    monkeypatch.setattr(pool, "wait", kill_and_wait)


def test_a_killed_worker_is_replaced_and_its_calculation_starts_again(monkeypatch, store, controller, pool):
    kill_while_waiting(monkeypatch, pool, 1)
    results = controller.run([request_of(3.4), request_of(3.6)], pool)
    assert {r.outcome for r in results.values()} == {"finished"}
    assert attempts(store, request_of(3.4)) == ["interrupted", "finished"]
    assert attempts(store, request_of(3.6)) == ["finished"]


def test_a_calculation_that_kills_its_workers_is_a_failure(monkeypatch, store, controller, pool):
    kill_while_waiting(monkeypatch, pool, MAX_DEATHS)
    result = controller.run([request_of(3.4)], pool)[request_of(3.4).id]
    assert (result.outcome, result.cause) == ("failed", "worker-died")
    assert "signal 9" in result.message
    assert attempts(store, request_of(3.4)) == ["interrupted"] * (MAX_DEATHS - 1) + ["failed"]


def test_a_calculation_past_its_time_limit_is_a_failure(controller, pool):
    pool.time_limit = 0.0
    result = controller.run([request_of(3.4)], pool)[request_of(3.4).id]
    assert (result.outcome, result.cause) == ("failed", "timeout")


def test_a_result_left_by_a_killed_controller_is_taken_in(store, controller):
    request = request_of(3.4)
    work(controller._begin(request))
    assert controller.recover() == (1, 0)
    assert controller.results([request.id])[request.id].outcome == "finished"
    assert attempts(store, request) == ["finished"]


def test_an_attempt_left_by_a_killed_controller_starts_again(store, controller, pool):
    request = request_of(3.4)
    controller._begin(request)
    assert controller.recover() == (0, 1)
    controller.run([request], pool)
    assert attempts(store, request) == ["interrupted", "finished"]


def test_a_launch_folder_whose_result_is_stored_is_swept_away(controller, pool):
    request = request_of(3.4)
    controller.run([request], pool)
    prepare(controller.folder / request.id / "1", request)
    other = controller.folder / "somebody-elses"
    other.mkdir()
    controller.recover()
    assert list(controller.folder.iterdir()) == [other]


def test_ionic_steps_stand_apart_from_the_result(store, controller, pool):
    request = request_of(3.4)
    controller.run([request], pool)
    assert "steps" not in store.collection("calculations").find_one({"_id": request.id})["result"]
    assert len(store.collection("ionic_steps").find_one({"_id": request.id})["steps"]) == 1


def test_a_worker_that_cannot_write_stops_the_run_with_a_sentence(monkeypatch, controller, pool):
    from matscout.errors import UserError

    monkeypatch.setattr(
        "matscout.workflows.launch.controller.prepare", lambda folder, _: Path(folder).mkdir(parents=True)
    )
    with pytest.raises(UserError, match=r"a worker could not calculate candidate:3\.4: FileNotFoundError"):
        controller.run([request_of(3.4)], pool)


def test_workers_end_with_their_controller(tmp_path):
    with WorkerPool(1, tmp_path / "log", time_limit=60) as pool:
        process = pool._workers[0].process
    assert process.returncode is not None
