"""P(stable, final): stability judged jointly with the undecided candidates, instead of one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import FractionTable, fraction_table
from matscout.workflows.stability.joint import outcomes
from matscout.workflows.stability.naming import formula, some
from matscout.workflows.stability.probability import probability_stable_now
from matscout.workflows.stability.programs import Phases
from matscout.workflows.stability.undecided import Candidates, Draws

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from matscout.workflows.stability.compositions import Compositions, System
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.programs import Floats

_NEGLIGIBLE = 1e-6  # probability below which a candidate is not sampled
_FEW_PHASES = 10  # of a chemical system, among which it is not worth while to look for those on the hull
_ROWS_AT_ONCE = 100_000  # compositions parsed and compared with the known hull at once


class ExpectedStable(NamedTuple):
    """How many will be stable.

    Attributes
    ----------
    mean
        Expected number, from the probabilities.
    low, high
        Central 90 % band: fewer than `low` come in at most 5 % of the samples, and so do more than `high`.
    """

    mean: float
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class FinalProbability:
    """P(stable, final) of candidates, and what follows from it.

    Attributes
    ----------
    probability
        P(stable, final), shape (n,); at most `now`.
    standard_error
        The error that the number of samples leaves in it, shape (n,). 0 only where it is certain what the others do;
        elsewhere it allows for what as many samples may have missed, even where they all agree.
    now
        P(stable, now), of each candidate alone, shape (n,).
    expected
        Candidates that will be stable, where each crystal within the threshold counts, as it does in labels.
    expected_compositions
        Compositions with a stable candidate, where the crystals of a composition count as one. With a threshold of 0
        the two have one mean: only the lowest crystal of a composition is stable.
    n_samples, seed, threshold, correlation
        As given.
    """

    probability: Floats
    standard_error: Floats
    now: Floats
    expected: ExpectedStable
    expected_compositions: ExpectedStable
    n_samples: int
    seed: int
    threshold: float
    correlation: float


def probability_stable_final(
    hull: Hull,
    compositions: Compositions,
    mean: ArrayLike,
    std: ArrayLike,
    *,
    threshold: float = 0.0,
    n_samples: int = 1000,
    seed: int = 0,
    correlation: float = 0.0,
) -> FinalProbability:
    """P(stable, final): that a candidate lies at most `threshold` above the hull once all candidates are decided.

    P(stable, now) takes each candidate alone, so of ten crystals of one composition ten may be likely, where one at
    most can be the lowest. A hull of the predicted means errs the other way: one prediction that is too low pushes all
    its neighbours off, though it is itself unlikely to hold. Here energies of all candidates are drawn together from
    their predictions, and in each sample a candidate is judged against the known entries and all other candidates as
    drawn, those of the chemical systems inside its own included. What a candidate's own error contributes is integrated
    exactly and only the errors of the others are drawn [1]_, so that the result never exceeds P(stable, now) and is
    equal to it where no other candidate can interfere. The samples used for a candidate are those in which it is stable
    without the others, and where these are few its next lowest, up to 32; where errors are correlated up to 100, and
    the shared offset of those is drawn anew, from what it is given that the candidate is stable. So the relative error
    of a small probability does not grow as it gets smaller.

    The numbers depend on the seed and on the candidates, not on their order: each has a random stream of its own, which
    candidates of other compositions do not change. Those that agree in composition, mean and std get one number.

    Parameters
    ----------
    hull
        The hull as it stands: what is known, without the candidates.
    compositions
        n candidates that are not decided yet, several crystals of one composition among them if there are. A crystal
        of an element is a candidate like any other: below the known phase of the element it moves the whole hull.
    mean
        Predicted energies in eV/atom, shape (n,) or broadcastable, in the convention of the hull.
    std
        Their standard deviations in eV/atom. 0 is a certain prediction.
    threshold
        Distance above the hull that still counts as stable, in eV/atom. Below 0, how far below the hull of all others a
        candidate must lie.
    n_samples
        Samples of all energies, 2 at least.
    seed
        Any whole number; it is kept with the result.
    correlation
        Between the errors of any two predictions of one chemical system, 0 to 1: they share an offset, in units of each
        one's std. Errors in different chemical systems stay independent, also where one holds the other.

    Returns
    -------
    Probabilities, their standard errors, and the expected numbers of stable candidates and compositions. Where
    P(stable, now) is below 1e-6 it stands for P(stable, final), and the candidate is left out of the samples unless it
    may come to lie below the known hull.

    Notes
    -----
    Candidates far above the hull cost next to nothing. For the others of one chemical system, time grows about in
    proportion to their number and the samples where there are 2 to 4 elements, because the facets of each sample's hull
    serve all its candidates; with a correlation the seldom stable among them have hulls of their own, so that thousands
    take the square of their number, and so do they above 5 elements. Memory is 8 bytes for each of them, those of the
    chemical systems inside included, and each sample, for some chemical systems at a time, besides working space of a
    fixed size, except that crystals of one composition are judged together, however many.
    `benchmarks/probability.py` prints seconds.

    Raises
    ------
    UserError
        A mean or std is not finite or does not fit the compositions, a std is negative, an element has no energy on the
        hull, or a setting is out of range.

    References
    ----------
    .. [1] Rao-Blackwellisation: Casella and Robert, Biometrika 83, 81 (1996), doi:10.1093/biomet/83.1.81.

    Examples
    --------
    Two crystals of NaCl, each as likely as not to lie below the known one, and one of Na3Cl far above the hull:

    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["NaCl"], [-2.0], formation_energies=True)
    >>> final = probability_stable_final(hull, ["NaCl", "NaCl", "Na3Cl"], [-2.0, -2.0, 0.5], 0.05)
    >>> final.now.round(3).tolist()
    [0.5, 0.5, 0.0]
    >>> final.probability.round(2).tolist()  # 3/8 each: 1/4 below alone, and half of the 1/4 where both are below
    [0.37, 0.37, 0.0]
    >>> round(float(final.now.sum()), 2), round(final.expected.mean, 2), final.expected.high
    (1.0, 0.73, 1)
    """
    _check_settings(threshold, n_samples, correlation)
    n, tables = _tables(compositions)
    means, stds = _column(mean, n, "mean"), _column(std, n, "std")
    now = np.empty(n)
    near: list[_NearHull] = []
    for start, table in tables:
        part = slice(start, start + len(table))
        _check_predictions(means[part], stds[part], table)
        heights = hull.hull_energy((table.fractions, table.elements))
        now[part] = probability_stable_now(means[part], stds[part], heights, threshold)
        near.append(_near_hull(table, heights, means[part], stds[part], now[part], start))
    probability, error, lowest = now.copy(), np.zeros(n), 0.0
    counts = np.zeros((2, n_samples), dtype=np.intp)
    draws = Draws(int(seed), int(n_samples), float(correlation))
    for outcome in outcomes(_by_system(hull, near), lambda system: _stable_phases(hull, system), draws, threshold):
        probability[outcome.rows] = outcome.probability
        error[outcome.rows] = outcome.standard_error
        lowest += float(outcome.lowest.sum())
        counts += outcome.n_stable, outcome.n_compositions
    return FinalProbability(
        probability,
        error,
        now,
        _expected(float(probability.sum()), counts[0]),
        _expected(lowest, counts[1]),
        draws.n_samples,
        draws.seed,
        float(threshold),
        draws.correlation,
    )


@dataclass(frozen=True, eq=False)
class _NearHull:
    """Candidates worth sampling; arrays of shape (m,) as in `Candidates`, the hull in its own convention."""

    table: FractionTable
    rows: NDArray[np.intp]
    hull: Floats
    mean: Floats
    std: Floats
    now: Floats
    competes: NDArray[np.bool_]


def _check_settings(threshold: float, n_samples: int, correlation: float) -> None:
    if not np.isfinite(threshold):
        raise UserError(f"a threshold must be finite, got {threshold:g} eV/atom")
    if n_samples < 2:
        raise UserError(f"P(stable, final) needs 2 samples at least, got {n_samples}")
    if not 0 <= correlation <= 1:
        raise UserError(f"a correlation of errors lies between 0 and 1, got {correlation:g}")


def _column(values: ArrayLike, n: int, name: str) -> Floats:
    given = np.asarray(values, dtype=float)
    if given.shape not in ((), (1,), (n,)):
        raise UserError(f"{n} compositions but {name} of shape {given.shape}, in eV/atom")
    return np.broadcast_to(given, (n,))


def _check_predictions(mean: Floats, std: Floats, table: FractionTable) -> None:
    for name, values in (("mean", mean), ("std", std)):
        bad = np.flatnonzero(~np.isfinite(values)).tolist()
        if bad:
            who = some(f"{formula(table, row)} ({values[row]:g})" for row in bad)
            raise UserError(f"predictions whose {name} is not finite: {who}; leave out what cannot be predicted")
    negative = np.flatnonzero(std < 0).tolist()
    if negative:
        who = some(f"{formula(table, row)} ({std[row]:g} eV/atom)" for row in negative)
        raise UserError(f"a standard deviation must not be negative: {who}")


def _tables(compositions: Compositions) -> tuple[int, Iterator[tuple[int, FractionTable]]]:
    """Count the compositions, and parse them part by part, each with the place of its first."""
    if isinstance(compositions, tuple) and len(compositions) == 2 and isinstance(compositions[0], np.ndarray):
        amounts, elements = compositions
        n = len(amounts)
        return n, ((i, fraction_table((amounts[i : i + _ROWS_AT_ONCE], elements))) for i in range(0, n, _ROWS_AT_ONCE))
    listed = [compositions] if isinstance(compositions, str | Mapping) else list(compositions)
    n = len(listed)
    return n, ((i, fraction_table(listed[i : i + _ROWS_AT_ONCE])) for i in range(0, n, _ROWS_AT_ONCE))


def _near_hull(table: FractionTable, heights: Floats, mean: Floats, std: Floats, now: Floats, start: int) -> _NearHull:
    """Keep the candidates of one table that may be stable or come to lie below the known hull."""
    competes = probability_stable_now(mean, std, heights) >= _NEGLIGIBLE
    kept = np.flatnonzero(competes | (now >= _NEGLIGIBLE))
    part = FractionTable(table.fractions[kept], table.elements, table.atoms[kept])
    distance = (mean - heights)[kept]
    return _NearHull(part, start + kept, heights[kept], distance, std[kept], now[kept], competes[kept])


def _by_system(hull: Hull, near: list[_NearHull]) -> dict[System, Candidates]:
    """Candidates of each chemical system, from all tables."""
    found: dict[System, list[tuple[NDArray[Any], ...]]] = {}
    for part in near:
        for system, rows, fractions in part.table.by_system():
            columns = (part.rows, part.hull, part.mean, part.std, part.now, part.competes)
            found.setdefault(system, []).append((fractions, *(column[rows] for column in columns)))
    corners = _corners(hull, found)
    groups = {}
    for system, pieces in found.items():
        joined: list[NDArray[Any]] = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        fractions, rows, heights, mean, std, now, competes = joined
        above_elements = heights - fractions @ np.array([corners[element] for element in system])
        groups[system] = Candidates(system, rows, fractions, above_elements, mean, std, now, competes).in_order()
    return groups


def _corners(hull: Hull, systems: Iterable[System]) -> dict[str, float]:
    """Energy of the hull at each element, in the hull's convention, eV/atom."""
    elements = sorted({element for system in systems for element in system})
    return dict(zip(elements, hull.hull_energy((np.eye(len(elements)), elements)).tolist(), strict=True))


def _stable_phases(hull: Hull, system: System) -> Phases:
    """Known phases on the hull of a chemical system, the elements first, relative to these."""
    phases = hull._systems.competitors(system).phases  # noqa: SLF001  a hull's phases are the package's own business
    if len(phases.energies) <= _FEW_PHASES:
        return phases
    heights = hull.hull_energy((phases.fractions, system))
    corners = heights[: len(system)]
    stable = phases.energies - (heights - phases.fractions @ corners) < SAME_ENERGY
    return Phases(phases.fractions[stable], phases.energies[stable])


def _expected(mean: float, counts: NDArray[np.intp]) -> ExpectedStable:
    low, high = np.quantile(counts, [0.05, 0.95], method="inverted_cdf").tolist()
    return ExpectedStable(mean, int(low), int(high))
