import os
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from chgnet.model.model import CHGNet
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors import _chgnet

CLOSE = 1e-4  # values reach 20, in single precision


@pytest.fixture(scope="module")
def chgnet():
    return StructureFeaturizer("chgnet")


@pytest.fixture(scope="module")
def network():
    return CHGNet.load(use_device="cpu", verbose=False)


def cube(edge, *elements):
    places = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure(Lattice.cubic(edge), elements, places[: len(elements)])


# Against CHGNet itself


def test_the_vectors_are_those_that_chgnet_gives(crystals, chgnet, network):
    for name in ("perovskite", "rutile", "magnesium"):
        crystal = crystals.symmetric(name)
        direct = network.predict_structure(crystal, task="e", return_atom_feas=True, return_crystal_feas=True)
        atoms = direct["atom_fea"].astype(float)
        expected = [direct["crystal_fea"] / len(crystal), atoms.mean(axis=0), atoms.std(axis=0)]
        row = chgnet.transform([crystal], strict=True)[0]
        np.testing.assert_allclose(row, np.concatenate(expected), atol=CLOSE)


def test_chgnets_energy_can_be_read_from_the_vector_of_a_crystal(crystals, chgnet, network):
    copper = crystals.symmetric("copper")  # all atoms alike: the vector per atom is each atom's
    vector = torch.tensor(chgnet.transform([copper], strict=True)[0, :64], dtype=torch.float32)
    with torch.no_grad():
        energy = network.mlp(vector) + network.composition_model.fc.weight[0, Element("Cu").Z - 1]
    assert energy.item() == pytest.approx(float(network.predict_structure(copper, task="e")["e"]), abs=CLOSE)


def test_elements_refused_are_those_with_the_random_weights_that_training_began_with(network):
    sizes = network.atom_embedding.embedding.weight.detach().norm(dim=1)
    assert set(np.flatnonzero(sizes < 10) + 1) == set(_chgnet.NEVER_SEEN)  # 64 numbers of variance 1 have 8
    assert len(sizes) == _chgnet.HEAVIEST


# What changes nothing


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_another_view_of_a_crystal_changes_nothing(crystals, chgnet, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    while len(crystal) < 2:  # one atom in a wide cell is refused
        crystal = crystals.random(rng)
    views = [change(crystal, rng) for change in (crystals.moved, crystals.other_cell, crystals.larger_cell)]
    before, *after = chgnet.transform([crystal, *views], strict=True)
    for row in after:
        np.testing.assert_allclose(row, before, atol=CLOSE)


def test_nor_of_a_symmetric_one_with_shells_of_atoms_on_both_cutoffs(crystals, chgnet):
    rng = np.random.default_rng(0)
    for crystal in (*map(crystals.symmetric, crystals.names), cube(3, "Fe")):
        views = [change(crystal, rng) for change in (crystals.moved, crystals.other_cell, crystals.larger_cell)]
        before, *after = chgnet.transform([crystal, *views], strict=True)
        for row in after:
            np.testing.assert_allclose(row, before, atol=CLOSE)


def test_a_cell_of_long_thin_shape_changes_nothing(chgnet):
    lattice, sites, numbers = np.eye(3) * 4.2, np.array([[0, 0, 0], [0.3, 0.2, 0.7]]), np.array([11, 17])
    skewed = np.array([[1, 0, 0], [1000, 1, 0], [0, -300, 1]])
    before = chgnet.featurize(Crystal(lattice, sites, numbers))
    after = chgnet.featurize(Crystal(skewed @ lattice, sites @ np.linalg.inv(skewed), numbers))
    np.testing.assert_allclose(after, before, atol=CLOSE)


# What is told apart, and what is not


def test_elements_and_volumes_are_told_apart(chgnet):
    rows = chgnet.transform([cube(4.1, "Cs", "Cl"), cube(4.1, "Cs", "Br"), cube(4.3, "Cs", "Cl")], strict=True)
    assert np.abs(rows[1] - rows[0]).max() > 0.1
    assert np.abs(rows[2] - rows[0]).max() > 0.1


def test_mirror_images_are_not_told_apart(chgnet):
    sites = [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]]
    right = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.9134, 5.4052), ["Si", "O"], sites)
    left = Structure(right.lattice, right.species, right.frac_coords * [1, 1, -1])
    rows = chgnet.transform([right, left], strict=True)
    np.testing.assert_allclose(rows[1], rows[0], atol=CLOSE)


def test_molecules_farther_apart_than_it_sees_are_not_told_from_one_alone(chgnet):
    boxes = [Structure(Lattice.cubic(a), ["O", "O"], [[0, 0, 0], [0, 0, 1.21 / a]]) for a in (7.5, 12, 40)]
    rows = chgnet.transform(boxes, strict=True)
    np.testing.assert_allclose(rows[1:], rows[[0, 0]], atol=CLOSE)


# Columns


def test_the_columns_are_known_before_any_crystal(chgnet):
    assert len(chgnet) == len(set(chgnet.feature_names)) == len(chgnet.units) == 3 * 64
    assert chgnet.feature_names[::64] == ("chgnet crystal 0", "chgnet atom mean 0", "chgnet atom std 0")
    assert set(chgnet.identity()["software"]) == {"chgnet", "torch"}
    assert "10.1038/s42256-023-00716-3" in chgnet.citations[0]


