"""Extremely randomised trees, boosted: each round looks at the rows that the rounds before got wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.models.base import FeatureSurrogate, Task
from matscout.models.forests import single_precision
from matscout.models.members import in_threads, of_probabilities
from matscout.models.prediction import Prediction
from matscout.models.tree_arrays import TreeArrays

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_FILE = "trees.npz"
_LOSSES = ("linear", "square", "exponential")


@dataclass(kw_only=True)
class AdaBoostTrees(FeatureSurrogate):
    """AdaBoost.R2 over extremely randomised trees.

    The best of six methods on cubic perovskites in Schmidt et al., Chem. Mater. 29, 5090 (2017),
    doi:10.1021/acs.chemmater.7b00156. Boosting: Drucker, Improving regressors using boosting techniques, ICML 14, 107
    (1997). The mean is the median of the rounds, weighted as these are; the std is their root mean square deviation
    from it, with the same weights. A classification takes the weighted mean instead: a median of zeros and ones is no
    probability.

    Parameters
    ----------
    n_rounds
        Rounds of boosting; there are fewer where a round is without error, or no better than chance.
    n_trees
        Trees that are averaged in a round; 1 boosts single trees.
    learning_rate
        Exponent of a round's weight.
    loss
        How the error of a row counts for its weight in the next round, relative to the largest error: ``linear``,
        ``square`` or ``exponential``.
    column_fraction
        Share of the features among which a split chooses.
    min_leaf
        Smallest number of rows in a leaf.
    n_threads
        Threads of prediction; the result does not depend on them. Training takes one: scikit-learn sums the trees of a
        round in the order in which threads are done with them.
    """

    name: ClassVar[str] = "adaboost_trees"
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")

    n_rounds: int = 20
    n_trees: int = 10
    learning_rate: float = 1.0
    loss: str = "square"
    column_fraction: float = 0.6
    min_leaf: int = 1
    n_threads: int = 1

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_rounds", "n_trees", "min_leaf", "n_threads"):
            self.check_number(name, getattr(self, name), 2 if name == "n_rounds" else 1, integer=True)
        self.check_number("learning_rate", self.learning_rate, 0, above=True)
        self.check_number("column_fraction", self.column_fraction, 0, 1, above=True)
        self.check_choice("loss", self.loss, _LOSSES)

    def tree_arrays(self) -> TreeArrays:
        """Return the trees that were grown, as arrays: those of the first round, of the second, and so on."""
        return TreeArrays.of_trees(self._trees)

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        from sklearn.ensemble import AdaBoostRegressor, ExtraTreesRegressor

        trees = ExtraTreesRegressor(
            n_estimators=self.n_trees,
            max_features=float(self.column_fraction),
            min_samples_leaf=self.min_leaf,
            n_jobs=1,
        )
        boosted = AdaBoostRegressor(
            trees,
            n_estimators=self.n_rounds,
            learning_rate=float(self.learning_rate),
            loss=self.loss,
            random_state=self.seed % 2**32,
        )
        boosted.fit(single_precision(X), y)
        self._trees = [tree.tree_ for forest in boosted.estimators_ for tree in forest.estimators_]
        weights = np.array(boosted.estimator_weights_[: len(boosted.estimators_)], dtype=np.float64)
        # a first round that is no better than chance stays, with the weight 0
        self._weights = weights if weights.sum() > 0 else np.ones_like(weights)

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        return in_threads(self._combined, single_precision(X), self.n_threads)

    def _combined(self, X: NDArray[np.float32]) -> Prediction:
        rounds = self._rounds(X)
        if self.task == "classification":
            mean = _weighted_mean(rounds, self._weights)
            return of_probabilities(mean, _weighted_mean((rounds - mean) ** 2, self._weights))
        middle = _weighted_median(rounds, self._weights)
        return Prediction(middle, np.sqrt(_weighted_mean((rounds - middle) ** 2, self._weights)))

    def _rounds(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean of each round's trees, shape (n_rounds, n)."""
        rounds = np.zeros((len(self._weights), len(X)))
        for number, tree in enumerate(self._trees):
            rounds[number // self.n_trees] += tree.predict(X)[:, 0]
        return rounds / self.n_trees

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        self.tree_arrays().save(folder / _FILE, weights=self._weights)
        return {"n_features": int(self._trees[0].n_features)}

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        arrays, more = TreeArrays.load(folder / _FILE)
        self._trees, self._weights = arrays.trees(state["n_features"]), more["weights"]


def _weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis, summed in its order whatever the number of columns."""
    total = np.zeros(values.shape[1])
    for value, weight in zip(values, weights.tolist(), strict=True):
        total += weight * value
    return total / float(weights.sum())


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest value of each column up to which lies at least half of the weight, shape (n,)."""
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0)
    middle = (reached >= 0.5 * reached[-1]).argmax(axis=0)
    columns = np.arange(values.shape[1])
    return np.asarray(values[order[middle, columns], columns])
