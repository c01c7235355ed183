"""How large errors are for a given std: a law fitted to held-out errors, and conformal intervals.

The spread of an ensemble orders candidates by uncertainty, but is several times too small. Held-out errors tell how
much: Palmer et al., Calibration after bootstrap for accurate uncertainty quantification in regression models, npj
Comput. Mater. 8, 115 (2022), doi:10.1038/s41524-022-00794-8.

Intervals hold their share of held-out targets whatever the distribution of errors: Lei, G'Sell, Rinaldo, Tibshirani,
Wasserman, Distribution-free predictive inference for regression, J. Am. Stat. Assoc. 113, 1094 (2018),
doi:10.1080/01621459.2017.1307116. Rows of different kinds may be calibrated apart (Mondrian): Boström, Johansson,
Löfström, Mondrian conformal predictive distributions, Proc. Mach. Learn. Res. 152, 24 (2021).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

INTERVALS = (50, 80, 90)
"""Central intervals that are calibrated, in percent."""

MIN_ROWS = 10
"""Fewest errors that a law is fitted to: a 90 % interval needs nine, and MAPIE ten."""

FLOOR = 0.01
"""Smallest std, as a share of the std of the targets: nothing is known better than that from tens of rows."""

MIN_ROWS_OF_KIND = 30
"""Fewest errors of a kind of rows that get a law of their own."""


@dataclass(frozen=True)
class ErrorLaw:
    """Size of errors by std.

    Attributes
    ----------
    slope, intercept
        Calibrated std = slope * std + intercept.
    floor
        Smallest calibrated std.
    factors
        By percentage, how many calibrated std to each side of the mean hold that share of targets; empty where there
        were too few errors.
    """

    slope: float
    intercept: float
    floor: float
    factors: dict[int, float] = field(default_factory=dict)

    def std(self, std: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated std, shape (n,)."""
        return np.maximum(self.slope * std + self.intercept, self.floor)


@dataclass(frozen=True)
class ErrorLaws:
    """The law of all rows, and laws of those kinds of rows that have errors enough.

    Attributes
    ----------
    overall
        Law of rows of no known kind.
    of_kind
        Law by the kind's name.
    """

    overall: ErrorLaw
    of_kind: dict[str, ErrorLaw] = field(default_factory=dict)

    def std(self, std: NDArray[np.float64], kinds: NDArray[np.str_] | None = None) -> NDArray[np.float64]:
        """Calibrated std, shape (n,)."""
        calibrated = self.overall.std(std)
        for rows, law in self._rows(kinds):
            calibrated[rows] = law.std(std[rows])
        return calibrated

    def factors(self, kinds: NDArray[np.str_] | None = None) -> dict[int, float | NDArray[np.float64]]:
        """By percentage, factors of intervals: numbers, or shape (n,) where kinds have laws of their own."""
        own = list(self._rows(kinds))
        if not own or kinds is None:
            return dict(self.overall.factors)
        found: dict[int, float | NDArray[np.float64]] = {}
        for percent, factor in self.overall.factors.items():
            of_row = np.full(len(kinds), factor)
            for rows, law in own:
                of_row[rows] = law.factors[percent]
            found[percent] = of_row
        return found

    def _rows(self, kinds: NDArray[np.str_] | None) -> list[tuple[NDArray[np.bool_], ErrorLaw]]:
        if kinds is None:
            return []
        return [(kinds == kind, law) for kind, law in self.of_kind.items()]

    def as_dict(self) -> dict[str, Any]:
        """Return the laws as JSON takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Take up what `as_dict` returned, also after JSON made strings of the percentages."""
        of_kind = {kind: _law(law) for kind, law in document["of_kind"].items()}
        return cls(_law(document["overall"]), of_kind)


def _law(document: Mapping[str, Any]) -> ErrorLaw:
    factors = {int(percent): factor for percent, factor in document["factors"].items()}
    return ErrorLaw(document["slope"], document["intercept"], document["floor"], factors)


def fit_laws(
    std: NDArray[np.float64], error: NDArray[np.float64], floor: float, kinds: NDArray[np.str_] | None = None
) -> ErrorLaws:
    """Fit the law of all rows, and of each kind with `MIN_ROWS_OF_KIND` errors or more; intervals are MAPIE's.

    Parameters
    ----------
    std, error
        Of held-out predictions, shape (n,), in one unit; n is `MIN_ROWS` at least.
    floor
        Smallest calibrated std.
    kinds
        Kind of each row, shape (n,).
    """
    return _fitted(std, error, floor, kinds, conformal_factors)


def cross_coverage(
    std: NDArray[np.float64],
    error: NDArray[np.float64],
    floor: float,
    fold_of_row: NDArray[np.intp],
    kinds: NDArray[np.str_] | None = None,
) -> dict[int, float]:
    """Share of held-out targets within their intervals, by percentage, each by laws fitted to the other folds.

    What is counted is thus no error that the laws were fitted to.
    """
    within = {percent: np.zeros(len(error), dtype=bool) for percent in INTERVALS}
    for fold in range(int(fold_of_row.max()) + 1):
        test = fold_of_row == fold
        train_kinds, test_kinds = (None, None) if kinds is None else (kinds[~test], kinds[test])
        laws = _fitted(std[~test], error[~test], floor, train_kinds, upper_quantiles)
        reach, factors = laws.std(std[test], test_kinds), laws.factors(test_kinds)
        for percent in INTERVALS:
            within[percent][test] = np.abs(error[test]) <= factors[percent] * reach
    return {percent: float(rows.mean()) for percent, rows in within.items()}


