"""Options chosen on rows set aside from the training part.

Random search: Bergstra, Bengio, Random search for hyper-parameter optimization, J. Mach. Learn. Res. 13, 281 (2012).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.errors import UserError
from matscout.models.inputs import as_inputs
from matscout.models.options import check_choice, check_number
from matscout.models.registry import make_surrogate, surrogate_class
from matscout.models.report import measures
from matscout.models.validation.groups import numbered
from matscout.models.validation.spaces import check_space, default_space, draw_options
from matscout.models.validation.splits import Split, make_splits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.calibration import CalibratedSurrogate
    from matscout.models.inputs import Inputs
    from matscout.models.prediction import Prediction
    from matscout.models.validation.cross_validation import Learner
    from matscout.models.validation.spaces import Space

METRICS: dict[str, Callable[[NDArray[np.float64], Prediction], float]] = {
    "mae": lambda y, p: float(np.abs(p.mean - y).mean()),
    "rmse": lambda y, p: float(np.sqrt(((p.mean - y) ** 2).mean())),
    "nll": lambda y, p: measures.normal_nll(y, p.mean, p.std),
    "crps": lambda y, p: float(measures.normal_crps(y, p.mean, p.std).mean()),
    "log_loss": lambda y, p: measures.log_loss(y, p.mean),
    "brier": lambda y, p: float(((p.mean - y) ** 2).mean()),
}
"""What is made small, by name; ``nll`` and ``crps`` also judge the std, so the surrogate is calibrated each time."""

_CALIBRATED = ("nll", "crps")
_DRAWS = 100  # in search of options that were not tried yet


@dataclass(frozen=True)
class Trial:
    """One set of options.

    Attributes
    ----------
    options
        What differs from those given by the user.
    score
        On the validation part; None where it failed.
    seconds
        To train and to predict.
    error
        Why it failed; None where it did not.
    """

    options: Mapping[str, Any]
    score: float | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes
    ----------
    name
        Surrogate.
    metric
        What was made small.
    trials
        In the order in which they ran; the first one has the options as they are by default.
    n_train, n_validation
        Rows that each trial learnt from, and rows that it was judged by.
    """

    name: str
    metric: str
    trials: tuple[Trial, ...]
    n_train: int
    n_validation: int

    @property
    def best(self) -> Trial:
        """Trial of the lowest score, the first of equals."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return min(scored, key=lambda trial: trial.score if trial.score is not None else np.inf)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "surrogate": self.name,
            "metric": self.metric,
            "n_train": self.n_train,
            "n_validation": self.n_validation,
            "best": dict(self.best.options),
            "trials": [vars(trial) | {"options": dict(trial.options)} for trial in self.trials],
        }


def tune(
    name: str,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    space: Space | None = None,
    n_trials: int = 20,
    metric: str = "mae",
    validation_part: float = 0.2,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Search for the options of a surrogate on a part of its training rows.

    Give the training rows only: a part of them, whole groups, judges the options. What the surrogate will be tested on
    takes no part.

    Parameters
    ----------
    name
        Surrogate, of `matscout.models.SURROGATES`.
    X, y, groups
        Training rows, as for `Surrogate.fit`.
    space
        Range or choices of each option to search; what `default_space` says where None.
    n_trials
        Sets of options, those by default included. There are fewer where the space holds fewer.
    metric
        One of `METRICS`.
    validation_part
        Share of the rows that judges.
    options
        Options that all trials have.
    seed
        Of the search; that of the surrogate is one of `options`.
    progress
        Called with the number of trials done and of all, after each.

    Raises
    ------
    UserError
        A name, an option or the space is wrong, there are too few rows or groups, or no trial succeeded.

    Examples
    --------
    Nested: each training part chooses its options, its test part sees only the outcome.

    >>> from matscout.models.validation import cross_validate, make_splits
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = X[:, 0] * X[:, 1]
    >>> for split in make_splits("k-fold", 60, folds=2):
    ...     tuning = tune("extra_trees", X[split.train], y[split.train], n_trials=3, options={"n_trees": 20})
    ...     best = {"n_trees": 20, **tuning.best.options}
    ...     surrogate = make_surrogate("extra_trees", **best).fit(X[split.train], y[split.train])
    ...     prediction = surrogate.predict(X[split.test])

    The same in one call:

    >>> tuned = lambda: TunedSurrogate("extra_trees", n_trials=3, options={"n_trees": 20})
    >>> len(cross_validate(tuned, X, y, make_splits("k-fold", 60, folds=2)))
    60
    """
    check_choice("metric", metric, tuple(METRICS))
    check_number("n_trials", n_trials, 1, integer=True)
    fixed = dict(options or {})
    space = default_space(name, fixed) if space is None else space
    check_space(name, space)
    twice = sorted(set(fixed) & set(space))
    if twice:
        raise UserError(f"option {twice[0]} is both given and searched: leave it out of one")
    make_surrogate(name, **fixed)
    inputs, target = as_inputs(surrogate_class(name).takes, X), np.asarray(y, dtype=float)
    labels = None if groups is None else numbered(groups, len(inputs))
    split = make_splits("hold-out", target, labels, test_part=validation_part, seed=seed)[0]
    trials: list[Trial] = []
    for drawn in _options_to_try(space, n_trials, seed):
        trials.append(_try(name, inputs, target, labels, split, fixed=fixed, drawn=drawn, metric=metric))
        if progress:
            progress(len(trials), n_trials)
    if all(trial.score is None for trial in trials):
        raise UserError(f"none of {len(trials)} trials of {name} succeeded, the first: {trials[0].error}")
    return Tuning(name, metric, tuple(trials), len(split.train), len(split.test))


