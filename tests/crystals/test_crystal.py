from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.core.periodic_table import DummySpecies

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates

CSCL = Structure(Lattice.cubic(4.1), ["Cs+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_candidate_is_the_structure_of_its_table():
    table = enumerate_candidates(["cubic-perovskite", "rutile"], ["Ca", "Ti", "O"])
    for row in range(len(table)):
        ours, theirs = Crystal.of_candidate(table, row), Crystal.from_structure(table.structure(row))
        np.testing.assert_allclose(ours.lattice, theirs.lattice, rtol=1e-12)
        np.testing.assert_allclose(ours.frac_coords, theirs.frac_coords)
        assert ours.numbers.tolist() == theirs.numbers.tolist()


def test_it_goes_into_pymatgen_and_back_without_charges():
    crystal = Crystal.from_structure(CSCL)
    back = Crystal.from_structure(crystal.structure())
    np.testing.assert_array_equal(back.lattice, crystal.lattice)
    assert back.numbers.tolist() == crystal.numbers.tolist() == [55, 17]
    assert crystal.structure().formula == "Cs1 Cl1"
    assert all(site.specie.symbol in {"Cs", "Cl"} for site in crystal.structure())


@given(shear=st.integers(-3, 3), offset=st.floats(-3, 3), distance=st.floats(0.01, 0.45))
def test_overlapping_atoms_are_found_in_any_cell(shear, offset, distance):
    lattice = Lattice([[4, 0, 0], [4 * shear, 4, 0], [0, 0, 4]])
    coords = np.array([[offset, 0.2, 0.3], [offset, 0.2, 0.3 + distance / 4 - 2]])
    with pytest.raises(UserError, match="sites 0 and 1 overlap") as refused:
        Crystal.from_structure(Structure(lattice, ["Fe", "Fe"], coords))
    said = re.search(r"overlap, (\d\.\d\d) Å apart", str(refused.value))
    assert float(said[1]) == pytest.approx(distance, abs=0.0051)  # 0.125 may be written 0.12 or 0.13


def test_a_cell_of_nearly_parallel_vectors_is_taken_and_searched():
    skew = Lattice([[4, 0, 0], [4000, 4, 0], [0, 4000, 4]])
    assert len(Crystal.from_structure(Structure(skew, ["Fe"], [[0, 0, 0]]))) == 1
    with pytest.raises(UserError, match="overlap"):
        Crystal.from_structure(Structure(skew, ["Fe", "Fe"], [[0, 0, 0], [3.025, 7, -2]]))


def test_a_molecule_in_a_huge_box_needs_no_more_memory_than_in_a_small_one():
    for length in (10, 3_000):
        box = Structure(Lattice.cubic(length), ["N", "N"], [[0, 0, 0], [1.1, 0, 0]], coords_are_cartesian=True)
        assert len(Crystal.from_structure(box)) == 2
        with pytest.raises(UserError, match="overlap"):
            Crystal.from_structure(Structure(box.lattice, ["N", "N"], [[0, 0, 0], [1 - 0.3 / length, 0, 0]]))


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(4), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]), "occupied only in part"),
        (Structure(Lattice.cubic(4), [DummySpecies("X")], [[0, 0, 0]]), "is no element"),
        (Structure(Lattice.cubic(4), ["Fe"], [[np.nan, 0, 0]]), "not a finite number"),
        (Structure(Lattice.cubic(0.01), ["Fe"], [[0, 0, 0]]), "no volume"),
        (Structure(Lattice.cubic(4), [], []), "without atoms"),
        ("NaCl", "a pymatgen Structure is expected, got a str"),
        (None, "a pymatgen Structure is expected, got a NoneType"),
    ],
    ids=["half", "dummy", "nan", "point", "empty", "text", "none"],
)
def test_what_is_no_crystal_is_refused(structure, message):
    with pytest.raises(UserError, match=message):
        Crystal.from_structure(structure)
