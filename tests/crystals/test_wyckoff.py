from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.prototypes import (
    WYCKOFF_MULTIPLICITY_DICT,
    WYCKOFF_POSITION_PARAM_DICT,
    WYCKOFF_POSITION_RELAB_DICT,
    sort_and_score_element_wyckoffs,
)

from matscout.crystals._letters import _sorted_and_scored
from matscout.crystals._wyckoff import free_parameters, multiplicities, shipped_relabelings, site_symmetry_orders

groups = st.integers(1, 230)


def test_the_tables_are_those_that_pymatgen_imports():
    for group in range(1, 231):
        assert multiplicities(group) == WYCKOFF_MULTIPLICITY_DICT[str(group)]
        assert free_parameters(group) == WYCKOFF_POSITION_PARAM_DICT[str(group)]
        assert shipped_relabelings(group) == WYCKOFF_POSITION_RELAB_DICT[str(group)]


@given(st.data(), groups)
def test_an_occupation_is_written_and_scored_as_pymatgen_does(data, group):
    letters = st.sampled_from(sorted(multiplicities(group)))
    element = st.dictionaries(letters, st.integers(1, 12), min_size=1, max_size=4)
    elements = data.draw(st.lists(element, min_size=1, max_size=4))
    text = "_".join("".join(f"{times}{letter}" for letter, times in one.items()) for one in elements)
    assert _sorted_and_scored(text) == sort_and_score_element_wyckoffs(text)


def test_site_symmetries_of_cubic_groups_have_the_orders_of_the_tables():
    # International Tables A: m-3m, m-3m, 4/mm.m, 4/mm.m, 4m.m, 4m.m, .3m, m.m2 of Pm-3m; -43m, .-3m of Fd-3m
    assert [site_symmetry_orders(221)[letter] for letter in "abcdefgh"] == [48, 48, 16, 16, 8, 8, 6, 4]
    assert [site_symmetry_orders(227)[letter] for letter in "acei"] == [24, 12, 6, 1]


def test_free_coordinates_belong_to_small_site_symmetry_groups():
    for group in range(1, 231):
        orders, free = site_symmetry_orders(group), free_parameters(group)
        assert all((free[letter] == 3) == (orders[letter] == 1) for letter in orders)
        assert all(orders[letter] == 2 for letter in orders if free[letter] == 2)  # a mirror plane


def test_labels_are_made_without_importing_pymatgens_module_which_takes_seconds():
    code = (
        "import sys; from matscout.crystals._letters import anonymous_letters, canonical_letters;"
        "assert canonical_letters('1b_3d_1a', 221) == 'a_3c_b'; anonymous_letters('1b_1a', 225, (1, 1));"
        "assert 'pymatgen.analysis.prototypes' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
