"""`matscout train`: a model of any column of a file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typer import echo

from matscout.cli import printable
from matscout.cli.judging import Judging, check_judging, judge, plan_judging
from matscout.cli.model_cards import print_card
from matscout.cli.output import duration, print_json
from matscout.cli.row_groups import row_groups
from matscout.cli.sources import listed_names, open_source, read_results
from matscout.cli.train_options import default_missing, given_options
from matscout.cli.waiting import status
from matscout.errors import UserError, warn
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matscout.featurizers.parts import Source
    from matscout.models.model import Model
    from matscout.models.training_data import TrainingData

SHOWN_ERRORS = 5


@dataclass(frozen=True)
class TrainRequest:
    """What `matscout train` was asked for."""

    input: str
    target: str
    targets: Path | None
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


def train(request: TrainRequest, written: list[Path]) -> None:
    """Train a model, judge it, keep it, and print its card; the folder it is kept in is put into `written`."""
    model, rows = _trained(request)
    place = _keep(model, request.output, replace=request.replace)
    written.append(place)
    _say_trained(request, rows, model, place)


def _trained(request: TrainRequest) -> tuple[Model, TrainingData]:
    """Train and judge; whatever can be checked is checked before hours are spent."""
    from matscout.models.model import fit_model
    from matscout.models.registry import surrogate_class

    options = _checked_options(request)
    takes, task = surrogate_class(request.surrogate).takes, options.get("task", "regression")
    results = None if request.targets is None else read_results(request.targets)
    with open_source(request.input, request.column) as source:
        features = listed_names(request.features) or (["magpie"] if source.kind == "formulas" else ["magpie", "sites"])
        with status(f"reading {source.name}"):
            rows = _read(request, source, features, results)
            groups = row_groups(source, rows, request.group_by)
            plan = plan_judging(request.judging, rows, groups, takes=takes, task=task, seed=request.seed)
        tuning = None
        given = dict(options)
        if request.tune:
            tuning = _tuned(request, rows, groups, options)
            options |= tuning["best"]
        with status(f"training {request.surrogate} on {len(rows):,} rows"):
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
        report = None
        if plan is not None:
            with status("judging it") as tell:
                make = _maker(request, given if request.tune else options)
                report = judge(model, rows, groups, plan, request.judging, tell, make)
    model.card = model.card.model_copy(update={"report": report, "tuning": tuning, "data_licence": request.licence})
    return model, rows


def _checked_options(request: TrainRequest) -> dict[str, Any]:
    """Options of the surrogate, where nothing speaks against the request."""
    from matscout.models.model import check_place
    from matscout.models.registry import make_surrogate, surrogate_class
    from matscout.models.validation import default_space

    check_place(request.output, replace=request.replace)
    takes = surrogate_class(request.surrogate).takes
    if request.features and takes != "features":
        raise UserError(f"{request.surrogate} learns from {takes}: --features belongs to surrogates of features")
    options = given_options(request.options, request.missing, request.seed)
    missing = default_missing(request.surrogate)
    if missing is not None:
        options.setdefault("missing", missing)
    check_judging(request.judging, options.get("task", "regression"))
    make_surrogate(request.surrogate, **options)
    if request.tune:
        default_space(request.surrogate, options)
    _check_writable(request.output)
    return options


def _check_writable(place: Path) -> None:
    """Make a folder where the model will be, and remove it."""
    folder = place.absolute().parent
    try:
        Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=folder)).rmdir()
    except OSError as error:
        raise UserError(f"no model can be kept in {folder}: {error.strerror}") from error


def _read(request: TrainRequest, source: Source, features: Sequence[str], results: Any) -> TrainingData:
    from matscout.models.registry import surrogate_class
    from matscout.models.training_data import read_training_data

    takes = surrogate_class(request.surrogate).takes
    dask = (request.dask or get_settings().dask) if takes == "features" else None
    try:
        return read_training_data(source, request.target, takes, features, dask, results)
    except UserError as error:
        if results is not None or "has no column" not in str(error) or "Did you mean" in str(error):
            raise
        raise UserError(f"{error} Results in a file of their own, with a column id: --targets FILE") from error


def _tuned(request: TrainRequest, rows: TrainingData, groups: Any, options: dict[str, Any]) -> dict[str, Any]:
    from matscout.models.validation import tune

    with status(f"trying {request.tune} sets of options"):
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
    return lambda: TunedSurrogate(request.surrogate, n_trials=request.tune, options=options, seed=request.seed)


def _keep(model: Model, place: Path, *, replace: bool) -> Path:
    """Keep the model; beside its place where something else has been put there meanwhile. Return where it is."""
    try:
        model.save(place, replace=replace)
    except UserError as error:
        if not place.exists():
            raise
        beside = next(one for one in (place.with_name(f"{place.name}-{n}") for n in count(2)) if not one.exists())
        model.save(beside)
        warn(f"{error}. The model is kept in {beside}")
        return beside
    return place


def _say_trained(request: TrainRequest, rows: TrainingData, model: Model, place: Path) -> None:
    unknown = _unknown_features(rows, model)
    if request.as_json:
        left_out = [one._asdict() for one in rows.left_out]
        card = model.card.model_dump(mode="json")
        print_json({"model": str(place), "left_out": left_out, "unknown_features": unknown, "card": card})
        return
    unit = f" ({request.unit})" if request.unit else ""
    echo(f"{rows.name}: {_rows(len(rows))} with {request.target}{unit}")
    if rows.left_out:
        from matscout.models.result_columns import named_row

        echo(f"{_rows(len(rows.left_out))} left out:")
        for one in rows.left_out[:SHOWN_ERRORS]:
            echo(f"  {printable(named_row(one.row, one.id))}: {printable(one.reason)}")
        if len(rows.left_out) > SHOWN_ERRORS:
            echo(f"  and {len(rows.left_out) - SHOWN_ERRORS:,} more")
    if unknown is not None and unknown["rows"]:
        done = (
            "left to the model, which has a way of its own" if unknown["missing"] == "native" else "medians put there"
        )
        echo(
            f"unknown features in {_rows(unknown['rows'])}, {unknown['columns']:,} of {unknown['all_columns']:,} "
            f"columns: {done} (--missing {unknown['missing']})"
        )
    print_card(model.card)
    echo(f"trained in {duration(model.card.training_seconds)}, kept in {place}")
    echo(f"next: matscout predict {place} CANDIDATES -o predictions.parquet")


def _unknown_features(rows: TrainingData, model: Model) -> dict[str, Any] | None:
    """Count rows and columns with unknown features, and say what was done; None without features."""
    from matscout.models.inputs import FeatureInputs

    if not isinstance(rows.inputs, FeatureInputs):
        return None
    unknown = np.isnan(rows.inputs.values)
    return {
        "rows": int(unknown.any(axis=1).sum()),
        "columns": int(unknown.any(axis=0).sum()),
        "all_columns": unknown.shape[1],
        "missing": model.card.options.get("missing"),
    }


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"
