"""What tests of commands need."""

import json
import sys
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.cli import main
from matscout.db.documents import CalculationRequest
from matscout.settings import get_settings
from matscout.workflows.calculations.causes import Finding
from matscout.workflows.calculations.run import calculate
from matscout.workflows.launch.allocation import LauncherStart, announce, read_allocation
from matscout.workflows.launch.folders import LOG, RESULT, Claim, claim, failure, read_request
from matscout.workflows.stability import read_entries

SALT = {"Na": -1.3, "Cl2": -3.6, "NaCl": -7.2, "Na3Cl": -7.6}
"""Energies in eV per formula unit."""


@pytest.fixture(scope="session")
def write_entries():
    """Return what writes a file of entries of these energies, in eV per formula unit, under ids such as id-NaCl."""

    def write(path, energies=SALT):
        entries = [ComputedEntry(formula, energy, entry_id=f"id-{formula}") for formula, energy in energies.items()]
        path.write_text(json.dumps([entry.as_dict() for entry in entries]))
        return path

    return write


@pytest.fixture
def command(capfd, monkeypatch, tmp_path):
    """Run `matscout` in this process, in a folder and with a cache of its own; return what it prints and complains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MATSCOUT_STORE", raising=False)
    monkeypatch.setenv("MATSCOUT_CACHE", str(tmp_path / ".cache"))
    get_settings.cache_clear()

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["matscout", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, "Traceback" in err) == (code, False), err
        return out, err

    yield run
    get_settings.cache_clear()


@pytest.fixture
def matscout(command):
    """Run `matscout`; return what it prints, or complains where it is to end with a code other than 0."""

    def run(*arguments, code=0):
        out, run.err = command(*arguments, code=code)
        return out if code == 0 else run.err

    return run


@pytest.fixture
def hull(command):
    """Run `matscout hull`; return what it prints and complains."""
    return partial(command, "hull")


@pytest.fixture
def refused(hull):
    """Run it with a mistake: one sentence on standard error, nothing on standard output."""

    def run(*arguments):
        out, err = hull(*arguments, code=2)
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture
def salt(tmp_path, write_entries):
    return write_entries(tmp_path / "salt.json")


@pytest.fixture(scope="module")
def iron_oxides(data):
    return data / "entries" / "pd_entries_test.csv"


@pytest.fixture(scope="module")
def diagram(iron_oxides):
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    return PhaseDiagram(read_entries(iron_oxides))


SMALL = """\
name: small
space:
  prototypes: [cubic-perovskite]
  elements: {A: [K, Rb], B: [Mg, Ca], X: [F]}
protocol: chgnet-static
references: {source: computed, prototypes_per_stoichiometry: 1}
budget: {calculations: 3, first_batch: 2, batch: 1}
"""
"""A campaign of four candidates whose calculations take milliseconds."""

WORKER = """\
{name}:
  scheduler: {kind}
  launch_folder: {folder}/scratch
  walltime: 01:00:00
  per_allocation: 100
  cleanup: {{completed: nothing, failed: nothing}}
"""


PROGRAMS = {
    "slurm": ("sbatch", "squeue", "scontrol", "sacct", "scancel"),
    "pbs": ("qsub", "qstat", "qselect", "qdel"),
    "sge": ("qsub", "qstat", "qacct", "qdel"),
    "lsf": ("bsub", "bjobs", "bkill"),
}


class Centre:
    """A folder with a campaign and a file of workers, and a cluster whose nodes work when they are told to.

    The scheduler is played by programs that keep a job table in a file.
    """

    def __init__(self, folder, kind):
        self.folder = folder
        self.file = folder / "small.yaml"
        self.file.write_text(SMALL)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.table = self.bin / "table.json"
        self.become(kind)

    def become(self, kind):
        """Have the programs of another scheduler, and a worker that uses it."""
        self.workers(kind)
        self.table.write_text(json.dumps({"kind": kind, "mood": "well", "next": 101, "jobs": {}}))
        source = Path(__file__).parents[1] / "workflows" / "launch" / "schedulers" / "fake_programs.py"
        for program in PROGRAMS[kind]:
            (self.bin / program).write_text(f"#!{sys.executable} -IS\n{source.read_text()}")
            (self.bin / program).chmod(0o755)

    def workers(self, kind, *names):
        text = "".join(WORKER.format(name=name, kind=kind, folder=self.folder) for name in names or ("cluster",))
        (self.folder / "workers.yaml").write_text(text)

    def jobs(self):
        return json.loads(self.table.read_text())["jobs"]

    def change(self, state=None, **keys):
        """Give all jobs that wait a state, or change the table itself."""
        table = json.loads(self.table.read_text()) | keys
        for job in table["jobs"].values():
            job["state"] = state if state and job["state"] == "waiting" else job["state"]
        self.table.write_text(json.dumps(table))

    def work(self, fails=lambda _request: None):
        """Let the nodes do what waits; `fails` gives the cause of a request that is to fail."""
        for allocation in (self.folder / "scratch").glob("*/allocations/*/allocation.json"):
            if not (allocation.parent / "done").exists():
                (allocation.parent / "done").touch()
                self._do(allocation.parent, fails)
        self.change("completed")

    @staticmethod
    def _do(folder, fails):
        when = "2026-01-01T00:00:00Z"
        given = read_allocation(folder)
        announce(folder, LauncherStart(launcher="l", allocation=given.id, host="n", pid=1, started=when))
        for launch in map(Path, (one.folder for one in given.launches)):
            assert claim(launch, Claim(launcher="l", host="n", pid=1, started=when))
            request = read_request(launch)
            (launch / LOG).write_text("first line\nthe last line\n")
            if cause := fails(request):
                finding = Finding(cause=cause, evidence=f"log.txt: {cause}!", message=f"it failed by {cause}")
                (launch / RESULT).write_text(failure(request, finding).model_dump_json())
            else:
                (launch / RESULT).write_text(_calculated(request.model_dump_json()))


@cache
def _calculated(request):
    with TemporaryDirectory() as folder:
        return calculate(CalculationRequest.model_validate_json(request), Path(folder)).model_dump_json()


@pytest.fixture(scope="session")
def make_centre():
    """Return what makes a centre in a folder, whose programs are to be put on PATH."""
    return Centre


@pytest.fixture
def centre(command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Centre(tmp_path, "slurm")


@pytest.fixture
def submitted(centre, matscout):
    """A centre where the campaign is on the queue."""
    matscout("submit", "--worker", "cluster")
    return centre
