from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.prototypes import count_crystal_dof, count_wyckoff_positions
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscout.crystals.protostructure import protostructure_label
from matscout.errors import UserError
from matscout.featurizers import StructureFeaturizer
from matscout.workflows.enumeration import get_prototype, prototype_library

seeds = st.integers(0, 2**32 - 1)
FEATURIZER = StructureFeaturizer("protostructure")
LIBRARY = [prototype for prototype in prototype_library().values() if prototype.n_sites <= 20]


def crystal_of(name, *elements):
    return get_prototype(name).structure(elements, 12.0)


def columns(structures, featurizer=FEATURIZER):
    return dict(zip(featurizer.feature_names, featurizer.transform(structures, strict=True).T, strict=True))


def column(structure, featurizer=FEATURIZER):
    return {name: values[0] for name, values in columns([structure], featurizer).items()}


def same(first, second):
    np.testing.assert_allclose(*FEATURIZER.transform([first, second], strict=True), rtol=1e-7, atol=1e-9)


def ones(row, prefix):
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix) and value}


# known crystals


def test_a_perovskite_is_what_the_tables_say():
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"))
    assert (row["space_group"], row["point_group_order"]) == (221, 48)
    assert (row["centrosymmetric"], row["polar"], row["chiral"]) == (1, 0, 0)
    assert (ones(row, "crystal_system."), ones(row, "lattice.")) == ({"cubic": 1}, {"P": 1})
    assert (row["n_orbits"], row["orbits.0_free"], row["free_coordinates"], row["cell_parameters"]) == (3, 3, 0, 1)
    assert (row["atoms.m-3m"], row["atoms.4/mmm"]) == pytest.approx((0.4, 0.6))
    assert [row[f"{one}_site_symmetry_order"] for one in ("min", "max", "mean")] == pytest.approx([16, 48, 28.8])
    assert [row[f"fraction{i}"] for i in range(1, 5)] == pytest.approx([0.6, 0.2, 0.2, 0])
    assert (row["n_elements"], row["formula_atoms"], row["primitive_sites"]) == (3, 5, 5)


def test_a_spinel_too():
    row = column(crystal_of("spinel", "Mg", "Al", "O"))
    assert (row["primitive_sites"], row["conventional_sites"], row["formula_atoms"]) == (14, 56, 7)
    assert (row["orbits.0_free"], row["orbits.1_free"], row["atoms.1_free"]) == pytest.approx((2, 1, 8 / 14))
    assert ones(row, "atoms.-43m") == {"": pytest.approx(2 / 14)}
    assert row["atoms.inversion"] == pytest.approx(4 / 14)
    assert [row[f"{one}_multiplicity"] for one in ("min", "max", "mean")] == pytest.approx([2, 8, 14 / 3])


def test_wurtzite_is_polar_and_quartz_is_chiral():
    wurtzite = column(crystal_of("wurtzite", "Zn", "S"))
    assert (wurtzite["centrosymmetric"], wurtzite["polar"], wurtzite["chiral"]) == (0, 1, 0)
    quartz = column(quartz_of(1))
    assert (quartz["centrosymmetric"], quartz["polar"], quartz["chiral"]) == (0, 0, 1)
    assert ones(quartz, "crystal_system.") == {"trigonal": 1}


def quartz_of(handedness):
    right = Structure.from_spacegroup(
        "P3_121", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4525]]
    )
    return Structure(right.lattice, right.species, handedness * right.frac_coords)


def test_degrees_of_freedom_and_orbits_are_those_that_pymatgen_counts():
    structures = [prototype.structure("BCNOPS"[: len(prototype.roles)], 12.0) for prototype in LIBRARY[::5]]
    row = columns(structures)
    labels = [protostructure_label(structure) for structure in structures]
    assert (row["cell_parameters"] + row["free_coordinates"]).tolist() == [count_crystal_dof(one) for one in labels]
    assert row["n_orbits"].tolist() == [count_wyckoff_positions(one) for one in labels]
    assert len(set(row["free_coordinates"])) > 5


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib, called by pymatgen
def test_real_crystals_have_the_groups_that_pymatgen_finds(phonons):
    chosen = phonons[::50]
    row = columns(chosen)
    groups = [SpacegroupAnalyzer(structure, symprec=0.01) for structure in chosen]
    agree = [i for i, group in enumerate(groups) if group.get_space_group_number() == row["space_group"][i]]
    assert len(agree) >= len(chosen) - 1  # one may be distorted by about the tolerance, or its mirror image be named
    for i in agree:
        assert row[f"crystal_system.{groups[i].get_crystal_system()}"][i] == 1
        assert row["conventional_sites"][i] == len(groups[i].get_refined_structure())
        assert row["primitive_sites"][i] == len(groups[i].find_primitive())
    assert row["n_elements"].tolist() == [len(structure.composition) for structure in chosen]


