from __future__ import annotations

from itertools import permutations, product
from math import perm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element

from matscout.db.candidates import FilterCount
from matscout.db.prototypes import Prototype
from matscout.errors import UserError
from matscout.workflows.enumeration import (
    ChargeNeutrality,
    count_candidates,
    decorate,
    enumerate_candidates,
    get_prototype,
    iterate_candidates,
    ordered_prototypes,
)
from matscout.workflows.enumeration.filters import FilterResult, MaxSites

POOL = ["H", "Li", "B", "O", "Na", "Al", "Cl", "K"]

#: The 39 main-group elements from H to Bi.
MAIN_GROUP = [Element.from_Z(z).symbol for z in (*range(1, 21), *range(31, 39), *range(49, 57), *range(81, 84))]
#: 64 elements: H to Bi without rare gases and Ce to Lu.
PEROVSKITE_POOL = [Element.from_Z(z).symbol for z in range(1, 84) if z not in {2, 10, 18, 36, 54, *range(58, 72)}]


def test_cubic_perovskites_over_64_elements_are_249984():
    table = enumerate_candidates("cubic-perovskite", PEROVSKITE_POOL)
    assert len(table) == 249_984
    assert np.isfinite(table.volume).all()


def test_elpasolites_over_39_elements_are_987012():
    table = enumerate_candidates("elpasolite", MAIN_GROUP)
    assert len(table) == 987_012
    assert len(np.unique(table.decoration @ 119 ** np.arange(4))) == 987_012
    assert (table.decoration[:, 1] < table.decoration[:, 2]).all()


@pytest.mark.parametrize("name", ["heusler", "half-heusler"])
def test_heuslers_over_n_elements_are_half_the_ordered_triples(name):
    n = len(POOL)
    assert len(enumerate_candidates(name, POOL)) == n * (n - 1) * (n - 2) // 2


def test_quaternary_heuslers_over_n_elements_are_an_eighth_of_the_ordered_quadruples():
    heusler = get_prototype("heusler")
    quaternary = Prototype(
        "quaternary-heusler",
        "ABCD_cF16_216_c_d_b_a",
        ("A", "B", "C", "D"),
        heusler.lattice,
        np.array([[0.0] * 3, [0.25] * 3, [0.5] * 3, [0.75] * 3]),
        np.arange(4),
    )
    n = len(POOL)
    assert len(enumerate_candidates(quaternary, POOL)) == n * (n - 1) * (n - 2) * (n - 3) // 8


def test_every_pair_of_candidates_is_of_different_crystals():
    table = enumerate_candidates(["elpasolite"], ["Li", "Na", "K", "F", "Cl"])
    matcher = StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.1)
    by_formula: dict[str, list] = {}
    for formula, structure in zip(table.formulas, table.structures(range(len(table))), strict=True):
        by_formula.setdefault(formula, []).append(structure)
    assert len(table) == 60
    for same in by_formula.values():
        assert len(matcher.group_structures(same)) == len(same)


element_lists = st.lists(st.sampled_from(POOL), min_size=1, max_size=4, unique=True)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["elpasolite", "heusler", "rock-salt", "cubic-perovskite"]), st.data())
def test_candidates_are_those_of_a_loop(name, data):
    prototype = get_prototype(name)
    lists = {role: data.draw(element_lists) for role in prototype.roles}
    expected, seen = [], set()
    for decoration in product(*lists.values()):
        orders = {tuple(decoration[i] for i in order) for order in prototype.equivalent_roles}
        if len(set(decoration)) == len(decoration) and not orders & seen:
            seen.add(decoration)
            expected.append(orders)
    if not expected:
        with pytest.raises(UserError, match="no candidates"):
            enumerate_candidates(name, lists)
        return
    table = enumerate_candidates(name, lists)
    found = [tuple(s.symbol for s in species(table, i)) for i in range(len(table))]
    assert len(found) == len(expected)
    assert all(decoration in orders for decoration, orders in zip(found, expected, strict=True))


def species(table, i):
    n_roles = len(table.prototypes[table.prototype_index[i]].roles)
    return [Element.from_Z(int(z)) for z in table.decoration[i, :n_roles]]


def test_small_parts_give_the_same_table(monkeypatch):
    whole = enumerate_candidates("elpasolite", POOL)
    monkeypatch.setattr(decorate, "CHUNK", 97)
    assert enumerate_candidates("elpasolite", POOL).ids == whole.ids


