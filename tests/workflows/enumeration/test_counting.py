from __future__ import annotations

from math import comb, perm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element

from matscout.errors import UserError
from matscout.workflows.enumeration import CandidateSpace, count_candidates, get_prototype

#: Elements 1 to n; which ones does not matter for a count.
FIRST = [Element.from_Z(z).symbol for z in range(1, 84)]
POOL = FIRST[:7]


@pytest.mark.parametrize("n", [4, 39, 80])
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cubic-perovskite", lambda n: perm(n, 3)),
        ("elpasolite", lambda n: perm(n, 4) // 2),
        ("rock-salt", lambda n: comb(n, 2)),
        ("heusler", lambda n: n * (n - 1) * (n - 2) // 2),
        ("half-heusler", lambda n: n * (n - 1) * (n - 2) // 2),
        ("chalcopyrite", lambda n: n * (n - 1) * (n - 2) // 2),
    ],
)
def test_one_pool_of_elements_gives_the_textbook_number(name, count, n):
    assert list(count_candidates(name, FIRST[:n]).values()) == [count(n)]


@pytest.mark.parametrize(
    ("name", "n", "count"),
    [("cubic-perovskite", 64, 249_984), ("elpasolite", 39, 987_012), ("ThCr2Si2", 52, 132_600)],
)
def test_the_published_spaces_have_their_sizes(name, n, count):
    assert sum(count_candidates(name, FIRST[:n]).values()) == count


def test_separate_lists_multiply():
    elements = {"A": FIRST[:10], "B": FIRST[10:30], "B'": FIRST[30:33], "X": FIRST[40:44]}
    assert count_candidates("elpasolite", elements) == {"elpasolite": 10 * 20 * 3 * 4}


def test_one_crystal_under_two_names_counts_once_and_for_the_first():
    assert count_candidates(["rock-salt", "AB_cF8_225_a_b"], POOL) == {"rock-salt": 21, "AB_cF8_225_a_b": 0}
    assert count_candidates(["AB_cF8_225_a_b", "rock-salt"], POOL) == {"AB_cF8_225_a_b": 21, "rock-salt": 0}


def test_every_way_to_put_elements_on_four_fcc_lattices_counts_once():
    # necklaces: 4 places on a ring, turned and turned over, n colours: (n^4 + 2 n^3 + 3 n^2 + 2 n) / 8
    n = len(POOL)
    whole = sum(count_candidates("quaternary-heusler", POOL, repeat_elements=True).values())
    assert whole == (n**4 + 2 * n**3 + 3 * n**2 + 2 * n) // 8


NAMES = ["elpasolite", "heusler", "rock-salt", "cubic-perovskite", "half-heusler", "chalcopyrite", "AB_cF8_225_a_b"]
lists = st.lists(st.sampled_from(POOL), min_size=1, max_size=5, unique=True)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), st.booleans(), st.data())
def test_the_count_is_the_number_of_candidates_made(names, repeat, data):
    roles = dict.fromkeys(role for name in names for role in get_prototype(name).roles)
    elements = {role: data.draw(lists, role) for role in roles}
    try:
        space = CandidateSpace(names, elements, repeat_elements=repeat)
    except UserError as error:
        assert "no candidates" in str(error)  # noqa: PT017  drawn lists may leave nothing to count
        return
    table = space.table()
    made = np.bincount(table.prototype_index, minlength=len(table.prototypes)).tolist()
    assert made == list(space.counts.values())
    assert len(set(table.ids)) == len(table)


@settings(max_examples=30)
@given(st.permutations(POOL), st.booleans())
def test_neither_the_names_nor_the_order_of_the_elements_matter(order, repeat):
    renamed = dict(zip(POOL, order, strict=True))
    elements = {"A": POOL[:3], "B": POOL[1:5], "B'": POOL[3:], "X": POOL}
    other = {role: [renamed[symbol] for symbol in given][::-1] for role, given in elements.items()}
    first = count_candidates("elpasolite", elements, repeat_elements=repeat)
    assert count_candidates("elpasolite", other, repeat_elements=repeat) == first
