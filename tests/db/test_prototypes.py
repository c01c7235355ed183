from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration import get_prototype, prototype_library
from matscout.workflows.enumeration.prototypes.families import build_family

PLACEHOLDERS = ["Li", "Ag", "Te", "Br", "Hf"]
EXACT = {"ltol": 2e-3, "stol": 2e-3, "angle_tol": 0.05, "primitive_cell": True, "scale": True}

DELAFOSSITE = {
    "name": "delafossite",
    "label": "ABC2_hR4_166_a_b_c",
    "roles": ["A", "B", "X"],
    "description": "CuAlO2",
    "source": "Ishiguro et al., J. Solid State Chem. 40, 170 (1981)",
    "space_group": 166,
    "hall_number": 458,
    "cell": {"a": 2.858, "c": 16.958},
    "sites": [
        {"role": "A", "wyckoff": "3a", "position": "0, 0, 0"},
        {"role": "B", "wyckoff": "3b", "position": "0, 0, 1/2"},
        {"role": "X", "wyckoff": "6c", "position": "0, 0, z", "z": 0.1099},
    ],
}


def rock_salt(**changes):
    fields = {
        "name": "NaCl",
        "label": "AB_cF8_225_a_b",
        "roles": ("A", "X"),
        "lattice": 2.82 * (1 - np.eye(3)),
        "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "role_of_site": [0, 1],
    }
    return Prototype(**(fields | changes))


@pytest.mark.parametrize(
    ("name", "swaps"),
    [
        ("rock-salt", {(1, 0)}),
        ("cesium-chloride", {(1, 0)}),
        ("zincblende", {(1, 0)}),
        ("elpasolite", {(0, 2, 1, 3)}),
        ("heusler", {(0, 2, 1)}),  # Cu2MnAl: Mn and Al
        ("half-heusler", {(0, 2, 1)}),  # MgAgAs: Mg and As; Ag lies between
        ("chalcopyrite", {(1, 0, 2)}),  # the cations, at x(S) = 1/4
        ("cubic-perovskite", set()),
        ("ilmenite", {(1, 0, 2)}),  # at ideal places, as in corundum
        ("lithium-niobate", {(1, 0, 2)}),
        ("nickel-arsenide", set()),
        ("rutile", set()),
        ("spinel", set()),
    ],
)
def test_roles_that_may_be_exchanged_are_those_of_the_textbook(name, swaps):
    prototype = get_prototype(name)
    identity = tuple(range(len(prototype.roles)))
    assert set(prototype.equivalent_roles) == {identity} | swaps
    assert prototype.equivalent_roles[0] == identity


def test_the_metals_of_delafossite_are_not_equivalent():
    delafossite = build_family(DELAFOSSITE)
    assert delafossite.space_group == 166
    assert delafossite.n_sites == 4
    assert delafossite.equivalent_roles == ((0, 1, 2),)


def test_four_interpenetrating_fcc_lattices_have_eight_equivalent_orders():
    # quaternary Heusler LiMgPdSn: n(n-1)(n-2)(n-3)/8 compounds over n elements
    quaternary = rock_salt(
        name="quaternary-heusler",
        roles=("A", "B", "C", "D"),
        frac_coords=[[0, 0, 0], [0.25] * 3, [0.5] * 3, [0.75] * 3],
        role_of_site=[0, 1, 2, 3],
    )
    assert len(quaternary.equivalent_roles) == 24 // 3


def permuted_by_pymatgen(prototype):
    """Role permutations under which pymatgen's matcher finds the decorated crystals the same."""
    elements = PLACEHOLDERS[: len(prototype.roles)]
    original = prototype.structure(elements)
    for order in permutations(range(len(elements))):
        if (prototype.multiplicity[list(order)] == prototype.multiplicity).all():
            other = prototype.structure([elements[i] for i in order])
            if StructureMatcher(**EXACT).fit(original, other):
                yield order


def test_equivalent_roles_are_those_that_pymatgen_matches():
    several = [p for p in prototype_library().values() if len(set(p.multiplicity.tolist())) < len(p.roles)]
    small = [p for p in several if p.n_sites <= 8]
    assert len(small) > 40
    for prototype in small:
        assert set(prototype.role_maps(prototype)) == set(permuted_by_pymatgen(prototype)), prototype.name


def test_declared_swaps_are_of_crystals_that_pymatgen_calls_similar():
    declared = [p for p in prototype_library().values() if p.ideal_swaps]
    assert {p.name for p in declared} >= {"chalcopyrite", "ABC2_tI16_122_a_b_d", "AB_hP8_186_ab_ab"}
    for prototype in declared:
        elements = PLACEHOLDERS[: len(prototype.roles)]
        swapped = prototype.structure([elements[i] for i in prototype.ideal_swaps[0]])
        assert StructureMatcher().fit(prototype.structure(elements), swapped), prototype.name


