"""Trees grown independently, whose std is how far they disagree."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.models.base import FeatureSurrogate, Task
from matscout.models.members import combined, in_threads
from matscout.models.tree_arrays import TreeArrays, leaf_variance

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models.prediction import Prediction

_FILE = "trees.npz"


@dataclass(kw_only=True)
class _Forest(FeatureSurrogate):
    """Trees of scikit-learn: what forests have in common, whose docstrings say what the options are."""

    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")

    n_trees: int = 200
    column_fraction: float = 0.33
    min_leaf: int = 1
    n_threads: int = 1

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("n_trees", self.n_trees, 2, integer=True)
        for name in ("min_leaf", "n_threads"):
            self.check_number(name, getattr(self, name), 1, integer=True)
        self.check_number("column_fraction", self.column_fraction, 0, 1, above=True)

    @abstractmethod
    def _regressor(self) -> type[Any]:
        """Return scikit-learn's class of such forests."""

    def tree_arrays(self) -> TreeArrays:
        """Return the trees that were grown, as arrays."""
        return TreeArrays.of_trees(self._trees)

    @override
    def _fit_features(self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        forest = self._regressor()(
            n_estimators=self.n_trees,
            max_features=float(self.column_fraction),
            min_samples_leaf=self.min_leaf,
            random_state=self.seed % 2**32,
            n_jobs=self.n_threads,
        )
        forest.fit(single_precision(X), y)
        # the bare trees: scikit-learn would check the whole matrix again for each of them
        self._trees = [estimator.tree_ for estimator in forest.estimators_]
        # a leaf of one row says nothing of the spread about it
        tells = self.min_leaf > 1 and self.task == "regression"
        self._variances = [leaf_variance(tree) for tree in self._trees] if tells else None

    @override
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction:
        return in_threads(self._combined, single_precision(X), self.n_threads)

    def _combined(self, X: NDArray[np.float32]) -> Prediction:
        if self._variances is None:
            return combined(((tree.predict(X)[:, 0], None) for tree in self._trees), self.task)
        leaves = ((tree, variance, tree.apply(X)) for tree, variance in zip(self._trees, self._variances, strict=True))
        return combined(((tree.value[leaf, 0, 0], variance[leaf]) for tree, variance, leaf in leaves), self.task)

    @override
    def _save_learnt(self, folder: Path) -> dict[str, Any]:
        told = {} if self._variances is None else {"variance": np.concatenate(self._variances)}
        self.tree_arrays().save(folder / _FILE, **told)
        return {"n_features": int(self._trees[0].n_features)}

    @override
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None:
        arrays, told = TreeArrays.load(folder / _FILE)
        self._trees = arrays.trees(state["n_features"])
        self._variances = np.split(told["variance"], arrays.first[1:-1]) if "variance" in told else None


@dataclass(kw_only=True)
class ExtraTrees(_Forest):
    """Extremely randomised trees: Geurts, Ernst, Wehenkel, Mach. Learn. 63, 3 (2006), doi:10.1007/s10994-006-6226-1.

    The std of a regression is the sample std over the trees; where leaves hold several rows (``min_leaf`` above 1), the
    variance within them is added by the law of total variance, and told as the aleatoric part. A classification
    averages the shares of ones in the leaves.

    Parameters
    ----------
    n_trees
        Number of trees.
    column_fraction
        Share of the features among which a split chooses.
    min_leaf
        Smallest number of rows in a leaf.
    n_threads
        Threads of training and prediction; the result does not depend on them.
    """

    name: ClassVar[str] = "extra_trees"

    @override
    def _regressor(self) -> type[Any]:
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor  # type: ignore[no-any-return]


@dataclass(kw_only=True)
class RandomForest(_Forest):
    """Bagged trees: Breiman, Mach. Learn. 45, 5 (2001), doi:10.1023/A:1010933404324.

    Mean, std and options are those of `ExtraTrees`.
    """

    name: ClassVar[str] = "random_forest"

    @override
    def _regressor(self) -> type[Any]:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor  # type: ignore[no-any-return]


def single_precision(X: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return features as scikit-learn's trees take them."""
    return np.ascontiguousarray(X, dtype=np.float32)
