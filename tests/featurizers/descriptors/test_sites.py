from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.optimize import brentq

from matscout.errors import UserError
from matscout.featurizers import SiteFeaturizer, StructureFeaturizer
from matscout.workflows.enumeration import enumerate_candidates, get_prototype

seeds = st.integers(0, 2**32 - 1)
FEATURIZER = StructureFeaturizer("sites")


def crystal_of(name, *elements):
    return get_prototype(name).structure(elements, 12.0)


def column(structure, featurizer=FEATURIZER):
    return dict(zip(featurizer.feature_names, featurizer.transform([structure], strict=True)[0], strict=True))


def same(first, second):
    np.testing.assert_allclose(*FEATURIZER.transform([first, second], strict=True), rtol=1e-7, atol=1e-9)


def pyrite(x):
    """FeS2 of group Pa-3, sulphur on 8c."""
    iron = [[0, 0, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0]]
    half = np.array([[x, x, x], [0.5 - x, -x, 0.5 + x], [-x, 0.5 + x, 0.5 - x], [0.5 + x, 0.5 - x, -x]])
    return Structure(Lattice.cubic(5.42), ["Fe"] * 4 + ["S"] * 8, [*iron, *half, *-half])


# known crystals


def test_a_perovskite_and_the_one_with_its_cations_exchanged_differ():
    perovskite, exchanged = (
        column(crystal_of("cubic-perovskite", "Sr", "Ti", "O")),
        column(crystal_of("cubic-perovskite", "Ti", "Sr", "O")),
    )
    assert [perovskite[f"role{i}.atomic_number"] for i in (1, 2, 3)] == [38, 22, 8]
    assert [exchanged[f"role{i}.atomic_number"] for i in (1, 2, 3)] == [22, 38, 8]
    assert perovskite["role1/role2.ionic_radius"] == pytest.approx(1 / exchanged["role1/role2.ionic_radius"])


def test_a_perovskite_has_the_sites_of_the_tables_of_crystallography():
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"))
    assert [row[f"role{i}.site_symmetry_order"] for i in (1, 2, 3)] == [48, 48, 16]
    assert [row[f"role{i}.multiplicity"] for i in (1, 2, 3)] == [1, 1, 3]
    assert [row[f"role{i}.fraction"] for i in (1, 2, 3)] == [0.2, 0.2, 0.6]
    assert [row[f"role{i}.inversion"] for i in (1, 2, 3)] == [1, 1, 1]
    assert row["role1-role3.electronegativity"] == pytest.approx(0.95 - 3.44)  # Pauling
    assert row["n_roles"] == 3


def test_a_spinel_has_them_too():
    row = column(crystal_of("spinel", "Mg", "Al", "O"))
    assert [row[f"role{i}.site_symmetry_order"] for i in (1, 2, 3)] == [24, 12, 6]
    assert [row[f"role{i}.free_parameters"] for i in (1, 2, 3)] == [0, 0, 1]
    assert [row[f"role{i}.inversion"] for i in (1, 2, 3)] == [0, 1, 0]
    assert [row[f"role{i}.multiplicity"] for i in (1, 2, 3)] == [2, 4, 8]


def test_absent_roles_are_nan_and_nothing_else_is():
    row = column(crystal_of("rock-salt", "Na", "Cl"))
    absent = {name for name, value in row.items() if np.isnan(value)}
    assert absent == {name for name in row if any(f"role{i}" in name for i in range(3, 7))}


def test_a_candidate_has_the_numbers_of_its_roles():
    table = enumerate_candidates("cubic-perovskite", {"A": ["Cs", "K"], "B": ["Pb", "Ti"], "X": ["Cl", "O"]})
    features = SiteFeaturizer(table.prototypes)
    of_table = dict(zip(features.feature_names, features.transform(table).T, strict=True))
    of_crystals = dict(zip(FEATURIZER.feature_names, FEATURIZER.transform(table.structures(range(8))).T, strict=True))
    for name, values in of_table.items():
        renamed = name.replace("A", "role1").replace("B", "role2").replace("X", "role3")
        np.testing.assert_allclose(of_crystals[renamed], values, rtol=1e-9, err_msg=name)


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
        same(crystal.get_primitive_structure(), crystal)


def test_so_have_real_ones_at_any_volume(crystals, phonons):
    rng = np.random.default_rng(3)
    for place in rng.permutation(len(phonons))[:40].tolist():
        crystal = phonons[place]
        other = crystals.moved(crystals.other_cell(crystal, rng), rng)
        other.scale_lattice(rng.uniform(0.5, 2) * other.volume)
        same(other, crystal)


