"""Surrogates that the others must beat: one knows no features, the other only sums of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.db.files import write_whole
from matscout.models.base import FeatureSurrogate, Task
from matscout.models.kept_files import read_arrays, reading
from matscout.models.members import of_probabilities
from matscout.models.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_FILE = "ridge.npz"


@dataclass(kw_only=True)
class Dummy(FeatureSurrogate):
    """Mean and std of the targets for everything: what is known without features."""

    name: ClassVar[str] = "dummy"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        self._mean, self._std = float(y.mean()), float(y.std())

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        return Prediction(np.full(len(X), self._mean), np.full(len(X), self._std))

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        return {"mean": self._mean, "std": self._std}

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._mean, self._std = state["mean"], state["std"]


@dataclass(kw_only=True)
class Ridge(FeatureSurrogate):
    """A linear function of standardised features with a normal prior.

    Hoerl, Kennard, Technometrics 12, 55 (1970), doi:10.1080/00401706.1970.10488634. The penalty is the one whose
    leave-one-out error on the training rows is the least. Aleatoric is the noise about the function, epistemic what the
    data leave unknown of it. Features that are constant in training are left out. A classification is a logistic
    regression, whose probability is the mean over Laplace's posterior of the coefficients. Nothing is random: the seed
    does not count.

    Parameters
    ----------
    strength
        Penalty of the squared coefficients, per row; None chooses it.
    """

    name: ClassVar[str] = "ridge"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")

    strength: float | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strength is not None:
            self.check_number("strength", self.strength, 0, above=True)

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        from matscout.models.linear import fit_logistic, fit_squares

        fit = fit_logistic if self.task == "classification" else fit_squares
        self._posterior = fit(X, y) if self.strength is None else fit(X, y, np.array([float(self.strength)]))

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        mean, variance = self._posterior.evaluate(X)
        if self.task == "classification":
            from scipy.special import expit

            from matscout.models.linear import expected

            chance = expected(expit, mean, variance)
            return of_probabilities(chance, expected(lambda logit: expit(logit) ** 2, mean, variance) - chance**2)
        noise = self._posterior.noise
        return Prediction(mean, np.sqrt(noise + variance), np.full(len(X), np.sqrt(noise)), np.sqrt(variance))

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        arrays = self._posterior.as_arrays()
        write_whole(folder / _FILE, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]
        return {"strength": self._posterior.strength}

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        from matscout.models.linear import LinearPosterior

        with reading(folder / _FILE):
            self._posterior = LinearPosterior.of_arrays(read_arrays(folder / _FILE))
