"""The whole chain: from what a user has to a prediction, and back from a folder."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.models import CalibratedSurrogate, Model, train_model
from matscout.models.model import read_card
from matscout.workflows.enumeration import enumerate_candidates

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Ag") for x in ("F", "Cl", "Br", "I")]
ENERGIES = np.linspace(-3.0, -1.0, len(FORMULAS)) + 0.1 * np.sin(np.arange(len(FORMULAS)))
SMALL = {"surrogate": "extra_trees", "features": ["magpie"], "n_trees": 10, "folds": 3}


@pytest.fixture(scope="module")
def model():
    return train_model(FORMULAS, ENERGIES, target="formation energy", unit="eV/atom", **SMALL)


def test_rows_are_predicted_in_order_with_interval_and_distance(model):
    frame = model.predict(["NaCl", "TlI"])
    assert frame["formula"].tolist() == ["NaCl", "TlI"]
    assert (frame["lower_90"] < frame["mean"]).all()
    assert (frame["mean"] < frame["upper_90"]).all()
    assert frame["distance"][1] > frame["distance"][0]
    assert frame["error"].isna().all()


def test_a_bad_row_takes_no_other_along(model):
    frame = model.predict(["NaCl", "Qq", "KBr"])
    assert frame["mean"].notna().tolist() == [True, False, True]
    assert "Qq" in frame["error"][1]
    np.testing.assert_array_equal(frame["mean"][[0, 2]], model.predict(["NaCl", "KBr"])["mean"])
    assert model.predict(["Qq"])["mean"].isna().all()


def test_a_kept_model_predicts_the_same_bits_in_another_process(model, tmp_path):
    model.save(tmp_path / "kept")
    code = (
        "import json, sys; from matscout.models import Model; "
        "print(json.dumps(Model.load(sys.argv[1]).predict(['TlI', 'NaCl'])[['mean', 'std']].values.tolist()))"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path / "kept"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == model.predict(["TlI", "NaCl"])[["mean", "std"]].to_numpy().tolist()


def test_the_card_says_what_was_learnt_from_what(model, tmp_path):
    model.save(tmp_path / "kept")
    card = read_card(tmp_path / "kept")
    assert card == model.card
    assert (card.target, card.unit, card.n_rows, card.n_features) == ("formation energy", "eV/atom", 24, 132)
    assert card.options["n_trees"] == 10
    again = train_model(FORMULAS, ENERGIES, **SMALL).card.data_hash
    assert again == card.data_hash
    assert train_model(FORMULAS, ENERGIES + 0.1, **SMALL).card.data_hash != card.data_hash


def test_nothing_pickled_is_kept(model, tmp_path):
    model.save(tmp_path / "kept")
    for path in (tmp_path / "kept").rglob("*"):
        if path.is_file():
            assert path.suffix in {".json", ".npz", ".ubj", ".safetensors"}
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    assert all(arrays[name].dtype != object for name in arrays.files)


def test_a_model_replaces_only_a_model_and_only_when_told(model, tmp_path):
    model.save(tmp_path / "kept")
    with pytest.raises(UserError, match="is there already"):
        model.save(tmp_path / "kept")
    model.save(tmp_path / "kept", replace=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UserError, match="is no kept model"):
        model.save(tmp_path / "other", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "other"]


def test_a_failed_save_leaves_the_old_model_and_no_rubbish(model, tmp_path, monkeypatch):
    model.save(tmp_path / "kept")
    before = (tmp_path / "kept" / "card.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matscout.models.model.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "kept", replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "card.json").read_bytes() == before
    assert len(Model.load(tmp_path / "kept").predict(["NaCl"])) == 1


def test_a_damaged_card_is_said(model, tmp_path):
    model.save(tmp_path / "kept")
    (tmp_path / "kept" / "card.json").write_text("{}")
    with pytest.raises(UserError, match=r"kept is damaged \(card\.json cannot be read\): train it again"):
        Model.load(tmp_path / "kept")
    with pytest.raises(UserError, match="is no kept model"):
        Model.load(tmp_path)


def test_candidates_are_learnt_from_with_their_sites():
    table = enumerate_candidates(["rock-salt"], {"A": ["Na", "K", "Rb", "Cs", "Li"], "X": ["F", "Cl", "Br"]})
    energies = np.linspace(-3, -1, len(table))
    model = train_model(table, energies, **(SMALL | {"features": ["magpie", "sites"]}))
    frame = model.predict(table)
    assert frame["id"].tolist() == table.ids
    other = enumerate_candidates(["cesium-chloride"], {"A": ["Ag"], "X": ["Cl"]})
    assert len(model.predict(other)) == 1  # the same roles have the same columns


def test_an_element_that_was_never_trained_on_is_outside_however_near_its_features_are():
    formulas = [a + x for a in ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl") for x in ("F", "Cl", "Br", "I", "H")]
    model = train_model(formulas, np.linspace(-3, -1, 40), **(SMALL | {"features": ["stoichiometry"]}))
    frame = model.predict(["NaCl", "AuCl", "salt"])
    assert frame["outside"].tolist() == [False, True, pd.NA]


def test_a_model_of_crystals_predicts_candidates_by_their_crystals():
    table = enumerate_candidates(["rock-salt"], {"A": ["Na", "K", "Rb", "Cs", "Li"], "X": ["F", "Cl", "Br"]})
    crystals = [table.structure(row) for row in range(len(table))]
    sites = SMALL | {"features": ["sites"], "missing": "median"}
    model = train_model(crystals, np.linspace(-3, -1, len(table)), **sites)
    assert model.predict(table)["mean"].tolist() == model.predict(crystals)["mean"].tolist()
    on_candidates = train_model(table, np.linspace(-3, -1, len(table)), **sites)
    with pytest.raises(UserError, match="whose sites have the roles of their prototype, and the input holds crystals"):
        on_candidates.predict(crystals)


def test_formulas_say_nothing_of_crystals(model):
    crystals = [Structure(Lattice.cubic(4.1), [a, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in ("Cs", "Rb", "K", "Tl")]
    on_crystals = train_model(crystals * 3, np.arange(12.0), surrogate="extra_trees", features=["geometry"], folds=3)
    with pytest.raises(UserError, match="crystals"):
        on_crystals.predict(["CsCl"])
    assert np.isfinite(model.predict(crystals)["mean"]).all()  # a model of compositions takes crystals, too


def test_a_model_refuses_features_of_another_version(model, tmp_path):
    model.save(tmp_path / "kept")
    file = tmp_path / "kept" / "surrogate" / "surrogate" / "surrogate.json"
    document = json.loads(file.read_text())
    document["columns"]["versions"]["magpie"] = "0123456789abcdef"
    file.write_text(json.dumps(document))
    kept = Model(CalibratedSurrogate.load(tmp_path / "kept" / "surrogate"), model.features, model.card)
    with pytest.raises(UserError, match="the features magpie are of another version"):
        kept.predict(["NaCl"])


def test_there_must_be_results():
    with pytest.raises(UserError, match="no row to learn from"):
        train_model(["NaCl", "KCl"], [np.nan, np.nan])
    with pytest.raises(UserError, match="constant target"):
        train_model(FORMULAS, np.ones(len(FORMULAS)), **SMALL)


def test_groups_are_one_for_each_row_of_the_input():
    for groups in (range(5), range(40)):
        with pytest.raises(UserError, match="expected a group for each of 24 rows of the input"):
            train_model(FORMULAS, ENERGIES, groups=list(groups), **SMALL)
    with pytest.raises(UserError, match="row 5"):
        train_model(FORMULAS, ENERGIES, groups=["a"] * 5 + [None] + ["b"] * 18, **SMALL)
    some = np.where(np.arange(24) == 3, np.nan, ENERGIES)
    model = train_model(FORMULAS, some, groups=np.arange(24) // 4, **SMALL)
    assert (model.card.n_rows, model.card.groups_by) == (23, "given")
    assert model.surrogate.calibration.grouped


def test_an_unknown_feature_is_an_error_of_its_row_also_where_the_model_classifies_first():
    frame = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs") for x in ("F", "Cl", "Br", "I")]
    gap = np.where(np.arange(20) % 2, np.linspace(1, 9, 20), 0.0)
    options = {"surrogate": "extra_trees", "n_trees": 10, "folds": 2, "transform": "classify-then-regress"}
    model = train_model(frame, gap, features=["period_group"], **options)
    known = model.predict(["NaCl", "KBr"])
    assert known["mean"].notna().all()
    assert model.predict(["NaCl", "Qq"])["error"].notna().tolist() == [False, True]
