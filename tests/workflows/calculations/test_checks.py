"""Real checks with CHGNet on cells small enough for seconds: magnesia stays, cubic barium titanate does not."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.calculations import calculate, get_protocol
from matscout.workflows.calculations.checks import rattled, supercell_matrix

SMALL = {"check.least_length_A": 2.0}


@pytest.fixture(scope="module")
def magnesia():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.24), ["Mg", "O"], sites).get_primitive_structure()


@pytest.fixture(scope="module")
def titanate():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.03), ["Ba", "Ti", "O"], sites)


def run(name, structure, overrides=SMALL):
    protocol = get_protocol(name, overrides)
    request = CalculationRequest.of(
        Geometry.from_structure(structure),
        protocol=name,
        protocol_id=protocol.id,
        subject="candidate:test",
        overrides=protocol.overrides,
    )
    return calculate(request)


def test_a_stable_crystal_has_no_imaginary_vibration(magnesia):
    result = run("chgnet-phonons", magnesia, {"check.least_length_A": 4.0})
    assert (result.outcome, result.message) == ("completed", None)
    assert result.dynamics.stable
    assert result.dynamics.imaginary == 0
    assert 5 < result.dynamics.lowest_frequency < 10  # transverse acoustic at X and L: 8 to 9 THz measured


def test_the_ferroelectric_mode_of_cubic_barium_titanate_is_imaginary(titanate):
    result = run("chgnet-phonons", titanate)
    assert result.outcome == "completed"
    assert not result.dynamics.stable
    assert result.dynamics.imaginary == 3  # one mode, along three axes
    assert result.dynamics.lowest_frequency < -2


def test_the_rattled_crystal_finds_the_ferroelectric_one(titanate):
    result = run("chgnet-rattled", titanate, SMALL | {"fmax_eV_per_A": 0.05})
    assert result.outcome == "completed"
    assert not result.dynamics.stable
    assert result.dynamics.energy_gain > 0.005
    assert not result.prototype_kept
    assert result.space_group_before == 221
    assert {step.stage for step in result.steps} == {"relax", "rattled"}


def test_a_stable_crystal_returns_from_being_rattled(magnesia):
    result = run("chgnet-rattled", magnesia, SMALL | {"fmax_eV_per_A": 0.05})
    assert result.outcome == "completed"
    assert result.dynamics.stable
    assert abs(result.dynamics.energy_gain) < 0.002
    assert result.prototype_kept


def test_a_failed_relaxation_is_not_checked(magnesia):
    result = run("chgnet-phonons", magnesia, SMALL | {"max_steps": 2, "fmax_eV_per_A": 1e-9})
    assert (result.outcome, result.cause, result.dynamics) == ("failed", "relaxation", None)


@pytest.mark.filterwarnings("ignore:Warning. Point group symmetries:UserWarning")  # phonopy's, on long supercells
@pytest.mark.parametrize(("kind", "part"), [("rattled", "rattled"), ("phonons", "displacement-")])
def test_the_ordering_of_the_relaxed_crystal_is_that_of_every_cell_after_it(kind, part, monkeypatch, tmp_path):
    """The code's part is played: of the orderings of nickel oxide the first antiferromagnetic one is the lowest."""
    from matscout.workflows.calculations import run
    from matscout.workflows.calculations.reading import ionic_step, result_fields

    calculated = []

    def once(protocol, structure, folder):
        moments = structure.site_properties["magmom"]
        calculated.append((str(folder.relative_to(tmp_path)), structure, moments))
        energy = -2.0 * len(structure) if min(moments) < 0 else -1.0 * len(structure)
        step = ionic_step(structure, energy, np.zeros((len(structure), 3)))
        return result_fields(structure, structure, [step], energy) | {"outcome": "completed"}

    monkeypatch.setattr(run, "_once", once)
    monkeypatch.setattr(run, "_prototype", lambda *_: {})
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    oxide = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Ni", "O"], sites).get_primitive_structure()
    overrides = {"magnetism.orderings": 2, "check.least_length_A": 4.0, "check.displacement_A": 0.001}
    overrides = {key: overrides[key] for key in overrides if kind == "phonons" or not key.endswith("displacement_A")}
    fields = run._carry_out(get_protocol(f"gpaw-pbe-{kind}", overrides), oxide, tmp_path)
    assert fields["magnetism"].ordering == "antiferromagnetic 1"
    assert [one.start.ordering for one in fields["orderings"]] == ["ferromagnetic", "antiferromagnetic 1"]
    assert [folder for folder, *_ in calculated[:2]] == ["relax/ordering-1", "relax/ordering-2"]
    assert len(calculated) > 2
    _, lowest, chosen = calculated[1]
    for folder, structure, moments in calculated[2:]:
        assert folder.startswith(part)
        cell = np.linalg.solve(lowest.lattice.matrix.T, structure.lattice.matrix.T).T.round()  # of whole cells
        places = structure.frac_coords @ cell
        nearest = lowest.lattice.get_all_distances(places, lowest.frac_coords).argmin(axis=1)
        assert len(structure) > len(lowest)
        assert list(moments) == [chosen[site] for site in nearest]


def test_a_supercell_is_as_high_as_asked_for_and_no_higher():
    skew = Structure(Lattice.from_parameters(3, 4, 9, 90, 90, 120), ["Na"], [[0, 0, 0]])
    assert np.diag(supercell_matrix(skew, 7.0)).tolist() == [3, 3, 1]


def test_rattling_breaks_every_symmetry_and_is_the_same_for_a_seed(titanate):
    from matscout.workflows.stability.crystals import space_group

    options = {"least_length_A": 5.0, "rattle_A": 0.05, "strain": 0.01, "seed": 1}
    first, again = rattled(titanate, options), rattled(titanate, options)
    assert first == again
    assert len(first) == 40
    assert space_group(first, symprec=0.01) == 1
    assert first != rattled(titanate, options | {"seed": 2})
