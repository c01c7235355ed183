"""What a Gaussian process knows from its training data: posteriors, exact or by way of inducing points.

Rasmussen, Williams, Gaussian Processes for Machine Learning, MIT Press (2006), chapters 2, 5 and 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from matscout.models._gaussian_process_torch import BLOCK, Hyperparameters, tensor, triangular_inverse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

LOG_CHI_SQUARE = math.pi**2 / 2
"""Variance of the logarithm of a squared standard normal number, Abramowitz, Stegun, 26.4.36: what the size of one
error leaves open of the size of errors."""

SMALLEST_SQUARE = 1e-4  # of an error by its std, below which it tells nothing more
JITTER = 1e-8
"""Added to the variances of inducing points: nearly equal ones leave no digits otherwise."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a posterior is made of, and what is kept of it.

    Attributes
    ----------
    points
        Scaled features of the training rows, or of inducing points, shape (m, n_features).
    target
        Of the training rows, shape (m,); for inducing points their whitened covariance with all rows, times the
        targets' differences from the level.
    products
        For inducing points, the same covariance times its transpose, shape (m, m); None for an exact process.
    sizes
        Of another process with the same kernel, as `target`: of the logarithms of squared errors by their variance,
        where each row is left out; None where the std is the same for all that are equally far from the data.
    """

    hyperparameters: Hyperparameters
    points: Tensor
    target: Tensor
    products: Tensor | None = None
    sizes: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return all by name, in this process's memory."""
        own = self.hyperparameters
        named = {
            "lengths": own.lengths,
            "noise_and_level": torch.tensor([own.noise, own.level], dtype=torch.float64),
            "points": self.points,
            "target": self.target,
        }
        of_some = {"products": self.products, "sizes": self.sizes}
        named |= {name: value for name, value in of_some.items() if value is not None}
        return {name: value.cpu().contiguous() for name, value in named.items()}

    @classmethod
    def of_tensors(cls, named: Mapping[str, Tensor], kernel: str, device: str) -> Self:
        """Take up what `tensors` returned."""
        # copied by way of NumPy into memory of torch's own: sums can depend on how numbers lie in memory
        placed = {name: tensor(value.numpy(), device) for name, value in named.items()}
        hyperparameters = Hyperparameters(kernel, placed["lengths"], *placed["noise_and_level"].tolist())
        return cls(hyperparameters, placed["points"], placed["target"], placed.get("products"), placed.get("sizes"))

    def posterior(self) -> Posterior:
        """Solve for the weights of the points."""
        own = self.hyperparameters
        if self.products is None:
            covariance = own.own_covariance(self.points)
            known = _inverse_root(covariance, own.noise)
            weights = _solved(known, self.target - own.level)
            sizes = None if self.sizes is None else _solved(_inverse_root(covariance, LOG_CHI_SQUARE), self.sizes)
            return Posterior(own, self.points, weights, known, sizes=sizes)
        whitening = triangular_inverse(_factor(own, self.points))
        left = _inverse_root(self.products / own.noise, 1.0)
        weights = whitening.T @ _solved(left, self.target) / own.noise
        sizes = None
        if self.sizes is not None:
            solved = _solved(_inverse_root(self.products / LOG_CHI_SQUARE, 1.0), self.sizes)
            sizes = whitening.T @ solved / LOG_CHI_SQUARE
        return Posterior(own, self.points, weights, whitening, left @ whitening, sizes)

    def with_sizes(self, X: Tensor, y: Tensor) -> Learnt:
        """Let the size of errors vary from place to place, as the training rows show it.

        Leave-one-out errors are in closed form (Rasmussen, Williams, section 5.4.2). The logarithm of the variance is
        another process, after Goldberg, Williams, Bishop, Regression with input-dependent noise, NIPS 10, 493 (1997):
        of mean 0 and variance 1, with the kernel of the function: sizes vary along what the function varies along, and
        are the usual one where there are no data.

        Parameters
        ----------
        X
            Scaled features of all training rows, shape (n, n_features).
        y
            Their targets, shape (n,).
        """
        squares = self.posterior().left_out(X, y)
        sizes = torch.log(squares.clamp_min(SMALLEST_SQUARE))
        sizes -= sizes.mean()
        if self.products is not None:
            sizes = _told_by(sizes, self.hyperparameters, self.points, X)[0]
        return replace(self, sizes=sizes)


def condense(hyperparameters: Hyperparameters, points: Tensor, X: Tensor, y: Tensor) -> Learnt:
    """Let all rows count by way of inducing points; time grows as n m^2, memory as m^2.

    Parameters
    ----------
    points
        Scaled features of inducing points, shape (m, n_features).
    X
        Scaled features of the training rows, shape (n, n_features).
    y
        Targets of mean 0 and variance 1, shape (n,).
    """
    target, products = _told_by(y - hyperparameters.level, hyperparameters, points, X)
    return Learnt(hyperparameters, points, target, products)


