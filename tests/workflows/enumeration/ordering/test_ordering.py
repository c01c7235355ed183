from __future__ import annotations

import re
from itertools import combinations, permutations, product
from math import prod

import icet.tools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from matscout.db import _isometries
from matscout.db.prototypes import SYMPREC, Prototype
from matscout.errors import UserError
from matscout.workflows.enumeration import get_prototype, prototype_library
from matscout.workflows.enumeration.ordering._sublattices import find_operations
from matscout.workflows.enumeration.ordering.ordered_cells import Mixture, ordered_prototypes, parse_mixture

FCC = Prototype("fcc", "", ("A",), 2 * (1 - np.eye(3)), [[0, 0, 0]], [0])
SC = Prototype("sc", "", ("A",), 2 * np.eye(3), [[0, 0, 0]], [0])
HCP = Prototype(
    "hcp",
    "",
    ("A",),
    [[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, (8 / 3) ** 0.5]],
    [[1 / 3, 2 / 3, 1 / 4], [2 / 3, 1 / 3, 3 / 4]],
    [0, 0],
)


# published numbers


def partitions(total, n, most):
    """Ways to write a total as n parts from high to low."""
    if n == 1:
        return [(total,)] if 1 <= total <= most else []
    return [
        (first, *rest) for first in range(min(most, total), 0, -1) for rest in partitions(total - first, n - 1, first)
    ]


def derivative_structures(parent, n_cells, n_elements):
    """Ordered cells of exactly so many parent cells, at all compositions."""
    n_sites = n_cells * parent.n_sites
    return sum(
        ordered.n_sites == n_sites
        for parts in partitions(n_sites, n_elements, n_sites)
        for ordered in ordered_prototypes(parent, {"A": parts}, max_cells=n_cells)
    )


@pytest.mark.parametrize(
    ("parent", "n_elements", "cells", "published"),
    [
        # Hart and Forcade, Phys. Rev. B 77, 224115 (2008) and 80, 014120 (2009); elements exchanged are one there too
        (FCC, 2, range(2, 8), [2, 3, 12, 14, 50, 52]),
        (FCC, 3, range(3, 7), [3, 13, 23, 130]),
        (FCC, 4, range(4, 6), [7, 9]),
        (SC, 2, range(2, 5), [3, 3, 15]),
        (HCP, 2, range(1, 5), [1, 7, 30, 163]),
    ],
)
def test_agrees_with_the_published_numbers_of_derivative_structures(parent, n_elements, cells, published):
    assert [derivative_structures(parent, n, n_elements) for n in cells] == published


# known crystals


def test_an_oxynitride_perovskite_and_an_oxyfluoronitride_have_one_ordered_cell():
    for parts, group in (((2, 1), 123), ((1, 1, 1), 47)):
        (ordered,) = ordered_prototypes(get_prototype("cubic-perovskite"), {"X": parts})
        assert ordered.multiplicity.tolist() == [1, 1, *parts]
        assert ordered.space_group == group


def test_elpasolite_with_four_and_two_anions_is_trans_or_cis():
    trans, cis = ordered_prototypes(get_prototype("elpasolite"), {"X": (4, 2)})
    assert (trans.space_group, cis.space_group) == (139, 44)
    for ordered, angle in ((trans, 180), (cis, 90)):
        crystal = ordered.structure(["K", "Na", "Al", "O", "F"])
        metal = next(i for i, site in enumerate(crystal) if site.specie.symbol == "Al")
        ligands = [n for n in crystal.get_neighbors(crystal[metal], 2.5) if n.specie.symbol == "F"]
        first, second = (n.coords - crystal[metal].coords for n in ligands)
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) == pytest.approx(angle)


