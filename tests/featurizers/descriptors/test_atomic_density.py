import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from dscribe.descriptors import ACSF, SOAP
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from matscout.crystals.crystal import Crystal
from matscout.db._symmetry import spglib_call
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors import atomic_density
from matscout.featurizers.elements import site_table

seeds = st.integers(0, 2**32 - 1)
SMALL = {"n_max": 3, "l_max": 2}
ELEMENTS = ["Ti", "Cs", "O", "Li"]  # those of the random crystals, in no order


def features(crystal, preset, **options):
    return StructureFeaturizer(preset, **options).transform([crystal], strict=True)[0]


def assert_same(after, before):
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-11 * np.abs(before).max())


def smooth(r_cut):
    return {"function": "poly", "r0": r_cut, "c": 1, "m": 1}


def relative(name, elements):
    """A property of elements over the largest of all."""
    table = site_table()
    column = table.values[:, table.properties.index(name)]
    return {element: column[Element(element).Z] / np.nanmax(column) for element in elements}


@pytest.fixture(scope="module")
def soap():
    return StructureFeaturizer("soap", **SMALL)


@pytest.fixture(scope="module")
def acsf():
    return StructureFeaturizer("acsf", g4=[[0.01, 2, 1], [0.01, 4, -1]])


@pytest.fixture(params=["soap", "acsf"])
def either(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def box():
    """Make crystals of one atom in a cube of given edge."""
    return lambda edge, element="Fe": Structure(Lattice.cubic(edge), [element], [[0.3, 0.2, 0.1]])


@pytest.fixture
def quartz():
    """Right and left quartz: mirror images that no turn brings together."""
    sites = [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]]
    right = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.9134, 5.4052), ["Si", "O"], sites)
    return right, Structure(right.lattice, right.species, right.frac_coords * [1, 1, -1])


# Against dscribe itself, and against the definitions


@settings(max_examples=10)
@given(seeds)
def test_soap_with_species_is_the_mean_of_dscribes(crystals, seed):
    crystal = crystals.random(np.random.default_rng(seed))
    direct = SOAP(
        r_cut=4.5, sigma=0.4, species=ELEMENTS, periodic=True, weighting=smooth(4.5), average="outer", **SMALL
    )
    ours = features(crystal, "soap", r_cut=4.5, sigma=0.4, species=ELEMENTS, scaled=False, **SMALL)
    assert_same(ours, direct.create(AseAtomsAdaptor.get_atoms(crystal)))


@settings(max_examples=10)
@given(seeds)
def test_soap_with_weights_is_dscribes_compression_mu2(crystals, seed):
    crystal = crystals.random(np.random.default_rng(seed))
    names = ("electronegativity", "atomic_number")
    ours = features(crystal, "soap", r_cut=4.5, weights=names, scaled=False, **SMALL).reshape(len(names), -1)
    for name, row in zip(names, ours, strict=True):
        direct = SOAP(
            r_cut=4.5,
            sigma=0.5,
            species=ELEMENTS,
            periodic=True,
            weighting=smooth(4.5),
            average="outer",
            compression={"mode": "mu2", "species_weighting": relative(name, ELEMENTS)},
            **SMALL,
        )
        assert_same(row, direct.create(AseAtomsAdaptor.get_atoms(crystal)))


@settings(max_examples=10)
@given(seeds)
def test_symmetry_functions_with_species_are_mean_and_spread_of_dscribes(crystals, seed):
    crystal = crystals.random(np.random.default_rng(seed))
    g2, g4 = [[0.5, 2.0], [1.0, 3.0]], [[0.02, 2, 1], [0.02, 3, -1]]
    direct = ACSF(r_cut=4.5, species=ELEMENTS, periodic=True, g2_params=g2, g4_params=g4)
    sites = direct.create(AseAtomsAdaptor.get_atoms(crystal))
    ours = features(crystal, "acsf", r_cut=4.5, species=ELEMENTS, g2=g2, g4=g4, scaled=False)
    assert_same(ours, np.concatenate([sites.mean(axis=0), sites.std(axis=0)]))


