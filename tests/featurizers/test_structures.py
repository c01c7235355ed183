from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import DensityFeatures
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.structures import PRESETS
from matscout.workflows.enumeration import enumerate_candidates, get_prototype

seeds = st.integers(0, 2**32 - 1)


def rock_salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_rock_salt_has_the_values_of_a_handbook():
    featurizer = StructureFeaturizer("geometry")
    row = dict(zip(featurizer.feature_names, featurizer.transform([rock_salt()])[0], strict=True))
    assert row["density"] == pytest.approx(2.16, abs=0.01)  # g/cm^3
    assert row["vpa"] == pytest.approx(5.64**3 / 8)
    assert row["space group number"] == 225
    assert row["primitive sites"] == 2


def test_density_and_packing_are_those_of_matminer(crystals):
    crystal = crystals.random(np.random.default_rng(1))
    ours = StructureFeaturizer("geometry").transform([crystal])[0, :3]
    np.testing.assert_allclose(ours, DensityFeatures().featurize(crystal), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_turning_shifting_and_renumbering_change_nothing(crystals, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    before, after = StructureFeaturizer("geometry").transform([crystal, crystals.moved(crystal, rng)])
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_a_larger_cell_of_the_same_crystal_changes_nothing():
    before, after = StructureFeaturizer("geometry").transform([rock_salt(), rock_salt() * (2, 1, 1)])
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_a_crystal_with_its_elements_exchanged_has_the_same_row():
    perovskite = get_prototype("cubic-perovskite")
    rows = StructureFeaturizer("geometry").transform(
        [perovskite.structure(elements, 12.0) for elements in (("Sr", "Ti", "O"), ("Ti", "Sr", "O"))]
    )
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12)


def test_a_gas_atom_without_radius_leaves_only_the_packing_unknown():
    crystal = Structure(Lattice.cubic(4), ["He"], [[0, 0, 0]])
    assert np.isnan(StructureFeaturizer("geometry").transform([crystal])[0]).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_a_crystal_that_cannot_be_described_is_named_by_its_row():
    disordered = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(UserError, match=r"row 1: .* occupied only in part"):
        StructureFeaturizer("geometry").transform([rock_salt(), disordered], strict=True)
    overlapping = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 1e-5]])
    with pytest.warns(MatscoutWarning, match=r"row 0: Fe2: sites 0 and 1 overlap"):
        features = StructureFeaturizer("geometry").transform([overlapping, rock_salt()])
    assert np.isnan(features).all(axis=1).tolist() == [True, False]


def test_no_crystal_gives_no_row():
    assert StructureFeaturizer("geometry").transform([]).shape == (0, 5)


def test_candidates_are_crystals_too():
    table = enumerate_candidates("cubic-perovskite", {"A": ["Sr", "Ba"], "B": ["Ti"], "X": ["O"]})
    featurizer = StructureFeaturizer("geometry")
    np.testing.assert_array_equal(featurizer.transform(table), featurizer.transform(table.structures(range(2))))


def test_of_formulas_there_are_no_features():
    with pytest.raises(UserError, match="geometry is made of crystals"):
        StructureFeaturizer("geometry").transform(["NaCl"])


def test_an_option_that_is_the_default_does_not_count():
    plain = StructureFeaturizer("rdf")
    for options in ({"smoothness": 2}, {"scaled": True, "r_max": None}):
        assert StructureFeaturizer("rdf", **options).key == plain.key
    other = StructureFeaturizer("rdf", smoothness=1, scaled=True)
    assert (other.key != plain.key, other.options) == (True, {"smoothness": 1})
    assert (
        StructureFeaturizer("soap", pool=["mean", "std"]).key == StructureFeaturizer("soap", pool=("mean", "std")).key
    )


@pytest.mark.parametrize("preset", ["sites", "protostructure", "voronoi"])
def test_what_takes_no_position_has_options_by_name_only(preset):
    module, name = PRESETS[preset].split(":")
    with pytest.raises(TypeError):
        getattr(import_module(f"matscout.featurizers.descriptors.{module}"), name)(3)


@pytest.mark.parametrize(
    ("preset", "software"),
    [
        ("geometry", {"pymatgen-core", "spglib"}),
        ("sites", {"matminer", "pymatgen", "pymatgen-core", "spglib"}),
        ("protostructure", {"matminer", "pymatgen", "spglib"}),
        ("rdf", {"matminer"}),
        ("orbital_field", {"pymatgen-core"}),
        ("sine_coulomb", {"pymatgen-core", "spglib"}),
        ("soap", {"dscribe", "matminer"}),
    ],
)
def test_the_key_names_the_packages_that_the_numbers_come_from(preset, software):
    assert StructureFeaturizer(preset).identity()["software"].keys() == software


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"Did you mean geometry?"):
        StructureFeaturizer("geometri")


def test_a_nearly_symmetric_crystal_has_one_space_group_whatever_the_order_of_its_sites(crystals):
    rng = np.random.default_rng(3)
    nearly = crystals.symmetric("perovskite")
    nearly.perturb(0.008)
    rows = StructureFeaturizer("geometry").transform([crystals.moved(nearly, rng) for _ in range(12)])
    assert len(set(rows[:, 4].tolist())) == 1
