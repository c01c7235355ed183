"""Real CHGNet relaxations: a second or less each."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.errors import UserError
from matscout.workflows.calculations import calculate, get_protocol


def request_of(structure, protocol="chgnet-relax"):
    settings = get_protocol(protocol)
    return CalculationRequest.of(
        Geometry.from_structure(structure),
        protocol=settings.name,
        protocol_id=settings.id,
        subject="candidate:test",
    )


@pytest.fixture
def rock_salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.4), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def perovskite():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.2), ["K", "Mg", "F"], sites)


def test_magnesia_relaxes_to_its_known_lattice_constant(rock_salt):
    result = calculate(request_of(rock_salt.get_primitive_structure()))
    assert result.outcome == "completed"
    assert result.final_volume == pytest.approx(4.25**3 / 8, rel=0.02)  # PBE, Materials Project mp-1265: 4.25 Å
    assert result.prototype_kept
    assert (result.space_group_before, result.space_group_after) == (225, 225)


def test_the_same_request_gives_the_same_number_twice(perovskite):
    first, second = (calculate(request_of(perovskite)) for _ in range(2))
    assert first.energy == second.energy
    assert first.geometry == second.geometry


def test_ionic_steps_are_kept_and_end_at_the_result(perovskite):
    result = calculate(request_of(perovskite))
    assert len(result.steps) == result.n_steps + 1
    assert result.steps[-1].energy == result.energy
    assert result.steps[0].energy > result.steps[-1].energy
    assert result.max_force < get_protocol("chgnet-relax").settings["fmax_eV_per_A"]


def test_a_static_calculation_leaves_the_cell_alone(perovskite):
    result = calculate(request_of(perovskite, "chgnet-static"))
    assert result.outcome == "completed"
    assert result.n_steps == 0
    assert np.allclose(result.geometry.lattice, perovskite.lattice.matrix)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(1.2), ["Na"], [[0, 0, 0]]), "less than any crystal has"),
        (Structure(Lattice.cubic(6), ["Na", "Cl"], [[0, 0, 0], [0.1, 0, 0]]), "Na and Cl are 0.60 Å apart"),
        (Structure(Lattice.cubic(9), ["Na"], [[0, 0, 0]]), "no neighbour within 5.7 Å"),
        (Structure(Lattice.cubic(3.5), ["Am"], [[0, 0, 0]]), "no parameters for Am"),
    ],
    ids=["collapsed", "overlapping", "isolated", "unknown element"],
)
def test_an_impossible_cell_is_refused_before_the_call(structure, message):
    result = calculate(request_of(structure))
    assert (result.outcome, result.cause) == ("failed", "input")
    assert message in result.message


def test_too_few_steps_is_a_failure_with_its_numbers(monkeypatch, perovskite):
    monkeypatch.setitem(get_protocol("chgnet-relax").settings, "max_steps", 2)
    result = calculate(request_of(perovskite))
    assert (result.outcome, result.cause) == ("failed", "relaxation")
    assert "after 2 steps" in result.message
    assert result.energy_per_atom is not None


def test_a_cell_that_flies_apart_is_not_a_result(monkeypatch, perovskite):
    monkeypatch.setitem(get_protocol("chgnet-relax").settings, "max_volume_ratio", 0.5)
    result = calculate(request_of(perovskite))
    assert (result.outcome, result.cause) == ("failed", "relaxation")


def test_an_error_of_the_code_is_kept_as_data(monkeypatch, perovskite):
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    def broken(*_, **__):
        raise RuntimeError("the network diverged")

    monkeypatch.setattr(ChgnetMaker, "run_ase", broken)
    result = calculate(request_of(perovskite))
    assert (result.outcome, result.cause) == ("failed", "unknown")
    assert result.message == "RuntimeError: the network diverged"
    assert "run.py" in result.traceback


def test_a_full_disk_is_nobodys_result(monkeypatch, perovskite):
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ChgnetMaker, "run_ase", full)
    with pytest.raises(OSError, match="No space left"):
        calculate(request_of(perovskite))


def test_files_go_into_the_folder_given(tmp_path, monkeypatch, perovskite):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "launch"
    folder.mkdir()
    calculate(request_of(perovskite), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["launch"]
    assert [path.name for path in folder.iterdir()] == ["final_atoms_object.xyz"]


def test_an_unknown_protocol_names_the_nearest():
    with pytest.raises(UserError, match=r'unknown protocol "chgnet-relaxx"\. Nearest: chgnet-relax'):
        get_protocol("chgnet-relaxx")


def test_another_setting_is_another_protocol(monkeypatch):
    protocol = get_protocol("chgnet-relax")
    before = protocol.id
    monkeypatch.setitem(protocol.settings, "fmax_eV_per_A", 0.01)
    assert protocol.id != before


def test_the_id_of_a_request_does_not_depend_on_what_it_is_for(perovskite):
    one = request_of(perovskite)
    other = CalculationRequest.of(
        one.geometry, protocol=one.protocol, protocol_id=one.protocol_id, subject="reference:KMgF3"
    )
    assert one.id == other.id
    assert one.id != request_of(perovskite, "chgnet-static").id


def test_one_calculator_serves_a_process():
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    protocol = get_protocol("chgnet-relax")
    makers = [ChgnetMaker.from_protocol(protocol) for _ in range(2)]
    assert makers[0].calculator is makers[1].calculator


def test_the_maker_is_an_atomate2_job(perovskite):
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    job = ChgnetMaker.from_protocol(get_protocol("chgnet-relax")).make(perovskite)
    assert job.name == "chgnet-relax"
    assert job.function_args == (perovskite,)


def test_a_message_is_one_line_without_the_traceback_that_some_errors_carry(monkeypatch, perovskite):
    from matscout.workflows.calculations.chgnet import ChgnetMaker

    def broken(*_, **__):
        raise RuntimeError("it broke\nbadly\nTraceback (most recent call last):\n  File x, line 1\nKeyError: 1")

    monkeypatch.setattr(ChgnetMaker, "run_ase", broken)
    assert calculate(request_of(perovskite)).message == "RuntimeError: it broke badly"


def test_steps_name_their_elements_only_where_these_are_not_the_inputs(perovskite):
    from matscout.workflows.calculations.reading import ionic_step
    from matscout.workflows.calculations.run import _lean

    step = ionic_step(perovskite, -1.0, np.zeros((5, 3)))
    assert step.species == ("K", "Mg", "F", "F", "F")
    assert _lean(step, step.species).species is None
    assert _lean(step, ("F", "F", "F", "K", "Mg")).species == step.species
    assert {one.species for one in calculate(request_of(perovskite)).steps} == {None}


@pytest.fixture
def oxide():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Ni", "O"], sites).get_primitive_structure()


def test_the_lowest_ordering_is_the_result_and_the_steps_of_all_are_kept(monkeypatch, oxide):
    """The code's part is played: its energies are -1, -3 and -2 eV/atom, and one ordering fails."""
    from matscout.workflows.calculations import run
    from matscout.workflows.calculations.reading import ionic_step, result_fields

    energies = iter([-1.0, -3.0, None])

    def once(protocol, structure, folder):
        energy = next(energies)
        if energy is None:
            raise RuntimeError("no convergence")
        energy *= len(structure)
        steps = [ionic_step(structure, energy, np.zeros((len(structure), 3)), stage="static")]
        return result_fields(structure, structure, steps, energy) | {"outcome": "completed"}

    monkeypatch.setattr(run, "_once", once)
    protocol = get_protocol("gpaw-pbe-static", {"magnetism.orderings": 3})
    fields = run._with_orderings(protocol, oxide, None)
    assert fields["energy_per_atom"] == -3.0
    assert [(one.start.ordering, one.outcome) for one in fields["orderings"]] == [
        ("ferromagnetic", "completed"),
        ("antiferromagnetic 1", "completed"),
        ("antiferromagnetic 2", "failed"),
    ]
    assert [step.stage for step in fields["steps"]] == ["ferromagnetic, static", "antiferromagnetic 1, static"]
    assert len(fields["steps"][-1].species) > len(oxide)
