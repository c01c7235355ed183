from __future__ import annotations

import json

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models.prediction import Prediction
from matscout.models.report import ReportCard, compare_targets, make_report_card, regression_scores, stability_scores
from matscout.models.validation import cross_validate, make_splits


@pytest.fixture(scope="module")
def card(salts, validation, curve):
    formulas, prototypes, _, y = salts
    return make_report_card(
        validation,
        y,
        target="formation energy",
        unit="eV/atom",
        compositions=formulas,
        prototypes=prototypes,
        threshold=-1.5,
        features=["mine"],
        grouped_by="formula",
        learning_curve=curve,
    )


def test_scores_are_of_the_out_of_sample_predictions(card, validation, salts):
    y = salts[3]
    assert card.regression == regression_scores(y[validation.rows], validation.prediction.mean)
    assert card.regression.mae == pytest.approx(regression_scores(y, validation.by_row().mean).mae)
    by_row = validation.by_row()
    assert card.stability.hard == stability_scores(y, by_row.mean, by_row.std, threshold=-1.5).hard
    assert card.n_predictions == 70
    assert (card.scheme, card.grouped_by, card.surrogate) == ("k-fold", "formula", "extra_trees")
    assert card.options["n_trees"] == 10
    assert card.data.hash == validation.data.hash
    assert card.learning_curve.sizes == (14, 28, 42, 56)
    assert set(card.versions) >= {"numpy", "scikit-learn"}


def test_errors_of_an_element_are_of_the_rows_that_hold_it(card, validation, salts):
    formulas, _, _, y = salts
    error = validation.by_row().mean - y
    for part in card.by_element:
        mine = [part.name in (formula[:2], formula[:1], formula[2:], formula[1:]) for formula in formulas]
        assert part.n == sum(mine)
        assert part.mae == pytest.approx(np.abs(error[mine]).mean())
        assert part.bias == pytest.approx(error[mine].mean())
    names = [part.name for part in card.by_element]
    assert names == ["H", "Li", "F", "Na", "Cl", "K", "Cu", "Br", "Rb", "Ag", "I", "Cs"]  # by atomic number


def test_errors_of_prototypes_and_splits_add_up(card):
    for parts in (card.by_prototype, card.by_split):
        assert sum(part.n for part in parts) == 70
        assert sum(part.n * part.mae for part in parts) / 70 == pytest.approx(card.regression.mae)
    assert {part.name for part in card.by_prototype} == {"rock-salt", "CsCl"}
    assert card.by_split[0].name == "fold 1 of 5"
    assert card.cost.fit == pytest.approx(1000 * sum(s.fit_seconds for s in card.by_split) / (4 * 70))
    assert card.cost.predict == pytest.approx(1000 * sum(s.predict_seconds for s in card.by_split) / 70)


def test_a_card_survives_json(card):
    assert ReportCard.from_dict(json.loads(json.dumps(card.as_dict(), allow_nan=False))) == card


def test_a_card_of_another_form_is_refused(card):
    document = card.as_dict()
    document["regression"]["mae"] = "small"
    with pytest.raises(UserError, match=r"no ReportCard of this version of matscout: regression\.mae"):
        ReportCard.from_dict(document)
    with pytest.raises(UserError, match="target: Field required"):
        ReportCard.from_dict({})


def test_rows_say_what_each_score_must_be_compared_with(card):
    rows = {row.name: row for row in card.rows()}
    assert len(rows) == len(card.rows())
    assert (rows["MAE"].unit, rows["MAE"].reference) == ("eV/atom", card.regression.mad)
    assert rows["precision"].reference == card.stability.prevalence
    assert rows["discovery acceleration factor"].reference == pytest.approx(1 / card.stability.prevalence)
    assert rows["F1 of stability"].against == "all called stable"
    assert rows["calculations saved at 9 % missed"].value == card.stability.saved[2].saved
    assert rows["coverage of 90 % intervals"].reference == 0.9
    assert {"slope of the learning curve", "MAE of endless data", "training", "prediction"} <= set(rows)


def test_intervals_are_those_that_the_surrogate_calibrated(card, validation, salts):
    lower, upper = validation.intervals[90].T
    y = salts[3][validation.rows]
    (ninety,) = [one for one in card.intervals if one.percent == 90]
    assert ninety.coverage == pytest.approx(((lower <= y) & (y <= upper)).mean())


