"""A batch whose calculations are expected to lower the lowest mean the most, by a joint normal belief in all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Joint(NamedTuple):
    """What is believed of m rows together.

    Attributes
    ----------
    mean, covariance
        Of the objective, which is to be small, shapes (m,) and (m, m).
    noise
        Variance of a calculation's noise, shape (m,).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    noise: NDArray[np.float64]


def knowledge_gradient_batch(
    joint: Joint, m: int, size: int, *, best: float = np.inf, n_samples: int = 256, seed: int = 0
) -> NDArray[np.intp]:
    """Choose of the first m rows those after whose calculation the lowest mean is expected to be the lowest.

    Wu, Frazier, The parallel knowledge gradient method for batch Bayesian optimization, NeurIPS 29, 3126 (2016),
    arXiv:1606.04414; of finitely many rows, the batch built row by row.

    Parameters
    ----------
    joint
        Of these rows and, behind them, of rows that are pending.
    best
        Lowest objective calculated so far.
    """
    pending = range(m, len(joint.mean))
    draws = _normal_draws(n_samples, len(pending) + size, seed)
    learnt = _Learning(joint, best)
    for row, draw in zip(pending, draws, strict=False):
        learnt.learn(row, draw)
    chosen: list[int] = []
    for draw in draws[len(pending) :]:
        learnt.forget_the_hopeless(float(np.abs(draw).max()))
        value = np.array([learnt.lowest(row, draw) if row not in chosen else np.inf for row in range(m)])
        chosen.append(int(value.argmin()))
        learnt.learn(chosen[-1], draw)
    return np.array(chosen, dtype=np.intp)


class _Learning:
    """Means of all rows in each of some futures, as calculations are done one by one."""

    def __init__(self, joint: Joint, best: float) -> None:
        self._means = joint.mean[:, None]
        self._covariance, self._noise, self._best = joint.covariance.copy(), joint.noise, best
        self._hopeful = np.arange(len(joint.mean))

    def _changes(self, row: int) -> NDArray[np.float64]:
        """Std of the change of each row's mean by a calculation of one row, with its sign."""
        variance = self._covariance[row, row] + self._noise[row]
        return self._covariance[row] / np.sqrt(variance) if variance > 0 else np.zeros(len(self._covariance))

    def forget_the_hopeless(self, largest: float) -> None:
        """Leave those rows alone that are never the lowest, whichever row is calculated next.

        No mean changes by more than the row's own std times the largest draw.
        """
        reach = largest * np.sqrt(np.maximum(np.diagonal(self._covariance), 0))[:, None]
        ceiling = np.minimum((self._means + reach).min(axis=0), self._best)
        self._hopeful = np.flatnonzero((self._means - reach <= ceiling).any(axis=1))

    def lowest(self, row: int, draw: NDArray[np.float64]) -> float:
        """Give the lowest mean to expect once a row is calculated."""
        means = self._changes(row)[self._hopeful, None] * draw
        means += self._means[self._hopeful]
        return float(np.minimum(means.min(axis=0, initial=np.inf), self._best).mean())

    def learn(self, row: int, draw: NDArray[np.float64]) -> None:
        change = self._changes(row)
        self._means = self._means + change[:, None] * draw
        self._covariance -= np.outer(change, change)


def _normal_draws(n_samples: int, size: int, seed: int) -> NDArray[np.float64]:
    """Quasi-random draws of independent standard normal numbers, shape (size, n_samples)."""
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    exponent = int(np.ceil(np.log2(n_samples)))
    uniform = Sobol(size, rng=np.random.default_rng(seed)).random_base2(exponent)[:n_samples]
    return np.asarray(ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)).T)
