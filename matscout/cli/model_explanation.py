"""`matscout model explain`: why a kept model predicts what it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table
from matscout.cli.sources import listed_names, open_source
from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.featurizers.parts import Source
    from matscout.models.explanation import Explanation
    from matscout.models.model import Model
    from matscout.models.training_data import TrainingData


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
    from matscout.models.explanation import HOW, explain_model
    from matscout.models.model import Model
    from matscout.models.validation.cross_validation import summary_of

    model = Model.load(request.model)
    with open_source(request.input, request.column) as source:
        rows, known = _rows(request, model, source)
    trained_on = summary_of(rows.inputs, rows.target).hash == model.card.data_hash
    explanation = explain_model(
        model,
        rows.inputs,
        rows.target if known else None,
        rows.chemical_systems(),
        listed_names(request.how) or HOW,
        units=_units(model, source),
        seed=request.seed,
    )
    written = [] if request.plots is None else _draw(explanation, request.plots, model.card.unit)
    if request.as_json:
        print_json(
            {"model": str(request.model), "target": model.card.target, **explanation.as_dict(), "plots": written}
        )
        return
    unit = f", {model.card.unit}" if model.card.unit else ""
    echo(f"{model.card.surrogate} of {printable(model.card.target)}{unit}, explained on {explanation.n_rows:,} rows")
    if trained_on:
        echo("these are the rows that it was trained on: permutation tells what it remembers, not what it can predict")
    _print(explanation, request.limit)
    for one in written:
        echo(f"wrote {one}")


def _rows(request: ExplainRequest, model: Model, source: Source) -> tuple[TrainingData, bool]:
    """Rows of the input, and whether their targets are known: the column named, else that of the training."""
    from matscout.models.training_data import read_training_data

    takes = model.surrogate.surrogate.takes
    dask = (request.dask or get_settings().dask) if takes == "features" else None
    first = next(source.parts(1), None)
    name = request.target or model.card.target
    known = first is not None and name in first.columns
    if request.target is not None and not known:
        raise UserError(f'{source.name} has no column "{request.target}"')
    return read_training_data(source, name if known else None, takes, model.features, dask), known


def _units(model: Model, source: Source) -> list[str] | None:
    """List the unit of each feature, for a formula."""
    from matscout.featurizers.registry import resolve

    if model.surrogate.surrogate.takes != "features":
        return None
    return [unit for featurizer in resolve(list(model.features), source) for unit in featurizer.units]


def _print(explanation: Explanation, limit: int) -> None:
    scale = "" if explanation.scale == "target" else f" of the {explanation.scale}"
    if (given := explanation.contributions) is not None:
        echo(f"\nwhat features give to a prediction{scale}, on top of {given.base:.4g} (exact Shapley values)")
        rows = [[printable(name), f"{size:.4g}"] for name, size in given.top(limit)]
        print_table(("feature", "mean size"), rows, right=(1,))
        grouped = given.grouped("property")
        if len(grouped.names) < len(given.names):
            rows = [[printable(name), f"{size:.4g}"] for name, size in grouped.top(limit)]
            print_table(("property, all its columns", "mean size"), rows, right=(1,))
    if (found := explanation.permutation) is not None:
        echo(f"\nhow much the {found.loss} rises from {found.baseline:.4g} where columns are dealt to other rows")
        rows = [[_columns(names), f"{mean:.4g}", f"{std:.2g}"] for names, mean, std in found.top(limit)]
        print_table(("columns", "rise", "std"), rows, right=(1, 2))
    if (formula := explanation.formula) is not None:
        echo(f"\na formula of {len(formula.terms)} terms, RMSE {formula.rmse:.4g}, R2 {formula.r2:.3f}:")
        echo(f"  {printable(formula.expression)}")
    _print_parts(explanation)
    for what, reason in explanation.left_out.items():
        echo(f"\n{what}: {printable(reason)}")


def _print_parts(explanation: Explanation) -> None:
    if (sites := explanation.sites) is not None:
        echo("\nwhat sites of an element give to a prediction")
        print_table(*_table(sites.as_dict()["elements"]), right=(1, 2, 3, 4))
    if (elements := explanation.elements) is not None:
        told = elements.as_dict()
        echo(f"\nthe sum over elements that is nearest to the predictions (R2 {elements.r2:.3f})")
        print_table(*_table(told["elements"]), right=(1, 2))


def _table(told: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Turn numbers by element into a table."""
    first: Any = next(iter(told.values()), {})
    if not isinstance(first, dict):
        return ["element", "mean"], [[name, f"{value:.4g}"] for name, value in told.items()]
    rows = [
        [name, *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in one.values())]
        for name, one in told.items()
    ]
    return ["element", *(key.replace("_", " ") for key in first)], rows


def _columns(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 1} that go with it" if len(names) > 1 else ""
    return f"{printable(names[0])}{more}"


def _draw(explanation: Explanation, folder: Path, unit: str) -> list[str]:
    from matscout.drawing.files import write_plot
    from matscout.models.explanation import plots

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    folder.mkdir(exist_ok=True)
    figures = {}
    if explanation.contributions is not None:
        figures["contributions"] = plots.plot_contributions(explanation.contributions, unit=unit)
    if explanation.permutation is not None:
        figures["permutation"] = plots.plot_importance(explanation.permutation, unit=unit)
    for name, figure in figures.items():
        write_plot(figure, folder / f"{name}.html")
    return [str(folder / f"{name}.html") for name in figures]