def test_six_roles_are_enough_for_all_crystals_of_the_phonon_set(phonons):
    rows = FEATURIZER.transform(phonons[::10], strict=True)
    assert np.isfinite(rows[:, -3:]).all()
    assert rows[:, FEATURIZER.feature_names.index("n_roles")].max() > 4


def test_ties_go_to_the_element_of_lower_electronegativity():
    for elements in (("Na", "Cl"), ("Cl", "Na")):
        assert column(crystal_of("rock-salt", *elements))["role1.atomic_number"] == 11
    same(crystal_of("rock-salt", "Na", "Cl"), crystal_of("rock-salt", "Cl", "Na"))
    # bismuth is more electronegative than sodium; B and B' of an elpasolite are one position on two origins
    assert column(crystal_of("elpasolite", "Cs", "Bi", "Na", "Cl"))["role1.atomic_number"] == 11
    same(crystal_of("elpasolite", "Cs", "Bi", "Na", "Cl"), crystal_of("elpasolite", "Cs", "Na", "Bi", "Cl"))


def test_elements_without_electronegativity_are_told_apart_by_number():
    same(crystal_of("rock-salt", "He", "Ar"), crystal_of("rock-salt", "Ar", "He"))
    row = column(crystal_of("rock-salt", "Ar", "He"))
    assert (row["role1.atomic_number"], row["role2.atomic_number"]) == (2, 18)
    assert np.isnan(row["role1.electronegativity"])


# what it cannot tell


def test_free_coordinates_show_in_the_volume_only():
    first, second = FEATURIZER.transform([pyrite(0.385), pyrite(0.40)])
    differing = ~np.isclose(first, second, equal_nan=True)
    assert [FEATURIZER.feature_names[i] for i in np.flatnonzero(differing)] == ["volume", "packing_fraction"]


def test_two_crystals_of_one_type_can_have_the_same_row():
    # the predicted volume is least for some x; there is one x on either side of it with the same volume
    volume = FEATURIZER.feature_names.index("volume")

    def difference(x):
        rows = FEATURIZER.transform([pyrite(x), pyrite(0.385)], strict=True)
        return rows[0, volume] - rows[1, volume]

    x = brentq(difference, 0.30, 0.36, xtol=1e-12)
    assert 0.30 < x < 0.36
    same(pyrite(x), pyrite(0.385))


# options and errors


def test_a_crystal_of_more_roles_is_refused_with_what_would_take_it():
    small = StructureFeaturizer("sites", max_roles=2)
    with pytest.raises(UserError, match=r"row 0: 3 elements on Wyckoff positions, .* for 2: max_roles=3 takes them"):
        small.transform([crystal_of("cubic-perovskite", "Sr", "Ti", "O")], strict=True)
    large = StructureFeaturizer("sites", max_roles=3)
    assert len(small) < len(large) < len(FEATURIZER)
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"), large)
    assert row == pytest.approx({name: column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"))[name] for name in row})


def test_a_larger_tolerance_finds_the_symmetry_of_a_distorted_crystal():
    distorted = crystal_of("cubic-perovskite", "Sr", "Ti", "O")
    distorted.translate_sites(1, [0, 0, 0.05], frac_coords=False)
    assert column(distorted)["n_roles"] == 4
    assert column(distorted, StructureFeaturizer("sites", symprec=0.05))["n_roles"] == 3


@pytest.mark.parametrize("options", [{"max_roles": 0}, {"max_roles": 2.5}, {"symprec": 0}, {"symprec": np.nan}])
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(UserError, match=f"{next(iter(options))} must be a"):
        StructureFeaturizer("sites", **options)


def test_names_units_and_sources_are_there_before_any_crystal():
    assert len(set(FEATURIZER.feature_names)) == len(FEATURIZER) == len(FEATURIZER.units)
    unit = dict(zip(FEATURIZER.feature_names, FEATURIZER.units, strict=True))
    assert (unit["role2.covalent_radius"], unit["volume"], unit["n_roles"]) == ("Å", "Å^3/atom", "")
    assert any("Shannon" in citation for citation in FEATURIZER.citations)
    assert FEATURIZER.key != StructureFeaturizer("sites", max_roles=5).key


def test_another_fit_of_the_volumes_needs_another_version():
    # rows are kept under the version: where this number changes, it must grow
    row = column(crystal_of("cubic-perovskite", "Sr", "Ti", "O"))
    assert (FEATURIZER.version, row["volume"]) == (1, pytest.approx(12.6113668937, rel=1e-9))
