"""Makers of the user's own, here two of atomate2's: ASE's EMT for copper, and CHGNet."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.errors import UserError
from matscout.workflows.calculations import calculate, get_protocol

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # emmet's call of spglib

RELAX = {"maker": "atomate2.ase.jobs.EmtRelaxMaker", "functional": "EMT", "maker_settings.relax_kwargs.fmax": 0.01}


@pytest.fixture
def copper():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.7), ["Cu"], [[0, 0, 0]]).get_primitive_structure()


def request_of(structure, overrides):
    protocol = get_protocol("custom", overrides)
    return CalculationRequest.of(
        Geometry.from_structure(structure),
        protocol=protocol.name,
        protocol_id=protocol.id,
        subject="candidate:test",
        overrides=protocol.overrides,
    )


def emt_energy(length):
    atoms = bulk("Cu", "fcc", a=length)
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def test_any_maker_by_its_name_gives_an_ordinary_result(copper, tmp_path):
    result = calculate(request_of(copper, RELAX), tmp_path)
    assert (result.outcome, result.message) == ("completed", None)
    assert result.steps[0].energy == pytest.approx(emt_energy(3.7), abs=1e-6)
    lengths = np.linspace(3.55, 3.65, 21)
    assert result.energy == pytest.approx(min(map(emt_energy, lengths)), abs=1e-3)
    assert (4 * result.final_volume) ** (1 / 3) == pytest.approx(
        lengths[np.argmin([emt_energy(x) for x in lengths])], abs=0.01
    )
    assert result.prototype_kept
    assert len(result.steps) == result.n_steps + 1


def test_it_is_a_protocol_of_its_own():
    one, other = (
        get_protocol("custom", RELAX),
        get_protocol("custom", RELAX | {"maker_settings.relax_kwargs.fmax": 0.1}),
    )
    assert len({one.id, other.id, get_protocol("custom").id}) == 3
    assert (one.functional, one.maker_name) == ("EMT", RELAX["maker"])
    assert "atomate2" in one.versions()


def test_the_environment_is_searched_once(monkeypatch):
    from matscout.workflows.calculations import custom

    searches = []
    monkeypatch.setattr(custom, "packages_distributions", lambda: searches.append(1) or {"atomate2": ["atomate2"]})
    custom._distributions.cache_clear()
    for fmax in (0.1, 0.2, 0.3):
        get_protocol("custom", RELAX | {"maker_settings.relax_kwargs.fmax": fmax})
    custom._distributions.cache_clear()
    assert searches == [1]


def test_a_restart_in_the_same_folder_runs_nothing_again(copper, tmp_path):
    first = calculate(request_of(copper, RELAX), tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("output.json")}
    second = calculate(request_of(copper, RELAX), tmp_path)
    assert second.steps == first.steps
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("output.json")} == written
    assert len(written) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, "needs the dotted name of a Maker"),
        ({"maker": "Maker"}, "is no dotted name"),
        ({"maker": "no_such_package.Maker"}, "cannot be imported"),
        ({"maker": "atomate2.ase.jobs.EmtRelaxMakr"}, "Nearest: EmtRelaxMaker"),
        ({"maker": "atomate2.ase.jobs.AseResult"}, "is no Maker"),
        ({"maker": "atomate2.ase.jobs.EmtRelaxMaker", "maker_settings.step": 3}, "takes no step. Nearest: steps"),
    ],
    ids=["none", "no module", "not installed", "misspelt", "no maker", "unknown option"],
)
def test_what_cannot_be_made_is_named(overrides, message):
    with pytest.raises(UserError) as error:
        get_protocol("custom", overrides).maker()
    assert message in str(error.value)


def test_an_output_that_cannot_be_read_is_a_failure(copper, tmp_path, monkeypatch):
    from matscout.workflows.calculations import custom

    monkeypatch.setattr(custom, "plain", lambda _: {"something": "else"})
    result = calculate(request_of(copper, RELAX), tmp_path)
    assert (result.outcome, result.cause) == ("failed", "parse")
    assert "is a task document of atomate2" in result.message


@pytest.mark.parametrize(
    ("state", "forces", "converged"),
    [("successful", False, True), ("failed", True, False), (None, True, True), (None, False, False)],
)
def test_a_relaxation_is_converged_if_its_optimizer_says_so(copper, tmp_path, state, forces, converged):
    """A filter of the cell turns the atoms' forces: at the same step they may lie on the other side of the limit."""
    from matscout.workflows.calculations.reading import read_ase
    from matscout.workflows.launch.flows import run_flow

    outputs = run_flow(get_protocol("custom", RELAX).make(copper), tmp_path)
    document = next(iter(outputs.values()))
    document = document.model_dump() if hasattr(document, "model_dump") else dict(document)
    changed = document | {"state": state, "is_force_converged": forces}
    assert len(document["output"]["ionic_steps"]) > 1
    assert read_ase({"relax": changed}, copper)["converged"] is converged
