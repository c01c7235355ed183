import json
import logging
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster, Scheduler
from distributed.deploy.spec import SpecCluster

from matscout.errors import UserError
from matscout.featurizers import clients
from matscout.featurizers.clients import connected, dashboard_address, results_in_order
from matscout.featurizers.slurm_cluster import slurm_cluster
from matscout.settings import Settings, get_settings


def calls(numbers):
    return ((number, (number,)) for number in numbers)


def processes():
    """What was started from here and still runs."""
    return {child.pid for child in psutil.Process().children(recursive=True) if child.status() != "zombie"}


def scratch_folders(folder):
    return list(Path(folder).glob("matscout-dask-*"))


@contextmanager
def ended(*arguments, **options):
    """A process that does not outlive the test."""
    with subprocess.Popen(*arguments, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def scheduler_without_workers():
    """A dask scheduler in this process."""
    options = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    with SpecCluster(scheduler={"cls": Scheduler, "options": options}, silence_logs="critical") as cluster:
        yield cluster


@contextmanager
def thread_cluster():
    """A worker of dask in this process: starts at once."""
    with LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local():
    """Two local workers, for the tests that leave them as they are."""
    with connected("local:2") as client:
        yield client


def refusal(named):
    """What is said of a client that cannot be connected to."""
    with pytest.raises(UserError) as caught, connected(named):
        pass
    return str(caught.value)


def results(client, function, numbers):
    return [result for _, result in results_in_order(client, function, calls(numbers))]


@pytest.mark.parametrize(
    "wrong", ["", "locale", "local:", "local:0", "local:-1", "local:two", "http://here:8786", "a:1"]
)
def test_what_names_no_client_is_refused_with_all_that_does(wrong):
    said = refusal(wrong)
    assert said.startswith(f'cannot work on "{wrong}": a client is local or local:N ')
    assert all(word in said for word in ("slurm", "tcp://", ".json", "cluster or client"))


def test_other_objects_are_refused():
    assert refusal(2).startswith("cannot work on a int: a client is local or local:N ")


def test_an_address_where_nobody_is_says_how_to_start_a_scheduler(monkeypatch, capfd):
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    said = refusal(address)
    assert said.startswith(f"no dask scheduler answers at {address} within 0.5 s; dask scheduler starts one")
    assert capfd.readouterr() == ("", "")


def test_an_address_where_somebody_else_is_says_so_too(monkeypatch):
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        assert refusal(address).startswith(f"no dask scheduler answers at {address}")


def test_an_address_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 0.5)
    address = "tcp://no.such.host.invalid:x"
    assert refusal(address).startswith(f"no dask scheduler answers at {address}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot read the scheduler file .*No such file.*dask scheduler --scheduler-file .* writes it"),
        ("{", "is not a scheduler file of dask"),
        ("[]", "is not a scheduler file of dask"),
        ('{"id": 1}', "is not a scheduler file of dask"),
    ],
)
def test_a_scheduler_file_that_cannot_be_used_is_named(tmp_path, text, message):
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    assert re.search(message, refusal(file))


def test_a_scheduler_is_found_by_its_address_and_by_its_file(tmp_path):
    with scheduler_without_workers() as cluster:
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"address": cluster.scheduler_address}))
        for named in (cluster.scheduler_address, file, str(file)):
            with connected(named) as client:
                assert client.scheduler.address == cluster.scheduler_address
                assert dashboard_address(client).startswith("http://127.0.0.1:")


def test_an_encrypted_scheduler_without_certificates_says_where_they_are_named():
    said = refusal("tls://127.0.0.1:9")
    assert "no certificates to connect with" in said
    assert "distributed.comm.tls.ca-file" in said


def test_certificates_that_are_not_there_are_named(tmp_path):
    names = {f"distributed.comm.tls.{name}": str(tmp_path / "x") for name in ("ca-file", "client.cert", "client.key")}
    with dask.config.set(names):
        said = refusal("tls://127.0.0.1:9")
    assert "cannot use the certificates that dask's configuration names: " in said
    assert "No such file" in said


def test_a_scheduler_with_another_release_of_matscout_is_refused(tmp_path):
    release, file = tmp_path / "other" / "matscout-0.0.0.dist-info", tmp_path / "scheduler.json"
    release.mkdir(parents=True)
    (release / "METADATA").write_text("Metadata-Version: 2.1\nName: matscout\nVersion: 0.0.0\n")
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    with ended(
        [*command, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)],
        cwd=release.parent,  # where it looks first
        stderr=subprocess.DEVNULL,
    ) as process:
        while not file.exists() or not file.read_text().endswith("}"):
            assert process.poll() is None
            time.sleep(0.05)
        said = refusal(file)
    assert re.search(r"the scheduler has matscout 0\.0\.0, and here is .*: install the same release there", said)


