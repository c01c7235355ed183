"""Features on a real Slurm and on dask processes that are killed meanwhile."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import numpy as np
import psutil
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.featurizers import clients, featurize
from matscout.featurizers.cache import FeatureCache
from matscout.featurizers.clients import connected, results_in_order
from matscout.settings import get_settings

pytestmark = pytest.mark.integration

N_CRYSTALS = 2_000
FEW = 320
FEATURES = "voronoi"


@pytest.fixture(scope="module")
def crystals(data):
    """The 1,265 crystals of the phonon set of Matbench, and as many more as are missing: stretched, atoms displaced."""
    with gzip.open(data / "matbench" / "phonons_structures.json.gz", "rt") as file:
        known = [Structure.from_dict(row[0]) for row in json.load(file)["data"]]
    rng = np.random.default_rng(7)
    return known + [rattled(crystal, rng) for crystal in known[: N_CRYSTALS - len(known)]]


def rattled(crystal, rng):
    lattice = Lattice(crystal.lattice.matrix * rng.uniform(0.97, 1.03))
    displaced = crystal.frac_coords @ lattice.matrix + rng.normal(scale=0.02, size=crystal.frac_coords.shape)
    return Structure(lattice, crystal.species, displaced, coords_are_cartesian=True)


@pytest.fixture(scope="module")
def serial(crystals):
    """What this process makes of all crystals."""
    return featurize(crystals, FEATURES, cache=False)


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """One job with two workers on the Slurm that tests/integration/run started."""
    monkeypatch.setenv("SLURM_CONF", os.environ["MATSCOUT_TEST_SLURM_CONF"])
    monkeypatch.setenv("MATSCOUT_SLURM_INTERFACE", "lo")
    monkeypatch.setenv("MATSCOUT_SLURM_CORES", "2")
    monkeypatch.setenv("MATSCOUT_SLURM_START_SECONDS", "120")
    monkeypatch.setenv("MATSCOUT_SLURM_SHARED_FOLDER", str(tmp_path / "shared"))
    get_settings.cache_clear()
    yield
    jobs = queue()
    subprocess.run(["scancel", *jobs], check=False)
    get_settings.cache_clear()
    assert jobs == []


def queue():
    """Numbers of jobs that wait or run."""
    command = ["squeue", "--noheader", "--states=PENDING,RUNNING", "--format=%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "that takes too long"
        time.sleep(0.1)


def workers_among(processes):
    """Processes of dask that do the work; what each of them started ends with it."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def local_workers():
    return workers_among(psutil.Process().children(recursive=True))


def slurm_workers():
    def is_ours(process):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            variables = process.environ()
            return "SLURM_JOB_ID" in variables and variables.get("SLURM_CONF") == os.environ["SLURM_CONF"]

    return workers_among(filter(is_ours, psutil.process_iter()))


class Killer:
    """Progress of `featurize` that kills a process when half of the rows are done."""

    def __init__(self, candidates):
        self.candidates = candidates
        self.victim = None
        self.done = 0

    def __call__(self, done, total):
        self.done = done
        if self.victim is None and 2 * done >= total:
            self.victim = self.candidates()[0]
            self.victim.kill()
            self.victim.wait()


