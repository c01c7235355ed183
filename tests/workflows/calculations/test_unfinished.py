"""Ionic steps of calculations that fail before their end. EMT is in the place of GPAW, CHGNet is itself."""

import sys
from pathlib import Path

import ase.calculators.emt
import ase.test
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.calculations import calculate, get_protocol
from matscout.workflows.calculations.protocols import Protocol
from matscout.workflows.calculations.unfinished import steps_until_failure

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # emmet's call of spglib

MAKERS = '''
"""A Maker whose second job fails, and one whose program is not there."""

import subprocess
from dataclasses import dataclass

from atomate2.ase.jobs import EmtRelaxMaker
from jobflow import Flow, Maker, job


@job
def static(structure):
    raise ArithmeticError("the second job failed")


@job
def program(structure):
    subprocess.run(["a_program_that_is_nowhere"], check=True)


@dataclass
class Two(Maker):
    name: str = "two"
    second: str = "static"

    def make(self, structure):
        relax = EmtRelaxMaker(name="relax").make(structure)
        return Flow([relax, globals()[self.second](relax.output.structure)])
'''


def request_of(structure, name, overrides=None):
    protocol = get_protocol(name, overrides)
    return CalculationRequest.of(
        Geometry.from_structure(structure),
        protocol=name,
        protocol_id=protocol.id,
        subject="candidate:test",
        overrides=protocol.overrides,
    )


@pytest.fixture
def copper():
    return Structure(Lattice.cubic(3.7), ["Cu"] * 4, [[0, 0, 0], [0.5, 0.5, 0.02], [0.5, 0, 0.5], [0, 0.5, 0.5]])


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Return the settings of the Maker whose second job fails."""
    (tmp_path / "two_jobs.py").write_text(MAKERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield {"maker": "two_jobs.Two"}
    sys.modules.pop("two_jobs", None)


def test_steps_of_jobs_that_ended_before_one_failed_are_kept(copper, tmp_path, two):
    folder = tmp_path / "run"
    folder.mkdir()
    result = calculate(request_of(copper, "custom", two), folder)
    assert (result.outcome, result.message) == ("failed", "ArithmeticError: the second job failed")
    assert len(result.steps) > 2
    assert {step.stage for step in result.steps} == {"relax"}
    assert np.allclose(result.steps[0].coords, copper.cart_coords)
    assert result.steps[-1].energy < result.steps[0].energy
    assert result.n_steps == len(result.steps) - 1
    assert result.geometry is None


def test_a_program_that_is_not_there_is_nobodys_result(copper, tmp_path, two):
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="a_program_that_is_nowhere"):
        calculate(request_of(copper, "custom", two | {"maker_settings.second": "program"}), folder)


def test_steps_of_a_relaxation_that_fails_on_its_way_are_kept(copper, tmp_path, monkeypatch):
    from matscout.workflows.calculations.gpaw import GpawMaker

    energies = []

    class FailingEMT(ase.calculators.emt.EMT):
        def calculate(self, *arguments, **options):
            if len(energies) == 4:
                raise ArithmeticError("the electrons did as they liked")
            super().calculate(*arguments, **options)
            energies.append(self.results["energy"])

    monkeypatch.setattr(GpawMaker, "calculator_of", lambda *_: FailingEMT())
    monkeypatch.setattr(GpawMaker, "_get_calculator", lambda _: FailingEMT())
    monkeypatch.setattr(Protocol, "versions", lambda _: {})
    result = calculate(request_of(copper, "gpaw-pbe"), tmp_path)
    assert (result.outcome, result.message) == ("failed", "ArithmeticError: the electrons did as they liked")
    # EMT is asked once more for moments that it does not have
    assert [step.energy for step in result.steps] == pytest.approx(list(dict.fromkeys(energies)))
    assert {step.stage for step in result.steps} == {"relax"}
    assert np.allclose(result.steps[0].coords, copper.cart_coords)
    assert all(step.stress is not None and len(step.forces) == 4 for step in result.steps)


def test_steps_of_a_vasp_run_that_was_cut_off_are_kept(tmp_path):
    text = (Path(ase.test.__file__).parent / "testdata" / "vasp" / "vasprun_dfpt.xml").read_text()
    step = text[text.index("<calculation>") : text.index("</calculation>") + len("</calculation>")]
    folder = tmp_path / "MP-GGA-relax-1-0123abcd-1"
    folder.mkdir()
    (folder / "vasprun.xml").write_text(text.partition(step)[0] + step * 2 + step[: len(step) // 2])
    steps = steps_until_failure(get_protocol("vasp-mp-gga"), tmp_path)
    assert [one.stage for one in steps] == ["1-relax"] * 2
    assert steps[0].energy == pytest.approx(-6.74587304)
    (folder / "vasprun.xml").write_text("")
    assert steps_until_failure(get_protocol("vasp-mp-gga"), tmp_path) == ()


def test_a_displacement_that_fails_takes_nothing_away_from_those_before_it(monkeypatch):
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    magnesia = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Mg", "O"], sites).get_primitive_structure()
    run_ase, calls = ChgnetMaker.run_ase, []

    def fails_at_the_third(maker, *arguments, **options):
        calls.append(maker)
        if len(calls) == 3:
            raise RuntimeError("the network diverged")
        return run_ase(maker, *arguments, **options)

    monkeypatch.setattr(ChgnetMaker, "run_ase", fails_at_the_third)
    result = calculate(request_of(magnesia, "chgnet-phonons", {"check.least_length_A": 2.0}))
    assert (result.outcome, result.message) == ("failed", "RuntimeError: the network diverged")
    assert "run.py" in result.traceback
    assert [step.stage for step in result.steps][-1] == "displacement-1"
    assert {step.stage for step in result.steps} == {"relax", "displacement-1"}