def test_the_order_of_the_elements_changes_the_order_of_the_rows_only():
    forward = enumerate_candidates("elpasolite", POOL)
    backward = enumerate_candidates("elpasolite", POOL[::-1])
    assert forward.ids != backward.ids
    assert set(forward.ids) == set(backward.ids)


def test_rows_follow_the_lists():
    table = enumerate_candidates("cubic-perovskite", {"X": ["F", "Cl"], "A": ["Rb", "K"], "B": ["Mg"]})
    assert table.formulas == ["RbMgF3", "RbMgCl3", "KMgF3", "KMgCl3"]


def test_an_element_with_one_choice_may_be_written_plainly():
    assert enumerate_candidates("cubic-perovskite", {"A": "Sr", "B": "Ti", "X": "O"}).formulas == ["SrTiO3"]


def test_prototypes_take_the_roles_that_they_have():
    elements = {"A": ["Cs"], "B": ["Ag", "Pb"], "B'": ["Bi"], "X": ["Br"]}
    table = enumerate_candidates(["cubic-perovskite", "elpasolite"], elements)
    assert sorted(table.formulas) == sorted(["CsAgBr3", "CsPbBr3", "Cs2AgBiBr6", "Cs2BiPbBr6"])
    assert table.prototype_index.tolist() == [0, 0, 1, 1]
    assert table.decoration[:2, 3].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("first", "second"), [("rock-salt", "AB_cF8_225_a_b"), ("cubic-perovskite", "AB3C_cP5_221_a_c_b")]
)
def test_one_crystal_under_two_names_is_enumerated_once(first, second):
    alone = enumerate_candidates(first, POOL)
    both = enumerate_candidates([first, second], POOL)
    assert both.ids == alone.ids
    other_way = enumerate_candidates([second, first], POOL)
    assert len(other_way) == len(alone)
    assert other_way.prototypes[0].name == second
    assert (other_way.prototype_index == 0).all()


def test_of_two_names_only_what_is_the_same_is_left_out():
    elements = {"A": ["Na", "K"], "X": ["F"], "B": ["K", "F", "Cl"]}
    table = enumerate_candidates(["rock-salt", "AB_cF8_225_a_b"], elements)
    assert table.formulas == ["NaF", "KF", "KNa", "NaCl", "KCl"]  # NaF and KF come back, and are known by then


def test_all_prototypes_over_a_small_pool():
    table = enumerate_candidates("all", ["Li", "Fe", "P", "O"])
    assert len(set(table.ids)) == len(table)
    assert (table.volume > 0).all()


def test_filters_are_counted_in_their_order():
    def without_sodium(table):
        return ~(table.decoration == 11).any(axis=1)

    def graded(table):
        return FilterResult(table.volume > 0, unknown=2, columns={"grade": np.arange(len(table))})

    table = enumerate_candidates(["rock-salt", "rutile"], POOL, [MaxSites(4), without_sodium, graded])
    assert table.filter_counts == (
        FilterCount("max-sites", 28 + 56, 56, 0),
        FilterCount("without_sodium", 28, 7, 0),
        FilterCount("graded", 21, 0, 2),
    )
    assert table.columns["grade"].tolist() == list(range(21))


def test_a_space_that_filters_empty_says_who_removed_what():
    def none(table):
        return np.zeros(len(table), dtype=bool)

    with pytest.raises(UserError, match="no candidates left: max-sites removed 0 of 28, none removed 28 of 28"):
        enumerate_candidates("rock-salt", POOL, [MaxSites(4), none, MaxSites(1)])


@pytest.mark.parametrize("wrong", [lambda t: t.volume, lambda t: t.decoration == 1, lambda t: True])
def test_a_filter_that_returns_no_mask_is_named(wrong):
    with pytest.raises(UserError, match="filter <lambda> must return True or False for each of 28 candidates"):
        enumerate_candidates("rock-salt", POOL, [wrong])


