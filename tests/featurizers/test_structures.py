from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.structure import DensityFeatures
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure

from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer

seeds = st.integers(0, 2**32 - 1)


def rock_salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def random_crystal(rng):
    lattice = Lattice.from_parameters(*rng.uniform(4, 7, 3), *rng.uniform(70, 110, 3))
    n = int(rng.integers(1, 7))
    return Structure(lattice, rng.choice(["Li", "O", "Ti", "Cs"], n).tolist(), rng.random((n, 3)))


def test_rock_salt_has_the_values_of_a_handbook():
    featurizer = StructureFeaturizer("geometry")
    row = dict(zip(featurizer.feature_names, featurizer.transform([rock_salt()])[0], strict=True))
    assert row["density"] == pytest.approx(2.16, abs=0.01)  # g/cm^3
    assert row["vpa"] == pytest.approx(5.64**3 / 8)
    assert row["space group number"] == 225
    assert row["primitive sites"] == 2


def test_density_and_packing_are_those_of_matminer():
    crystal = random_crystal(np.random.default_rng(1))
    ours = StructureFeaturizer("geometry").transform([crystal])[0, :3]
    np.testing.assert_allclose(ours, DensityFeatures().featurize(crystal), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_turning_shifting_and_renumbering_change_nothing(seed):
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng)
    moved = crystal.copy()
    moved.apply_operation(SymmOp.from_origin_axis_angle((0, 0, 0), rng.normal(size=3), rng.uniform(0, 360)))
    moved.translate_sites(range(len(moved)), rng.random(3))
    moved = Structure.from_sites([moved[i] for i in rng.permutation(len(moved))])
    before, after = StructureFeaturizer("geometry").transform([crystal, moved])
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_a_larger_cell_of_the_same_crystal_changes_nothing():
    before, after = StructureFeaturizer("geometry").transform([rock_salt(), rock_salt() * (2, 1, 1)])
    np.testing.assert_allclose(after, before, rtol=1e-9)


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


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"Did you mean geometry?"):
        StructureFeaturizer("geometri")
