"""Very many candidate terms, and the few that correlate the most with a target (sure independence screening).

Fan, Lv, J. R. Stat. Soc. B 70, 849 (2008), doi:10.1111/j.1467-9868.2008.00674.x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.models.explanation.terms import BINARY, UNARY, Term, Unit, evaluate, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]
    Place = int | Rows

SAME = 1 - 1e-9
"""Terms that correlate by that much are one and the same."""

_SMALL = 1e-9  # of the largest value: a divisor nearer to 0 than that is none
_FLAT = 1e-10  # spread of a term that does not change, relative to its size


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms with their values.

    Attributes
    ----------
    terms, units
        What they are, m of them; a unit is None where units do not count.
    values
        Value of each term in each row, shape (m, n).
    bounds
        Smallest and largest value of each term, shape (m, 2), in all rows that a law of it has to hold in, of which
        `values` may be a part: by these it is told what is defined.
    """

    terms: list[Term]
    units: list[Unit | None]
    values: Floats
    bounds: Floats

    def __len__(self) -> int:
        return len(self.terms)

    def take(self, rows: Rows | list[int]) -> Terms:
        """Return some of the terms."""
        return Terms([self.terms[i] for i in rows], [self.units[i] for i in rows], self.values[rows], self.bounds[rows])

    def joined(self, other: Terms) -> Terms:
        """Return these terms and others behind them."""
        return Terms(
            self.terms + other.terms,
            self.units + other.units,
            np.concatenate([self.values, other.values]),
            np.concatenate([self.bounds, other.bounds]),
        )


def bounds_of(values: Floats) -> Floats:
    """Smallest and largest value in each row of an array of shape (m, n): shape (m, 2)."""
    return np.stack([values.min(axis=1), values.max(axis=1)], axis=1)


def best_terms(base: Terms, residuals: Floats, number: int, *, sums: bool = True) -> tuple[Terms, int]:
    """Of all operations on one or two terms of a base, and these themselves, those that correlate the most.

    Parameters
    ----------
    base
        What the candidates are made of.
    residuals
        What is to be explained, shape (n,).
    number
        Terms wanted at most.
    sums
        Whether sums and differences are among the candidates.

    Returns
    -------
    The terms, best first, and how many candidates there were. No two of them are the same but for scale and offset.
    The bounds of those that are made here are those of `values`.
    """
    target = residuals - residuals.mean()
    size = float(np.sqrt(target @ target)) or 1.0
    found = [(np.zeros(len(base), dtype=np.intp), np.arange(len(base)), np.arange(len(base)))]
    scores = [_correlations(base.values, target, size)]
    seen = len(base)
    for operation, left, right in _candidates(base, sums=sums):
        parts = (base.values[left],) if operation in UNARY else (base.values[left], base.values[right])
        score = _correlations(evaluate(operation, *parts), target, size)
        seen += len(score)
        # some more than are wanted, as there are equal ones among them
        kept = np.argsort(-score, kind="stable")[: 4 * number]
        code = np.full(len(kept), (*UNARY, *BINARY).index(operation) + 1, dtype=np.intp)
        lefts, rights = (np.broadcast_to(place, len(score))[kept] for place in (left, right))
        found.append((code, lefts, rights))
        scores.append(score[kept])
    score = np.concatenate(scores)
    # rounded, so that of equal terms the simplest comes first
    order = np.argsort(-score.round(9), kind="stable")
    order = order[score[order] > 0]
    codes, firsts, seconds = (np.concatenate(column)[order] for column in zip(*found, strict=True))
    return _distinct(base, codes, firsts, seconds, number), seen


def merged(first: Terms, second: Terms) -> Terms:
    """Return some terms, and behind them those of others that say something else."""
    found = first
    directions = np.concatenate([_directions(first.values), np.empty_like(second.values)])
    for place, direction in enumerate(_directions(second.values)):
        if (np.abs(directions[: len(found)] @ direction) < SAME).all():
            directions[len(found)] = direction
            found = found.joined(second.take([place]))
    return found


