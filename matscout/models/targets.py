"""Transforms of a target, so that one interface serves any property."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.models.prediction import Prediction

TRANSFORMS = ("none", "log", "classify-then-regress", "classify-then-regress-log")
"""What a surrogate may learn in a target's place: itself; its logarithm, for properties that are positive and spread
over decades; whether it is above 0 and, of those, itself or its logarithm, for properties that are 0 for many, as band
gaps are."""

_LARGEST_LOG = 150.0  # 1e65: squares and ratios of such numbers are still floats


def to_log(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of a target, shape (n,).

    Raises
    ------
    UserError
        A target is not positive; the message names the first row.
    """
    wrong = ~(y > 0)
    if wrong.any():
        raise UserError(
            f"the logarithm needs positive targets: {int(wrong.sum())} of {len(y)} are not, the first is "
            f"{y[wrong][0]:g} in row {int(wrong.argmax())}. Leave them out, or set the option "
            "transform=classify-then-regress-log, which takes 0 too"
        )
    return np.log(y)


def from_log(prediction: Prediction) -> Prediction:
    """Prediction of a quantity from that of its logarithm, which is normally distributed.

    Mean and std are the moments of the log-normal distribution, exp(m + s^2 / 2) and mean * sqrt(exp(s^2) - 1), so that
    sums and averages of predictions are right; its `median`, exp(m), has the smaller absolute error. Intervals are
    those of the logarithm, transformed. Crow, Shimizu (eds.), Lognormal Distributions, Dekker (1988), ISBN 0824778030.

    Examples
    --------
    >>> from matscout.models.prediction import Prediction
    >>> found = from_log(Prediction(np.array([0.0]), np.array([1.0])))
    >>> found.mean.round(3).item(), found.std.round(3).item(), found.median.round(3).item()
    (1.649, 2.161, 1.0)
    """
    mean, std = log_normal_moments(prediction.mean, prediction.std)
    ratio = std / np.where(prediction.std > 0, prediction.std, 1.0)
    parts = {name: getattr(prediction, name) for name in ("aleatoric", "epistemic")}
    scaled = {name: None if part is None else part * ratio for name, part in parts.items()}
    return replace(prediction, mean=mean, std=std, law="log-normal", limits=(0.0, np.inf), **scaled)


def log_normal_moments(
    m: NDArray[np.float64], s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std of exp(x) for a normally distributed x of mean m and std s, each of shape (n,); never infinite."""
    variance = np.minimum(s**2, _LARGEST_LOG)
    log_mean = m + variance / 2
    log_std = log_mean + 0.5 * np.log(np.where(variance > 0, np.expm1(variance), 1.0))
    mean, std = (np.exp(np.clip(log, -_LARGEST_LOG, _LARGEST_LOG)) for log in (log_mean, log_std))
    return mean, np.where(variance > 0, std, 0.0)
