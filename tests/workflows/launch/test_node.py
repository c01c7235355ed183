"""The launcher with real processes and real kills. What they calculate is made up, and does what its name says."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.launch import last_words, node
from matscout.workflows.launch.allocation import Allocation, Launch, launchers, write_allocation
from matscout.workflows.launch.folders import claim, close_folder, look, prepare, read_result
from matscout.workflows.launch.node import Launcher
from matscout.workflows.launch.node_limits import seconds_left
from matscout.workflows.launch.node_processes import CalculationProcess, calculation_environment

GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Na",), coords=((0, 0, 0),))

# Python runs this at the start of every process that has its folder on the path.
CALCULATIONS = '''
import errno, json, os, signal, subprocess, sys, time
from pathlib import Path

if "TRACE" in os.environ and "matscout.workflows.launch.worker" in sys.orig_argv:
    from matscout.db import files
    from matscout.db.documents import CalculationResult
    from matscout.errors import UserError
    from matscout.workflows.calculations import run

    TRACE = Path(os.environ["TRACE"])
    write_text = files.write_text


    def mark(word):
        with TRACE.open("a") as file:
            file.write(word + "\\n")


    def may_kill(point):
        """Kill whom the plan names at this point of this start."""
        starts = TRACE.read_text().split().count("start") if TRACE.exists() else 0
        plan = json.loads(os.environ.get("PLAN", "[]"))
        if 0 < starts <= len(plan) and plan[starts - 1][1] == point:
            os.kill({"launcher": os.getppid(), "worker": os.getpid()}[plan[starts - 1][0]], signal.SIGKILL)


    def start_program(folder):
        """Start one in a session of its own, as custodian starts VASP."""
        program = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (folder / "program").write_text(str(program.pid))
        return program


    def calculate(request, folder):
        what = request.subject.split(":")
        mark("start")
        mark(f"{folder} by {os.getpid()}")
        may_kill("started")
        match what[1]:
            case "prints":
                print("from python")
                os.system("echo from a program; cat")
            case "kills-itself":
                start_program(folder)
                os.kill(os.getpid(), signal.SIGKILL)
            case "exits":
                (folder / "vasp.out").write_text("ZBRENT: fatal error in bracketing\\n")
                sys.exit(7)
            case "never-ends":
                program = start_program(folder)
                mark("sleeps")
                program.wait()
            case "signals":
                os.kill(os.getppid(), int(what[2]))
                time.sleep(600)
            case "told":
                os.kill(os.getpid(), int(what[2]))
            case "needs-memory":
                bytearray(2**40)
            case "disk-full":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "refused":
                raise UserError("no such protocol")
            case "environment":
                print(os.environ["ATOMATE2_VASP_CMD"], os.environ["OMP_NUM_THREADS"])
        may_kill("calculated")
        return CalculationResult(
            id=request.id, protocol=request.protocol, protocol_id=request.protocol_id, subject=request.subject,
            formula="Na", outcome="completed", energy=1.0,
        )


    def write_and_die(path, text):
        write_text(path, text)
        if path.name == "result.json":
            may_kill("written")


    run.calculate = calculate
    files.write_text = write_and_die
'''


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "sitecustomize.py").write_text(CALCULATIONS)
    return folder


@pytest.fixture
def make(code, tmp_path, monkeypatch):
    """Make an allocation of calculations that do what they are called."""
    for name, value in environment(code, tmp_path / "trace").items():
        monkeypatch.setenv(name, value)

    def made(*subjects, own=(), **options):
        return make_in(tmp_path, subjects, own=own, **options)

    return made


def environment(code, trace, plan=()):
    """Variables with which workers calculate what is made up."""
    path = os.pathsep.join([str(code), *(path for path in sys.path if path)])
    return {"PYTHONPATH": path, "TRACE": str(trace), "PLAN": json.dumps(list(plan))}


def make_in(root, subjects, *, name="allocation", own=(), numbers=None, **options):
    launches = []
    for number, subject in enumerate(subjects):
        request = CalculationRequest(
            id=f"{number}", protocol="p", protocol_id="p", geometry=GEOMETRY, subject=f"candidate:{subject}"
        )
        folder = root / f"{number}" / str(numbers[number] if numbers else 1)
        if not folder.exists():
            prepare(folder, request)
        launches.append(Launch(folder=str(folder), own_process=subject in own))
    allocation = Allocation(**{"id": "a", "launches": launches, "seconds": 3600} | options)
    write_allocation(root / name, allocation)
    return root / name, allocation


def run(made):
    folder, allocation = made
    return Launcher(folder, allocation).run()


def start(folder, **variables):
    """Start a launcher as the scheduler's script does."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "matscout.workflows.launch.node", str(folder)],
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def results(made):
    return [read_result(Path(launch.folder)) for launch in made[1].launches]


