"""Surrogates made of trees, whose std is how far the trees or ensemble members disagree, and the one they must beat."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.models.base import Surrogate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(kw_only=True)
class Dummy(Surrogate):
    """Mean and std of the targets for everything: what is known without features."""

    def _fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> None:  # noqa: ARG002 -- it ignores X by design
        self._mean, self._std = float(y.mean()), float(y.std())

    def _predict(self, X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.full(len(X), self._mean), np.full(len(X), self._std)


@dataclass(kw_only=True)
class XGBoostEnsemble(Surrogate):
    """Boosted trees, several times, each time with other weights of the rows.

    The weights are those of the Bayesian bootstrap (Rubin, Ann. Statist. 9, 130 (1981), doi:10.1214/aos/1176345338):
    no member loses rows altogether, which with some tens of rows costs accuracy. The defaults are for 20 to some
    hundred rows and 150 to 300 features. Trees: Chen, Guestrin, KDD 785 (2016), doi:10.1145/2939672.2939785.

    Parameters
    ----------
    n_members
        Members of the ensemble.
    n_trees
        Boosting rounds of a member.
    learning_rate, max_depth, min_child_weight, l2
        As XGBoost's ``eta``, ``max_depth``, ``min_child_weight``, ``lambda``.
    row_fraction
        Share of the rows that a tree sees.
    column_fraction
        Share of the features among which a split chooses.
    n_threads
        Threads of prediction. Training takes one, so that its sums have one order.
    """

    n_members: int = 10
    n_trees: int = 100
    learning_rate: float = 0.12
    max_depth: int = 3
    min_child_weight: float = 1.0
    l2: float = 1.0
    row_fraction: float = 0.5
    column_fraction: float = 0.2
    n_threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("n_members", self.n_members, 2, integer=True)
        for name in ("n_trees", "max_depth", "n_threads"):
            self.check_number(name, getattr(self, name), 1, integer=True)
        for name in ("min_child_weight", "l2"):
            self.check_number(name, getattr(self, name), 0)
        for name in ("learning_rate", "row_fraction", "column_fraction"):
            self.check_number(name, getattr(self, name), 0, 1, above=True)

    def _fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        import xgboost

        parameters = {
            "tree_method": "hist",
            "nthread": 1,
            "base_score": float(y.mean()),
            "eta": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "lambda": self.l2,
            "subsample": self.row_fraction,
            "colsample_bynode": self.column_fraction,
        }
        data = xgboost.QuantileDMatrix(X, y, nthread=1)
        self._members: list[Any] = []
        for member in range(self.n_members):
            # a generator per member, so that the first members of a larger ensemble are those of a smaller one
            rng = np.random.default_rng((self.seed, member))
            weights = rng.standard_exponential(len(y))
            data.set_weight(weights / weights.mean())
            parameters["seed"] = int(rng.integers(2**31))
            self._members.append(xgboost.train(parameters, data, self.n_trees))

    def _predict(self, X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        single = np.ascontiguousarray(X, dtype=np.float32)
        for member in self._members:
            member.set_param({"nthread": self.n_threads})
        return _mean_and_std(member.inplace_predict(single) for member in self._members)


@dataclass(kw_only=True)
class _Forest(Surrogate):
    """Trees of scikit-learn, grown independently; a missing feature takes the median of the training rows."""

    n_trees: int = 200
    column_fraction: float = 0.33
    min_leaf: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("n_trees", self.n_trees, 2, integer=True)
        self.check_number("min_leaf", self.min_leaf, 1, integer=True)
        self.check_number("column_fraction", self.column_fraction, 0, 1, above=True)

    @abstractmethod
    def _regressor(self) -> type[Any]:
        """Return scikit-learn's class of such forests."""

    def _fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._medians = _medians(X)
        forest = self._regressor()(
            n_estimators=self.n_trees,
            max_features=float(self.column_fraction),
            min_samples_leaf=self.min_leaf,
            random_state=self.seed,
            n_jobs=1,
        )
        forest.fit(self._filled(X), y)
        # the bare trees: scikit-learn would check the whole matrix again for each of them
        self._trees = [estimator.tree_ for estimator in forest.estimators_]

    def _predict(self, X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        filled = self._filled(X)
        return _mean_and_std(tree.predict(filled)[:, 0] for tree in self._trees)

    def _filled(self, X: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.where(np.isnan(X), self._medians, X).astype(np.float32)


@dataclass(kw_only=True)
class ExtraTrees(_Forest):
    """Extremely randomised trees: Geurts, Ernst, Wehenkel, Mach. Learn. 63, 3 (2006), doi:10.1007/s10994-006-6226-1.

    A missing feature takes the median of the training rows.

    Parameters
    ----------
    n_trees
        Number of trees.
    column_fraction
        Share of the features among which a split chooses.
    min_leaf
        Smallest number of rows in a leaf.
    """

    def _regressor(self) -> type[Any]:
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor  # type: ignore[no-any-return]


@dataclass(kw_only=True)
class RandomForest(_Forest):
    """Bagged trees: Breiman, Mach. Learn. 45, 5 (2001), doi:10.1023/A:1010933404324.

    A missing feature takes the median of the training rows.

    Parameters
    ----------
    n_trees
        Number of trees.
    column_fraction
        Share of the features among which a split chooses.
    min_leaf
        Smallest number of rows in a leaf.
    """

    def _regressor(self) -> type[Any]:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor  # type: ignore[no-any-return]


def _medians(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the known values of each column, shape (n_features,); 0 where none is known."""
    known = ~np.isnan(X)
    some = known.any(axis=0)
    medians = np.zeros(X.shape[1])
    if some.any():
        medians[some] = np.nanmedian(X[:, some], axis=0)
    return medians


def _mean_and_std(predictions: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample std over members, one member in memory at a time (Welford's recurrence)."""
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for prediction in predictions:
        value = prediction.astype(np.float64)
        if not count:
            mean, squares = np.zeros_like(value), np.zeros_like(value)
        count += 1
        step = value - mean
        mean += step / count
        squares += step * (value - mean)
    return mean, np.sqrt(squares / max(count - 1, 1))
