import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import OrbitalFieldMatrix
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from scipy.constants import value

from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors.orbital_field import OrbitalField, element_vectors

pytestmark = pytest.mark.filterwarnings(  # matminer uses the one, and calls spglib as its releases now dislike
    "ignore:the matrix subclass:PendingDeprecationWarning", "ignore::DeprecationWarning:spglib"
)
seeds = st.integers(0, 2**32 - 1)

STAR = value("Angstrom star") / 1e-10  # matminer's Å


def field(crystal, **options):
    return StructureFeaturizer("orbital_field", **options).transform([crystal], strict=True)[0]


def entries(crystal, **options):
    """Columns that are not zero, by name."""
    featurizer = StructureFeaturizer("orbital_field", **options)
    row = featurizer.transform([crystal], strict=True)[0]
    return {featurizer.feature_names[i].removeprefix("OFM: "): row[i] for i in np.flatnonzero(row)}


def occupations(symbol):
    """Valence shells of an element, as its vector has them."""
    names = [name.split(" - ")[1] for name in StructureFeaturizer("orbital_field").feature_names[:32]]
    return " ".join(names[i] for i in np.flatnonzero(element_vectors()[Element(symbol).Z, :32]))


def rock_salt(a, b, edge=5.64):
    lattice = Lattice(edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    return Structure(lattice, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def assert_same(after, before):
    np.testing.assert_allclose(after, before, atol=1e-7 * before.max())  # facets smaller than that are left out


@pytest.fixture(scope="module")
def matminer():
    """matminer's featurizer with the elements of the paper: its own depend on how pymatgen sorts subshells."""
    with pytest.warns(PendingDeprecationWarning, match="the matrix subclass"):
        featurizer = OrbitalFieldMatrix()
    featurizer.ohvs = {z: element_vectors()[None, z, :32] for z in range(1, 95)}
    return featurizer


def by_matminer(matminer, crystal):
    """Mean over all sites: its own `featurize` takes one site for those that are equivalent within 0.01 Å."""
    supercell = crystal * (3, 3, 3)
    voronoi = VoronoiNN(allow_pathological=True)
    sites = range(0, len(supercell), 27)
    matrices = [matminer.get_single_ofm(supercell[i], voronoi.get_nn_info(supercell, i)) for i in sites]
    return np.asarray(sum(matrices)).ravel() / len(crystal)


@settings(max_examples=8)
@given(seeds)
def test_the_matrix_is_that_of_matminer(crystals, matminer, seed):
    crystal = crystals.random(np.random.default_rng(seed), elements=("K", "O", "Fe", "Ce"), most=3)
    assert_same(field(crystal) / STAR, by_matminer(matminer, crystal))


def test_without_d_and_f_electrons_so_it_is_with_its_own_elements():
    crystal = rock_salt("Na", "Cl")
    np.testing.assert_allclose(field(crystal) / STAR, OrbitalFieldMatrix().featurize(crystal), rtol=1e-9)


def test_the_tests_of_matminer_hold_for_diamond():
    lattice = Lattice([[2.189, 0, 1.264], [0.73, 2.064, 1.264], [0, 0, 2.528]])
    coords = [[2.554, 1.806, 4.423], [0.365, 0.258, 0.632]]
    diamond = Structure(lattice, ["C", "C"], coords, coords_are_cartesian=True)
    published = pytest.approx(1.4789015, rel=1e-7)
    shells = ("s^2", "p^2")
    assert {name: x / STAR for name, x in entries(diamond).items()} == {
        f"{a} - {b}": published for a in shells for b in shells
    }
    tagged = field(diamond, period_tag=True) / STAR
    assert np.flatnonzero(tagged).tolist() == [40, 42, 72, 118, 120, 150, 1288, 1290, 1320]
    assert tagged[tagged > 0].tolist() == [published] * 9


def test_rock_salt_is_six_neighbours_over_a_distance():
    distance = 5.64 / 2 / (value("Bohr radius") * 1e10)
    found = entries(rock_salt("Na", "Cl"))
    # Half of the sites are Na, each with six Cl at facets of the same size, and the other way round.
    assert found == {
        name: pytest.approx(6 / distance / 2) for name in ("s^1 - s^2", "s^1 - p^5", "s^2 - s^1", "p^5 - s^1")
    }


@pytest.mark.parametrize(
    ("symbol", "shells"),
    [
        ("H", "s^1"),
        ("He", "s^2"),
        ("Na", "s^1"),
        ("Cl", "s^2 p^5"),
        ("Xe", "s^2 p^6 d^10"),
        ("Ti", "s^2 d^2"),
        ("Cr", "s^1 d^5"),
        ("Fe", "s^2 d^6"),
        ("Pd", "d^10"),
        ("In", "s^2 p^1 d^10"),
        ("Ce", "s^2 d^1 f^1"),
        ("Gd", "s^2 d^1 f^7"),
        ("Pt", "s^1 d^9 f^14"),
        ("Pb", "s^2 p^2 d^10 f^14"),
        ("U", "s^2 d^1 f^3"),
    ],
)
def test_an_element_is_its_shells_outside_the_noble_gas_core(symbol, shells):
    assert occupations(symbol) == shells


def test_the_shells_hold_as_many_electrons_as_the_core_leaves():
    electrons = [n for most in (2, 6, 10, 14) for n in range(1, most + 1)]
    cores = np.array([0, 2, 10, 18, 36, 54, 86])
    for z in range(1, 105):
        core = cores[np.searchsorted(cores, z) - 1]
        assert element_vectors()[z, :32] @ electrons == z - core


@pytest.mark.parametrize(("symbol", "period"), [("He", 1), ("Cl", 3), ("Gd", 6), ("Hf", 6), ("U", 7), ("Rf", 7)])
def test_the_tag_is_the_period(symbol, period):
    assert np.flatnonzero(element_vectors()[Element(symbol).Z, 32:]).tolist() == [period - 1]


@settings(max_examples=25)
@given(seeds)
def test_neither_place_nor_order_nor_cell_matters(crystals, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng, elements=("Li", "O", "Ti", "Gd"))
    before = field(crystal)
    for same in (crystals.moved, crystals.other_cell, crystals.larger_cell):
        assert_same(field(same(crystal, rng)), before)


@pytest.mark.parametrize("name", ["rock salt", "perovskite", "diamond", "copper", "magnesium", "rutile"])
def test_nor_do_they_in_symmetric_crystals(crystals, name):
    rng = np.random.default_rng(5)
    crystal = crystals.symmetric(name)
    same = crystals.larger_cell(crystals.other_cell(crystals.moved(crystal.get_primitive_structure(), rng), rng), rng)
    assert_same(field(same), field(crystal))


@pytest.mark.parametrize("name", ["rock salt", "perovskite", "diamond", "copper", "magnesium", "rutile"])
def test_facets_that_open_where_atoms_move_a_little_change_little(crystals, name):
    crystal = crystals.symmetric(name)
    moved = crystal.copy().perturb(1e-5, seed=1)
    np.testing.assert_allclose(field(moved), field(crystal), atol=1e-3 * field(crystal).max())


def test_a_larger_lattice_divides_all_by_its_size():
    np.testing.assert_allclose(field(rock_salt("Na", "Cl", 6.0)) * 6.0, field(rock_salt("Na", "Cl", 5.0)) * 5.0)


def test_mirror_images_cannot_be_told_apart(crystals):
    crystal = crystals.random(np.random.default_rng(8))
    image = Structure(Lattice(crystal.lattice.matrix * [-1, 1, 1]), crystal.species, crystal.frac_coords)
    assert_same(field(image), field(crystal))


def test_elements_of_the_same_shells_are_told_apart_by_their_period_only():
    fluoride, chloride = rock_salt("Na", "F"), rock_salt("Na", "Cl")
    np.testing.assert_array_equal(field(fluoride), field(chloride))
    assert (field(fluoride, period_tag=True) != field(chloride, period_tag=True)).any()


def test_one_atom_in_a_huge_box_has_itself_far_away():
    box = field(Structure(Lattice.cubic(1000), ["Gd"], [[0.1, 0.2, 0.3]]))
    assert box.max() == pytest.approx(6 / (1000 / (value("Bohr radius") * 1e10)))


def test_an_element_without_known_shells_is_named_in_its_row():
    with pytest.warns(MatscoutWarning, match=r"row 1: no electronic structure is known of Og"):
        rows = StructureFeaturizer("orbital_field").transform([rock_salt("Mg", "O"), rock_salt("Og", "O")])
    assert np.isnan(rows).all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize(("period_tag", "number"), [(False, 1024), (True, 1521)])
def test_columns_are_those_of_matminer(period_tag, number):
    featurizer = StructureFeaturizer("orbital_field", period_tag=period_tag)
    assert len(featurizer) == len(featurizer.units) == number
    assert list(featurizer.feature_names) == OrbitalFieldMatrix(period_tag=period_tag).feature_labels()
    assert "doi:10.1080/14686996.2017.1378060" in featurizer.citations[0]


def test_a_bad_tag_is_named():
    with pytest.raises(UserError, match=r"period_tag must be true or false, got 1"):
        OrbitalField(period_tag=1)
