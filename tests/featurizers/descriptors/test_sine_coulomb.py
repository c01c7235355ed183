import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import SineCoulombMatrix
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from scipy.constants import value

from matscout.crystals.crystal import Crystal
from matscout.db._symmetry import spglib_call
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors._primitive import primitive_cell
from matscout.featurizers.descriptors._reduced import reduced_bases, reduced_cell
from matscout.featurizers.descriptors.sine_coulomb import SineCoulomb, chosen_cell, sine_matrix

seeds = st.integers(0, 2**32 - 1)

#: Lattices more symmetric than their cells: each has several reduced bases, or one on the edge of several.
LATTICES = {
    "cubic": Lattice.cubic(4.4),
    "face-centred cubic": Lattice([[0, 2.5, 2.5], [2.5, 0, 2.5], [2.5, 2.5, 0]]),
    "body-centred cubic": Lattice([[-2.5, 2.5, 2.5], [2.5, -2.5, 2.5], [2.5, 2.5, -2.5]]),
    "hexagonal": Lattice.hexagonal(4.5, 6),
    "rhombohedral": Lattice.rhombohedral(5, 75),
    "body-centred tetragonal": Lattice([[-2.5, 2.5, 3.1], [2.5, -2.5, 3.1], [2.5, 2.5, -3.1]]),
    "face-centred orthorhombic": Lattice([[0, 2.5, 2.9], [2.1, 0, 2.9], [2.1, 2.5, 0]]),
    "body-centred orthorhombic": Lattice([[-2.1, 2.5, 3.1], [2.1, -2.5, 3.1], [2.1, 2.5, -3.1]]),
    "monoclinic": Lattice.monoclinic(4, 5, 6, 97),
}


def spectrum(crystal, **options):
    return StructureFeaturizer("sine_coulomb", **options).transform([crystal], strict=True)[0]


def assert_same(after, before):
    np.testing.assert_allclose(after, before, atol=1e-9 * np.abs(before).max())


def crystal_on(lattice, rng):
    """Atoms of two to five sites anywhere in the cell of a lattice."""
    while True:
        n = int(rng.integers(2, 6))
        crystal = Structure(lattice, rng.choice(["Li", "O", "Ti", "Cs"], n).tolist(), rng.random((n, 3)))
        if crystal.is_valid(1.0):
            return crystal


