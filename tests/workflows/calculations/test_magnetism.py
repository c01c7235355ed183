"""Starting moments and U as the Materials Project sets them, and magnetic orderings."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.sets import MPRelaxSet

from matscout.workflows.calculations import get_protocol
from matscout.workflows.calculations.magnetism import HUBBARD_U, MOMENTS, hubbard_u, orderings, starting_moments

POLICY = get_protocol("gpaw-pbe").settings["magnetism"]


def rock_salt(cation, anion, length=4.2):
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], sites).get_primitive_structure()


def test_moments_and_u_are_the_materials_projects():
    table = MPRelaxSet.CONFIG["INCAR"]
    assert table["LDAUU"] == HUBBARD_U
    theirs = {symbol: table["MAGMOM"].get(symbol, table["MAGMOM"].get(f"{symbol}3+")) for symbol in MOMENTS}
    assert theirs == MOMENTS


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # how pymatgen calls spglib
@pytest.mark.parametrize("formula", [("Ni", "O"), ("Fe", "S"), ("Mn", "F"), ("Mg", "O")], ids="".join)
def test_the_same_crystal_gets_the_same_u_and_moments_from_pymatgen(formula):
    structure = rock_salt(*formula).get_sorted_structure()
    incar = MPRelaxSet(structure).incar
    theirs = dict(zip(formula, incar.get("LDAUU", [0, 0]), strict=True))
    assert hubbard_u(structure, HUBBARD_U) == {symbol: u for symbol, u in theirs.items() if u}
    if formula[0] in MOMENTS:
        assert starting_moments(structure, POLICY) == tuple(incar["MAGMOM"])


def test_no_spin_where_no_element_is_magnetic():
    assert starting_moments(rock_salt("Mg", "O"), POLICY) is None


def test_oxygen_alone_is_a_triplet():
    molecule = Structure(Lattice.cubic(8), ["O", "O"], [[0, 0, 0], [0.15, 0, 0]])
    assert starting_moments(molecule, POLICY) == (1.0, 1.0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_orderings_of_an_element_that_is_magnetic_alone(number):
    molecule = Structure(Lattice.cubic(8), ["O", "O"], [[0, 0, 0], [0.15, 0, 0]])
    found = orderings(molecule, POLICY | {"orderings": number, "ordering_cells": 1})
    assert [(one.name, one.structure.site_properties["magmom"]) for one in found] == [
        ("ferromagnetic", [1.0, 1.0]),
        ("antiferromagnetic 1", [-1.0, 1.0]),
    ][:number]


def test_moments_that_no_element_of_the_table_explains_are_one_ordering():
    structure = rock_salt("Mg", "O")
    structure.add_site_property("magmom", [1.0, 0.0])
    assert [one.name for one in orderings(structure, POLICY | {"orderings": 4})] == ["ferromagnetic"]


def displaced(copies):
    structure = rock_salt("Ni", "O") * (copies, 1, 1)
    shifts = np.random.default_rng(0).normal(0, 0.01, (len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + shifts)


@pytest.mark.parametrize(("copies", "cells"), [(5, 2), (1, 1)], ids=["too many sites", "a cell too small"])
def test_spins_that_cannot_be_enumerated_leave_the_ferromagnetic_one_which_says_so(copies, cells):
    found = orderings(displaced(copies), POLICY | {"orderings": 3, "ordering_cells": cells})
    assert [one.name for one in found] == ["ferromagnetic, antiferromagnetic ones not enumerable"]


def test_no_more_is_enumerated_than_is_asked_for(monkeypatch):
    from matscout.workflows.calculations import magnetism

    monkeypatch.setattr(magnetism, "_antiferromagnetic", lambda *_: pytest.fail("enumerated"))
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    structure = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), ["Mn", "Fe", "O"], sites)
    assert len(orderings(structure, POLICY | {"orderings": 2})) == 2


def test_given_moments_are_kept():
    structure = rock_salt("Ni", "O")
    structure.add_site_property("magmom", [2.0, 0.0])
    assert starting_moments(structure, POLICY) == (2.0, 0.0)


def test_two_antiferromagnetic_orderings_of_rock_salt_in_two_cells():
    found = orderings(rock_salt("Ni", "O"), POLICY | {"orderings": 9})
    assert [ordering.name for ordering in found] == ["ferromagnetic", "antiferromagnetic 1", "antiferromagnetic 2"]
    for ordering in found[1:]:
        moments = np.array(ordering.structure.site_properties["magmom"])
        nickel = np.array([site.specie.symbol == "Ni" for site in ordering.structure])
        assert moments[nickel].sum() == 0
        assert set(np.abs(moments[nickel])) == {5.0}
        assert ordering.structure.volume / len(ordering.structure) == pytest.approx(4.2**3 / 8)
    # order II has ferromagnetic (111) planes, order I (001) planes: six and four of twelve neighbours point up
    up = []
    for ordering in found[1:]:
        crystal, moments = ordering.structure, ordering.structure.site_properties["magmom"]
        centre = next(i for i, moment in enumerate(moments) if moment > 1)
        near = [n for n in crystal.get_neighbors(crystal[centre], 3.0) if n.specie.symbol == "Ni"]
        up.append((len(near), sum(moments[n.index] > 1 for n in near)))
    assert up == [(12, 6), (12, 4)]


def test_two_magnetic_elements_may_point_against_each_other():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    structure = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), ["Mn", "Fe", "O"], sites)
    found = orderings(structure, POLICY | {"orderings": 2})
    assert [ordering.name for ordering in found] == ["ferromagnetic", "ferrimagnetic, Fe down"]
    assert found[1].structure.site_properties["magmom"] == [5.0, -5.0, 0.6, 0.6, 0.6]


def test_one_ordering_unless_more_are_asked_for():
    assert [ordering.name for ordering in orderings(rock_salt("Ni", "O"), POLICY)] == ["ferromagnetic"]
    assert orderings(rock_salt("Mg", "O"), POLICY | {"orderings": 9}) == []
