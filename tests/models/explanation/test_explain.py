from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.models import make_surrogate
from matscout.models.explanation import HOW, element_contributions, explain_model, site_contributions
from matscout.models.explanation.elements import _STRENGTHS
from matscout.models.prediction import Prediction
from matscout.models.registry import surrogate_class


def data(n=80, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(0.5, 2, (n, 4)), columns=["a", "b", "c", "d"])
    return X, 2 * (X["a"] / X["b"]).to_numpy() + 0.01 * rng.normal(size=n)


def small(name="extra_trees", **options):
    return make_surrogate(name, n_trees=20, **options)


def crystals():
    cubic = np.eye(3) * 4.0
    nacl = Crystal(cubic, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    return [nacl, Crystal(cubic, np.array([[0.0, 0, 0]]), np.array([17]))]


class Sites:
    """A surrogate of crystals by hand: each site contributes its atomic number."""

    name, takes, task = "by_hand", "crystals", "regression"

    def site_contributions(self, X):
        return [crystal.numbers.astype(float) for crystal in X.crystals()]

    def predict(self, X):
        mean = np.array([part.mean() for part in self.site_contributions(X)])
        return Prediction(mean, np.ones(len(mean)))


@pytest.mark.parametrize("calibrated", [False, True])
def test_all_that_a_forest_allows_is_there(calibrated):
    X, y = data()
    model = small().fit(X, y)
    new, truth = data(seed=1)
    found = explain_model(model if calibrated else model.surrogate, new, truth)
    assert found.left_out == {}
    assert found.contributions.totals == pytest.approx(model.surrogate.predict(new).mean)
    assert {name for name, _ in found.contributions.top(2)} == {"a", "b"}
    assert {names[0] for names, _, _ in found.permutation.top(2)} == {"a", "b"}
    assert "a / b" in found.formula.expression
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["surrogate"] == "extra_trees"
    assert document["by_property"]["features"] == 4


def test_it_is_the_same_each_time():
    X, y = data(40)
    model = small().fit(X, y)
    one, two = (explain_model(model, X, y, how=["contributions", "permutation"], max_rows=10) for _ in range(2))
    assert one.as_dict() == two.as_dict()
    assert one.contribution_rows.tolist() == two.contribution_rows.tolist()
    assert "10 of 40 rows" in one.left_out["contributions"]


def test_what_a_model_does_not_allow_is_told_with_the_reason():
    X, y = data(40)
    found = explain_model(
        surrogate_class("adaboost_trees")(n_rounds=5).fit(X, y), X, how=["contributions", "permutation"]
    )
    assert found.contributions is None
    assert "weighted median" in found.left_out["contributions"]
    assert "no targets" in found.left_out["permutation"]


def test_without_targets_the_formula_is_one_of_the_predictions():
    X, _ = data(60)
    model = surrogate_class("ridge")(strength=1e-9).fit(X, 2 * X["a"] - X["c"])
    found = explain_model(model, X, how=["formula"], dimension=2)
    assert found.formula.r2 == pytest.approx(1)


def test_a_logarithm_is_explained_as_such():
    X, y = data(60)
    model = small(transform="log").fit(X, y)
    found = explain_model(model, X, y, how=["contributions", "permutation"])
    assert found.scale == "logarithm of the target"
    assert found.contributions.base == pytest.approx(np.log(y).mean())
    assert found.permutation.baseline < 0.1


def test_a_model_of_two_stages_has_no_parts():
    X, y = data(60)
    model = small(transform="classify-then-regress").fit(X, np.maximum(y - 2, 0))
    found = explain_model(model, X, y, how=["contributions"])
    assert "no sum of parts" in found.left_out["contributions"]


def test_a_classification_is_judged_by_likelihood_and_gets_no_formula():
    X, y = data(60)
    labels = (y > np.median(y)).astype(float)
    found = explain_model(surrogate_class("extra_trees")(task="classification", n_trees=20).fit(X, labels), X, labels)
    assert found.permutation.loss == "log_loss"
    assert "least squares" in found.left_out["formula"]


def test_features_with_gaps_are_left_out_of_the_formula():
    X, y = data(60)
    X.loc[3, "d"] = np.nan
    found = explain_model(small(missing="median").fit(X, y), X, y, how=["formula"], dimension=1)
    assert "1 features are unknown" in found.left_out["formula"]
    assert found.formula.names == ("a", "b", "c")


def test_large_forests_are_explained_on_fewer_rows(monkeypatch):
    monkeypatch.setattr("matscout.models.explanation.explain.MOST_WORK", 1)
    X, y = data(40)
    found = explain_model(small().fit(X, y), X, how=["contributions"])
    assert len(found.contributions) == len(found.contribution_rows) == 20


def test_sites_sum_to_the_prediction_and_are_averaged_by_element():
    found = site_contributions(Sites(), crystals())
    assert found.totals.tolist() == [14, 17] == Sites().predict(as_crystals()).mean.tolist()
    assert found.by_element() == {
        "Na": {"mean": 11, "std": 0, "sites": 1},
        "Cl": {"mean": 17, "std": 0, "sites": 2},
    }
    assert found.frame()["element"].tolist() == ["Na", "Cl", "Cl"]
    whole = explain_model(Sites(), crystals())
    assert whole.sites.values.tolist() == [11, 17, 17]
    assert "no columns" in whole.left_out["permutation"]
    assert "made of features" in whole.left_out["formula"]
    assert whole.as_dict()["sites"]["crystals"] == 2


def as_crystals():
    from matscout.models.inputs import CrystalInputs

    return CrystalInputs(crystals())


def test_a_surrogate_that_does_not_know_sites_says_so():
    X, y = data(30)
    with pytest.raises(UserError, match="crystal_graph does"):
        site_contributions(small().fit(X, y).surrogate, crystals())


def test_a_network_over_sites_tells_their_parts(kit):
    pytest.importorskip("torch_geometric")
    structures, y = kit.data("crystal_graph", 12)
    surrogate = surrogate_class("crystal_graph")(n_members=2, epochs=2, width=8, n_convolutions=1).fit(structures, y)
    found = explain_model(surrogate, structures, how=["contributions"]).sites
    assert found.totals == pytest.approx(surrogate.predict(structures).mean, abs=1e-12)
    assert len(found) == 5 * 12
    assert {"O", "F", "N", "Cl"} & set(found.by_element())


class Formulas:
    """A surrogate of compositions by hand: a sum over elements, and one pair that acts together."""

    name, takes, task = "by_hand", "compositions", "regression"

    def __init__(self, together=0.0):
        self.together = together

    def predict(self, X):
        fraction = {number: np.where(X.numbers == number, X.fractions, 0).sum(axis=1) for number in (8, 11, 17)}
        mean = -1 * fraction[11] + 2 * fraction[17] + 5 * fraction[8] + self.together * fraction[11] * fraction[17]
        return Prediction(mean, np.ones(len(mean)))


def test_a_sum_over_elements_is_found_exactly():
    formulas = ["Na", "Cl", "O", "NaCl", "Na2O", "Cl2O"]
    found = explain_model(Formulas(), formulas, how=["contributions"]).elements
    assert dict(zip(found.elements, found.values, strict=True)) == pytest.approx({"O": 5, "Na": -1, "Cl": 2})
    assert found.rows.tolist() == [3, 3, 3]
    assert (found.r2, found.cross_validated_r2) == pytest.approx((1, 1))
    assert [name for name, _, _ in found.top(2)] == ["O", "Cl"]
    assert explain_model(Formulas(4), formulas, how=["contributions"]).elements.r2 < 0.97
    with pytest.raises(ValueError, match="one composition for each of 1"):
        element_contributions([1.0], ["Na", "Cl"])


def test_a_sum_over_elements_is_the_ridge_regression_of_the_smallest_error_left_out():
    linear_model = pytest.importorskip("sklearn.linear_model")
    formulas, predicted, fractions = salts(40, noise=0.3)
    fractions, rows = np.unique(fractions.round(12), axis=0, return_index=True)
    formulas, predicted = [formulas[row] for row in rows], predicted[rows]
    found = element_contributions(predicted, formulas)
    strengths = _STRENGTHS[:-1] * np.linalg.norm(fractions - fractions.mean(axis=0), 2) ** 2
    theirs = linear_model.RidgeCV(alphas=strengths, gcv_mode="svd").fit(fractions, predicted)
    assert found.values == pytest.approx(theirs.coef_ + theirs.intercept_, rel=1e-6)
    assert found.cross_validated_r2 == pytest.approx(1 + theirs.best_score_ / predicted.var())


def test_rows_of_one_composition_are_left_out_together():
    linear_model = pytest.importorskip("sklearn.linear_model")
    formulas, predicted, _ = salts(40, noise=1.0)
    twice = [*formulas, *(Composition(formula) * 3 for formula in formulas[:15])]
    both = np.append(predicted, predicted[:15] + 0.5)
    found = element_contributions(both, twice)
    amounts = [Composition(formula).fractional_composition for formula in twice]
    fractions = np.array([[amount[element] for element in found.elements] for amount in amounts])
    _, own = np.unique(fractions.round(9), axis=0, return_inverse=True)
    spread = fractions[np.unique(own, return_index=True)[1]] - fractions.mean(axis=0)
    strengths = _STRENGTHS[:-1] * np.linalg.norm(np.sqrt(np.bincount(own))[:, None] * spread, 2) ** 2
    left_out = np.empty((len(strengths), len(both)))
    for composition in range(own.max() + 1):
        out = own == composition
        for place, strength in enumerate(strengths):
            ridge = linear_model.Ridge(strength, solver="svd").fit(fractions[~out], both[~out])
            left_out[place, out] = ridge.predict(fractions[out])
    best = ((left_out - both) ** 2).sum(axis=1).min()
    assert found.cross_validated_r2 == pytest.approx(1 - best / ((both - both.mean()) ** 2).sum())


def test_as_many_elements_as_rows_explain_nothing():
    """A sum with a number for each row meets all of them, whatever they are."""
    elements = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Fe", "Co", "Ni"]
    formulas = [f"{a}{b}2" for a, b in zip(elements, np.roll(elements, 1), strict=True)]
    noise = [np.random.default_rng(seed).normal(size=len(formulas)) for seed in range(25)]
    several = [element_contributions(predicted, formulas) for predicted in noise]
    found = several[0]
    assert len(found.elements) == len(formulas)
    assert np.median([one.cross_validated_r2 for one in several]) < 0
    sizes = [np.abs(one.values).max() / np.abs(own).max() for one, own in zip(several, noise, strict=True)]
    assert np.median(sizes) < 1
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["cross_validated_r2"] == found.cross_validated_r2


@pytest.mark.parametrize("formulas", [["NaCl"], ["NaCl", "NaCl"], ["NaCl", "KCl"], ["NaCl", "NaCl", "NaCl"]], ids=len)
def test_few_or_equal_rows_leave_the_worth_of_the_sum_unknown_or_nil(formulas):
    found = element_contributions(np.arange(float(len(formulas))), formulas)
    assert np.isfinite(found.values).all()
    assert not found.cross_validated_r2 > 0
    assert element_contributions(np.ones(3), ["NaCl", "KCl", "KBr"]).values == pytest.approx(1)


def salts(n, noise):
    """Formulas of four elements, their fractions, and predictions that are a sum over elements, and noise."""
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 4, (n, 4)) + np.eye(4, dtype=int)[np.arange(n) % 4]
    formulas = ["".join(f"{e}{c}" for e, c in zip("BCNO", row, strict=True) if c) for row in counts.tolist()]
    fractions = counts / counts.sum(axis=1, keepdims=True)
    return formulas, fractions @ [1.0, -2.0, 0.5, 3.0] + noise * rng.normal(size=n), fractions


