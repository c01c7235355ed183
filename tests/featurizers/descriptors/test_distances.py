import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import ElectronicRadialDistributionFunction, RadialDistributionFunction
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from scipy.interpolate import BSpline

from matscout.crystals.crystal import Crystal
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors import distances
from matscout.featurizers.descriptors.distances import RadialDistribution

seeds = st.integers(0, 2**32 - 1)
smoothness = st.integers(0, 5)

#: Two arrangements of four atoms on a ring of eight places with the same distances, each of the same multiplicity:
#: Patterson, Phys. Rev. 65, 195 (1944), doi:10.1103/PhysRev.65.195.
HOMOMETRIC = ([0, 3, 4, 5], [0, 4, 5, 7])


@pytest.fixture(scope="module")
def copper(crystals):
    return crystals.symmetric("copper")


@pytest.fixture(scope="module")
def rutile(crystals):
    return crystals.symmetric("rutile")


def functions(crystal, **options):
    """The three functions, shape (3, n_bins)."""
    return StructureFeaturizer("rdf", **options).transform([crystal], strict=True)[0].reshape(3, -1)


def shells(width, n_bins):
    """Volumes of the shells that plain bins are, Å^3."""
    return 4 / 3 * np.pi * np.diff((width * np.arange(n_bins + 1)) ** 3)


def assert_same(after, before):
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-10 * np.abs(before).max())


def perovskite(a, b):
    return Structure(Lattice.cubic(3.905), [a, b, "O", "O", "O"], [[0, 0, 0], [0.5] * 3, *(1 - np.eye(3)) / 2])


def layers(places, elements="C"):
    """Atoms at multiples of 1.5 Å along one axis, far apart along the others."""
    elements = [elements] * len(places) if isinstance(elements, str) else elements
    return Structure(Lattice.tetragonal(3, 12), elements, [[0, 0, place / 8] for place in places])


