from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure

from matscout.crystals import roles
from matscout.crystals._cells import settled_cell
from matscout.crystals.crystal import Crystal
from matscout.crystals.point_groups import point_group
from matscout.crystals.roles import find_roles
from matscout.db._symmetry import spglib_call
from matscout.errors import UserError
from matscout.workflows.enumeration import get_prototype, prototype_library

LIBRARY = prototype_library()
SYMBOLS = ("B", "C", "N", "O", "P", "S")
PLACES = range(119)
GROUP_OF_ORDER = {point_group(number).symbol: point_group(number).order for number in range(1, 231)}


def crystal_of(name, *elements):
    return Crystal.from_structure(get_prototype(name).structure(elements, 12.0))


def from_group(group, lattice, elements, sites):
    return Crystal.from_structure(Structure.from_spacegroup(group, lattice, elements, sites))


def written(crystal):
    return [
        (Element.from_Z(role.number).symbol, role.multiplicity, role.order)
        for role in find_roles(crystal, PLACES).roles
    ]


def changed(crystal, rng):
    """The same crystal in a cell of other vectors, perhaps a larger one, on other axes, perhaps mirrored."""
    structure = crystal.structure()
    cell = np.diag(rng.permutation([1, 1, rng.integers(1, 3)]))
    for _ in range(4):
        first, second = rng.choice(3, 2, replace=False)
        cell[first] += rng.integers(-1, 2) * cell[second]
    structure.make_supercell(cell)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn[0] *= rng.choice([-1, 1])
    order = rng.permutation(len(structure)).tolist()
    coords = (structure.frac_coords + rng.random(3))[order]
    numbers = np.array([structure[site].specie.Z for site in order])
    return Crystal(structure.lattice.matrix @ turn, coords, numbers)


# known crystals


def test_known_crystals_have_the_site_symmetries_of_the_tables():
    assert written(crystal_of("cubic-perovskite", "Sr", "Ti", "O")) == [("Sr", 1, 48), ("Ti", 1, 48), ("O", 3, 16)]
    assert written(crystal_of("rock-salt", "Na", "Cl")) == [("Na", 1, 48), ("Cl", 1, 48)]
    assert written(crystal_of("spinel", "Mg", "Al", "O")) == [("Mg", 2, 24), ("Al", 4, 12), ("O", 8, 6)]


def test_a_spinel_has_the_point_groups_and_free_coordinates_of_the_tables():
    found = find_roles(crystal_of("spinel", "Mg", "Al", "O"), PLACES)
    assert (found.space_group, found.lattice, found.n_sites, found.n_conventional) == (227, "F", 14, 56)
    assert [(role.point_group, role.free_parameters) for role in found.roles] == [("-43m", 0), ("-3m", 0), ("3m", 1)]


def test_rhombohedral_crystals_are_counted_in_both_cells():
    found = find_roles(crystal_of("corundum", "Al", "O"), PLACES)
    assert (found.space_group, found.lattice, found.n_sites, found.n_conventional) == (167, "R", 10, 30)
    assert sum(role.multiplicity for role in found.roles) == 10


def test_site_symmetries_are_the_stabilisers_of_the_sites():
    seen = set()
    for prototype in [one for one in LIBRARY.values() if one.n_sites <= 16][::3]:
        lattice = prototype.lattice * (prototype.n_sites / abs(np.linalg.det(prototype.lattice))) ** (1 / 3)
        basis, coords, kinds = settled_cell(lattice, prototype.frac_coords, prototype.role_of_site)
        dataset = spglib_call("get_symmetry_dataset", (basis, coords, kinds + 1), symprec=roles.SYMPREC)
        expected = set()
        for site, kind in zip(coords, kinds.tolist(), strict=True):
            shifts = site @ dataset.rotations.transpose(0, 2, 1) + dataset.translations - site
            fixed = np.linalg.norm((shifts - np.round(shifts)) @ basis, axis=1) < 5 * roles.SYMPREC
            stabiliser = dataset.rotations[fixed]
            free = round(np.trace(stabiliser, axis1=1, axis2=2).mean())
            group = spglib_call("get_pointgroup", stabiliser)[0].strip()
            expected.add((kind, len(stabiliser), {"-62m": "-6m2", "-4m2": "-42m"}.get(group, group), free))
        found = find_roles(Crystal(lattice, prototype.frac_coords, prototype.role_of_site + 1), PLACES)
        assert {
            (role.number - 1, role.order, role.point_group, role.free_parameters) for role in found.roles
        } == expected, prototype.name
        assert all(GROUP_OF_ORDER[role.point_group] == role.order for role in found.roles)
        seen |= {role.point_group for role in found.roles}
    assert len(seen) > 15