def by_definition(crystal, weight, r_cut, eta_2, shift, eta_4, zeta, sign):
    """G1, G2 and G4 of every site by loops over neighbours, as they are defined."""

    def cutoff(r):
        return (1 + np.cos(np.pi * r / r_cut)) / 2 if r < r_cut else 0.0

    rows = []
    for site in crystal:
        around = [n for n in crystal.get_neighbors(site, r_cut) if n.nn_distance > 1e-8]
        g1 = sum(weight[n.specie.symbol] * cutoff(n.nn_distance) for n in around)
        g2 = sum(
            weight[n.specie.symbol] * np.exp(-eta_2 * (n.nn_distance - shift) ** 2) * cutoff(n.nn_distance)
            for n in around
        )
        g4 = 0.0
        for j, k in combinations(around, 2):
            a, b = j.coords - site.coords, k.coords - site.coords
            r_ij, r_ik, r_jk = np.linalg.norm(a), np.linalg.norm(b), np.linalg.norm(a - b)
            g4 += (
                weight[j.specie.symbol]
                * weight[k.specie.symbol]
                * 2 ** (1 - zeta)
                * (1 + sign * (a @ b) / (r_ij * r_ik)) ** zeta
                * np.exp(-eta_4 * (r_ij**2 + r_ik**2 + r_jk**2))
                * cutoff(r_ij)
                * cutoff(r_ik)
                * cutoff(r_jk)
            )
        rows.append([g1, g2, g4])
    return np.array(rows)


def test_weighted_symmetry_functions_are_those_of_their_definition(crystals):
    for crystal in (crystals.symmetric("rutile"), crystals.random(np.random.default_rng(4))):
        weights = relative("covalent_radius", [str(element) for element in crystal.composition])
        ours = features(
            crystal, "acsf", r_cut=4, weights=["covalent_radius"], g2=[[0.7, 2.2]], g4=[[0.03, 4, -1]], scaled=False
        )
        sites = by_definition(crystal, weights, 4, 0.7, 2.2, 0.03, 4, -1)
        assert_same(ours, np.concatenate([sites.mean(axis=0), sites.std(axis=0)]))


# What changes nothing


@settings(max_examples=12)
@given(seeds)
def test_another_view_of_a_crystal_changes_nothing(crystals, soap, acsf, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    views = [change(crystal, rng) for change in (crystals.moved, crystals.other_cell, crystals.larger_cell)]
    for featurizer in (soap, acsf):
        before, *after = featurizer.transform([crystal, *views], strict=True)
        for row in after:
            assert_same(row, before)


@pytest.mark.parametrize("scaled", [True, False])
def test_nor_of_a_symmetric_one_with_shells_of_atoms_at_one_distance(crystals, either, scaled):
    rng = np.random.default_rng(0)
    featurizer = StructureFeaturizer(either.name, **either.options, scaled=scaled)
    for name in crystals.names:
        crystal = crystals.symmetric(name)
        views = [change(crystal, rng) for change in (crystals.moved, crystals.other_cell, crystals.larger_cell)]
        before, *after = featurizer.transform([crystal, *views], strict=True)
        for row in after:
            assert_same(row, before)


@pytest.mark.parametrize("edge", [5, 5 + 0.5 * np.sqrt(-2 * np.log(0.001))], ids=["the cutoff", "dscribe's own"])
def test_nor_does_an_atom_that_crosses_the_cutoff(either, edge):
    featurizer = StructureFeaturizer(either.name, **either.options, scaled=False)
    inside, outside = (
        Structure(Lattice.cubic(30), ["O", "O"], [[0, 0, 0], [0, 0, (edge + step) / 30]]) for step in (-1e-7, 1e-7)
    )
    near, far = featurizer.transform([inside, outside], strict=True)
    np.testing.assert_allclose(far, near, atol=1e-9)


def test_nor_does_a_cell_of_long_thin_shape(either):
    lattice, sites, numbers = np.eye(3) * 4.2, np.array([[0, 0, 0], [0.3, 0.2, 0.7]]), np.array([11, 17])
    skewed = np.array([[1, 0, 0], [1000, 1, 0], [0, -300, 1]])
    before = either.featurize(Crystal(lattice, sites, numbers))
    after = either.featurize(Crystal(skewed @ lattice, sites @ np.linalg.inv(skewed), numbers))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-8 * np.abs(before).max())


