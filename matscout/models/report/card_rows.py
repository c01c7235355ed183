"""The main scores of a report card as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.models.report.report_card import ReportCard
    from matscout.models.report.stability import StabilityScores

_ACCELERATION = "discovery acceleration factor"


@dataclass(frozen=True)
class Row:
    """A score with what it must be compared with.

    Attributes
    ----------
    name
        What is scored.
    value
        None where it is not defined.
    unit
        Empty for shares and other numbers without one.
    against
        What the other number is; empty where there is none.
    reference
        To be compared with the value.
    """

    name: str
    value: float | None
    unit: str = ""
    against: str = ""
    reference: float | None = None


def card_rows(card: ReportCard) -> tuple[Row, ...]:
    """Return the main scores of a card."""
    return (*_quantity(card), *_classes(card), *_decisions(card), *_uncertainty(card), *_learning(card), *_cost(card))


def _quantity(card: ReportCard) -> Iterator[Row]:
    if (scores := card.regression) is None:
        return
    yield Row("MAE", scores.mae, card.unit, "without a model", scores.mad)
    yield Row("RMSE", scores.rmse, card.unit)
    yield Row("bias", scores.bias, card.unit, "unbiased", 0.0)
    yield Row("R2", scores.r2, "", "without a model", 0.0)
    yield Row("rank correlation", scores.spearman, "", "at random", 0.0)


def _classes(card: ReportCard) -> Iterator[Row]:
    if (scores := card.classification) is None:
        return
    yield Row("ROC-AUC, from probabilities", scores.roc_auc, "", "at random", 0.5)
    yield Row("ROC-AUC, from hard labels", scores.roc_auc_hard, "", "at random", 0.5)
    yield Row("average precision", scores.pr_auc, "", "prevalence", scores.prevalence)
    yield Row("F1", scores.hard.f1)
    yield Row("balanced accuracy", scores.hard.balanced_accuracy, "", "at random", 0.5)
    yield Row("log loss", scores.log_loss, "nat", "of the prevalence", scores.log_loss_prevalence)
    yield Row("Brier score", scores.brier, "", "of the prevalence", scores.brier_prevalence)
    yield Row("calibration error", scores.ece, "", "perfect", 0.0)


def _decisions(card: ReportCard) -> Iterator[Row]:
    if (scores := card.stability) is None:
        return
    yield Row("precision", scores.hard.precision, "", "prevalence", scores.prevalence)
    yield Row("recall", scores.hard.recall)
    yield Row("F1 of stability", scores.hard.f1, "", "all called stable", scores.f1_all_stable)
    yield Row("false-negative rate", scores.hard.false_negative_rate)
    yield Row(_ACCELERATION, scores.acceleration, "", "largest possible", scores.largest_acceleration)
    yield Row("ROC-AUC of P(stable)", scores.roc_auc, "", "at random", 0.5)
    yield Row("average precision of P(stable)", scores.pr_auc, "", "prevalence", scores.prevalence)
    if scores.ece is not None:
        yield Row("calibration error of P(stable)", scores.ece, "", "perfect", 0.0)
    yield from _savings(scores)


def _savings(scores: StabilityScores) -> Iterator[Row]:
    for one in scores.saved:
        name = f"calculations saved at {100 * one.missed:g} % missed"
        yield Row(name, one.saved, "", "in random order", one.random)


def _uncertainty(card: ReportCard) -> Iterator[Row]:
    for interval in card.intervals:
        yield Row(
            f"coverage of {interval.percent} % intervals", interval.coverage, "", "nominal", interval.percent / 100
        )
    if (curve := card.calibration) is not None:
        yield Row("miscalibration area of a normal law", curve.miscalibration_area, "", "perfect", 0.0)
        if card.regression is not None and not curve.of_logarithm:
            yield Row("sharpness", curve.sharpness, card.unit, "RMSE", card.regression.rmse)
            yield Row("CRPS", curve.crps, card.unit, "MAE", card.regression.mae)
        yield Row("negative log-likelihood", curve.nll, "nat")
        yield Row("rank correlation of error and std", curve.spearman, "", "at random", 0.0)
    if (domain := card.domain) is not None and domain.n_outside:
        yield Row("MAE outside of the domain", domain.mae_outside, card.unit, "within", domain.mae_inside)


def _learning(card: ReportCard) -> Iterator[Row]:
    if (curve := card.learning_curve) is None:
        return
    yield Row("slope of the learning curve", -curve.power_law.b, "", "learns nothing", 0.0)
    if curve.saturating is not None:
        yield Row("MAE of endless data", curve.saturating.c, card.unit, f"{curve.sizes[-1]} rows", curve.mae[-1])
        yield Row("MAE of twice the rows", curve.mae_of_double, card.unit, f"{curve.sizes[-1]} rows", curve.mae[-1])


def _cost(card: ReportCard) -> Iterator[Row]:
    yield Row("training", card.cost.fit, "s per 1000 rows")
    yield Row("prediction", card.cost.predict, "s per 1000 rows")
