"""Attempts, and what follows from how they end."""

from __future__ import annotations

import pytest

from matscout.db.documents import CalculationRequest, CalculationResult, Geometry
from matscout.db.store import connect
from matscout.workflows.calculations.causes import Finding, Retry, RetryPolicy
from matscout.workflows.launch.attempts import Attempts, start_attempt
from matscout.workflows.launch.flows import FLOW, OUTPUT
from matscout.workflows.launch.folders import close_folder, failure, read_request

GEOMETRY = Geometry(
    lattice=((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)),
    species=("Cs", "Cl"),
    coords=((0, 0, 0), (0.5, 0.5, 0.5)),
)
REQUEST = CalculationRequest.of(GEOMETRY, protocol="chgnet-static", protocol_id="p", subject="candidate:1")
POLICY = RetryPolicy(
    causes={"memory": Retry(retries=2, memory_factor=2.0), "scf": Retry(retries=1, overrides=({"mixing": 0.1},))},
    interruptions=2,
)
KILLED = Finding(cause="memory", evidence="signal 9", message="killed")


@pytest.fixture
def attempts(tmp_path):
    with connect(tmp_path / "store") as store:
        attempts = Attempts(store, policy=lambda _: POLICY)
        attempts.want([REQUEST])
        yield attempts


def state_of(attempts):
    return attempts.calculation(REQUEST.id).state


def failed(cause):
    return failure(REQUEST, Finding(cause=cause, evidence="a line", message="it failed"))


def test_what_is_wanted_twice_is_written_down_once(attempts):
    assert attempts.want([REQUEST, REQUEST]) == []
    assert state_of(attempts) == "waiting"


def test_a_result_completes_its_calculation(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path)
    assert state_of(attempts) == "running"
    result = failed("scf").model_copy(update={"outcome": "completed", "cause": None, "energy": -3.0})
    written = attempts.take_in(REQUEST.id, result)
    assert written == attempts.calculation(REQUEST.id)
    assert written.state == "completed"
    assert attempts.results([REQUEST.id])[REQUEST.id].energy == -3.0
    assert [one.outcome for one in attempts.calculation(REQUEST.id).attempts] == ["completed"]


def test_each_attempt_has_a_folder_and_the_changes_of_its_policy(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path)
    assert attempts.take_in(REQUEST.id, failed("scf")).state == "waiting"
    attempts.begin(REQUEST.id, tmp_path)
    assert read_request(start_attempt(attempts, REQUEST.id)).adjustments == {"mixing": 0.1}
    folders = [one.folder for one in attempts.calculation(REQUEST.id).attempts]
    assert folders == [str(tmp_path / "1"), str(tmp_path / "2")]
    assert attempts.calculation(REQUEST.id).request == REQUEST  # what was asked stays as it was


@pytest.mark.parametrize(("causes", "ends"), [(["input"], "failed"), (["scf", "scf"], "gave_up")])
def test_it_ends_where_the_policy_knows_nothing_more(attempts, tmp_path, causes, ends):
    for cause in causes:
        attempts.begin(REQUEST.id, tmp_path)
        written = attempts.take_in(REQUEST.id, failed(cause))
    assert written == attempts.calculation(REQUEST.id)
    assert state_of(attempts) == ends
    result = attempts.results([REQUEST.id])[REQUEST.id]
    assert (result.outcome, result.cause, result.evidence) == (ends, causes[-1], "a line")


def test_an_interruption_by_memory_asks_for_more_of_it(attempts, tmp_path):
    for expected in (2.0, 4.0):
        attempts.begin(REQUEST.id, tmp_path)
        assert attempts.interrupted(REQUEST.id, KILLED).state == "waiting"
        assert attempts.adjustment(attempts.calculation(REQUEST.id)).memory_factor == expected
    attempts.begin(REQUEST.id, tmp_path)
    written = attempts.interrupted(REQUEST.id, KILLED)
    assert written == attempts.calculation(REQUEST.id)
    assert written.result.outcome == "gave_up"


def test_what_was_changed_stands_in_the_result_of_one_that_is_given_up(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path)
    attempts.take_in(REQUEST.id, failed("scf"))
    for _ in range(3):
        attempts.begin(REQUEST.id, tmp_path)
        written = attempts.interrupted(REQUEST.id, KILLED)
    assert (written.state, written.result.adjustments) == ("gave_up", {"mixing": 0.1})


def test_stops_from_outside_are_not_held_against_it_for_a_while(attempts, tmp_path):
    for _ in range(2):
        attempts.begin(REQUEST.id, tmp_path)
        assert attempts.interrupted(REQUEST.id, message="the job was cancelled").state == "waiting"
    attempts.begin(REQUEST.id, tmp_path)
    result = attempts.interrupted(REQUEST.id, message="the job was cancelled").result
    assert result.message == "stopped 3 times: the job was cancelled"


