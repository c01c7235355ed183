"""What was found when a surrogate was calibrated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.models.error_laws import INTERVALS, coverage, cross_coverage, spearman

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matscout.models.error_laws import ErrorLaw, ErrorLaws
    from matscout.models.held_out import HeldOut
    from matscout.models.prediction import Prediction


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """How a surrogate did on rows that it had not seen, before and after calibration.

    Numbers are in the unit of the target and refer to held-out predictions. NaN (None in `as_dict`) where there are
    none.

    Attributes
    ----------
    n
        Rows learnt from.
    n_held_out
        Rows that were held out: all, but where one part alone was.
    folds
        Parts that were held out in turn; 0 where there were too few rows.
    grouped
        Whether rows of one group were held out together. False also where one group, with more than half of the rows,
        had to be parted, or groups left no part of a fit size: errors on new groups may then be larger.
    smallest_training_share
        Share of the rows that the model learnt from, of those judged by held-out rows, which learnt from the fewest.
    fallback
        True where there were too few rows to calibrate: std is then the std of the targets for every candidate.
    transform
        What was learnt in the target's place.
    mae, rmse
        Mean absolute error, root mean square error.
    spearman
        Rank correlation of prediction and target.
    spearman_error
        Rank correlation of calibrated std and absolute error: whether the surrogate knows where it errs.
    coverage_before
        Share of the targets within the central interval of a normal distribution with the surrogate's own std, by its
        nominal percentage.
    coverage_after
        Share within the calibrated interval, where its law and factors were fitted to other folds. It is that of
        intervals that are not widened: the distance of held-out rows to the rows learnt from is not measured.
    factors
        How many calibrated std to each side of the mean the interval reaches; the law of all rows, by percentage.
    slope, intercept
        Calibrated std = slope * std + intercept; of the logarithm where that was learnt.
    floor
        Smallest calibrated std.
    mean_std
        Mean of the calibrated std.
    kinds
        Rows held out of each kind that has a law of its own.
    rows
        Which rows were held out, ascending, shape (n_held_out,).
    out_of_fold
        Their held-out prediction with calibrated std; None where there is none, and after loading.
    """

    n: int
    n_held_out: int
    folds: int
    grouped: bool
    smallest_training_share: float
    fallback: bool
    transform: str
    mae: float
    rmse: float
    spearman: float
    spearman_error: float
    coverage_before: dict[int, float]
    coverage_after: dict[int, float]
    factors: dict[int, float]
    slope: float
    intercept: float
    floor: float
    mean_std: float
    kinds: dict[str, int]
    rows: NDArray[np.intp] | None = None
    out_of_fold: Prediction | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report without the single predictions, ready for JSON."""
        document: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                document[field.name] = {str(key): _none_if_nan(share) for key, share in value.items()}
            elif field.name not in ("rows", "out_of_fold"):
                document[field.name] = _none_if_nan(value)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Take up what `as_dict` returned."""
        values: dict[str, Any] = {name: _nan_if_none(value) for name, value in document.items()}
        for name in ("coverage_before", "coverage_after", "factors"):
            values[name] = {int(percent): _nan_if_none(share) for percent, share in document[name].items()}
        return cls(**values)


def report_of(
    held_out: HeldOut,
    laws: ErrorLaws,
    error: NDArray[np.float64],
    target: NDArray[np.float64],
    predicted: Prediction,
    kinds: NDArray[np.str_] | None,
    transform: str,
) -> CalibrationReport:
    """Report on held-out rows.

    Parameters
    ----------
    held_out, laws
        What was held out, and the laws fitted to it.
    error
        Of the held-out rows, in the unit of what was learnt, shape (m,).
    target
        Of all rows, shape (n,).
    predicted
        Held-out rows with calibrated std, in the unit of the target.
    kinds
        Kind of each held-out row, shape (m,).
    transform
        What was learnt in the target's place.
    """
    rows, law = held_out.rows, laws.overall
    miss = target[rows] - predicted.mean
    return CalibrationReport(
        n=len(target),
        n_held_out=len(rows),
        folds=held_out.n_fits,
        grouped=held_out.grouped,
        smallest_training_share=held_out.smallest_training_share,
        fallback=False,
        transform=transform,
        mae=float(np.abs(miss).mean()),
        rmse=float(np.sqrt((miss**2).mean())),
        spearman=spearman(predicted.mean, target[rows]),
        spearman_error=spearman(predicted.std, np.abs(miss)),
        coverage_before=coverage(error, held_out.std),
        coverage_after=cross_coverage(held_out.std, error, law.floor, held_out.fold_of_row, kinds),
        factors=law.factors,
        slope=law.slope,
        intercept=law.intercept,
        floor=law.floor,
        mean_std=float(predicted.std.mean()),
        kinds={} if kinds is None else {kind: int((kinds == kind).sum()) for kind in laws.of_kind},
        rows=rows,
        out_of_fold=predicted,
    )


def report_of_few(n: int, law: ErrorLaw, transform: str) -> CalibrationReport:
    """Report where n rows are too few to calibrate, and the law takes the spread of the targets."""
    nan, unknown = float("nan"), dict.fromkeys(INTERVALS, float("nan"))
    return CalibrationReport(
        n=n,
        n_held_out=0,
        folds=0,
        grouped=False,
        smallest_training_share=nan,
        fallback=True,
        transform=transform,
        mae=nan,
        rmse=nan,
        spearman=nan,
        spearman_error=nan,
        coverage_before=unknown,
        coverage_after=unknown,
        factors={},
        slope=0.0,
        intercept=law.intercept,
        floor=law.floor,
        mean_std=nan if transform == "log" else law.intercept,
        kinds={},
    )


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _nan_if_none(value: Any) -> Any:
    return float("nan") if value is None else value
