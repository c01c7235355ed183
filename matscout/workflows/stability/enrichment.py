"""What a search found beside what chance would have found: draws without replacement, so hypergeometric."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import hypergeom


class RandomSearch(NamedTuple):
    """Stable candidates that a random choice would find.

    Attributes
    ----------
    mean
        Expected number.
    low, high
        Central 90 % band: fewer than `low` come in at most 5 % of random choices, and so do more than `high`.
    """

    mean: float
    low: int
    high: int


def random_search(n_candidates: int, n_stable: float, n_drawn: int) -> RandomSearch:
    """Stable candidates among `n_drawn` drawn at random, none twice.

    Parameters
    ----------
    n_candidates
        Size of the space.
    n_stable
        Stable ones in it. May be an estimate that is no whole number: the mean takes it as it is, the band rounded.
    n_drawn
        Candidates drawn.

    Raises
    ------
    ValueError
        More candidates are drawn, or stable, than there are.

    Examples
    --------
    >>> random_search(n_candidates=612, n_stable=60, n_drawn=90)
    RandomSearch(mean=8.823529411764707, low=5, high=13)
    """
    mean = _mean(n_candidates, n_stable, n_drawn)
    if n_candidates == 0:
        return RandomSearch(mean, 0, 0)
    drawn = hypergeom(n_candidates, round(n_stable), n_drawn)
    return RandomSearch(mean, int(drawn.ppf(0.05)), int(drawn.ppf(0.95)))


def enrichment(found: float, n_candidates: int, n_stable: float, n_drawn: int) -> float:
    """Return found stable candidates over those a random choice finds on average; NaN where that finds none.

    Examples
    --------
    >>> enrichment(found=31, n_candidates=612, n_stable=60, n_drawn=90)
    3.513333333333333
    """
    mean = _mean(n_candidates, n_stable, n_drawn)
    return found / mean if mean > 0 else float("nan")


def ceiling(n_candidates: int, n_stable: float, n_drawn: int) -> float:
    """Return the largest enrichment possible, where all that can be found is; NaN where nothing can.

    Examples
    --------
    >>> ceiling(n_candidates=612, n_stable=60, n_drawn=90)
    6.8
    """
    return enrichment(min(n_drawn, n_stable), n_candidates, n_stable, n_drawn)


def _mean(n_candidates: int, n_stable: float, n_drawn: int) -> float:
    for what, number in (("stable", n_stable), ("drawn", n_drawn)):
        if not 0 <= number <= n_candidates:
            raise ValueError(f"{number:g} {what} of {n_candidates} candidates: expected 0 to {n_candidates}")
    return n_drawn * n_stable / n_candidates if n_candidates else 0.0