def test_a_formation_energy_is_judged_by_its_distance_to_the_hull(validation, salts):
    y = salts[3]
    hull = np.linspace(-2, -1, 70)
    card = make_report_card(validation, y, threshold=0.025, hull_energy=hull)
    by_row = validation.by_row()
    expected = stability_scores(y - hull, by_row.mean - hull, by_row.std, threshold=0.025)
    assert card.stability.hard == expected.hard
    assert card.stability.roc_auc == pytest.approx(expected.roc_auc)


def test_rows_far_from_training_are_judged_apart(salts):
    class Doubtful:
        takes = "features"

        def fit(self, X, y, groups=None):
            return self

        def predict(self, X):
            far = X.values[:, 2] == 1
            return Prediction(np.where(far, 1.0, -2.0), np.ones(len(X)), distance=np.where(far, 2.0, 0.5))

    _, _, X, y = salts
    card = make_report_card(cross_validate(Doubtful, X, y, make_splits("k-fold", y)), y)
    assert card.domain.n_outside == 35
    assert card.domain.mae_inside == pytest.approx(np.abs(y[:35] + 2).mean())
    assert card.domain.mae_outside == pytest.approx(np.abs(y[35:] - 1).mean())


def test_a_logarithm_that_was_learnt_is_calibrated_as_one(salts):
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(0, 0.5, 4000))

    class LogNormal:
        takes = "features"

        def fit(self, X, y, groups=None):
            return self

        def predict(self, X):
            n = len(X)
            mean = np.full(n, np.exp(0.125))
            return Prediction(mean, mean * np.sqrt(np.expm1(0.25)), law="log-normal")

    X = np.zeros((4000, 1))
    card = make_report_card(cross_validate(LogNormal, X, truth, make_splits("hold-out", truth, test_part=0.9)), truth)
    assert card.calibration.of_logarithm
    assert card.calibration.sharpness == pytest.approx(0.5)
    assert card.calibration.miscalibration_area < 0.02


def test_a_classification_has_scores_of_its_own(salts):
    formulas, _, X, y = salts
    label = (y < np.median(y)).astype(float)
    splits = make_splits("k-fold", label, formulas)
    options = {"n_trees": 10, "task": "classification"}
    card = make_report_card(cross_validate("extra_trees", X, label, splits, options=options), label)
    assert (card.regression, card.calibration, card.intervals) == (None, None, ())
    assert card.classification.roc_auc > 0.7
    rows = {row.name: row for row in card.rows()}
    assert rows["ROC-AUC, from hard labels"].value == card.classification.roc_auc_hard
    assert ReportCard.from_dict(card.as_dict()) == card
    with pytest.raises(UserError, match="this is a classification"):
        make_report_card(cross_validate("extra_trees", X, label, splits, options=options), label, threshold=0.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"compositions": ["NaCl"]}, "compositions of 70 rows, got 1"),
        ({"prototypes": ["rock-salt"]}, "one prototype per row, 70 of them"),
        ({"threshold": 0.0, "hull_energy": [0.0]}, r"one hull energy per row, 70 of them, got the shape \(1,\)"),
    ],
)
def test_mistakes_are_named(validation, salts, arguments, said):
    with pytest.raises(UserError, match=said):
        make_report_card(validation, salts[3], **arguments)


def test_a_target_of_other_rows_is_refused(validation):
    with pytest.raises(UserError, match="one target per row, 70 of them"):
        make_report_card(validation, [1.0, 2.0])


@pytest.fixture(scope="module")
def comparison(salts):
    formulas, _, X, y = salts
    hull = -1.8 + 0.1 * X[:, 0]
    splits = make_splits("k-fold", y, formulas)
    return compare_targets(
        "extra_trees", X, y, hull, splits, threshold=0.1, options={"n_trees": 10}, compositions=formulas
    )


def test_two_targets_are_judged_by_the_same_decisions(comparison, salts):
    first, second = comparison.formation, comparison.distance
    assert (first.target, second.target) == ("formation energy", "distance to the hull")
    assert first.stability.n_stable == second.stability.n_stable
    assert first.regression.mad != second.regression.mad
    assert [part.name for part in first.by_split] == [part.name for part in second.by_split]
    _, _, X, y = salts
    assert first.stability.n_stable == (y - (-1.8 + 0.1 * X[:, 0]) <= 0.1).sum()