def test_a_formula_says_of_what_it_is_and_how_well_the_model_itself_does():
    X, y = data(60)
    model = small(transform="log").fit(X, y)
    found = explain_model(model, X, y, how=["formula"], dimension=1)
    predicted = model.predict(X).mean
    assert found.formula_of == "results"
    assert found.model_error["mae"] == pytest.approx(np.abs(y - predicted).mean())
    assert found.model_error["rmse"] == pytest.approx(np.sqrt(np.mean((y - predicted) ** 2)))
    assert found.as_dict()["formula"]["of"] == "results"
    without = explain_model(model, X, how=["formula"], dimension=1)
    assert (without.formula_of, without.model_error) == ("predictions", None)
    law = without.formula.predict(X)  # in the unit of the target, not its logarithm
    assert np.abs(law - predicted).mean() < np.abs(law - np.log(predicted)).mean()


def test_mistakes_are_named():
    X, y = data(30)
    model = small().fit(X, y)
    with pytest.raises(UserError, match="Did you mean formula"):
        explain_model(model, X, how=["formulas"])
    with pytest.raises(ValueError, match="one target per row"):
        explain_model(model, X, y[:3])
    with pytest.raises(UserError, match="max_rows"):
        explain_model(model, X, max_rows=0)


def test_names_are_loaded_when_they_are_asked_for():
    assert HOW == ("contributions", "permutation", "formula")
