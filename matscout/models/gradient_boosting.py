"""Gradient-boosted trees, several times, whose std is how far the ensemble's members disagree."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.db.files import write_whole
from matscout.errors import UserError
from matscout.models.base import FeatureSurrogate, Task
from matscout.models.kept_files import read_bytes, reading
from matscout.models.members import combined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models.prediction import Prediction

EARLY_STOPPING_ROWS = 100
"""With fewer rows none are set aside to stop by: a part of them says too little."""

_OBJECTIVES = {
    "squared_error": ("reg:squarederror", "rmse"),
    "absolute_error": ("reg:absoluteerror", "mae"),
    "pseudo_huber": ("reg:pseudohubererror", "mae"),
}
_GROWTH = ("depthwise", "lossguide")


@dataclass(kw_only=True)
class XGBoostEnsemble(FeatureSurrogate):
    """Boosted trees, several times, each time with other weights of the rows, or other rows and columns.

    The weights are those of the Bayesian bootstrap (Rubin, Ann. Statist. 9, 130 (1981), doi:10.1214/aos/1176345338):
    no member loses rows altogether, which with some tens of rows costs accuracy. The defaults are for 20 to some
    hundred rows and 150 to 300 features; ten thousands of rows want deeper trees, and more of them. Trees: Chen,
    Guestrin, KDD 785 (2016), doi:10.1145/2939672.2939785. Members learn the target less its mean, which is added to
    what they predict.

    Parameters
    ----------
    n_members
        Members of the ensemble.
    n_trees
        Boosting rounds of a member, at most.
    learning_rate, max_depth, max_leaves, min_child_weight, l2, max_bin
        As XGBoost's ``eta``, ``max_depth``, ``max_leaves``, ``min_child_weight``, ``lambda``, ``max_bin``; a depth or a
        number of leaves of 0 is no limit.
    grow_policy
        Whether the next split is of the node nearest to the root (``depthwise``), or the one that gains the most
        (``lossguide``).
    row_fraction
        Share of the rows that a tree sees.
    column_fraction
        Share of the features among which a split chooses.
    row_weights
        ``bayesian``: members differ by the weights of the rows, drawn from the Bayesian bootstrap. ``equal``: only by
        the rows and columns that their trees see, which is more accurate with many rows.
    objective
        What a regression minimises: ``squared_error``, ``absolute_error`` or ``pseudo_huber``.
    huber_slope
        Error, in std of the target, from which on ``pseudo_huber`` counts it as absolute rather than squared.
    early_stopping_rounds
        Rounds without gain on the rows set aside after which a member grows no more trees, and goes back to its best;
        0 sets none aside. Nor are there any with fewer than `EARLY_STOPPING_ROWS` rows.
    validation_part
        Share of the rows, or rather groups, that each member sets aside to stop by; other ones for each member.
    n_threads
        Members trained at a time, and threads of prediction. The result does not depend on them: a member takes one
        thread, so that its sums have one order.
    """

    name: ClassVar[str] = "xgboost"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")
    native_missing: ClassVar[bool] = True
    regression_options: ClassVar[tuple[str, ...]] = ("objective", "huber_slope")

    n_members: int = 10
    n_trees: int = 100
    learning_rate: float = 0.12
    max_depth: int = 3
    max_leaves: int = 0
    grow_policy: str = "depthwise"
    min_child_weight: float = 1.0
    l2: float = 1.0
    max_bin: int = 256
    row_fraction: float = 0.5
    column_fraction: float = 0.2
    row_weights: str = "bayesian"
    objective: str = "squared_error"
    huber_slope: float = 1.0
    early_stopping_rounds: int = 0
    validation_part: float = 0.15
    n_threads: int = 1

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        lowest = {"n_members": 2, "n_trees": 1, "n_threads": 1, "max_bin": 2, "max_depth": 0, "max_leaves": 0}
        for name, low in (*lowest.items(), ("early_stopping_rounds", 0)):
            self.check_number(name, getattr(self, name), low, integer=True)
        self.check_choice("row_weights", self.row_weights, ("bayesian", "equal"))
        for name in ("min_child_weight", "l2"):
            self.check_number(name, getattr(self, name), 0)
        for name in ("learning_rate", "row_fraction", "column_fraction"):
            self.check_number(name, getattr(self, name), 0, 1, above=True)
        self.check_number("validation_part", self.validation_part, 0, 0.5, above=True)
        self.check_number("huber_slope", self.huber_slope, 0, above=True)
        self.check_choice("grow_policy", self.grow_policy, _GROWTH)
        self.check_choice("objective", self.objective, tuple(_OBJECTIVES))
        if not self.max_depth and not self.max_leaves:
            raise UserError("options max_depth and max_leaves are both 0: one of them must limit a tree")
        if self.task == "classification" and self.objective != "squared_error":
            raise UserError(f"option objective is one of a regression, got {self.objective!r} for a classification")

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        # xgboost takes targets in single precision, which tells no meV/atom apart far from 0
        self._offset = float(y.mean()) if self.task == "regression" else 0.0
        target = y - self._offset

        def train(member: int) -> Any:
            return self._member(member, X, target, groups)

        with ThreadPoolExecutor(self.n_threads) as threads:
            self._members: list[Any] = list(threads.map(train, range(self.n_members)))
        self._set_threads()

    def _member(
        self, member: int, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None
    ) -> Any:
        """Train one member, an xgboost ``Booster``, on targets about their mean."""
        import xgboost

        # a generator per member, so that the first members of a larger ensemble are those of a smaller one
        rng = np.random.default_rng((self.seed, member))
        drawn = rng.standard_exponential(len(y))
        weights = drawn if self.row_weights == "bayesian" else np.ones(len(y))
        seed = int(rng.integers(2**31))
        if not self.early_stopping_rounds or len(y) < EARLY_STOPPING_ROWS:
            data = xgboost.QuantileDMatrix(X, y, nthread=1, max_bin=self.max_bin)
            data.set_weight(weights / weights.mean())
            return xgboost.train(self._parameters(y, seed), data, self.n_trees)
        aside = set_aside(len(y), self.validation_part, groups, rng)
        data = xgboost.QuantileDMatrix(X[~aside], y[~aside], nthread=1, max_bin=self.max_bin)
        data.set_weight(weights[~aside] / weights[~aside].mean())
        judge = xgboost.QuantileDMatrix(X[aside], y[aside], nthread=1, max_bin=self.max_bin, ref=data)
        stop = xgboost.callback.EarlyStopping(rounds=self.early_stopping_rounds, save_best=True)
        return xgboost.train(
            self._parameters(y[~aside], seed),
            data,
            self.n_trees,
            evals=[(judge, "validation")],
            callbacks=[stop],
            verbose_eval=False,
        )

    def _parameters(self, y: NDArray[np.float64], seed: int) -> dict[str, Any]:
        parameters = {
            "tree_method": "hist",
            "nthread": 1,
            "seed": seed,
            "base_score": float(y.mean()),
            "eta": self.learning_rate,
            "max_depth": self.max_depth,
            "max_leaves": self.max_leaves,
            "grow_policy": self.grow_policy,
            "min_child_weight": self.min_child_weight,
            "lambda": self.l2,
            "max_bin": self.max_bin,
            "subsample": self.row_fraction,
            "colsample_bynode": self.column_fraction,
        }
        if self.task == "classification":
            # where rows were set aside, those left may be of one class
            share = float(np.clip(y.mean(), 0.5 / len(y), 1 - 0.5 / len(y)))
            return parameters | {"objective": "binary:logistic", "eval_metric": "logloss", "base_score": share}
        parameters["objective"], parameters["eval_metric"] = _OBJECTIVES[self.objective]
        if self.objective == "absolute_error":
            parameters["base_score"] = float(np.median(y))
        if self.objective == "pseudo_huber":
            parameters["huber_slope"] = self.huber_slope * (float(y.std()) or 1.0)
        return parameters

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        single = np.ascontiguousarray(X, dtype=np.float32)
        found = combined(((member.inplace_predict(single), None) for member in self._members), self.task)
        return replace(found, mean=found.mean + self._offset)

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        contents = [bytes(member.save_raw("ubj")) for member in self._members]
        for number, content in enumerate(contents):
            _write(folder / _file(number), content)
        return {
            "trees": [member.num_boosted_rounds() for member in self._members],
            "sha256": [sha256(content).hexdigest() for content in contents],
            "offset": self._offset,
        }

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        import xgboost

        self._members = []
        for number, digest in enumerate(state["sha256"]):
            file = folder / _file(number)
            with reading(file):  # xgboost ends the process where bytes are not its own, so that they are checked before
                content = read_bytes(file, digest)
                self._members.append(xgboost.Booster(model_file=bytearray(content)))
        self._offset = float(state["offset"])
        self._set_threads()

    def _set_threads(self) -> None:
        for member in self._members:
            member.set_param({"nthread": self.n_threads})


def set_aside(n: int, part: float, groups: NDArray[np.intp] | None, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose rows at random to judge by, groups as a whole.

    Parameters
    ----------
    n
        Number of rows, at least 2.
    part
        Share of the rows; groups are taken, in random order, as long as they do not exceed it, but at least one is.
    groups
        Number of each row's group, shape (n,). None, or one single group, takes rows one by one.

    Returns
    -------
    Mask of shape (n,), some rows True and some False.

    Examples
    --------
    >>> groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    >>> set_aside(8, 0.3, groups, np.random.default_rng(0)).nonzero()[0].tolist()
    [3, 4]
    """
    labels = np.arange(n) if groups is None or (groups == groups[0]).all() else groups
    sizes = np.bincount(labels)
    allowed, taken = part * n, np.zeros(len(sizes), dtype=bool)
    for group in rng.permutation(np.flatnonzero(sizes)).tolist():
        if sizes[group] <= allowed:
            taken[group] = True
            allowed -= sizes[group]
    if not taken.any():
        present = np.flatnonzero(sizes)
        taken[present[sizes[present].argmin()]] = True
    return np.asarray(taken[labels])


def _write(file: Path, content: bytes) -> None:
    write_whole(file, lambda stream: stream.write(content))


def _file(member: int) -> str:
    return f"member_{member:03d}.ubj"
