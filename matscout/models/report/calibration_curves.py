"""Whether a std means what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from matscout.errors import UserError
from matscout.models.error_laws import spearman
from matscout.models.report import measures
from matscout.models.report.documents import Document, Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

NOMINAL = tuple(percent / 100 for percent in range(5, 100, 5))
"""Central intervals of a calibration curve."""


class StdBin(Document):
    """Rows with similar predicted std."""

    n: int = Field(description="Rows")
    std: float = Field(description="Root mean square of their std, in the unit of the target")
    rmse: float = Field(description="Root mean square of their errors")
    mae: float = Field(description="Mean absolute error")


class CalibrationCurve(Document):
    """How often targets lie within the intervals that a normal distribution gives."""

    n: int = Field(description="Predictions")
    nominal: tuple[float, ...] = Field(description="Share that a central interval should hold")
    observed: tuple[float, ...] = Field(description="Share of the targets that it holds")
    miscalibration_area: Number = Field(description="Area between observed and nominal; 0 is perfect, 0.5 the worst")
    sharpness: Number = Field(description="Root mean square of the std, in the unit of the target")
    nll: Number = Field(description="Mean negative log-likelihood, nat; None where a std is 0")
    crps: Number = Field(description="Mean continuous ranked probability score, in the unit of the target")
    spearman: Number = Field(description="Rank correlation of absolute error and std")
    bins: tuple[StdBin, ...] = Field(description="Rows in order of their std, in parts of equal number")
    of_logarithm: bool = Field(
        default=False, description="Whether all this is of the natural logarithm of the target, and without unit"
    )


class IntervalScore(Document):
    """A calibrated interval."""

    percent: int = Field(description="Share of the targets that it is to hold, %")
    coverage: float = Field(description="Share of the targets that it holds")
    mean_width: float = Field(description="Mean of upper minus lower end, in the unit of the target")


def calibration_curve(y: ArrayLike, mean: ArrayLike, std: ArrayLike, *, n_bins: int = 10) -> CalibrationCurve:
    """Compare errors with the std predicted for them.

    Kuleshov, Fenner, Ermon, ICML (2018), arXiv:1807.00263, with central intervals; the area as in Tran et al., Mach.
    Learn.: Sci. Technol. 1, 025006 (2020), doi:10.1088/2632-2153/ab7e1a. Errors over binned std: Levi et al., Sensors
    22, 5540 (2022), doi:10.3390/s22155540.

    Parameters
    ----------
    y, mean, std
        Targets, predictions and their standard deviations, shape (n,).
    n_bins
        Parts of equal number, in order of std; fewer where there are fewer rows.

    Raises
    ------
    UserError
        A std is negative.
    ValueError
        Shapes do not match, there is no row, or a value is not finite.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(size=10_000)
    >>> calibration_curve(y, np.zeros(10_000), np.ones(10_000)).miscalibration_area < 0.01
    True
    """
    target, predicted, spread = measures.checked("calibration curve", y, mean, std)
    if spread.min() < 0:
        raise UserError(f"a standard deviation must not be negative, got {spread.min():g}")
    error = np.abs(target - predicted)
    observed = [float((error <= ndtri(0.5 + share / 2) * spread).mean()) for share in NOMINAL]
    ends = np.array([0.0, *NOMINAL, 1.0])
    return CalibrationCurve(
        n=len(target),
        nominal=NOMINAL,
        observed=tuple(observed),
        miscalibration_area=area_between(ends, np.array([0.0, *observed, 1.0]) - ends),
        sharpness=float(np.sqrt((spread**2).mean())),
        nll=measures.normal_nll(target, predicted, spread),
        crps=float(measures.normal_crps(target, predicted, spread).mean()),
        spearman=spearman(error, spread),
        bins=_bins(error, spread, n_bins),
    )


def area_between(x: NDArray[np.float64], height: NDArray[np.float64]) -> float:
    """Area between the zero line and straight lines through points, on either side of it.

    Examples
    --------
    >>> area_between(np.array([0.0, 1.0]), np.array([-1.0, 1.0]))
    0.5
    """
    total = 0.0
    for width, left, right in zip(np.diff(x), height[:-1], height[1:], strict=True):
        if left * right < 0:  # two triangles
            total += width * (left**2 + right**2) / (2 * (abs(left) + abs(right)))
        else:
            total += width * (abs(left) + abs(right)) / 2
    return float(total)


def interval_scores(y: ArrayLike, intervals: Mapping[int, NDArray[np.float64]]) -> tuple[IntervalScore, ...]:
    """Share of targets, shape (n,), that lie within intervals of shape (n, 2), by their percentage."""
    target = measures.checked("interval scores", y)[0]
    return tuple(
        IntervalScore(
            percent=percent,
            coverage=float(((target >= ends[:, 0]) & (target <= ends[:, 1])).mean()),
            mean_width=float((ends[:, 1] - ends[:, 0]).mean()),
        )
        for percent, ends in sorted(intervals.items())
    )


def _bins(error: NDArray[np.float64], std: NDArray[np.float64], n_bins: int) -> tuple[StdBin, ...]:
    order = np.argsort(std, kind="stable")
    parts = np.array_split(order, min(n_bins, len(order)))
    return tuple(
        StdBin(
            n=len(part),
            std=float(np.sqrt((std[part] ** 2).mean())),
            rmse=float(np.sqrt((error[part] ** 2).mean())),
            mae=float(error[part].mean()),
        )
        for part in parts
    )