def _options_to_try(space: Space, n_trials: int, seed: int) -> list[dict[str, Any]]:
    """Options by default, then different ones at random; fewer trials are the first ones of more."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{}]
    draws = 0
    while len(found) < n_trials and draws < _DRAWS:
        drawn = draw_options(space, rng)
        draws += 1
        if drawn not in found:
            found.append(drawn)
            draws = 0
    return found


def _try(
    name: str,
    inputs: Inputs,
    y: NDArray[np.float64],
    groups: NDArray[np.intp] | None,
    split: Split,
    *,
    fixed: Mapping[str, Any],
    drawn: Mapping[str, Any],
    metric: str,
) -> Trial:
    start = perf_counter()
    try:
        calibrated = make_surrogate(name, **fixed, **drawn)
        whole = metric in _CALIBRATED or calibrated.transform != "none"
        surrogate: Learner = calibrated if whole else calibrated.surrogate
        surrogate.fit(inputs.take(split.train), y[split.train], None if groups is None else groups[split.train])
        score = METRICS[metric](y[split.test], surrogate.predict(inputs.take(split.test)))
    except Exception as error:  # noqa: BLE001  a failed trial is one of the results
        return Trial(drawn, None, perf_counter() - start, f"{type(error).__name__}: {error}")
    if not np.isfinite(score):
        return Trial(drawn, None, perf_counter() - start, f"the {metric} is {score}")
    return Trial(drawn, score, perf_counter() - start)


@dataclass
class TunedSurrogate:
    """A surrogate that chooses its options each time it is trained, from what it is trained on.

    For `cross_validate` and `learning_curve`: no test part can reach the choice. Parameters as in `tune`.

    Attributes
    ----------
    surrogate
        As it is before any choice, untrained; it says what rows are taken.
    tuning
        The `Tuning` of the last fit.
    calibration
        Of what was chosen in the last fit.
    """

    name: str
    space: Space | None = None
    n_trials: int = 20
    metric: str = "mae"
    validation_part: float = 0.2
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        given = make_surrogate(self.name, **self.options)
        self.surrogate, self.stage = given.surrogate, given.stage

    def tuning_options(self) -> dict[str, Any]:
        """Return the options that were given, and those of the search as ``tuning``; JSON takes them."""
        space = default_space(self.name, self.options) if self.space is None else self.space
        search = {
            "n_trials": self.n_trials,
            "metric": self.metric,
            "validation_part": self.validation_part,
            "seed": self.seed,
            "searched": sorted(space),
        }
        return {**self.options, "tuning": search}

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None, kinds: ArrayLike | None = None) -> Self:
        """Choose the options, then learn from all rows with them, calibrated.

        Kinds of rows, as in `CalibratedSurrogate.fit`, count in that calibration, not in the choice.
        """
        self.tuning = tune(
            self.name,
            X,
            y,
            groups,
            space=self.space,
            n_trials=self.n_trials,
            metric=self.metric,
            validation_part=self.validation_part,
            options=self.options,
            seed=self.seed,
        )
        self._fitted: CalibratedSurrogate = make_surrogate(self.name, **self.options, **self.tuning.best.options)
        self._fitted.fit(X, y, groups, kinds)
        self.calibration = self._fitted.calibration
        return self

    def predict(self, X: Any, kinds: ArrayLike | None = None) -> Prediction:
        """Mean and calibrated std of each row."""
        return self._fitted.predict(X, kinds)