def test_a_double_perovskite_is_rock_salt_columnar_or_layered():
    parent = get_prototype("cubic-perovskite")
    rock_salt, *others = ordered_prototypes(parent, {"B": (1, 1)}, max_cells=2)
    assert rock_salt.role_maps(get_prototype("elpasolite"))
    assert [ordered.space_group for ordered in others] == [123, 123]
    unlike = set()
    for ordered in others:
        crystal = ordered.structure(["K", "Na", "Al", "F"])
        sodium = next(site for site in crystal if site.specie.symbol == "Na")
        around = crystal.get_neighbors(sodium, 1.1 * parent.lattice[0, 0])
        unlike.add(sum(site.specie.symbol == "Al" for site in around))
    assert unlike == {2, 4}  # of the six nearest: one direction alternates, or two


def test_copper_gold_has_the_known_orders():
    strukturbericht = {(3, 1): ("L1_2", 221, 4), (1, 1): ("L1_0", 123, 2)}
    for parts, (name, group, n_sites) in strukturbericht.items():
        found = ordered_prototypes(FCC, {"A": parts}, max_cells=4)
        assert (group, n_sites) in [(ordered.space_group, ordered.n_sites) for ordered in found], name


# brute force


def sublattices(n_cells):
    for a, b, c in product(range(1, n_cells + 1), repeat=3):
        if a * b * c == n_cells:
            for x, y, z in product(range(b), range(c), range(c)):
                yield np.array([[a, x, y], [0, b, z], [0, 0, c]])