@contextmanager
def scheduler(folder, *, workers=2):
    """A dask scheduler and its workers, as a user starts them; yields address, scheduler, and the workers' process."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    python = [sys.executable, "-m"]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "start_new_session": True}
    common = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]
    started = [subprocess.Popen([*python, "distributed.cli.dask_scheduler", "--port", "0", *common], **options)]
    try:
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), 60)
        command = [*python, "distributed.cli.dask_worker", "--nworkers", str(workers), "--nthreads", "1", *common]
        started.append(subprocess.Popen(command, **options))
        address = json.loads(file.read_text())["address"]
        with connected(address) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, *started
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def same(matrix, serial, n_rows):
    expected = {row: error for row, error in serial.errors.items() if row < n_rows}
    return matrix.values.tobytes() == serial.values[:n_rows].tobytes() and matrix.errors == expected


def test_slurm_jobs_give_the_same_numbers_though_a_worker_is_killed_half_way(slurm, crystals, serial):
    kill = Killer(slurm_workers)
    matrix = featurize(crystals, FEATURES, "slurm", cache=False, progress=kill)
    assert kill.victim is not None
    assert len(matrix) == N_CRYSTALS
    assert same(matrix, serial, N_CRYSTALS)
    wait_until(lambda: not queue(), 30)


def test_local_workers_give_the_same_numbers_though_one_is_killed_half_way(crystals, serial):
    kill = Killer(local_workers)
    matrix = featurize(crystals[:FEW], FEATURES, "local:2", cache=False, progress=kill)
    assert kill.victim is not None
    assert same(matrix, serial, FEW)
    assert local_workers() == []


def test_when_the_scheduler_is_killed_that_is_said_and_a_second_call_goes_on_from_the_cache(
    crystals, serial, tmp_path, capfd
):
    cache = FeatureCache(tmp_path / "cache")
    with scheduler(tmp_path) as (address, process, _):
        kill = Killer(lambda: [process])
        with pytest.raises(UserError, match=f"the dask scheduler at {address} is gone; .*the same call again goes on"):
            featurize(crystals[:FEW], FEATURES, address, cache=cache, progress=kill)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(line.startswith("dashboard http://127.0.0.1:") for line in printed.err.splitlines())  # and no log
    (kept,) = cache.contents()
    assert FEW / 2 <= kill.done <= kept.rows < FEW
    with scheduler(tmp_path) as (address, *_):
        matrix = featurize(crystals[:FEW], FEATURES, address, cache=cache)
    assert matrix.n_cached == kept.rows
    assert same(matrix, serial, FEW)
    assert cache.contents()[0].rows == FEW


def last_words(client, then):
    """What is said of work that takes long when something happens to it after ten results."""

    def work():
        with connected(client) as opened:
            for number, _ in results_in_order(opened, time.sleep, ((number, (0.1,)) for number in range(10_000))):
                if number == 10:
                    then()

    with pytest.raises(UserError) as caught:
        work()
    return str(caught.value)


def test_a_scheduler_that_is_frozen_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "SILENT_SECONDS", 4.0)
    with scheduler(tmp_path) as (address, process, _):
        said = last_words(address, lambda: process.send_signal(signal.SIGSTOP))
    assert said.startswith(f"the dask scheduler at {address} has not answered for 4 s")


def test_when_all_workers_are_gone_for_good_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "WORKERLESS_SECONDS", 2.0)
    with scheduler(tmp_path) as (address, _, workers):
        said = last_words(address, lambda: os.killpg(workers.pid, signal.SIGKILL))
    assert said.startswith(f"the dask scheduler at {address} has had no workers for 2 s")


def test_slurm_jobs_that_are_cancelled_are_reported(slurm):
    said = last_words("slurm", lambda: subprocess.run(["scancel", *queue()], check=True))
    assert re.match(r"no worker is left: Slurm job \d+ ended \(walltime: 01:00:00\)", said)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("PARTITION", "none-such", r"no worker came: Slurm refused the job: .*invalid partition specified: none-such"),
        ("CORES", "64", r"no worker came in 3 s: Slurm job \d+: PENDING, PartitionConfig\n"),
        ("PROLOGUE", "exit 3", r"no worker came: Slurm job \d+ ended"),
    ],
    ids=["refused", "waits", "ends"],
)
def test_slurms_own_words_come_with_a_job_that_does_not_start(slurm, monkeypatch, setting, value, message):
    monkeypatch.setenv(f"MATSCOUT_SLURM_{setting}", value)
    monkeypatch.setenv("MATSCOUT_SLURM_START_SECONDS", "3" if setting == "CORES" else "60")
    get_settings.cache_clear()
    assert re.match(message, last_words("slurm", None))
    wait_until(lambda: not queue(), 30)


PROGRAM = """
import time
from matscout.featurizers.clients import connected, results_in_order
with connected("slurm") as client:
    for number, _ in results_in_order(client, time.sleep, ((n, (0.1,)) for n in range(10_000))):
        print(number, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_slurm_jobs_do_not_outlive_what_started_them(slurm, number):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "0\n", process.stderr.read()
        assert len(queue()) == 1
        process.send_signal(number)
        process.communicate()
    assert process.returncode == -number
    wait_until(lambda: not queue(), 5 if number == signal.SIGINT else 60)
