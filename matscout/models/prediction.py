"""What surrogates say of candidates: mean, standard deviation and what these stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Law = Literal["normal", "log-normal", "bernoulli"]
"""Distribution that mean and std are the moments of."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate expects, in the unit of the target.

    Attributes
    ----------
    mean
        Expected value, shape (n,); of a classification the probability of 1.
    std
        Standard deviation, shape (n,), >= 0.
    aleatoric
        The part of std that more data would not lessen, shape (n,); None where the model does not tell.
    epistemic
        The part that more data would lessen, shape (n,); None where the model does not tell. The squares of both parts
        sum to that of std.
    distance
        Distance to the training data, shape (n,), in units of what is usual among these; None where not measured.
        Above 1 the row is outside of the domain that the model was calibrated on.
    factors
        By percentage, how many std to each side of the mean hold that share of held-out targets, one number or, where
        rows of several kinds were calibrated apart, shape (n,); where empty, a normal distribution's are taken. Under
        a log-normal law they count in std of the logarithm.
    law
        What mean and std are the moments of: ``normal``; ``log-normal`` where the logarithm was learnt; ``bernoulli``
        in a classification, where the target is 1 with the probability mean, else 0.
    limits
        Smallest and largest value that the target can have; no interval reaches beyond.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    aleatoric: NDArray[np.float64] | None = None
    epistemic: NDArray[np.float64] | None = None
    distance: NDArray[np.float64] | None = None
    factors: Mapping[int, float | NDArray[np.float64]] | None = None
    law: Law = "normal"
    limits: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        if self.mean.ndim != 1:
            raise ValueError(f"mean must have the shape (n,), got {self.mean.shape}")
        for name in ("std", *_PARTS):
            part = getattr(self, name)
            if part is not None and part.shape != self.mean.shape:
                raise ValueError(f"mean and {name} must have one shape (n,), got {self.mean.shape} and {part.shape}")

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Whether each row is outside of the domain of the training data, shape (n,); False where not measured."""
        if self.distance is None:
            return np.zeros(len(self), dtype=bool)
        return np.asarray(self.distance > 1)

    def interval(self, percent: int = 90) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper end of the central interval that is to hold this share of the targets, each of shape (n,).

        In a classification they are the smallest and the largest of the fewest outcomes, 0 and 1, that together have at
        least this probability: 1 and 1 where 1 alone has it, 0 and 0 where 0 alone has it, else 0 and 1.

        Raises
        ------
        UserError
            The percentage is not within 0 and 100, or not among those that were calibrated.
        """
        if not 0 < percent < 100:
            raise UserError(f"an interval holds between 0 and 100 % of the targets, got {percent}")
        if self.law == "bernoulli":
            return self._outcomes(percent / 100)
        if not self.factors:
            from scipy.special import ndtri

            factor: float | NDArray[np.float64] = float(ndtri(0.5 + percent / 200))
        elif percent in self.factors:
            factor = self.factors[percent]
        else:
            raise UserError(f"no {percent} % interval was calibrated: choose of {sorted(self.factors)}")
        if self.law == "log-normal":
            centre, spread = self._log_moments()
            lower, upper = np.exp(centre - factor * spread), np.exp(np.minimum(centre + factor * spread, _LARGEST_LOG))
        else:
            lower, upper = self.mean - factor * self.std, self.mean + factor * self.std
        return np.maximum(lower, self.limits[0]), np.minimum(upper, self.limits[1])

    def _outcomes(self, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest of the fewest outcomes that have at least this probability; NaN where it is unknown."""
        one = (self.mean >= share) & (self.mean >= 0.5)
        zero = (1 - self.mean >= share) & ~one
        unknown = np.isnan(self.mean)
        return np.where(unknown, np.nan, np.where(one, 1.0, 0.0)), np.where(unknown, np.nan, np.where(zero, 0.0, 1.0))

    @property
    def median(self) -> NDArray[np.float64]:
        """Value that half of the targets are to exceed, shape (n,): the mean, but under a log-normal law below it."""
        return np.exp(self._log_moments()[0]) if self.law == "log-normal" else self.mean

    def _log_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and std of the logarithm of a log-normal law."""
        variance = np.log1p((self.std / self.mean) ** 2)
        return np.log(self.mean) - variance / 2, np.sqrt(variance)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Self:
        """Return some of the rows: by mask, by number or by slice."""
        parts: dict[str, Any] = {name: part[rows] for name in _PARTS if (part := getattr(self, name)) is not None}
        factors = self.factors and {
            percent: factor[rows] if isinstance(factor, np.ndarray) else factor
            for percent, factor in self.factors.items()
        }
        return replace(self, mean=self.mean[rows], std=self.std[rows], factors=factors, **parts)


_PARTS = ("aleatoric", "epistemic", "distance")
_LARGEST_LOG = 700.0  # exp of more is no float


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Put the predictions of consecutive rows behind each other; all tell the same parts, of one law.

    Where factors differ between them, each row keeps its own.

    Examples
    --------
    >>> one = Prediction(np.array([1.0]), np.array([0.1]))
    >>> joined([one, one]).mean.tolist()
    [1.0, 1.0]
    """
    if not parts:
        return Prediction(np.empty(0), np.empty(0))
    told: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in _PARTS if _tells(parts[0], name)
    }
    mean, std = (np.concatenate([getattr(one, name) for one in parts]) for name in ("mean", "std"))
    return replace(parts[0], mean=mean, std=std, factors=_joined_factors(parts), **told)


def _joined_factors(parts: Sequence[Prediction]) -> Mapping[int, float | NDArray[np.float64]] | None:
    first = parts[0].factors
    if not first or all(one.factors is first for one in parts):
        return first
    common = [percent for percent in first if all(percent in (one.factors or {}) for one in parts)]
    columns = {percent: [(one.factors or {})[percent] for one in parts] for percent in common}
    return {
        percent: factors[0]
        if all(np.ndim(factor) == 0 and factor == factors[0] for factor in factors)
        else np.concatenate([np.broadcast_to(f, len(one)) for f, one in zip(factors, parts, strict=True)])
        for percent, factors in columns.items()
    }


def _tells(prediction: Prediction, part: str) -> bool:
    return getattr(prediction, part) is not None
