"""Everything that can be said of why a model predicts what it predicts, and why the rest cannot."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from matscout.errors import UserError
from matscout.models.explanation.contributions import feature_contributions, why_no_contributions, work_per_row
from matscout.models.explanation.elements import element_contributions
from matscout.models.explanation.permutation import permutation_importance
from matscout.models.explanation.sites import TellsSites, site_contributions
from matscout.models.explanation.sparse_formula import SparseFormula
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.options import check_choice, check_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.base import Surrogate
    from matscout.models.calibration import CalibratedSurrogate
    from matscout.models.explanation.contributions import Contributions
    from matscout.models.explanation.elements import ElementContributions
    from matscout.models.explanation.permutation import PermutationImportance
    from matscout.models.explanation.sites import SiteContributions
    from matscout.models.inputs import Inputs
    from matscout.models.model import Model

HOW = ("contributions", "permutation", "formula")
"""What `explain_model` can be asked for."""

MOST_WORK = 2_000_000_000
"""Numbers that contributions may take to make: large forests are explained on fewer rows."""

FEWEST_EXPLAINED = 20
"""Rows that are explained at any cost."""

LOGARITHM = "logarithm of the target"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known of why a model predicts what it predicts; None where it is not.

    Attributes
    ----------
    surrogate
        Name of the model.
    n_rows
        Rows it was explained on.
    scale
        What the model learnt: the ``target``, or the ``logarithm of the target``. Contributions and permutation count
        in it.
    contributions
        What features give to each prediction.
    contribution_rows
        Rows that they were made for, where these are fewer, shape (n,).
    permutation
        How much worse the model is without groups of features.
    formula
        A law of the target; of the model's predictions, where no targets were given.
    formula_of
        What the formula is a law of: ``results`` or ``predictions``; empty where there is none.
    model_error
        ``mae``, ``rmse`` and ``r2`` of the model itself on the same rows, where a formula of results was found.
    sites
        What sites give to each prediction.
    elements
        Sum over elements that stands best for the predictions.
    left_out
        Why something that was asked for is not there, or only in part, by what was asked for.
    """

    surrogate: str
    n_rows: int
    scale: str = "target"
    contributions: Contributions | None = None
    contribution_rows: NDArray[np.intp] | None = None
    permutation: PermutationImportance | None = None
    formula: SparseFormula | None = None
    formula_of: str = ""
    model_error: Mapping[str, float] | None = None
    sites: SiteContributions | None = None
    elements: ElementContributions | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, contributions in summary, for JSON."""
        document: dict[str, Any] = {"surrogate": self.surrogate, "n_rows": self.n_rows, "scale": self.scale}
        for name in ("contributions", "permutation", "formula", "sites", "elements"):
            part = getattr(self, name)
            document[name] = None if part is None else part.as_dict()
        if self.contributions is not None:
            document["by_property"] = self.contributions.grouped("property").as_dict()
        if self.formula is not None:
            document["formula"] |= {"of": self.formula_of, "model_error": self.model_error}
        return document | {"left_out": dict(self.left_out)}


def explain_model(
    model: Surrogate | CalibratedSurrogate | Model,
    X: Any,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    how: Sequence[str] = HOW,
    *,
    max_rows: int = 1_000,
    units: Sequence[str] | None = None,
    correlation: float | None = 0.8,
    repeats: int = 5,
    dimension: int | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain a trained model by what it allows.

    Parameters
    ----------
    model
        Trained; calibrated or not.
    X
        Rows of the kind it was trained on: rows held out of the training, else permutation shows what it remembers.
    y
        Their targets, shape (n,).
    groups
        Label of each row, shape (n,): rows of one group are held out together where a formula is validated.
    how
        Some of `HOW`. Contributions are those of features, of sites where the model is a network over sites, or of
        elements where it learns from compositions.
    max_rows
        Rows that contributions of features are made for at most, chosen at random; there are fewer of large forests.
    units
        Unit of each feature, for the formula; those of a `FeatureMatrix` if left out.
    correlation, repeats
        See `permutation_importance`.
    dimension
        Number of terms of the formula; chosen if left out.
    seed
        Of rows, permutations and parts.

    Raises
    ------
    UserError
        Something else is asked for, or the rows are not of the kind that the model takes.

    Examples
    --------
    >>> from matscout.models.forests import ExtraTrees
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> explanation = explain_model(ExtraTrees(n_trees=20).fit(X, X[:, 1]), X, how=["contributions"])
    >>> explanation.contributions.top(1)[0][0]
    'feature 1'
    """
    for one in how:
        check_choice("how", one, HOW)
    check_number("max_rows", max_rows, 1, integer=True)
    check_number("seed", seed, 0, integer=True)
    surrogate, logarithmic = _bare(model)
    # what predicts in the unit of the target, from rows of the kind that the surrogate takes
    predictor: Any = getattr(model, "surrogate", model) if hasattr(model, "card") else model
    inputs = as_inputs(surrogate.takes, X)
    target = None if y is None else _checked(y, len(inputs))
    parts: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    steps = {
        "contributions": lambda: _contributions(surrogate, inputs, max_rows, seed),
        "permutation": lambda: _permutation(surrogate, inputs, target, correlation, repeats, seed, log=logarithmic),
        "formula": lambda: _formula(
            predictor,
            surrogate,
            inputs,
            target,
            groups,
            getattr(X, "units", None) if units is None else units,
            dimension,
            seed,
        ),
    }
    for one in how:
        try:
            found, left = steps[one]()
        except UserError as error:
            found, left = {}, str(error)
        parts |= found
        if left:
            left_out[one] = left
    scale = LOGARITHM if logarithmic else "target"
    return Explanation(surrogate.name, len(inputs), scale, **parts, left_out=left_out)


