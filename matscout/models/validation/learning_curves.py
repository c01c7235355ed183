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

_SMALLEST = 10  # rows: with fewer, the error is that of chance
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
    std: tuple[float | None, ...] = Field(description="Standard deviation over repeats; None of one training alone")
    runs: tuple[tuple[float, ...], ...] = Field(
        description="MAE of each training, for each size: of each repeat, but one alone where all rows are learnt from"
    )
    fit_seconds: tuple[float, ...] = Field(
        description="Mean time of training, for each size; without calibration where the mean does not depend on it"
    )
    n_test: int = Field(description="Rows of the test part")
    repeats: int = Field(description="Random subsets of each size")
    power_law: PowerLaw = Field(description="Fit of a n^-b")
    saturating: PowerLaw | None = Field(description="Fit of a n^-b + c; None with fewer than four sizes")
    still_falls: bool = Field(
        description="Whether the MAE fell between the last two sizes by more than twice the standard error of that, "
        "which is over tested rows (or groups of them) and over subsets"
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

    All rows that are not tested are one subset alone, and learnt from once. Of a calibrated surrogate only the model is
    trained where its mean is that of the model: in a regression without a transform.

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
    # each repeat takes its subsets from one order; all rows are the same subset in any order
    trainings = [
        (repeat, step)
        for repeat in range(repeats)
        for step, size in enumerate(steps)
        if repeat == 0 or size < len(split.train)
    ]
    errors: list[list[Floats]] = [[] for _ in steps]
    seconds: list[list[float]] = [[] for _ in steps]
    for done, (repeat, step) in enumerate(trainings, start=1):
        order = split.train[first_rows(labels[split.train], np.random.default_rng((seed, repeat)))]
        rows = np.sort(order[: steps[step]])
        known = (inputs.take(rows), target[rows], None if groups is None else labels[rows])
        error, time = _one(_model_alone(maker()), known, (test, target[split.test]))
        errors[step].append(error)
        seconds[step].append(time)
        if progress:
            progress(done, len(trainings))
    return curve_of(steps, errors, seconds, groups=labels[split.test], repeats=repeats)


def curve_of(
    sizes: Sequence[int],
    errors: Sequence[Sequence[Floats]],
    seconds: Sequence[Sequence[float]],
    *,
    groups: NDArray[np.intp],
    repeats: int,
) -> LearningCurve:
    """Make a curve of the absolute errors of all tested rows, shape (n_test,), by each training of each size.

    Parameters
    ----------
    sizes
        Rows learnt from, ascending.
    errors, seconds
        Of each training of each size.
    groups
        Label of each tested row, shape (n_test,).
    repeats
        Subsets of each size that is less than all rows.
    """
    runs = [[float(error.mean()) for error in of_size] for of_size in errors]
    mean, n = np.array([np.mean(run) for run in runs]), np.asarray(sizes, dtype=float)
    saturating = fit_saturating(n, mean) if len(n) > 3 else None
    return LearningCurve(
        sizes=tuple(sizes),
        mae=tuple(mean.tolist()),
        std=tuple(float(np.std(run, ddof=1)) if len(run) > 1 else None for run in runs),
        runs=tuple(tuple(run) for run in runs),
        fit_seconds=tuple(float(np.mean(times)) for times in seconds),
        n_test=len(groups),
        repeats=repeats,
        power_law=fit_power_law(n, mean),
        saturating=saturating,
        still_falls=_falls(errors[-2], errors[-1], groups),
        mae_of_double=None if saturating is None else float(saturating.at(2 * n[-1])),
    )


def _falls(before: Sequence[Floats], after: Sequence[Floats], groups: NDArray[np.intp]) -> bool:
    """Tell whether the second errors are smaller by more than twice the standard error of the difference.

    Rows are paired, and so are subsets where both sizes have them: what is common to both sizes cancels. Rows of one
    group err alike, so that each group counts as one (a cluster-robust standard error).
    """
    fall = np.mean(before, axis=0) - np.mean(after, axis=0)
    of_group = np.bincount(groups, weights=fall - fall.mean())
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return False
    by_rows = (of_group**2).sum() / len(fall) ** 2 * n_groups / (n_groups - 1)
    of_subset = np.mean(before, axis=1) - np.mean(after, axis=1)  # all rows, one training, is taken from each
    by_subsets = of_subset.var(ddof=1) / len(of_subset) if len(of_subset) > 1 else 0.0
    return bool(fall.mean() > 2 * np.sqrt(by_rows + by_subsets))


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
            raise UserError(
                f"{n} rows are too few for a learning curve of the usual sizes, from {_SMALLEST} on: give others, or "
                "do without"
            )
        return steps
    steps = sorted({int(size) for size in sizes})
    if len(steps) < 2 or steps[0] < 2 or steps[-1] > n:
        raise UserError(
            f"sizes of a learning curve: expected two or more between 2 and {n}, the rows that are not tested, "
            f"got {list(sizes)}"
        )
    return steps


def _model_alone(surrogate: Any) -> Any:
    """Return the model without its calibration, where that does not change the mean."""
    if getattr(surrogate, "transform", None) == "none" and surrogate.surrogate.task == "regression":
        return surrogate.surrogate
    return surrogate


def _one(
    surrogate: Any, known: tuple[Any, Floats, NDArray[np.intp] | None], test: tuple[Any, Floats]
) -> tuple[Floats, float]:
    """Absolute errors on the test part, shape (n_test,), and seconds of training."""
    start = perf_counter()
    try:
        surrogate.fit(*known)
        seconds = perf_counter() - start
        return np.abs(surrogate.predict(test[0]).mean - test[1]), seconds
    except UserError as error:
        raise UserError(f"learning curve, {len(known[1])} rows to learn from: {error}") from error
