"""`matscout train` and `matscout predict`: a model of any column of a file, and what it says of other rows."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from typer import Exit, echo

from matscout.cli import EXIT_STOPPED, printable
from matscout.cli.judging import Judging, check_judging, judge
from matscout.cli.model_cards import print_card
from matscout.cli.output import duration, print_json
from matscout.cli.sources import listed_names, open_source
from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matscout.featurizers.parts import Source
    from matscout.models.model import Model, PredictedRows
    from matscout.models.training_data import TrainingData

SHOWN_ERRORS = 5


@dataclass(frozen=True)
class TrainRequest:
    """What `matscout train` was asked for."""

    input: str
    target: str
    output: Path
    surrogate: str
    features: tuple[str, ...]
    unit: str
    column: str | None
    group_by: str
    options: tuple[str, ...]
    missing: str | None
    seed: int
    tune: int
    judging: Judging
    dask: str | None
    replace: bool
    licence: str
    as_json: bool


def train(request: TrainRequest) -> None:
    """Train a model, judge it, keep it, and print its card."""
    from matscout.models.model import check_place, fit_model
    from matscout.models.registry import make_surrogate, surrogate_class
    from matscout.models.training_data import read_training_data

    check_place(request.output, replace=request.replace)  # before hours are spent
    takes = surrogate_class(request.surrogate).takes
    if request.features and takes != "features":
        raise UserError(f"{request.surrogate} learns from {takes}: --features belongs to surrogates of features")
    check_judging(request.judging)
    options = _options(request)
    make_surrogate(request.surrogate, **options)  # a wrong option is said before anything is read
    with open_source(request.input, request.column) as source, _stoppable(request.output):
        features = listed_names(request.features) or (["magpie"] if source.kind == "formulas" else ["magpie", "sites"])
        with _status(f"reading {source.name}"):
            dask = (request.dask or get_settings().dask) if takes == "features" else None
            rows = read_training_data(source, request.target, takes, features, dask)
            groups = row_groups(source, rows, request.group_by)
        tuning = None
        if request.tune:
            tuning = _tuned(request, rows, groups, options)
            options |= tuning["best"]
        with _status(f"training {request.surrogate} on {len(rows):,} rows"):
            model = fit_model(
                rows,
                groups,
                surrogate=request.surrogate,
                features=features,
                target=request.target,
                unit=request.unit,
                options=options,
                groups_by=request.group_by,
            )
        with _status("judging it") as tell:
            report = judge(model, rows, groups, request.group_by, request.judging, tell, _maker(request, options))
    model.card = model.card.model_copy(update={"report": report, "tuning": tuning, "data_licence": request.licence})
    model.save(request.output, replace=request.replace)
    _say_trained(request, rows, model)


def _options(request: TrainRequest) -> dict[str, Any]:
    options: dict[str, Any] = {"seed": request.seed}
    if request.missing is not None:
        options["missing"] = request.missing
    for one in request.options:
        name, equals, text = one.partition("=")
        if not equals or not name.strip():
            raise UserError(f'--option takes NAME=VALUE, such as n_members=5, got "{one}"')
        try:
            options[name.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f'--option {name}: "{text}" is no value: {error}') from error
    return options


def row_groups(source: Source, rows: TrainingData, by: str) -> Any:
    """Label of each row, shape (n,): rows of one label are held out together; None where each stands for itself."""
    if by == "none":
        return None
    if by == "chemical-system":
        return rows.chemical_systems()
    if by == "composition":
        keys = np.concatenate([rows.compositions.numbers, rows.compositions.fractions.round(6)], axis=1)
        return np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    if by in {"label", "prototype"} and source.kind != "formulas":
        return _structure_groups(source, rows, by)
    if by in rows.columns:
        return rows.columns[by].astype(str)
    if by in {"label", "prototype"}:
        raise UserError(f"--group-by {by} needs crystals: {source.name} holds formulas")
    known = ", ".join(("chemical-system", "composition", "label", "prototype", "none", *rows.columns))
    raise UserError(f'--group-by "{by}" is neither a way of grouping nor a column. Known: {known}.')


def _structure_groups(source: Source, rows: TrainingData, by: str) -> Any:
    from matscout.workflows.enumeration import split_groups

    wanted = set(rows.row_numbers.tolist())
    structures, start = [], 0
    for part in source.parts(1_000):
        structures += [part.crystal(row).structure() for row in range(len(part)) if start + row in wanted]
        start += len(part)
    return split_groups(structures, by=by)


def _tuned(request: TrainRequest, rows: TrainingData, groups: Any, options: dict[str, Any]) -> dict[str, Any]:
    from matscout.models.validation import tune

    with _status(f"trying {request.tune} sets of options"):
        found = tune(
            request.surrogate,
            rows.inputs,
            rows.target,
            groups,
            n_trials=request.tune,
            seed=request.seed,
            options=options,
        )
    return {"best": dict(found.best.options), **found.as_dict()}


def _maker(request: TrainRequest, options: dict[str, Any]) -> Callable[[], Any]:
    """Return what makes surrogates to be judged; one that was tuned is tuned anew, without the rows it is tested on."""
    from matscout.models.registry import make_surrogate
    from matscout.models.validation import TunedSurrogate

    if not request.tune:
        return lambda: make_surrogate(request.surrogate, **options)
    given = _options(request)
    return lambda: TunedSurrogate(request.surrogate, n_trials=request.tune, options=given, seed=request.seed)


def _say_trained(request: TrainRequest, rows: TrainingData, model: Model) -> None:
    if request.as_json:
        left_out = [{"row": row, "reason": reason} for row, reason in rows.left_out.items()]
        print_json({"model": str(request.output), "left_out": left_out, "card": model.card.model_dump(mode="json")})
        return
    unit = f" ({request.unit})" if request.unit else ""
    echo(f"{rows.name}: {len(rows):,} rows with {request.target}{unit}")
    if rows.left_out:
        echo(f"{len(rows.left_out):,} rows left out:")
        for row, reason in list(rows.left_out.items())[:SHOWN_ERRORS]:
            echo(f"  row {printable(row)}: {printable(reason)}")
        if len(rows.left_out) > SHOWN_ERRORS:
            echo(f"  and {len(rows.left_out) - SHOWN_ERRORS:,} more")
    print_card(model.card)
    echo(f"trained in {duration(model.card.training_seconds)}, kept in {request.output}")
    echo(f"next: matscout predict {request.output} CANDIDATES -o predictions.parquet")


@dataclass(frozen=True)
class PredictRequest:
    """What `matscout predict` was asked for."""

    model: Path
    input: str
    output: Path | None
    column: str | None
    dask: str | None
    limit: int
    as_json: bool


def predict(request: PredictRequest) -> None:
    """Predict all rows of an input: into a file, or the lowest of them onto the screen."""
    from matscout.models.model import Model

    if request.output is not None:
        _check_prediction_file(request.output, request.input)
    model = Model.load(request.model)
    with open_source(request.input, request.column) as source, _stoppable(request.output):
        client = (request.dask or get_settings().dask) if model.surrogate.surrogate.takes == "features" else None
        if request.output is None:
            _show_lowest(request, model, model.iterate_predictions(source, client))
            return
        from matscout.cli.prediction_files import write_predictions

        written = write_predictions(_counted(model.iterate_predictions(source, client), source), request.output)
    if request.as_json:
        print_json({"model": str(request.model), "input": request.input, "output": str(request.output), **written})
        return
    echo(f"{source.name}: {written['rows']:,} rows predicted by {request.model}, written to {request.output}")
    if written["outside"]:
        share = 100 * written["outside"] / max(1, written["rows"])
        echo(
            f"{written['outside']:,} ({share:.0f} %) are outside of what the model was trained on: do not rely on them"
        )
    if written["errors"]:
        echo(f"{written['errors']:,} could not be predicted; the column error says why")


def _check_prediction_file(output: Path, given: str) -> None:
    if output.suffix not in {".parquet", ".csv"}:
        raise UserError(f"{output}: predictions are written as Parquet or CSV: end its name in .parquet or .csv")
    if not output.absolute().parent.is_dir():
        raise UserError(f"no folder {output.absolute().parent}: make it first")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it")
    if output.exists() and Path(given).exists() and output.samefile(given):
        raise UserError(f"{output} is the input: name another file")


def _counted(parts: Iterator[PredictedRows], source: Source) -> Iterator[PredictedRows]:
    """Show a bar on a terminal while parts go by."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("predicting", total=source.n_rows or source.about)
        for part in parts:
            yield part
            bar.advance(task, len(part))


def _show_lowest(request: PredictRequest, model: Model, parts: Iterator[PredictedRows]) -> None:
    """Print the rows of the lowest mean: all are predicted, and only these kept."""
    import pandas as pd

    from matscout.cli.model_cards import print_predictions

    best = pd.DataFrame()
    n_rows = n_errors = 0
    for part in parts:
        frame = part.frame()
        n_rows += len(frame)
        n_errors += len(part.errors)
        best = frame if best.empty else pd.concat([best, frame], ignore_index=True)
        best = best.sort_values("mean", kind="stable").head(request.limit)
    print_predictions(best, model.card, n_rows=n_rows, n_errors=n_errors, as_json=request.as_json)


@contextmanager
def _status(words: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, on a terminal only; what is yielded says more of it."""
    from rich.console import Console

    if not sys.stderr.isatty():
        yield lambda _words: None
        return
    with Console(stderr=True).status(words) as status:
        yield status.update


@contextmanager
def _stoppable(output: Path | None) -> Iterator[None]:
    """End in one line where the user presses Ctrl-C: files and folders appear whole or not at all."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped{f', {output} was not written' if output else ''}\n")
        raise Exit(EXIT_STOPPED) from None