def test_a_client_is_used_as_it_is_and_left_open():
    with thread_cluster() as cluster, Client(cluster, set_as_default=False) as mine:
        with connected(mine) as client:
            assert client is mine
            assert list(results_in_order(client, abs, calls([-1, 2]))) == [(-1, 1), (2, 2)]
        assert mine.submit(abs, -3).result() == 3


def test_a_client_that_is_closed_is_refused():
    with thread_cluster() as cluster:
        mine = Client(cluster, set_as_default=False)
        mine.close()
        with pytest.raises(UserError, match="must be connected"), connected(mine):
            pass


def test_a_cluster_is_left_open():
    with thread_cluster() as cluster:
        with connected(cluster) as client:
            assert results(client, abs, [-1]) == [1]
        assert client.status == "closed"
        assert cluster.status.name == "running"


def test_local_workers_have_one_thread_each_and_answer_in_order(local):
    def work(number):
        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return number, os.getpid(), [os.environ[name] for name in variables]

    answers = results(local, work, range(40))
    assert [number for number, *_ in answers] == list(range(40))
    assert len({pid for _, pid, _ in answers}) == 2
    assert all(threads == ["1", "1", "1"] for *_, threads in answers)
    workers = local.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["nthreads"] for worker in workers] == [1, 1]
    assert sum(worker["memory_limit"] for worker in workers) < psutil.virtual_memory().total