def test_only_a_scaled_one_sees_no_volume(crystals, either):
    crystal = crystals.symmetric("perovskite")
    larger = crystal.copy()
    larger.scale_lattice(1.3 * crystal.volume)
    before, after = either.transform([crystal, larger], strict=True)
    assert_same(after, before)
    before, after = StructureFeaturizer(either.name, **either.options, scaled=False).transform([crystal, larger])
    assert np.abs(after / before - 1)[np.abs(before) > 1e-9].max() > 0.1


def test_a_cell_of_many_sites_is_the_same_taken_piece_by_piece(crystals, either, monkeypatch):
    crystal = crystals.symmetric("perovskite") * (2, 1, 1)
    whole = either.transform([crystal])
    monkeypatch.setattr(atomic_density, "_AT_ONCE", 3)
    assert (either.transform([crystal]) == whole).all()


def test_the_order_of_the_species_is_no_matter(crystals):
    crystal = crystals.symmetric("rutile")
    for preset, options in (("soap", SMALL), ("acsf", {})):
        one, other = (StructureFeaturizer(preset, species=names, **options) for names in (["O", "Ti"], ["Ti", "O"]))
        assert one.feature_names == other.feature_names
        assert (one.transform([crystal]) == other.transform([crystal])).all()


# What is told apart, and what is not


def test_elements_and_their_places_are_told_apart(either):
    cubic = (Lattice.cubic(3.9), [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    crystals = [Structure(cubic[0], [*cations, "O", "O", "O"], cubic[1]) for cations in (["Ca", "Ti"], ["Ti", "Ca"])]
    crystals.append(Structure(cubic[0], ["Sr", "Ti", "O", "O", "O"], cubic[1]))
    rows = either.transform(crystals, strict=True)
    for one, other in combinations(rows, 2):
        assert np.abs(one - other).max() > 0.01 * np.abs(one).max()


def test_counting_every_atom_alike_tells_no_elements_apart(either):
    rock_salts = [
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), elements, [[0, 0, 0], [0.5, 0.5, 0.5]])
        for a, elements in ((5.64, ["Na", "Cl"]), (5.94, ["Pb", "S"]))
    ]
    one, other = StructureFeaturizer(either.name, **either.options, weights=["one"]).transform(rock_salts, strict=True)
    assert_same(other, one)


def test_mirror_images_are_not_told_apart(either, quartz):
    cells = [(crystal.lattice.matrix, crystal.frac_coords, crystal.atomic_numbers) for crystal in quartz]
    assert [spglib_call("get_symmetry_dataset", cell).number for cell in cells] == [152, 154]  # P3_121, P3_221
    right, left = either.transform(quartz, strict=True)
    assert_same(left, right)


def test_distances_alone_do_not_tell_homometric_crystals_apart():
    # Patterson, Phys. Rev. 65, 195 (1944), doi:10.1103/PhysRev.65.195
    pair = [
        Structure(Lattice.tetragonal(3.5, 16), ["Se"] * 4, [[0, 0, z / 8] for z in places])
        for places in ([0, 1, 3, 4], [0, 1, 2, 5])
    ]
    distances = StructureFeaturizer("acsf", g4=[], pool=["mean"])
    one, other = distances.transform(pair, strict=True)
    assert_same(other, one)
    for featurizer in (StructureFeaturizer("acsf", pool=["mean"]), StructureFeaturizer("acsf", g4=[], pool=["std"])):
        one, other = featurizer.transform(pair, strict=True)
        assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()


