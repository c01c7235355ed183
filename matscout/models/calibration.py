"""Make a surrogate's std and intervals mean what they say, by its errors on rows that it had not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.errors import UserError
from matscout.models.applicability import Domain
from matscout.models.base import Surrogate, check_target, checked_data
from matscout.models.calibration_report import CalibrationReport, report_of, report_of_few
from matscout.models.error_laws import MIN_ROWS, ErrorLaw, ErrorLaws, fit_laws, smallest_std
from matscout.models.held_out import hold_out
from matscout.models.inputs import as_inputs
from matscout.models.kept_files import finite, reading_document, write_document
from matscout.models.labels import known_labels
from matscout.models.options import check_choice, check_number
from matscout.models.prediction import Prediction
from matscout.models.probability_calibration import (
    ProbabilityLaw,
    ProbabilityReport,
    calibrate_probabilities,
    no_calibration,
)
from matscout.models.targets import TRANSFORMS, from_log, to_log

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.held_out import HeldOut
    from matscout.models.inputs import Inputs


DOMAINS = ("widen", "measure", "none")
"""What is done with the distance to the training data: beyond the domain std is widened; it is told; nothing."""

DOCUMENT = "calibration.json"
_DOMAIN_FILE, _SURROGATE_FOLDER = "domain.npz", "surrogate"


class CalibratedSurrogate:
    """A surrogate whose std and intervals are fitted to its errors on held-out rows, and that knows its domain.

    A regression's std becomes slope * std + intercept, most likely by the errors, and its intervals conformal (see
    `matscout.models.error_laws`); a classification's log-odds become slope * log-odds + intercept (see
    `matscout.models.probability_calibration`). Each row's distance to the training data is told (see
    `matscout.models.applicability`).

    Parameters
    ----------
    surrogate
        The model; its own std is what is calibrated.
    folds
        Parts of a cross-validation. One part alone is held out of many rows, or of a model whose training is dear.
    transform
        What is learnt in the target's place, one of `TRANSFORMS`; predictions are of the target in any case.
    domain
        ``widen``: beyond the domain of the training data (distance d > 1) the variance goes over to that of the
        targets as (1 - 1 / d)^2, since errors out there were not measured; where the logarithm is learnt, its mean
        goes over to that of the targets' logarithms alike, since a wider distribution about the same logarithm would
        have a larger mean; ``measure``: only the distance is told; ``none``: it is not measured either. A
        classification's probabilities stay as they are.

    Notes
    -----
    That the variance goes over as (1 - 1 / d)^2 is our choice, without a source. The test
    `test_widened_intervals_hold_nearer_to_their_share_beyond_the_domain` shows that it does what it is for.

    Attributes
    ----------
    surrogate
        The model, trained on all rows; a `TwoStageSurrogate` where it classifies first.
    stage
        The model as it was given.
    calibration
        The `CalibrationReport`, or of a classification the `ProbabilityReport`, of the last fit.
    """

    calibration: CalibrationReport | ProbabilityReport

    def __init__(self, surrogate: Surrogate, *, folds: int = 5, transform: str = "none", domain: str = "widen") -> None:
        check_number("folds", folds, 2, integer=True)
        check_choice("transform", transform, TRANSFORMS)
        check_choice("domain", domain, DOMAINS)
        if transform != "none" and surrogate.task == "classification":
            raise UserError(f"a classification has no transform: leave {transform} out")
        self.stage = surrogate
        self.surrogate = surrogate
        if transform.startswith("classify"):
            from matscout.models.two_stage import TwoStageSurrogate

            self.surrogate = TwoStageSurrogate(stage=surrogate, log=transform.endswith("log"))
        self.folds = int(folds)
        self.transform = transform
        self.domain = domain
        self._domain: Domain | None = None
        self._law: ErrorLaws | ProbabilityLaw | None = None
        self._prior_mean, self._prior_std = 0.0, 0.0

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None, kinds: ArrayLike | None = None) -> Self:
        """Learn from all rows, and calibrate on rows held out.

        Parameters
        ----------
        X
            What the surrogate takes: see `matscout.models.inputs.as_inputs`.
        y
            Target, shape (n,), finite.
        groups
            Label of each row, shape (n,), as its chemical system: rows of one group are held out together, so that
            the errors are those on new groups. None, or one single group, holds out rows at random; so are those of a
            group with more than half of the rows, without which there would be too little to learn from.
        kinds
            Label of each row, shape (n,), as its prototype: kinds of rows that are known before the calculation, and
            of which each with errors enough is calibrated by itself.

        Raises
        ------
        UserError
            There are fewer rows than folds, or fewer than two; groups or kinds are not one per row, or a group is
            unknown; the target cannot be learnt or transformed.
        ValueError
            Shapes do not match, or there are infinite values.
        """
        inputs, target, labels = checked_data(self.surrogate.takes, X, y, groups)
        n = len(target)
        if n < 2:
            raise UserError(f"a surrogate needs at least two results to learn from, got {n}: calculate more first")
        if n < self.folds:
            raise UserError(
                f"{n} rows cannot be parted into {self.folds} folds: calculate more first, or set the option "
                f"folds={n} or fewer"
            )
        own_kinds = _names_of_kinds(kinds, n)
        if own_kinds is not None and self.surrogate.task == "classification":
            raise UserError("a classification is not calibrated by kinds of rows: leave kinds out")
        learnt = to_log(target) if self.transform == "log" else target
        check_target(learnt, self.surrogate.task)
        self._law = None  # a fit that fails leaves nothing that predicts
        # before the model itself is trained: there is then no other beside the one that is being trained
        held_out = self._held_out(inputs, learnt, labels)
        law, report = self._calibrated(target, learnt, held_out, own_kinds)
        domain = None if self.domain == "none" else Domain.fit(inputs, labels, seed=self.surrogate.seed)
        self.surrogate.fit(inputs, learnt, labels)
        self._prior_mean, self._prior_std = float(learnt.mean()), float(learnt.std())
        self._domain, self._law, self.calibration = domain, law, report
        return self

    def _held_out(self, inputs: Inputs, learnt: NDArray[np.float64], labels: NDArray[np.intp] | None) -> HeldOut | None:
        """Rows with the prediction of a model trained without them; None where they are too few."""
        if len(learnt) < MIN_ROWS:
            return None
        try:
            held_out = hold_out(self.surrogate, inputs, learnt, labels, self.folds)
        except ValueError as error:
            if "row " in str(error):  # counted among some of the rows: the model itself counts it among all
                self.surrogate.fit(inputs, learnt, labels)
            raise
        return held_out if len(held_out.rows) >= MIN_ROWS else None

    def calibration_options(self) -> dict[str, Any]:
        """Return the options of the calibration by name; those of the model are `surrogate.options()`."""
        return {"folds": self.folds, "transform": self.transform, "domain": self.domain}

    def predict(self, X: Any, kinds: ArrayLike | None = None) -> Prediction:
        """Mean, calibrated std, intervals and distance to the training data of each row of X.

        Parameters
        ----------
        X
            Of the kind and with the columns that it was trained on.
        kinds
            Kind of each row, shape (n,), as in `fit`; without, or where it is new, the law of all rows holds.
        """
        if self._law is None:
            raise RuntimeError("fit the surrogate before it predicts")
        inputs = as_inputs(self.surrogate.takes, X)
        own_kinds = _names_of_kinds(kinds, len(inputs))
        raw = self.surrogate.predict(inputs)
        distance = None if self._domain is None else self._domain.distance(inputs)
        if isinstance(self._law, ProbabilityLaw):
            return replace(self._law.prediction(raw), distance=distance)
        calibrated = _with_std(raw, self._law.std(raw.std, own_kinds))
        if self.domain == "widen" and distance is not None:
            calibrated = _widened(calibrated, distance, self._prior_std)
            if self.transform == "log":
                drawn = calibrated.mean + _share_of_prior(distance) * (self._prior_mean - calibrated.mean)
                calibrated = replace(calibrated, mean=drawn)
        return self._as_target(replace(calibrated, factors=self._law.factors(own_kinds), distance=distance))

    def _as_target(self, prediction: Prediction) -> Prediction:
        return from_log(prediction) if self.transform == "log" else prediction

    def _calibrated(
        self,
        target: NDArray[np.float64],
        learnt: NDArray[np.float64],
        held_out: HeldOut | None,
        kinds: NDArray[np.str_] | None,
    ) -> tuple[ErrorLaws | ProbabilityLaw, CalibrationReport | ProbabilityReport]:
        """Law and report of held-out rows, or those that are taken where these are too few."""
        if self.surrogate.task == "classification":
            return no_calibration(target) if held_out is None else calibrate_probabilities(target, held_out)
        if held_out is None:
            floor = smallest_std(learnt)
            of_few = ErrorLaw(0.0, max(float(learnt.std(ddof=1)), floor), floor)
            return ErrorLaws(of_few), report_of_few(len(target), of_few, self.transform)
        own_kinds = None if kinds is None else kinds[held_out.rows]
        error = learnt[held_out.rows] - held_out.mean
        laws = fit_laws(held_out.std, error, smallest_std(learnt), own_kinds)
        std = laws.std(held_out.std, own_kinds)
        predicted = self._as_target(Prediction(held_out.mean, std, factors=laws.factors(own_kinds)))
        return laws, report_of(held_out, laws, error, target, predicted, own_kinds, self.transform)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keep what was learnt in a folder, in native formats and without pickle; it is made if it is not there.

        Raises
        ------
        RuntimeError
            Nothing was learnt yet.
        """
        if self._law is None:
            raise RuntimeError("fit the surrogate before it is kept")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        self.surrogate.save(place / _SURROGATE_FOLDER)
        if self._domain is not None:
            self._domain.save(place / _DOMAIN_FILE)
        document = {
            "surrogate": self.stage.name,
            "options": self.surrogate.options(),
            "calibration_options": self.calibration_options(),
            "prior_mean": self._prior_mean,
            "prior_std": self._prior_std,
            "law": self._law.as_dict(),
            "report": self.calibration.as_dict(),
        }
        write_document(place / DOCUMENT, document)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Take up what `save` kept; it predicts the same numbers.

        Raises
        ------
        UserError
            There is none in the folder, or it was kept by another version.
        """
        from matscout.models.registry import surrogate_class

        file = Path(folder) / DOCUMENT
        with reading_document(file, "calibrated surrogate") as document:
            made = surrogate_class(document["surrogate"])(**document["options"])
            loaded = cls(made, **document["calibration_options"])
            loaded._take_up(file.parent, document)
        return loaded

    def _take_up(self, place: Path, document: Mapping[str, Any]) -> None:
        self.surrogate.load(place / _SURROGATE_FOLDER)
        self._domain = None if self.domain == "none" else Domain.load(place / _DOMAIN_FILE)
        self._prior_mean, self._prior_std = finite(document["prior_mean"]), finite(document["prior_std"])
        law = finite(document["law"])
        if self.surrogate.task == "classification":
            self._law = ProbabilityLaw(**law)
            self.calibration = ProbabilityReport.from_dict(document["report"])
        else:
            self._law = ErrorLaws.from_dict(law)
            self.calibration = CalibrationReport.from_dict(document["report"])


def _with_std(raw: Prediction, std: NDArray[np.float64]) -> Prediction:
    """Put a calibrated std in place, and scale its parts along; where the surrogate's was 0 it is all aleatoric."""
    if raw.aleatoric is None or raw.epistemic is None:
        return replace(raw, std=std, aleatoric=None, epistemic=None)
    told = raw.std > 0
    ratio = std / np.where(told, raw.std, 1.0)
    return replace(raw, std=std, aleatoric=np.where(told, ratio * raw.aleatoric, std), epistemic=ratio * raw.epistemic)


def _widened(prediction: Prediction, distance: NDArray[np.float64], prior_std: float) -> Prediction:
    """Let the variance go over to that of the targets beyond the domain; what is added is epistemic."""
    added = _share_of_prior(distance) * np.maximum(prior_std**2 - prediction.std**2, 0.0)
    outside = added > 0
    std = np.where(outside, np.sqrt(prediction.std**2 + added), prediction.std)
    if prediction.epistemic is None:
        return replace(prediction, std=std)
    epistemic = np.where(outside, np.sqrt(prediction.epistemic**2 + added), prediction.epistemic)
    return replace(prediction, std=std, epistemic=epistemic)


def _share_of_prior(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share by which a prediction goes over to what is known of the targets alone: 0 in the domain, 1 far from it."""
    return np.asarray((1 - 1 / np.maximum(distance, 1.0)) ** 2)


def _names_of_kinds(kinds: ArrayLike | None, n: int) -> NDArray[np.str_] | None:
    if kinds is None:
        return None
    names = known_labels(kinds, "kind").astype(str)
    if names.shape != (n,):
        raise UserError(f"expected one kind per row, shape ({n},), got {names.shape}")
    return names
