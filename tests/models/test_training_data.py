"""Rows to learn from, out of whatever a user has."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.featurizers.sources import read_source
from matscout.models.training_data import chemical_systems, read_training_data
from matscout.workflows.enumeration import enumerate_candidates

CSCL = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DISORDERED = Structure(Lattice.cubic(4.1), [{"Cs": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "known.csv"
    path.write_text("id,formula,e_form,kind\na,NaCl,-2.1,salt\nb,KCl,,salt\nc,Qq,-1.0,odd\nd,MgO,-3.0,oxide\n")
    return read_source(path)


def test_rows_without_a_target_or_a_composition_are_left_out_and_said(csv):
    rows = read_training_data(csv, "e_form", "features", ["stoichiometry"])
    assert rows.ids == ("a", "d")
    assert rows.target.tolist() == [-2.1, -3.0]
    assert rows.row_numbers.tolist() == [0, 3]
    assert rows.column("kind").tolist() == ["salt", "oxide"]
    assert rows.left_out["b"] == "it has no target"
    assert "Qq" in rows.left_out["c"]
    assert len(rows.inputs) == 2
    assert rows.chemical_systems().tolist() == ["Cl-Na", "Mg-O"]


def test_compositions_are_read_without_features(csv):
    rows = read_training_data(csv, "e_form", "compositions")
    assert rows.inputs.numbers.tolist() == [[11, 17], [8, 12]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("e_from", r'no column "e_from"\. Did you mean e_form\? It has: e_form, kind'),
        ("kind", 'column "kind" of .*known.csv holds no numbers'),
    ],
)
def test_a_wrong_column_is_named(csv, target, message):
    with pytest.raises(UserError, match=message):
        read_training_data(csv, target, "compositions")


def test_formulas_are_no_crystals(csv):
    with pytest.raises(UserError, match="holds formulas, and the surrogate learns from crystals"):
        read_training_data(csv, "e_form", "crystals")


def test_a_crystal_that_cannot_be_read_is_left_out():
    rows = read_training_data([CSCL, DISORDERED, CSCL], np.array([1.0, 2.0, 3.0]), "crystals")
    assert rows.target.tolist() == [1.0, 3.0]
    assert list(rows.left_out) == ["1"]
    assert [crystal.formula for crystal in rows.inputs.crystals()] == ["Cs1 Cl1", "Cs1 Cl1"]


def test_candidates_have_their_prototype_as_a_column():
    table = enumerate_candidates(["rock-salt", "cesium-chloride"], {"A": ["Na", "K"], "X": ["Cl"]})
    rows = read_training_data(table, np.arange(len(table), dtype=float), "features", ["magpie", "sites"])
    assert set(rows.column("prototype")) == {"rock-salt", "cesium-chloride"}
    assert rows.inputs.values.shape[0] == len(table)


def test_targets_are_one_per_row():
    with pytest.raises(UserError, match=r"expected one target for each of 2 rows, got \(3,\)"):
        read_training_data(["NaCl", "KCl"], np.zeros(3), "compositions")
    with pytest.raises(UserError, match="no row to learn from: row 0: it has no target"):
        read_training_data(["NaCl", "KCl"], np.full(2, np.nan), "compositions")


def test_an_iterator_is_read_once():
    rows = read_training_data((f for f in ["NaCl", "KCl"]), np.zeros(2), "features", ["stoichiometry"])
    assert len(rows) == 2


def test_chemical_systems_do_not_depend_on_amounts():
    from matscout.models.inputs import as_inputs

    found = chemical_systems(as_inputs("compositions", ["Fe2O3", "FeO", "LiFeO2", "O2Fe"]))
    assert found.tolist() == ["Fe-O", "Fe-O", "Fe-Li-O", "Fe-O"]
