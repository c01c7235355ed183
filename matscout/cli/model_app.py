"""The commands about models and their options: train, predict, model card, model explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matscout.cli.options import JsonFlag
from matscout.cli.waiting import stoppable

models = typer.Typer(
    name="model", help="Show what a kept model is, and why it predicts what it does.", no_args_is_help=True
)

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a model, as matscout train wrote it.")]
ColumnOption = Annotated[
    str | None, typer.Option("--column", help="Column of formulas or structures, in CSV and Parquet.")
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask", metavar="WHERE", help="Where features are made: local, local:N, slurm, or a scheduler's address."
    ),
]
_INPUT = (
    "Formulas (CSV, Parquet, text, - for standard input), crystals (a file or a folder), a candidate table, a store, "
    "or the space of a campaign file."
)


def train(
    given: Annotated[str, typer.Argument(metavar="INPUT", help=_INPUT)],
    *,
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="COLUMN", help="Column to learn: of INPUT, or of --targets.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="Folder to keep the model in.")],
    targets: Annotated[
        Path | None,
        typer.Option(
            "--targets",
            metavar="FILE",
            help="CSV or Parquet with the results of an INPUT that has none, as a folder of crystals or a candidate "
            "table; its column id names the rows, or the files of the folder.",
        ),
    ] = None,
    surrogate: Annotated[
        str, typer.Option("--surrogate", help="Kind of model: xgboost, extra_trees, gaussian_process and more.")
    ] = "xgboost",
    features: Annotated[
        list[str] | None,
        typer.Option("--features", metavar="NAME,...", help="Feature sets; magpie, and sites for crystals, if none."),
    ] = None,
    unit: Annotated[str, typer.Option("--unit", help="Unit of the target, such as eV/atom.")] = "",
    column: ColumnOption = None,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            metavar="HOW",
            help="Rows held out together: chemical-system, composition, label or prototype (of crystals), none, or a "
            "column.",
        ),
    ] = "chemical-system",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of the model; may be given again."),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            "--missing",
            help="Unknown features: native (the model has a way of its own), median, or refuse; if left out, native "
            "where the model can, else median.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    tune: Annotated[
        int, typer.Option("--tune", min=0, metavar="N", help="Try N sets of options on rows set aside.")
    ] = 0,
    validate: Annotated[
        str | None,
        typer.Option(
            "--validate",
            metavar="HOW",
            help="How it is judged: hold-out, k-fold, monte-carlo, leave-one-cluster-out, leave-one-element-out, "
            "leave-one-prototype-out, leave-one-out or none; k-fold up to 1000 rows, else hold-out, if left out.",
        ),
    ] = None,
    parts: Annotated[int, typer.Option("--parts", min=2, help="Parts of k-fold.")] = 5,
    test_part: Annotated[
        float, typer.Option("--test-part", min=0.01, max=0.9, help="Share tested by hold-out and monte-carlo.")
    ] = 0.2,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="The target is a distance to the hull; stable means at most this, eV/atom."),
    ] = None,
    hull_energy: Annotated[
        str | None,
        typer.Option(
            "--hull-energy",
            metavar="COLUMN",
            help="The target is a formation energy; the hull's at each composition is in this column.",
        ),
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Train on growing parts of the rows, too.")
    ] = False,
    dask: DaskOption = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the data, for the card.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model that is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a model of any column, judge it on rows it had not seen, and keep it with its card."""
    with stoppable() as written:
        from matscout.cli.judging import Judging
        from matscout.cli.training import TrainRequest
        from matscout.cli.training import train as train_model

        request = TrainRequest(
            input=given,
            target=target,
            targets=targets,
            output=output,
            surrogate=surrogate,
            features=tuple(features or ()),
            unit=unit,
            column=column,
            group_by=group_by,
            options=tuple(option or ()),
            missing=missing,
            seed=seed,
            tune=tune,
            judging=Judging(validate, parts, test_part, threshold, hull_energy, learning_curve),
            dask=dask,
            replace=replace,
            licence=licence,
            as_json=as_json,
        )
        train_model(request, written)


def predict(
    model: ModelFolder,
    given: Annotated[str, typer.Argument(metavar="INPUT", help=_INPUT)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Parquet or CSV file to write; else the best are shown.")
    ] = None,
    column: ColumnOption = None,
    dask: DaskOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown without --output.")] = 25,
    highest: Annotated[
        bool | None,
        typer.Option(
            "--highest/--lowest", help="Which rows are shown without --output: the lowest, of classes the highest."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Predict all rows of an input: mean, std, 90 % interval, and how far each is from the training data."""
    with stoppable() as written:
        from matscout.cli.predicting import PredictRequest
        from matscout.cli.predicting import predict as predict_rows

        predict_rows(PredictRequest(model, given, output, column, dask, limit, highest, replace, as_json), written)


@models.command(epilog="Example: matscout model card e_form.model --plots plots")
def card(
    model: ModelFolder,
    *,
    plots: Annotated[Path | None, typer.Option("--plots", metavar="FOLDER", help="Draw its plots as pages.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print all scores.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what a model was trained on, and how it did on rows it had not seen."""
    from matscout.cli.model_cards import show_card

    show_card(model, plots, everything=everything, as_json=as_json)


@models.command(epilog="Example: matscout model explain e_form.model held_out.csv --target e_form --how formula")
def explain(
    model: ModelFolder,
    given: Annotated[str, typer.Argument(metavar="INPUT", help="Rows to explain it on: best such as it has not seen.")],
    *,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="Column with their results; that of the training if left out.")
    ] = None,
    how: Annotated[
        list[str] | None,
        typer.Option("--how", metavar="NAME,...", help="contributions, permutation, formula; all if left out."),
    ] = None,
    column: ColumnOption = None,
    dask: DaskOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Features shown.")] = 10,
    plots: Annotated[Path | None, typer.Option("--plots", metavar="FOLDER", help="Draw plots as pages.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of rows, permutations and parts.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Show why a model predicts what it does: contributions of features, importance, and a formula."""
    from matscout.cli.model_explanation import ExplainRequest
    from matscout.cli.model_explanation import explain as explain_rows

    explain_rows(ExplainRequest(model, given, target, tuple(how or ()), column, dask, limit, plots, seed, as_json))
