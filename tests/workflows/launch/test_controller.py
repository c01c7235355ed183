"""The controller with real workers and a real store; calculations are single CHGNet energies."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.errors import UserError
from matscout.workflows.calculations import get_protocol
from matscout.workflows.calculations.causes import Finding, retry_policy
from matscout.workflows.launch.allocations import AllocationRecord, Allocations
from matscout.workflows.launch.controller import Controller, time_limit
from matscout.workflows.launch.folders import LOG, failure, prepare
from matscout.workflows.launch.pool import Answer, WorkerPool
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


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """One worker for all tests: it takes seconds to load its model."""
    preload = ("matscout.workflows.calculations.chgnet",)
    log = tmp_path_factory.mktemp("pool") / "workers.log"
    with WorkerPool(1, log, preload=preload) as workers:
        yield workers


def attempts(store, request):
    return [a["outcome"] for a in store.collection("calculations").find_one({"_id": request.id})["attempts"]]


def test_results_are_in_the_store_before_anybody_is_told(store, controller, pool):
    told = []

    def check(result):
        told.append(store.collection("calculations").find_one({"_id": result.id})["state"])

    results = controller.run([request_of(3.4), request_of(3.5), request_of(1.0)], pool, on_result=check)
    assert sorted(told) == ["completed", "completed", "failed"]
    assert results[request_of(1.0).id].cause == "input"
    assert list(controller.folder.iterdir()) == []


def test_finished_work_is_not_repeated(store, controller, pool):
    controller.run([request_of(3.4)], pool)
    told = []
    results = controller.run([request_of(3.4), request_of(3.4)], pool, on_result=told.append)
    assert list(results) == [request_of(3.4).id]
    assert told == []
    assert attempts(store, request_of(3.4)) == ["completed"]


def test_nothing_is_started_once_it_is_stopping(controller, pool):
    assert controller.run([request_of(3.4)], pool, stopping=lambda: True) == {}


def kill_at_submission(monkeypatch, pool, times):
    """Kill the worker that is to get a calculation, so many times: it must not finish before."""
    submit, killed = pool.submit, []

    def kill_and_submit(folder, **options):
        (worker,) = pool._workers
        while not worker.ready:
            pool.wait(0.2)
        if len(killed) < times:
            worker.process.kill()
            worker.process.wait()
            killed.append(worker)
        submit(folder, **options)

    monkeypatch.setattr(pool, "submit", kill_and_submit)


def test_a_killed_worker_is_replaced_and_its_calculation_starts_again(monkeypatch, store, controller, pool):
    kill_at_submission(monkeypatch, pool, 1)
    results = controller.run([request_of(3.4), request_of(3.6)], pool)
    assert {r.outcome for r in results.values()} == {"completed"}
    assert attempts(store, request_of(3.4)) == ["interrupted", "completed"]
    assert attempts(store, request_of(3.6)) == ["completed"]


def test_a_calculation_that_kills_its_workers_is_a_failure(monkeypatch, store, controller, pool):
    deaths = retry_policy("chgnet").causes["memory"].retries + 1
    kill_at_submission(monkeypatch, pool, deaths)
    result = controller.run([request_of(3.4)], pool)[request_of(3.4).id]
    assert (result.outcome, result.cause) == ("gave_up", "memory")
    assert "signal 9" in result.message
    assert attempts(store, request_of(3.4)) == ["interrupted"] * deaths


def test_a_calculation_past_its_time_limit_gets_more_until_it_is_given_up(monkeypatch, store, controller, pool):
    submit, limits = pool.submit, []

    def note_and_submit(folder, *, time_limit):
        limits.append(time_limit)
        submit(folder, time_limit=0.0)

    monkeypatch.setattr(pool, "submit", note_and_submit)
    result = controller.run([request_of(3.4)], pool)[request_of(3.4).id]
    assert (result.outcome, result.cause) == ("gave_up", "walltime")
    assert limits == [3600.0, 7200.0, 14_400.0]
    assert attempts(store, request_of(3.4)) == ["failed"] * 3


def test_what_was_changed_stands_in_the_result_of_one_that_took_too_long(controller):
    request = request_of(3.4)
    begun(controller, request)
    finding = Finding(cause="relaxation", evidence="a line", message="not converged")
    controller.attempts.take_in(request.id, failure(request, finding))
    for _ in range(3):
        folder, _ = controller._begin(request.id)
        result = controller._settle(request, Answer(folder, "timeout", message="too long"))
    assert (result.outcome, result.cause) == ("gave_up", "walltime")
    assert result.adjustments == {"optimizer": "FIRE", "max_steps": 500}


@pytest.mark.parametrize(
    ("protocol", "limit"), [("chgnet-relax", 3600.0), ("gpaw-pbe", 3600.0), ("vasp-mp-gga", 12_000.0)]
)
def test_a_calculation_that_is_expected_to_take_long_may_take_long(protocol, limit):
    request = request_of(3.4).model_copy(update={"protocol": protocol})
    assert time_limit(request) == limit


def begun(controller, request):
    controller.attempts.want([request])
    return controller._begin(request.id)[0]


def test_a_result_left_by_a_killed_controller_is_taken_in(store, controller):
    request = request_of(3.4)
    work(begun(controller, request))
    assert controller.recover() == (1, 0)
    assert controller.results([request.id])[request.id].outcome == "completed"
    assert attempts(store, request) == ["completed"]


def test_an_attempt_left_by_a_killed_controller_starts_again(store, controller, pool):
    request = request_of(3.4)
    begun(controller, request)
    assert controller.recover() == (0, 1)
    controller.run([request], pool)
    assert attempts(store, request) == ["interrupted", "completed"]


def test_a_launch_folder_whose_result_is_stored_is_swept_away(controller, pool):
    request = request_of(3.4)
    controller.run([request], pool)
    prepare(controller.folder / request.id / "1", request)
    other = controller.folder / "somebody-elses"
    other.mkdir()
    controller.recover()
    assert list(controller.folder.iterdir()) == [other]


def test_what_a_failed_calculation_printed_is_kept(controller, pool):
    silent, telling = request_of(1.0), request_of(1.1)
    for request in (silent, telling):
        begun(controller, request)
    folder = controller.folder / telling.id / "1"
    (folder / LOG).write_text("too close")
    controller.recover()
    controller.run([silent, telling], pool)
    assert [path.name for path in controller.folder.iterdir() if path.is_dir()] == [telling.id]
    assert (folder / LOG).read_text() == "too close"


def test_a_calculation_in_the_job_of_a_queue_is_left_to_it(store, controller, pool):
    request = request_of(3.4)
    begun(controller, request)
    record = AllocationRecord(id="a", worker="cluster", name="a", folder="a", calculations=(request.id,))
    Allocations(store).add(record)
    assert controller.recover() == (0, 0)
    with pytest.raises(UserError, match="1 of these calculations are in a job of worker cluster"):
        controller.run([request], pool)
    assert attempts(store, request) == ["running"]


def test_ionic_steps_stand_apart_from_the_result(store, controller, pool):
    request = request_of(3.4)
    controller.run([request], pool)
    assert "steps" not in store.collection("calculations").find_one({"_id": request.id})["result"]
    assert len(store.collection("ionic_steps").find_one({"_id": request.id})["steps"]) == 1


def test_a_worker_that_cannot_write_stops_the_run_with_a_sentence(monkeypatch, controller, pool):
    monkeypatch.setattr(
        "matscout.workflows.launch.attempts.prepare", lambda folder, _: Path(folder).mkdir(parents=True)
    )
    with pytest.raises(UserError, match=r"a worker could not calculate candidate:3\.4: FileNotFoundError"):
        controller.run([request_of(3.4)], pool)


def test_workers_end_with_their_controller(tmp_path):
    with WorkerPool(1, tmp_path / "log") as pool:
        process = pool._workers[0].process
    assert process.returncode is not None
