"""Least squares that says which unknowns the data tell, and how well it predicts what it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

_SMALLEST = 1e-9  # of the largest singular value: below it a direction is not told by the data
_UNTOLD = 1e-6  # part of an unknown in such directions from which on it is not told
_ALONE = 1e-7  # a row whose leverage is 1 within this is fitted by itself alone


@dataclass(frozen=True, eq=False)
class Fit:
    """Least squares of n rows in k unknowns.

    Attributes
    ----------
    unknowns
        Values, shape (k,); 0 where the data do not tell them.
    told
        Which unknowns the data tell, shape (k,).
    errors
        Target minus prediction of each row, shape (n,).
    left_out_errors
        The same with the row left out of the fit, shape (n,).
    """

    unknowns: Floats
    told: NDArray[np.bool_]
    errors: Floats
    left_out_errors: Floats


def fit(matrix: Floats, target: Floats, weights: Floats | None = None) -> Fit:
    """Fit target = matrix @ unknowns.

    An unknown that others can stand for (a column that never occurs, or two that occur in one ratio only) is not told:
    it is 0 in every prediction, and does not bend the others. Errors of rows left out come from one decomposition:
    without row i the solution is x - G a_i w_i e_i / (1 - h_i), with G the pseudo-inverse of the normal matrix, e_i the
    row's residual and h_i its leverage. Only rows that alone tell an unknown (h_i = 1) are fitted anew.

    Parameters
    ----------
    matrix
        Shape (n, k).
    target
        Shape (n,).
    weights
        Positive, shape (n,): inverse variances, in any unit; equal where None.

    References
    ----------
    Belsley, Kuh, Welsch, Regression Diagnostics (Wiley 1980), doi:10.1002/0471725153, chapter 2.
    """
    w = np.ones(len(target)) if weights is None else weights
    solution, told, normal = _solve(matrix, target, w)
    residuals = target - matrix @ solution
    kept = np.where(told, solution, 0.0)
    spread = normal @ matrix.T  # (k, n)
    leverage = w * np.einsum("nk,kn->n", matrix, spread)
    alone = leverage > 1 - _ALONE
    step = np.divide(w * residuals, 1 - leverage, out=np.zeros(len(w)), where=~alone)
    without = np.where(told, solution - (spread * step).T, 0.0)  # (n, k)
    left_out = target - (matrix * without).sum(axis=1)
    for row in np.flatnonzero(alone):
        rest = np.arange(len(w)) != row
        other, still_told, _ = _solve(matrix[rest], target[rest], w[rest])
        left_out[row] = target[row] - matrix[row] @ np.where(still_told, other, 0.0)
    return Fit(kept, told, target - matrix @ kept, left_out)


def _solve(matrix: Floats, target: Floats, weights: Floats) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Shortest solution, which unknowns are told, and the pseudo-inverse of the normal matrix."""
    n_unknowns = matrix.shape[1]
    root = np.sqrt(weights)
    left, sizes, right = np.linalg.svd(matrix * root[:, None], full_matrices=False)
    kept = sizes > _SMALLEST * sizes.max(initial=0.0)
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    solution = right.T @ ((left.T @ (target * root)) / sizes)
    told_part = np.einsum("rk,rk->k", right, right) if len(sizes) else np.zeros(n_unknowns)
    normal = (right.T / sizes**2) @ right
    return solution, told_part > 1 - _UNTOLD, normal
