from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import (
    ChemicalOrdering,
    MaximumPackingEfficiency,
    SiteStatsFingerprint,
    StructuralHeterogeneity,
)
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.descriptors import _tessellation, voronoi
from matscout.featurizers.elements import magpie_table

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def featurizer():
    return StructureFeaturizer("voronoi")


@pytest.fixture(scope="module")
def symmetric(crystals):
    """Symmetric crystals, made once: pymatgen takes its time for a space group."""
    return {name: crystals.symmetric(name) for name in crystals.names}


@pytest.fixture(scope="module")
def ward_2017():
    """The structural part of Ward's set in matminer."""
    return [
        SiteStatsFingerprint.from_preset("CoordinationNumber_ward-prb-2017"),
        StructuralHeterogeneity(),
        ChemicalOrdering(),
        MaximumPackingEfficiency(),
        SiteStatsFingerprint.from_preset("LocalPropertyDifference_ward-prb-2017"),
    ]


def features(featurizer, *structures):
    return featurizer.transform(structures, strict=True)


def named(featurizer, structure):
    return dict(zip(featurizer.feature_names, features(featurizer, structure)[0].tolist(), strict=True))


def assert_same(featurizer, first, second, tolerance=1e-6):
    before, after = features(featurizer, first, second)
    np.testing.assert_allclose(after, before, rtol=tolerance, atol=tolerance)


def close_packed(layers, element="Co"):
    """Close-packed layers, one letter for each, nearest atoms 2.5 Å apart."""
    at = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    lattice = Lattice.hexagonal(2.5, len(layers) * 2.5 * np.sqrt(2 / 3))
    return Structure(
        lattice, [element] * len(layers), [(*at[letter], i / len(layers)) for i, letter in enumerate(layers)]
    )


def test_columns_are_those_of_matminer(featurizer, ward_2017):
    assert list(featurizer.feature_names) == list(chain.from_iterable(part.feature_labels() for part in ward_2017))
    assert len(set(featurizer.feature_names)) == len(featurizer.units) == 128
    units = dict(zip(featurizer.feature_names, featurizer.units, strict=True))
    assert units["mean CN_VoronoiNN"] == ""
    assert units["range local difference in MeltingT"] == "K"


def matminer_values(ward_2017, structure):
    return np.concatenate([part.featurize(structure) for part in ward_2017])


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_matminer_on_random_crystals(seed, featurizer, ward_2017, crystals):
    crystal = crystals.random(np.random.default_rng(seed), most=3)
    theirs = matminer_values(ward_2017, crystal)
    np.testing.assert_allclose(features(featurizer, crystal)[0], theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["perovskite", "rock salt", "magnesium"])