def states(made, *, alive=False):
    return [look(Path(launch.folder), alive=alive).state for launch in made[1].launches]


def marks(root, word):
    trace = root / "trace"
    return trace.read_text().split().count(word) if trace.exists() else 0


def wait_until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_packed_calculations_share_a_process_and_leave_their_results(make, tmp_path):
    made = make("fine", "prints", "fine", "environment", "own", own=("own",), commands={"vasp": "srun vasp_std"})
    end = run(made)
    assert (end.reason, end.completed, end.failed, end.not_started) == ("done", 5, 0, 0)
    assert states(made) == ["done"] * 5
    assert {result.outcome for result in results(made)} == {"completed"}
    pids = [line.split()[-1] for line in (tmp_path / "trace").read_text().splitlines() if " by " in line]
    assert len(set(pids[:4])) == 1
    assert len(set(pids)) == 2
    logs = [Path(launch.folder) / "log.txt" for launch in made[1].launches]
    assert [log.exists() for log in logs] == [False, True, False, True, False]
    assert sorted(logs[1].read_text().splitlines()) == ["from a program", "from python"]
    assert logs[3].read_text() == "srun vasp_std 1\n"
    (start_of_it, its_end) = launchers(made[0])[0]
    assert its_end == end
    assert start_of_it.pid == os.getpid()
    assert all(is_gone(int(pid)) for pid in pids)


def test_a_process_that_dies_is_a_failure_with_its_cause_and_the_next_ones_run(make):
    made = make("kills-itself", "fine", "exits", "fine", own=("exits",))
    end = run(made)
    assert (end.reason, end.completed, end.failed) == ("done", 2, 2)
    killed, fine, left, also_fine = results(made)
    assert (killed.outcome, killed.cause) == ("failed", "memory")
    assert killed.evidence.startswith("signal 9 (SIGKILL), at most ")
    assert (left.cause, left.evidence) == ("relaxation", "vasp.out: ZBRENT: fatal error in bracketing")
    assert (fine.outcome, also_fine.outcome) == ("completed", "completed")
    program = int((Path(made[1].launches[0].folder) / "program").read_text())
    wait_until(lambda: is_gone(program))


def test_several_run_at_once(make, tmp_path):
    made = make("never-ends", "never-ends", "fine", at_once=3)
    launcher = start(made[0])
    wait_until(lambda: marks(tmp_path, "sleeps") == 2)
    wait_until(lambda: states(made, alive=True)[2] == "done")
    launcher.send_signal(signal.SIGTERM)
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0
    assert states(made) == ["interrupted", "interrupted", "done"]
    assert "1 completed, 0 failed, 2 interrupted, 0 passed over, 0 not started" in said


@pytest.mark.parametrize(
    ("number", "reason", "cause"), [(signal.SIGTERM, "signal", None), (signal.SIGUSR1, "time", None)]
)
def test_a_signal_stops_it_in_order(make, number, reason, cause):
    made = make("fine", f"signals:{int(number)}", "fine")
    end = run(made)
    assert (end.reason, end.completed, end.interrupted, end.not_started) == (reason, 1, 1, 1)
    assert states(made) == ["done", "interrupted", "waiting"]
    stopped = look(Path(made[1].launches[1].folder), alive=False).interruption
    assert stopped.cause == cause
    assert f"signal {int(number)} ({number.name})" in stopped.evidence
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_process_told_to_end_from_outside_is_interrupted_and_no_failure(make):
    """Slurm sends SIGTERM to every process of a job: the calculation's may die before its launcher has heard of it."""
    made = make(f"told:{int(signal.SIGTERM)}", "fine")
    end = run(made)
    assert (end.reason, end.interrupted, end.completed) == ("done", 1, 1)
    stopped = look(Path(made[1].launches[0].folder), alive=True)
    assert stopped.state == "interrupted"
    assert stopped.interruption.evidence == "signal 15 (SIGTERM) to its process"
    assert stopped.interruption.cause is None


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_process_that_dies_of_a_warning_of_the_walltimes_end_had_no_more_time(make, number):
    """LSF sends it to every process of a job."""
    made = make(f"told:{int(number)}", "fine")
    launches = (made[1].launches[0].model_copy(update={"expected_seconds": 1e-9}), made[1].launches[1])
    end = run((made[0], made[1].model_copy(update={"launches": launches})))
    assert (end.reason, end.failed, end.interrupted, end.not_started) == ("time", 0, 1, 1)
    stopped = look(Path(launches[0].folder), alive=False).interruption
    assert (stopped.cause, stopped.evidence) == ("walltime", f"signal {int(number)} ({number.name}) to its process")


