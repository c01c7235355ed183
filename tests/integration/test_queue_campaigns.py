"""Campaigns on the queue of a real Slurm, through the command line: many calculations, kill -9, two at once, Ctrl-C."""

import json
import os
import random
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "matscout"]
PATHS = os.pathsep.join(path for path in sys.path if path)

# 214 references and 286 candidates. Cells of five sites: a relaxation takes a fifth of a second.
MANY = """\
name: many
seed: 7
space:
  prototypes: [cubic-perovskite]
  elements:
    A: [Li, Na, K, Rb, Cs, Ag, Tl, In, Cu]
    B: [Mg, Ca, Sr, Ba, Zn, Cd, Ge, Sn, Pb, Mn, Ni, Eu]
    X: [F, Cl, Br, I]
references:
  source: computed
  prototypes_per_stoichiometry: 1
budget:
  calculations: 286
  first_batch: 186
  batch: 100
"""

# A fixed list: 64 references, then every candidate in one batch. The hexagonal ones take long enough to be hit.
KILLED = """\
name: killed
seed: 5
space:
  prototypes: [cubic-perovskite, hexagonal-perovskite-2H]
  elements:
    A: [Na, K, Rb, Cs]
    B: [Mg, Ca, Sr, Ba, Zn, Cd]
    X: [F, Cl, Br]
references:
  source: computed
  prototypes_per_stoichiometry: 1
budget:
  calculations: 136
  first_batch: 136
"""

SMALL = """\
name: small
space:
  prototypes: [cubic-perovskite]
  elements: {A: [K, Rb], B: [Mg], X: [F, Cl]}
protocol: chgnet-static
references: {source: computed, prototypes_per_stoichiometry: 1}
budget: {calculations: 4, first_batch: 4}
"""