# one crystal, one list of roles


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([p for p in LIBRARY.values() if p.n_sites <= 20]), st.integers(0, 2**32 - 1))
def test_roles_do_not_depend_on_cell_axes_origin_handedness_or_order(prototype, seed):
    rng = np.random.default_rng(seed)
    elements = rng.choice(SYMBOLS, len(prototype.roles))
    crystal = Crystal.from_structure(prototype.structure(elements.tolist(), 12.0))
    assert find_roles(changed(crystal, rng), PLACES) == find_roles(crystal, PLACES)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nor_does_it_without_symmetry_where_there_are_a_thousand_names(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(4, 6, 3), *rng.uniform(75, 105, 3))
    centres = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0.5]]
    crystal = from_group("P-1", lattice, rng.choice(SYMBOLS, 5).tolist(), [*centres, [0.2, 0.3, 0.15]])
    found = find_roles(crystal, PLACES)
    assert find_roles(changed(crystal, rng), PLACES) == found
    assert sum(role.multiplicity for role in found.roles) == found.n_sites


def test_which_site_is_the_first_does_not_depend_on_the_elements():
    # the twelve-fold site of perovskites, whoever sits there and wherever the origin is
    shift = [0.5, 0.5, 0.5]
    for first, second in (("Sr", "Ti"), ("Ti", "Sr")):
        crystal = crystal_of("cubic-perovskite", first, second, "O")
        assert [role.number for role in find_roles(crystal, PLACES).roles][:2] == [
            Element(first).Z,
            Element(second).Z,
        ]
        moved = Crystal(crystal.lattice, crystal.frac_coords + shift, crystal.numbers)
        assert find_roles(moved, PLACES) == find_roles(crystal, PLACES)


def test_where_symmetry_leaves_a_choice_the_given_order_of_elements_decides():
    backwards = [-place for place in PLACES]
    crystal = crystal_of("rock-salt", "Na", "Cl")
    assert [role.number for role in find_roles(crystal, PLACES).roles] == [11, 17]
    assert [role.number for role in find_roles(crystal, backwards).roles] == [17, 11]
    elpasolite = crystal_of("elpasolite", "Cs", "Na", "Bi", "Cl")
    forwards, reversed_ = (find_roles(elpasolite, places).roles for places in (PLACES, backwards))
    assert [role.number for role in forwards][:2] == [11, 83]
    assert [role.number for role in reversed_][:2] == [83, 11]
    assert forwards[2:] == reversed_[2:]  # of the others there is no choice


def test_orbits_of_one_element_on_one_position_are_one_role():
    lattice = Lattice.orthorhombic(4, 5, 6)
    crystal = from_group("Pmmm", lattice, ["Fe", "Fe", "O"], [[0.2, 0, 0], [0.35, 0, 0], [0.3, 0.5, 0.5]])
    found = find_roles(crystal, PLACES).roles
    assert [(role.number, role.n_orbits, role.multiplicity, role.order) for role in found] == [
        (26, 2, 4, 4),
        (8, 1, 2, 4),
    ]


def test_quartz_and_its_mirror_image_have_the_same_roles():
    sites = [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4525]]
    right = from_group("P3_121", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], sites)
    left = Crystal(right.lattice, -right.frac_coords, right.numbers)
    assert find_roles(left, PLACES) == find_roles(right, PLACES)
    assert find_roles(right, PLACES).space_group == 152


# what is remembered, what is refused


def test_symmetry_is_looked_for_once_in_one_crystal(monkeypatch):
    crystal = crystal_of("rock-salt", "Na", "Cl")
    first = find_roles(crystal, PLACES)
    monkeypatch.setattr(roles, "find_occupation", lambda *_: pytest.fail("looked for again"))
    assert find_roles(crystal, PLACES) == first


def test_a_crystal_that_no_finder_can_label_is_refused():
    crystal = Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [0, 0, 1e-6]]), np.array([26, 26]))
    with pytest.raises(UserError, match=r"no symmetry finder has an answer at a tolerance of 0\.004"):
        find_roles(crystal, PLACES)
