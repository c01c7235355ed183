from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.db import _patterns
from matscout.db._patterns import all_patterns, block_columns, by_pattern, pattern_of
from matscout.workflows.enumeration import get_prototype

BELL = [1, 1, 2, 5, 15, 52, 203]


@pytest.mark.parametrize("n_roles", range(1, 7))
def test_there_are_as_many_patterns_as_ways_to_divide_a_set(n_roles):
    patterns = all_patterns(n_roles)
    assert len(set(patterns)) == len(patterns) == BELL[n_roles]
    assert patterns[-1] == tuple(range(n_roles))
    assert all(pattern_of(pattern) == pattern for pattern in patterns)


@given(st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=1, max_size=30))
def test_rows_are_grouped_by_their_pattern(rows):
    decoration = np.array(rows, dtype=np.uint8)
    seen = np.zeros(len(rows), dtype=int)
    for pattern, members in by_pattern(decoration):
        seen[members] += 1
        assert {pattern_of(rows[i]) for i in members} == {pattern}
        blocks = decoration[members][:, block_columns(pattern)]
        np.testing.assert_array_equal(blocks[:, list(pattern)], decoration[members])
    assert (seen == 1).all()


def test_an_elpasolite_with_one_metal_is_a_cubic_perovskite():
    merged = get_prototype("elpasolite").merged((0, 1, 1, 2))
    assert merged.roles == ("A", "B=B'", "X")
    assert merged.space_group == 221
    assert merged.role_maps(get_prototype("cubic-perovskite")) == [(0, 1, 2)]


def test_all_roles_alike_have_one_order():
    prototype = get_prototype("half-heusler")
    assert prototype.equivalents((0, 0, 0)) == ((0, 0, 0),)


def test_images_lead_to_the_other_prototype_and_back():
    elpasolite, perovskite = get_prototype("elpasolite"), get_prototype("cubic-perovskite")
    assert _patterns.images(elpasolite, (0, 1, 1, 2), perovskite) == ((0, 1, 2),)
    assert _patterns.images(perovskite, (0, 1, 2), elpasolite) == ((0, 1, 1, 2),)
    assert _patterns.images(elpasolite, (0, 1, 2, 3), perovskite) == ()


@given(st.sampled_from(["elpasolite", "half-heusler", "heusler", "chalcopyrite"]), st.data())
def test_equivalents_are_mutual_and_share_one_canonical_form(name, data):
    prototype = get_prototype(name)
    pattern = data.draw(st.sampled_from(all_patterns(len(prototype.roles))))
    elements = np.array(data.draw(st.permutations([3, 8, 22, 56]))[: max(pattern) + 1], dtype=np.uint8)
    group = prototype.equivalents(pattern)
    rows = np.stack([elements[list(labels)] for labels in group])
    assert group[0] == pattern
    assert len({row.tobytes() for row in prototype.canonical(rows)}) == 1
    assert all(len(prototype.equivalents(pattern_of(labels))) == len(group) for labels in group)


def test_rings_of_four_have_as_many_classes_as_necklaces():
    quaternary = get_prototype("quaternary-heusler")
    for n in range(1, 6):
        rows = np.array(list(product(range(1, n + 1), repeat=4)), dtype=np.uint8)
        classes = {row.tobytes() for row in quaternary.canonical(rows)}
        assert len(classes) == (n**4 + 2 * n**3 + 3 * n**2 + 2 * n) // 8 >= comb(n, 4)
