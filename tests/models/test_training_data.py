"""Rows to learn from, out of whatever a user has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import MatscoutWarning, UserError
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
    assert [one[:2] for one in rows.left_out] == [(1, "b"), (2, "c")]
    assert rows.left_out[0].reason == "it has no target"
    assert "Qq" in rows.left_out[1].reason
    assert len(rows.inputs) == 2
    assert rows.chemical_systems().tolist() == ["Cl-Na", "Mg-O"]


def test_compositions_are_read_without_features(csv):
    rows = read_training_data(csv, "e_form", "compositions")
    assert rows.inputs.numbers.tolist() == [[11, 17], [8, 12]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("e_from", r'no column "e_from"\. Did you mean e_form\? It has: e_form, kind'),
        ("kind", 'column "kind" of .* holds no numbers in 4 of 4 rows, the first is "salt" in row 0 \\(a\\)'),
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
    assert [one.row for one in rows.left_out] == [1]
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


def written(folder, text):
    (folder / "rows.csv").write_text(text)
    return read_source(folder / "rows.csv")


def test_rows_of_one_id_are_left_out_each(tmp_path):
    source = written(tmp_path, "id,formula,e\na,NaCl,\na,KCl,1\na,KBr,inf\n")
    rows = read_training_data(source, "e", "compositions")
    assert rows.left_out == ((0, "a", "it has no target"), (2, "a", "its target is infinite"))


def test_words_among_numbers_are_named_and_counted(tmp_path):
    source = written(tmp_path, "formula,e\nNaCl,1\nKCl,n.d.\nKBr,tbd\n")
    with pytest.raises(UserError, match=r'no numbers in 2 of 3 rows, the first is "n\.d\." in row 1: correct them'):
        read_training_data(source, "e", "compositions")


def test_yes_and_no_are_to_be_numbers_or_truths(tmp_path):
    with pytest.raises(UserError, match=r"says no and yes: write 1 and 0, or true and false"):
        read_training_data(written(tmp_path, "formula,s\nNaCl,yes\nKCl,no\n"), "s", "compositions")
    rows = read_training_data(written(tmp_path, "formula,s\nNaCl,true\nKCl,\nKBr,false\n"), "s", "compositions")
    assert rows.target.tolist() == [1.0, 0.0]


def test_a_header_alone_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no row to learn from, at most a header"):
        read_training_data(written(tmp_path, "formula,e\n"), "e", "compositions")


def test_results_beside_the_rows_are_joined_by_their_id():
    table = enumerate_candidates(["rock-salt"], {"A": ["Na", "K", "Rb"], "X": ["Cl"]})
    results = pd.DataFrame({"id": table.ids[::-1][:2], "energy": [-1.0, -2.0], "prototype": ["mine", "mine"]})
    rows = read_training_data(table, "energy", "compositions", results=results)
    assert rows.ids == tuple(table.ids[1:])
    assert rows.target.tolist() == [-2.0, -1.0]
    assert set(rows.column("prototype")) == {"rock-salt"}  # the input's own stands


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"name": ["a"], "e": [1.0]}, 'results need a column "id"'),
        (
            {"id": ["x", "y"], "e": [1.0, 2.0]},
            'no id of the results .* the first result is of "x", the first row is "0"',
        ),
        ({"id": ["0", "0"], "e": [1.0, 2.0]}, 'the id "0" has several results'),
    ],
)
def test_results_that_match_nothing_are_refused(results, message):
    with pytest.raises(UserError, match=message):
        read_training_data(["NaCl", "KCl"], "e", "compositions", results=pd.DataFrame(results))


def test_a_target_in_two_places_is_refused_and_strange_ids_are_said(csv):
    twice = pd.DataFrame({"id": ["a"], "e_form": [1.0]})
    with pytest.raises(UserError, match='both have a column "e_form"'):
        read_training_data(csv, "e_form", "compositions", results=twice)
    some = pd.DataFrame({"id": ["a", "d", "z"], "gap": [1.0, 2.0, 3.0]})
    with pytest.warns(MatscoutWarning, match='1 of 3 ids of the results are of no row of .*, the first is "z"'):
        assert read_training_data(csv, "gap", "compositions", results=some).ids == ("a", "d")
