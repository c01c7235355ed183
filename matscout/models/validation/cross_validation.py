"""Predictions of rows by surrogates that have not seen them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from scipy.special import ndtri

from matscout.errors import UserError
from matscout.models.inputs import FeatureInputs, Inputs, as_inputs
from matscout.models.prediction import Prediction, joined
from matscout.models.validation.groups import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.validation.splits import Split

PERCENTAGES = (50, 80, 90)
"""Central intervals kept where a surrogate has calibrated none of its own, in percent."""

_PARTS = ("aleatoric", "epistemic", "distance")


class Learner(Protocol):
    """What a validation needs of a surrogate, calibrated or not."""

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn."""

    def predict(self, X: Any) -> Prediction:
        """Predict."""


@dataclass(frozen=True)
class DataSummary:
    """What the rows are.

    Attributes
    ----------
    n
        Rows.
    hash
        Of rows and targets, in their order.
    kind
        ``features``, ``compositions`` or ``crystals``.
    n_features
        Columns of a feature matrix; None for other kinds.
    versions
        Version of each featurizer, by its name, where known.
    """

    n: int
    hash: str
    kind: str
    n_features: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Validation:
    """Out-of-sample predictions, those of all splits behind each other.

    m predictions: as many as rows after ``k-fold``, fewer after ``hold-out``; a row that several splits test, as by
    ``monte-carlo`` or ``leave-one-element-out``, is predicted several times.

    Attributes
    ----------
    rows
        Row that each prediction is of, shape (m,).
    split
        Number of the split that it is from, shape (m,).
    prediction
        Mean and std, shape (m,); each row has the interval that the surrogate of its split gives it.
    scheme
        How rows were split; empty where in a way of the user's own.
    labels
        What each split leaves out.
    n_train
        Rows that each split learnt from.
    fit_seconds, predict_seconds
        Of each split, on the clock of the wall.
    calibrations
        What each surrogate says of its calibration; empty where it has none.
    surrogate, options
        Name of the surrogate, and its options; of one that is tuned those given, and those of the search as
        ``tuning``.
    chosen
        Options that each split found best for itself; empty where none were searched.
    task
        ``regression`` or ``classification``.
    data
        What the rows are.
    """

    rows: NDArray[np.intp]
    split: NDArray[np.intp]
    prediction: Prediction
    scheme: str
    labels: tuple[str, ...]
    n_train: tuple[int, ...]
    fit_seconds: tuple[float, ...]
    predict_seconds: tuple[float, ...]
    calibrations: tuple[dict[str, Any], ...]
    surrogate: str
    options: dict[str, Any]
    task: str
    data: DataSummary
    chosen: tuple[dict[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def intervals(self) -> dict[int, NDArray[np.float64]]:
        """Lower and upper ends of the central intervals that were calibrated, shape (m, 2), by their percentage."""
        percentages = sorted(self.prediction.factors or PERCENTAGES)
        return {percent: np.column_stack(self.prediction.interval(percent)) for percent in percentages}

    @property
    def fold_of_row(self) -> NDArray[np.intp]:
        """First split that tests each row, shape (n,); -1 where none does."""
        fold = np.full(self.data.n, -1, dtype=np.intp)
        fold[self.rows[::-1]] = self.split[::-1]
        return fold

    def by_row(self) -> Prediction:
        """Prediction of each row, in the order of the rows.

        Raises
        ------
        UserError
            Not every row is predicted exactly once: the splits are not those of a ``k-fold``.
        """
        counts = np.bincount(self.rows, minlength=self.data.n)
        if (counts != 1).any():
            row = int((counts != 1).argmax())
            raise UserError(
                f"row {row} is predicted {int(counts[row])} times: there is one prediction for each row after k-fold"
            )
        return self.prediction.take(np.argsort(self.rows))


def cross_validate(
    make: str | Callable[[], Any],
    X: Any,
    y: ArrayLike,
    splits: Sequence[Split],
    *,
    groups: ArrayLike | None = None,
    kinds: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
    learnt: Callable[[NDArray[np.intp]], ArrayLike] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Train on the one part and predict the other, for each split.

    Parameters
    ----------
    make
        Name of a surrogate, which is made with `options` and calibrated; or what gives a new one each time.
    X
        Rows of the kind that the surrogate takes, as `matscout.models.inputs.as_inputs` reads them.
    y
        Target, shape (n,).
    splits
        Of `make_splits`.
    groups
        Label of each row, shape (n,): the surrogate keeps them together where it sets rows aside for its calibration.
    kinds
        Label of each row, shape (n,), by which a `CalibratedSurrogate`, or one that is tuned, has intervals of their
        own: its prototype, say.
    options
        Of the surrogate, where it is named.
    learnt
        Gives the target to learn from the numbers of the training rows, shape (n_train,), where that depends on which
        rows are known, as a distance to the hull of these; None learns `y`.
    progress
        Called with the number of splits done and of all, after each.

    Raises
    ------
    UserError
        There is no split, a split tests what it learns from or is of other rows, or as from `Surrogate.fit`; the
        message names the split.

    Examples
    --------
    >>> from matscout.models.validation import make_splits
    >>> X = np.random.default_rng(0).normal(size=(40, 2))
    >>> validation = cross_validate("dummy", X, X[:, 0], make_splits("k-fold", 40))
    >>> validation.by_row().mean.shape, validation.labels[0]
    ((40,), 'fold 1 of 5')
    """
    maker = maker_of(make, options)
    first = maker()
    inputs = as_inputs(kind_of(first), X)
    target = np.asarray(y, dtype=float)
    if target.shape != (len(inputs),):
        raise UserError(f"expected one target per row, {len(inputs)} of them, got the shape {target.shape}")
    labels = None if groups is None else numbered(groups, len(inputs))
    rows = _Rows(inputs, target, labels, _kinds(kinds, len(inputs)), learnt)
    _check(splits, len(inputs))
    parts = []
    for number, split in enumerate(splits):
        surrogate = first if number == 0 else maker()
        try:
            parts.append(_one(surrogate, rows, split))
        except UserError as error:
            raise UserError(f"{split.label}, {len(split.train)} rows to learn from: {error}") from error
        if progress:
            progress(number + 1, len(splits))
    return _collected(parts, splits, first, summary_of(inputs, target))


def kind_of(learner: Any) -> Any:
    """Kind of rows that a surrogate takes, calibrated or not."""
    return getattr(_inner(learner), "takes", "features")


def summary_of(inputs: Inputs, target: NDArray[np.float64]) -> DataSummary:
    """Tell what the rows are."""
    digest = hashlib.sha256(inputs.fingerprint().encode())
    digest.update(np.ascontiguousarray(target, dtype="<f8").tobytes())
    if not isinstance(inputs, FeatureInputs):
        return DataSummary(len(inputs), digest.hexdigest(), inputs.kind)
    return DataSummary(len(inputs), digest.hexdigest(), inputs.kind, inputs.values.shape[1], dict(inputs.versions))


def maker_of(make: str | Callable[[], Any], options: Mapping[str, Any] | None) -> Callable[[], Learner]:
    """Return what gives a new surrogate each time."""
    if not isinstance(make, str):
        if options:
            raise UserError("give options with the name of a surrogate; what makes one has them already")
        return make
    from matscout.models.registry import make_surrogate

    return lambda: make_surrogate(make, **(options or {}))


def _kinds(kinds: ArrayLike | None, n: int) -> NDArray[np.str_] | None:
    if kinds is None:
        return None
    numbered(kinds, n, "kind")
    return np.asarray(kinds).astype(str)


def _options_of(learner: Any) -> dict[str, Any]:
    if hasattr(learner, "tuning_options"):
        return dict(learner.tuning_options())
    inner = _inner(learner)
    options = inner.options() if hasattr(inner, "options") else {}
    return options | (learner.calibration_options() if hasattr(learner, "calibration_options") else {})


def _inner(learner: Any) -> Any:
    """Return the model within its calibration."""
    return getattr(learner, "surrogate", learner)


def _check(splits: Sequence[Split], n: int) -> None:
    if not splits:
        raise UserError("no splits to validate with")
    for split in splits:
        for part in (split.train, split.test):
            if not len(part):
                raise UserError(f"{split.label}: a part is empty")
            if part.min() < 0 or part.max() >= n:
                raise UserError(f"{split.label}: the split is not of these {n} rows, it names row {int(part.max())}")
        both = np.intersect1d(split.train, split.test)
        if len(both):
            raise UserError(f"{split.label}: {len(both)} rows are in training and test, the first is row {both[0]}")


@dataclass(frozen=True, eq=False)
class _Rows:
    """All that is known of the rows."""

    inputs: Inputs
    y: NDArray[np.float64]
    groups: NDArray[np.intp] | None
    kinds: NDArray[np.str_] | None
    learnt: Callable[[NDArray[np.intp]], ArrayLike] | None

    def target_of(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Target that is learnt from some rows."""
        if self.learnt is None:
            return self.y[rows]
        target = np.asarray(self.learnt(rows), dtype=float)
        if target.shape != rows.shape:
            raise UserError(f"expected a target to learn of each of {len(rows)} rows, got the shape {target.shape}")
        return target

    def kinds_of(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Kinds of some rows as an argument, where they are known: only a calibrated surrogate takes it."""
        return {} if self.kinds is None else {"kinds": self.kinds[rows]}


@dataclass(frozen=True, eq=False)
class _Part:
    """What one split gave."""

    prediction: Prediction
    fit_seconds: float
    predict_seconds: float
    calibration: dict[str, Any] | None
    chosen: dict[str, Any] | None


def _one(surrogate: Any, rows: _Rows, split: Split) -> _Part:
    train, test = split.train, split.test
    start = perf_counter()
    groups = None if rows.groups is None else rows.groups[train]
    surrogate.fit(rows.inputs.take(train), rows.target_of(train), groups, **rows.kinds_of(train))
    middle = perf_counter()
    prediction = surrogate.predict(rows.inputs.take(test), **rows.kinds_of(test))
    end = perf_counter()
    report, tuning = getattr(surrogate, "calibration", None), getattr(surrogate, "tuning", None)
    return _Part(
        prediction,
        middle - start,
        end - middle,
        None if report is None else report.as_dict(),
        None if tuning is None else dict(tuning.best.options),
    )


def _with_factors(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Give normal intervals to the rows of parts that were too small to be calibrated, where others were."""
    percentages = next((list(one.factors) for one in predictions if one.factors), [])
    normal = {percent: float(ndtri(0.5 + percent / 200)) for percent in percentages}
    return [one if one.factors or not normal else replace(one, factors=normal) for one in predictions]


def _collected(parts: Sequence[_Part], splits: Sequence[Split], learner: Learner, data: DataSummary) -> Validation:
    inner = _inner(learner)
    predictions = [part.prediction for part in parts]
    lengths = [len(split.test) for split in splits]
    # some part may be too small to tell parts of its std
    unsaid: dict[str, Any] = {name: None for name in _PARTS if any(getattr(one, name) is None for one in predictions)}
    return Validation(
        rows=np.concatenate([split.test for split in splits]),
        split=np.repeat(np.arange(len(splits)), lengths),
        prediction=joined([replace(one, **unsaid) for one in _with_factors(predictions)]),
        scheme=splits[0].scheme,
        labels=tuple(split.label for split in splits),
        n_train=tuple(len(split.train) for split in splits),
        fit_seconds=tuple(part.fit_seconds for part in parts),
        predict_seconds=tuple(part.predict_seconds for part in parts),
        calibrations=tuple(part.calibration for part in parts if part.calibration is not None),
        surrogate=str(getattr(getattr(learner, "stage", inner), "name", type(inner).__name__)),
        options=_options_of(learner),
        task=str(getattr(inner, "task", "regression")),
        data=data,
        chosen=tuple(part.chosen for part in parts if part.chosen is not None),
    )
