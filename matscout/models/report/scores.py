"""How near predictions are to targets, and how well classes are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.error_laws import spearman
from matscout.models.report import measures
from matscout.models.report.documents import Document, Number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class RegressionScores(Document):
    """Errors in the unit of the target."""

    n: int = Field(description="Predictions")
    mae: Number = Field(description="Mean absolute error")
    rmse: Number = Field(description="Root mean square error")
    bias: Number = Field(description="Mean of prediction minus target")
    r2: Number = Field(description="Share of the targets' variance explained")
    mad: Number = Field(description="Mean absolute deviation of the targets from their mean: the MAE without a model")
    spearman: Number = Field(description="Rank correlation of prediction and target")


class HardScores(Document):
    """What comes of calling rows one class or the other."""

    precision: Number = Field(description="Share of those called 1 that are 1")
    recall: Number = Field(description="Share of those that are 1 that are called so")
    f1: Number = Field(description="Harmonic mean of precision and recall")
    false_negative_rate: Number = Field(description="Share of those that are 1 that are called 0")
    balanced_accuracy: Number = Field(description="Mean of the shares found of either class")


class ClassificationScores(Document):
    """How well the classes 0 and 1 are told apart."""

    n: int = Field(description="Predictions")
    prevalence: Number = Field(description="Share of the class 1")
    roc_auc: Number = Field(description="Area below the receiver operating characteristic, by probabilities")
    roc_auc_hard: Number = Field(description="The same by hard labels, which is the balanced accuracy")
    pr_auc: Number = Field(description="Average precision, by probabilities; without a model it is the prevalence")
    log_loss: Number = Field(description="Mean negative log-likelihood, nat")
    log_loss_prevalence: Number = Field(description="The same of predicting the prevalence")
    brier: Number = Field(description="Mean square of probability minus label")
    brier_prevalence: Number = Field(description="The same of predicting the prevalence")
    ece: Number = Field(description="Expected calibration error, 10 bins of equal width")
    hard: HardScores = Field(description="Called 1 where the probability is at least one half")


def regression_scores(y: ArrayLike, mean: ArrayLike) -> RegressionScores:
    """Score predictions of a quantity.

    Parameters
    ----------
    y, mean
        Targets and predictions, shape (n,).

    Raises
    ------
    ValueError
        Shapes do not match, there is no row, or a value is not finite.

    Examples
    --------
    >>> scores = regression_scores([1.0, 2.0, 3.0], [1.5, 2.0, 2.5])
    >>> scores.mae == 1 / 3, scores.mad == 2 / 3, scores.r2
    (True, True, 0.75)
    """
    target, predicted = measures.checked("regression scores", y, mean)
    error = predicted - target
    return RegressionScores(
        n=len(target),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        bias=float(error.mean()),
        r2=measures.r2(target, predicted),
        mad=float(np.abs(target - target.mean()).mean()),
        spearman=spearman(target, predicted),
    )


def hard_scores(label: NDArray[np.bool_], called: NDArray[np.bool_]) -> HardScores:
    """Score hard labels, shape (n,); a score without rows to make it of is None.

    Examples
    --------
    >>> hard_scores(np.array([True, True, False]), np.array([True, False, False])).f1 == 2 / 3
    True
    """
    hits = int((label & called).sum())
    found = measures.ratio(hits, int(label.sum()))
    rejected = measures.ratio(int((~label & ~called).sum()), int((~label).sum()))
    return HardScores(
        precision=measures.ratio(hits, int(called.sum())),
        recall=found,
        f1=measures.ratio(2 * hits, int(label.sum()) + int(called.sum())),
        false_negative_rate=1 - found,
        balanced_accuracy=(found + rejected) / 2,
    )


def classification_scores(y: ArrayLike, probability: ArrayLike) -> ClassificationScores:
    """Score probabilities of a class.

    Parameters
    ----------
    y
        0 or 1, shape (n,).
    probability
        Of 1, shape (n,).

    Raises
    ------
    UserError
        A target is neither 0 nor 1, or a probability is not between them.
    ValueError
        As from `regression_scores`.
    """
    target, p = measures.checked("classification scores", y, probability)
    odd = (target != 0) & (target != 1)
    if odd.any():
        raise UserError(f"a classification has targets 0 and 1, got {target[odd][0]:g} in row {int(odd.argmax())}")
    if p.min() < 0 or p.max() > 1:
        raise UserError(f"probabilities lie between 0 and 1, got {p.min():g} to {p.max():g}")
    label = target == 1
    share = float(target.mean())
    hard = hard_scores(label, p >= 0.5)
    return ClassificationScores(
        n=len(target),
        prevalence=share,
        roc_auc=measures.roc_auc(label, p),
        roc_auc_hard=hard.balanced_accuracy,
        pr_auc=measures.average_precision(label, p),
        log_loss=measures.log_loss(target, p),
        log_loss_prevalence=measures.log_loss(target, np.full_like(p, share)),
        brier=float(((p - target) ** 2).mean()),
        brier_prevalence=share * (1 - share),
        ece=measures.calibration_error(target, p),
        hard=hard,
    )