@settings(max_examples=20)
@given(seeds)
def test_plain_bins_hold_what_matminer_counts(crystals, seed):
    crystal = crystals.random(np.random.default_rng(seed))
    theirs = RadialDistributionFunction(cutoff=8.0, bin_size=0.1).featurize(crystal)
    ours = functions(crystal, scaled=False, r_max=8.0, width=0.1, smoothness=0)[0]
    np.testing.assert_allclose(ours * len(crystal), theirs, rtol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:spglib")  # matminer calls it as its releases now dislike
def test_with_charges_for_deviations_the_pair_function_is_that_of_willighagen(crystals):
    crystal = crystals.symmetric("rock salt").get_primitive_structure()
    charged = crystal.copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    width, n_bins = 0.05, 100
    theirs = np.array(ElectronicRadialDistributionFunction(cutoff=width * n_bins, dr=width).featurize(charged))
    ours = functions(crystal, scaled=False, r_max=width * n_bins, width=width, smoothness=0)[2]
    deviation = (3.16 - 0.93) / 2  # Pauling's electronegativities of Cl and Na
    sums = ours * shells(width, n_bins) * len(crystal) / crystal.volume / deviation**2
    filled = np.flatnonzero(ours)
    spacing = 5.64 / 2
    distances = spacing * np.sqrt([1, 2, 3])  # the neighbours up to 5 Å: 6 unlike, 12 like, 8 unlike
    assert filled.tolist() == [int(distance / width) for distance in distances]
    np.testing.assert_allclose(sums[filled] / distances, theirs[filled], rtol=1e-9)
    np.testing.assert_allclose(sums[filled], [-6, 12, -8], rtol=1e-9)


@given(smoothness)
def test_the_first_shell_of_copper_holds_twelve_atoms_however_it_is_spread(copper, degree):
    width, n_bins = 0.1, 31  # up to 3.1 Å, between the first shell and the second
    function = functions(copper, scaled=False, r_max=width * n_bins, width=width, smoothness=degree)[0]
    middles = width * (np.arange(n_bins) + 0.5)
    ideal = 4 * np.pi * width * (middles**2 + (degree + 1) * width**2 / 12) * len(copper) / copper.volume
    assert (function * ideal).sum() == pytest.approx(12)


@given(smoothness)
def test_far_away_atoms_have_the_mean_density(rutile, degree):
    function = functions(rutile, r_max=12, width=1.5, smoothness=degree)[0]
    assert function[-1] == pytest.approx(1, abs=0.03)


@given(smoothness, st.floats(0, 0.999))
def test_shares_are_those_of_the_textbook_spline_and_sum_to_one(degree, fraction):
    shares = distances._spline_shares(np.array([fraction]), degree)[:, 0]
    spline = BSpline.basis_element(np.arange(degree + 2), extrapolate=False)
    np.testing.assert_allclose(shares, spline(fraction + np.arange(degree + 1)), atol=1e-14)
    assert shares.sum() == pytest.approx(1)


@settings(max_examples=25)
@given(seeds, st.booleans(), st.integers(1, 5))  # not 0: an atom on the edge of a plain bin is in it or not
def test_neither_place_nor_order_nor_cell_matters(crystals, seed, scaled, degree):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    options = {"scaled": scaled, "smoothness": degree, "r_max": 3.0 if scaled else 7.0, "width": 0.25}
    before = functions(crystal, **options)
    for same in (crystals.moved, crystals.other_cell, crystals.larger_cell):
        assert_same(functions(same(crystal, rng), **options), before)


@pytest.mark.parametrize("name", ["rock salt", "perovskite", "diamond", "copper", "magnesium", "rutile"])
def test_nor_do_they_in_symmetric_crystals(crystals, name):
    rng = np.random.default_rng(3)
    crystal = crystals.symmetric(name)
    before = functions(crystal)
    same = crystals.larger_cell(crystals.other_cell(crystals.moved(crystal.get_primitive_structure(), rng), rng), rng)
    assert_same(functions(same), before)


@given(st.floats(0.7, 1.5))
def test_a_crystal_blown_up_is_the_same_when_scaled(rutile, factor):
    larger = rutile.copy()
    larger.scale_lattice(rutile.volume * factor**3)
    assert_same(functions(larger), functions(rutile))


def test_but_not_in_angstroms(rutile):
    larger = rutile.copy()
    larger.scale_lattice(rutile.volume * 1.1)
    assert np.abs(functions(larger, scaled=False) - functions(rutile, scaled=False)).max() > 0.1


def test_an_atom_that_passes_the_edge_of_a_bin_makes_no_jump_but_in_plain_bins():
    def pair(distance):
        return Structure(Lattice.cubic(10), ["C", "O"], [[0, 0, 0], [distance / 10, 0, 0]])

    def step(degree):
        options = {"scaled": False, "r_max": 4, "width": 0.5, "smoothness": degree}
        return np.abs(functions(pair(2.5 - 1e-7), **options) - functions(pair(2.5 + 1e-7), **options)).max()

    assert step(0) > 1
    assert max(step(1), step(2)) < 1e-4


def test_homometric_crystals_cannot_be_told_apart():
    one, other = (layers(places) for places in HOMOMETRIC)
    assert not StructureMatcher().fit(one, other)
    assert_same(functions(other, r_max=8), functions(one, r_max=8))


def test_exchanged_elements_show_in_the_functions_of_electronegativity_only():
    strontium_titanate, exchanged = functions(perovskite("Sr", "Ti")), functions(perovskite("Ti", "Sr"))
    assert_same(exchanged[0], strontium_titanate[0])
    assert np.abs(exchanged[1] - strontium_titanate[1]).max() > 0.1
    assert np.abs(exchanged[2] - strontium_titanate[2]).max() > 0.1


def test_an_element_alone_has_no_deviation(copper):
    assert functions(copper)[1:].tolist() == [[0] * 20] * 2


def test_without_an_electronegativity_only_the_first_function_is_known():
    argon = functions(Structure(2.63 * (1 - np.eye(3)), ["Ar"], [[0, 0, 0]]))
    assert np.isfinite(argon[0]).all()
    assert argon[0].max() > 1
    assert np.isnan(argon[1:]).all()


def test_one_atom_in_a_huge_box_has_no_neighbour_within_angstroms():
    box = Structure(Lattice.cubic(1000), ["U"], [[0.3, 0.3, 0.3]])
    assert not functions(box, scaled=False).any()
    assert_same(functions(box), functions(Structure(Lattice.cubic(2), ["U"], [[0, 0, 0]])))


def test_a_cell_skewed_beyond_recognition_is_the_same_crystal():
    skewed = np.array([[3, 0, 0], [3000, 3, 0], [-6000, 3000, 3.0]])
    rdf, site, polonium = RadialDistribution(), np.zeros((1, 3)), np.array([84])
    simple = rdf.describe(Crystal(3 * np.eye(3), site, polonium))
    np.testing.assert_allclose(rdf.describe(Crystal(skewed, site, polonium)), simple, atol=1e-7)


def test_too_many_pairs_are_refused_in_their_row(copper):
    with pytest.warns(
        MatscoutWarning, match=r"row 0: about .* pairs of atoms within r_max, more than .* take a smaller r_max"
    ):
        features = StructureFeaturizer("rdf", scaled=False, r_max=50, width=0.5).transform([copper * (4, 4, 4)])
    assert np.isnan(features).all()


def test_columns_are_named_by_their_bins():
    rdf = StructureFeaturizer("rdf")
    assert len(rdf) == 60
    assert rdf.feature_names[0] == "rdf 0-0.2"
    assert rdf.feature_names[39] == "electronegativity rdf 3.8-4"
    assert rdf.feature_names[40] == "electronegativity pair rdf 0-0.2"
    assert rdf.units[::20] == ("", "Pauling", "Pauling^2")
    assert StructureFeaturizer("rdf", scaled=False).feature_names[19] == "rdf 9.5-10 Å"
    assert all("doi:" in citation for citation in rdf.citations)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_max": 1.0, "width": 0.3}, r"r_max must be a whole multiple of width, got 1 and 0\.3"),
        ({"r_max": 0.05}, r"whole multiple"),
        ({"r_max": -1}, r"r_max must be a number above 0"),
        ({"width": float("nan")}, r"width must be a number above 0"),
        ({"width": "0.1"}, r"width must be a number above 0"),
        ({"width": 1e-6}, r"bins are too many"),
        ({"smoothness": 6}, r"smoothness must be a whole number from 0 to 5, got 6"),
        ({"smoothness": True}, r"smoothness must be a whole number"),
        ({"scaled": "no"}, r"scaled must be true or false, got 'no'"),
    ],
)
def test_an_option_with_a_bad_value_is_named(options, message):
    with pytest.raises(UserError, match=message):
        RadialDistribution(**options)