# Columns


def test_the_columns_are_known_before_any_crystal():
    soap, acsf = StructureFeaturizer("soap"), StructureFeaturizer("acsf")
    assert len(soap) == 4 * 5 * 21  # weights, l, pairs n <= n'
    assert len(acsf) == 2 * 4 * (1 + 8 + 8)  # mean and std, weights, G1 and G2 and G4
    assert soap.feature_names[22] == "soap mean one l=1 n=1,2"
    assert acsf.feature_names[17] == "acsf mean electronegativity G1"
    for featurizer in (soap, acsf):
        assert len(set(featurizer.feature_names)) == len(featurizer.units) == len(featurizer)
        assert all("doi:" in citation for citation in featurizer.citations)
        assert set(featurizer.identity()["software"]) == {"dscribe", "matminer"}


def test_each_pair_of_species_has_columns_where_dscribe_has_them():
    featurizer = StructureFeaturizer("soap", species=["Ti", "O", "Li"], **SMALL)
    direct = SOAP(r_cut=5, species=["Ti", "O", "Li"], periodic=True, **SMALL)
    for pair in (("Li", "Li"), ("Li", "O"), ("O", "Ti"), ("Ti", "Ti")):
        names = featurizer.feature_names[direct.get_location(pair)]
        assert {name.split()[2] for name in names} == {"-".join(pair)}
        assert sum(f" {'-'.join(pair)} " in name for name in featurizer.feature_names) == len(names)


