from __future__ import annotations

import doctest
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.symmetry.groups import SpaceGroup

from matscout.workflows.enumeration.prototypes import _wyckoff
from matscout.workflows.enumeration.prototypes._wyckoff import lattice, orbit, position, setting

FREE = {"x": 0.13, "y": 0.27, "z": 0.41}


def test_examples_in_docstrings_run():
    failed, tried = doctest.testmod(_wyckoff)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0, 1/2, 3/4", (0, 0.5, 0.75)),
        ("x, 2x, -x", (0.13, 0.26, -0.13)),
        ("x+1/2, 1/4-y, -z+1/3", (0.63, -0.02, -0.41 + 1 / 3)),
        ("x - y, -2x + z, 1/2x", (-0.14, 0.15, 0.065)),
        (" +x ,y,  z ", (0.13, 0.27, 0.41)),
    ],
)
def test_a_position_is_read_as_the_international_tables_print_it(text, expected):
    used = {letter: value for letter, value in FREE.items() if letter in text}
    np.testing.assert_allclose(position({"position": text} | used), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"position": "x, 0, 0"}, '"x, 0, 0" needs a value of x'),
        ({"position": "0, 0, 0", "x": 0.1}, '"0, 0, 0" has no free parameter x'),
        ({"position": "x, 0, 0", "x": 0.1, "ideal": {"z": 0.25}}, '"x, 0, 0" has no free parameter z'),
        ({"position": "x, 0", "x": 0.1}, '"x, 0" has 2 coordinates'),
        ({"position": "0, , 0"}, '"" in "0, , 0" is no sum'),
        ({"position": "0, 1/0, 0"}, '"1/0" in'),
        ({"position": "0, x*2, 0", "x": 0.1}, '"x*2" in'),
        ({"position": "0, xx, 0", "x": 0.1}, '"xx" in'),
        ({"position": "0, __import__, 0"}, '"__import__" in'),
        ({"position": "0, 0.25, 0"}, '"0.25" in'),
    ],
)
def test_what_is_no_position_is_named(site, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        position(site)


@pytest.mark.parametrize(
    ("hall_number", "space_group", "cell", "pymatgens"),
    [
        (2, 2, {"a": 5, "b": 6, "c": 7, "alpha": 80, "beta": 95, "gamma": 100}, (5, 6, 7, 80, 95, 100)),
        (81, 14, {"a": 5, "b": 6, "c": 7, "beta": 105}, (5, 6, 7, 90, 105, 90)),
        (84, 14, {"a": 5, "b": 6, "c": 7, "gamma": 105}, (5, 6, 7, 90, 90, 105)),
        (292, 62, {"a": 5, "b": 6, "c": 7}, (5, 6, 7, 90, 90, 90)),
        (425, 140, {"a": 5, "c": 7}, (5, 5, 7, 90, 90, 90)),
        (460, 167, {"a": 5, "c": 7}, (5, 5, 7, 90, 90, 120)),
        (517, 221, {"a": 5}, (5, 5, 5, 90, 90, 90)),
    ],
)
def test_a_cell_is_that_of_pymatgen(hall_number, space_group, cell, pymatgens):
    ours = lattice(setting(hall_number, space_group), cell)
    np.testing.assert_allclose(ours @ ours.T, Lattice.from_parameters(*pymatgens).metric_tensor, atol=1e-9)


@pytest.mark.parametrize(
    ("hall_number", "space_group", "cell", "message"),
    [
        (517, 221, {"a": 4, "c": 4}, "space group 221 is given by a, got a, c"),
        (488, 194, {"a": 4}, "given by a, c, got a"),
        (81, 14, {"a": 4, "b": 5, "c": 6, "gamma": 100}, "given by a, b, c, beta, got"),
        (461, 167, {"a": 4, "c": 5}, "in hexagonal axes"),
    ],
)
def test_a_cell_that_its_group_does_not_allow_is_refused(hall_number, space_group, cell, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lattice(setting(hall_number, space_group), cell)


def test_a_setting_of_another_group_is_refused():
    for hall_number in (517, 0, 531):
        with pytest.raises(ValueError, match=f"hall_number {hall_number} is no setting of space group 225"):
            setting(hall_number, 225)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([(292, 62), (424, 139), (460, 167), (488, 194), (502, 206), (517, 221)]),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.13, 0.29, 0.41, 1 / 3]), min_size=3, max_size=3),
)
def test_an_orbit_is_that_of_pymatgen(group, site):
    found = setting(*group)
    expected = SpaceGroup.from_int_number(group[1]).get_orbit(site, tol=1e-4)
    multiplicity = len(expected)
    ours = orbit(found, f"{multiplicity}a", np.array(site))
    points = round(1 / abs(np.linalg.det(found.primitive)))
    assert len(ours) * points == multiplicity
    conventional = ours @ found.primitive
    for other in expected:
        delta = (conventional - other) @ np.linalg.inv(found.primitive)
        assert np.abs(delta - np.round(delta)).max(axis=1).min() < 1e-3


def test_an_orbit_of_another_size_than_its_wyckoff_position_is_refused():
    with pytest.raises(ValueError, match=r"\[0\.0, 0\.0, 0\.1\] has 6 sites in the conventional cell, not 1a"):
        orbit(setting(517, 221), "1a", np.array([0, 0, 0.1]))
    with pytest.raises(ValueError, match="not 6"):
        orbit(setting(517, 221), "6", np.array([0, 0, 0.1]))