def test_local_workers_are_reachable_from_this_machine_alone_and_with_a_certificate_alone(local, monkeypatch):
    monkeypatch.setattr(clients, "CONNECT_SECONDS", 1)
    us = psutil.Process()
    served = [
        connection.laddr.ip
        for process in [us, *us.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(served) > 4  # the scheduler, its page, the process that starts workers, and those
    assert set(served) == {"127.0.0.1"}
    address = local.scheduler.address
    assert address.startswith("tls://")
    with pytest.raises(UserError, match="no dask scheduler answers"), connected(address.replace("tls://", "tcp://")):
        pass


def test_the_dashboard_is_where_it_is_said_to_be(local):
    address = dashboard_address(local)
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as page:
        assert page.status == 200


def test_local_workers_leave_nothing_behind_and_print_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = processes()
    said = []

    def noisy(number):
        sys.stdout.write("noise")
        sys.stderr.write("noise")
        return number

    with connected("local", say=said.append) as client:
        (folder,) = scratch_folders(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("*.pem")} == {0o600}
        assert results(client, noisy, range(3)) == [0, 1, 2]
        assert len(client.nthreads()) == get_settings().workers == 1  # as tests/conftest.py says
        assert processes() > before
    assert processes() == before
    assert list(tmp_path.iterdir()) == []
    assert said == ["starting 1 local worker"]
    assert capfd.readouterr() == ("", "")


def test_workers_end_when_the_context_is_left_by_an_error_whatever_they_are_at():
    def interrupt():
        with connected("local:1") as client:
            future = client.submit(time.sleep, 1000)
            while not any(client.processing().values()):
                time.sleep(0.05)
            assert future.status == "pending"
            raise KeyboardInterrupt

    before = processes()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert processes() == before


def test_workers_that_cannot_start_are_reported_with_what_they_printed(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    before = processes()
    said = refusal("local:1")
    assert said.startswith("no worker came: the worker processes ended; the last they printed:\n")
    assert "No module named 'encodings'" in said
    assert processes() == before


SCRIPT = """
import signal
from pathlib import Path
from matscout.featurizers.clients import connected, results_in_order
from beside import double
Path("runs").open("a").write("x")
with connected("local:1") as client:
    print(dict(results_in_order(client, double, [(1, (1,)), (2, (2,))])), flush=True)
    signal.pause()
"""


@pytest.fixture
def script(tmp_path):
    """A user's script that waits for a signal when it has its results: no guard, and a module of its own beside it."""
    (tmp_path / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "queue.py").write_text("raise RuntimeError('this file stands in for no other')\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "tmp").mkdir()
    program = "import sys, queue, runpy; sys.path.insert(0, '.'); runpy.run_path('script.py')"
    with ended(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "{1: 2, 2: 4}\n", process.stderr.read()
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_do_not_outlive_a_script_and_run_it_only_once(script, tmp_path, number):
    workers = psutil.Process(script.pid).children(recursive=True)
    assert workers
    script.send_signal(number)
    script.wait()
    assert script.returncode == -number
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert len(gone) == len(workers)
    assert (tmp_path / "runs").read_text() == "x"
    assert scratch_folders(tmp_path / "tmp") == []


def test_calls_are_read_no_further_ahead_than_workers_need():
    with thread_cluster() as cluster, connected(cluster) as client:
        numbers = count()
        answers = results_in_order(client, abs, calls(numbers))
        for expected in range(20):
            assert next(answers) == (expected, expected)
        answers.close()
        assert next(numbers) < 20 + 6


def test_an_error_of_the_function_comes_out_as_it_is():
    def divide(number):
        if number == 2:
            raise TimeoutError("my own")
        return 1 / number

    with thread_cluster() as cluster, connected(cluster) as client:
        with pytest.raises(ZeroDivisionError):
            results(client, divide, [1, 0])
        with pytest.raises(TimeoutError, match="my own"):
            results(client, divide, [1, 2])


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(clients, "WORKERLESS_SECONDS", 0.3)
    monkeypatch.setattr(clients, "_LOOK_SECONDS", 0.1)
    with (
        scheduler_without_workers() as cluster,
        connected(cluster.scheduler_address) as client,
        pytest.raises(UserError, match=r"at tcp://.* has had no workers for 0\.3 s: dask worker ADDRESS starts one"),
    ):
        results(client, abs, [1])


def test_a_scheduler_that_ends_meanwhile_is_said_to_be_gone(capfd):
    def numbers():
        yield from range(20)
        cluster.close()
        yield from range(20, 40)

    def work():
        with connected(cluster) as client:
            results(client, abs, numbers())

    with thread_cluster() as cluster:
        address = cluster.scheduler_address
        with pytest.raises(UserError, match=f"at {address} is gone; what was finished is in the cache"):
            work()
    assert capfd.readouterr() == ("", "")


def test_work_that_somebody_else_cancels_is_said_to_be_given_up():
    def work():
        with connected(mine) as client:
            future = client.submit(time.sleep, 0.1)
            client.cancel([future])
            future.result()

    said = r"gave up the work \(.*cancelled.*\); what was finished is in the cache"
    with (
        thread_cluster() as cluster,
        Client(cluster, set_as_default=False) as mine,
        pytest.raises(UserError, match=said),
    ):
        work()


def test_a_part_that_ends_its_workers_is_given_up_with_the_likely_reason():
    def die(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        connected("local:1") as client,
        pytest.raises(UserError, match=r"1 worker processes of .* died of the same part .*want of memory"),
    ):
        results(client, die, [1])


def test_dasks_log_is_off_the_terminal_only_meanwhile(tmp_path):
    logger = logging.getLogger("distributed.scheduler")
    own = logging.FileHandler(tmp_path / "dask.log")
    terminal = logging.StreamHandler((tmp_path / "terminal").open("w"))
    logger.addHandler(own)
    logger.addHandler(terminal)
    try:
        with thread_cluster() as cluster, connected(cluster):
            logger.error("meanwhile")
        logger.error("afterwards")
    finally:
        logger.removeHandler(own)
        logger.removeHandler(terminal)
        own.close()
        terminal.stream.close()
    assert {"meanwhile", "afterwards"} <= set((tmp_path / "dask.log").read_text().splitlines())
    shown = (tmp_path / "terminal").read_text().splitlines()
    assert "afterwards" in shown
    assert "meanwhile" not in shown


@pytest.mark.parametrize("where", ["main", "thread"])
def test_nothing_that_is_loaded_for_slurm_touches_ctrl_c(where):
    program = textwrap.dedent("""
        import signal, sys, threading
        def load():
            import matscout.featurizers.slurm_cluster
        if sys.argv[1] == "main":
            load()
        else:
            thread = threading.Thread(target=load)
            thread.start()
            thread.join()
        assert "matscout.featurizers.slurm_cluster" in sys.modules
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    """)
    done = subprocess.run([sys.executable, "-c", program, where], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """Stand-ins for Slurm's commands; the integration tests have the real ones."""

    def command(name, text):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    command("sbatch", "echo Submitted batch job 17")
    command("squeue", 'echo "17: PENDING, Resources"')
    command("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("MATSCOUT_SLURM_SHARED_FOLDER", str(tmp_path / "shared"))
    monkeypatch.setenv("MATSCOUT_SLURM_INTERFACE", "lo")
    monkeypatch.setenv("MATSCOUT_SLURM_START_SECONDS", "0.5")
    monkeypatch.setattr(clients, "get_settings", Settings)
    return command


def test_jobs_that_stay_in_the_queue_are_given_up_with_slurms_reason(slurm, tmp_path):
    said = []
    with (
        pytest.raises(UserError, match=r"no worker came in 0.5 s: Slurm job 17: PENDING, Resources\nMATSCOUT_SLURM_ST"),
        connected("slurm", say=said.append),
    ):
        pass
    assert said == ["waiting for the first of 1 Slurm jobs, for 0.5 s at most"]
    assert (tmp_path / "cancelled").read_text().splitlines()[0] == "17"
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_controller_that_does_not_answer_is_not_taken_for_an_empty_queue(slurm):
    slurm("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    said = refusal("slurm")
    assert said.startswith(
        "no worker came in 0.5 s: squeue: slurm_load_jobs error: Unable to contact slurm controller\n"
    )


def test_a_refused_job_is_reported_with_what_sbatch_said(slurm):
    slurm("sbatch", "echo 'sbatch: error: invalid account' >&2; exit 1")
    assert refusal("slurm") == "no worker came: Slurm refused the job: sbatch: error: invalid account"


def test_jobs_that_end_without_a_worker_are_reported_with_what_they_printed(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("MATSCOUT_SLURM_LOG_FOLDER", str(tmp_path / "logs"))
    slurm("sbatch", f"echo boom > {tmp_path}/logs/matscout-17.err; echo Submitted batch job 17")
    slurm("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    said = refusal("slurm")
    assert said == "no worker came: Slurm job 17 ended (walltime: 01:00:00); the last they printed:\n  boom"
    assert (tmp_path / "logs" / "matscout-17.err").exists()


def test_the_job_is_what_the_settings_say(slurm, monkeypatch, tmp_path):
    for name, value in {
        "PARTITION": "long",
        "ACCOUNT": "physics",
        "CORES": "4",
        "MEMORY": "8GiB",
        "WALLTIME": "12:00:00",
        "PROLOGUE": "module load python; ulimit -c 0",
        "DIRECTIVES": "--qos=high --constraint=avx2",
    }.items():
        monkeypatch.setenv(f"MATSCOUT_SLURM_{name}", value)
    with slurm_cluster(Settings()) as cluster:
        script = cluster.job_script()
        assert cluster.state() == "Slurm job 17: PENDING, Resources"
    directives = {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert directives >= {"-p long", "-A physics", "--cpus-per-task=4", "--mem=8G", "-t 12:00:00", "-J matscout"}
    assert "--qos=high --constraint=avx2" in directives
    assert "\nexport OMP_NUM_THREADS=1\n" in script
    assert script.index("module load python; ulimit -c 0") < script.index(sys.executable)
    assert f"{sys.executable} -P -m distributed.cli.dask_worker tls://127.0.0.1:" in script
    assert "--nworkers 4" in script
    assert "--nthreads 1 " in script
    assert "--memory-limit 2.00GiB" in script
    assert "--interface lo" in script


def test_what_no_setting_names_comes_from_dasks_own_configuration(slurm):
    names = {"jobqueue.slurm.queue": "short", "jobqueue.slurm.job-script-prologue": ["module load conda"]}
    with dask.config.set(names), slurm_cluster(Settings()) as cluster:
        script = cluster.job_script()
    assert "#SBATCH -p short" in script
    assert "\nmodule load conda\n" in script


def test_without_slurm_that_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="no sbatch on PATH"), connected("slurm"):
        pass


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MEMORY", "much", "MATSCOUT_SLURM_MEMORY='much': name an amount such as 64GB"),
        ("INTERFACE", "ib7", "'ib7' is not a valid network interface"),
        ("SHARED_FOLDER", "/proc/here", "cannot write into /proc/here: .*MATSCOUT_SLURM_SHARED_FOLDER"),
    ],
)
def test_settings_that_cannot_be_used_are_named(slurm, monkeypatch, name, value, message):
    monkeypatch.setenv(f"MATSCOUT_SLURM_{name}", value)
    assert re.search(message, refusal("slurm"))