class OnQueue:
    """A campaign of its own folder, on worker `node`."""

    def __init__(self, folder, text, **worker):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.launches = folder / "launches"
        self.environment = os.environ | {"SLURM_CONF": os.environ["MATSCOUT_TEST_SLURM_CONF"], "PYTHONPATH": PATHS}
        (folder / "campaign.yaml").write_text(text)
        keys = {
            "scheduler": "slurm",
            "launch_folder": str(self.launches),
            "walltime": "00:30:00",
            "max_queued": 2,
            "environment": {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
        }
        (folder / "workers.yaml").write_text(json.dumps({"node": keys | worker}))

    @contextmanager
    def started(self, *arguments):
        """Start a command of matscout; it is ended, if it has not."""
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments):
        """Run a command of matscout to its end."""
        with self.started(*arguments) as process:
            output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, output + errors
        return output, errors

    def submit(self):
        return json.loads(self.run("submit", "campaign.yaml", "--worker", "node", "--json")[0])

    def advance(self):
        return json.loads(self.run("advance", "campaign.yaml", "--json")[0])

    def to_its_end(self, seconds=900, pause=2.0):
        """Advance until the campaign has ended; return what each step said, and how long a step takes."""
        steps, took, deadline = [], [], time.monotonic() + seconds
        while not steps or steps[-1]["stopped"] is None:
            assert time.monotonic() < deadline, steps[-1]
            begun = time.monotonic()
            steps.append(self.advance())
            took.append(time.monotonic() - begun)
            time.sleep(pause)
        return steps, sorted(took)[len(took) // 2]

    def documents(self, *names):
        """What the store holds, by collection and id."""
        from matscout.db import connect

        with connect(self.folder / "matscout-store", read_only=True, must_exist=True) as store:
            found = {name: {str(one["_id"]): one for one in store.collection(name).find()} for name in names}
        return found[names[0]] if len(names) == 1 else found

    def attempts(self):
        """Outcomes of the attempts of each calculation."""
        return {key: [one["outcome"] for one in c["attempts"]] for key, c in self.documents("calculations").items()}


@pytest.fixture
def place(tmp_path):
    """A folder, whose jobs are cancelled at the end."""
    yield tmp_path
    slurm = os.environ | {"SLURM_CONF": os.environ["MATSCOUT_TEST_SLURM_CONF"]}
    for process in launchers(tmp_path):
        process.kill()
    left = subprocess.run(
        ["squeue", "--noheader", "--format=%i %Z"], env=slurm, capture_output=True, text=True, check=True
    )
    ours = [line.split()[0] for line in left.stdout.splitlines() if str(tmp_path) in line]
    if ours:
        subprocess.run(["scancel", *ours], env=slurm, check=True)


def test_five_hundred_calculations_packed_by_the_hundred(place):
    campaign = OnQueue(place, MANY, per_allocation=100)
    first = campaign.submit()
    assert (first["submitted"], first["jobs"]) == ({"node": 200}, {"node": {"submitted": 2}})
    steps, _ = campaign.to_its_end(pause=3.0)
    assert steps[-1]["stopped"].startswith("the budget of 286 calculations is used")
    found = campaign.documents("calculations", "allocations", "fireworks", "ionic_steps")
    assert len(found["calculations"]) == 500
    assert Counter(one["state"] for one in found["calculations"].values()) == {"completed": 500}
    assert set(map(tuple, campaign.attempts().values())) == {("completed",)}
    taken_in = [one for step in steps for one in step["completed"]]
    assert sorted(taken_in) == sorted(found["calculations"])
    assert Counter(one["state"] for one in found["fireworks"].values()) == {"COMPLETED": 500}
    assert set(found["ionic_steps"]) == set(found["calculations"])
    sizes = sorted(len(one["calculations"]) for one in found["allocations"].values())
    assert sizes == [14, 86, 100, 100, 100, 100]
    campaign.advance()  # the last job may have ended after its last result
    assert {path.name for folder in campaign.launches.iterdir() for path in folder.iterdir()} <= {"allocations"}


# -- kill -9 -----------------------------------------------------------------------------------------------------

KILLS = 20


def launchers(folder):
    """Launchers on the node that work below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "matscout.workflows.launch.node" in line and line[-1].startswith(str(folder)):
            found.append(process)
    return found


def under_way(folder):
    """Launch folders in which a calculation has begun and not ended, by the process of their launcher."""
    found = {}
    for log in folder.glob("*/*/*/log.txt"):
        with suppress(OSError, ValueError):
            pid = json.loads((log.parent / "claim.json").read_text())["pid"]
            if not (log.parent / "result.json").exists():
                found[pid] = log.parent
    return found


class Killer(threading.Thread):
    """Kills launchers and their processes in turn, until it is told to stop or has enough.

    Every second pair at any moment, where most often a process is loading its model; the others while they calculate.
    Two attempts of a calculation may be killed while they run, a third one is spared: the policy of the code lets three
    in a row that look like a lack of memory be the last.
    """

    def __init__(self, folder, dice, enough):
        super().__init__(daemon=True)
        self.folder, self.dice, self.enough = folder, dice, enough
        self.stopped = threading.Event()
        self.killed = []

    def run(self):
        while len(self.killed) < self.enough and not self.stopped.wait(self.dice.uniform(0.5, 3.0)):
            calculating = len(self.killed) % 4 < 2
            while not self._kill(calculating=calculating) and not self.stopped.wait(0.02):
                pass

    def _kill(self, *, calculating):
        whom = ("launcher", "process")[len(self.killed) % 2]
        busy = under_way(self.folder)
        victims = [one for one in launchers(self.folder) if one.pid in busy or not calculating]
        victims = [one for one in victims if one.pid not in busy or int(busy[one.pid].name.partition("-")[0]) <= 2]
        try:
            if whom == "process":
                victims = [child for one in victims for child in one.children(recursive=True)]
            if not victims:
                return False
            self.dice.choice(sorted(victims, key=lambda one: one.pid)).kill()
        except psutil.NoSuchProcess:  # it ended by itself meanwhile
            return False
        self.killed.append(whom)
        return True


def kill_until_done(campaign, dice, typical, controllers, workers):
    """Advance a campaign to its end under kills; return how many controllers and workers were killed."""
    killer = Killer(campaign.launches, dice, workers)
    killer.start()
    killed, finished, deadline = 0, {}, time.monotonic() + 1200
    try:
        while True:
            assert time.monotonic() < deadline
            wait = dice.uniform(0.2, 1.6) * typical if killed < controllers else 600
            step = step_unless_killed(campaign, wait)
            if step is None:
                killed += 1
            elif step["stopped"] is not None:
                return killed, killer.killed
            elif any("workers check" in note for note in step["notes"]):
                campaign.run("workers", "check", "node")  # as it says: its jobs were killed before they began
            finished = nothing_is_lost(campaign, finished)
    finally:
        killer.stopped.set()
        killer.join()


def step_unless_killed(campaign, seconds):
    """Take a step, and return what it says; or kill it after so long, and return None."""
    with campaign.started("advance", "campaign.yaml", "--json") as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
    assert process.returncode == 0, errors
    return json.loads(output)


def nothing_is_lost(campaign, finished):
    """Check that what was finished is so still, by the same attempts; return what is finished now."""
    now = campaign.documents("calculations")
    for key, before in finished.items():
        assert (now[key]["result"], now[key]["attempts"]) == (before["result"], before["attempts"])
    return {key: one for key, one in now.items() if one["state"] in {"completed", "failed", "gave_up"}}


FORGOTTEN = {"time", "created", "updated", "updated_on", "created_on", "seconds", "host", "attempts"}
COMPARED = ("campaigns", "calculations", "candidates", "ionic_steps", "labels", "selections")


def differences(one, other, place=""):
    """Say where two documents differ, but for times, hosts, attempts and paths."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted((set(one) | set(other)) - FORGOTTEN)
        missing = object()
        return [
            line
            for key in keys
            for line in differences(one.get(key, missing), other.get(key, missing), f"{place}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for number, pair in pairs for line in differences(*pair, f"{place}[{number}]")]
    return [] if one == other else [f"{place}: {_short(one)} is not {_short(other)}"]


def _short(value):
    text = "nothing" if type(value) is object else repr(value)
    return text if len(text) < 200 else text[:200] + "..."


def test_differences_are_told():
    one = {"a": [1, {"b": 2, "seconds": 3}], "c": 4}
    assert differences(one, {"a": [1, {"b": 2, "seconds": 9}], "c": 4}) == []
    assert differences(one, {"a": [1, {"b": 5}]}) == [".a[1].b: 2 is not 5", ".c: 4 is not nothing"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    campaign = OnQueue(tmp_path_factory.mktemp("undisturbed"), KILLED, per_allocation=50)
    campaign.submit()
    _, typical = campaign.to_its_end()
    assert set(map(tuple, campaign.attempts().values())) == {("completed",)}
    return campaign.documents(*COMPARED), typical


def test_kill_9_of_controllers_and_workers_loses_and_repeats_nothing(place, undisturbed):
    """Victims: `matscout advance`, launchers, and their processes.

    A calculation whose process or launcher is killed while it runs counts as out of memory, and starts again twice with
    more of it; one that was waiting for its process to load is not to blame, and starts again as often as is needed.
    """
    expected, typical = undisturbed
    dice = random.Random(7)
    controllers, workers, rounds = 0, [], 0
    while controllers < KILLS or len(workers) < KILLS:  # a quick machine ends a campaign before the last kill
        campaign = OnQueue(place / str(rounds), KILLED, per_allocation=20, cleanup={"completed": "nothing"})
        campaign.submit()
        more = kill_until_done(campaign, dice, typical, KILLS - controllers, KILLS - len(workers))
        controllers, workers = controllers + more[0], workers + more[1]
        rounds += 1
        assert differences(expected, campaign.documents(*COMPARED)) == []
        what_was_left_agrees(campaign)
    assert (controllers, Counter(workers)) == (KILLS, {"launcher": KILLS / 2, "process": KILLS / 2})


def what_was_left_agrees(campaign):
    """Check the store's attempts against what the nodes left in the launch folders."""
    calculations = campaign.documents("calculations")
    assert len(calculations) == 200
    causes = Counter(attempt["cause"] for one in calculations.values() for attempt in one["attempts"])
    assert causes["memory"] > 0  # some were hit while they ran
    results = defaultdict(list)
    for path in campaign.launches.glob("*/*/*/result.json"):
        results[path.parts[-3]].append(json.loads(path.read_text())["outcome"])
    for key, one in calculations.items():
        outcomes = [attempt["outcome"] for attempt in one["attempts"]]
        assert outcomes[-1] == "completed"
        assert set(outcomes[:-1]) <= {"interrupted", "failed"}
        assert all(attempt["message"] for attempt in one["attempts"][:-1])
        assert results[key].count("completed") == 1
        assert len(results[key]) == 1 + outcomes.count("failed")
        assert [attempt["number"] for attempt in one["attempts"]] == list(range(1, len(outcomes) + 1))
    states = campaign.documents("fireworks").values()
    assert Counter(one["state"] for one in states) == {"COMPLETED": 200}


# -- two at once, and Ctrl-C ---------------------------------------------------------------------------------------


class WithSlowPrograms(OnQueue):
    """A campaign whose scheduler's programs note each call, and take a while where they are told to."""

    def __init__(self, folder, text):
        super().__init__(folder, text, per_allocation=10)
        programs = folder / "programs"
        programs.mkdir()
        self.calls, self._pause = folder / "calls", folder / "pause"
        self.slow_by(0)
        for name in ("sbatch", "squeue"):
            lines = (
                "#!/bin/sh",
                f'echo "{name}" >>{shlex.quote(str(self.calls))}',
                f"sleep $(cat {shlex.quote(str(self._pause))})",
                f'exec {shutil.which(name)} "$@"',
            )
            (programs / name).write_text("\n".join(lines) + "\n")
            (programs / name).chmod(stat.S_IRWXU)
        self.environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def slow_by(self, seconds):
        self._pause.write_text(str(seconds))


@pytest.fixture
def slow(place):
    return WithSlowPrograms(place, SMALL)


def calls(campaign, name):
    return campaign.calls.read_text().split().count(name) if campaign.calls.exists() else 0


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(process):
    """Wait for a command; return its exit code and what it printed."""
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    return process.returncode, output, errors


def everything_was_done_once(campaign):
    assert set(map(tuple, campaign.attempts().values())) == {("completed",)}
    records = campaign.documents("allocations").values()
    given = [one for record in records for one in record["calculations"]]
    assert len(given) == len(set(given))
    assert calls(campaign, "sbatch") == len(records)


def test_of_two_at_once_one_works_and_the_other_says_who_and_leaves(slow):
    slow.submit()
    slow.slow_by(20)
    asked = calls(slow, "squeue")
    with slow.started("advance", "campaign.yaml", "--json") as first:
        wait_until(lambda: calls(slow, "squeue") > asked)
        second = json.loads(slow.run("advance", "campaign.yaml", "--json")[0])
        output, errors = slow.run("advance", "campaign.yaml")
        code, step, words = ended(first)
    assert set(second) == {"busy"}
    assert '"matscout advance small"' in second["busy"]
    assert f"process {first.pid}" in second["busy"]
    assert (output, errors) == ("", f"nothing was done: {second['busy']} is at the store now\n")
    assert (code, words) == (0, "")
    assert "stage" in json.loads(step)
    slow.slow_by(0)
    slow.to_its_end(pause=0.5)
    everything_was_done_once(slow)


def test_several_at_the_same_moment_do_nothing_twice(slow):
    slow.submit()
    stopped = False
    while not stopped:
        with ExitStack() as stack:
            together = [stack.enter_context(slow.started("advance", "campaign.yaml", "--json")) for _ in range(3)]
            for process in together:
                code, output, errors = ended(process)
                assert code == 0, errors
                stopped = stopped or json.loads(output).get("stopped") is not None
    everything_was_done_once(slow)


def test_ctrl_c_in_a_step_is_one_line_and_the_next_step_goes_on(slow):
    slow.submit()
    slow.slow_by(30)
    for moment in ("loading", "asking"):
        before = calls(slow, "squeue")
        with slow.started("advance", "campaign.yaml", "--json") as process:
            if moment == "asking":
                wait_until(lambda before=before: calls(slow, "squeue") > before)
            else:
                time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            code, output, errors = ended(process)
        assert (code, output) == (130, "")
        assert len(errors.splitlines()) <= 1, errors
    slow.slow_by(0)
    slow.to_its_end(pause=0.5)
    everything_was_done_once(slow)


def test_ctrl_c_while_a_job_is_submitted_submits_it_once(slow):
    """The step is stopped while sbatch is at work: whether it made the job is found out by the job's name."""
    slow.slow_by(4)
    with slow.started("submit", "campaign.yaml", "--worker", "node", "--json") as process:
        wait_until(lambda: calls(slow, "sbatch") == 1)
        process.send_signal(signal.SIGINT)
        assert ended(process)[0] == 130
    slow.slow_by(0)
    slow.submit()
    slow.to_its_end(pause=0.5)
    assert set(map(tuple, slow.attempts().values())) == {("completed",)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_watch_and_the_queue_goes_on(slow, number):
    slow.submit()
    for moment in ("between two steps", "in a step"):
        slow.slow_by(20 if moment == "in a step" else 0)
        before = calls(slow, "squeue")
        with slow.started("watch", "campaign.yaml", "--every", "60") as process:
            if moment == "in a step":
                wait_until(lambda before=before: calls(slow, "squeue") > before)
            else:
                assert "done" in process.stdout.readline()
            process.send_signal(number)
            code, output, errors = ended(process)
        assert code == 130, output + errors
        assert output.splitlines()[-1].startswith("stopped watching; what is in the queue goes on")
    slow.slow_by(0)
    assert "small has ended" in slow.run("watch", "campaign.yaml", "--every", "1")[0]
    everything_was_done_once(slow)


# -- MongoDB -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mongodb():
    """A MongoDB that can hold a LaunchPad, emptied: a server of its own kind is not to be had everywhere."""
    from pymongo import MongoClient

    uri = os.environ.get("MATSCOUT_TEST_LAUNCHPAD_URI")
    if not uri:
        pytest.skip("set MATSCOUT_TEST_LAUNCHPAD_URI to a database of a real MongoDB, which the test empties")
    with MongoClient(uri) as client:
        client.drop_database(client.get_default_database().name)
        yield uri, client.get_default_database()


def test_on_mongodb_it_is_a_launchpad_that_lpad_reads(place, mongodb):
    uri, database = mongodb
    campaign = OnQueue(place, SMALL + f"store: {uri}\n", per_allocation=10)
    campaign.submit()
    campaign.to_its_end(pause=0.5)
    states = Counter(one["state"] for one in database["fireworks"].find())
    assert states == {"COMPLETED": database["calculations"].count_documents({"state": "completed"})}
    (place / "launchpad.yaml").write_text(json.dumps({"host": uri, "uri_mode": True}))
    lpad = Path(sys.executable).with_name("lpad")
    shown = subprocess.run(
        [lpad, "-l", "launchpad.yaml", "get_fws", "-s", "COMPLETED", "-d", "count"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split()[-1] == str(states["COMPLETED"])
    password = uri.partition("://")[2].rpartition("@")[0].partition(":")[2]
    written = [path for path in campaign.launches.rglob("*") if path.is_file()]
    assert not password or not any(password in path.read_text("utf-8", "replace") for path in written)
    assert not password or not any(password in str(one) for one in database["fireworks"].find())