PEROVSKITE = {"A": ["Sr"], "B": ["Ti"], "X": ["O"]}


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"A": ["Sr"], "B": ["Ti"]}, "no elements for the role X of cubic-perovskite: cubic-perovskite has A, B, X"),
        (PEROVSKITE | {"C": ["F"]}, "no prototype has the role 'C': cubic-perovskite has A, B, X"),
        (PEROVSKITE | {"A": ["Sr", "Xx"]}, 'role A: unknown element "Xx". Nearest: Xe.'),
        (PEROVSKITE | {"A": ["sr"]}, 'role A: unknown element "sr". Nearest: Sr.'),
        (PEROVSKITE | {"A": ["D"]}, 'role A: unknown element "D"'),
        (PEROVSKITE | {"A": ["Sr", "Ba", "Sr"]}, "role A: Sr is listed twice"),
        (PEROVSKITE | {"A": []}, "role A has no elements"),
        (PEROVSKITE | {"A": None}, "role A: a list of element symbols is expected, got None"),
        (PEROVSKITE | {"A": [False]}, "role A: False is not an element. YAML reads No"),
        (PEROVSKITE | {"A": False}, 'write "No" in quotes'),
        (PEROVSKITE | {"A": [38]}, "role A: 38 is not an element"),
        (["Sr", "Ti", True], "the list of elements: True is not an element"),
        ([], "the list of elements has no elements"),
        (7, "the list of elements: a list of element symbols is expected, got 7"),
        (["Sr", "Ti"], "no element may fill two roles"),
    ],
)
def test_wrong_elements_are_named(elements, message):
    with pytest.raises(UserError) as error:
        enumerate_candidates("cubic-perovskite", elements)
    assert message in str(error.value)


def test_a_space_too_large_to_enumerate_is_refused_at_once():
    elements = {role: [*MAIN_GROUP, "Fe", "Co", "Ni", "Cu", "Zn", "Ti", "V"] for role in "ABCDE"}
    with pytest.raises(UserError, match=r"^164,490,480 candidates are more .* for the roles of sigma_tP30_136_bf2ij"):
        enumerate_candidates("sigma_tP30_136_bf2ij", elements)
    assert count_candidates("sigma_tP30_136_bf2ij", elements) == {"sigma_tP30_136_bf2ij": perm(46, 5)}


def test_a_space_with_few_candidates_among_too_many_decorations_is_refused_at_once():
    frac = np.random.default_rng(0).random((9, 3))
    unlike = Prototype("unlike", "", tuple("ABCDEFGHI"), np.eye(3) * 9, frac, np.arange(9))
    with pytest.raises(UserError, match=r"^unlike with 9 x .* has 3\.9e\+08 ordered decorations, more than 2e\+08"):
        enumerate_candidates(unlike, [*POOL, "Fe"])
    ten = Prototype("ten", "", tuple("ABCDEFGHIJ"), np.eye(3) * 9, [*frac, [0.1, 0.2, 0.3]], np.arange(10))
    with pytest.raises(UserError, match=r"ten has .* ordered decorations: name fewer elements"):
        count_candidates(ten, [Element.from_Z(z).symbol for z in range(1, 119)])
    with pytest.raises(UserError, match="unlike has 9 roles: with repeat_elements at most 7"):
        count_candidates(unlike, ["Li"], repeat_elements=True)


def test_one_prototype_given_twice_counts_once():
    salt = get_prototype("rock-salt")
    again = Prototype.from_dict(salt.to_dict())
    elements = {"A": ["Li"], "B": ["Ti"], "X": ["F", "Cl"]}
    table = enumerate_candidates([get_prototype("cubic-perovskite"), salt, again], elements)
    assert table.formulas == ["LiTiF3", "LiTiCl3", "LiF", "LiCl"]


def test_an_ordered_cell_given_beside_its_mixture_loses_nothing():
    perovskite = get_prototype("cubic-perovskite")
    cells = ordered_prototypes(perovskite, {"B": (1, 1)}, max_cells=2)
    elements = {"A": ["Cs"], "B": ["Ag0.5Bi0.5", "Ti"], "X": ["Cl"], "B.1": ["Ag"], "B.2": ["Bi"]}
    table = enumerate_candidates([perovskite, *cells], elements, max_cells=2)
    assert sorted(table.formulas) == ["Cs2AgBiCl6"] * 3 + ["CsTiCl3"]


def test_ions_follow_their_element_into_the_role_where_a_candidate_writes_it():
    elements = {"X": ["Fe3+"], "Y": ["S2-"], "Z": ["S2-"]}  # 2 x 3 - 2 - 2 is not 0, however the roles are written
    with pytest.raises(UserError, match="charge-neutrality removed 1 of 1"):
        enumerate_candidates("heusler", elements, [ChargeNeutrality()], repeat_elements=True)