def unimodular(numbers):
    lower, upper = np.eye(3, dtype=int), np.eye(3, dtype=int)
    lower[np.tril_indices(3, -1)] = numbers[:3]
    upper[np.triu_indices(3, 1)] = numbers[3:]
    return lower @ upper


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["elpasolite", "heusler", "wurtzite", "ilmenite", "chalcopyrite", "AB_oP8_62_c_c-MnP", "rutile"]),
    st.lists(st.integers(-2, 2), min_size=6, max_size=6),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.floats(0.5, 2.0),
    st.integers(0, 2**31),
)
def test_cell_axes_origin_and_scale_do_not_matter(name, numbers, origin, scale, seed):
    prototype = get_prototype(name)
    change = unimodular(numbers)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    order = np.random.default_rng(seed).permutation(prototype.n_sites)
    other = Prototype(
        "other",
        prototype.label,
        prototype.roles,
        change @ prototype.lattice @ rotation * scale,
        ((prototype.frac_coords + origin) @ np.linalg.inv(change))[order],
        prototype.role_of_site[order],
        ideal_swaps=prototype.ideal_swaps,
    )
    assert other.equivalent_roles == prototype.equivalent_roles
    assert tuple(range(len(prototype.roles))) in prototype.role_maps(other)
    np.testing.assert_allclose(other.shortest_distances, prototype.shortest_distances, rtol=1e-6)
    np.testing.assert_allclose(other.coordination, prototype.coordination, rtol=1e-4)


def test_a_doubled_cell_is_the_same_crystal():
    primitive = rock_salt()
    structure = primitive.structure(["Na", "Cl"]).make_supercell([2, 1, 1], in_place=False)
    roles = [0 if site.specie.symbol == "Na" else 1 for site in structure]
    doubled = rock_salt(lattice=structure.lattice.matrix, frac_coords=structure.frac_coords, role_of_site=roles)
    assert doubled.equivalent_roles == primitive.equivalent_roles
    assert doubled.role_maps(primitive) == [(0, 1), (1, 0)]


def test_different_crystals_of_one_label_do_not_match():
    assert get_prototype("AB2_oP6_58_a_g-CaCl2").role_maps(get_prototype("AB2_oP6_58_a_g-FeS2")) == []


def test_distances_and_neighbours_of_cubic_perovskite():
    perovskite = get_prototype("cubic-perovskite")
    a = 5 ** (1 / 3)  # one cell of five atoms at the volume 1 per atom
    shortest = a * np.array([[1, 3**0.5 / 2, 2**-0.5], [3**0.5 / 2, 1, 0.5], [2**-0.5, 0.5, 2**-0.5]])
    np.testing.assert_allclose(perovskite.shortest_distances, shortest, rtol=1e-9)
    np.testing.assert_allclose(perovskite.coordination, [[6, 8, 12], [8, 6, 6], [4, 2, 8]], atol=0.02)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.permutations([3, 11, 19, 35]), min_size=1, max_size=8))
def test_the_canonical_decoration_is_one_of_the_equivalent_and_the_same_for_all(rows):
    elpasolite = get_prototype("elpasolite")
    decoration = np.array(rows, dtype=np.uint8)
    canonical = elpasolite.canonical(decoration)
    assert (canonical[:, 1] < canonical[:, 2]).all()
    np.testing.assert_array_equal(np.sort(canonical, axis=1), np.sort(decoration, axis=1))
    for order in elpasolite.equivalent_roles:
        np.testing.assert_array_equal(elpasolite.canonical(decoration[:, list(order)]), canonical)


def test_the_structure_has_the_elements_the_volume_and_the_shape_asked_for():
    structure = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"], volume_per_atom=11.9)
    assert structure.volume == pytest.approx(59.5)
    reference = Structure.from_spacegroup(
        "Pm-3m", np.eye(3) * 59.5 ** (1 / 3), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]]
    )
    assert StructureMatcher(**(EXACT | {"scale": False})).fit(structure, reference)


def test_a_prototype_survives_json_with_its_key():
    prototype = get_prototype("chalcopyrite")
    again = Prototype.from_dict(json.loads(json.dumps(prototype.to_dict())))
    assert again.to_dict() == prototype.to_dict()
    assert again.key == prototype.key
    assert again.equivalent_roles == prototype.equivalent_roles


def test_the_key_follows_name_and_geometry_and_nothing_else():
    key = rock_salt().key
    assert rock_salt(description="halite", source="elsewhere").key == key
    assert rock_salt(name="halite").key != key
    assert rock_salt(frac_coords=[[0, 0, 0], [0.5, 0.5, 0.51]]).key != key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role_of_site": [0, 0]}, "every role"),
        ({"frac_coords": [[0, 0, 0]]}, "2 sites have roles"),
        ({"lattice": np.zeros((3, 3))}, "three independent vectors"),
        ({"roles": ("A", "A")}, "different names"),
        ({"ideal_swaps": ((1, 1),)}, "does not permute"),
    ],
)
def test_an_impossible_prototype_is_refused_with_its_name(changes, message):
    with pytest.raises(ValueError, match=rf"NaCl: .*{message}"):
        rock_salt(**changes)


def test_a_structure_needs_an_element_for_every_role():
    with pytest.raises(ValueError, match="NaCl has the roles A, X, got 1 elements"):
        rock_salt().structure(["Na"])


def test_arrays_cannot_be_changed_behind_the_caches():
    with pytest.raises(ValueError, match="read-only"):
        rock_salt().lattice[0, 0] = 1.0