def test_all_shares_of_atoms_and_all_choices_add_up_to_one(phonons):
    row = columns(phonons[::20])
    for prefix in ("crystal_system.", "lattice."):
        np.testing.assert_array_equal(sum(values for name, values in row.items() if name.startswith(prefix)), 1)
    free = [name for name in row if name.startswith("atoms.") and name.endswith("_free")]
    groups = [name for name in row if name.startswith("atoms.") and name not in (*free, "atoms.inversion")]
    assert (len(free), len(groups)) == (4, 32)
    for names in (free, groups, [name for name in row if name.startswith("fraction")]):
        np.testing.assert_allclose(sum(row[name] for name in names), 1)


# one crystal, one row


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_crystal_has_one_row_whichever_cell_it_comes_in(crystals, seed):
    rng = np.random.default_rng(seed)
    crystal = crystals.random(rng)
    same(crystals.moved(crystals.larger_cell(crystals.other_cell(crystal, rng), rng), rng), crystal)


def test_symmetric_crystals_have_one_row_in_any_cell(crystals):
    rng = np.random.default_rng(2)
    for name in crystals.names:
        crystal = crystals.symmetric(name)
        same(crystals.moved(crystals.larger_cell(crystals.other_cell(crystal, rng), rng), rng), crystal)


def test_so_have_real_ones_at_any_volume(crystals, phonons):
    rng = np.random.default_rng(3)
    for place in rng.permutation(len(phonons))[:40].tolist():
        crystal = phonons[place]
        other = crystals.moved(crystals.other_cell(crystal, rng), rng)
        other.scale_lattice(rng.uniform(0.5, 2) * other.volume)
        same(other, crystal)


def test_the_elements_change_the_volume_and_the_packing_only():
    first, second = FEATURIZER.transform(
        [crystal_of("cubic-perovskite", "Ca", "Ti", "O"), crystal_of("cubic-perovskite", "Cs", "Pb", "I")]
    )
    assert np.flatnonzero(first != second).tolist() == [len(FEATURIZER) - 2, len(FEATURIZER) - 1]


# what it cannot tell


def test_a_crystal_and_its_mirror_image_have_the_same_row():
    same(quartz_of(1), quartz_of(-1))


def test_free_coordinates_show_in_the_volume_only():
    rutile, stretched = (
        Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [x, x, 0]])
        for x in (0.305, 0.32)
    )
    first, second = FEATURIZER.transform([rutile, stretched])
    assert np.flatnonzero(~np.isclose(first, second)).tolist() == [len(FEATURIZER) - 2, len(FEATURIZER) - 1]


def test_which_cation_is_on_which_site_does_not_show_in_the_columns_of_symmetry():
    rows = FEATURIZER.transform(
        [crystal_of("cubic-perovskite", "Sr", "Ti", "O"), crystal_of("cubic-perovskite", "Ti", "Sr", "O")]
    )
    np.testing.assert_array_equal(rows[0, :-2], rows[1, :-2])


def test_another_fit_of_the_volumes_needs_another_version():
    # rows are kept under the version: where this number changes, it must grow
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"))
    assert (FEATURIZER.version, row["volume"]) == (1, pytest.approx(12.6113668937, rel=1e-9))


# options and errors


def test_fractions_beyond_the_last_column_are_left_out():
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"), StructureFeaturizer("protostructure", max_elements=2))
    assert ones(row, "fraction") == pytest.approx({"1": 0.6, "2": 0.2})
    assert row["n_elements"] == 3


@pytest.mark.parametrize("options", [{"max_elements": 0}, {"max_elements": True}, {"symprec": -1}, {"symprec": 1}])
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(UserError, match=f"{next(iter(options))} must be a"):
        StructureFeaturizer("protostructure", **options)


def test_an_element_without_radius_leaves_only_the_packing_unknown():
    row = column(Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]]))
    assert [name for name, value in row.items() if np.isnan(value)] == ["packing_fraction"]


def test_names_units_and_sources_are_there_before_any_crystal():
    assert len(set(FEATURIZER.feature_names)) == len(FEATURIZER) == len(FEATURIZER.units)
    assert dict(zip(FEATURIZER.feature_names, FEATURIZER.units, strict=True))["volume"] == "Å^3/atom"
    assert all("doi:" in citation for citation in FEATURIZER.citations)
