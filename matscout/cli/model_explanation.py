"""`matscout model explain`: why a kept model predicts what it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table
from matscout.cli.sources import listed_names, open_source
from matscout.cli.waiting import stoppable
from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from plotly.graph_objects import Figure

    from matscout.featurizers.parts import Source
    from matscout.models.explanation import Contributions, Explanation, SparseFormula
    from matscout.models.model import Model
    from matscout.models.training_data import TrainingData

FEW_ROWS = 20
"""Fewer rows are explained with a caveat."""

ROWS_PER_ELEMENT = 3
"""Fewer rows for each element are told with a caveat, too."""

SHOWN_COLUMNS = 3
"""Columns of a group that are named."""

LOG_ODDS = "log odds"
LOSSES = {
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "log_loss": "log loss",
    "brier": "Brier score",
}


@dataclass(frozen=True)
class ExplainRequest:
    """What the command was asked for."""

    model: Path
    input: str
    target: str | None
    how: tuple[str, ...]
    column: str | None
    dask: str | None
    limit: int
    plots: Path | None
    seed: int
    as_json: bool


def explain(request: ExplainRequest) -> None:
    """Explain a model on the rows of an input, and print what was found."""
    from matscout.drawing.files import write_plot
    from matscout.models.explanation import HOW, explain_model
    from matscout.models.model import Model
    from matscout.models.options import check_choice
    from matscout.models.validation.cross_validation import summary_of

    how = listed_names(request.how) or list(HOW)
    for one in how:
        check_choice("how", one, HOW)
    if request.plots is not None:
        _check_folder(request.plots)
    with stoppable() as written:
        model = Model.load(request.model)
        with open_source(request.input, request.column) as source:
            rows, known = _rows(request, model, source)
        trained_on = summary_of(rows.inputs, rows.target).hash == model.card.data_hash
        explanation = explain_model(
            model,
            rows.inputs,
            rows.target if known else None,
            rows.chemical_systems(),
            how,
            units=_units(model, source),
            seed=request.seed,
        )
        if request.plots is not None:
            for name, figure in _figures(explanation, model.card.unit).items():
                request.plots.mkdir(exist_ok=True)
                write_plot(figure, request.plots / f"{name}.html")
                written.append(request.plots / f"{name}.html")
    if request.as_json:
        print_json(
            {
                "model": str(request.model),
                "target": model.card.target,
                "unit": model.card.unit,
                "trained_on_these_rows": trained_on,
                **explanation.as_dict(),
                "plots": [str(file) for file in written],
            }
        )
        return
    unit = f", {printable(model.card.unit)}" if model.card.unit else ""
    echo(f"{model.card.surrogate} of {printable(model.card.target)}{unit}, explained on {explanation.n_rows:,} rows")
    if explanation.n_rows < FEW_ROWS:
        echo(f"fewer than {FEW_ROWS} rows: other rows may well give other numbers and another order")
    print_explanation(explanation, request.limit, unit=model.card.unit, trained_on=trained_on)
    for file in written:
        echo(f"wrote {file}")


def _rows(request: ExplainRequest, model: Model, source: Source) -> tuple[TrainingData, bool]:
    """Rows of the input, and whether their targets are known: the column named, else that of the training."""
    from matscout.models.training_data import read_training_data

    takes = model.surrogate.surrogate.takes
    dask = (request.dask or get_settings().dask) if takes == "features" else None
    name = request.target or model.card.target
    first = next(source.parts(1), None)
    known = request.target is not None or (first is not None and name in first.columns)
    return read_training_data(source, name if known else None, takes, model.features, dask), known


def _units(model: Model, source: Source) -> list[str] | None:
    """List the unit of each feature, for a formula."""
    from matscout.featurizers.registry import resolve

    if model.surrogate.surrogate.takes != "features":
        return None
    return [unit for featurizer in resolve(list(model.features), source) for unit in featurizer.units]


def print_explanation(explanation: Explanation, limit: int, *, unit: str, trained_on: bool) -> None:
    """Print what was found, largest first, and why the rest was not.

    Parameters
    ----------
    explanation
        What was found.
    limit
        Rows of each table.
    unit
        That of the target.
    trained_on
        Whether the rows are those of the training.
    """
    parts = (explanation.contributions, explanation.permutation, explanation.formula)
    if all(part is None for part in (*parts, explanation.sites, explanation.elements)):
        reasons = "; ".join(printable(f"{what}: {reason}") for what, reason in explanation.left_out.items())
        echo(f"nothing of it can be explained. {reasons}")
        return
    shown = unit if explanation.scale == "target" else ""  # a logarithm has none
    if explanation.contributions is not None:
        _print_contributions(explanation, explanation.contributions, limit, shown)
    if (found := explanation.permutation) is not None:
        measured = shown if found.loss == "mae" else ""
        loss = LOSSES.get(found.loss, found.loss) + _of_scale(explanation)
        before = _number(found.baseline, measured)
        echo(f"\nhow much the {loss} rises from {before} where columns are dealt to other rows")
        if trained_on:
            echo("these are the rows that it was trained on: this tells what it remembers, not what it can predict")
        rows = [[_columns(names), f"{mean:.4g}", f"{std:.2g}"] for names, mean, std in found.top(limit)]
        print_table(("columns", _heading("rise", measured), "std"), rows, right=(1, 2))
    if explanation.formula is not None:
        _print_formula(explanation, explanation.formula, unit, trained_on=trained_on)
    _print_parts(explanation, limit, shown)
    for what, reason in explanation.left_out.items():
        echo(f"\n{what}: {printable(reason)}")


def _print_contributions(explanation: Explanation, given: Contributions, limit: int, unit: str) -> None:
    own = "" if given.of == LOG_ODDS else unit
    what = "the log odds of 1" if given.of == LOG_ODDS else f"a prediction{_of_scale(explanation)}"
    echo(f"\nwhat features give to {what}, on top of {_number(given.base, own)} (exact Shapley values);")
    echo(f"mean size: mean of their absolute values over {len(given):,} rows")
    heading = _heading("mean size", own)
    rows = [[printable(name), f"{size:.4g}"] for name, size in given.top(limit)]
    print_table(("feature", heading), rows, right=(1,))
    grouped = given.grouped("property")
    if len(grouped.names) < len(given.names):
        rows = [[printable(name), f"{size:.4g}"] for name, size in grouped.top(limit)]
        print_table(("property, all its columns", heading), rows, right=(1,))


def _print_formula(explanation: Explanation, formula: SparseFormula, unit: str, *, trained_on: bool) -> None:
    of = "the results" if explanation.formula_of == "results" else "the model's predictions, not of results"
    terms = "1 term" if len(formula.terms) == 1 else f"{len(formula.terms)} terms"
    echo(f"\na formula of {terms} for {of}:")
    echo(f"  {printable(formula.expression)}")
    echo(f"  RMSE {_number(formula.rmse, unit)}, R2 {formula.r2:.3f} on the rows that it was fitted to")
    if (left_out := formula.cross_validated.get(len(formula.terms))) is not None:
        echo(f"  RMSE {_number(left_out, unit)} on rows left out of the fit")
    if (own := explanation.model_error) is not None:
        where = "these rows, which it was trained on" if trained_on else "the same rows"
        echo(f"  the model itself: RMSE {_number(own['rmse'], unit)}, R2 {own['r2']:.3f} on {where}")


def _print_parts(explanation: Explanation, limit: int, unit: str) -> None:
    if (sites := explanation.sites) is not None:
        own = "" if sites.of == LOG_ODDS else unit
        echo("\nwhat the sites of an element give; a prediction is the mean over the sites of a crystal")
        found = sorted(sites.by_element().items(), key=lambda one: -abs(one[1]["mean"]))[:limit]
        rows = [[name, f"{one['mean']:.4g}", f"{one['std']:.4g}", f"{one['sites']:,}"] for name, one in found]
        print_table(("element", _heading("mean", own), "std", "sites"), rows, right=(1, 2, 3))
    if (elements := explanation.elements) is not None:
        echo("\na sum over elements, contribution times atomic fraction, that stands best for the predictions:")
        worth = elements.cross_validated_r2
        told = "not known, of so few rows" if np.isnan(worth) else f"{worth:.3f}"
        echo(f"R2 {told} where each row is left out in turn")
        if worth <= 0:
            echo("that is no better than the mean: these predictions are no sum over elements, or the rows are too few")
        if explanation.n_rows < ROWS_PER_ELEMENT * len(elements.elements):
            echo(
                f"{explanation.n_rows:,} rows are few for {len(elements.elements)} elements: others may tell otherwise"
            )
        rows = [[name, f"{value:.4g}", f"{n:,}"] for name, value, n in elements.top(limit)]
        print_table(("element", _heading("contribution", unit), "rows"), rows, right=(1, 2))
        if (more := len(elements.elements) - limit) > 0:
            echo(f"and {more} elements with smaller ones")


def _of_scale(explanation: Explanation) -> str:
    return "" if explanation.scale == "target" else f" of the {explanation.scale}"


def _heading(name: str, unit: str) -> str:
    return f"{name} ({printable(unit)})" if unit else name


def _number(value: float, unit: str) -> str:
    return f"{value:.4g} {printable(unit)}" if unit else f"{value:.4g}"


def _columns(names: tuple[str, ...]) -> str:
    """Name the first columns of a group, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:SHOWN_COLUMNS])
    return shown if len(names) <= SHOWN_COLUMNS else f"{shown} and {len(names) - SHOWN_COLUMNS} more"


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"no folder {folder.absolute().parent}: make it first")


def _figures(explanation: Explanation, unit: str) -> dict[str, Figure]:
    from matscout.models.explanation import plots

    figures = {}
    if explanation.contributions is not None:
        figures["contributions"] = plots.plot_contributions(explanation.contributions, unit=unit)
    if explanation.permutation is not None:
        figures["permutation"] = plots.plot_importance(explanation.permutation, unit=unit)
    return figures