def products(lattice):
    """Squared lengths of the vectors of a basis, then the products of two, each ascending."""
    metric = lattice @ lattice.T
    return np.sort(np.diagonal(metric)), np.sort(metric[np.triu_indices(3, 1)])


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")  # which matminer uses
@settings(max_examples=25)
@given(seeds)
def test_the_matrix_is_that_of_matminer_in_the_same_cell(crystals, seed):
    crystal = Crystal.from_structure(crystals.random(np.random.default_rng(seed)))
    ours = sine_matrix(crystal)
    structure = crystal.structure()
    structure.scale_lattice(structure.volume * (1e-10 / value("Angstrom star")) ** 3)  # matminer's Å is that one
    np.testing.assert_allclose(ours, SineCoulombMatrix(flatten=False).featurize(structure)[0], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")  # which matminer uses
def test_the_features_are_its_eigenvalues_the_largest_first_and_then_zeros(crystals):
    crystal = crystals.symmetric("perovskite")
    cell = chosen_cell(Crystal.from_structure(crystal)).structure()
    cell.scale_lattice(cell.volume * (1e-10 / value("Angstrom star")) ** 3)
    theirs = np.array(SineCoulombMatrix().fit([cell]).featurize(cell))
    ours = spectrum(crystal)
    np.testing.assert_allclose(ours[:5], theirs[np.argsort(-np.abs(theirs))], rtol=1e-9)
    assert not ours[5:].any()


def test_the_tests_of_matminer_hold_for_diamond():
    lattice = Lattice([[2.189, 0, 1.264], [0.73, 2.064, 1.264], [0, 0, 2.528]])
    coords = [[2.554, 1.806, 4.423], [0.365, 0.258, 0.632]]
    diamond = Crystal.from_structure(Structure(lattice, ["C", "C"], coords, coords_are_cartesian=True))
    np.testing.assert_allclose(sine_matrix(diamond), [[36.8581, 6.147068], [6.147068, 36.8581]], rtol=2e-5)


@settings(max_examples=25)
@given(seeds)
def test_neither_place_nor_order_nor_cell_matters(crystals, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    before = spectrum(crystal)
    for same in (crystals.moved, crystals.other_cell, crystals.larger_cell):
        assert_same(spectrum(same(crystal, rng)), before)


@pytest.mark.parametrize("name", ["rock salt", "perovskite", "diamond", "copper", "magnesium", "rutile"])
def test_nor_do_they_in_symmetric_crystals(crystals, name):
    rng = np.random.default_rng(5)
    crystal = crystals.symmetric(name)
    same = crystals.larger_cell(crystals.other_cell(crystals.moved(crystal.get_primitive_structure(), rng), rng), rng)
    assert_same(spectrum(same), spectrum(crystal))


@settings(max_examples=40)
@example("hexagonal", 1e-6, 8564)  # spglib's reduction goes in circles at its own tolerance
@given(st.sampled_from(sorted(LATTICES)), st.sampled_from([0, 1e-9, 1e-6, 1e-4]), seeds)
def test_nor_on_lattices_with_several_reduced_bases_exact_or_nearly(crystals, name, noise, seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice(LATTICES[name].matrix + rng.normal(0, noise, (3, 3)))
    crystal = crystal_on(lattice, rng)
    before = spectrum(crystal)
    for _ in range(3):
        crystal = crystals.other_cell(crystals.moved(crystal, rng), rng)
        assert_same(spectrum(crystal), before)


def test_one_basis_of_a_hexagonal_lattice_is_not_like_another():
    crystal = Crystal.from_structure(crystal_on(LATTICES["hexagonal"], np.random.default_rng(1)))
    other = np.array([[1, 0, 0], [-1, -1, 0], [0, 0, -1]])  # the same lengths and angles
    turned = Crystal(other @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(other), crystal.numbers)
    np.testing.assert_allclose(turned.lattice @ turned.lattice.T, crystal.lattice @ crystal.lattice.T, atol=1e-12)
    spectra = [np.linalg.eigvalsh(sine_matrix(cell)) for cell in (crystal, turned)]
    assert np.abs(spectra[0] - spectra[1]).max() > 1
    np.testing.assert_allclose(*(sine_matrix(chosen_cell(cell)) for cell in (crystal, turned)), rtol=1e-9)


@settings(max_examples=50)
@given(seeds)
def test_the_reduced_basis_is_that_of_niggli_where_no_other_is_nearly_as_good(seed):
    lattice = np.random.default_rng(seed).normal(0, 3, (3, 3))
    reduced = reduced_cell(Crystal(lattice, np.zeros((1, 3)), np.array([3]))).lattice
    (basis,) = reduced_bases(reduced, tolerance=1e-9)
    np.testing.assert_allclose(products(basis @ reduced), products(spglib_call("niggli_reduce", lattice)), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "least"), [("cubic", 1), ("face-centred cubic", 4), ("body-centred cubic", 4), ("hexagonal", 3)]
)
def test_symmetric_lattices_have_as_many_reduced_bases_as_they_should(name, least):
    reduced = reduced_cell(Crystal(LATTICES[name].matrix, np.zeros((1, 3)), np.array([3]))).lattice
    bases = reduced_bases(reduced)
    unsigned = {tuple(sorted(max(tuple(row), tuple(-row)) for row in basis)) for basis in bases}
    assert len(unsigned) == least
    np.testing.assert_allclose(np.abs(np.linalg.det(bases)), 1)
    expected = products(reduced)
    for basis in bases:
        np.testing.assert_allclose(products(basis @ reduced)[0], expected[0])


def test_mirror_images_cannot_be_told_apart(crystals):
    crystal = crystals.random(np.random.default_rng(8))
    image = Structure(Lattice(crystal.lattice.matrix * [-1, 1, 1]), crystal.species, crystal.frac_coords)
    assert_same(spectrum(image), spectrum(crystal))


def test_different_crystals_may_have_the_same_eigenvalues():
    # The same sin²: once 1 along one axis, once 1/√2 along two.
    along_two = np.arcsin(2**-0.25) / np.pi
    one, other = (
        Structure(Lattice.cubic(5), ["Li", "F"], [[0, 0, 0], at]) for at in ([0.5, 0, 0], [along_two] * 2 + [0])
    )
    assert abs(one.get_distance(0, 1) - other.get_distance(0, 1)) > 0.2
    assert_same(spectrum(other), spectrum(one))


def test_a_slight_doubling_of_the_cell_is_a_jump():
    chain = Structure(Lattice.tetragonal(3, 4), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]) * (1, 1, 2)
    slightly, more = chain.copy(), chain.copy()
    slightly.translate_sites([0], [0, 0, 0.004], frac_coords=False)
    more.translate_sites([0], [0, 0, 0.04], frac_coords=False)
    assert [np.count_nonzero(spectrum(crystal)) for crystal in (chain, slightly, more)] == [2, 2, 4]


@pytest.mark.parametrize(("symbol", "number"), [("He", 2), ("Cm", 96), ("Og", 118)])
def test_one_atom_has_the_energy_of_its_nucleus(symbol, number):
    features = spectrum(Structure(Lattice.cubic(1000), [symbol], [[0.1, 0.2, 0.3]]), max_sites=2)
    assert features.tolist() == [pytest.approx(0.5 * number**2.4), 0]


def test_atoms_joined_by_a_translation_are_averaged():
    row = Structure(Lattice.tetragonal(6, 3), ["Po"] * 2, [[0, 0, 0], [0.5, 0, 0.001]])
    cell = primitive_cell(Crystal.from_structure(row), 0.01)
    assert len(cell) == 1
    assert cell.volume == pytest.approx(row.volume / 2)


@settings(max_examples=15)
@given(seeds, st.integers(2, 4), st.integers(1, 3))
def test_a_primitive_cell_is_as_large_as_that_of_spglib(crystals, seed, along, across):
    rng = np.random.default_rng(seed)
    supercell = crystals.other_cell(crystals.other_cell(crystals.random(rng) * (along, across, 1), rng), rng)
    crystal = Crystal.from_structure(crystals.moved(supercell, rng))
    cell = primitive_cell(crystal, 0.01)
    found = spglib_call("find_primitive", (crystal.lattice, crystal.frac_coords, crystal.numbers), symprec=0.01)
    assert sorted(cell.numbers) == sorted(found[2])
    assert cell.volume * along * across <= crystal.volume * (1 + 1e-9)
    Crystal.from_structure(cell.structure())  # no atom lies on another


def test_translations_that_add_up_to_more_than_the_tolerance_are_none():
    wave = 0.009 * np.sin(2 * np.pi * np.arange(8) / 8)  # each step within 0.01 Å of the mean one, two steps are not
    places = np.column_stack([np.zeros(8), np.zeros(8), np.arange(8) / 8 + wave / 24])
    chain = Structure(Lattice.tetragonal(4, 24), ["Po"] * 8, places)
    assert len(primitive_cell(Crystal.from_structure(chain), 0.01)) == 8
    assert len(primitive_cell(Crystal.from_structure(chain * (2, 1, 1)), 0.01)) == 8
    assert len(primitive_cell(Crystal.from_structure(chain), 0.02)) == 1


def test_a_cell_with_too_many_sites_says_what_to_take(crystals):
    with pytest.warns(
        MatscoutWarning, match=r"row 1: the primitive cell has 5 sites, more than max_sites=4: take max_s"
    ):
        rows = StructureFeaturizer("sine_coulomb", max_sites=4).transform(
            [crystals.symmetric("copper") * (2, 2, 2), crystals.symmetric("perovskite")]
        )
    assert np.isnan(rows).all(axis=1).tolist() == [False, True]


def test_columns_are_those_of_matminer():
    featurizer = StructureFeaturizer("sine_coulomb", max_sites=3)
    matrix = SineCoulombMatrix().fit([Structure(Lattice.cubic(4), ["H"] * 3, np.eye(3) / 2)])
    assert list(featurizer.feature_names) == matrix.feature_labels()
    assert featurizer.units == ("hartree",) * 3
    assert len(StructureFeaturizer("sine_coulomb")) == 64
    assert "doi:10.1002/qua.24917" in featurizer.citations[0]


@pytest.mark.parametrize("max_sites", [0, 2.0, True, 1001, "64"])
def test_a_bad_number_of_sites_is_named(max_sites):
    with pytest.raises(UserError, match=r"max_sites must be a whole number from 1 to 1000, got"):
        SineCoulomb(max_sites=max_sites)
