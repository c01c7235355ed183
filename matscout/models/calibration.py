"""Make a surrogate's std mean what it says.

The spread of an ensemble orders candidates by uncertainty, but is several times too small. Held-out errors tell how
much: Palmer et al., Calibration after bootstrap for accurate uncertainty quantification in regression models, npj
Comput. Mater. 8, 115 (2022), doi:10.1038/s41524-022-00794-8.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import ndtri

from matscout.errors import UserError
from matscout.models.base import Prediction, Surrogate, checked_data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

INTERVALS = (50, 80, 90)
"""Central intervals whose coverage is reported, in percent."""

MIN_ROWS = 10
"""With fewer rows held-out errors say too little; the std of the targets stands in for the std of each prediction."""

FLOOR = 0.01
"""Smallest std, as a share of the std of the targets: nothing is known better than that from tens of rows."""


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """How a surrogate did on rows that it had not seen, before and after calibration.

    Numbers are in the unit of the target and refer to held-out predictions. NaN (None in `as_dict`) where there are
    none.

    Attributes
    ----------
    n
        Rows learnt from.
    folds
        Parts that were held out in turn; 0 where there were too few rows.
    grouped
        Whether rows of one group were held out together.
    fallback
        True where there were too few rows to calibrate: std is then the std of the targets for every candidate.
    mae, rmse
        Mean absolute error, root mean square error.
    spearman
        Rank correlation of prediction and target.
    coverage_before, coverage_after
        Share of the targets within the central interval, by its nominal percentage.
    slope, intercept
        Calibrated std = slope * std + intercept.
    floor
        Smallest calibrated std.
    mean_std
        Mean of the calibrated std.
    out_of_fold
        Held-out prediction with calibrated std, in the order of the rows; None where there is none.
    """

    n: int
    folds: int
    grouped: bool
    fallback: bool
    mae: float
    rmse: float
    spearman: float
    coverage_before: dict[int, float]
    coverage_after: dict[int, float]
    slope: float
    intercept: float
    floor: float
    mean_std: float
    out_of_fold: Prediction | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report without the single predictions, ready for JSON."""
        document: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                document[field.name] = {str(percent): _none_if_nan(share) for percent, share in value.items()}
            elif field.name != "out_of_fold":
                document[field.name] = _none_if_nan(value)
        return document


