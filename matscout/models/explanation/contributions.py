"""What each feature gives to each prediction: Shapley values, exact for trees and linear models.

Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nat. Mach. Intell. 2, 56
(2020), doi:10.1038/s42256-019-0138-9. They explain the model, not nature: of two features that say the same, either
may get all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from matscout.errors import UserError
from matscout.models.inputs import as_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from matscout.models.base import FeatureSurrogate, Surrogate
    from matscout.models.baselines import Ridge
    from matscout.models.boosted_forest import AdaBoostTrees
    from matscout.models.explanation.tree_shap import Tree
    from matscout.models.forests import ExtraTrees
    from matscout.models.gradient_boosting import XGBoostEnsemble
    from matscout.models.inputs import FeatureInputs
    from matscout.models.tree_arrays import TreeArrays

PREDICTION, LOG_ODDS = "prediction", "log odds"

MOST_UNEXPLAINED = 1e-3
"""Share of their size by which single-precision contributions may miss the prediction."""

_STATISTICS = re.compile(r"^(MagpieData )?(minimum|maximum|range|mean|avg_dev|mode|std_dev) ")
_ROLES = re.compile(r"^role\d+([-/]role\d+)?\.")


@dataclass(frozen=True, eq=False)
class Contributions:
    """What features give to predictions; of each row they sum with the base to what is explained.

    Attributes
    ----------
    values
        Contribution of each feature to each row, shape (n, n_features), in the unit of what is explained.
    base
        What is predicted where no feature is known: the mean over the training rows.
    names
        Names of the columns.
    of
        What is explained: the ``prediction``; or the ``log odds`` of the probability, in a classification by boosted
        trees (the mean of the members') or by ridge (the most probable ones), whose probabilities are no sums.
    features
        The features themselves, shape (n, n_features); None where columns stand for several.
    """

    values: NDArray[np.float64]
    base: float
    names: tuple[str, ...]
    of: str = PREDICTION
    features: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def totals(self) -> NDArray[np.float64]:
        """What is explained, of each row: base and all contributions, shape (n,)."""
        return np.asarray(self.base + self.values.sum(axis=1))

    @property
    def mean_absolute(self) -> NDArray[np.float64]:
        """Mean size of each feature's contributions, shape (n_features,)."""
        return np.abs(self.values).mean(axis=0) if len(self) else np.zeros(len(self.names))

    def top(self, k: int = 10) -> list[tuple[str, float]]:
        """Names and mean sizes of the k features that give the most; the first column's among equal ones."""
        order = np.argsort(-self.mean_absolute, kind="stable")[:k]
        return [(self.names[column], float(self.mean_absolute[column])) for column in order.tolist()]

    def grouped(self, by: str | Sequence[str] | Mapping[str, str] = "property") -> Self:
        """Sum the contributions of columns that belong together; sums of Shapley values stay exact.

        Parameters
        ----------
        by
            ``property``: statistics of one property of the elements, or its values of several roles, go together. Or
            a label of each column, as `FeatureMatrix.sets`; or labels by name, where columns without stay alone.

        Raises
        ------
        UserError
            There is not one label for each column.
        """
        labels = _labels(self.names, by)
        groups = list(dict.fromkeys(labels))
        sums = np.zeros((len(self), len(groups)))
        place = {group: column for column, group in enumerate(groups)}
        for column, label in enumerate(labels):
            sums[:, place[label]] += self.values[:, column]
        return replace(self, values=sums, names=tuple(groups), features=None)

    def frame(self) -> pd.DataFrame:
        """Return a frame of the contributions, a row for each row."""
        import pandas as pd

        return pd.DataFrame(self.values, columns=list(self.names))

    def as_dict(self, k: int = 30) -> dict[str, Any]:
        """Summarise them for JSON: the base, and of the k largest the mean size and what goes with a larger value.

        The ``trend`` is the rank correlation of a feature and its contribution, None where it is not defined.
        """
        place = {name: column for column, name in enumerate(self.names)}
        top = [{"name": name, "mean_absolute": size, "trend": self._trend(place[name])} for name, size in self.top(k)]
        return {"of": self.of, "base": self.base, "rows": len(self), "features": len(self.names), "top": top}

    def _trend(self, column: int) -> float | None:
        from matscout.models.error_laws import spearman

        if self.features is None:
            return None
        known = ~np.isnan(self.features[:, column])
        if known.sum() < 2:
            return None
        feature, given = self.features[known, column].astype(np.float64), self.values[known, column]
        found = spearman(feature, given)
        return None if np.isnan(found) else found


def feature_contributions(surrogate: Surrogate, X: Any) -> Contributions:
    """Exact contributions of the features to a surrogate's predictions.

    Parameters
    ----------
    surrogate
        Trained: ``extra_trees``, ``random_forest``, ``xgboost`` or ``ridge``, or ``adaboost_trees`` of a
        classification.
    X
        Features, shape (n, n_features), as it was trained on.

    Raises
    ------
    UserError
        Its predictions have no exact parts; the message says why, and what to do.

    Examples
    --------
    >>> from matscout.models.forests import ExtraTrees
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> forest = ExtraTrees(n_trees=20).fit(X, X[:, 1])
    >>> found = feature_contributions(forest, X)
    >>> found.top(1)[0][0], bool(np.allclose(found.totals, forest.predict(X).mean))
    ('feature 1', True)
    """
    reason = why_no_contributions(surrogate)
    if reason:
        raise UserError(reason)
    one = cast("FeatureSurrogate", surrogate)
    inputs = cast("FeatureInputs", as_inputs("features", X))
    one._check_inputs(inputs)  # noqa: SLF001  the same checks as before a prediction
    known = one._known(inputs)  # noqa: SLF001  and what it puts in the place of what is unknown
    values, base, of = _BY_NAME[surrogate.name](one, known)
    names = inputs.names or tuple(f"feature {column}" for column in range(inputs.values.shape[1]))
    return Contributions(values, base, names, of, inputs.values)


def why_no_contributions(surrogate: Surrogate) -> str:
    """Say why a surrogate's predictions have no exact parts by feature; nothing where they have."""
    if surrogate.takes != "features":
        return f"{surrogate.name} learns from {surrogate.takes}, so that there are no features to give its parts to"
    if surrogate.name == "adaboost_trees" and surrogate.task == "regression":
        return (
            "adaboost_trees predicts a weighted median of its rounds, which is no sum of parts: take permutation, or "
            "extra_trees, which are explained exactly"
        )
    if surrogate.name == "two_stage":
        return "it classifies first and then regresses, and a product of both is no sum of parts: take permutation"
    if surrogate.name == "dummy":
        return "dummy predicts one value for everything: no feature has a part in it"
    if surrogate.name not in _BY_NAME:
        return f"{surrogate.name} has no exact decomposition by feature that is cheap enough: take permutation"
    return ""


def work_per_row(surrogate: Surrogate) -> int:
    """How many numbers the contributions to one prediction take to make; 0 where they cost next to nothing."""
    if surrogate.name not in ("extra_trees", "random_forest", "adaboost_trees"):
        return 0
    arrays = cast("ExtraTrees | AdaBoostTrees", surrogate).tree_arrays()
    # the paths of grown trees test some multiple of log2 of the nodes
    return int(len(arrays.left) * np.log2(max(len(arrays.left) / len(arrays), 2)))


def trees_of(arrays: TreeArrays) -> list[Tree]:
    """Single trees, ready to be explained."""
    from matscout.models.explanation.tree_shap import Tree

    columns = (arrays.left, arrays.right, arrays.feature, arrays.threshold, arrays.value, arrays.cover)
    parts = zip(*(np.split(column, arrays.first[1:-1]) for column in columns), strict=True)
    return [Tree(*part) for part in parts]


def property_of(name: str) -> str:
    """Property of the elements that a column tells about, where its name says so; else the name.

    Examples
    --------
    >>> [property_of(name) for name in ("MagpieData mean Number", "role1/role2.ionic_radius", "volume")]
    ['Number', 'ionic_radius', 'volume']
    """
    return _ROLES.sub("", _STATISTICS.sub("", name))


def _labels(names: tuple[str, ...], by: str | Sequence[str] | Mapping[str, str]) -> list[str]:
    if by == "property":
        return [property_of(name) for name in names]
    if isinstance(by, str):
        raise UserError(f'columns are grouped by "property" or by a label of each, got {by!r}')
    if isinstance(by, Mapping):
        return [by.get(name, name) for name in names]
    labels = [str(label) for label in by]
    if len(labels) != len(names):
        raise UserError(f"expected a label for each of {len(names)} columns, got {len(labels)}")
    return labels


Parts = tuple["NDArray[np.float64]", float, str]


def _of_forest(surrogate: FeatureSurrogate, X: NDArray[np.floating]) -> Parts:
    forest = cast("ExtraTrees", surrogate)
    arrays = forest.tree_arrays()
    return (*_weighted_sum(arrays, np.full(len(arrays), 1 / len(arrays)), X, forest.n_threads), PREDICTION)


def _of_boosted_forest(surrogate: FeatureSurrogate, X: NDArray[np.floating]) -> Parts:
    forest = cast("AdaBoostTrees", surrogate)
    weights = np.repeat(forest._weights, forest.n_trees)  # noqa: SLF001  those of its rounds
    return (*_weighted_sum(forest.tree_arrays(), weights / weights.sum(), X, forest.n_threads), PREDICTION)


def _weighted_sum(
    arrays: TreeArrays, weights: NDArray[np.float64], X: NDArray[np.floating], n_threads: int
) -> tuple[NDArray[np.float64], float]:
    """Contributions and base of a weighted sum of trees, one after the other whatever the number of threads."""
    from concurrent.futures import ThreadPoolExecutor

    single = np.ascontiguousarray(X, dtype=np.float32)
    values, base = np.zeros(X.shape), 0.0
    trees = trees_of(arrays)
    with ThreadPoolExecutor(n_threads) as threads:
        for start in range(0, len(trees), n_threads):
            some = trees[start : start + n_threads]
            parts = threads.map(lambda tree: tree.contributions(single), some)
            for tree, part, weight in zip(some, parts, weights[start:].tolist(), strict=False):
                values += weight * part
                base += weight * tree.mean
    return values, base


def _of_boosted_trees(surrogate: FeatureSurrogate, X: NDArray[np.floating]) -> Parts:
    import xgboost

    ensemble = cast("XGBoostEnsemble", surrogate)
    members, offset = ensemble._members, ensemble._offset  # noqa: SLF001  boosters are what it is made of
    single = np.ascontiguousarray(X, dtype=np.float32)
    # a row that is not asked for tells the base where none is
    asked = single if len(X) else np.zeros((1, X.shape[1]), dtype=np.float32)
    data = xgboost.DMatrix(asked, nthread=1)
    values, margin = np.zeros((len(asked), X.shape[1] + 1)), np.zeros(len(asked))
    for member in members:
        values += member.predict(data, pred_contribs=True)
        margin += member.inplace_predict(asked, predict_type="margin")
    missed = np.abs(values.sum(axis=1) - margin).max()
    # what the sum over the trees itself is rounded by: it is all there is where no tree tests a feature
    n_trees = sum(member.num_boosted_rounds() for member in members)
    rounding = float(np.finfo(np.float32).eps) * n_trees**0.5 * np.abs(margin).max()
    if missed > MOST_UNEXPLAINED * np.abs(values[:, :-1]).max() + rounding:
        raise UserError(
            "xgboost's contributions, which it makes in single precision, do not sum to the prediction of trees as "
            "deep as these: train with a smaller max_depth, or take permutation"
        )
    values /= len(members)
    of = LOG_ODDS if surrogate.task == "classification" else PREDICTION
    return np.ascontiguousarray(values[: len(X), :-1]), offset + float(values[:, -1].mean()), of


def _of_ridge(surrogate: FeatureSurrogate, X: NDArray[np.floating]) -> Parts:
    posterior = cast("Ridge", surrogate)._posterior  # noqa: SLF001  the linear function that it is
    values = (X - posterior.centre) / posterior.scale * posterior.weights
    return values, posterior.intercept, LOG_ODDS if surrogate.task == "classification" else PREDICTION


_BY_NAME = {
    "extra_trees": _of_forest,
    "random_forest": _of_forest,
    "adaboost_trees": _of_boosted_forest,
    "xgboost": _of_boosted_trees,
    "ridge": _of_ridge,
}
