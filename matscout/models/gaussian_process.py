"""A Gaussian process: the surrogate for little data, that knows where it has seen none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.errors import UserError
from matscout.featurizers.selection.scale import Scale
from matscout.models.base import FeatureSurrogate
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.kept_files import read_tensors
from matscout.models.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models._gaussian_process_posterior import Learnt

FILE = "gaussian_process.safetensors"
"""File in a kept surrogate's folder."""

UNIT_CUBE = 1 / np.sqrt(12)
"""Standard deviation of a number that is anything from 0 to 1: the features' own, once scaled, as the prior has it."""


@dataclass(kw_only=True)
class GaussianProcess(FeatureSurrogate):
    """A Gaussian process with a length scale for each feature, a constant mean, and noise.

    Hyperparameters are the most probable ones under the prior of Hvarfner, Hellsten, Nardi, Vanilla Bayesian
    optimization performs great in high dimensions, ICML 235, 20793 (2024), arXiv:2402.02229, which is BoTorch's:
    length scales of about the square root of the number of features, so that hundreds of features do no harm. That
    prior is for features in the unit cube; here they are brought to its standard deviation. Constant ones are left
    out.

    Up to `exact_rows` the posterior is exact. Above it is that of a sparse process (Titsias, AISTATS 567 (2009)):
    all rows count, by way of `inducing_points` of them. These are drawn at random: on formation energies, farthest or
    most uncertain rows were worse, and centres of clusters no better.

    The epistemic part of a prediction's std is that of the function, the aleatoric part the noise. Both are larger
    where the errors of training rows, each left out, are larger than the process expects (`local_sizes`).

    Parameters
    ----------
    kernel
        ``matern``: twice differentiable functions, Matérn 5/2; ``rbf``: smoother ones.
    ard
        Whether each feature has a length scale of its own; else there is one for all.
    exact_rows
        Up to so many rows the posterior is exact.
    above
        With more rows: ``sparse``; or ``refuse``.
    inducing_points
        Of the sparse process.
    hyperparameter_rows
        Rows, drawn at random, from which hyperparameters are learnt, where there are more.
    max_iterations
        Steps of the search for hyperparameters, at most.
    local_sizes
        Whether the size of errors may vary from place to place; else the std depends on nothing but the distances to
        the data.
    n_threads
        Threads. Another number gives the same to rounding, not to the last bit.
    device
        ``cpu``, ``cuda``; ``auto`` takes a GPU where there is one.
    """

    name: ClassVar[str] = "gaussian_process"

    kernel: str = "matern"
    ard: bool = True
    exact_rows: int = 3000
    above: str = "sparse"
    inducing_points: int = 1000
    hyperparameter_rows: int = 1000
    max_iterations: int = 100
    local_sizes: bool = True
    n_threads: int = 1
    device: str = "auto"

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("kernel", self.kernel, ("matern", "rbf"))
        self.check_choice("above", self.above, ("sparse", "refuse"))
        self.check_choice("device", self.device, ("auto", "cpu", "cuda"))
        for name in ("ard", "local_sizes"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"option {name} must be true or false, got {getattr(self, name)!r}")
        for name in ("exact_rows", "inducing_points", "hyperparameter_rows", "max_iterations", "n_threads"):
            self.check_number(name, getattr(self, name), 1, integer=True)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise, in the unit of the target; where sizes are local, that far from the data."""
        return self._target[1] * float(np.sqrt(self._posterior.noise))

    def joint(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean, shape (n,), and covariance, shape (n, n), of the function at n rows, in the unit of the target.

        The roots of the covariance's diagonal are the epistemic parts of the prediction. Memory grows as n^2.
        """
        from matscout.models import _gaussian_process_torch as gp

        if self._training is None:
            raise RuntimeError("fit the surrogate before it predicts")
        inputs = as_inputs("features", X)
        assert isinstance(inputs, FeatureInputs)
        self._check_inputs(inputs)
        centre, size = self._target
        with gp.threads(self.n_threads):
            mean, covariance = self._posterior.joint(self._scaled(self._known(inputs)))
        return centre + size * mean, size**2 * covariance

    def _scaled(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features as the process takes them, shape (n, columns that varied in training)."""
        return np.asarray((X[:, self._kept] - self._mean) * self._weight, dtype=np.float64)

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        from matscout.models import _gaussian_process_torch as gp
        from matscout.models._gaussian_process_posterior import Learnt, condense

        if len(X) > self.exact_rows and self.above == "refuse":
            raise UserError(
                f"{len(X)} rows are more than exact_rows ({self.exact_rows}): the time of an exact Gaussian process "
                f"grows as n^3, its memory as n^2 ({8 * len(X) ** 2 / 1e9:.1f} GB a matrix here). Set above to sparse, "
                "raise exact_rows, or take another surrogate, such as xgboost"
            )
        scale = Scale(X)
        # where no column varies one stays, so that there is something to measure distances in
        self._kept = np.flatnonzero(scale.weight) if scale.weight.any() else np.arange(1)
        self._mean, self._weight = scale.mean[self._kept], scale.weight[self._kept] * UNIT_CUBE
        self._target = (float(y.mean()), float(y.std()) or 1.0)
        rng = np.random.default_rng(self.seed)
        with gp.threads(self.n_threads):
            Z = gp.tensor(self._scaled(X), self.device)
            t = gp.tensor((y - self._target[0]) / self._target[1], self.device)
            some = gp.tensor(_some_rows(len(X), self.hyperparameter_rows, rng), self.device)
            hyperparameters = gp.learn_hyperparameters(
                Z[some], t[some], self.kernel, ard=self.ard, max_iterations=self.max_iterations
            )
            if len(X) <= self.exact_rows:
                learnt = Learnt(hyperparameters, Z, target=t)
            else:
                rows = gp.tensor(_some_rows(len(X), self.inducing_points, rng), self.device)
                learnt = condense(hyperparameters, Z[rows], Z, t)
            self._take_up(learnt.with_sizes(Z, t) if self.local_sizes else learnt)

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        from matscout.models import _gaussian_process_torch as gp

        centre, size = self._target
        with gp.threads(self.n_threads):
            mean, variance, noise = self._posterior.marginals(self._scaled(X))
        epistemic, aleatoric = size * np.sqrt(variance), size * np.sqrt(noise)
        return Prediction(
            mean=centre + size * mean,
            std=np.hypot(epistemic, aleatoric),
            aleatoric=aleatoric,
            epistemic=epistemic,
        )

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        scale = {"kept": self._kept, "mean": self._mean, "weight": self._weight}
        save_file(self._learnt.tensors() | _as_tensors(scale), folder / FILE)
        return {"target": list(self._target)}

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        from matscout.models import _gaussian_process_torch as gp
        from matscout.models._gaussian_process_posterior import Learnt

        kept = read_tensors(folder / FILE)
        self._kept, self._mean, self._weight = (kept.pop(name).numpy().copy() for name in ("kept", "mean", "weight"))
        self._target = (state["target"][0], state["target"][1])
        with gp.threads(self.n_threads):
            self._take_up(Learnt.of_tensors(kept, self.kernel, self.device))

    def _take_up(self, learnt: Learnt) -> None:
        # the same whether learnt just now or kept: so a kept model predicts the same to the last bit
        self._learnt = learnt
        self._posterior = learnt.posterior()


def _some_rows(n: int, wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(n) if n <= wanted else np.sort(rng.choice(n, wanted, replace=False))


def _as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