def test_values_are_those_of_matminer_on_symmetric_crystals(name, featurizer, ward_2017, symmetric):
    crystal = symmetric[name].get_primitive_structure()
    theirs = matminer_values(ward_2017, crystal)
    np.testing.assert_allclose(features(featurizer, crystal)[0], theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("row", [0, 300, 660])
def test_values_are_those_of_matminer_on_real_crystals(row, featurizer, ward_2017, phonons):
    theirs = matminer_values(ward_2017, phonons[row])
    np.testing.assert_allclose(features(featurizer, phonons[row])[0], theirs, rtol=1e-7, atol=1e-7)


def test_a_pair_of_atoms_in_much_space_is_not_cut_off_as_by_matminer(featurizer, ward_2017):
    small, large = (
        Structure(Lattice.cubic(6 * scale), ["Mg", "O"], np.array([[0, 0, 0], [0.175, 0.083, 0.025]]))
        for scale in (1, 2)
    )
    assert_same(featurizer, small, large, 1e-9)
    np.testing.assert_allclose(features(featurizer, small)[0], matminer_values(ward_2017, small), atol=1e-9)
    assert abs(features(featurizer, large)[0] - matminer_values(ward_2017, large)).max() > 0.1


@settings(max_examples=30)
@given(seed=seeds)
def test_the_setting_of_a_random_crystal_changes_nothing(seed, featurizer, crystals):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    for change in (crystals.moved, crystals.other_cell, crystals.larger_cell):
        assert_same(featurizer, crystal, change(crystal, rng))


@settings(max_examples=10)
@given(seed=seeds)
def test_the_setting_of_a_symmetric_crystal_changes_nothing(seed, featurizer, symmetric, crystals):
    rng = np.random.default_rng(seed)
    for crystal in symmetric.values():
        other = crystal
        for change in (crystals.larger_cell, crystals.other_cell, crystals.moved):
            other = change(other, rng)
        assert_same(featurizer, crystal, other)


@settings(max_examples=30)
@given(seed=seeds, scale=st.floats(0.5, 20))
def test_scaling_changes_nothing(seed, scale, featurizer, crystals):
    crystal = crystals.random(np.random.default_rng(seed))
    scaled = crystal.copy()
    scaled.scale_lattice(crystal.volume * scale**3)
    assert_same(featurizer, crystal, scaled, 1e-7)


@settings(max_examples=30)
@given(seed=seeds, name=st.sampled_from(["rock salt", "diamond", "perovskite", "copper"]), power=st.integers(-12, -4))
def test_small_displacements_change_little(seed, name, power, featurizer, symmetric):
    crystal = symmetric[name]
    rng = np.random.default_rng(seed)
    shifts = 10.0**power * rng.normal(size=(len(crystal), 3))
    moved = Structure(crystal.lattice, crystal.species, crystal.cart_coords + shifts, coords_are_cartesian=True)
    before, after = features(featurizer, crystal, moved)
    spreads = np.ptp(magpie_table().values[1:], axis=0)
    sizes = np.concatenate([np.ones(len(featurizer) - 5 * len(spreads)), np.repeat(spreads, 5)])
    assert (np.abs(after - before) / sizes).max() < 100 * 10.0**power + 1e-6


def test_close_packed_metals_have_twelve_neighbours_and_the_packing_of_kepler(featurizer):
    row = named(featurizer, close_packed("ABC"))
    assert row["mean CN_VoronoiNN"] == pytest.approx(12)
    assert row["avg_dev CN_VoronoiNN"] == pytest.approx(0, abs=1e-9)
    assert row["max packing efficiency"] == pytest.approx(np.pi / np.sqrt(18))
    assert row["mean neighbor distance variation"] == pytest.approx(0, abs=1e-9)
    assert row["mean ordering parameter shell 3"] == 0


def test_body_centred_cubic_iron_has_the_values_of_its_truncated_octahedra(featurizer):
    square, hexagon = 1, 1.5 * np.sqrt(3)  # edges of 1; 6 and 8 of them, neighbours 2 √2 and √6 away
    surface = 6 * square + 8 * hexagon
    mean = (6 * square * np.sqrt(8) + 8 * hexagon * np.sqrt(6)) / surface
    variation = (6 * square * (np.sqrt(8) - mean) + 8 * hexagon * (mean - np.sqrt(6))) / surface / mean
    row = named(featurizer, Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert row["mean CN_VoronoiNN"] == pytest.approx(surface**2 / (6 * square**2 + 8 * hexagon**2))
    assert row["mean neighbor distance variation"] == pytest.approx(variation)
    assert row["max packing efficiency"] == pytest.approx(np.pi * np.sqrt(3) / 8)


def test_rock_salt_alternates(featurizer, symmetric):
    row = named(featurizer, symmetric["rock salt"])
    assert row["mean CN_VoronoiNN"] == pytest.approx(6)
    assert [row[f"mean ordering parameter shell {shell}"] for shell in (1, 2, 3)] == pytest.approx([1, 1, 1])
    assert row["mean local difference in Number"] == pytest.approx(17 - 11)
    assert row["max packing efficiency"] == pytest.approx(np.pi / 6)


def test_walks_are_counted_as_by_following_them(crystals):
    crystal = crystals.random(np.random.default_rng(11), most=4)
    cells = _tessellation.tessellate(Crystal.from_structure(crystal))
    steps = list(zip(cells.sites, cells.neighbours, map(tuple, cells.images), cells.areas, strict=True))
    largest = [max(area for site, _, _, area in steps if site == i) for i in range(len(cells.crystal))]
    after = {site: [] for site in range(len(cells.crystal))}
    for site, neighbour, image, area in steps:
        after[site].append((neighbour, image, area / largest[site]))

    def walk(path, weight, n_steps, found):
        site, at = path[-1]
        if not n_steps:
            found[path[0][0], site] += weight
            return
        for neighbour, image, more in after[site]:
            atom = (neighbour, tuple(np.add(at, image)))
            if atom not in path:
                walk([*path, atom], weight * more, n_steps - 1, found)

    expected = []
    for shell in (1, 2, 3):
        found = np.zeros((len(cells.crystal),) * 2)
        for site in range(len(cells.crystal)):
            walk([(site, (0, 0, 0))], 1.0, shell, found)
        elements = cells.crystal.numbers[:, None] == np.unique(cells.crystal.numbers)
        met = found @ elements / found.sum(axis=1, keepdims=True)
        expected.append(np.abs(1 - met / elements.mean(axis=0)).mean())
    np.testing.assert_allclose(voronoi.ordering(cells), expected, rtol=1e-12)


def test_stackings_of_a_close_packed_metal_cannot_be_told_apart(featurizer):
    cubic, hexagonal, double_hexagonal = (close_packed(layers) for layers in ("ABC", "AB", "ABAC"))
    groups = StructureFeaturizer("geometry").transform([cubic, hexagonal, double_hexagonal])[:, 4]
    assert groups.tolist() == [225, 194, 194]
    assert_same(featurizer, cubic, hexagonal, 1e-9)
    assert_same(featurizer, cubic, double_hexagonal, 1e-9)


@settings(max_examples=20)
@given(seed=seeds)
def test_mirror_images_cannot_be_told_apart(seed, featurizer, crystals):
    crystal = crystals.random(np.random.default_rng(seed))
    mirrored = crystal.copy()
    mirrored.apply_operation(SymmOp.reflection([0, 0, 1]))
    assert_same(featurizer, crystal, mirrored)


def test_a_crystal_that_needs_too_many_atoms_is_a_row_without_features(monkeypatch, featurizer):
    monkeypatch.setattr(_tessellation, "MOST_ATOMS", 40)
    layer = Structure(Lattice.hexagonal(2.46, 90), ["B", "N"], [[1 / 3, 2 / 3, 0.4], [2 / 3, 1 / 3, 0.4]])
    with pytest.raises(UserError, match=r"row 0: .* take the primitive cell, or less vacuum"):
        features(featurizer, layer)
