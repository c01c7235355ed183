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
