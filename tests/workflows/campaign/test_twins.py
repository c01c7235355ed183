from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from matscout.workflows.campaign.twins import Twins
from matscout.workflows.enumeration import enumerate_candidates, prototype_from_structure


@pytest.fixture(scope="module")
def table():
    wider = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.300, 0.300, 0]]
    )
    other = prototype_from_structure(wider, "wider-rutile")
    elements = {"A": ["Ti"], "X": ["O"], "Ti": ["Ti"], "O": ["O"]}
    return enumerate_candidates(["rutile", other, "anatase"], elements)


def rows_of(table, name):
    return [i for i, p in enumerate(table.prototype_index) if table.prototypes[p].name == name]


def test_the_same_crystal_by_another_prototype_is_passed_over(table):
    first, second = rows_of(table, "rutile")[0], rows_of(table, "wider-rutile")[0]
    taken, passed_over = Twins(table).first_new([second, first], 2, [])
    assert (taken, passed_over) == ([second], {first: second})
    taken, passed_over = Twins(table).first_new([second], 1, [first])
    assert (taken, passed_over) == ([], {second: first})


def test_another_crystal_of_the_same_composition_is_taken(table):
    rutile, anatase = rows_of(table, "rutile")[0], rows_of(table, "anatase")[0]
    assert Twins(table).first_new([anatase], 1, [rutile]) == ([anatase], {})


def test_rows_are_taken_in_order_and_no_more_than_asked_for():
    table = enumerate_candidates("cubic-perovskite", ["K", "Mg", "F", "O"])
    taken, passed_over = Twins(table).first_new([5, 3, 8, 1], 3, [2])
    assert (taken, passed_over) == ([5, 3, 8], {})