def test_equivalent_orders_in_separate_lists_are_one_candidate():
    orders = [{"A": ["Cs"], "B": [b], "B'": [c], "X": ["Cl"]} for b, c in permutations(["Ag", "In"], 2)]
    ids = [enumerate_candidates("elpasolite", elements).ids for elements in orders]
    assert ids[0] == ids[1]


def test_parts_of_a_space_are_the_space():
    whole = enumerate_candidates(["elpasolite", "rock-salt"], POOL, [MaxSites(5)])
    parts = list(iterate_candidates(["elpasolite", "rock-salt"], POOL, [MaxSites(5)], chunk=500))
    assert [one for part in parts for one in part.ids] == whole.ids
    assert sum(part.filter_counts[0].removed for part in parts) == whole.filter_counts[0].removed
    assert max(len(part) for part in parts) <= 500
    assert any(len(part) == 0 for part in parts)


@pytest.mark.parametrize("chunk", [0, -1, 1.5, True])
def test_a_part_needs_a_whole_number_of_decorations(chunk):
    with pytest.raises(UserError, match="chunk must be a whole number"):
        next(iterate_candidates("rock-salt", POOL, chunk=chunk))


def brute_force(prototypes, lists, *, repeat):
    """Representatives of all decorations, found by pymatgen's matcher alone."""
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.05, scale=True)
    kept: list[tuple[str, object]] = []
    for prototype in prototypes:
        for row in product(*(lists[role] for role in prototype.roles)):
            if not repeat and len(set(row)) < len(row):
                continue
            structure = prototype.structure(list(row), 10.0)
            formula = structure.reduced_formula
            if not any(formula == other and matcher.fit(structure, one) for other, one in kept):
                kept.append((formula, structure))
    return kept


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize(
    "names",
    [
        ["elpasolite", "cubic-perovskite"],
        ["half-heusler", "zincblende", "fluorite"],
        ["heusler", "cesium-chloride"],
        ["AB_cF8_225_a_b", "rock-salt"],
    ],
    ids="+".join,
)
def test_candidates_are_those_that_pymatgen_tells_apart(names, repeat):
    prototypes = [get_prototype(name) for name in names]
    some = {"A": ["F", "O"], "X": ["F", "O"], "B": ["Li", "F", "O"], "C": ["Li", "F", "O"]}
    lists = {role: some.get(role, ["Li", "F"]) for prototype in prototypes for role in prototype.roles}
    expected = brute_force(prototypes, lists, repeat=repeat)
    if not expected:
        with pytest.raises(UserError, match="no candidates"):
            enumerate_candidates(prototypes, lists, repeat_elements=repeat)
        return
    table = enumerate_candidates(prototypes, lists, repeat_elements=repeat)
    assert sorted(table.formulas) == sorted(formula for formula, _ in expected)
    assert len(set(table.ids)) == len(table)


def test_an_element_in_b_and_b_makes_a_perovskite_of_an_elpasolite():
    pool = {"A": ["K"], "B": ["Ti", "Zr"], "B'": ["Ti", "Zr"], "X": ["O"]}
    alone = enumerate_candidates("elpasolite", pool, repeat_elements=True)
    assert alone.formulas == ["KTiO3", "K2ZrTiO6", "KZrO3"]
    both = enumerate_candidates(["cubic-perovskite", "elpasolite"], pool, repeat_elements=True)
    assert [(both.prototypes[i].name, f) for i, f in zip(both.prototype_index, both.formulas, strict=True)] == [
        ("cubic-perovskite", "KTiO3"),
        ("cubic-perovskite", "KZrO3"),
        ("elpasolite", "K2ZrTiO6"),
    ]


def test_ions_restrict_the_states_and_are_no_part_of_the_id():
    plain = enumerate_candidates("cubic-perovskite", {"A": ["La"], "B": ["Fe"], "X": ["O"]})
    ions = enumerate_candidates("cubic-perovskite", {"A": ["La3+"], "B": ["Fe2+", "Fe3+"], "X": ["O2-"]})
    assert ions.ids == plain.ids
    assert ions.oxidation_states == {"A": {"La": (3,)}, "B": {"Fe": (2, 3)}, "X": {"O": (-2,)}}
    assert plain.oxidation_states == {}
    assert ions.take([0]).oxidation_states == ions.oxidation_states