def _fitted(
    std: NDArray[np.float64],
    error: NDArray[np.float64],
    floor: float,
    kinds: NDArray[np.str_] | None,
    factors: Callable[[NDArray[np.float64], NDArray[np.float64]], dict[int, float]],
) -> ErrorLaws:
    def of_rows(rows: NDArray[np.bool_] | slice) -> ErrorLaw:
        law = ErrorLaw(*fit_std(std[rows], error[rows]), floor)
        return replace(law, factors=factors(error[rows], law.std(std[rows])))

    named, sizes = ([], []) if kinds is None else (part.tolist() for part in np.unique(kinds, return_counts=True))
    many = [kind for kind, size in zip(named, sizes, strict=True) if size >= MIN_ROWS_OF_KIND]
    return ErrorLaws(of_rows(slice(None)), {kind: of_rows(kinds == kind) for kind in many})


def upper_quantiles(error: NDArray[np.float64], std: NDArray[np.float64]) -> dict[int, float]:
    """Factors as `conformal_factors` gives them, without MAPIE's checks, and of fewer errors the largest.

    Examples
    --------
    >>> upper_quantiles(np.array([1.0, -3.0, 2.0]), np.ones(3))
    {50: 2.0, 80: 3.0, 90: 3.0}
    """
    ratios = np.sort(np.abs(error) / std)
    n = len(ratios)
    return {percent: float(ratios[min(-(-(n + 1) * percent // 100), n) - 1]) for percent in INTERVALS}


class _Column:
    """A regressor, as MAPIE wants one, whose prediction stands in a column already."""

    is_fitted = True
    n_features_in_ = 2

    def __init__(self, column: int) -> None:
        self.column = column

    def fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> Self:  # noqa: ARG002 -- MAPIE asks for it
        return self

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(X)[:, self.column]


def conformal_factors(error: NDArray[np.float64], std: NDArray[np.float64]) -> dict[int, float]:
    """By percentage, how many std to each side of the mean hold that share of targets.

    The split conformal intervals of MAPIE with residuals normalised by std: the (n + 1) p-th smallest of n ratios
    |error| / std.

    Parameters
    ----------
    error, std
        Of held-out predictions, shape (n,), std > 0; n is `MIN_ROWS` at least.

    Examples
    --------
    >>> conformal_factors(np.arange(1.0, 100.0), np.ones(99))
    {50: 50.0, 80: 80.0, 90: 90.0}
    """
    from mapie.conformity_scores import ResidualNormalisedScore
    from mapie.regression import SplitConformalRegressor

    unit = float(std.mean())  # MAPIE takes no std below 1e-8
    conformal = SplitConformalRegressor(
        _Column(0),
        confidence_level=[percent / 100 for percent in INTERVALS],
        conformity_score=ResidualNormalisedScore(_Column(1), prefit=True),
        prefit=True,
    )
    conformal.conformalize(np.column_stack([np.zeros(len(std)), std / unit]), error / unit)
    _, ends = conformal.predict_interval(np.array([[0.0, 1.0]]))
    return {percent: float(end) for percent, end in zip(INTERVALS, ends[0, 1], strict=True)}


def fit_std(std: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, float]:
    """Slope a >= 0 and intercept b >= 0 that make errors most likely under a normal distribution of std a * std + b.

    Parameters
    ----------
    std, error
        Of held-out predictions, shape (n,), in one unit.

    Returns
    -------
    a and b; (0, 0) where all errors are 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> std = rng.uniform(0.1, 1.0, 100_000)
    >>> a, b = fit_std(std, rng.normal(0, 3 * std + 0.2))
    >>> round(a, 1), round(b, 1)
    (3.0, 0.2)
    """
    from scipy.optimize import minimize

    size, spread = float(np.sqrt(np.mean(error**2))), float(std.mean())
    if size == 0:
        return 0.0, 0.0
    if spread == 0:
        return 0.0, size
    x, e2 = std / spread, (error / size) ** 2

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sigma = parameters[0] * x + parameters[1]
        by_sigma = (1 - e2 / sigma**2) / sigma
        value = float(np.mean(np.log(sigma) + 0.5 * e2 / sigma**2))
        return value, np.array([np.mean(by_sigma * x), np.mean(by_sigma)])

    # in units of the mean std and the rms error; b > 0 keeps a std of 0 from an infinite likelihood
    starts = ([0.9, 0.1], [0.5, 0.5], [0.0, 1.0])
    fits = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (1e-3, None)]) for start in starts]
    a, b = min(fits, key=lambda fit: float(fit.fun)).x
    return float(a) * size / spread, float(b) * size


def smallest_std(target: NDArray[np.float64]) -> float:
    """Smallest calibrated std that targets of this spread allow, > 0 so that a probability stays defined."""
    return max(FLOOR * float(target.std()), 1e-9 * float(np.abs(target).max()), 1e-12)


def coverage(error: NDArray[np.float64], std: NDArray[np.float64]) -> dict[int, float]:
    """Share of errors within each of the central intervals of a normal distribution, by its percentage.

    Examples
    --------
    >>> coverage(np.array([0.0, 0.7, 1.0, 2.0]), np.ones(4))
    {50: 0.25, 80: 0.75, 90: 0.75}
    """
    from scipy.special import ndtri

    return {percent: float(np.mean(np.abs(error) <= ndtri(0.5 + percent / 200) * std)) for percent in INTERVALS}


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation; NaN where one side is constant."""
    from scipy.stats import spearmanr

    constant = not np.ptp(first) or not np.ptp(second)
    return float("nan") if constant else float(spearmanr(first, second).statistic)