def test_its_own_clock_stops_what_had_its_time(make, monkeypatch):
    monkeypatch.setenv("MATSCOUT_JOB_STARTED", str(time.time() - 90))
    made = make("never-ends", "fine", seconds=101, reserve=10)
    made = (
        made[0],
        made[1].model_copy(
            update={
                "launches": (
                    made[1].launches[0].model_copy(update={"expected_seconds": 0.01}),
                    made[1].launches[1].model_copy(update={"expected_seconds": 60.0}),
                )
            }
        ),
    )
    end = run(made)
    assert (end.reason, end.interrupted, end.not_started) == ("time", 1, 1)
    stopped = look(Path(made[1].launches[0].folder), alive=False).interruption
    assert stopped.cause == "walltime"
    assert stopped.evidence == "10 s before the end of 101 s"


def test_none_but_the_first_is_started_for_which_the_time_is_too_short(make):
    made = make("fine", "fine", "fine", seconds=100, reserve=10)
    first, long, short = made[1].launches
    too_long = {"expected_seconds": 95.0}
    launches = (first.model_copy(update=too_long), long.model_copy(update=too_long), short)
    end = run((made[0], made[1].model_copy(update={"launches": launches})))
    assert (end.reason, end.completed, end.not_started) == ("time", 2, 1)
    assert states(made) == ["done", "waiting", "done"]


def test_one_that_had_all_the_time_of_a_job_and_was_to_take_longer_is_to_get_more(make, monkeypatch):
    monkeypatch.setattr(CalculationProcess, "seconds", property(lambda _: 3000.0))
    made = make(f"signals:{int(signal.SIGUSR1)}", seconds=3600)
    launch = made[1].launches[0].model_copy(update={"expected_seconds": 4000.0})
    assert run((made[0], made[1].model_copy(update={"launches": (launch,)}))).interrupted == 1
    assert look(Path(launch.folder), alive=False).interruption.cause == "walltime"


def test_after_a_kill_of_the_launcher_the_interrupted_is_told_from_the_one_never_started(make, tmp_path):
    made = make("fine", "never-ends", "fine")
    launcher = start(made[0])
    wait_until(lambda: marks(tmp_path, "sleeps") == 1)
    launcher.kill()
    launcher.communicate(timeout=120)
    assert states(made, alive=True) == ["done", "running", "waiting"]
    assert states(made) == ["done", "interrupted", "waiting"]
    program = Path(made[1].launches[1].folder) / "program"
    wait_until(lambda: is_gone(int(program.read_text())))
    (_, no_end) = launchers(made[0])[0]
    assert no_end is None


def test_two_launchers_of_one_allocation_share_it(make, tmp_path):
    made = make(*["fine"] * 12)
    both = [start(made[0]) for _ in range(2)]
    for launcher in both:
        launcher.communicate(timeout=120)
    assert marks(tmp_path, "start") == 12
    assert states(made) == ["done"] * 12
    ends = [end for _, end in launchers(made[0])]
    assert sum(end.completed for end in ends) == 12
    assert sum(end.passed_over for end in ends) == 12


def test_a_full_disk_stops_the_launcher_and_leaves_the_rest(make):
    made = make("fine", "disk-full", "fine")
    end = run(made)
    assert (end.reason, end.completed, end.failed, end.not_started) == ("machine", 1, 1, 1)
    assert states(made) == ["done", "done", "waiting"]
    full = results(made)[1]
    assert (full.cause, full.evidence) == ("node", "OSError: [Errno 28] No space left on device")


def test_a_disk_too_full_to_say_so_leaves_a_claim_alone(make, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    made = make("disk-full", "fine")
    monkeypatch.setattr(last_words, "write_text", full)
    end = run(made)
    assert end.reason == "machine"
    assert states(made) == ["interrupted", "waiting"]
    assert sorted(path.name for path in Path(made[1].launches[0].folder).iterdir()) == ["claim.json", "job.json"]
    assert "result.json could not be written: [Errno 28] No space left on device" in capsys.readouterr().err


def fill(path):
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)


