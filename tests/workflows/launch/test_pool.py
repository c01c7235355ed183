"""Answers of workers."""

import fcntl
import json
import os
import signal
import struct
import sys
import termios
import time

import psutil
import pytest

from matscout.db.documents import CalculationRequest, Geometry
from matscout.errors import UserError
from matscout.workflows.launch.folders import RESULT, prepare
from matscout.workflows.launch.pool import WorkerPool

# Python runs this at the start of every process that has its folder on the path.
CALCULATIONS = """
import os, signal, subprocess, sys

if "matscout.workflows.launch.worker" in sys.orig_argv:
    from matscout.workflows.calculations import run

    def calculate(request, folder):
        # one as most codes are started, and one in a session of its own, as custodian starts VASP
        programs = [subprocess.Popen(["sleep", "1000"], start_new_session=alone) for alone in (False, True)]
        (folder / "part").write_text(" ".join(str(program.pid) for program in programs))
        (folder / "part").rename(folder / "programs")
        if request.subject == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        programs[0].wait()

    run.calculate = calculate
"""
GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Na",), coords=((0, 0, 0),))
READY = json.dumps({"ready": True}) + "\n"


def waiting_bytes(stream):
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))[0]


def test_two_answers_that_come_at_once_are_both_heard(tmp_path):
    """A worker may be ready and have refused its first calculation before anybody listens."""
    with WorkerPool(1, tmp_path / "workers.log") as pool:
        pool.submit(tmp_path / "nothing-here", time_limit=600)
        (worker,) = pool._workers
        end = time.monotonic() + 300
        while waiting_bytes(worker.process.stdout) <= len(READY):
            assert time.monotonic() < end, (tmp_path / "workers.log").read_text()
            time.sleep(0.05)
        answers = [answer for _ in range(3) for answer in pool.wait(1)]
    assert [(answer.folder.name, answer.outcome) for answer in answers] == [("nothing-here", "refused")]


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pids):
    """Wait for processes to end that were killed: that takes the kernel a moment."""
    end = time.monotonic() + 60
    while not all(map(is_gone, pids)):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Return what makes a launch folder whose calculation starts programs that do not end."""
    (tmp_path / "sitecustomize.py").write_text(CALCULATIONS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)]))

    def made(subject):
        folder = tmp_path / subject
        request = CalculationRequest(id="0", protocol="p", protocol_id="p", geometry=GEOMETRY, subject=subject)
        prepare(folder, request)
        return folder

    return made


def programs_of(folder, pool=None):
    """Wait until the programs of a calculation run, and return their numbers."""
    end = time.monotonic() + 120
    while not (folder / "programs").exists():
        assert time.monotonic() < end
        assert pool is None or pool.wait(0.05) == []
    return [int(number) for number in (folder / "programs").read_text().split()]


@pytest.mark.parametrize("subject", ["hangs", "dies"])
def test_the_programs_of_a_calculation_end_with_its_worker(prepared, tmp_path, subject):
    folder = prepared(subject)
    with WorkerPool(1, tmp_path / "workers.log") as pool:
        pool.submit(folder, time_limit=600)
        if subject == "hangs":
            programs = programs_of(folder, pool)
            assert not any(map(is_gone, programs))
            pool._workers[0].deadline = 0.0
        answers = []
        while not answers:
            answers = pool.wait(1)
        assert [answer.outcome for answer in answers] == ["timeout" if subject == "hangs" else "died"]
        assert answers[0].exit_code == -signal.SIGKILL
        wait_until_gone(programs_of(folder))


def test_the_programs_of_a_calculation_end_with_the_pool(prepared, tmp_path):
    folder = prepared("hangs")
    with WorkerPool(1, tmp_path / "workers.log") as pool:
        pool.submit(folder, time_limit=600)
        programs = programs_of(folder, pool)
    wait_until_gone(programs)


def test_the_programs_of_a_calculation_end_after_a_kill_of_the_controller(prepared, tmp_path):
    """The worker then hears that its input has ended."""
    folder = prepared("hangs")
    with WorkerPool(1, tmp_path / "workers.log") as pool:
        pool.submit(folder, time_limit=600)
        programs = programs_of(folder, pool)
        worker = pool._workers[0].process
        worker.stdin.close()
        worker.wait(60)
        wait_until_gone(programs)
    assert not (folder / RESULT).exists()


def test_the_exit_code_of_a_worker_that_is_at_its_end_is_its_own(prepared, tmp_path):
    with WorkerPool(1, tmp_path / "workers.log", preload=["no_such_module"]) as pool:
        pool.submit(prepared("hangs"), time_limit=600)
        with pytest.raises(UserError, match=r"a worker could not start \(exit code 1\)"):
            pool.wait(120)
