"""VASP to its last input file, and from its first output file: between the two stands a program that is not here."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import ase.io
import ase.test
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.workflows.calculations import get_protocol
from matscout.workflows.calculations import vasp as code
from matscout.workflows.calculations.inputs import input_files
from matscout.workflows.calculations.reading import UnreadableOutputError

GOLDEN = Path(__file__).parent / "golden"
REAL = Path(ase.test.__file__).parent / "testdata" / "vasp"  # what VASP 6.3 wrote, as it comes with ASE
PROTOCOLS = ("vasp-mp-gga", "vasp-mp-r2scan")


def crystal(cation, anion, length):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], sites).get_primitive_structure()


CRYSTALS = {"NiO": crystal("Ni", "O", 4.2), "NaCl": crystal("Na", "Cl", 5.7)}


@pytest.mark.parametrize("formula", CRYSTALS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_input_file_is_the_golden_one(name, formula):
    files = input_files(get_protocol(name), CRYSTALS[formula])
    golden = GOLDEN / name / formula
    if "MATSCOUT_WRITE_GOLDEN" in os.environ:
        for path, content in files.items():
            (golden / path).parent.mkdir(parents=True, exist_ok=True)
            (golden / path).write_text(content)
    expected = {str(p.relative_to(golden)): p.read_text() for p in golden.rglob("*") if p.is_file()}
    assert sorted(files) == sorted(expected)
    for path, content in files.items():
        assert content == expected[path], path


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_installed_packages_hold_the_settings_written_down(name):
    settings = get_protocol(name).settings
    installed = code.installed_settings(settings["flow"])
    assert {key: settings[key] for key in installed} == installed


def test_an_update_of_the_packages_that_changes_a_setting_is_refused(monkeypatch):
    from pymatgen.io.vasp.sets import MPRelaxSet

    monkeypatch.setitem(MPRelaxSet.CONFIG["INCAR"], "ENCUT", 600)
    with pytest.raises(UserError, match=r"differ in config\.INCAR\.ENCUT: install the versions of constraints\.txt"):
        get_protocol("vasp-mp-gga").maker()


def test_a_setting_that_was_put_right_is_no_difference(monkeypatch):
    from pymatgen.io.vasp.sets import MPRelaxSet

    for part, key, value in (("INCAR", "ENCUT", 600), ("KPOINTS", "reciprocal_density", 100), ("POTCAR", "Na", "Na")):
        monkeypatch.setitem(MPRelaxSet.CONFIG[part], key, value)
    right = {"incar.ENCUT": 520, "kpoints.reciprocal_density": 64, "potcar.Na": "Na_pv"}
    for missing in right:
        with pytest.raises(UserError, match=r"differ in config\.\w+\.\w+: install the versions of constraints\.txt"):
            get_protocol("vasp-mp-gga", {key: right[key] for key in right if key != missing}).maker()
    first = code.input_sets(get_protocol("vasp-mp-gga", right), CRYSTALS["NaCl"])["1-relax"]
    assert (first["INCAR"]["ENCUT"], first["POTCAR.spec"].split()) == (520, ["Na_pv", "Cl"])


def test_tags_of_a_relaxation_leave_the_static_run_alone():
    asked = {"NSW": 200, "IBRION": 1, "ISIF": 2, "POTIM": 0.1, "EDIFFG": -0.01}
    for name in PROTOCOLS:
        usual = code.input_sets(get_protocol(name), CRYSTALS["NaCl"])["3-static"]["INCAR"]
        tags = {
            stage: {tag: inputs["INCAR"].get(tag) for tag in asked}
            for stage, inputs in code.input_sets(get_protocol(name, {"incar": asked}), CRYSTALS["NaCl"]).items()
        }
        assert tags == {"1-relax": asked, "2-relax": asked, "3-static": {tag: usual.get(tag) for tag in asked}}
        assert usual["NSW"] == 0


def test_tags_of_the_users_own_atomate2_settings_reach_no_file(monkeypatch, tmp_path):
    from atomate2.vasp import files
    from pymatgen.io.vasp import Incar

    monkeypatch.setattr(files, "SETTINGS", SimpleNamespace(VASP_INCAR_UPDATES={"ENCUT": 300}))
    for number, stage in enumerate(code._stage_makers(get_protocol("vasp-mp-gga").maker())):
        folder = tmp_path / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen's advice
            files.write_vasp_input_set(
                CRYSTALS["NaCl"], stage.input_set_generator, folder, potcar_spec=True, **stage.write_input_set_kwargs
            )
        assert Incar.from_file(folder / "INCAR")["ENCUT"] == 520


def test_changed_potentials_reach_every_stage():
    sets = code.input_sets(get_protocol("vasp-mp-gga", {"potcar.Na": "Na"}), CRYSTALS["NaCl"])
    assert [inputs["POTCAR.spec"].split() for inputs in sets.values()] == [["Na", "Cl"]] * 3


def test_other_changed_tags_reach_every_stage():
    protocol = get_protocol("vasp-mp-gga", {"incar": {"ENCUT": 600, "LREAL": False}, "kpoints.reciprocal_density": 400})
    sets = code.input_sets(protocol, CRYSTALS["NaCl"])
    assert [inputs["INCAR"]["ENCUT"] for inputs in sets.values()] == [600] * 3
    usual = code.input_sets(get_protocol("vasp-mp-gga"), CRYSTALS["NaCl"])
    denser = [np.prod(inputs["KPOINTS"].kpts[0]) for inputs in sets.values()]
    assert all(new > np.prod(old["KPOINTS"].kpts[0]) for new, old in zip(denser, usual.values(), strict=True))


def test_the_moments_and_u_of_the_input_are_recorded():
    start = code.magnetic_start(get_protocol("vasp-mp-gga"), CRYSTALS["NiO"], None)
    assert (start.moments, start.hubbard_u, start.ordering) == ((5.0, 0.6), {"Ni": 6.2}, "ferromagnetic")
    start = code.magnetic_start(get_protocol("vasp-mp-r2scan"), CRYSTALS["NiO"], None)
    assert start.hubbard_u == {}


def test_an_ordering_reaches_the_input():
    structure = CRYSTALS["NiO"] * (2, 1, 1)
    structure.add_site_property("magmom", [5.0, -5.0, 0.6, 0.6])
    assert code.magnetic_start(get_protocol("vasp-mp-gga"), structure, "one").moments == (5.0, -5.0, 0.6, 0.6)


def test_custodians_handlers_are_those_named():
    protocol = get_protocol("vasp-mp-gga", {"custodian": {"handlers": ["VaspErrorHandler"], "max_errors": 2}})
    options = protocol.maker().static_maker.run_vasp_kwargs
    assert [type(handler).__name__ for handler in options["handlers"]] == ["VaspErrorHandler"]
    assert options["max_errors"] == 2
    with pytest.raises(UserError, match="custodian has no handler NoSuchHandler"):
        get_protocol("vasp-mp-gga", {"custodian.handlers": ["NoSuchHandler"]}).maker()


@pytest.fixture
def real_document(tmp_path):
    """The task document of a real vasprun.xml; its OUTCAR is another run's, as none comes with it."""
    from emmet.core.tasks import TaskDoc
    from pymatgen.io.vasp import Vasprun

    shutil.copy(REAL / "vasprun_dfpt.xml", tmp_path / "vasprun.xml")
    shutil.copy(REAL / "OUTCAR_example_1", tmp_path / "OUTCAR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the readers' own, on old and foreign files
        Vasprun(REAL / "vasprun_dfpt.xml", parse_potcar_file=False).final_structure.to(
            tmp_path / "CONTCAR", fmt="poscar"
        )
        return TaskDoc.from_directory(tmp_path)


def test_a_real_output_is_read_as_ase_reads_it(real_document):
    atoms = ase.io.read(REAL / "vasprun_dfpt.xml")
    protocol = get_protocol("vasp-mp-gga")
    structure = real_document.output.structure
    runs = dict.fromkeys(("MP GGA relax 1", "MP GGA relax 2", "MP GGA static"), real_document)
    fields = protocol.read(runs, structure)
    assert fields["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    assert np.allclose(fields["steps"][0].stress, atoms.get_stress(), atol=1e-10)
    assert np.allclose(fields["steps"][0].forces, atoms.get_forces())
    assert [step.stage for step in fields["steps"]] == ["1-relax", "2-relax", "3-static"]
    assert fields["run"]["potcar_spec"][0]["titel"] == "PAW_PBE Na 08Apr2002"
    assert fields["run"]["vasp_version"] == "6.3.2"


def test_a_step_of_another_functional_says_so(real_document):
    protocol = get_protocol("vasp-mp-r2scan")
    runs = dict.fromkeys(("PBEsol relax", "r2SCAN relax", "r2SCAN static"), real_document)
    fields = protocol.read(runs, real_document.output.structure)
    assert {step.functional for step in fields["steps"]} == {"PBE"}


def test_a_flow_without_its_static_run_has_no_energy(real_document):
    with pytest.raises(UnreadableOutputError, match="2 of 3 VASP runs left a task document"):
        get_protocol("vasp-mp-gga").read({"1": real_document, "2": real_document}, real_document.output.structure)


FLOW = """
import functools, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from atomate2.vasp import run
from pymatgen.io.vasp import Vasprun
from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.calculations import calculate, get_protocol, vasp

run.Custodian = functools.partial(run.Custodian, polling_time_step=0.1)  # it looks every 10 s otherwise
written, folder = sys.argv[1:]
made = vasp.maker
def without_potentials(protocol):
    maker = made(protocol)
    for stage in vasp._stage_makers(maker):
        stage.write_input_set_kwargs["potcar_spec"] = True
    return maker
vasp.maker = without_potentials
structure = Vasprun(written, parse_potcar_file=False).initial_structure
protocol = get_protocol("vasp-mp-gga")
request = CalculationRequest.of(
    Geometry.from_structure(structure), protocol=protocol.name, protocol_id=protocol.id, subject="test"
)
print(calculate(request, Path(folder)).model_dump_json())
"""


def run_flow_with(command, folder):
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FLOW, str(REAL / "vasprun_dfpt.xml"), str(folder)],
        env=os.environ | {"ATOMATE2_VASP_CMD": command, "ATOMATE2_VASP_GAMMA_CMD": command},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    from matscout.db.documents import CalculationResult

    return CalculationResult.model_validate_json(done.stdout.splitlines()[-1])


def test_the_whole_flow_runs_by_the_workers_command_and_is_read(tmp_path):
    result = run_flow_with(f"{sys.executable} {Path(__file__).with_name('fake_vasp.py')}", tmp_path / "run")
    assert (result.outcome, result.message) == ("completed", None)
    assert [step.stage for step in result.steps] == ["1-relax", "2-relax", "3-static"]
    assert result.energy == pytest.approx(-6.74587304)
    assert result.magnetism.moments == (0.6, 0.6)
    jobs = sorted(path.name.rsplit("-", 2)[0] for path in (tmp_path / "run").iterdir() if path.is_dir())
    assert jobs == ["MP-GGA-relax-1", "MP-GGA-relax-2", "MP-GGA-static"]


@pytest.mark.parametrize(
    ("command", "cause", "evidence"),
    [
        ("/bin/false", "parse", "custodian.json: custodian: VasprunXMLValidator failed"),
        ("sh -c vasp_that_is_nowhere", "node", "vasp_that_is_nowhere: (command )?not found$"),
    ],
)
def test_a_run_command_that_fails_is_a_failure_with_its_evidence(tmp_path, command, cause, evidence):
    result = run_flow_with(command, tmp_path / "run")
    assert (result.outcome, result.cause) == ("failed", cause)
    assert re.search(evidence, result.evidence)