def test_a_disk_that_is_really_full(make, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        made = make_in(disk, ["fine", "fine"])
        fill(disk / "filler")
        assert node.main([str(made[0])]) == node.EXIT_MACHINE
        assert states(made) == ["waiting", "waiting"]
        (disk / "filler").unlink()
        assert run(made).completed == 2
    finally:
        subprocess.run(["umount", disk], check=True)


def test_one_request_that_is_refused_costs_itself_only_and_many_stop_the_launcher(make):
    made = make("refused", "fine", "refused", "refused", "refused", "fine")
    end = run(made)
    assert (end.reason, end.completed, end.failed, end.not_started) == ("machine", 1, 4, 1)
    assert results(made)[0].cause == "node"
    assert results(made)[0].evidence == "UserError: no such protocol"


def test_a_request_that_cannot_be_read_costs_itself_only(make):
    made = make("fine", "fine", "fine")
    Path(made[1].launches[0].folder, "job.json").write_text('{"id": "0", "prot')
    Path(made[1].launches[1].folder, "job.json").unlink()
    end = run(made)
    assert (end.reason, end.completed, end.interrupted) == ("done", 1, 2)
    assert look(Path(made[1].launches[0].folder), alive=False).interruption.evidence.startswith("job.json: ")


def test_folders_taken_or_closed_are_passed_over(make):
    made = make("fine", "fine", "fine")
    taken, closed, _ = (Path(launch.folder) for launch in made[1].launches)
    claim(taken, Launcher(*made)._claim())
    close_folder(closed)
    end = run(made)
    assert (end.completed, end.passed_over) == (1, 2)


def test_a_process_that_cannot_start_is_the_machines_fault(make):
    made = make("fine", "fine", preload=("no_such_module",))
    end = run(made)
    assert (end.reason, end.interrupted, end.not_started) == ("machine", 1, 1)
    assert states(made) == ["interrupted", "waiting"]


def test_a_limit_of_memory_is_an_error_and_no_kill(make):
    made = make("needs-memory", memory_limit=4000.0)
    run(made)
    (result,) = results(made)
    assert result.cause == "memory"
    assert "MemoryError" in result.evidence


def test_an_allocation_that_is_none_is_said_so(tmp_path, capsys):
    assert node.main([str(tmp_path)]) == 2
    assert "no allocation at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "left"),
    [
        ({}, 600.0),
        ({"MATSCOUT_JOB_STARTED": "900"}, 500.0),
        ({"MATSCOUT_JOB_STARTED": "1100"}, 600.0),
        ({"SLURM_JOB_END_TIME": "1200"}, 200.0),
        ({"SLURM_JOB_END_TIME": "9999", "MATSCOUT_JOB_STARTED": "950"}, 550.0),
        ({"SLURM_JOB_END_TIME": "Unknown"}, 600.0),
    ],
)
def test_the_time_left_is_the_schedulers(environment, left):
    assert seconds_left(Allocation(id="a", launches=(), seconds=600), environment, 1000.0) == left


@pytest.mark.parametrize(("of_the_job", "threads"), [(None, "1"), ("8", "8")])
def test_calculations_have_the_threads_of_their_job_or_one(monkeypatch, of_the_job, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if of_the_job:
        monkeypatch.setenv("OMP_NUM_THREADS", of_the_job)
    allocation = Allocation(id="a", launches=(), seconds=1, commands={"vasp": "srun v", "vasp_gamma": "srun g"})
    seen = calculation_environment(allocation)
    assert seen["OMP_NUM_THREADS"] == threads
    assert (seen["ATOMATE2_VASP_CMD"], seen["ATOMATE2_VASP_GAMMA_CMD"]) == ("srun v", "srun g")


def kills(most):
    who, when = st.sampled_from(["launcher", "worker"]), st.sampled_from(["started", "calculated", "written"])
    return st.lists(st.tuples(who, when), min_size=1, max_size=most)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills(2))
def test_each_calculation_ends_once_whoever_is_killed(code, tmp_path_factory, plan):
    kill_and_start_again(code, tmp_path_factory.mktemp("kills"), plan)


@pytest.mark.integration
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills(6))
def test_each_calculation_ends_once_whoever_is_killed_and_how_often(code, tmp_path_factory, plan):
    kill_and_start_again(code, tmp_path_factory.mktemp("kills"), plan)


def kill_and_start_again(code, root, plan):
    """Kill launchers and workers at points of the first starts; start again what was interrupted, as a controller."""
    numbers, done, allocations = {0: 1, 1: 1}, {}, 0
    while len(done) < 2:
        allocations += 1
        assert allocations <= len(plan) + 2
        left = [number for number in numbers if number not in done]
        made = make_in(root, ["fine", "fine"], name=f"a{allocations}", numbers=numbers)
        launches = tuple(launch for number, launch in enumerate(made[1].launches) if number in left)
        write_allocation(made[0], made[1].model_copy(update={"launches": launches}))
        start(made[0], **environment(code, root / "trace", plan)).communicate(timeout=120)
        for number in left:
            closed = close_folder(root / str(number) / str(numbers[number]))
            seen = look(closed, alive=False)
            if seen.state == "done" and seen.result.outcome == "completed":
                done[number] = numbers[number]
            else:
                numbers[number] += 1
    ends = {number: list((root / str(number)).glob("*-closed/result.json")) for number in done}
    completed = {n: [p for p in paths if read_result(p.parent).outcome == "completed"] for n, paths in ends.items()}
    assert [len(paths) for paths in completed.values()] == [1, 1]
    folders = [line.split()[0] for line in (root / "trace").read_text().splitlines() if " by " in line]
    assert len(folders) == len(set(folders))  # no attempt was started twice
    assert len(folders) <= 2 + len(plan)