def _told_by(values: Tensor, hyperparameters: Hyperparameters, points: Tensor, X: Tensor) -> tuple[Tensor, Tensor]:
    """Whitened covariance of inducing points with rows, times values of these, and times its own transpose."""
    whitening = triangular_inverse(_factor(hyperparameters, points))
    target, products = torch.zeros_like(points[:, 0]), torch.zeros_like(whitening)
    for start in range(0, len(X), BLOCK):
        part = slice(start, start + BLOCK)
        white = whitening @ hyperparameters.covariance(points, X[part])
        target += white @ values[part]
        products += white @ white.T
    return target, products


def _inverse_root(covariance: Tensor, noise: float) -> Tensor:
    """Lower triangular root of the inverse of a covariance with noise on its diagonal."""
    noisy = covariance.clone()
    noisy.diagonal().add_(noise)
    return triangular_inverse(torch.linalg.cholesky(noisy))


def _solved(root: Tensor, values: Tensor) -> Tensor:
    return root.T @ (root @ values)


def _factor(hyperparameters: Hyperparameters, points: Tensor) -> Tensor:
    covariance = hyperparameters.own_covariance(points)
    covariance.diagonal().add_(JITTER)
    factor: Tensor = torch.linalg.cholesky(covariance)
    return factor


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian process given its training data.

    Attributes
    ----------
    points
        Scaled features, shape (m, n_features).
    weights
        Mean of the function = the level and its covariances with the points times these, shape (m,).
    known
        Square root of how much of the prior's covariance the points take away, shape (m, m).
    unsure
        Square root of how much of that they give back, as they are not known exactly themselves; None where the
        process is exact.
    sizes
        The logarithm of the factor by which errors are larger in the square than the process says = its covariances
        with the points times these, shape (m,); None where that is 0.
    """

    hyperparameters: Hyperparameters
    points: Tensor
    weights: Tensor
    known: Tensor
    unsure: Tensor | None = None
    sizes: Tensor | None = None

    @property
    def noise(self) -> float:
        """Variance of the noise."""
        return self.hyperparameters.noise

    def marginals(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean, variance of the function, and variance of the noise at rows of scaled features, each of shape (n,)."""
        mean, variance, noise = np.empty(len(X)), np.empty(len(X)), np.empty(len(X))
        block = np.zeros((BLOCK, X.shape[1]))
        for start in range(0, len(X), BLOCK):
            part = X[start : start + BLOCK]
            block[: len(part)] = part
            found = self._of_block(tensor(block, str(self.points.device)))
            mean[start : start + BLOCK], variance[start : start + BLOCK], noise[start : start + BLOCK] = (
                one[: len(part)].cpu().numpy() for one in found
            )
        return mean, variance, noise

    def _of_block(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cross = self.hyperparameters.covariance(self.points, block)
        variance = 1 - (self.known @ cross).square_().sum(0)
        if self.unsure is not None:
            variance += (self.unsure @ cross).square_().sum(0)
        factor = self._factor(cross)
        return self.weights @ cross + self.hyperparameters.level, variance.clamp_min_(0) * factor, self.noise * factor

    def _factor(self, cross: Tensor) -> Tensor:
        """By how much variances are larger than the process says at rows with these covariances, shape (n,)."""
        return torch.ones_like(cross[0]) if self.sizes is None else torch.exp(self.sizes @ cross)

    def left_out(self, X: Tensor, y: Tensor) -> Tensor:
        """Squared error of each training row, had it been left out, by its variance then, shape (n,).

        With inducing points the row loses its say in the weights, and stays an inducing point if it is one.
        """
        if self.unsure is None:
            return self.weights.square() / self.known.square().sum(0)
        squares = torch.empty_like(y)
        for start in range(0, len(X), BLOCK):
            part = slice(start, start + BLOCK)
            cross = self.hyperparameters.covariance(self.points, X[part])
            others = 1 - (self.unsure @ cross).square_().sum(0) / self.noise
            aside = (1 - (self.known @ cross).square_().sum(0)).clamp_min_(0)
            error = (y[part] - self.hyperparameters.level - self.weights @ cross) / others
            squares[part] = error.square_() / (self.noise / others + aside)
        return squares

    def joint(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean, shape (n,), and covariance, shape (n, n), of the function at rows of scaled features."""
        rows = tensor(X, str(self.points.device))
        cross = self.hyperparameters.covariance(self.points, rows)
        white = self.known @ cross
        covariance = self.hyperparameters.own_covariance(rows) - white.T @ white
        if self.unsure is not None:
            white = self.unsure @ cross
            covariance += white.T @ white
        root = torch.sqrt(self._factor(cross))
        covariance = 0.5 * (covariance + covariance.T) * torch.outer(root, root)
        mean = self.weights @ cross + self.hyperparameters.level
        return mean.cpu().numpy(), covariance.cpu().numpy()