def most_telling(base: Terms, target: Floats, number: int) -> list[int]:
    """Places of the terms that correlate the most with a target, as they are or by an operation on one, in order."""
    if len(base) <= number:
        return list(range(len(base)))
    aim = target - target.mean()
    size = float(np.sqrt(aim @ aim)) or 1.0
    scores = _correlations(base.values, aim, size)
    for operation, places in _unary(base):
        score = _correlations(evaluate(operation, base.values[places]), aim, size)
        scores[places] = np.maximum(scores[places], score)
    return sorted(np.argsort(-scores, kind="stable")[:number].tolist())


def _directions(values: Floats) -> Floats:
    centred = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.asarray(centred / np.maximum(size, np.finfo(float).tiny))


def _unary(base: Terms) -> Iterator[tuple[str, Rows]]:
    """Operations on one term that are defined in all rows and make sense, with the numbers of the terms."""
    divides, positive = _signs(base)
    allowed = {
        "square": np.ones(len(base), dtype=bool),
        "root": base.bounds[:, 0] >= 0,
        "inverse": divides,
        "log": positive,
    }
    for operation in UNARY:
        sensible = np.array([unit is None or unit_of(operation, unit) is not None for unit in base.units], dtype=bool)
        yield operation, np.flatnonzero(allowed[operation] & sensible)


def _binary(base: Terms, *, sums: bool) -> Iterator[tuple[str, Place, Place]]:
    """Operations on two terms that are defined in all rows and make sense: of one term with all that follow it."""
    divides, _ = _signs(base)
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(base.units))}
    kind = np.array([numbers[unit] for unit in base.units], dtype=np.intp)
    for left in range(len(base) - 1):
        right = np.arange(left + 1, len(base))
        yield "product", left, right
        yield "ratio", left, right[divides[right]]
        if divides[left]:
            yield "ratio", right, left
        if sums:
            alike = right[kind[right] == kind[left]]
            for operation in ("sum", "difference", "distance"):
                yield operation, left, alike


def _signs(base: Terms) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each term can be divided by, as it keeps clear of 0 on one side, and whether it is positive."""
    lowest, highest = base.bounds.T
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    positive = lowest > _SMALL * largest
    return positive | (highest < -_SMALL * largest), positive


def _candidates(base: Terms, *, sums: bool) -> Iterator[tuple[str, Place, Place]]:
    """All operations with the places of their terms; not more at a time than there are terms in the base."""
    for operation, places in _unary(base):
        if len(places):
            yield operation, places, places
    for operation, left, right in _binary(base, sums=sums):
        if np.size(left) and np.size(right):
            yield operation, left, right


def _correlations(values: Floats, target: Floats, size: float) -> Floats:
    """Absolute correlation of each row of values with a centred target; 0 of what is constant or not finite."""
    with np.errstate(all="ignore"):
        mean = values.mean(axis=1, keepdims=True)
        centred = values - mean
        spread = np.sqrt(np.einsum("ij,ij->i", centred, centred))
        found = np.abs(centred @ target) / (spread * size)
        changes = spread > _FLAT * np.abs(mean[:, 0]) * np.sqrt(values.shape[1])
    return np.where(changes & np.isfinite(found), np.minimum(found, 1.0), 0.0)


def _distinct(base: Terms, codes: Rows, lefts: Rows, rights: Rows, number: int) -> Terms:
    """Make terms in their order, leaving out those that say what an earlier one does."""
    chosen = base.take([])
    directions = np.empty((number, base.values.shape[1]))
    for code, left, right in zip(codes.tolist(), lefts.tolist(), rights.tolist(), strict=True):
        one = _made(base, code, left, right)
        direction = one.values[0] - one.values[0].mean()
        direction /= np.sqrt(direction @ direction)
        if (np.abs(directions[: len(chosen)] @ direction) < SAME).all():
            directions[len(chosen)] = direction
            chosen = chosen.joined(one)
        if len(chosen) == number:
            break
    return chosen


def _made(base: Terms, code: int, left: int, right: int) -> Terms:
    if code == 0:
        return base.take([left])
    operation = (*UNARY, *BINARY)[code - 1]
    places = [left] if operation in UNARY else [left, right]
    units = [base.units[place] for place in places]
    unit = None if any(one is None for one in units) else unit_of(operation, *(one for one in units if one is not None))
    values = evaluate(operation, *(base.values[place] for place in places))
    term = Term(operation, tuple(base.terms[place] for place in places))
    return Terms([term], [unit], values[None], bounds_of(values[None]))