def all_divisions(parent, mixtures, n_cells):
    """Every way to divide the sites of every supercell, as prototypes."""
    roles = [(role, part) for role in parent.roles for part in range(len(mixtures.get(role, (1,))))]
    for sublattice in sublattices(n_cells):
        crystal = parent.structure([f"X{i}+" for i in range(len(parent.roles))]).make_supercell(sublattice)
        role_of_site = [int(site.specie.oxi_state) for site in crystal]
        ways = []
        for number, role in enumerate(parent.roles):
            sites = [i for i, found in enumerate(role_of_site) if found == number]
            parts = mixtures.get(role, (1,))
            ways.append(list(divisions(sites, [len(sites) * part // sum(parts) for part in parts])))
        for way in product(*ways):
            new = np.empty(len(crystal), dtype=int)
            for number, chosen in enumerate([sites for of_role in way for sites in of_role]):
                new[list(chosen)] = number
            names = tuple(f"{role}.{part}" for role, part in roles)
            yield Prototype("any", "", names, crystal.lattice.matrix, crystal.frac_coords, new)


def divisions(sites, counts):
    if len(counts) == 1:
        yield (tuple(sites),)
        return
    for chosen in combinations(sites, counts[0]):
        rest = [site for site in sites if site not in chosen]
        for others in divisions(rest, counts[1:]):
            yield (chosen, *others)


def exchanges(parent, mixtures):
    """Permutations of the parts within each role."""
    start, ways = 0, []
    for role in parent.roles:
        n = len(mixtures.get(role, (1,)))
        ways.append(list(permutations(range(start, start + n))))
        start += n
    return {sum(way, ()) for way in product(*ways)}


def different(prototypes, allowed):
    kept = []
    for one in prototypes:
        if not any(allowed & set(one.role_maps(other)) for other in kept):
            kept.append(one)
    return kept


SMALL = [
    ("cubic-perovskite", {"X": (2, 1)}, 2),
    ("cubic-perovskite", {"A": (2, 1)}, 3),
    ("cubic-perovskite", {"A": (1, 1), "B": (1, 1)}, 2),
    ("A2B_tP6_136_f_a", {"B": (1, 1)}, 1),
    ("A2B_tP6_136_f_a", {"A": (3, 1), "B": (1, 1)}, 1),
    ("AB_hP8_186_ab_ab", {"A": (2, 1, 1)}, 1),
    ("ABC_cF12_216_b_c_a", {"A": (1, 1), "C": (1, 1)}, 2),
]


@pytest.mark.parametrize(("name", "mixtures", "n_cells"), SMALL)
def test_agrees_with_every_division_compared_with_every_other(name, mixtures, n_cells):
    parent = get_prototype(name)
    allowed = exchanges(parent, mixtures)
    smaller = [
        n
        for n in range(1, n_cells)
        if all(n * m % sum(p) == 0 for r, p in mixtures.items() for m in [amount(parent, r)])
    ]
    expected = different((p for n in [*smaller, n_cells] for p in all_divisions(parent, mixtures, n)), allowed)
    found = ordered_prototypes(parent, mixtures, max_cells=n_cells)
    assert len(found) == len(expected)
    assert len(different(found, allowed)) == len(found)
    assert all(len(different([*expected, one], allowed)) == len(expected) for one in found)


def amount(parent, role):
    return int(parent.multiplicity[parent.roles.index(role)])


def test_elements_in_both_orders_make_every_ordering_once():
    parent, mixtures = get_prototype("cubic-perovskite"), {"X": (1, 1)}
    as_they_are = {tuple(range(4))}
    crystals = different(all_divisions(parent, mixtures, 2), as_they_are)
    orders = np.array([[38, 22, 8, 9], [38, 22, 9, 8]], dtype=np.uint8)
    decorated = [
        (one, row)
        for one in ordered_prototypes(parent, mixtures, max_cells=2)
        for row in np.unique(one.canonical(orders), axis=0)
    ]
    assert len(decorated) == len(crystals)
    structures = [one.structure([{38: "Sr", 22: "Ti", 8: "O", 9: "F"}[z] for z in row]) for one, row in decorated]
    strict = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1)
    assert len(strict.group_structures(structures)) == len(structures)


def test_no_ordered_cell_repeats_a_smaller_one():
    parent = get_prototype("cubic-perovskite")
    for ordered in ordered_prototypes(parent, {"A": (1, 1)}, max_cells=4):
        assert len(ordered.structure(["Sr", "Ba", "Ti", "O"]).get_primitive_structure(1e-3)) == ordered.n_sites


# the derived prototypes


def test_parts_stand_in_the_place_of_their_role():
    parent = get_prototype("cubic-perovskite")
    found = ordered_prototypes(parent, {"X": [2, 1], "A": [2, 2]}, max_cells=2)
    assert [one.name for one in found] == [f"cubic-perovskite(A=1:1,X=2:1)#{n}" for n in range(1, 12)]
    one = found[2]
    assert one.roles == ("A.1", "A.2", "B", "X.1", "X.2")
    assert one.multiplicity.tolist() == [1, 1, 2, 4, 2]
    assert one.source == parent.source
    assert re.fullmatch(
        "cubic-perovskite with A divided 1:1 and X divided 2:1, ordered cell 3 of 11, 10 sites, P4/mmm", one.description
    )
    assert [(p.n_sites, -p.space_group) for p in found] == sorted((p.n_sites, -p.space_group) for p in found)
    for one in found:
        assert abs(np.linalg.det(one.lattice)) / one.n_sites == pytest.approx(abs(np.linalg.det(parent.lattice)) / 5)
        assert one.merged((0, 0, 1, 2, 2)).role_maps(parent) == [(0, 1, 2)]


def test_an_ordered_cell_can_be_divided_again():
    (oxynitride,) = ordered_prototypes(get_prototype("cubic-perovskite"), {"X": (2, 1)})
    (again,) = ordered_prototypes(oxynitride, {"X.1": (1, 1)})
    assert again.roles == ("A", "B", "X.1.1", "X.1.2", "X.2")
    (at_once,) = ordered_prototypes(get_prototype("cubic-perovskite"), {"X": (1, 1, 1)})
    assert at_once.role_maps(again)


def test_cells_and_numbers_do_not_depend_on_the_order_in_which_icet_gives_them(monkeypatch):
    parent, mixtures = get_prototype("cubic-perovskite"), {"X": (2, 1)}
    before = [one.key for one in ordered_prototypes(parent, mixtures, max_cells=3)]
    enumerate_structures = icet.tools.enumerate_structures
    monkeypatch.setattr(
        icet.tools, "enumerate_structures", lambda *args, **kw: reversed(list(enumerate_structures(*args, **kw)))
    )
    assert [one.key for one in ordered_prototypes(parent, mixtures, max_cells=3)] == before


def test_a_missing_ordering_is_noticed(monkeypatch):
    enumerate_structures = icet.tools.enumerate_structures
    monkeypatch.setattr(
        icet.tools, "enumerate_structures", lambda *args, **kw: list(enumerate_structures(*args, **kw))[1:]
    )
    with pytest.raises(UserError, match="cannot be told apart"):
        ordered_prototypes(get_prototype("cubic-perovskite"), {"X": (2, 1)}, max_cells=2)


IDEAL_CHALCOPYRITE = Prototype(
    "ideal",
    "",
    ("A", "B", "C"),
    # sphalerite, two cells high, its metal layers ordered as in chalcopyrite
    [[-0.5, 0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, -1]],
    np.array(
        [
            *([0, 0, 0], [0, 0.5, 0.25], [0, 0, 0.5], [0.5, 0, 0.25]),
            *([0.25, 0.25, 0.125], [0.75, 0.75, 0.125], [0.25, 0.75, 0.875], [0.75, 0.25, 0.875]),
        ]
    )
    @ np.linalg.inv([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    [0, 0, 1, 1, 2, 2, 2, 2],
)


@pytest.mark.parametrize("mixtures", [{"C": (1, 1)}, {"C": (3, 1)}, {"A": (1, 1), "B": (1, 1)}])
def test_ideal_swaps_are_those_of_the_ideal_crystal(mixtures):
    real = ordered_prototypes(get_prototype("ABC2_tI16_122_a_b_d"), mixtures, max_cells=2)
    ideal = ordered_prototypes(IDEAL_CHALCOPYRITE, mixtures, max_cells=2)
    assert get_prototype("ABC2_tI16_122_a_b_d").ideal_swaps
    assert IDEAL_CHALCOPYRITE.role_maps(IDEAL_CHALCOPYRITE) == [(0, 1, 2), (1, 0, 2)]
    whole = [role.split(".")[0] for role in real[0].roles]

    def of_whole_roles(ordered):
        # the sites of sphalerite's metal and anion could be exchanged too, if they held the same elements
        return [m for m in ordered.equivalent_roles if len({(whole[i], whole[j]) for i, j in enumerate(m)}) == 3]

    assert sorted(map(of_whole_roles, real)) == sorted(map(of_whole_roles, ideal))
    assert any(one.ideal_swaps for one in real)


def test_an_ideal_swap_of_a_divided_and_a_whole_role_is_gone():
    for ordered in ordered_prototypes(get_prototype("ABC2_tI16_122_a_b_d"), {"A": (1, 1)}, max_cells=2):
        assert ordered.ideal_swaps == ()


# invariance

SHEARS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-1, 1)), max_size=3)


@settings(max_examples=8)
@given(
    st.sampled_from([("cubic-perovskite", {"X": (2, 1)}, 2), ("A2B_tP6_136_f_a", {"A": (1, 1), "B": (1, 1)}, 1)]),
    SHEARS,
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_the_parents_cell_axes_and_origin_do_not_matter(case, shears, origin, seed, doubled):
    name, mixtures, max_cells = case
    parent = get_prototype(name)
    crystal = parent.structure([f"X{i}+" for i in range(len(parent.roles))])
    basis = np.diag([1, 2 if doubled else 1, 1])
    for i, j, n in shears:
        if i != j:
            basis[i] += n * basis[j]
    crystal = crystal.make_supercell(basis)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(crystal))
    moved = Prototype(
        parent.name,
        "",
        parent.roles,
        1.3 * crystal.lattice.matrix @ rotation,
        ((crystal.frac_coords + origin) % 1)[order],
        [int(crystal[int(i)].specie.oxi_state) for i in order],
    )
    before, after = (ordered_prototypes(one, mixtures, max_cells=max_cells) for one in (parent, moved))
    assert [one.name for one in before] == [one.name for one in after]
    allowed = exchanges(parent, mixtures)
    matches = [[bool(allowed & set(one.role_maps(other))) for other in after] for one in before]
    assert (np.sum(matches, axis=0) == 1).all()
    assert (np.sum(matches, axis=1) == 1).all()
    assert [one.space_group for one in before] == [one.space_group for one in after]


@pytest.mark.parametrize("name", sorted(n for n, p in prototype_library().items() if p.n_sites <= 12)[::9])
def test_the_operations_are_the_isometries_that_compare_prototypes(name):
    parent = prototype_library()[name]
    crystal = _isometries.reduced(_isometries.Crystal(parent.lattice, parent.frac_coords, parent.role_of_site))
    anchor = int(np.argmin(np.bincount(crystal.roles)))
    sites = np.flatnonzero(crystal.roles == anchor)
    identity = tuple(range(len(parent.roles)))
    isometries = 0
    for matrix in _isometries._lattice_maps(crystal.lattice, crystal.lattice):
        rotated = crystal.frac_coords @ matrix
        for target in sites:
            moved = rotated + (crystal.frac_coords[target] - rotated[sites[0]])
            isometries += _isometries._role_map(moved, crystal.roles, crystal) == identity
    assert len(find_operations(crystal, crystal.roles, SYMPREC).rotations) == isometries


# refusals


@pytest.mark.parametrize(
    ("mixtures", "options", "message"),
    [
        ({}, {}, "cubic-perovskite: name at least one role"),
        ({"Y": (2, 1)}, {}, "cubic-perovskite has no role 'Y' to divide, it has A, B, X"),
        ({"X": (2, 0)}, {}, "role X: its parts must be positive whole numbers, such as (2, 1), got (2, 0)"),
        ({"X": (1.5, 1.5)}, {}, "positive whole numbers"),
        ({"X": "2:1"}, {}, "got '2:1'"),
        ({"X": 2}, {"max_cells": 1}, "at least two parts"),
        ({"X": (True, 1)}, {}, "positive whole numbers"),
        (
            {"B": (1, 1)},
            {},
            "B has 1 site in a primitive cell, so B=1:1 needs supercells: max_cells must be at least 2, got 1",
        ),
        (
            {"A": (1, 1), "X": (3, 1)},
            {"max_cells": 3},
            "A has 1 site and X has 3 sites in a primitive cell, so A=1:1,X=3:1 needs supercells: max_cells must be at",
        ),
        ({"X": (2, 1)}, {"max_cells": 0}, "max_cells must be a whole number, at least 1, got 0"),
        ({"X": (2, 1)}, {"max_cells": True}, "max_cells must be a whole number"),
        ({"X": (2, 1)}, {"max_cells": 6}, "divides the sites of 6 primitive cells in 18,564 ways, more than 10,000"),
        (
            {"X": (2, 1)},
            {"max_cells": 10**9},
            "divides the sites of 6 primitive cells in 18,564 ways, more than 10,000",
        ),
        (
            {"X": (2, 1)},
            {"max_cells": 5, "limit": 900},
            "divides the sites of 5 primitive cells in 3,003 ways, more than 900",
        ),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_a_sentence(mixtures, options, message):
    parent = get_prototype("cubic-perovskite")
    with pytest.raises(UserError, match=re.escape(message)):
        ordered_prototypes(parent, mixtures, **options)


def test_too_many_ordered_cells_are_refused_though_each_supercell_has_few_divisions():
    rng = np.random.default_rng(0)
    lawless = Prototype(
        "lawless", "", ("A", "B"), np.eye(3) + rng.random((3, 3)) / 5, rng.random((7, 3)), [0] * 6 + [1]
    )
    with pytest.raises(UserError, match=r"at least \d,\d{3} ordered cells of up to 2 primitive cells, more than 1,000"):
        ordered_prototypes(lawless, {"A": (1, 1)}, max_cells=2, limit=1000)


def test_a_role_with_the_name_of_a_part_is_refused():
    clash = Prototype("clash", "", ("X", "X.1"), np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1])
    with pytest.raises(UserError, match="name of a part of another"):
        ordered_prototypes(clash, {"X": (1, 1)}, max_cells=2)


# text


@pytest.mark.parametrize(
    ("text", "elements", "parts"),
    [
        ("O2N", ("O", "N"), (2, 1)),
        ("ON2", ("N", "O"), (2, 1)),
        ("OFN", ("F", "N", "O"), (1, 1, 1)),
        ("O4N2", ("O", "N"), (2, 1)),
        ("Sr0.5Ba0.5", ("Ba", "Sr"), (1, 1)),
        ("Ti0.75Zr0.25", ("Ti", "Zr"), (3, 1)),
        ("Ti.75Zr.25", ("Ti", "Zr"), (3, 1)),
        ("Na2Li1K1", ("Na", "K", "Li"), (2, 1, 1)),
        ("CoNi", ("Co", "Ni"), (1, 1)),
        ("CONi", ("C", "Ni", "O"), (1, 1, 1)),
    ],
)
def test_mixtures_are_read_as_they_are_written(text, elements, parts):
    assert parse_mixture(text) == Mixture(elements, parts)


@given(
    st.lists(st.sampled_from(["H", "He", "Co", "Ni", "O", "N", "W"]), min_size=2, max_size=4, unique=True), st.data()
)
def test_a_mixture_is_the_same_in_any_order_and_unit(elements, data):
    parts = data.draw(st.lists(st.integers(1, 3), min_size=len(elements), max_size=len(elements)))
    factor = data.draw(st.sampled_from([1, 2, 10]))
    order = data.draw(st.permutations(range(len(elements))))
    text = "".join(f"{elements[i]}{parts[i]}" for i in range(len(elements)))
    other = "".join(f"{elements[i]}{parts[i] / factor:g}" for i in order)
    assert parse_mixture(text) == parse_mixture(other)
    amounts = dict(zip(elements, parts, strict=True))
    mixture = parse_mixture(text)
    ratios = {amounts[e] / part for e, part in zip(mixture.elements, mixture.parts, strict=True)}
    assert len(ratios) == 1
    assert prod(mixture.parts) <= prod(parts)


def test_one_element_is_no_mixture():
    assert parse_mixture("O") is None
    assert parse_mixture("Zr") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a mixture is written as O2N or Sr0.75Ba0.25, got ''"),
        (None, "got None"),
        ("O2Xx", 'mixture "O2Xx": unknown element "Xx". Nearest: Xe.'),
        ("Xx", 'unknown element "Xx"'),
        ("O-N", '"O-N" is not a mixture: its elements carry no charges; write symbols with amounts'),
        ("Fe3+0.5Fe2+0.5", "carry no charges"),
        ("O2 N", '"O2 N" is not a mixture; write symbols'),
        ("o2n", "is not a mixture"),
        ("O.N", "is not a mixture"),
        ("(OF)2N", "is not a mixture"),
        ("O1.2.3N", "is not a mixture"),
        ("OO", 'mixture "OO" names O twice'),
        ("O0N", 'mixture "O0N": the amount of O is 0'),
        ("O2", '"O2" is one element with an amount: write O, or a mixture such as O2N'),
        ("Ti0.333Zr0.667", 'mixture "Ti0.333Zr0.667" divides the sites into 1000 parts, more than 12; TiZr2 is near'),
        ("O11N2", "into 13 parts, more than 12"),
        ("Sr0.99Ba0.01", "into 100 parts, more than 12"),
    ],
)
def test_what_is_no_mixture_is_refused_in_a_sentence(text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_mixture(text)
