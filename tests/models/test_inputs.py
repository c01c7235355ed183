"""Rows that surrogates learn from, whatever form they are given in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from matscout.errors import UserError
from matscout.featurizers import featurize
from matscout.models.inputs import CrystalInputs, FeatureInputs, as_inputs
from matscout.workflows.enumeration import enumerate_candidates

CSCL = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def table():
    return enumerate_candidates(["cubic-perovskite"], {"A": ["Cs", "K"], "B": ["Pb", "Sn"], "X": ["I"]})


def test_arrays_frames_and_matrices_are_the_same_features():
    matrix = featurize(["NaCl", "MgO"], ["stoichiometry"])
    frame = pd.DataFrame(matrix.values, columns=list(matrix.names))
    bare, named, made = (as_inputs("features", X) for X in (matrix.values, frame, matrix))
    assert bare.names is None
    assert named.names == made.names == matrix.names
    assert list(made.versions) == ["stoichiometry"]
    assert named.fingerprint() == made.fingerprint() != bare.fingerprint()
    assert as_inputs("features", made) is made


def test_integers_become_floats_and_single_precision_stays():
    assert as_inputs("features", [[1, 2]]).values.dtype == np.float64
    assert as_inputs("features", np.zeros((1, 2), dtype=np.float32)).values.dtype == np.float32


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x", "y"], "1 features of the training are missing, the first is z"),
        (["x", "y", "z", "w"], "1 features were not there in training, the first is w"),
        (["x", "z", "y"], "another order than in training: column 1 is z, in training y"),
        (["x", "y", "zz"], r"missing, the first is z \(the nearest one given is zz\)"),
    ],
)
def test_other_columns_than_in_training_are_named(names, message):
    trained = FeatureInputs(np.zeros((1, 3)), ("x", "y", "z"))
    with pytest.raises(UserError, match=message):
        trained.check_same_columns(FeatureInputs(np.zeros((1, len(names))), tuple(names)))


def test_another_version_of_a_featurizer_is_named():
    trained = FeatureInputs(np.zeros((1, 1)), ("x",), {"magpie": "a1"})
    trained.check_same_columns(FeatureInputs(np.zeros((1, 1)), ("x",), {"magpie": "a1"}))
    with pytest.raises(UserError, match=r"the features magpie are of another version \(b2\) than in training \(a1\)"):
        trained.check_same_columns(FeatureInputs(np.zeros((1, 1)), ("x",), {"magpie": "b2"}))


@given(st.permutations(["Fe2", "O3", "Ba", "Li0.5"]), st.integers(1, 4))
def test_a_composition_has_neither_order_nor_size(parts, times):
    first = as_inputs("compositions", ["Fe2O3BaLi0.5"])
    other = as_inputs("compositions", [f"({''.join(parts)}){times}"])
    assert (first.numbers == other.numbers).all()
    np.testing.assert_allclose(first.fractions, other.fractions, rtol=1e-14)
    assert first.fingerprint() == other.fingerprint()


def test_formulas_compositions_structures_and_tables_are_the_same_compositions(table):
    formulas = as_inputs("compositions", table.formulas)
    for X in (
        pd.Series(table.formulas),
        [Composition(f) for f in table.formulas],
        table.structures([0, 1, 2, 3]),
        table,
    ):
        assert as_inputs("compositions", X).fingerprint() == formulas.fingerprint()


def test_the_fingerprint_of_compositions_does_not_see_padding():
    both = as_inputs("compositions", ["NaCl", "CsPbI3"])
    assert both.take(slice(0, 1)).fingerprint() == as_inputs("compositions", ["NaCl"]).fingerprint()
    assert both.fingerprint() != as_inputs("compositions", ["CsPbI3", "NaCl"]).fingerprint()


def test_crystals_come_from_structures_or_from_a_table(table):
    given_ones = as_inputs("crystals", table.structures(np.arange(4)))
    made = as_inputs("crystals", table)
    assert given_ones.fingerprint() == made.fingerprint()
    assert [c.formula for c in made.take(np.array([2])).crystals()] == [list(made.crystals())[2].formula]
    assert len(given_ones.take(np.array([True, False, True, False]))) == 2


def test_what_is_no_row_is_named_with_its_number():
    with pytest.raises(UserError, match="row 1 is no composition: "):
        as_inputs("compositions", ["NaCl", "Qq"])
    with pytest.raises(UserError, match="row 1 is no crystal: "):
        as_inputs("crystals", [CSCL, "NaCl"])
    with pytest.raises(UserError, match="features must be numbers"):
        as_inputs("features", [["NaCl"]])
    with pytest.raises(UserError, match="expected formulas or compositions in a list, got 'NaCl'"):
        as_inputs("compositions", "NaCl")
    with pytest.raises(UserError, match="takes features, got rows of crystals"):
        as_inputs("features", CrystalInputs([]))


def test_candidates_must_be_featurized_first(table):
    with pytest.raises(UserError, match=r"matscout\.featurizers\.featurize"):
        as_inputs("features", table)


def test_no_rows_are_no_rows():
    for kind in ("compositions", "crystals"):
        assert len(as_inputs(kind, [])) == 0
