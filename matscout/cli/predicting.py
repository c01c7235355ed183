"""`matscout predict`: what a kept model says of other rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typer import echo

from matscout.cli.output import print_json
from matscout.cli.sources import open_source
from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.featurizers.parts import Source
    from matscout.models.model import Model
    from matscout.models.predicted_rows import PredictedRows


@dataclass(frozen=True)
class PredictRequest:
    """What `matscout predict` was asked for; `highest` is None where the task decides."""

    model: Path
    input: str
    output: Path | None
    column: str | None
    dask: str | None
    limit: int
    highest: bool | None
    replace: bool
    as_json: bool


def predict(request: PredictRequest, written: list[Path]) -> None:
    """Predict all rows of an input: into a file, which is put into `written`, or the best of them onto the screen."""
    from matscout.models.model import Model

    if request.output is not None:
        _check_prediction_file(request.output, request.input, replace=request.replace)
    model = Model.load(request.model)
    with open_source(request.input, request.column) as source:
        client = (request.dask or get_settings().dask) if model.surrogate.surrogate.takes == "features" else None
        if request.output is None:
            _show_best(request, model, model.iterate_predictions(source, client))
            return
        from matscout.cli.prediction_files import write_predictions

        counts = write_predictions(_with_bar(model.iterate_predictions(source, client), source), request.output)
    written.append(request.output)
    if request.as_json:
        print_json({"model": str(request.model), "input": request.input, "output": str(request.output), **counts})
        return
    n_rows, n_outside = counts["rows"], counts["outside"]
    rows = "1 row" if n_rows == 1 else f"{n_rows:,} rows"
    echo(f"{source.name}: {rows} predicted by {request.model}, written to {request.output}")
    if n_outside:
        share = f"{n_outside:,} ({100 * n_outside / n_rows:.0f} %) {'is' if n_outside == 1 else 'are'}"
        echo(f"{share} outside of what the model was trained on: do not rely on {'it' if n_outside == 1 else 'them'}")
    if counts["errors"]:
        echo(f"{counts['errors']:,} could not be predicted; the column error says why")


def _check_prediction_file(output: Path, given: str, *, replace: bool) -> None:
    if output.suffix.lower() not in {".parquet", ".csv"}:
        raise UserError(f"{output}: predictions are written as Parquet or CSV: end its name in .parquet or .csv")
    if not output.absolute().parent.is_dir():
        raise UserError(f"no folder {output.absolute().parent}: make it first")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it")
    if output.exists() and Path(given).exists() and output.samefile(given):
        raise UserError(f"{output} is the input: name another file")
    if output.exists() and not replace:
        raise UserError(f"{output} is there already: name another file, or give --replace")


def _with_bar(parts: Iterator[PredictedRows], source: Source) -> Iterator[PredictedRows]:
    """Show a bar on a terminal while parts go by."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("predicting", total=source.n_rows or source.about)
        for part in parts:
            yield part
            bar.advance(task, len(part))


def _show_best(request: PredictRequest, model: Model, parts: Iterator[PredictedRows]) -> None:
    """Print the rows of the lowest or highest mean: all are predicted, and only these kept."""
    import pandas as pd

    from matscout.cli.model_tables import Shown, print_predictions
    from matscout.cli.prediction_files import check_predicted, first_error

    probability = model.surrogate.surrogate.task == "classification"
    highest = probability if request.highest is None else request.highest
    best: pd.DataFrame | None = None
    n_rows = n_errors = 0
    first = ""
    for part in parts:
        n_rows += len(part)
        n_errors += len(part.errors)
        first = first or first_error(part)
        frame = part.frame()
        frame = frame[frame["mean"].notna()].drop(columns="error")
        if len(frame):
            both = frame if best is None else pd.concat([best, frame], ignore_index=True)
            best = both.sort_values("mean", kind="stable", ascending=not highest).head(request.limit)
    check_predicted(n_rows, n_errors, first)
    assert best is not None
    shown = Shown(n_rows=n_rows, n_errors=n_errors, first_error=first, highest=highest, probability=probability)
    print_predictions(best, model.card, shown, as_json=request.as_json)
