"""Algebra of Gaussian processes on one device, in double precision; imported when one is fitted.

Written out for speed: gradients in closed form and hyperparameters searched by their logarithm, where a general
library differentiates; rows predicted in blocks of one size, so that a prediction does not depend on its neighbours.

Rasmussen, Williams, Gaussian Processes for Machine Learning, MIT Press (2006), chapters 2, 5 and 8.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

BLOCK = 512
"""Rows worked on at a time. Blocks are filled up to this size: products of matrices of one shape have one order of
sums, and so a row's prediction is the same to the last bit whatever the rows around it."""

LENGTHS, NOISES = (0.025, 1e5), (1e-4, 10.0)
"""Bounds of length scales, and of the noise as a share of the targets' variance: the lower ones are BoTorch's, at the
upper ones a feature, or the function, does not count any more."""

LEVEL_STD = 3.0
"""Standard deviation of the process's mean before there are data, as multiples of that of the targets: wide, but where
the data do not tell the mean it stays near theirs."""


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensor(array: NDArray[np.float64] | NDArray[np.intp], device: str) -> Tensor:
    """Copy an array to a device: ``cpu``, ``cuda``, or ``auto``."""
    place = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return torch.from_numpy(np.ascontiguousarray(array)).to(place, copy=True)


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """What is learnt of a process whose targets have a mean of 0 and a variance of 1.

    Attributes
    ----------
    kernel
        ``matern`` or ``rbf``.
    lengths
        Length scales, shape (n_features,), or (1,) for one in all directions.
    noise
        Variance of the noise.
    level
        Mean of the process.
    """

    kernel: str
    lengths: Tensor
    noise: float
    level: float = 0.0

    def covariance(self, one: Tensor, other: Tensor) -> Tensor:
        """Covariances of the function at two sets of rows, shape (n, m); of scaled features, shape (n, n_features)."""
        return _correlation(_squared_distances(one / self.lengths, other / self.lengths), self.kernel)[0]

    def own_covariance(self, points: Tensor) -> Tensor:
        """Covariances at one set of rows, shape (n, n), with variances of exactly 1."""
        return self.covariance(points, points).fill_diagonal_(1.0)


def _squared_distances(one: Tensor, other: Tensor) -> Tensor:
    squares = (one * one).sum(1)[:, None] + (other * other).sum(1)
    return squares.sub_(2 * (one @ other.T)).clamp_min_(0)


def _correlation(squares: Tensor, kernel: str) -> tuple[Tensor, Tensor]:
    """Kernel of squared distances, and minus its derivative by them."""
    if kernel == "rbf":
        value = torch.exp(squares * -0.5)
        return value, 0.5 * value
    root = torch.sqrt(5 * squares)
    decay = torch.exp(-root)
    slope = (1 + root) * decay
    return slope + (5 / 3) * squares * decay, (5 / 6) * slope


def triangular_inverse(factor: Tensor) -> Tensor:
    """Inverse of a lower triangular matrix."""
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse


def _inverse(factor: Tensor) -> Tensor:
    """Inverse of the matrix with this Cholesky factor.

    LAPACK's own way (torch.cholesky_inverse) waits for all threads again and again: on a busy machine two threads
    took twenty times as long as one.
    """
    root = triangular_inverse(factor)
    return root.T @ root


class Evidence:
    """Minus the logarithm of likelihood times prior, for each row, and its gradient.

    Called with the logarithms of the length scales and of the noise; the mean of the process is the most probable one.
    The prior is log-normal in each, as BoTorch has it.

    Parameters
    ----------
    X
        Scaled features, shape (n, n_features).
    y
        Targets of mean 0 and variance 1, shape (n,).
    """

    def __init__(self, X: Tensor, y: Tensor, kernel: str, *, ard: bool) -> None:
        self._X, self._y, self._kernel = X, y, kernel
        self.n_lengths = X.shape[1] if ard else 1
        self._location = np.r_[np.full(self.n_lengths, math.sqrt(2) + 0.5 * math.log(X.shape[1])), -4.0]
        self._width = np.r_[np.full(self.n_lengths, math.sqrt(3)), 1.0]
        self.bounds = np.log([LENGTHS] * self.n_lengths + [NOISES])

    @property
    def start(self) -> NDArray[np.float64]:
        """Where the prior is densest."""
        return np.asarray(np.clip(self._location - self._width**2, *self.bounds.T))

    def __call__(self, logarithms: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        n = len(self._y)
        value, gradient = self._likelihood(np.exp(logarithms))
        z = (logarithms - self._location) / self._width
        value += float((logarithms + 0.5 * z * z).sum())
        return value / n, (gradient + 1 + z / self._width) / n

    def level(self, logarithms: NDArray[np.float64]) -> float:
        """Most probable mean of the process, given the rest."""
        return self._level(_inverse(self._factor(np.exp(logarithms))[0]))

    def _level(self, inverse: Tensor) -> float:
        trust = inverse.sum(0)
        return float(trust @ self._y / (trust.sum() + 1 / LEVEL_STD**2))

    def _factor(self, parameters: NDArray[np.float64]) -> tuple[Tensor, Tensor, Tensor]:
        """Cholesky factor of the covariance, minus its derivatives by squared distances, and the features scaled."""
        Z = self._X / tensor(parameters[:-1], str(self._X.device))
        covariance, slope = _correlation(_squared_distances(Z, Z).fill_diagonal_(0.0), self._kernel)
        covariance.diagonal().add_(float(parameters[-1]))
        return torch.linalg.cholesky(covariance), slope, Z

    def _likelihood(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        factor, slope, Z = self._factor(parameters)
        inverse = _inverse(factor)
        level = self._level(inverse)
        y = self._y - level
        weights = inverse @ y
        value = 0.5 * y @ weights + factor.diagonal().log().sum() + 0.5 * len(y) * math.log(2 * math.pi)
        value += 0.5 * (level / LEVEL_STD) ** 2
        # the level being the most probable one, its own change changes nothing
        by_covariance = inverse.sub_(torch.outer(weights, weights)).mul_(0.5)
        by_noise = by_covariance.diagonal().sum()
        by_squares = slope.mul_(by_covariance)
        # squared distances fall twice as fast as a length's logarithm grows, in the direction of that length
        by_lengths = 4 * (by_squares.sum(1) @ (Z * Z) - ((by_squares @ Z) * Z).sum(0))
        if self.n_lengths == 1:
            by_lengths = by_lengths.sum(0, keepdim=True)
        return float(value), torch.cat([by_lengths, float(parameters[-1]) * by_noise[None]]).cpu().numpy()


def learn_hyperparameters(X: Tensor, y: Tensor, kernel: str, *, ard: bool, max_iterations: int) -> Hyperparameters:
    """Climb from where the prior is densest to the most probable hyperparameters.

    Parameters
    ----------
    X
        Scaled features, shape (n, n_features).
    y
        Targets of mean 0 and variance 1, shape (n,).
    """
    from scipy.optimize import Bounds, minimize

    evidence = Evidence(X, y, kernel, ard=ard)
    found = minimize(
        evidence,
        evidence.start,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(*evidence.bounds.T),
        options={"maxiter": max_iterations},
    )
    parameters = np.exp(found.x)
    lengths = tensor(parameters[:-1], str(X.device))
    return Hyperparameters(kernel, lengths, float(parameters[-1]), evidence.level(found.x))
