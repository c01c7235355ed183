"""Linear models with a normal prior: the penalty that leaves out rows best, and what the data leave unknown.

Leave-one-out errors need no refit: for least squares they are exact (Allen, Technometrics 16, 125 (1974),
doi:10.1080/00401706.1974.10489157), for the logistic likelihood one Newton step (Pregibon, Ann. Statist. 9, 705 (1981),
doi:10.1214/aos/1176345513).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

BLOCK = 256
"""Rows multiplied at a time, always as many: a row's sums then have one order, whatever rows are beside it."""

SQUARES_STRENGTHS = np.logspace(-6, 4, 41)
"""Penalties tried with least squares, per row."""

LOGISTIC_STRENGTHS = np.logspace(-5, 2, 15)
"""Penalties tried with the logistic likelihood, per row."""

_NEWTON_STEPS = 100
_SMALLEST_STEP = 1e-6
_CONVERGED = 1e-14  # of the loss, per row
_SMALLEST_LEFT = 1e-12  # of a row's weight in its own prediction, to 1: guards a division
_ROUNDING = 1e-10  # of its largest value: a column whose values differ by no more is constant


@dataclass(frozen=True, eq=False)
class LinearPosterior:
    """A linear function of p features, known up to a normal distribution.

    Attributes
    ----------
    centre, scale
        Features become (x - centre) / scale, shape (p,); the scale of one that is constant but for rounding is
        infinite.
    weights
        Expected coefficients, shape (p,).
    intercept, intercept_variance
        Expected value and variance at the centre.
    axes, variances
        Directions that the data tell about, as columns, shape (p, r), and the coefficients' variance along them, (r,).
    prior_variance
        Variance of the coefficients along all other directions.
    strength
        Penalty of the squared coefficients, per row.
    noise
        Variance of the targets about the function; 0 where the likelihood has no such number.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercept: float
    intercept_variance: float
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    prior_variance: float
    strength: float
    noise: float

    def evaluate(self, X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of the function at some rows, each of shape (n,)."""
        from threadpoolctl import threadpool_limits

        directions = np.column_stack([self.weights, self.axes])
        mean, variance = np.empty(len(X)), np.empty(len(X))
        block = np.zeros((BLOCK, len(self.weights)))
        with threadpool_limits(1, user_api="blas"):
            for start in range(0, len(X), BLOCK):
                rows = X[start : start + BLOCK]
                block[: len(rows)] = (rows - self.centre) / self.scale
                along = block @ directions
                seen = along[:, 1:] ** 2
                beyond = np.maximum((block**2).sum(axis=1) - seen.sum(axis=1), 0.0)
                spread = (seen * self.variances).sum(axis=1) + beyond * self.prior_variance
                mean[start : start + BLOCK] = along[: len(rows), 0]
                variance[start : start + BLOCK] = spread[: len(rows)]
        return self.intercept + mean, self.intercept_variance + variance

    def as_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all that it is, as arrays by name."""
        return {field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """Take up what `as_arrays` returned."""
        found: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        for name, array in found.items():
            found[name] = array if array.ndim else float(array)
        return cls(**found)


def fit_squares(
    X: NDArray[np.floating], y: NDArray[np.float64], strengths: NDArray[np.float64] = SQUARES_STRENGTHS
) -> LinearPosterior:
    """Ridge regression with the penalty of the least leave-one-out error.

    Parameters
    ----------
    X
        Features, shape (n, p), all known.
    y
        Target, shape (n,).
    strengths
        Penalties to choose from, per row; the features are standardised.

    Notes
    -----
    The noise is the one that makes the targets most likely, given the penalty.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        rows, singular, axes, posterior = _standardised(X)
        n, middle = len(y), float(y.mean())
        target = y - middle
        projected = rows.T @ target
        penalties = np.asarray(strengths, dtype=np.float64) * n
        shrink = singular[:, None] ** 2 / (singular[:, None] ** 2 + penalties)
        residuals = target[:, None] - rows @ (shrink * projected[:, None])
        # a single row is all that its prediction rests on: nothing is left out of it
        left = np.maximum(1 - 1 / n - rows**2 @ shrink, _SMALLEST_LEFT) if n > 1 else np.ones((1, 1))
        best = int(np.mean((residuals / left) ** 2, axis=0).argmin())
        penalty = float(penalties[best])
        noise = max(float(target @ residuals[:, best]), 0.0) / max(n - 1, 1)
        return replace(
            posterior,
            weights=axes @ (singular / (singular**2 + penalty) * projected),
            intercept=middle,
            intercept_variance=noise / n,
            variances=noise / (singular**2 + penalty),
            prior_variance=noise / penalty,
            strength=float(strengths[best]),
            noise=noise,
        )