Step = tuple[dict[str, Any], str]


def _bare(model: Any) -> tuple[Surrogate, bool]:
    """Return the surrogate within a model, and whether it learnt a logarithm."""
    logarithmic = False
    while hasattr(model, "surrogate"):
        logarithmic = logarithmic or getattr(model, "transform", "none") == "log"
        model = model.surrogate
    return cast("Surrogate", model), logarithmic


def _checked(y: ArrayLike, n: int) -> NDArray[np.float64]:
    target = np.asarray(y, dtype=float)
    if target.shape != (n,):
        raise ValueError(f"expected one target per row, shape ({n},), got {target.shape}")
    if not np.isfinite(target).all():
        raise ValueError(f"y is not finite in row {int((~np.isfinite(target)).argmax())}")
    return target


def _contributions(surrogate: Surrogate, inputs: Inputs, max_rows: int, seed: int) -> Step:
    if isinstance(surrogate, TellsSites):
        return {"sites": site_contributions(surrogate, inputs)}, ""
    if surrogate.takes == "compositions":
        return {"elements": element_contributions(surrogate.predict(inputs).mean, inputs)}, ""
    reason = why_no_contributions(surrogate)
    if reason:
        return {}, reason
    affordable = max(MOST_WORK // max(work_per_row(surrogate), 1), FEWEST_EXPLAINED)
    n = int(min(max_rows, affordable))
    if n >= len(inputs):
        return {"contributions": feature_contributions(surrogate, inputs)}, ""
    rows = np.sort(np.random.default_rng(seed).choice(len(inputs), n, replace=False))
    return {
        "contributions": feature_contributions(surrogate, inputs.take(rows)),
        "contribution_rows": rows,
    }, f"made for {n} of {len(inputs)} rows, chosen at random"


def _permutation(
    surrogate: Surrogate,
    inputs: Inputs,
    target: NDArray[np.float64] | None,
    correlation: float | None,
    repeats: int,
    seed: int,
    *,
    log: bool,
) -> Step:
    if not isinstance(inputs, FeatureInputs):
        return {}, f"{surrogate.name} learns from {surrogate.takes}, so that there are no columns to deal"
    if target is None:
        return {}, "no targets were given, so that no loss can rise: give those of rows held out"
    loss = "mae"
    if log:
        from matscout.models.targets import to_log

        target = to_log(target)
    elif surrogate.task == "classification":
        loss = "log_loss"
    found = permutation_importance(
        surrogate, inputs, target, loss=loss, correlation=correlation, repeats=repeats, seed=seed
    )
    return {"permutation": found}, ""


def _formula(
    predictor: Surrogate | CalibratedSurrogate,
    surrogate: Surrogate,
    inputs: Inputs,
    target: NDArray[np.float64] | None,
    groups: ArrayLike | None,
    units: Sequence[str] | None,
    dimension: int | None,
    seed: int,
) -> Step:
    if not isinstance(inputs, FeatureInputs):
        return {}, f"{surrogate.name} learns from {surrogate.takes}: a formula is made of features"
    if surrogate.task == "classification":
        return {}, "a formula is fitted by least squares, which suits no targets of 0 and 1"
    if units is not None and len(units) != inputs.values.shape[1]:
        raise UserError(f"expected a unit for each of {inputs.values.shape[1]} columns, got {len(units)}")
    whole = np.flatnonzero(np.isfinite(inputs.values).all(axis=0))
    if not len(whole):
        return {}, "every feature is unknown (NaN) in some row: leave these rows out"
    names = inputs.names or tuple(f"x{column}" for column in range(inputs.values.shape[1]))
    some = replace(inputs, values=inputs.values[:, whole], names=tuple(names[column] for column in whole.tolist()))
    predicted = predictor.predict(inputs).mean
    formula = SparseFormula.fit(
        some,
        predicted if target is None else target,
        units=None if units is None else [units[column] for column in whole.tolist()],
        dimension=dimension,
        groups=groups,
        seed=seed,
    )
    gaps = len(names) - len(whole)
    error = None if target is None else _errors(target, predicted)
    found = {"formula": formula, "formula_of": "predictions" if target is None else "results", "model_error": error}
    return found, f"{gaps} features are unknown in some rows, and left out of the formula" if gaps else ""


def _errors(target: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    from matscout.models.report.measures import r2

    error = target - predicted
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "r2": r2(target, predicted),
    }