def test_other_poolings_and_other_weights_have_other_columns_and_numbers(crystals, chgnet):
    crystal = crystals.symmetric("rutile")
    extremes = StructureFeaturizer("chgnet", pool=["min", "max"])
    lowest, highest = extremes.transform([crystal], strict=True)[0, 64:].reshape(2, 64)
    mean = chgnet.transform([crystal], strict=True)[0, 64:128]
    assert ((lowest <= mean) & (mean <= highest)).all()
    assert extremes.key != chgnet.key
    r2scan = StructureFeaturizer("chgnet", model="r2scan").transform([crystal], strict=True)[0]
    assert np.abs(r2scan[64:128] - mean).max() > 0.1


# Bad input


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (cube(7, "Fe"), "the Fe atom on site 0 has no neighbour within 6 Å"),
        (cube(1.1, "Fe"), "1.33 Å³/atom is less than any crystal has"),
        (cube(3.4, "Po"), "CHGNet was never trained with Po"),
        (cube(5, "Cm", "Ra"), "CHGNet was never trained with Ra, Cm"),
    ],
    ids=["isolated", "dense", "never seen", "too heavy"],
)
def test_a_crystal_that_it_cannot_take_is_a_row_without_numbers(chgnet, crystal, message):
    good = cube(4.1, "Cs", "Cl")
    with pytest.warns(MatscoutWarning) as caught:
        rows = chgnet.transform([good, crystal, good])
    assert f"row 1: {message}" in str(caught[0].message)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]
    assert (rows[0] == rows[2]).all()


def test_a_graph_that_would_fill_the_memory_is_refused_before_it_is_made(chgnet):
    crystal = Crystal.from_structure(cube(1.9, "Fe", "Fe") * (10, 10, 10))
    with pytest.raises(UserError, match=r"\d+ angles between bonds, more than 500000"):
        chgnet.featurize(crystal)


def test_a_failure_inside_chgnet_leaves_no_file_behind(chgnet, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise ValueError("no bond graph")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("chgnet.graph.graph.Graph.line_graph_adjacency_list", fail)
    with pytest.warns(MatscoutWarning, match=r"row 0: RuntimeError: Failed creating bond graph"):
        chgnet.transform([cube(4.1, "Cs", "Cl")])
    assert not list(tmp_path.iterdir())


def test_without_chgnet_installed_it_has_names_and_says_what_to_install(monkeypatch):
    def version(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(_chgnet, "find_spec", lambda package: None if package == "chgnet" else object())
    monkeypatch.setattr(metadata, "version", version)
    bare = StructureFeaturizer("chgnet")
    assert len(bare) == 3 * 64
    assert bare.identity()["software"] == {"chgnet": None, "torch": None}
    copper = cube(3.0, "Cu", "Cu")
    for needs_it in (bare.prepare, lambda: bare.featurize(Crystal.from_structure(copper))):
        with pytest.raises(UserError, match=r"needs chgnet and torch: pip install 'matscout\[gnn\]'"):
            needs_it()
    with pytest.raises(UserError, match="needs chgnet and torch"):  # once, and not for each crystal
        bare.transform([copper, copper])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "0.4.0"}, "unknown model '0.4.0'. Known: 0.3.0, 0.2.0, r2scan"),
        ({"pool": ["mean", "median"]}, "pool: unknown 'median'"),
        ({"pool": "mean"}, "pool must be a list of names, got 'mean'"),
    ],
)
def test_a_bad_option_is_named(options, message):
    with pytest.raises(UserError) as caught:
        StructureFeaturizer("chgnet", **options)
    assert message in str(caught.value)


# Processes and threads

ELSEWHERE = """
import sys
from matscout.featurizers import StructureFeaturizer
chgnet = StructureFeaturizer("chgnet")
assert not {"torch", "chgnet"} & set(sys.modules), "loaded before any crystal"
import numpy as np
from matscout.crystals.crystal import Crystal
sites = np.array([[0, 0, 0], [.5, .5, .5], [.5, .5, 0], [.5, 0, .5], [0, .5, .5]])
row = chgnet.featurize(Crystal(np.eye(3) * 3.9, sites, np.array([38, 22, 8, 8, 8])))
sys.stdout.write(row.tobytes().hex())
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_another_process_with_other_threads_has_the_same_bits(chgnet, threads):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    here = chgnet.featurize(Crystal(np.eye(3) * 3.9, sites, np.array([38, 22, 8, 8, 8])))
    assert (np.frombuffer(bytes.fromhex(done.stdout)) == here).all()


def test_the_number_of_threads_is_given_back(crystals, chgnet):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chgnet.transform([crystals.symmetric("copper")])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_nothing_is_printed_while_it_loads(crystals, chgnet, capfd):
    _chgnet.loaded.cache_clear()
    chgnet.transform([crystals.symmetric("copper")], strict=True)
    assert capfd.readouterr() == ("", "")
