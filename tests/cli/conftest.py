"""What tests of commands need."""

import json
import sys
from functools import partial

import pytest
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.cli import main
from matscout.settings import get_settings
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