def test_an_attempt_that_never_ran_does_not_count(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path)
    attempts.never_ran(REQUEST.id)
    assert (state_of(attempts), attempts.calculation(REQUEST.id).attempts) == ("waiting", ())


def test_a_new_start_forgives_what_was(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path)
    attempts.take_in(REQUEST.id, failed("input"))
    attempts.again(REQUEST.id)
    assert attempts.results([REQUEST.id]) == {}
    attempts.begin(REQUEST.id, tmp_path)
    assert attempts.request(attempts.calculation(REQUEST.id)).adjustments == {}
    assert attempts.take_in(REQUEST.id, failed("scf")).state == "waiting"
    assert [one.number for one in attempts.calculation(REQUEST.id).attempts] == [1, 2]


def interrupted_after_one_job(attempts, tmp_path, *, finding):
    """Begin an attempt, let it finish the first job of its flow, stop it, and start the next attempt."""
    attempts.begin(REQUEST.id, tmp_path / "runs")
    folder = start_attempt(attempts, REQUEST.id)
    (folder / "relax-1").mkdir()
    for path in (folder / FLOW, folder / "relax-1" / OUTPUT):
        path.write_text(f'{{"dir": "{folder}/relax-1"}}')
    closed = close_folder(folder)
    attempts.interrupted(REQUEST.id, finding)
    attempts.begin(REQUEST.id, tmp_path / "runs")
    return closed, start_attempt(attempts, REQUEST.id)


@pytest.mark.parametrize("finding", [None, KILLED])
def test_what_an_interrupted_attempt_had_finished_is_not_done_again(attempts, tmp_path, finding):
    closed, folder = interrupted_after_one_job(attempts, tmp_path, finding=finding)
    assert folder == tmp_path / "runs" / "2"
    assert (folder / "relax-1" / OUTPUT).read_text() == f'{{"dir": "{closed}/relax-1"}}'


def test_other_settings_begin_from_the_start(attempts, tmp_path):
    finding = Finding(cause="scf", evidence="a line", message="not converged")
    _, folder = interrupted_after_one_job(attempts, tmp_path, finding=finding)
    assert [path.name for path in folder.iterdir()] == ["job.json"]


def test_what_an_attempt_left_damaged_is_done_again(attempts, tmp_path):
    attempts.begin(REQUEST.id, tmp_path / "runs")
    (start_attempt(attempts, REQUEST.id) / FLOW).write_bytes(b"\xff\xfe")
    attempts.interrupted(REQUEST.id)
    attempts.begin(REQUEST.id, tmp_path / "runs")
    assert [path.name for path in start_attempt(attempts, REQUEST.id).iterdir()] == ["job.json"]


def test_ionic_steps_are_kept_apart(attempts, tmp_path):
    step = {"energy": -1.0, "max_force": 0.1, "lattice": GEOMETRY.lattice, "coords": GEOMETRY.coords, "forces": ()}
    attempts.begin(REQUEST.id, tmp_path)
    result = CalculationResult.model_validate(
        {**failed("scf").model_dump(), "outcome": "completed", "cause": None, "steps": [step]}
    )
    attempts.take_in(REQUEST.id, result)
    assert attempts.results([REQUEST.id])[REQUEST.id].steps == ()
    kept = attempts.store.collection("ionic_steps").find_one({"_id": REQUEST.id})
    assert kept["steps"][0]["energy"] == -1.0


def test_ionic_steps_of_failed_attempts_are_kept_apart_from_those_of_the_result(attempts, tmp_path):
    step = {"max_force": 0.1, "lattice": GEOMETRY.lattice, "coords": GEOMETRY.coords, "forces": ()}
    for energy, cause in ((-1.0, "scf"), (-2.0, "input"), (-3.0, None)):
        attempts.begin(REQUEST.id, tmp_path)
        ended = {"outcome": "failed" if cause else "completed", "cause": cause, "steps": [{**step, "energy": energy}]}
        attempts.take_in(REQUEST.id, CalculationResult.model_validate({**failed("scf").model_dump(), **ended}))
        if cause == "input":
            attempts.again(REQUEST.id)
    kept = attempts.store.collection("ionic_steps").find()
    energies = {document["_id"]: [one["energy"] for one in document["steps"]] for document in kept}
    assert energies == {f"{REQUEST.id}#1": [-1.0], f"{REQUEST.id}#2": [-2.0], REQUEST.id: [-3.0]}
