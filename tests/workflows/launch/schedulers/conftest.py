"""Schedulers that are not here, played by programs that keep a job table in a file."""

import json
import sys
from pathlib import Path

import pytest

from matscout.workflows.launch.schedulers import AllocationRequest, make_scheduler
from matscout.workflows.launch.workers_file import Worker

PROGRAMS = {
    "slurm": ("sbatch", "squeue", "scontrol", "sacct", "scancel"),
    "pbs": ("qsub", "qstat", "qselect", "qdel"),
    "sge": ("qsub", "qstat", "qacct", "qdel"),
    "lsf": ("bsub", "bjobs", "bkill"),
}
NAME = "ms-0123456789ab"


def worker(scheduler, **keys):
    given = {"name": "cluster", "scheduler": scheduler, "launch_folder": "/scratch/runs", "walltime": "01:00:00"}
    return Worker.model_validate({**given, **keys})


class FakeCluster:
    """A scheduler's programs, on PATH, and their table."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.table = self.bin / "table.json"
        self.write({"kind": kind, "mood": "well", "next": 101, "jobs": {}})
        source = (Path(__file__).parent / "fake_programs.py").read_text()
        for program in PROGRAMS[kind]:
            (self.bin / program).write_text(f"#!{sys.executable} -IS\n{source}")
            (self.bin / program).chmod(0o755)
        self.scheduler = make_scheduler(worker(kind))
        self.folder = folder / "runs" / "an allocation's folder"
        self.folder.mkdir(parents=True)

    def write(self, table):
        self.table.write_text(json.dumps(table))

    def day(self, mood, **more):
        self.write({**json.loads(self.table.read_text()), "mood": mood, **more})

    def change(self, job, **keys):
        table = json.loads(self.table.read_text())
        table["jobs"][job.partition(".")[0]] |= keys
        self.write(table)

    def forget(self, job):
        table = json.loads(self.table.read_text())
        del table["jobs"][job.partition(".")[0]]
        self.write(table)

    def submit(self, name=NAME):
        script = self.folder / "job.sh"
        script.write_text(self.scheduler.script(AllocationRequest(name, self.folder)))
        return self.scheduler.submit(script)


@pytest.fixture(params=list(PROGRAMS))
def cluster(request, tmp_path, monkeypatch):
    return prepared(request.param, tmp_path, monkeypatch)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return prepared("slurm", tmp_path, monkeypatch)


def prepared(kind, tmp_path, monkeypatch):
    fake = FakeCluster(kind, tmp_path)
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    return fake
