"""Flows that are interrupted and go on. The jobs are real jobflow jobs, in a module that any process can import."""

import json
import os
import re
import subprocess
import sys
import warnings
from datetime import datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JOBS = '''
import os
from datetime import datetime
from pathlib import Path

import numpy as np
from jobflow import Flow, Response, job
from pymatgen.core import Lattice, Structure


def mark(word):
    """Write down that a job ran, and die where the test wants it."""
    trace = Path(os.environ["FLOW_TRACE"])
    with trace.open("a") as file:
        file.write(word + "\\n")
    if len(trace.read_text().split()) == int(os.environ.get("FLOW_DIES_AT", 0)):
        if "FLOW_KILL" in os.environ:
            os.kill(os.getpid(), 9)
        raise RuntimeError("broken here")


@job
def add(a, b):
    mark("add")
    Path("here.txt").write_text(str(a))
    return a + b


@job(data=["big"])
def crystal(a):
    mark("crystal")
    structure = Structure(Lattice.cubic(a), ["Na"], [[0, 0, 0]])
    when = datetime(2026, 1, 2, 3, 4, 5, 678000)
    return {"structure": structure, "big": list(range(10)), "when": when, "array": np.arange(3.0), "here": os.getcwd()}


@job
def volume(structure, big, when):
    mark("volume")
    assert isinstance(structure, Structure)
    assert isinstance(when, datetime)
    return structure.volume + sum(big)


@job
def several(n):
    mark("several")
    jobs = [add(i, i) for i in range(n)]
    return Response(replace=Flow(jobs, output=[each.output for each in jobs]))


@job
def counting_down(n):
    mark("counting_down")
    return n if n == 0 else Response(replace=counting_down(n - 1))


@job
def aside(n):
    mark("aside")
    return Response(output=n, detour=add(100, n), addition=add(200, n))


@job
def total(values):
    mark("total")
    return sum(values)


@job
def stopping():
    return Response(output=1, stop_children=True)


def make():
    """One of each: a plain, a dynamic, a detouring, a recursive job, and what needs their outputs."""
    cell = crystal(4.0)
    size = volume(cell.output["structure"], cell.output["big"], cell.output["when"])
    many, side, down = several(3), aside(7), counting_down(2)
    sums = total(many.output)
    last = add(sums.output, size.output)
    jobs = [cell, size, many, side, down, sums, last]
    return Flow(jobs, output={"last": last.output, "down": down.output}, name="all kinds")
'''

EXPECTED = {"output": {"last": 115.0, "down": 0}, "volume": 109.0, "several": [0, 2, 4], "total": 6, "aside": 7}
MARKS = ["add"] * 6 + ["aside", "counting_down", "counting_down", "counting_down", "crystal", "several", "total"]
MARKS = sorted([*MARKS, "volume"])


@pytest.fixture(scope="module")
def jobs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "flow_jobs_of_a_test.py").write_text(JOBS)
    return folder


@pytest.fixture
def jobs(jobs_folder, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(jobs_folder))
    monkeypatch.setenv("FLOW_TRACE", str(tmp_path / "trace"))
    import flow_jobs_of_a_test

    return flow_jobs_of_a_test


def run(*args, **kwargs):
    from matscout.workflows.launch.flows import run_flow

    return run_flow(*args, **kwargs)


def marks(trace):
    return sorted(trace.read_text().split())


def test_outputs_come_as_a_later_job_would_receive_them(jobs, tmp_path):
    outputs = run(jobs.make(), tmp_path / "flow")
    assert {key: outputs[key] for key in EXPECTED} == EXPECTED
    assert [outputs[f"add{number}"] for number in ("", " 2", " 3", " 4", " 5", " 6")] == [0, 2, 4, 107, 207, 115.0]
    crystal = outputs["crystal"]
    assert crystal["structure"].volume == pytest.approx(64)
    assert crystal["when"] == datetime(2026, 1, 2, 3, 4, 5, 678000)  # noqa: DTZ001
    assert np.array_equal(crystal["array"], [0, 1, 2])
    assert marks(tmp_path / "trace") == MARKS


def test_jobflows_own_runner_gives_the_same(jobs, tmp_path):
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    def store():
        opened = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        opened.connect()
        return opened

    flow = jobs.make()
    theirs, ours = store(), store()
    run(flow, tmp_path / "ours", store=ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jobs in no fixed order, and of what jobflow uses
        run_locally(flow, log=False, store=theirs, root_dir=tmp_path / "theirs", ensure_success=True)

    assert documents(ours, tmp_path) == documents(theirs, tmp_path)


def documents(store, folder):
    """What a store holds, without what differs from run to run."""
    found = [{key: d[key] for key in ("uuid", "index", "name", "output")} for d in store.query(load=True)]
    text = json.dumps(sorted(found, key=lambda d: (d["name"], str(d["output"]))), default=str, sort_keys=True)
    for uuid in {d["uuid"] for d in found}:
        text = text.replace(uuid, "")
    return re.sub(rf'"{re.escape(str(folder))}[^"]*"|"blob_uuid": "[^"]*"', "", text)


def test_a_finished_flow_runs_nothing_again(jobs, tmp_path):
    first = run(jobs.make(), tmp_path / "flow")
    (tmp_path / "trace").unlink()
    second = run(jobs.make(), tmp_path / "flow")
    assert str(second) == str(first)
    assert not (tmp_path / "trace").exists()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, len(MARKS)), max_size=3, unique=True))
