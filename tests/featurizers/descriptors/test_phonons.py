from itertools import product

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from chgnet.model.dynamics import CHGNetCalculator
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors._chgnet import loaded
from matscout.featurizers.descriptors._force_constants import WAVENUMBER, Symmetry, frequencies
from matscout.featurizers.descriptors.phonons import forces_of_copies, numbers_of

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


@pytest.fixture(scope="module")
def phonons():
    return StructureFeaturizer("chgnet_phonons")


def lennard_jones(atoms, frac_coords):
    moved = atoms.copy()
    moved.set_scaled_positions(frac_coords)
    moved.calc = LennardJones(sigma=2.3, epsilon=0.1, rc=7.0, smooth=True)
    return moved.get_forces()


def finite_differences(crystal, chosen, step=1e-4):
    """Forces per length of displacements, by a potential that is not CHGNet."""
    atoms, inverse = AseAtomsAdaptor.get_atoms(crystal.structure()), np.linalg.inv(crystal.lattice)
    answers = []
    for one in chosen:
        change = np.zeros((len(crystal), 3))
        change[one.atom] = step * one.direction @ inverse
        above, below = (lennard_jones(atoms, crystal.frac_coords + sign * change) for sign in (1, -1))
        answers.append((above - below) / (2 * step))
    return np.array(answers)


# Against other ways to the same numbers


@pytest.mark.parametrize("name", ["rock salt", "rutile", "perovskite", "magnesium"])
def test_symmetry_gives_the_force_constants_that_moving_all_atoms_gives(crystals, name):
    crystal = Crystal.from_structure(crystals.symmetric(name).get_primitive_structure())
    symmetry, none = Symmetry.of(crystal), Symmetry(np.eye(3)[None], np.arange(len(crystal))[None])
    found = []
    for one in (symmetry, none):
        chosen = one.displacements(crystal.lattice)
        found.append(one.force_constants(chosen, finite_differences(crystal, chosen)))
    assert len(symmetry.displacements(crystal.lattice)) < len(none.displacements(crystal.lattice)) == 3 * len(crystal)
    np.testing.assert_allclose(*found, atol=1e-5)


def test_two_masses_on_a_spring_have_the_frequency_of_the_reduced_mass():
    spring = np.zeros((2, 3, 2, 3))
    spring[0, 0, 0, 0] = spring[1, 0, 1, 0] = 30.0
    spring[0, 0, 1, 0] = spring[1, 0, 0, 0] = -30.0
    waves, modes = frequencies(spring, np.array([1.008, 34.97]))
    np.testing.assert_allclose(waves[:-1], 0, atol=1e-3)
    # sqrt(30 eV/Å^2 / u) from SI units
    wave = np.sqrt(30 * 1.602176634e-19 * 1e20 / (1.66053907e-27 * 1.008 * 34.97 / 35.978)) / (
        2 * np.pi * 2.99792458e10
    )
    assert waves[-1] == pytest.approx(wave, rel=1e-6)
    assert (modes[-1] ** 2).sum() == pytest.approx(1)


def test_an_unstable_molecule_is_put_into_numbers_as_they_are_described():
    springs, masses = np.diag([30.0, 10.0, -5.0]), np.array([1.008, 34.97])
    constants = np.zeros((2, 3, 2, 3))
    for one, other in product(range(2), repeat=2):
        constants[one, :, other] = springs if one == other else -springs
    forces, of_atoms = np.array([[0.3, 0.4, 0.0], [0.0, 0.0, 0.0]]), np.eye(2, 64)
    names = [name.removeprefix("phonon ") for name in StructureFeaturizer("chgnet_phonons").feature_names]
    numbers = dict(zip(names, numbers_of(constants, forces, masses, of_atoms).tolist(), strict=True))
    waves = WAVENUMBER * np.sqrt(np.array([30.0, 10.0, 5.0]) / (masses.prod() / masses.sum()))
    lightest = masses[1] / masses.sum()  # its part of the motion
    expected = {
        "frequency highest": waves[0],
        "frequency second": waves[1],
        "frequency third": -waves[2],
        "frequency sixth": -waves[2],
        "frequency lowest": -waves[2],
        "frequency mean": waves[:2].mean(),
        "frequency rms": np.sqrt((waves[:2] ** 2).sum() / 3),
        "frequency median": waves[1],
        "imaginary share": 1 / 3,
        "site frequency highest": WAVENUMBER * np.sqrt(35 / 3 / masses[0]),
        "site frequency stiffest highest": WAVENUMBER * np.sqrt(30 / masses[0]),
        "force constant mean": 35 / 3,
        "highest mode mass": lightest * masses[0] + (1 - lightest) * masses[1],
        "highest mode largest part": lightest,
        "highest mode sites": 1 / (lightest**2 + (1 - lightest) ** 2),
        "force highest": 0.5,
        "force mean": 0.25,
        "highest mode 0": lightest,
        "highest mode 1": 1 - lightest,
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_forces_on_copies_are_those_that_chgnet_gives_each(crystals):
    rng = np.random.default_rng(0)
    crystal = Crystal.from_structure(crystals.symmetric("perovskite"))
    copies = crystal.frac_coords + rng.normal(size=(3, 5, 3)) * 0.005
    found = forces_of_copies(loaded("0.3.0"), crystal, copies)
    for frac_coords, forces in zip(copies, found, strict=True):
        atoms = AseAtomsAdaptor.get_atoms(Crystal(crystal.lattice, frac_coords, crystal.numbers).structure())
        atoms.calc = CHGNetCalculator(use_device="cpu", verbose=False)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-3)


# What changes nothing


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_another_view_of_a_symmetric_crystal_changes_little(crystals, phonons, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.symmetric(["rutile", "perovskite", "rock salt", "copper"][seed % 4])
    before, *after = phonons.transform(
        [crystal, crystals.moved(crystal, rng), crystals.larger_cell(crystal, rng)], strict=True
    )
    for row in after:
        np.testing.assert_allclose(row, before, rtol=0.02, atol=2.0)


def test_it_knows_which_crystal_is_stiff(crystals, phonons):
    highest = phonons.transform([crystals.symmetric("diamond"), ROCK_SALT, crystals.symmetric("copper")], strict=True)[
        :, 0
    ]
    assert 900 < highest[0] < 1400  # 1332 in experiment
    assert 90 < highest[1] < 200  # 164
    assert highest[2] == 0  # one atom per cell: no optical mode


def test_columns_have_units(phonons):
    assert len(phonons) == len(set(phonons.feature_names)) == len(phonons.units)
    assert phonons.feature_names[0] == "phonon frequency highest"
    assert phonons.units[0] == "1/cm"


# Bad input


def test_a_crystal_that_it_cannot_take_is_refused(phonons):
    lattice = Lattice.cubic(3.4)
    with pytest.raises(UserError, match="never trained with Po"):
        phonons.featurize(Crystal.from_structure(Structure(lattice, ["Po"], [[0, 0, 0]])))
    rng = np.random.default_rng(0)
    large = Crystal(20 * np.eye(3), rng.random((61, 3)), np.arange(1, 62))
    with pytest.raises(UserError, match="61 atoms in the primitive cell, more than 60"):
        phonons.featurize(large)


@pytest.mark.parametrize("value", [0, 1.0, "0.1", True])
def test_a_displacement_out_of_bounds_is_named(value):
    with pytest.raises(UserError, match=r"displacement must be 0\.001 to 0\.3 Å, got"):
        StructureFeaturizer("chgnet_phonons", displacement=value)
