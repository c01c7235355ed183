"""`matscout train`, `predict` and `model` as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matscout.cli import main
from matscout.settings import get_settings

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl") for x in ("F", "Cl", "Br", "I", "H")]
TREES = ("--surrogate", "extra_trees", "--option", "n_trees=20", "--features", "magpie")


@pytest.fixture
def matscout(capfd, monkeypatch, tmp_path):
    """Run a command in this process and in a folder of its own; return what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATSCOUT_CACHE", str(tmp_path / ".cache"))
    get_settings.cache_clear()

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["matscout", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, "Traceback" in err) == (code, False), err
        return out if code == 0 else err

    yield run
    get_settings.cache_clear()


@pytest.fixture
def known(tmp_path):
    """Forty salts with an energy that their elements decide, one of them not calculated yet."""
    rng = np.random.default_rng(0)
    energy = -1.0 + 0.1 * np.arange(40) % 1.7 + 0.01 * rng.normal(size=40)
    frame = pd.DataFrame({"id": [f"s{n}" for n in range(40)], "formula": FORMULAS, "e_form": energy})
    frame["hull"] = energy - 0.05 * rng.random(40)
    frame["family"] = np.arange(40) // 5
    frame.loc[7, "e_form"] = np.nan
    frame.to_csv(tmp_path / "known.csv", index=False)
    return tmp_path / "known.csv"


def test_a_model_is_trained_judged_kept_and_used(matscout, known, tmp_path):
    said = matscout("train", known, "--target", "e_form", "--unit", "eV/atom", "-o", "e.model", *TREES)
    assert "39 rows with e_form (eV/atom)" in said
    assert "row s7: it has no target" in said
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
    assert "extra_trees on magpie (132 features)" in said
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
    options = ("-t", "energy", "-o", "c.model", "--group-by", "prototype", "--folds", "2", "--option", "folds=2")
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
        (("-t", "e_form", "--surrogate", "crystal_graph"), "holds formulas, and the surrogate learns from crystals"),
        (("-t", "e_form", "--surrogate", "composition_network", "--features", "magpie"), "learns from compositions"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(matscout, known, tmp_path, arguments, message):
    said = matscout("train", known, "-o", "e.model", *arguments, code=2)
    assert message in said
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"known.csv", ".cache"}


def test_a_model_is_not_replaced_unasked(matscout, known, tmp_path):
    train = ("train", known, "-t", "e_form", "-o", "e.model", "--validate", "none", *TREES)
    matscout(*train)
    assert "e.model is there already" in matscout(*train, code=2)
    matscout(*train, "--replace")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = matscout("train", known, "-t", "e_form", "-o", "mine", "--validate", "none", "--replace", *TREES, code=2)
    assert "mine is no kept model, so it is not replaced" in said
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_what_is_no_model_is_said(matscout, known):
    assert "nowhere is no kept model" in matscout("predict", "nowhere", known, code=2)
    assert "nowhere is no kept model" in matscout("model", "card", "nowhere", code=2)