def test_each_job_ends_once_whatever_breaks(jobs, tmp_path_factory, deaths):
    """A job broken once runs twice; all others once; no dynamic job asks twice; the outputs are the same."""
    folder = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOW_TRACE", str(folder / "trace"))
        for death in sorted(deaths):
            patch.setenv("FLOW_DIES_AT", str(death))
            with pytest.raises(RuntimeError, match="broken here") as raised:
                run(jobs.make(), folder / "flow")
            assert "in job " in raised.value.__notes__[0]
        patch.setenv("FLOW_DIES_AT", "0")
        outputs = run(jobs.make(), folder / "flow")
    assert {key: outputs[key] for key in EXPECTED} == EXPECTED
    assert len(marks(folder / "trace")) == len(MARKS) + len(deaths)
    assert len(list((folder / "flow").glob("*/output.json"))) == len(MARKS) + 1  # the store_inputs of `several`


def test_a_killed_flow_goes_on_in_another_process(jobs, jobs_folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; import flow_jobs_of_a_test as jobs;"
        "from matscout.workflows.launch.flows import run_flow;"
        "print(run_flow(jobs.make(), Path(sys.argv[1]))['output'])"
    )
    path = os.pathsep.join([str(jobs_folder), *(p for p in sys.path if p)])
    environment = os.environ | {"PYTHONPATH": path, "FLOW_TRACE": str(tmp_path / "trace")}
    command = [sys.executable, "-c", code, str(tmp_path / "flow")]
    killed = subprocess.run(command, env=environment | {"FLOW_DIES_AT": "6", "FLOW_KILL": "1"}, check=False)
    assert killed.returncode == -9
    ended = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == str(EXPECTED["output"])
    assert len(marks(tmp_path / "trace")) == len(MARKS) + 1


def test_what_an_interrupted_start_left_is_put_aside(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOW_DIES_AT", "1")
    with pytest.raises(RuntimeError, match="broken here"):
        run(jobs.add(1, 2), tmp_path / "flow")
    (folder,) = (tmp_path / "flow").glob("add-*")
    (folder / "WAVECAR").write_text("half")
    monkeypatch.setenv("FLOW_DIES_AT", "0")
    assert run(jobs.add(1, 2), tmp_path / "flow")["output"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["here.txt", "output.json"]
    assert [path.name for path in (tmp_path / "flow").glob("*.interrupted/*")] == ["WAVECAR"]


def test_the_next_attempt_takes_over_what_the_last_one_finished(jobs, tmp_path, monkeypatch):
    from matscout.workflows.launch.flows import carry_over
    from matscout.workflows.launch.folders import close_folder

    monkeypatch.setenv("FLOW_DIES_AT", "4")
    with pytest.raises(RuntimeError, match="broken here"):
        run(jobs.make(), tmp_path / "1" / "part")
    closed = close_folder(tmp_path / "1")
    assert carry_over(closed, tmp_path / "2") == 3
    monkeypatch.setenv("FLOW_DIES_AT", "0")
    outputs = run(jobs.make(), tmp_path / "2" / "part")
    assert outputs["output"] == EXPECTED["output"]
    assert len(marks(tmp_path / "trace")) == len(MARKS) + 1
    here = outputs["crystal"]["here"]
    assert here.startswith(f"{closed}/part/crystal-")
    assert os.path.isdir(here)  # noqa: PTH112


def test_a_flow_that_is_stopped_has_no_outputs(jobs, tmp_path):
    from jobflow import Flow

    from matscout.workflows.launch.flows import FlowStoppedError

    first = jobs.stopping()
    with pytest.raises(FlowStoppedError, match="stopping stopped the jobs after it: add"):
        run(Flow([first, jobs.add(first.output, 1)]), tmp_path / "flow")
    assert not (tmp_path / "trace").exists()


def test_a_folder_of_another_flow_is_refused(jobs, tmp_path):
    run(jobs.add(1, 2), tmp_path / "flow")
    with pytest.raises(ValueError, match=r"holds another flow: add instead of total"):
        run(jobs.total([1]), tmp_path / "flow")


def test_the_flow_of_a_vasp_protocol_survives_being_written(tmp_path):
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from monty.json import MontyEncoder
    from pymatgen.core import Lattice, Structure

    from matscout.workflows.launch.flows import _in_order, _the_flow

    flow = MPGGADoubleRelaxStaticMaker().make(Structure(Lattice.cubic(4), ["Na"], [[0, 0, 0]]))
    written = _the_flow(flow, tmp_path)
    names = [(job.name, job.uuid, parents) for job, parents in _in_order(written)]
    assert names == [(job.name, job.uuid, parents) for job, parents in _in_order(flow)]
    texts = (json.dumps(each, cls=MontyEncoder, sort_keys=True) for each in (flow, written))
    assert next(texts) == next(texts)
