"""How the error falls with the number of rows learnt from."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.inputs import as_inputs
from matscout.models.options import check_number
from matscout.models.report.documents import Document, Number
from matscout.models.validation.cross_validation import kind_of, maker_of
from matscout.models.validation.groups import first_rows, numbered
from matscout.models.validation.splits import make_splits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_SMALLEST = 10  # rows: with fewer, a calibration says nothing
_SIZES = 6


class PowerLaw(Document):
    """MAE = a n^-b + c, of n rows learnt from."""

    a: float = Field(description="In the unit of the target")
    b: float = Field(description="Slope on doubly logarithmic axes where c is 0")
    c: float = Field(default=0.0, description="MAE of infinitely many rows, in the unit of the target")

    def at(self, n: ArrayLike) -> Floats:
        """Give the MAE of n rows."""
        return np.asarray(self.a * np.asarray(n, dtype=float) ** -self.b + self.c)


class LearningCurve(Document):
    """Errors on one fixed test part, of surrogates that learnt from growing parts of the others."""

    sizes: tuple[int, ...] = Field(description="Rows learnt from")
    mae: tuple[float, ...] = Field(description="Mean over repeats, in the unit of the target")
    std: tuple[float, ...] = Field(description="Standard deviation over repeats")
    runs: tuple[tuple[float, ...], ...] = Field(description="MAE of each repeat, for each size")
    fit_seconds: tuple[float, ...] = Field(description="Mean time of training, for each size")
    n_test: int = Field(description="Rows of the test part")
    repeats: int = Field(description="Random subsets of each size")
    power_law: PowerLaw = Field(description="Fit of a n^-b")
    saturating: PowerLaw | None = Field(description="Fit of a n^-b + c; None with fewer than four sizes")
    still_falls: bool = Field(
        description="Whether the MAE fell between the last two sizes by more than twice the standard error of that"
    )
    mae_of_double: Number = Field(description="MAE expected of twice the largest size, by the saturating law")


def learning_curve(
    make: str | Callable[[], Any],
    X: Any,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    sizes: Sequence[int] | None = None,
    repeats: int = 5,
    test_part: float = 0.2,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LearningCurve:
    """Train on growing parts of the rows, several times, and test on the same rows each time.

    Parameters
    ----------
    make, X, y, options
        As in `cross_validate`.
    groups
        Label of each row, shape (n,): no group is in training and test, and a subset is made of whole groups, save for
        the last one.
    sizes
        Rows to learn from; None for up to six, each twice the one before, the last one being all that are not tested.
    repeats
        Random subsets of each size, at least 2. In each repeat a smaller subset is part of the larger ones.
    test_part
        Share of the rows that is tested.
    seed
        Of test part and subsets.
    progress
        Called with the number of trainings done and of all, after each.

    Raises
    ------
    UserError
        A size is not between 2 and the rows that are not tested, there are fewer than two sizes, or as from
        `cross_validate`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(150, 3))
    >>> curve = learning_curve("dummy", X, X[:, 0], repeats=2)
    >>> curve.sizes, curve.n_test, curve.still_falls
    ((15, 30, 60, 120), 30, False)
    """
    check_number("repeats", repeats, 2, integer=True)
    maker = maker_of(make, options)
    inputs, target = as_inputs(kind_of(maker()), X), np.asarray(y, dtype=float)
    if target.shape != (len(inputs),):
        raise UserError(f"expected one target per row, {len(inputs)} of them, got the shape {target.shape}")
    labels = np.arange(len(inputs)) if groups is None else numbered(groups, len(inputs))
    split = make_splits("hold-out", target, labels, test_part=test_part, seed=seed)[0]
    steps = _sizes(sizes, len(split.train))
    test = inputs.take(split.test)
    mae, seconds = np.empty((len(steps), repeats)), np.empty((len(steps), repeats))
    for repeat in range(repeats):
        order = split.train[first_rows(labels[split.train], np.random.default_rng((seed, repeat)))]
        for step, size in enumerate(steps):
            rows = np.sort(order[:size])
            surrogate = maker()
            mae[step, repeat], seconds[step, repeat] = _one(
                surrogate,
                inputs.take(rows),
                target[rows],
                None if groups is None else labels[rows],
                (test, target[split.test]),
            )
            if progress:
                progress(repeat * len(steps) + step + 1, repeats * len(steps))
    return curve_of(steps, mae, seconds, n_test=len(split.test))


def curve_of(sizes: Sequence[int], mae: Floats, seconds: Floats, *, n_test: int) -> LearningCurve:
    """Fit laws to errors of shape (n_sizes, repeats)."""
    mean = mae.mean(axis=1)
    n = np.asarray(sizes, dtype=float)
    saturating = fit_saturating(n, mean) if len(n) > 3 else None
    falls = mae[-2] - mae[-1]  # of one repeat: what is common to both sizes cancels
    return LearningCurve(
        sizes=tuple(sizes),
        mae=tuple(mean.tolist()),
        std=tuple(mae.std(axis=1, ddof=1).tolist()),
        runs=tuple(tuple(row) for row in mae.tolist()),
        fit_seconds=tuple(seconds.mean(axis=1).tolist()),
        n_test=n_test,
        repeats=mae.shape[1],
        power_law=fit_power_law(n, mean),
        saturating=saturating,
        still_falls=bool(falls.mean() > 2 * falls.std(ddof=1) / np.sqrt(len(falls))),
        mae_of_double=None if saturating is None else float(saturating.at(2 * n[-1])),
    )


def fit_power_law(n: Floats, mae: Floats) -> PowerLaw:
    """Fit a n^-b by least squares of the logarithms.

    Examples
    --------
    >>> law = fit_power_law(np.array([10.0, 1000.0]), np.array([0.1, 0.01]))
    >>> round(law.a, 3), round(law.b, 3)
    (0.316, 0.5)
    """
    floor = max(float(mae.max()), 1.0) * 1e-12  # an error of 0 has no logarithm
    slope, intercept = np.polyfit(np.log(n), np.log(np.maximum(mae, floor)), 1)
    return PowerLaw(a=float(np.exp(intercept)), b=float(-slope))


def fit_saturating(n: Floats, mae: Floats) -> PowerLaw:
    """Fit a n^-b + c with a, c >= 0 and b from 0.01 to 4, by least squares of relative errors.

    For each b the best a and c follow from linear least squares; b is searched.
    """
    from scipy.optimize import minimize_scalar, nnls

    weights = 1 / np.maximum(mae, max(float(mae.max()), 1.0) * 1e-12)

    def solved(log_b: float) -> tuple[Floats, float]:
        scale = (n / n[0]) ** -np.exp(log_b)
        parts, residual = nnls(np.stack([scale, np.ones_like(n)], axis=1) * weights[:, None], mae * weights)
        return parts, float(residual)

    grid = np.linspace(np.log(0.01), np.log(4), 61)
    place = int(np.argmin([solved(log_b)[1] for log_b in grid]))
    bounds = (grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)])
    refined = float(minimize_scalar(lambda x: solved(x)[1], bounds=bounds, method="bounded").x)
    best = min(refined, float(grid[place]), key=lambda x: solved(x)[1])
    (a, c), b = solved(best)[0], float(np.exp(best))
    return PowerLaw(a=float(a * n[0] ** b), b=b, c=float(c))


def _sizes(sizes: Sequence[int] | None, n: int) -> list[int]:
    if sizes is None:
        steps = sorted({n // 2**k for k in range(_SIZES) if n // 2**k >= _SMALLEST})
        if len(steps) < 2:
            raise UserError(f"a learning curve needs two sizes, and {n} rows are there to learn from: give sizes")
        return steps
    steps = sorted({int(size) for size in sizes})
    if len(steps) < 2 or steps[0] < 2 or steps[-1] > n:
        raise UserError(
            f"sizes of a learning curve: expected two or more between 2 and {n}, the rows that are not tested, "
            f"got {list(sizes)}"
        )
    return steps


def _one(
    surrogate: Any, inputs: Any, y: Floats, groups: NDArray[np.intp] | None, test: tuple[Any, Floats]
) -> tuple[float, float]:
    """MAE on the test part, and seconds of training."""
    start = perf_counter()
    try:
        surrogate.fit(inputs, y, groups)
        seconds = perf_counter() - start
        return float(np.abs(surrogate.predict(test[0]).mean - test[1]).mean()), seconds
    except UserError as error:
        raise UserError(f"learning curve, {len(y)} rows to learn from: {error}") from error
