"""`matscout protocols` and `matscout inputs`, as a person calls them."""

import json

import pytest
from pymatgen.core import Lattice, Structure


@pytest.fixture
def salt(tmp_path):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.7), ["Na", "Cl"], sites)
    path = tmp_path / "NaCl.cif"
    structure.to(str(path))
    return path


def test_all_protocols_are_listed(matscout):
    lines = matscout("protocols").splitlines()
    assert {line.split()[0] for line in lines[1:-1]} >= {"chgnet-relax", "gpaw-pbe", "vasp-mp-gga", "custom"}
    assert lines[-1] == "all settings of one: matscout protocols NAME"


def test_one_protocol_is_shown_with_what_was_changed(matscout):
    shown = matscout("protocols", "gpaw-pbe", "--override", "cutoff_eV=500")
    assert "changed      cutoff_eV: 500.0" in shown
    assert "  cutoff_eV: 500.0" in shown
    content = json.loads(matscout("protocols", "gpaw-pbe", "--json"))
    assert content["settings"]["cutoff_eV"] == 700.0
    assert content["id"] not in shown


def test_the_input_files_of_vasp_are_written(matscout, salt, tmp_path):
    vasp = ("inputs", salt, "--protocol", "vasp-mp-gga", "-o", "in")
    assert "13 files in in" in matscout(*vasp, "--override", "incar.ENCUT=600")
    assert "ENCUT = 600" in (tmp_path / "in/3-static/INCAR").read_text()
    assert (tmp_path / "in/1-relax/POTCAR.spec").read_text().split() == ["Na_pv", "Cl"]
    assert "is there already with another content" in matscout(*vasp, code=2)


def test_a_candidate_of_the_campaign_here_is_written(matscout, tiny_file):
    content = json.loads(matscout("inputs", "KMgF3", "-o", "in", "--json"))
    assert content["protocol"] == "chgnet-static"
    assert Structure.from_file(tiny_file.parent / "in/POSCAR").composition.reduced_formula == "KMgF3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("NaCl.cif", "-o", "in"), "name a protocol with --protocol"),
        (("NaCl.cif", "-o", "in", "--protocol", "gpaw"), 'unknown protocol "gpaw"'),
        (("NaCl.cif", "-o", "in", "--protocol", "vasp-mp-gga", "--override", "x"), "KEY=VALUE"),
        (("NaCl.cif", "-o", "NaCl.cif", "--protocol", "vasp-mp-gga"), "is a file: name a folder"),
        (("none.cif", "-o", "in", "--protocol", "vasp-mp-gga"), "no file none.cif here"),
    ],
    ids=["no protocol", "unknown protocol", "no override", "a file", "no crystal"],
)
def test_a_mistake_is_said(matscout, salt, arguments, message):
    assert message in matscout("inputs", *arguments, code=2)
