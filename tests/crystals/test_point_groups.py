from __future__ import annotations

import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from matscout.crystals.point_groups import (
    CRYSTAL_SYSTEMS,
    POINT_GROUPS,
    crystal_system,
    has_inversion,
    point_group,
    site_point_group,
)
from matscout.db._symmetry import spglib_call

GROUPS = range(1, 231)


@pytest.fixture(scope="module")
def rotations():
    """Rotations of each space group from spglib's database, by its number."""
    found = {}
    for hall in range(1, 531):
        number = spglib_call("get_spacegroup_type", hall).number
        if number not in found:
            found[number] = np.unique(spglib_call("get_symmetry_from_database", hall)["rotations"], axis=0)
    return found


def test_point_groups_have_the_symbols_of_spglib(rotations):
    assert sorted(rotations) == list(GROUPS)
    for number in GROUPS:
        symbol = spglib_call("get_pointgroup", rotations[number])[0].strip()
        assert point_group(number).symbol == site_point_group(symbol), number


def test_orders_and_flags_are_those_of_the_rotations(rotations):
    for number in GROUPS:
        group, matrices = point_group(number), rotations[number]
        assert group.order == len(matrices)
        assert group.centrosymmetric == (matrices == -np.eye(3)).all(axis=(1, 2)).any()
        assert group.chiral == (np.linalg.det(matrices) > 0).all()
        assert group.polar == (np.linalg.matrix_rank(matrices.sum(axis=0)) > 0)  # a direction that all leave as it is
        assert has_inversion(group.symbol) == group.centrosymmetric


@pytest.mark.parametrize("number", [1, 2, 3, 15, 16, 74, 75, 142, 143, 167, 168, 194, 195])
def test_crystal_systems_begin_and_end_where_pymatgen_has_them(number):
    assert crystal_system(number) == SpaceGroup.from_int_number(number).crystal_system


def test_there_are_32_point_groups_in_7_systems():
    assert len({point_group(number).symbol for number in GROUPS}) == len(POINT_GROUPS) == 32
    assert {crystal_system(number) for number in GROUPS} == set(CRYSTAL_SYSTEMS)


@pytest.mark.parametrize(
    ("oriented", "symbol"),
    [("m-3m", "m-3m"), ("-4m.2", "-42m"), ("m2m.", "mm2"), ("2.mm", "mm2"), ("-62m", "-6m2"), ("..2/m", "2/m")],
)
def test_a_site_has_its_point_group_however_it_is_oriented(oriented, symbol):
    assert site_point_group(oriented) == symbol