def test_an_element_without_a_property_leaves_only_its_columns_unknown(either):
    helium = Structure(Lattice.cubic(5), ["He", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    row = either.transform([helium], strict=True)[0]
    unknown = {name.split()[2] for name, value in zip(either.feature_names, row, strict=True) if np.isnan(value)}
    known = {name.split()[2] for name, value in zip(either.feature_names, row, strict=True) if np.isfinite(value)}
    assert (unknown, known) == ({"electronegativity"}, {"one", "covalent_radius", "atomic_number"})


# Bad input


def test_an_element_that_is_not_among_the_species_is_named(crystals):
    for preset in ("soap", "acsf"):
        featurizer = StructureFeaturizer(preset, species=["Na", "Cl"])
        with pytest.warns(MatscoutWarning, match=r"row 1: O, Ti is not among the species .*: Na, Cl"):
            rows = featurizer.transform([crystals.symmetric("rock salt"), crystals.symmetric("rutile")])
        assert np.isnan(rows).all(axis=1).tolist() == [False, True]


def test_an_isolated_atom_has_itself_or_nothing(box, soap, acsf):
    alone = StructureFeaturizer("soap", **soap.options, scaled=False).transform([box(40), box(90)], strict=True)
    assert_same(alone[1], alone[0])
    higher = ["l=0" not in name for name in soap.feature_names]
    assert (alone[0][higher] == 0).all()
    assert alone[0].max() > 0
    assert (StructureFeaturizer("acsf", **acsf.options, scaled=False).transform([box(40)], strict=True) == 0).all()


def test_an_impossible_density_is_refused_where_it_matters(box, either):
    unscaled = StructureFeaturizer(either.name, **either.options, scaled=False)
    with pytest.raises(UserError, match=r"row 0: 0\.51 Å³/atom is less than any crystal has \(2\)"):
        unscaled.transform([box(0.8)], strict=True)
    one, other = either.transform([box(0.8), box(3)], strict=True)
    assert_same(other, one)


def test_a_cell_too_large_for_the_memory_is_refused(either):
    n = 80_000
    cell = Crystal(np.eye(3) * 120, np.random.default_rng(0).random((n, 3)), np.full(n, 6))
    with pytest.raises(UserError, match=r"2160000 atoms in the cell and .* around it, more than 2000000"):
        either.featurize(cell)


def test_a_dense_cluster_in_a_void_has_too_many_angles(acsf):
    grid = np.stack(np.meshgrid(*[np.arange(9)] * 3), axis=-1).reshape(-1, 3)
    cluster = Crystal(np.eye(3) * 100, 0.5 + 0.006 * grid, np.full(len(grid), 6))
    with pytest.raises(UserError, match=r"pairs of neighbours, more than 100000000: take a smaller r_cut"):
        acsf.featurize(cluster)


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("soap", {"n_max": 20}, "no 20 independent radial functions up to l = 4 within 5 Å"),
        ("soap", {"n_max": 0}, "n_max must be a whole number from 1 to 20, got 0"),
        ("soap", {"l_max": True}, "l_max must be a whole number"),
        ("soap", {"sigma": 0}, "sigma must be a number above 0"),
        ("soap", {"r_cut": 1}, "r_cut must be a number above 1, at most 20, got 1"),
        ("soap", {"r_cut": float("nan")}, "r_cut must be a number"),
        ("soap", {"scaled": 1}, "scaled must be true or false, got 1"),
        ("soap", {"pool": []}, "pool must be a list of names"),
        ("soap", {"pool": ["mean", "maen"]}, "pool: unknown 'maen'. Did you mean mean?"),
        ("soap", {"weights": ["electronegativty"]}, "Did you mean electronegativity?"),
        ("soap", {"weights": ["one", "one"]}, "weights: each name once"),
        ("soap", {"species": "NaCl"}, "species must be a list of names, got 'NaCl'"),
        ("soap", {"species": ["Xx"]}, "species: unknown 'Xx'. Did you mean Xe?"),
        ("soap", {"species": ["Na"], "weights": ["one"]}, "not both"),
        ("soap", {"species": [e.symbol for e in Element][:40]}, "144600 columns, more than 100000: take fewer species"),
        ("acsf", {"g2": [[1, 2, 3]]}, "g2 must be a list, each of it 2 numbers; one is [1, 2, 3]"),
        ("acsf", {"g2": 5}, "g2 must be a list, each of it 2 numbers, got 5"),
        ("acsf", {"g4": [[0.1, 1.5, 1]]}, "ζ must be a whole number and λ 1 or -1"),
        ("acsf", {"g4": [[0.1, 2, 0.5]]}, "ζ must be a whole number and λ 1 or -1"),
        ("acsf", {"g2": [[1, 1], [1.00001, 1]]}, "each function once, to four digits"),
        ("acsf", {"n_max": 3}, 'acsf has no option "n_max"'),
    ],
)
def test_a_bad_option_is_named(preset, options, message):
    with pytest.raises(UserError) as caught:
        StructureFeaturizer(preset, **options)
    assert message in str(caught.value)


# Processes


PEROVSKITE = """
import numpy as np
from matscout.crystals.crystal import Crystal
sites = np.array([[0, 0, 0], [.5, .5, .5], [.5, .5, 0], [.5, 0, .5], [0, .5, .5]])
crystal = Crystal(np.eye(3) * 3.9, sites, np.array([38, 22, 8, 8, 8]))
"""
ELSEWHERE = f"""
import sys
import matscout.featurizers, matscout.featurizers.structures
assert not {{"dscribe", "torch", "chgnet"}} & set(sys.modules)
{PEROVSKITE}
rows = [matscout.featurizers.StructureFeaturizer(preset).featurize(crystal) for preset in ("soap", "acsf")]
assert not {{"torch", "chgnet"}} & set(sys.modules)
print(np.concatenate(rows).tobytes().hex())
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_another_process_with_other_threads_has_the_same_bits_and_loads_late(threads):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = {}
    exec(PEROVSKITE, names)
    here = np.concatenate([StructureFeaturizer(preset).featurize(names["crystal"]) for preset in ("soap", "acsf")])
    assert (np.frombuffer(bytes.fromhex(done.stdout)) == here).all()


def test_nothing_is_printed(crystals, either, capfd):
    either.transform([crystals.symmetric("copper")])
    assert capfd.readouterr() == ("", "")
