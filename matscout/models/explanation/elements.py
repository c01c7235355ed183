"""How far predictions are sums over elements: a function that is linear in the atomic fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import symbols
from matscout.models.inputs import CompositionInputs, as_inputs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_STRENGTHS = np.r_[
    np.logspace(-8, 2, 61), np.inf
]  # of the largest square of a singular value; the last: the mean alone


@dataclass(frozen=True, eq=False)
class ElementContributions:
    """The sum over elements, contribution times atomic fraction, that stands best for the predictions.

    It is found by ridge regression: contributions of elements that are in few rows are drawn towards the mean.

    Attributes
    ----------
    elements
        Symbols, lightest first.
    values
        Contribution of each element, shape (n_elements,), in the unit of the prediction: what is predicted for the
        element itself, were the sum exact.
    rows
        Number of rows with each element, shape (n_elements,).
    r2
        Share of the predictions' variance that the sum explains in the rows that it was fitted to.
    cross_validated_r2
        The same where each composition, with all its rows, is left out in turn: what the sum is worth. The rest is how
        elements act together, and what cannot be told from so few compositions. NaN where there are fewer than three
        of these, or predictions are all equal.
    """

    elements: tuple[str, ...]
    values: NDArray[np.float64]
    rows: NDArray[np.intp]
    r2: float
    cross_validated_r2: float

    def top(self, k: int | None = None) -> list[tuple[str, float, int]]:
        """Symbol, contribution and rows of the k elements with the largest contributions, whatever their sign."""
        order = np.argsort(-np.abs(self.values), kind="stable")[:k].tolist()
        return [(self.elements[one], float(self.values[one]), int(self.rows[one])) for one in order]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        columns = zip(self.elements, self.values.tolist(), self.rows.tolist(), strict=True)
        told = {element: {"contribution": value, "rows": rows} for element, value, rows in columns}
        scores = {"r2": self.r2, "cross_validated_r2": self.cross_validated_r2}
        return {name: None if np.isnan(score) else score for name, score in scores.items()} | {"elements": told}


def element_contributions(prediction: ArrayLike, compositions: Any) -> ElementContributions:
    """Fit predictions by a sum over elements, by ridge regression on the atomic fractions.

    Its strength is the one with the smallest error where each composition is left out in turn: Allen, Technometrics
    16, 125 (1974), doi:10.1080/00401706.1974.10489157. Rows of one composition, as polymorphs, are left out together:
    each would give away the others.

    Parameters
    ----------
    prediction
        Shape (n,).
    compositions
        Of the rows, as `as_inputs` takes them.

    Examples
    --------
    >>> found = element_contributions([1.0, 2.0, 1.5], ["Na", "Cl", "NaCl"])
    >>> dict(zip(found.elements, found.values.round(6).tolist())), round(found.cross_validated_r2, 6)
    ({'Na': 1.0, 'Cl': 2.0}, 1.0)
    """
    from matscout.models.report.measures import checked, r2

    inputs = as_inputs("compositions", compositions)
    assert isinstance(inputs, CompositionInputs)
    [target] = checked("contributions of elements", prediction)
    if len(target) != len(inputs):
        raise ValueError(f"expected one composition for each of {len(target)} predictions, got {len(inputs)}")
    rows, places = np.nonzero(inputs.numbers)
    present, columns = np.unique(inputs.numbers[rows, places], return_inverse=True)
    fractions = np.zeros((len(inputs), len(present)))
    fractions[rows, columns] = inputs.fractions[rows, places]
    # by the digits, as the way a formula is written leaves others behind them
    _, first, own, counts = np.unique(
        fractions.round(9), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    means = np.bincount(own, weights=target) / counts
    values, left_out = _ridge(fractions[first], means, counts)
    return ElementContributions(
        tuple(symbols()[number] for number in present.tolist()),
        values,
        np.bincount(columns, minlength=len(present)),
        r2(target, fractions @ values),
        r2(target, left_out[own]) if len(first) > 2 else float("nan"),
    )


def _ridge(
    fractions: NDArray[np.float64], target: NDArray[np.float64], counts: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients, shape (n_elements,), and of each composition the prediction of the sum without it, shape (n,).

    A composition counts as often as it has rows, and `target` is their mean. Fractions sum to 1, so that a constant,
    which is not drawn to 0, may be added to all coefficients.
    """
    share = counts / counts.sum()
    mean, centre = float(share @ target), share @ fractions
    if len(target) < 2:
        return np.full(fractions.shape[1], mean), np.full(1, np.nan)
    root = np.sqrt(counts)
    left, singular, axes = np.linalg.svd(root[:, None] * (fractions - centre), full_matrices=False)
    known = singular > 1e-10 * max(float(singular[0]), 1e-300)
    left, singular, axes = left[:, known], singular[known], axes[known]
    error, wanted = target - mean, left.T @ (root * (target - mean))
    best: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None
    for strength in (_STRENGTHS * float(singular[0]) ** 2).tolist():
        kept = singular**2 / (singular**2 + strength)
        own = 1 - share - (left**2) @ kept
        without = (error - left @ (kept * wanted) / root) / own
        loss = float(counts @ without**2)
        if best is None or loss < best[0]:
            values = axes.T @ (kept / singular * wanted)
            best = loss, values + mean - float(centre @ values), target - without
    assert best is not None
    return best[1], best[2]
