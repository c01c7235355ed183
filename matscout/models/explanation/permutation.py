"""How much worse a model predicts when the values of a feature are dealt to other rows.

Breiman, Mach. Learn. 45, 5 (2001), doi:10.1023/A:1010933404324; for any model: Fisher, Rudin, Dominici, J. Mach. Learn.
Res. 20, 177 (2019), arXiv:1801.01489. A feature whose like stays in its place seems to be worth little, and rows are
made that cannot be (Strobl et al., BMC Bioinformatics 9, 307 (2008), doi:10.1186/1471-2105-9-307): so correlated
columns are dealt together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from matscout.errors import UserError
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.options import check_choice, check_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from matscout.models.prediction import Prediction

    Loss = Callable[[NDArray[np.float64], NDArray[np.float64]], float]

MOST_COLUMNS = 5_000
"""More columns are not compared pair by pair: the correlations alone would take 200 MB."""

MOST_ROWS = 5_000
"""Rows by which columns are compared."""


class Predictor(Protocol):
    """A surrogate, calibrated or not."""

    def predict(self, X: Any, /) -> Prediction:
        """Predict some rows."""


@dataclass(frozen=True, eq=False)
class PermutationImportance:
    """By how much the loss rises when columns are dealt to other rows.

    Attributes
    ----------
    names
        Columns of each group.
    increases
        Rise of the loss at each repetition, shape (n_groups, n_repeats).
    loss
        What is measured, in words.
    baseline
        The loss with all columns in their places.
    """

    names: tuple[tuple[str, ...], ...]
    increases: NDArray[np.float64]
    loss: str
    baseline: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean rise of each group, shape (n_groups,)."""
        return np.asarray(self.increases.mean(axis=1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Std of the rise over repetitions, shape (n_groups,)."""
        return np.asarray(self.increases.std(axis=1, ddof=1 if self.increases.shape[1] > 1 else 0))

    def top(self, k: int = 10) -> list[tuple[tuple[str, ...], float, float]]:
        """Columns, mean rise and its std of the k groups whose loss rises the most."""
        order = np.argsort(-self.mean, kind="stable")[:k].tolist()
        return [(self.names[group], float(self.mean[group]), float(self.std[group])) for group in order]

    def frame(self) -> pd.DataFrame:
        """Return a frame with a row for each group: its columns, mean rise and std."""
        import pandas as pd

        return pd.DataFrame({"columns": [", ".join(names) for names in self.names], "mean": self.mean, "std": self.std})

    def as_dict(self, k: int = 30) -> dict[str, Any]:
        """Summarise it for JSON, with the k largest rises."""
        top = [{"columns": list(names), "mean": mean, "std": std} for names, mean, std in self.top(k)]
        head = {"loss": self.loss, "baseline": self.baseline, "repeats": self.increases.shape[1]}
        return head | {"groups": len(self.names), "top": top}


def permutation_importance(
    model: Predictor,
    X: Any,
    y: ArrayLike,
    *,
    loss: str | Loss = "mae",
    columns: Sequence[Sequence[int]] | None = None,
    correlation: float | None = 0.8,
    repeats: int = 5,
    seed: int = 0,
) -> PermutationImportance:
    """Measure by how much the loss rises when columns are dealt to other rows.

    Parameters
    ----------
    model
        Trained on features.
    X, y
        Features and target of rows that it was not trained on: on its own ones it shows what it remembers.
    loss
        ``mae``, ``rmse``, or of a classification ``log_loss`` or ``brier``; or a function of targets and means, each of
        shape (n,), that is smaller where the model is better.
    columns
        Numbers of the columns that are dealt together, each column once at most; made by `correlation` if left out.
    correlation
        Columns go together where the rank correlation of any two of them is, without its sign, at least that; None
        deals each one alone.
    repeats
        Times that each group is dealt.
    seed
        Of the dealing; how a group is dealt does not depend on the other ones.

    Raises
    ------
    UserError
        An option is out of bounds, or there are fewer than two rows.
    ValueError
        Targets and features have different numbers of rows, or a target is not finite.
    """
    check_number("repeats", repeats, 1, integer=True)
    check_number("seed", seed, 0, integer=True)
    measure = _loss(loss)
    inputs = cast("FeatureInputs", as_inputs("features", X))
    target = np.asarray(y, dtype=float)
    if target.shape != (len(inputs),):
        raise ValueError(f"expected one target per row, shape ({len(inputs)},), got {target.shape}")
    if not np.isfinite(target).all():
        raise ValueError(f"y is not finite in row {int((~np.isfinite(target)).argmax())}")
    if len(inputs) < 2:
        raise UserError(f"columns are dealt among at least two rows, got {len(inputs)}")
    groups = correlated_columns(inputs.values, correlation) if columns is None else _checked(columns, inputs)
    baseline = measure(target, model.predict(inputs).mean)
    increases = np.zeros((len(groups), repeats))
    values = inputs.values.copy()
    for number, group in enumerate(groups):
        own = inputs.values[:, group]
        if (own == own[0]).all():
            continue
        for repeat in range(repeats):
            # a generator of its own for each group and repetition: a group's result stands for itself
            order = np.random.default_rng((seed, group[0], repeat)).permutation(len(values))
            values[:, group] = own[order]
            increases[number, repeat] = measure(target, model.predict(replace(inputs, values=values)).mean) - baseline
        values[:, group] = own
    names = inputs.names or tuple(f"feature {column}" for column in range(values.shape[1]))
    named = tuple(tuple(names[column] for column in group) for group in groups)
    return PermutationImportance(named, increases, loss if isinstance(loss, str) else _name_of(loss), baseline)


def correlated_columns(X: NDArray[np.floating], correlation: float | None) -> list[list[int]]:
    """Sort columns into groups of which any two correlate by rank at least that much, without the sign.

    Groups are joined while their least correlated pair allows it, the most alike first (complete linkage). Constant
    columns stay alone; an unknown value counts as the column's median.

    Raises
    ------
    UserError
        The threshold is not within 0 and 1, or there are more than `MOST_COLUMNS` columns to compare.

    Examples
    --------
    >>> x = np.arange(4.0)
    >>> correlated_columns(np.column_stack([x, [1.0, 0.0, 0.0, 1.0], -x**3]), 0.8)
    [[0, 2], [1]]
    """
    alone = [[column] for column in range(X.shape[1])]
    if correlation is None:
        return alone
    check_number("correlation", correlation, 0, 1, above=True)
    if X.shape[1] > MOST_COLUMNS:
        raise UserError(f"{X.shape[1]} columns are too many to compare: set correlation to None, or name the columns")
    ranks, changing = _ranks(X[:: max(1, -(-len(X) // MOST_ROWS))])
    if len(changing) < 2:
        return alone
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    alike = np.abs(ranks.T @ ranks)
    np.fill_diagonal(alike, 1.0)
    apart = squareform(np.clip(1 - (alike + alike.T) / 2, 0.0, 1.0), checks=False)
    labels = fcluster(linkage(apart, "complete"), 1 - correlation + 1e-12, "distance")
    groups = {column: [column] for column in range(X.shape[1]) if column not in set(changing.tolist())}
    first: dict[int, int] = {}
    for column, label in zip(changing.tolist(), labels.tolist(), strict=True):
        groups.setdefault(first.setdefault(label, column), []).append(column)
    return [groups[column] for column in sorted(groups)]


def _ranks(X: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Ranks of the columns that change, centred and of norm 1, and which these are."""
    from scipy.stats import rankdata

    filled = np.array(X, dtype=np.float64)
    for column in np.flatnonzero(np.isnan(filled).any(axis=0)).tolist():
        unknown = np.isnan(filled[:, column])
        filled[unknown, column] = np.median(filled[~unknown, column]) if not unknown.all() else 0.0
    changing = np.flatnonzero((filled != filled[:1]).any(axis=0))
    ranks = rankdata(filled[:, changing], axis=0)
    ranks -= ranks.mean(axis=0)
    return ranks / np.sqrt((ranks**2).sum(axis=0)), changing


def _checked(columns: Sequence[Sequence[int]], inputs: FeatureInputs) -> list[list[int]]:
    groups = [[int(column) for column in group] for group in columns]
    named = [column for group in groups for column in group]
    width = inputs.values.shape[1]
    if not all(groups) or len(set(named)) < len(named) or any(not 0 <= column < width for column in named):
        raise UserError(f"groups of columns hold numbers from 0 to {width - 1}, each once at most, got {groups}")
    return groups


def _loss(loss: str | Loss) -> Loss:
    if not isinstance(loss, str):
        return loss
    from matscout.models.report.measures import log_loss

    losses: dict[str, Loss] = {
        "mae": lambda y, mean: float(np.abs(y - mean).mean()),
        "rmse": lambda y, mean: float(np.sqrt(((y - mean) ** 2).mean())),
        "log_loss": log_loss,
        "brier": lambda y, mean: float(((y - mean) ** 2).mean()),
    }
    check_choice("loss", loss, tuple(losses))
    return losses[loss]


def _name_of(function: Loss) -> str:
    return str(getattr(function, "__name__", "loss"))