def fit_logistic(
    X: NDArray[np.floating], y: NDArray[np.float64], strengths: NDArray[np.float64] = LOGISTIC_STRENGTHS
) -> LinearPosterior:
    """Logistic regression with the penalty of the least leave-one-out log loss, and Laplace's posterior about it.

    Parameters
    ----------
    X
        Features, shape (n, p), all known.
    y
        Targets 0 and 1, shape (n,), some of both.
    strengths
        Penalties to choose from, per row; the features are standardised.

    Returns
    -------
    The posterior of the logit.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        rows, singular, axes, posterior = _standardised(X)
        coordinates = rows * singular
        share = float(y.mean())
        start = np.append(np.zeros(len(singular)), np.log(share / (1 - share)))
        best, least = None, np.inf
        # from the strongest on, each from where the last one ended
        for strength in sorted(strengths.tolist(), reverse=True):
            start = _newton(coordinates, y, strength * len(y), start)
            fit = _Laplace(coordinates, y, strength, start)
            if fit.left_out_loss < least:
                best, least = fit, fit.left_out_loss
        assert best is not None
        return best.posterior(posterior, axes)


class _Laplace:
    """A normal distribution about the most likely coefficients of a logistic regression."""

    def __init__(
        self, Z: NDArray[np.float64], y: NDArray[np.float64], strength: float, coefficients: NDArray[np.float64]
    ) -> None:
        self.strength, self.penalty = strength, strength * len(y)
        self.weights, bias = coefficients[:-1], float(coefficients[-1])
        logit = Z @ self.weights + bias
        chance = expit(logit)
        curvature = chance * (1 - chance)
        self.total = float(curvature.sum())
        # about the middle by curvature, intercept and coefficients are independent
        self.middle = curvature @ Z / self.total
        self.intercept = bias + float(self.middle @ self.weights)
        centred = Z - self.middle
        values, self.turn = np.linalg.eigh((centred * curvature[:, None]).T @ centred)
        self.variances = 1 / (np.maximum(values, 0.0) + self.penalty)
        spread = (centred @ self.turn) ** 2 @ self.variances + 1 / self.total
        left_out = logit + (chance - y) * spread / np.maximum(1 - curvature * spread, _SMALLEST_LEFT)
        self.left_out_loss = float(np.mean(np.logaddexp(0, left_out) - y * left_out))

    def posterior(self, standardised: LinearPosterior, axes: NDArray[np.float64]) -> LinearPosterior:
        shift = axes @ self.middle
        # a constant feature has an infinite scale, and no shift
        scale = np.where(np.isinf(standardised.scale), 0.0, standardised.scale)
        return replace(
            standardised,
            centre=standardised.centre + scale * shift,
            weights=axes @ self.weights,
            intercept=self.intercept,
            intercept_variance=1 / self.total,
            axes=axes @ self.turn,
            variances=self.variances,
            prior_variance=1 / self.penalty,
            strength=self.strength,
        )


def expected(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    nodes: int = 64,
) -> NDArray[np.float64]:
    """Mean of a function of normally distributed numbers by Gauss-Hermite quadrature, shape (n,)."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    total, spread = np.zeros(len(mean)), np.sqrt(variance)
    for point, weight in zip(points.tolist(), (weights / weights.sum()).tolist(), strict=True):
        total += weight * function(mean + point * spread)
    return total


def _standardised(
    X: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], LinearPosterior]:
    """Singular value decomposition of standardised features, and a posterior that holds centre, scale and axes.

    Returns
    -------
    Rows (n, r), singular values (r,) and axes (p, r), those of no spread left out.
    """
    values = np.asarray(X, dtype=np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    constant = np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(axis=0)
    scale[constant | ~(scale > 0)] = np.inf  # the squares of tiny values are 0
    rows, singular, axes = np.linalg.svd((values - centre) / scale, full_matrices=False)
    known = singular > max(values.shape) * np.finfo(float).eps * singular[0]
    rows, singular, axes = rows[:, known], singular[known], axes[known].T
    posterior = LinearPosterior(
        centre=centre,
        scale=scale,
        weights=np.zeros(len(centre)),
        intercept=0.0,
        intercept_variance=0.0,
        axes=axes,
        variances=np.zeros(len(singular)),
        prior_variance=0.0,
        strength=0.0,
        noise=0.0,
    )
    return rows, singular, axes, posterior


def _newton(
    Z: NDArray[np.float64], y: NDArray[np.float64], penalty: float, start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coefficients and intercept, shape (r + 1,), of the least penalised log loss."""
    design = np.column_stack([Z, np.ones(len(y))])
    prior = np.append(np.full(Z.shape[1], penalty), 0.0)

    def loss(coefficients: NDArray[np.float64]) -> float:
        logit = design @ coefficients
        return float(np.sum(np.logaddexp(0, logit) - y * logit) + 0.5 * prior @ coefficients**2)

    found, least = start, loss(start)
    for _ in range(_NEWTON_STEPS):
        chance = expit(design @ found)
        gradient = design.T @ (chance - y) + prior * found
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        gain = float(gradient @ step)
        size = 1.0
        while (tried := loss(found - size * step)) > least and size > _SMALLEST_STEP:
            size /= 2
        if tried > least:
            break
        found, least = found - size * step, tried
        if gain < _CONVERGED * len(y):
            break
    return found
