"""`matscout model explain` as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from matscout.cli.model_explanation import print_explanation
from matscout.models.explanation import Explanation

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl") for x in ("F", "Cl", "Br", "I", "H")]
ENERGIES = -1.0 + 0.1 * np.arange(40) % 1.7 + 0.01 * np.sin(np.arange(40.0))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A model of features, one of compositions, the rows that both were trained on, and some more."""
    from matscout.models import train_model

    folder = tmp_path_factory.mktemp("kept")
    frame = pd.DataFrame({"formula": FORMULAS, "e_form": ENERGIES, "other": 1.0})
    frame.to_csv(folder / "known.csv", index=False)
    frame[5:17].assign(e_form=ENERGIES[5:17] + 0.1).to_csv(folder / "few.csv", index=False)
    frame[["formula"]].to_csv(folder / "bare.csv", index=False)
    about = {"target": "e_form", "unit": "eV/atom"}
    forest = {"surrogate": "extra_trees", "features": ["magpie"], "n_trees": 20}
    from matscout.featurizers.sources import read_source

    train_model(read_source(folder / "known.csv"), "e_form", **about, **forest).save(folder / "trees")
    train_model(FORMULAS, ENERGIES, **about, surrogate="local_kriging").save(folder / "kriging")
    return folder


def test_numbers_come_with_units_and_with_what_they_are(matscout, kept):
    said = matscout("model", "explain", kept / "trees", kept / "known.csv", "--limit", 3)
    assert "extra_trees of e_form, eV/atom, explained on 40 rows" in said
    assert "fewer than 20 rows" not in said
    assert "mean size: mean of their absolute values over 40 rows" in said
    assert said.count("mean size (eV/atom)") == 2
    assert "how much the mean absolute error rises from 0 eV/atom" in said
    assert "mae" not in said
    assert "rise (eV/atom)" in said
    assert "this tells what it remembers, not what it can predict" in said
    assert "for the results:" in said
    assert "eV/atom on rows left out of the fit" in said
    assert "the model itself: RMSE 0 eV/atom, R2 1.000 on these rows, which it was trained on" in said
    assert "more" in said  # than three columns go together
    assert "that go with it" not in said


def test_what_is_remembered_is_said_only_of_permutation(matscout, kept):
    said = matscout("model", "explain", kept / "trees", kept / "known.csv", "--how", "contributions")
    assert "remembers" not in said


def test_few_rows_and_other_rows_are_said(matscout, kept):
    said = matscout("model", "explain", kept / "trees", kept / "few.csv")
    assert "fewer than 20 rows: other rows may well give other numbers" in said
    assert "remembers" not in said
    assert "the model itself: RMSE" in said
    assert "on the same rows" in said


def test_without_results_the_formula_is_said_to_be_of_predictions(matscout, kept):
    said = matscout("model", "explain", kept / "trees", kept / "bare.csv", "--how", "formula")
    assert "for the model's predictions, not of results:" in said
    assert "the model itself" not in said


def test_a_sum_over_elements_is_sorted_limited_and_told_with_its_worth(matscout, kept):
    said = matscout("model", "explain", kept / "kriging", kept / "known.csv", "--how", "contributions", "--limit", 4)
    assert "contribution times atomic fraction" in said
    assert "where each row is left out in turn" in said
    assert "contribution (eV/atom)" in said
    lines = said.splitlines()
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("element")) + 1 :][:4]
    sizes = [abs(float(line.split()[1])) for line in table]
    assert sizes == sorted(sizes, reverse=True)
    assert "and 9 elements with smaller ones" in said
    assert "rows are few" not in said
    few = matscout("model", "explain", kept / "kriging", kept / "few.csv", "--how", "contributions")
    assert "12 rows are few for 8 elements" in few
    told = json.loads(matscout("model", "explain", kept / "kriging", kept / "known.csv", "--json"))
    assert told["unit"] == "eV/atom"
    assert told["elements"]["cross_validated_r2"] < told["elements"]["r2"] <= 1


def test_where_nothing_can_be_explained_one_sentence_says_so(matscout, kept):
    said = matscout("model", "explain", kept / "kriging", kept / "few.csv", "--how", "formula,permutation")
    assert said.splitlines()[-1].startswith("nothing of it can be explained. formula: local_kriging learns from")
    assert len(said.splitlines()) == 3


def test_mistakes_are_said_before_the_work(matscout, kept, tmp_path, monkeypatch):
    def work(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("matscout.models.model.Model.load", work)
    explain = ("model", "explain", kept / "trees", kept / "known.csv")
    (tmp_path / "file").write_text("")
    assert "file is no folder" in matscout(*explain, "--plots", "file", code=2)
    assert "make it first" in matscout(*explain, "--plots", "no/plots", code=2)
    assert "Did you mean formula?" in matscout(*explain, "--how", "formulas", code=2)


def test_a_column_that_is_not_there_is_answered_with_the_nearest(matscout, kept):
    said = matscout("model", "explain", kept / "trees", kept / "known.csv", "-t", "e_fom", code=2)
    assert 'known.csv has no column "e_fom". Did you mean e_form? It has: ' in said
    assert "other" in said


def test_stopped_while_it_works_it_says_what_was_written(matscout, kept, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("matscout.models.explanation.explain.explain_model", stopped)
    said = matscout("model", "explain", kept / "trees", kept / "few.csv", code=130)
    assert said == "stopped, nothing was written\n"


def test_plots_are_drawn_and_named(matscout, kept, tmp_path):
    said = matscout("model", "explain", kept / "trees", kept / "few.csv", "--how", "contributions", "--plots", "p")
    assert said.splitlines()[-1] == "wrote p/contributions.html"
    assert (tmp_path / "p" / "contributions.html").stat().st_size > 1000


def test_a_damaged_model_is_said_in_one_line(matscout, kept, tmp_path):
    import shutil

    shutil.copytree(kept / "trees", tmp_path / "e.model")
    (tmp_path / "e.model" / "surrogate" / "domain.npz").write_bytes(b"PK")
    said = matscout("model", "explain", "e.model", kept / "few.csv", code=2)
    assert said == "error: e.model is damaged (surrogate/domain.npz is not as it was kept): train it again\n"


def test_logarithms_have_no_unit(capsys):
    from matscout.models.explanation.contributions import Contributions

    given = Contributions(np.array([[0.5], [-1.5]]), 0.25, ("a",))
    print_explanation(Explanation("ridge", 2, "logarithm of the target", given), 5, unit="GPa", trained_on=False)
    said = capsys.readouterr().out
    assert "what features give to a prediction of the logarithm of the target, on top of 0.25 (exact" in said
    assert "GPa" not in said
