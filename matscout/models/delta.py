"""Learn what a cheap calculation misses: surrogate, cheap protocol and dear protocol as one funnel.

Ramakrishnan, Dral, Rupp, von Lilienfeld, Big data meets quantum chemistry approximations: the delta-machine learning
approach, J. Chem. Theory Comput. 11, 2087 (2015), doi:10.1021/acs.jctc.5b00099.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.errors import UserError
from matscout.models.base import checked_data
from matscout.models.calibration import CalibratedSurrogate
from matscout.models.error_laws import INTERVALS, MIN_ROWS
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.kept_files import reading_document, write_document
from matscout.models.options import check_choice, plain
from matscout.models.prediction import Prediction
from matscout.models.registry import make_surrogate

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.calibration_report import CalibrationReport
    from matscout.models.inputs import Inputs
    from matscout.models.probability_calibration import ProbabilityReport

MODES = ("correct", "feature")
"""How the cheap result is used: as the baseline to be corrected, or as a feature."""

DOCUMENT = "delta.json"
_KNOWN, _UNKNOWN = "known", "unknown"
_COLUMNS = ("cheap result", "cheap result known")


class DeltaSurrogate:
    """A surrogate of a dear protocol's result that takes a cheap protocol's, where there is one.

    Rows with and without a cheap result are calibrated apart, since the former are better known.

    Parameters
    ----------
    surrogate
        One of `matscout.models.SURROGATES`, of the task regression.
    mode
        ``correct``: a surrogate learns y - slope * baseline of the rows that have a baseline, the slope being that of
        the least squares line of y on the baseline (1 where the correction is a mere shift, near 0 where the cheap
        result tells nothing); another one learns y of all rows, for rows without. ``feature``: one surrogate of
        features learns y of all rows, with the baseline and whether it is known as two more columns.
    options
        Of the surrogate and its calibration. With ``correct`` there is no ``transform``: a correction has both signs.

    Attributes
    ----------
    slope
        Of the baseline, in the mode ``correct``; None while too few rows have one.

    Examples
    --------
    A funnel of three protocols. All candidates are predicted without a cheap result; the best go through the cheap
    protocol (CHGNet, say); with its energies they are predicted again, and the best of those are calculated by DFT.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 4))
    >>> dft = X[:, 0] + 0.3 * X[:, 1]  # eV/atom
    >>> chgnet = np.where(np.arange(200) < 120, dft + 0.1 + 0.02 * X[:, 2], np.nan)  # of some candidates only
    >>> done = np.arange(200) % 2 == 0
    >>> surrogate = DeltaSurrogate("extra_trees", n_trees=50)
    >>> surrogate = surrogate.fit(X[done], dft[done], baseline=chgnet[done])
    >>> first_look = surrogate.predict(X[~done])
    >>> second_look = surrogate.predict(X[~done], baseline=chgnet[~done])
    >>> has_chgnet = ~np.isnan(chgnet[~done])
    >>> bool((second_look.std[has_chgnet] < 0.5 * first_look.std[has_chgnet]).all())
    True
    >>> bool((second_look.std[~has_chgnet] == first_look.std[~has_chgnet]).all())
    True
    """

    def __init__(self, surrogate: str = "xgboost", *, mode: str = "correct", **options: Any) -> None:
        check_choice("mode", mode, MODES)
        self.name, self.mode = surrogate, mode
        self.options = {name: plain(value) for name, value in options.items()}
        self._plain = self._made()
        self._correction: CalibratedSurrogate | None = None
        self.slope: float | None = None
        self._filling = 0.0
        if self._plain.surrogate.task == "classification":
            raise UserError("a cheap result corrects a regression: leave the task classification out")
        if mode == "feature" and self.takes != "features":
            raise UserError(f"surrogate {surrogate} takes {self.takes}, to which no feature is added: use mode correct")
        if mode == "correct" and self._plain.transform != "none":
            raise UserError("a correction has both signs and no transform: use mode feature, or leave transform out")

    def _made(self) -> CalibratedSurrogate:
        return make_surrogate(self.name, **self.options)

    @property
    def takes(self) -> str:
        """What it learns from."""
        return self._plain.surrogate.takes

    @property
    def calibrations(self) -> dict[str, CalibrationReport | ProbabilityReport]:
        """Report on the rows with a cheap result, ``known``, where there were enough, and on ``unknown`` or all."""
        reports = {_UNKNOWN: self._plain.calibration}
        return reports if self._correction is None else {_KNOWN: self._correction.calibration, **reports}

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None, *, baseline: ArrayLike) -> Self:
        """Learn from rows with a dear result.

        Parameters
        ----------
        X, y, groups
            As `CalibratedSurrogate.fit` takes them.
        baseline
            Cheap result of each row, in the unit of y, shape (n,); NaN where there is none. With the mode ``correct``
            and a cheap result of fewer than 10 rows, nothing is corrected.

        Raises
        ------
        UserError
            No row has a cheap result, there is not one per row, or it is infinite.
        """
        inputs, target, labels = checked_data(self._plain.surrogate.takes, X, y, groups)
        cheap = _checked(baseline, len(target))
        known = ~np.isnan(cheap)
        if not known.any():
            raise UserError("no row has a cheap result: use make_surrogate, or calculate some")
        self._plain, self._correction, self.slope = self._made(), None, None
        if self.mode == "feature":
            self._filling = float(np.median(cheap[known]))
            self._plain.fit(self._with_columns(inputs, cheap), target, labels, kinds=_names(known))
            return self
        self._plain.fit(inputs, target, labels)
        slope = _slope(cheap[known], target[known])
        delta = target[known] - slope * cheap[known]
        if known.sum() >= max(MIN_ROWS, self._plain.folds) and (delta != delta[0]).any():
            own_labels = None if labels is None else labels[known]
            self._correction = self._made().fit(inputs.take(known), delta, own_labels)
            self.slope = slope
        return self

    def predict(self, X: Any, *, baseline: ArrayLike | None = None) -> Prediction:
        """Predict the dear result.

        Parameters
        ----------
        X
            As in `fit`.
        baseline
            Cheap result of each row, shape (n,), NaN where there is none; None where no row has one.
        """
        inputs = as_inputs(self._plain.surrogate.takes, X)
        cheap = _checked(np.full(len(inputs), np.nan) if baseline is None else baseline, len(inputs))
        known = ~np.isnan(cheap)
        if self.mode == "feature":
            return self._plain.predict(self._with_columns(inputs, cheap), kinds=_names(known))
        if self._correction is None or self.slope is None or not known.any():
            return self._plain.predict(inputs)
        correction = self._correction.predict(inputs.take(known))
        corrected = replace(correction, mean=self.slope * cheap[known] + correction.mean)
        return _merged(known, corrected, self._plain.predict(inputs.take(~known)))

    def _with_columns(self, inputs: Inputs, cheap: NDArray[np.float64]) -> FeatureInputs:
        """Return features with the cheap result, its median where unknown, and whether it is known."""
        assert isinstance(inputs, FeatureInputs)
        known = ~np.isnan(cheap)
        more = np.column_stack([np.where(known, cheap, self._filling), known]).astype(inputs.values.dtype)
        names = None if inputs.names is None else (*inputs.names, *_COLUMNS)
        values = np.concatenate([inputs.values, more], axis=1)
        return FeatureInputs(values, names, inputs.versions, inputs.compositions)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keep what was learnt in a folder, in native formats and without pickle."""
        place = Path(folder)
        self._plain.save(place / "plain")
        if self._correction is not None:
            self._correction.save(place / "correction")
        document = {
            "surrogate": self.name,
            "mode": self.mode,
            "options": self.options,
            "slope": self.slope,
            "filling": self._filling,
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
        file = Path(folder) / DOCUMENT
        with reading_document(file, "delta surrogate") as document:
            loaded = cls(document["surrogate"], mode=document["mode"], **document["options"])
            loaded.slope, loaded._filling = document["slope"], document["filling"]
            loaded._plain = CalibratedSurrogate.load(file.parent / "plain")
            if loaded.slope is not None:
                loaded._correction = CalibratedSurrogate.load(file.parent / "correction")
        return loaded


def _checked(baseline: ArrayLike, n: int) -> NDArray[np.float64]:
    cheap = np.asarray(baseline, dtype=float)
    if cheap.shape != (n,):
        raise UserError(f"expected one cheap result per row, shape ({n},), NaN where unknown, got {cheap.shape}")
    if np.isinf(cheap).any():
        raise UserError(f"the cheap result of row {int(np.isinf(cheap).argmax())} is infinite: put NaN if unknown")
    return cheap


def _names(known: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.where(known, _KNOWN, _UNKNOWN)


def _slope(cheap: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Slope of the least squares line of the target on the cheap result; 1 where it cannot be told."""
    centred = cheap - cheap.mean()
    squares = float((centred**2).sum())
    if len(cheap) < MIN_ROWS or squares == 0:
        return 1.0
    return float((centred * (target - target.mean())).sum() / squares)


def _merged(known: NDArray[np.bool_], first: Prediction, second: Prediction) -> Prediction:
    """Put the predictions of known rows and of the others into their places."""

    def placed(of_known: Any, of_others: Any) -> NDArray[np.float64]:
        out = np.empty(len(known))
        out[known], out[~known] = of_known, of_others
        return out

    parts: dict[str, Any] = {}
    for name in ("aleatoric", "epistemic", "distance"):
        one, other = getattr(first, name), getattr(second, name)
        parts[name] = None if one is None or other is None else placed(one, other)
    factors = None
    if first.factors and second.factors:
        factors = {percent: placed(first.factors[percent], second.factors[percent]) for percent in INTERVALS}
    return Prediction(placed(first.mean, second.mean), placed(first.std, second.std), factors=factors, **parts)
