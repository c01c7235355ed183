"""The report card of a surrogate: what it was tested on, how it did, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.inputs import as_inputs
from matscout.models.model_card import package_versions
from matscout.models.report import measures
from matscout.models.report.calibration_curves import (
    CalibrationCurve,
    IntervalScore,
    calibration_curve,
    interval_scores,
)
from matscout.models.report.card_rows import Row, card_rows
from matscout.models.report.documents import Document, Number
from matscout.models.report.scores import (
    ClassificationScores,
    RegressionScores,
    classification_scores,
    regression_scores,
)
from matscout.models.report.stability import StabilityScores, stability_scores
from matscout.models.validation.groups import numbered
from matscout.models.validation.learning_curves import LearningCurve  # noqa: TC001  pydantic looks it up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.prediction import Prediction
    from matscout.models.validation.cross_validation import Validation

    Floats = NDArray[np.float64]


class Data(Document):
    """What was learnt from and tested on."""

    n: int = Field(description="Rows")
    hash: str = Field(description="SHA-256 of rows and targets")
    kind: str = Field(description="What the surrogate takes: features, compositions or crystals")
    n_features: int | None = Field(description="Columns of the feature matrix")
    features: tuple[str, ...] = Field(description="Feature sets, by name")
    feature_versions: dict[str, str] = Field(description="Key of each featurizer by its name")


class PartErrors(Document):
    """Errors of some of the predictions."""

    name: str = Field(description="Element, prototype, or what a split leaves out")
    n: int = Field(description="Predictions")
    mae: float = Field(description="Mean absolute error, in the unit of the target")
    bias: float = Field(description="Mean of prediction minus target")


class SplitErrors(PartErrors):
    """Errors of one split, and its cost."""

    n_train: int = Field(description="Rows learnt from")
    fit_seconds: float = Field(description="Time of training and calibration, s")
    predict_seconds: float = Field(description="Time of prediction, s")
    chosen: dict[str, Any] = Field(default_factory=dict, description="Options found best by this split's own search")


class Domain(Document):
    """Whether rows far from the training data are worse predicted."""

    n_outside: int = Field(description="Predictions flagged as outside of the domain")
    mae_inside: Number = Field(description="Mean absolute error within, in the unit of the target")
    mae_outside: Number = Field(description="Mean absolute error outside")


class Cost(Document):
    """Time on the clock of the wall, of all splits together."""

    fit: Number = Field(description="Training and calibration, s per 1000 rows")
    predict: Number = Field(description="Prediction, s per 1000 rows")


class ReportCard(Document):
    """What a surrogate did on rows that it had not seen."""

    version: Literal[1] = Field(default=1, description="Version of this form")
    target: str = Field(description="What is predicted")
    unit: str = Field(description="Unit of the target")
    task: str = Field(description="regression or classification")
    surrogate: str = Field(description="Name of the surrogate")
    options: dict[str, Any] = Field(description="Its options; where some were searched those given, and the search's")
    data: Data = Field(description="What was learnt from and tested on")
    scheme: str = Field(description="How rows were split")
    grouped_by: str = Field(description="What rows of one group share; empty where rows were split one by one")
    n_predictions: int = Field(description="Out-of-sample predictions; a row may have several, or none")
    regression: RegressionScores | None = Field(description="Errors of the quantity; None in a classification")
    classification: ClassificationScores | None = Field(description="Scores of classes; None in a regression")
    stability: StabilityScores | None = Field(description="Scores at the stability threshold, where one is given")
    calibration: CalibrationCurve | None = Field(description="Errors over std; None in a classification")
    intervals: tuple[IntervalScore, ...] = Field(description="Calibrated intervals; empty in a classification")
    domain: Domain | None = Field(description="Errors in and out of the domain, where the surrogate measures it")
    by_split: tuple[SplitErrors, ...] = Field(description="Errors of each split")
    by_element: tuple[PartErrors, ...] = Field(description="Errors of rows that hold an element, by atomic number")
    by_prototype: tuple[PartErrors, ...] = Field(description="Errors of rows of a prototype, the most frequent first")
    learning_curve: LearningCurve | None = Field(description="Error over rows learnt from, where asked for")
    cost: Cost = Field(description="Time of training and prediction")
    versions: dict[str, str] = Field(description="Releases of the packages at work")

    def rows(self) -> tuple[Row, ...]:
        """Return the main scores, each with what it must be compared with, for a table."""
        return card_rows(self)


def make_report_card(
    validation: Validation,
    y: ArrayLike,
    *,
    target: str = "",
    unit: str = "",
    compositions: Any = None,
    prototypes: ArrayLike | None = None,
    threshold: float | None = None,
    hull_energy: ArrayLike | None = None,
    known_hull_energy: ArrayLike | None = None,
    features: Sequence[str] = (),
    grouped_by: str = "",
    learning_curve: LearningCurve | None = None,
) -> ReportCard:
    """Judge out-of-sample predictions.

    Parameters
    ----------
    validation
        Of `cross_validate`.
    y
        The same target, shape (n,).
    target, unit
        Its name and unit, for the reader.
    compositions
        Of the n rows, as `matscout.models.inputs.as_inputs` takes them, for errors per element.
    prototypes
        Label of each row, shape (n,).
    threshold
        Distance to the hull that counts as stable, in eV/atom; None for no scores of stability. The target is then
        that distance, or a formation energy where `hull_energy` is given; both in eV/atom.
    hull_energy
        Energy of the hull at the composition of each row in eV/atom, shape (n,): the target less this is the distance.
    known_hull_energy
        The same as known before the rows were tested, of each of the m predictions, shape (m,), in eV/atom: a predicted
        formation energy less this is the predicted distance. None takes `hull_energy`.
    features
        Names of the feature sets.
    grouped_by
        What rows of one group share, as "chemical system".
    learning_curve
        Of the same surrogate.

    Raises
    ------
    UserError
        Something is of another length than the rows, or a threshold is given in a classification.

    Examples
    --------
    >>> from matscout.models.validation import cross_validate, make_splits
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> validation = cross_validate("dummy", X, X[:, 0], make_splits("k-fold", 60))
    >>> card = make_report_card(validation, X[:, 0], target="formation energy", unit="eV/atom", threshold=0.0)
    >>> card.rows()[0].name, card.stability.n == card.regression.n == 60
    ('MAE', True)
    """
    y_all, prediction = _column(y, validation.data.n, "target"), validation.prediction
    truth = y_all[validation.rows]
    regression = validation.task == "regression"
    if threshold is not None and not regression:
        raise UserError("a stability threshold needs predicted distances, and this is a classification")
    hull = np.zeros(len(y_all)) if hull_energy is None else _column(hull_energy, len(y_all), "hull energy")
    zero = hull[validation.rows]
    known = zero if known_hull_energy is None else _column(known_hull_energy, len(zero), "known hull energy")
    return ReportCard(
        target=target,
        unit=unit,
        task=validation.task,
        surrogate=validation.surrogate,
        options=validation.options,
        data=Data(
            n=validation.data.n,
            hash=validation.data.hash,
            kind=validation.data.kind,
            n_features=validation.data.n_features,
            features=tuple(features),
            feature_versions=dict(validation.data.versions),
        ),
        scheme=validation.scheme,
        grouped_by=grouped_by,
        n_predictions=len(validation),
        regression=regression_scores(truth, prediction.mean) if regression else None,
        classification=None if regression else classification_scores(truth, prediction.mean),
        stability=None
        if threshold is None
        else stability_scores(truth - zero, prediction.mean - known, prediction.std, threshold=threshold),
        calibration=_calibration(truth, prediction) if regression else None,
        intervals=interval_scores(truth, validation.intervals) if regression else (),
        domain=_domain(truth, prediction),
        by_split=_by_split(truth, validation),
        by_element=() if compositions is None else _by_element(truth, validation, compositions),
        by_prototype=() if prototypes is None else _by_prototype(truth, validation, prototypes),
        learning_curve=learning_curve,
        cost=Cost(
            fit=1000 * measures.ratio(sum(validation.fit_seconds), sum(validation.n_train)),
            predict=1000 * measures.ratio(sum(validation.predict_seconds), len(validation)),
        ),
        versions=package_versions(),
    )


def _column(values: ArrayLike, n: int, what: str) -> Floats:
    array = np.asarray(values, dtype=float)
    if array.shape != (n,):
        raise UserError(f"expected one {what} per row, {n} of them, got the shape {array.shape}")
    return array


def _calibration(y: Floats, prediction: Prediction) -> CalibrationCurve:
    if prediction.law == "log-normal" and y.min() > 0:
        spread = np.sqrt(np.log1p((prediction.std / prediction.mean) ** 2))
        curve = calibration_curve(np.log(y), np.log(prediction.median), spread)
        return curve.model_copy(update={"of_logarithm": True})
    return calibration_curve(y, prediction.mean, prediction.std)


def _domain(y: Floats, prediction: Prediction) -> Domain | None:
    if prediction.distance is None:
        return None
    error, outside = np.abs(prediction.mean - y), prediction.outside
    return Domain(
        n_outside=int(outside.sum()),
        mae_inside=float(error[~outside].mean()) if (~outside).any() else None,
        mae_outside=float(error[outside].mean()) if outside.any() else None,
    )


def _errors(name: str, error: Floats) -> PartErrors:
    return PartErrors(name=name, n=len(error), mae=float(np.abs(error).mean()), bias=float(error.mean()))


def _by_split(y: Floats, validation: Validation) -> tuple[SplitErrors, ...]:
    error = validation.prediction.mean - y
    return tuple(
        SplitErrors(
            **dict(_errors(label, error[validation.split == number])),
            n_train=validation.n_train[number],
            fit_seconds=validation.fit_seconds[number],
            predict_seconds=validation.predict_seconds[number],
            chosen=validation.chosen[number] if validation.chosen else {},
        )
        for number, label in enumerate(validation.labels)
    )


def _by_element(y: Floats, validation: Validation, compositions: Any) -> tuple[PartErrors, ...]:
    from matscout.db._elements import symbols

    inputs: Any = as_inputs("compositions", compositions)
    if len(inputs) != validation.data.n:
        raise UserError(f"expected the compositions of {validation.data.n} rows, got {len(inputs)}")
    numbers, error = inputs.numbers[validation.rows], validation.prediction.mean - y
    present: Iterable[int] = np.unique(numbers[numbers > 0]).tolist()
    return tuple(_errors(symbols()[number], error[(numbers == number).any(axis=1)]) for number in present)


def _by_prototype(y: Floats, validation: Validation, prototypes: ArrayLike) -> tuple[PartErrors, ...]:
    names = np.unique(np.asarray(prototypes)).astype(str)
    label = numbered(prototypes, validation.data.n, "prototype")[validation.rows]
    error = validation.prediction.mean - y
    counts = np.bincount(label, minlength=len(names))
    order = np.argsort(-counts, kind="stable").tolist()
    return tuple(_errors(str(names[i]), error[label == i]) for i in order if counts[i])
