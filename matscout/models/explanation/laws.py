"""Laws of one term, of two, and so on: each screening looks for what the law before leaves unexplained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from matscout.models.explanation.screening import Terms, best_terms, bounds_of, merged, most_telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.models.explanation.terms import Term

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

MOST_COLUMNS = 150
"""Of more columns those are taken that correlate the most with the target: as they are or by one of the operations."""

MOST_ROWS = 600
"""Rows by which terms are screened; they are defined in all rows, and the coefficients are fitted to all."""

MOST_SUBSETS = 20_000
"""Subsets of terms that are tried for each number of terms."""

BUILDING_BLOCKS = 100
"""Terms of which terms are made, beside the columns."""

POOL = 60
"""Terms that each screening adds to those that subsets are made of."""

_PLAIN = 40  # so many columns are building blocks whether they correlate or not
_ROUNDING = 1e-13
_PENALTIES = 100  # of the LASSO's path, down to a thousandth of the strongest


@dataclass(frozen=True, eq=False)
class Law:
    """A constant and terms with coefficients."""

    terms: tuple[Term, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def values(self, X: Floats) -> Floats:
        """Value in each row of X, shape (n,); NaN where a term is not defined."""
        found = np.full(len(X), self.intercept)
        for term, coefficient in zip(self.terms, self.coefficients, strict=True):
            found += coefficient * term.values(X)
        return found


def find_laws(
    base: Terms, target: Floats, most: int, *, nested: bool, learn: Rows | None = None
) -> tuple[list[Law], int]:
    """Laws of 1 to `most` terms, fewer where there are not so many, and the number of candidates that were looked at.

    Parameters
    ----------
    base
        The columns.
    target
        Shape (n,).
    nested
        Whether terms may be made of terms.
    learn
        Numbers of the rows to learn from; all if left out. Laws are defined in the others, too.
    """
    learn = np.arange(len(target)) if learn is None else learn
    rows = learn[_screened_rows(len(learn))]
    some, aim = Terms(base.terms, base.units, base.values[:, rows], base.bounds), target[rows]
    some = some.take(most_telling(some, aim, MOST_COLUMNS))
    X = _matrix(base)
    pool = some.take([])
    laws: list[Law] = []
    chosen: list[int] = []
    residuals, seen = aim, 0
    for number in range(1, most + 1):
        fresh, looked = _screened(some, residuals, X, nested=nested)
        pool, seen = merged(pool, fresh), seen + looked
        if len(pool) < number:
            break
        chosen = _best_subset(pool, aim, number, chosen)
        law = _fitted([pool.terms[place] for place in chosen], X[learn], target[learn])
        laws.append(law)
        residuals = aim - law.values(X[rows])
    return laws, seen


def cross_validated(
    base: Terms, target: Floats, parts: Sequence[tuple[Rows, Rows]], most: int, *, nested: bool
) -> dict[int, Floats]:
    """Errors on rows held out, shape (n,), by number of terms; each part chooses terms of its own."""
    errors = {number: np.zeros(len(target)) for number in range(1, most + 1)}
    X = _matrix(base)
    for train, test in parts:
        laws, _ = find_laws(base, target, most, nested=nested, learn=train)
        for number in range(1, most + 1):
            if number > len(laws):
                errors.pop(number, None)
            elif number in errors:
                errors[number][test] = target[test] - laws[number - 1].values(X[test])
    return errors


def _screened_rows(n: int) -> Rows:
    if n <= MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MOST_ROWS, replace=False))


def _matrix(base: Terms) -> Floats:
    """Columns where their terms look for them, shape (n, n_features)."""
    X = np.empty((base.values.shape[1], len(base)))
    X[:, [term.column for term in base.terms]] = base.values.T
    return X


def _screened(base: Terms, residuals: Floats, X: Floats, *, nested: bool) -> tuple[Terms, int]:
    """Terms that correlate the most with what is not explained, and how many there were; X has all rows."""
    first, seen = best_terms(base, residuals, BUILDING_BLOCKS if nested else POOL)
    if not nested:
        return first, seen
    if len(first) and len(X) > first.values.shape[1]:
        first = replace(first, bounds=np.concatenate([bounds_of(term.values(X)[None]) for term in first.terms]))
    blocks = merged(base, first) if len(base) <= _PLAIN else first
    second, more = best_terms(blocks, residuals, POOL, sums=False)
    # simple terms keep their places: made terms that resemble the best one of them are many
    return merged(first.take(list(range(min(len(first), POOL)))), second), seen + more


def _best_subset(pool: Terms, target: Floats, number: int, before: list[int]) -> list[int]:
    """Places of the terms that explain the most together, of those that the LASSO takes up first."""
    Z = pool.values.T - pool.values.mean(axis=1)
    Z = Z / np.sqrt((Z**2).sum(axis=0))
    aim = target - target.mean()
    most = len(pool)
    while most > number and comb(most, number) > MOST_SUBSETS:
        most -= 1
    places = list(range(len(pool)))
    if most < len(pool):
        places = list(dict.fromkeys([*before, *_lasso_order(Z, aim)]))[:most]
    gram, along = Z[:, places].T @ Z[:, places], Z[:, places].T @ aim
    # keeps terms that hang together from a division by zero
    gram[np.diag_indices_from(gram)] += 1e-11
    subsets = np.array(list(combinations(range(len(places)), number)), dtype=np.intp)
    sides = along[subsets]
    weights = np.linalg.solve(gram[subsets[:, :, None], subsets[:, None, :]], sides[:, :, None])[:, :, 0]
    explained = (sides * weights).sum(axis=1)
    return [places[place] for place in subsets[int(explained.argmax())].tolist()]


def _lasso_order(Z: Floats, target: Floats) -> list[int]:
    """Places of the columns as the LASSO takes them up with a falling penalty, then the others (Tibshirani 1996)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lasso_path

    scaled = np.asfortranarray(Z * np.sqrt(len(Z)))
    penalties = np.abs(target @ scaled).max() / len(Z) * np.geomspace(1, 1e-3, _PENALTIES)
    with warnings.catch_warnings():
        # only the order counts
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, weights, _ = lasso_path(scaled, target, alphas=penalties, max_iter=300, precompute=True)
    taken = weights != 0
    entry = np.where(taken.any(axis=1), taken.argmax(axis=1), _PENALTIES)
    return [int(place) for place in np.argsort(entry, kind="stable")]


def _fitted(terms: list[Term], X: Floats, target: Floats) -> Law:
    """Least squares over all rows."""
    columns = np.column_stack([term.values(X) for term in terms])
    middle, scale = columns.mean(axis=0), columns.std(axis=0)
    mean = float(target.mean())
    weights = np.linalg.lstsq((columns - middle) / scale, target - mean)[0] / scale
    intercept = mean - float(middle @ weights)
    if abs(intercept) < _ROUNDING * (abs(mean) + float(np.abs(middle * weights).sum())):
        intercept = 0.0
    return Law(tuple(terms), tuple(weights.tolist()), intercept)
