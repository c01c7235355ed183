from __future__ import annotations

import logging

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

from matscout.workflows.stability import KnownCrystals, group_crystals, match_known, same_prototype, space_group

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def rock_salt(a=5.6, cation="Na", anion="Cl"):
    return Structure(Lattice.cubic(a), [cation] * 4 + [anion] * 4, np.vstack([FCC, np.add(FCC, [0.5, 0, 0])]))


def caesium_chloride(a=3.4):
    return Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite(a=3.9, c=None, shift=0.0):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5 + shift], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.tetragonal(a, c or a), ["Sr", "Ti", "O", "O", "O"], sites)


def shaken(structure, distance=0.03):
    return structure.copy().perturb(distance, seed=1)


def broken_cells():
    flat = Structure(np.zeros((3, 3)), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    unknown = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [np.nan, 0.5, 0.5]])
    return [flat, unknown]


# ---- space groups


@pytest.mark.parametrize(
    ("structure", "number"),
    [(rock_salt(), 225), (rock_salt().get_primitive_structure(), 225), (caesium_chloride(), 221), (perovskite(), 221),
     (perovskite(c=4.1), 123), (perovskite(c=4.1, shift=0.05), 99)],
)  # fmt: skip
def test_space_groups_are_those_of_the_tables(structure, number):
    assert space_group(structure) == number


def test_the_space_group_outlives_the_noise_of_a_relaxation_and_magnetic_moments():
    structure = shaken(perovskite())
    structure.add_site_property("magmom", [0.1, 0.2, 0.3, 0.4, 0.5])
    assert space_group(structure) == 221


@pytest.mark.parametrize("cell", broken_cells())
def test_a_cell_that_is_none_has_no_space_group_and_is_logged(cell, caplog):
    with caplog.at_level(logging.WARNING):
        assert space_group(cell) is None
    assert "no space group of Na1 Cl1" in caplog.text


def test_atoms_on_one_place_have_no_space_group(caplog):
    assert space_group(Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])) is None
    assert "no space group of Na2" in caplog.text


# ---- prototypes


def test_a_crystal_that_only_changed_its_volume_is_still_its_prototype():
    assert same_prototype(perovskite(3.9), shaken(perovskite(4.4)))
    assert same_prototype(rock_salt(), rock_salt(5.0).get_primitive_structure())


@pytest.mark.parametrize("relaxed", [perovskite(c=4.2), perovskite(shift=0.06), perovskite(3.9, 4.2, 0.06)])
def test_a_crystal_that_lost_symmetry_is_another_prototype(relaxed):
    assert not same_prototype(perovskite(), relaxed)


def test_another_structure_type_is_another_prototype():
    assert not same_prototype(rock_salt(), caesium_chloride())


def test_what_is_no_cell_is_no_prototype():
    for cell in broken_cells():
        assert not same_prototype(caesium_chloride(), cell)
        assert not same_prototype(cell, cell)


# ---- the same crystal


def test_crystals_relaxed_from_different_prototypes_into_one_are_one():
    conventional = rock_salt(5.60)
    primitive = shaken(rock_salt(5.60 * 1.018 ** (1 / 3)).get_primitive_structure())  # 1.8 % more volume
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.5], [0.5, 0.5, 0]]
    stretched = Structure(Lattice.tetragonal(3.96, 5.68), ["Na", "Na", "Cl", "Cl"], sites)  # 1.4 % along one axis
    groups = group_crystals([caesium_chloride(), conventional, primitive, caesium_chloride(3.41), stretched])
    assert groups.tolist() == [0, 1, 1, 0, 1]


def test_other_volumes_shapes_positions_and_elements_are_other_crystals():
    crystals = [perovskite(), perovskite(4.1), perovskite(3.85, 4.1), perovskite(shift=0.08), rock_salt(),
                rock_salt(cation="K"), rock_salt(cation="Cl", anion="Na").copy()]  # fmt: skip
    # Rock salt with the sites exchanged is rock salt.
    assert group_crystals(crystals).tolist() == [0, 1, 2, 3, 4, 5, 4]


def test_the_first_of_a_group_stands_for_it_so_that_a_chain_does_not_join_its_ends():
    chain = [perovskite(3.9 * 1.012**i) for i in range(5)]  # 3.6 % in volume from link to link
    assert group_crystals(chain).tolist() == [0, 0, 1, 1, 2]


def test_oxidation_states_and_moments_are_no_difference():
    decorated = rock_salt().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    decorated.add_site_property("magmom", [0.0] * 4 + [0.1] * 4)
    assert group_crystals([decorated, rock_salt()]).tolist() == [0, 0]


def test_broken_cells_stand_alone(caplog):
    flat, unknown = broken_cells()
    assert group_crystals([caesium_chloride(), flat, unknown, caesium_chloride(), flat]).tolist() == [0, 1, 2, 0, 3]
    assert "no primitive cell of Na1 Cl1" in caplog.text


def test_no_crystals_are_no_groups():
    assert group_crystals([]).shape == (0,)


# ---- known crystals


def entry(structure, entry_id):
    return ComputedStructureEntry(structure, -1.0, entry_id=entry_id)


def test_a_known_crystal_is_found_at_another_volume():
    known = [entry(caesium_chloride(), "b2"), entry(rock_salt(), "b1"), ComputedEntry("NaCl", -1, entry_id="bare")]
    assert match_known(shaken(rock_salt(5.9).get_primitive_structure()), known) == "b1"
    assert match_known(caesium_chloride(3.0), known) == "b2"
    assert match_known(rock_salt(cation="K"), known) is None
    assert match_known(rock_salt(), []) is None


def test_of_two_that_match_the_nearer_is_named_and_of_equals_the_first_id():
    known = KnownCrystals(
        [entry(perovskite(shift=0.03), "polar"), entry(perovskite(), "z-cubic"), entry(perovskite(4.0), "cubic")]
    )
    assert known.match(perovskite(3.95)) == "cubic"
    assert known.match(perovskite(shift=0.028)) == "polar"


def test_a_broken_cell_is_not_known():
    known = KnownCrystals([entry(caesium_chloride(), "b2"), entry(broken_cells()[0], "flat")])
    assert known.match(broken_cells()[1]) is None
    assert known.match(caesium_chloride()) == "b2"


def test_real_entries_find_themselves(iron_phosphates):
    small = [e for e in iron_phosphates if len(e.structure) <= 6]
    assert len(small) > 15
    known = KnownCrystals(small)
    found = {e.entry_id: known.match(e.structure) for e in small}
    by_id = {e.entry_id: e for e in small}
    # A few are duplicates of each other: what is found must then be the same crystal.
    assert sum(key == value for key, value in found.items()) >= 0.9 * len(small)
    for key, value in found.items():
        assert by_id[key].reduced_formula == by_id[value].reduced_formula