class CalibratedSurrogate:
    """A surrogate whose std is fitted to its errors on held-out rows.

    Parameters
    ----------
    surrogate
        The model; its own std is what is calibrated.
    folds
        Parts of a cross-validation.

    Attributes
    ----------
    calibration
        The `CalibrationReport` of the last fit.
    """

    calibration: CalibrationReport

    def __init__(self, surrogate: Surrogate, *, folds: int = 5) -> None:
        Surrogate.check_number("folds", folds, 2, integer=True)
        self.surrogate = surrogate
        self.folds = folds

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from all rows, and calibrate on rows held out in turn.

        Parameters
        ----------
        X
            Features, shape (n, n_features); NaN where unknown.
        y
            Target, shape (n,), finite.
        groups
            Label of each row, shape (n,), as its chemical system: rows of one group are held out together, so that
            the errors are those on new groups. None, or one single group, holds out rows at random.

        Raises
        ------
        UserError
            There are fewer than two rows: no spread can be told from one.
        ValueError
            Shapes do not match, or there are infinite values.
        """
        features, target = checked_data(X, y)
        if len(target) < 2:
            raise UserError("a surrogate needs at least two results to learn from, got 1: calculate more first")
        labels = None if groups is None else np.asarray(groups)
        if labels is not None and labels.shape != target.shape:
            raise ValueError(f"expected {len(target)} groups, got the shape {labels.shape}")
        self.surrogate.fit(features, target)
        if len(target) < MIN_ROWS:
            self.calibration = _fallback(target)
            return self
        fold_of_row, grouped = assign_folds(len(target), self.folds, labels, seed=self.surrogate.seed)
        held_out = self._held_out(features, target, fold_of_row)
        self.calibration = _report(target, held_out, folds=int(fold_of_row.max()) + 1, grouped=grouped)
        return self

    def predict(self, X: ArrayLike) -> Prediction:
        """Mean and calibrated std of each row of X, shape (n, n_features)."""
        if not hasattr(self, "calibration"):
            raise RuntimeError("fit the surrogate before it predicts")
        raw = self.surrogate.predict(X)
        report = self.calibration
        return Prediction(raw.mean, apply(raw.std, report.slope, report.intercept, report.floor))

    def _held_out(self, X: NDArray[np.float64], y: NDArray[np.float64], fold_of_row: NDArray[np.intp]) -> Prediction:
        mean, std = np.empty(len(y)), np.empty(len(y))
        for fold in range(int(fold_of_row.max()) + 1):
            held = fold_of_row == fold
            model = self.surrogate.unfitted().fit(X[~held], y[~held])
            prediction = model.predict(X[held])
            mean[held], std[held] = prediction.mean, prediction.std
        return Prediction(mean, std)


def assign_folds(n: int, folds: int, groups: NDArray[Any] | None = None, *, seed: int) -> tuple[NDArray[np.intp], bool]:
    """Part to which each row belongs, and whether groups were kept together.

    Parameters
    ----------
    n
        Number of rows.
    folds
        Number of parts wanted; there are fewer where there are fewer rows or groups.
    groups
        Label of each row, shape (n,). The largest groups are dealt first, each to the smallest part so far.
    seed
        Order in which rows, or groups of equal size, are dealt.

    Returns
    -------
    Shape (n,), parts numbered from 0, none of them empty.
    """
    rng = np.random.default_rng(seed)
    if groups is not None:
        _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if len(sizes) > 1:
            order = rng.permutation(len(sizes))
            order = order[np.argsort(-sizes[order], kind="stable")]
            filled = np.zeros(min(folds, len(sizes)), dtype=np.intp)
            fold_of_group = np.empty(len(sizes), dtype=np.intp)
            for group in order.tolist():
                fold_of_group[group] = filled.argmin()
                filled[fold_of_group[group]] += sizes[group]
            return fold_of_group[group_of_row], True
    fold_of_row = np.empty(n, dtype=np.intp)
    fold_of_row[rng.permutation(n)] = np.arange(n) % min(folds, n)
    return fold_of_row, False


def fit_std(std: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, float]:
    """Slope a >= 0 and intercept b >= 0 that make errors most likely under a normal distribution of std a * std + b.

    Parameters
    ----------
    std, error
        Of held-out predictions, shape (n,), in one unit.

    Returns
    -------
    a and b; (0, 0) where all errors are 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> std = rng.uniform(0.1, 1.0, 100_000)
    >>> a, b = fit_std(std, rng.normal(0, 3 * std + 0.2))
    >>> round(a, 1), round(b, 1)
    (3.0, 0.2)
    """
    from scipy.optimize import minimize

    size, spread = float(np.sqrt(np.mean(error**2))), float(std.mean())
    if size == 0:
        return 0.0, 0.0
    if spread == 0:
        return 0.0, size
    x, e2 = std / spread, (error / size) ** 2

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sigma = parameters[0] * x + parameters[1]
        by_sigma = (1 - e2 / sigma**2) / sigma
        value = float(np.mean(np.log(sigma) + 0.5 * e2 / sigma**2))
        return value, np.array([np.mean(by_sigma * x), np.mean(by_sigma)])

    # in units of the mean std and the rms error; b > 0 keeps a std of 0 from an infinite likelihood
    starts = ([0.9, 0.1], [0.5, 0.5], [0.0, 1.0])
    fits = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (1e-3, None)]) for start in starts]
    a, b = min(fits, key=lambda fit: float(fit.fun)).x
    return float(a) * size / spread, float(b) * size


def apply(std: NDArray[np.float64], slope: float, intercept: float, floor: float) -> NDArray[np.float64]:
    """Calibrated std, shape (n,), at least `floor`."""
    return np.maximum(slope * std + intercept, floor)


def coverage(error: NDArray[np.float64], std: NDArray[np.float64]) -> dict[int, float]:
    """Share of errors within each of the central intervals of a normal distribution, by its percentage.

    Examples
    --------
    >>> coverage(np.array([0.0, 0.7, 1.0, 2.0]), np.ones(4))
    {50: 0.25, 80: 0.75, 90: 0.75}
    """
    return {percent: float(np.mean(np.abs(error) <= ndtri(0.5 + percent / 200) * std)) for percent in INTERVALS}


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation; NaN where one side is constant."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(first), rankdata(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1).prod())
    return float((centred[0] * centred[1]).sum() / norm) if norm else float("nan")


def _report(target: NDArray[np.float64], held_out: Prediction, *, folds: int, grouped: bool) -> CalibrationReport:
    error = target - held_out.mean
    slope, intercept = fit_std(held_out.std, error)
    floor = _floor(target)
    std = apply(held_out.std, slope, intercept, floor)
    return CalibrationReport(
        n=len(target),
        folds=folds,
        grouped=grouped,
        fallback=False,
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        spearman=spearman(held_out.mean, target),
        coverage_before=coverage(error, held_out.std),
        coverage_after=coverage(error, std),
        slope=slope,
        intercept=intercept,
        floor=floor,
        mean_std=float(std.mean()),
        out_of_fold=Prediction(held_out.mean, std),
    )


def _fallback(target: NDArray[np.float64]) -> CalibrationReport:
    nan = float("nan")
    std = max(float(target.std(ddof=1)), _floor(target))
    return CalibrationReport(
        n=len(target),
        folds=0,
        grouped=False,
        fallback=True,
        mae=nan,
        rmse=nan,
        spearman=nan,
        coverage_before=dict.fromkeys(INTERVALS, nan),
        coverage_after=dict.fromkeys(INTERVALS, nan),
        slope=0.0,
        intercept=std,
        floor=_floor(target),
        mean_std=std,
    )


def _floor(target: NDArray[np.float64]) -> float:
    # equal targets have no spread; the second term keeps std above 0 so that a probability stays defined
    return max(FLOOR * float(target.std()), 1e-9 * float(np.abs(target).max()), 1e-12)


def _none_if_nan(value: float) -> float | None:
    return None if isinstance(value, float) and np.isnan(value) else value
