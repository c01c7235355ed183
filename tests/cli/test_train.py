"""`matscout train`, `predict` and `model` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.models.validation import make_splits

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl") for x in ("F", "Cl", "Br", "I", "H")]
TREES = ("--surrogate", "extra_trees", "--option", "n_trees=20", "--features", "magpie")


@pytest.fixture
def known(tmp_path):
    """Forty salts with an energy that their elements decide, one of them not calculated yet."""
    rng = np.random.default_rng(0)
    energy = -1.0 + 0.1 * np.arange(40) % 1.7 + 0.01 * rng.normal(size=40)
    frame = pd.DataFrame({"id": [f"s{n}" for n in range(40)], "formula": FORMULAS, "e_form": energy})
    frame["hull"] = energy - 0.05 * rng.random(40)
    frame["family"] = np.arange(40) // 5
    frame["gap"] = np.where(np.arange(40) == 3, np.nan, energy)
    frame["part"] = np.where(np.arange(40) == 3, None, "a")
    frame.loc[7, "e_form"] = np.nan
    frame.to_csv(tmp_path / "known.csv", index=False)
    return tmp_path / "known.csv"


def test_a_model_is_trained_judged_kept_and_used(matscout, known, tmp_path):
    said = matscout("train", known, "--target", "e_form", "--unit", "eV/atom", "-o", "e.model", *TREES)
    assert "39 rows with e_form (eV/atom)" in said
    assert "1 row left out:\n  row 7 (s7): it has no target" in said
    assert "by k-fold, rows of one chemical system together" in said
    assert "coverage of 90 % intervals" in said
    said = matscout("predict", "e.model", known, "-o", "p.parquet")
    assert "40 rows predicted by e.model" in said
    frame = pd.read_parquet("p.parquet")
    assert frame["formula"].tolist() == FORMULAS
    assert frame[["mean", "std", "lower_90", "upper_90", "distance"]].notna().all(axis=None)
    assert (frame["lower_90"] < frame["mean"]).all()
    matscout("predict", "e.model", known, "-o", "p.csv")
    np.testing.assert_allclose(pd.read_csv("p.csv")["mean"], frame["mean"])


def test_parts_of_a_classification_hold_their_share_of_a_rare_class(matscout, tmp_path):
    frame = pd.DataFrame({"formula": FORMULAS, "stable": 0})
    rare = make_splits("k-fold", 40, folds=2, seed=0)[0].test[:4]  # by chance all in one part
    frame.loc[rare, "stable"] = 1
    frame.to_csv(tmp_path / "rare.csv", index=False)
    options = ("--group-by", "none", "--parts", "2", "--option", "task=classification", *TREES)
    said = matscout("train", "rare.csv", "-t", "stable", "-o", "s.model", *options)
    assert "40 by k-fold" in said
    assert "ROC-AUC, from probabilities" in said


def test_the_lowest_are_shown_where_no_file_is_asked_for(matscout, known):
    matscout("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    said = json.loads(matscout("predict", "e.model", known, "--limit", "3", "--json"))
    assert (said["rows"], said["errors"], len(said["lowest"])) == (40, 0, 3)
    means = [row["mean"] for row in said["lowest"]]
    assert means == sorted(means)
    assert "the lowest 3 of 40 rows" in matscout("predict", "e.model", known, "--limit", "3")


def test_a_row_that_cannot_be_predicted_is_said_and_takes_no_other_along(matscout, known, tmp_path):
    matscout("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    (tmp_path / "new.csv").write_text("formula\nNaCl\nsalt\n")
    assert "1 could not be predicted" in matscout("predict", "e.model", "new.csv", "-o", "p.csv")
    frame = pd.read_csv("p.csv")
    assert frame["mean"].isna().tolist() == [False, True]
    assert frame["error"].notna().tolist() == [False, True]


def test_stability_is_judged_by_the_decision(matscout, known):
    options = ("-t", "e_form", "-o", "e.model", "--threshold", "0.025", "--hull-energy", "hull", "--group-by", "family")
    report = json.loads(matscout("train", known, *options, *TREES, "--json"))["card"]["report"]
    stability = report["stability"]
    assert stability["n"] == 39
    assert {"precision", "recall", "f1", "false_negative_rate"} <= set(stability["hard"])
    assert [one["missed"] for one in stability["saved"]] == [0.0, 0.05, 0.09]
    assert report["grouped_by"] == "family"


def test_the_card_tells_what_a_model_is_and_draws_it(matscout, known):
    matscout("train", known, "-t", "e_form", "-o", "e.model", "--licence", "CC0", "--learning-curve", *TREES)
    said = matscout("model", "card", "e.model", "--plots", "plots")
    assert said.startswith(("better than no model on 39 rows", "NOT better than no model on 39 rows"))
    assert "rows are few" not in said
    assert "extra_trees on magpie (132 features)" in said
    assert "negative log-likelihood" not in said
    assert "negative log-likelihood" in matscout("model", "card", "e.model", "--all")
    assert "licence CC0" in said
    assert "slope of the learning curve" in said
    drawn = {path.name for path in Path("plots").iterdir()}
    assert {"calibration.html", "elements.html", "error-by-std.html", "learning-curve.html"} == drawn
    card = json.loads(matscout("model", "card", "e.model", "--json"))
    assert (card["n_rows"], card["n_left_out"]) == (39, 1)
    assert len(card["data_hash"]) == 64


def test_options_are_searched_on_rows_set_aside(matscout, known):
    said = json.loads(
        matscout(
            "train",
            known,
            "-t",
            "e_form",
            "-o",
            "e.model",
            "--tune",
            "3",
            "--validate",
            "hold-out",
            *TREES,
            "--json",
        )
    )
    tuning = said["card"]["tuning"]
    assert len(tuning["trials"]) >= 1
    assert tuning["n_train"] + tuning["n_validation"] == 39


def test_crystals_are_grouped_by_their_prototype(matscout, tmp_path):
    rows = []
    for n, (a, x) in enumerate([("Na", "Cl"), ("K", "Cl"), ("Rb", "Br"), ("Cs", "I"), ("Li", "F"), ("Ag", "Br")] * 2):
        halves = [[0, 0, 0], [0.5, 0.5, 0.5]]
        crystal = (
            Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.5 + n / 10), [a, x], halves)
            if n < 6
            else Structure(Lattice.cubic(4 + n / 20), [a, x], halves)
        )
        rows.append({"structure": json.dumps(crystal.as_dict()), "energy": float(n)})
    pd.DataFrame(rows).to_csv(tmp_path / "crystals.csv", index=False)
    options = ("-t", "energy", "-o", "c.model", "--group-by", "prototype", "--parts", "2", "--option", "folds=2")
    said = matscout("train", "crystals.csv", *options, *TREES)
    assert "12 by k-fold, rows of one prototype together" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-t", "e_from"), 'no column "e_from". Did you mean e_form?'),
        (("-t", "e_form", "--surrogate", "xgbost"), "Did you mean xgboost?"),
        (("-t", "e_form", "--option", "n_tree=3"), "Did you mean n_trees?"),
        (("-t", "e_form", "--option", "n_trees"), "--option takes NAME=VALUE"),
        (("-t", "e_form", "--features", "magpi"), 'unknown feature set "magpi"'),
        (("-t", "e_form", "--validate", "kfold"), "Did you mean k-fold?"),
        (("-t", "e_form", "--group-by", "familie"), "neither a way of grouping nor a column"),
        (("-t", "e_form", "--group-by", "prototype"), "needs crystals"),
        (("-t", "e_form", "--hull-energy", "hull"), "say --threshold, too"),
        (("-t", "e_form", "--surrogate", "ridge", "--tune", "3"), "the options of ridge are not worth a search"),
        (("-t", "e_form", "--surrogate", "crystal_graph"), "holds formulas, and the surrogate learns from crystals"),
        (("-t", "e_form", "--surrogate", "composition_network", "--features", "magpie"), "learns from compositions"),
        (("-t", "e_form", "--threshold", "0", "--hull-energy", "gap"), '"gap" of'),
        (("-t", "e_form", "--parts", "99"), "99 folds need at least 99 groups"),
        (("-t", "e_form", "--validate", "leave-one-prototype-out"), 'needs a column "prototype"'),
        (("-t", "e_form", "--threshold", "0", "--option", "task=classification"), "this is a classification"),
        (("-t", "e_form", "--threshold", "nan"), "--threshold must be a finite number"),
        (("-t", "e_form", "--threshold", "0", "--learning-curve", "--validate", "none"), "--threshold and --learning"),
        (("-t", "e_form", "--option", "n_trees=[1"), '--option n_trees: "[1" is no value: '),
        (("-t", "e_form", "--missing", "median", "--option", "missing=median"), "are the same: give one"),
        (("-t", "e_form", "--targets", "nowhere.csv"), "no file nowhere.csv"),
        (("-t", "e_form", "--surrogate", "local_kriging", "--validate", "leave-one-cluster-out"), "needs features"),
        (("-t", "e_form", "--group-by", "part"), "rows have no label in the column part"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_trained(
    matscout, known, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.setattr("matscout.models.model.fit_model", None)
    said = matscout("train", known, "-o", "e.model", *arguments, code=2)
    assert message in said
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"known.csv", ".cache"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"formula,e_form,e_form\nNaCl,1,2\n", 'has 2 columns "e_form": rename or remove the others'),
        (b"", "is empty: its first line must name the columns"),
        (b"formula;e_form\nNaCl;1\n", "are separated by semicolons: save it with commas"),
        ("formula,e_form,wer\nNaCl,1,M\u00fcller\n".encode("latin-1"), "is not written in UTF-8"),
        (b"formula,e_form\n", "holds no row to learn from, at most a header"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_plain_words(matscout, tmp_path, text, message):
    (tmp_path / "bad.csv").write_bytes(text)
    said = matscout("train", "bad.csv", "-t", "e_form", "-o", "e.model", code=2)
    assert message in said
    assert said.count("\n") == 1


@pytest.fixture
def crystals(tmp_path):
    """A folder of salts and perovskites, which have one kind of site more, and a file with their energies."""
    (tmp_path / "cifs").mkdir()
    names = []
    for n, a in enumerate(("Na", "K", "Rb", "Cs", "Li", "Ag")):
        salt = Structure(Lattice.cubic(4 + n / 10), [a, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        half = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        perovskite = Structure(Lattice.cubic(5 + n / 10), [a, "Pb", "I", "I", "I"], half)
        for name, crystal in ((f"{a}Cl", salt), (f"{a}PbI3", perovskite)):
            crystal.to(str(tmp_path / "cifs" / f"{name}.cif"))
            names.append(f"{name}.cif")
    frame = pd.DataFrame({"id": names, "energy": np.arange(12.0)})
    frame.iloc[:-1].to_csv(tmp_path / "energies.csv", index=False)
    return tmp_path / "cifs"


def test_crystals_are_learnt_from_with_results_in_another_file(matscout, crystals):
    trees = ("--surrogate", "extra_trees", "--option", "n_trees=5", "--option", "folds=2", "--validate", "none")
    train = ("train", crystals, "-t", "energy", "-o", "c.model", *trees)
    assert "--targets FILE" in matscout(*train, code=2)
    said = matscout(*train, "--targets", "energies.csv")
    assert "11 rows with energy" in said
    assert "row 1 (AgPbI3): it has no target" in said
    assert "unknown features in " in said
    assert "(--missing median)" in said
    said = matscout(*train, "--replace", "--targets", "energies.csv", "--missing", "refuse", code=2)
    assert "set the option missing=median" in said


def test_a_model_with_a_way_of_its_own_keeps_unknown_features(matscout, crystals):
    few = ("--option", "n_members=2", "--option", "folds=2", "--validate", "none", "--json")
    said = json.loads(matscout("train", crystals, "-t", "energy", "-o", "c.model", "--targets", "energies.csv", *few))
    assert said["unknown_features"]["missing"] == said["card"]["options"]["missing"] == "native"
    assert said["unknown_features"]["rows"] > 0
    assert said["left_out"] == [{"row": 1, "id": "AgPbI3", "reason": "it has no target"}]


def test_a_model_that_could_not_be_judged_is_kept(matscout, known, monkeypatch):
    def refuse(*_, **__):
        raise UserError("a fold is of one class")

    monkeypatch.setattr("matscout.models.validation.cross_validate", refuse)
    said = json.loads(matscout("train", known, "-t", "e_form", "-o", "e.model", "--json", *TREES))
    assert said["card"]["report"] is None
    assert matscout.err == "warning: the model is kept, but could not be judged: a fold is of one class\n"
    assert "nothing to draw" in matscout("model", "card", "e.model", "--plots", "plots", code=2)
    assert not Path("plots").exists()
    assert "40 rows predicted" in matscout("predict", "e.model", known, "-o", "p.csv")


def test_predictions_are_not_replaced_unasked(matscout, known):
    matscout("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    Path("p.CSV").write_text("mine")
    assert "p.CSV is there already: " in matscout("predict", "e.model", known, "-o", "p.CSV", code=2)
    assert Path("p.CSV").read_text() == "mine"
    matscout("predict", "e.model", known, "-o", "p.CSV", "--replace")
    assert len(pd.read_csv("p.CSV")) == 40


def test_what_cannot_be_predicted_is_an_error_and_never_among_the_best(matscout, known, tmp_path):
    matscout("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    (tmp_path / "bad.csv").write_text("id,formula\nx,salt\ny,pepper\n")
    for output in ((), ("-o", "p.csv")):
        said = matscout("predict", "e.model", "bad.csv", *output, code=2)
        assert "none of 2 rows can be predicted: row x: " in said
    assert not Path("p.csv").exists()
    (tmp_path / "new.csv").write_text("id,formula\nx,salt\ny,NaCl\nz,CsH\n")
    said = matscout("predict", "e.model", "new.csv")
    assert "the lowest 2 of 3 rows" in said
    assert "1 row could not be predicted, the first: x: " in said
    assert "nan" not in said
    up, down = (
        json.loads(matscout("predict", "e.model", "new.csv", flag, "--json")) for flag in ("--highest", "--lowest")
    )
    assert [row["id"] for row in up["highest"]] == [row["id"] for row in down["lowest"]][::-1]


def test_a_classification_tells_probabilities_the_highest_first(matscout, tmp_path):
    frame = pd.DataFrame({"formula": FORMULAS, "metal": [f"{'F' in f}".lower() for f in FORMULAS]})
    frame.to_csv(tmp_path / "classes.csv", index=False)
    said = matscout("train", "classes.csv", "-t", "metal", "-o", "m.model", "--option", "task=classification", *TREES)
    assert "Brier score" in said.splitlines()[1]
    assert "mean |P - class|: " in said
    assert "MAE" not in said
    said = matscout("predict", "m.model", "classes.csv", "--limit", "4")
    assert "probability that metal is 1: the highest 4 of 40 rows" in said
    assert said.splitlines()[1].split() == ["id", "formula", "probability", "note"]
    chances = [float(line.split()[2]) for line in said.splitlines()[2:6]]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.5


def test_the_card_says_first_whether_a_choice_by_the_model_is_better_than_chance(matscout, known):
    frame = pd.read_csv(known)
    frame["distance"] = np.where(frame["formula"].str.contains("F"), 0.0, 0.2) + 0.001 * np.arange(40)
    frame.to_csv(known, index=False)
    # anions decide, and each stands with other cations in the rows that are learnt from
    options = ("-t", "distance", "--unit", "eV/atom", "-o", "e.model", "--threshold", "0.1")
    said = matscout("train", known, *options, *TREES).splitlines()
    assert said[1].startswith("better than no model on 40 rows that it had not seen: mean absolute error 0.0")
    assert said[1].endswith(" eV/atom")
    assert said[2].startswith("better than chance at choosing stable rows: ")
    assert said[2].endswith("20 % of all")


def test_few_rows_and_no_stable_row_are_said(matscout, known):
    rows = pd.read_csv(known).head(20)
    rows.to_csv(known, index=False)
    options = ("-t", "e_form", "-o", "e.model", "--threshold", "-9", "--parts", "2", "--option", "folds=2", *TREES)
    said = matscout("train", known, *options)
    assert "19 rows are few" in said
    assert "none of 19 rows is stable at the threshold -9: no decision can be scored" in said
    assert "precision" not in said


def test_a_place_that_cannot_be_written_is_said_before_anything_is_trained(matscout, known, monkeypatch):
    monkeypatch.setattr("matscout.models.model.fit_model", None)
    said = matscout("train", known, "-t", "e_form", "-o", "/proc/e.model", *TREES, code=2)
    assert "no model can be kept in /proc: " in said


def test_a_model_whose_place_was_taken_meanwhile_is_kept_beside_it(matscout, known, tmp_path, monkeypatch):
    from matscout.models import model as models

    trained = models.fit_model

    def slow(*rows, **options):
        (tmp_path / "e.model").mkdir()
        return trained(*rows, **options)

    monkeypatch.setattr(models, "fit_model", slow)
    said = matscout("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    assert "kept in e.model-2" in said
    assert "The model is kept in e.model-2" in matscout.err
    assert (tmp_path / "e.model-2" / "card.json").is_file()
    assert not list((tmp_path / "e.model").iterdir())


def test_values_of_options_are_numbers_where_they_can_be(matscout, known):
    options = ("--option", "learning_rate=1e-1", "--option", "n_members=2", "--option", "folds=2", "--validate", "none")
    said = json.loads(matscout("train", known, "-t", "e_form", "-o", "e.model", "--json", *options))
    assert said["card"]["options"]["learning_rate"] == 0.1


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("matscout.models.training_data.read_training_data", ("train", "known.csv", "-t", "e_form", "-o", "e.model")),
        ("matscout.models.model.fit_model", ("train", "known.csv", "-t", "e_form", "-o", "e.model", *TREES)),
        ("matscout.models.model.Model.load", ("predict", "e.model", "known.csv")),
    ],
)
def test_stopping_is_one_line_and_writes_nothing(matscout, known, tmp_path, monkeypatch, where, arguments):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, stop)
    assert matscout(*arguments, code=130) == "stopped, nothing was written\n"
    assert {path.name for path in tmp_path.iterdir()} <= {"known.csv", ".cache"}


def test_a_model_is_not_replaced_unasked(matscout, known, tmp_path):
    train = ("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    matscout(*train)
    assert "e.model is there already: name another folder, or give --replace (in" in matscout(*train, code=2)
    matscout(*train, "--replace")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = matscout("train", known, "-t", "e_form", "-o", "mine", "--validate", "none", "--replace", *TREES, code=2)
    assert "mine is no kept model, so it is not replaced" in said
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_what_is_no_model_is_said(matscout, known):
    assert "nowhere is no kept model" in matscout("predict", "nowhere", known, code=2)
    assert "nowhere is no kept model" in matscout("model", "card", "nowhere", code=2)
