"""What every surrogate is: numbers in, mean and standard deviation out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHUNK_ROWS = 32_768
"""Rows predicted at a time: bounds the memory beside features and result."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate expects, in the unit of the target.

    Attributes
    ----------
    mean
        Expected value, shape (n,).
    std
        Standard deviation, shape (n,), >= 0.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ValueError(f"mean and std must have one shape (n,), got {self.mean.shape} and {self.std.shape}")

    def __len__(self) -> int:
        return len(self.mean)


@dataclass(kw_only=True)
class Surrogate(ABC):
    """A model of a calculation's result.

    Subclasses are dataclasses whose fields are their options; they add `_fit` and `_predict`. The same data, options
    and seed give the same predictions to the last bit, also in another process. NaN among the features is allowed.

    Parameters
    ----------
    seed
        Seed of everything random.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        self._n_features: int | None = None
        self.check_number("seed", self.seed, 0, integer=True)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from n rows.

        Parameters
        ----------
        X
            Features, shape (n, n_features); NaN where unknown.
        y
            Target, shape (n,), finite.

        Raises
        ------
        ValueError
            Shapes do not match, there is no row, a feature is infinite or a target is not finite.
        """
        features, target = checked_data(X, y)
        self._fit(features, target)
        self._n_features = features.shape[1]
        return self

    def predict(self, X: ArrayLike) -> Prediction:
        """Mean and std, as the model sees it, of each row of X, shape (n, n_features)."""
        features = np.asarray(X)
        if self._n_features is None:
            raise RuntimeError("fit the surrogate before it predicts")
        if features.ndim != 2 or features.shape[1] != self._n_features:
            raise ValueError(f"expected {self._n_features} features in columns, got the shape {features.shape}")
        mean, std = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            mean[rows], std[rows] = self._predict(features[rows])
        return Prediction(mean, std)

    def unfitted(self) -> Self:
        """Return a new surrogate with the same options that has learnt nothing."""
        return replace(self)

    @abstractmethod
    def _fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> None: ...

    @abstractmethod
    def _predict(self, X: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]: ...

    @staticmethod
    def check_number(
        name: str, value: Any, low: float, high: float = np.inf, *, integer: bool = False, above: bool = False
    ) -> None:
        """Raise a `UserError` unless an option is a number within its bounds (`above`: not at the lower one)."""
        kind = (int, np.integer) if integer else (int, float, np.integer, np.floating)
        inside = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high
        if not inside or (above and value == low):
            sign = ">" if above else ">="
            bounds = f"{sign} {low:g}" + (f" and <= {high:g}" if high < np.inf else "")
            raise UserError(f"option {name} must be {'an integer' if integer else 'a number'} {bounds}, got {value!r}")


def checked_data(X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Training data as float64 arrays of shape (n, n_features) and (n,), or a ValueError that says what is wrong."""
    features, target = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if features.ndim != 2 or target.shape != (len(features),):
        raise ValueError(
            f"expected X of shape (n, n_features) and y of shape (n,), got {features.shape}, {target.shape}"
        )
    if not features.size:
        raise ValueError(f"nothing to learn from: X has the shape {features.shape}")
    if not np.isfinite(target).all():
        raise ValueError(f"y is not finite in row {int((~np.isfinite(target)).argmax())}")
    if np.isinf(features).any():
        raise ValueError(f"X is infinite in column {int(np.isinf(features).any(axis=0).argmax())}")
    return features, target