def test_a_comparison_puts_equal_scores_side_by_side(comparison):
    assert all(one.name == other.name for one, other in comparison.rows())
    assert "F1 of stability" in [one.name for one, _ in comparison.rows()]
    assert type(comparison).from_dict(comparison.as_dict()) == comparison


def test_hull_energies_of_other_rows_are_refused(salts):
    _, _, X, y = salts
    with pytest.raises(UserError, match="a hull energy for each of 70 rows"):
        compare_targets("dummy", X, y, [0.0], make_splits("k-fold", y))


def test_progress_of_a_comparison_runs_through(salts):
    _, _, X, y = salts
    told = []
    compare_targets(
        "dummy", X, y, np.arange(70) / 70, make_splits("k-fold", y, folds=2), progress=lambda *now: told.append(now)
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def hull_of_references(y):
    """Lowest energy of a few references, -1.8, and of the known rows: all rows stand at one composition."""
    return lambda known, asked: np.full(len(asked), min(-1.8, y[known].min()))


class Constant:
    """Predict what was given for all rows, and remember what was learnt."""

    takes = "features"

    def __init__(self, energy, seen):
        self.energy, self.seen = energy, seen

    def fit(self, X, y, groups=None):
        self.seen.append(y)
        return self

    def predict(self, X):
        return Prediction(np.full(len(X), self.energy), np.full(len(X), 0.01))


def test_a_hull_of_known_rows_tells_nothing_of_those_tested(salts):
    _, _, X, y = salts
    splits = make_splits("k-fold", y, folds=5, seed=3)
    lowest, seen = int(y.argmin()), []
    hull_of, true_hull = hull_of_references(y), np.full(70, y.min())
    compared = compare_targets(lambda: Constant(-2.0, seen), X, y, hull_of, splits, threshold=0.05)
    # the model of formation energies is taken against the hull of its training rows, the truth against that of all
    known = np.concatenate([hull_of(split.train, split.test) for split in splits])
    rows = np.concatenate([split.test for split in splits])
    assert known[rows == lowest] > y.min()
    expected = stability_scores((y - true_hull)[rows], -2.0 - known, np.full(70, 0.01), threshold=0.05)
    assert compared.formation.stability == expected
    # distances that are learnt are those to the hull of the training rows, too
    for split, target in zip(splits, seen[5:], strict=True):
        assert target == pytest.approx(y[split.train] - hull_of(split.train, split.train))
    assert compared.distance.stability.n_stable == expected.n_stable
    assert compared.hull_known_from == "training rows"
    assert "training rows alone" in compared.caveat


def test_energies_of_tested_rows_do_not_change_what_is_predicted(salts):
    _, _, X, y = salts
    (split,) = make_splits("hold-out", y)
    other = y.copy()
    other[split.test] -= 5.0
    seen = []
    for energy in (y, other):
        compare_targets(lambda: Constant(-2.0, seen), X, energy, hull_of_references(energy), [split])
    for first, second in zip(seen[:2], seen[2:], strict=True):
        assert np.array_equal(first, second)


def test_a_hull_that_was_given_as_it_is_comes_with_a_caveat(comparison):
    assert comparison.hull_known_from == "given"
    assert "was told of their energies" in comparison.caveat
    document = comparison.as_dict()
    del document["hull_known_from"]  # kept before this was told
    assert type(comparison).from_dict(document) == comparison


@pytest.mark.parametrize(
    ("hull_of", "said"),
    [
        (lambda known, asked: [0.0], r"a hull energy for each of 70 rows, got the shape \(1,\)"),
        (
            lambda known, asked: np.where(np.isin(asked, known), 0.0, np.nan),
            r"the hull of 56 known rows has no energy at row \d+: add references",
        ),
    ],
)
def test_a_hull_that_does_not_hold_a_row_is_said(salts, hull_of, said):
    _, _, X, y = salts
    with pytest.raises(UserError, match=said):
        compare_targets("dummy", X, y, hull_of, make_splits("k-fold", y))


def test_known_hull_energies_are_those_of_the_predictions(validation, salts):
    with pytest.raises(UserError, match="one known hull energy per row, 70 of them"):
        make_report_card(validation, salts[3], threshold=0.0, known_hull_energy=[0.0])
