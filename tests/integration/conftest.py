"""The Slurms that tests/integration/run has started, and what a person, the power and the network do to it."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def pytest_configure(config):
    """Give each process of tests its own one of the Slurms that were started."""
    started = os.environ.get("MATSCOUT_TEST_SLURM_CONF")
    shares_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if started and not shares_out:
        several = started.split(os.pathsep)
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.environ["MATSCOUT_TEST_SLURM_CONF"] = several[number % len(several)]


class LoopSlurm:
    """The Slurm of a slurm.conf, in a folder as `tests/integration/slurm.sh` makes it."""

    def __init__(self, conf):
        self.conf = Path(conf)
        self.folder = self.conf.parent.resolve()
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(conf),
            "PATH": f"{os.environ['PATH']}{os.pathsep}/usr/sbin:/sbin",
        }

    @staticmethod
    def until(condition, seconds=60.0, tell=lambda: "it did not come true"):
        """Wait for something."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, tell()
            time.sleep(0.1)

    def ask(self, *command):
        """Run one of Slurm's programs, and return what it prints."""
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def jobs(self):
        """Return the numbers of all jobs that live."""
        return self.ask("squeue", "--noheader", "--format=%i").split()

    def wait_for(self, job, *states, seconds=60.0):
        """Wait until a job is in one of some states, in Slurm's own words."""

        def state():
            shown = self.ask("scontrol", "--oneliner", "show", "job", job).split()
            return next(part.removeprefix("JobState=") for part in shown if part.startswith("JobState="))

        self.until(lambda: state() in states, seconds, state)

    def end_controller(self):
        """End slurmctld, as for maintenance: killed, it forgets what it has not written down for seconds."""
        number = int((self.folder / "slurmctld.pid").read_text())
        os.kill(number, signal.SIGTERM)
        self.until(lambda: not _lives(number), 30.0)

    def start_controller(self):
        self._start("slurmctld", "-f", str(self.conf))
        self.until(self._answers, 30.0)

    @contextmanager
    def configured(self, line):
        """Restart slurmctld with a further line in its configuration."""
        text = self.conf.read_text()
        try:
            for content in (f"{text}{line}\n", text):
                self.end_controller()
                self.conf.write_text(content)
                self.start_controller()
                if content != text:
                    yield
        finally:
            self.conf.write_text(text)

    def end_node(self):
        """Kill slurmd and every slurmstepd; return the processes of jobs, which nobody has an eye on now."""
        daemons = [number for number in self._processes() if _name(number) in {"slurmd", "slurmstepd"}]
        left = [one for number in daemons if _name(number) == "slurmstepd" for one in _descendants(number)]
        for number in daemons:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return left

    def start_node(self):
        self._start("slurmd", "-f", str(self.conf), "-N", "localhost")
        ready = {"idle", "mixed", "allocated"}
        self.until(lambda: self.ask("sinfo", "--noheader", "--format=%T") in ready, 60.0, lambda: self.ask("sinfo"))

    def heal(self):
        """Make everything run again, without a job."""
        if not self._answers():
            self.start_controller()
        if not any(_name(number) == "slurmd" for number in self._processes()):
            self.start_node()
        for job in self.jobs():
            self.ask("scancel", job)
        self.until(lambda: not self.jobs(), 60.0, self.jobs)

    def _answers(self):
        return subprocess.run(["squeue"], env=self.environment, check=False, capture_output=True).returncode == 0

    def _processes(self):
        """Return the processes with an open file in this Slurm's folder: there may be other Slurms on this machine."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if str(entry.readlink()).startswith(f"{self.folder}/"):
                    found.add(int(entry.parts[2]))
        return sorted(found)

    def _start(self, *command):
        with (self.folder / "log" / "restarted.out").open("a") as output:
            nothing = subprocess.DEVNULL
            subprocess.run(command, env=self.environment, check=True, stdin=nothing, stdout=output, stderr=output)


def _descendants(number):
    with suppress(OSError):
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        return [one for child in map(int, children) for one in (child, *_descendants(child))]
    return []


def _name(number):
    with suppress(OSError):
        return Path(f"/proc/{number}/comm").read_text().strip()
    return ""


def _lives(number):
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture(scope="module")
def loop_slurm():
    """The Slurm on loopback, without a job at the beginning, and well at the end."""
    slurm = LoopSlurm(os.environ["MATSCOUT_TEST_SLURM_CONF"])
    slurm.heal()
    yield slurm
    slurm.heal()
