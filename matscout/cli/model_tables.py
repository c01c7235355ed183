"""Tables of what models say: scores on a card, and predictions of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from matscout.models.model_card import ModelCard
    from matscout.models.report import ReportCard
    from matscout.models.report.card_rows import Row

SHOWN_PARTS = 5
"""Elements and prototypes with the largest errors that are shown; JSON has all."""

LEAST_ROWS = 5
"""Rows that an element or a prototype needs to be among them: the error of one row says little."""

FEW_ROWS = 30
"""Below that many rows all scores are rough, which a line says."""

_FIRST = {
    "MAE",
    "RMSE",
    "R2",
    "ROC-AUC, from probabilities",
    "average precision",
    "F1",
    "Brier score",
    "calibration error",
    "coverage of 90 % intervals",
    "rank correlation of error and std",
}
"""Scores that are shown if not all are, beside those that were asked for, and the cost."""


def print_report(report: ReportCard, *, everything: bool) -> None:
    """Print whether a model is of use, its main scores or all, and where its errors are largest."""
    grouped = f", rows of one {report.grouped_by.replace('-', ' ')} together" if report.grouped_by else ""
    echo(_verdict(report))
    if (found := report.stability) is not None and found.hard.precision is not None and found.prevalence:
        better = "better" if found.hard.precision > found.prevalence else "NOT better"
        echo(
            f"{better} than chance at choosing stable rows: {100 * found.hard.precision:.0f} % of those it calls "
            f"stable are, {100 * found.prevalence:.0f} % of all"
        )
    if report.n_predictions < FEW_ROWS:
        echo(f"{report.n_predictions} rows are few: other rows may give quite other scores")
    echo(f"{report.surrogate} on rows it had not seen: {report.n_predictions:,} by {report.scheme}{grouped}")
    rows = _scores(report, everything=everything)
    cells = [
        [
            _named(row.name, report),
            _number(row.value),
            row.unit,
            f"{row.against} {row.reference:.4g}" if row.against and row.reference is not None else "",
        ]
        for row in rows
    ]
    print_table(("score", "value", "unit", "compare with"), cells, right=(1,))
    _print_worst("element", [one for one in report.by_element if one.n >= LEAST_ROWS], report)
    _print_worst("prototype", [one for one in report.by_prototype if one.n >= LEAST_ROWS], report)
    if (note := _no_stable(report)) is not None:
        echo(note)


def _verdict(report: ReportCard) -> str:
    """Say in a sentence whether a model is better than none, and on how many rows."""
    rows = f"on {report.n_predictions:,} rows that it had not seen"
    unit = f" {report.unit}" if report.unit else ""
    if (scores := report.regression) is not None:
        what, model, none = "mean absolute error", scores.mae, scores.mad
    elif (classes := report.classification) is not None:
        what, unit, model, none = "Brier score", "", classes.brier, classes.brier_prevalence
    else:
        return rows
    if model is None or none is None:
        return f"whether it is better than no model cannot be told {rows}"
    better = "better" if model < none else "NOT better"
    return f"{better} than no model {rows}: {what} {model:.4g}{unit}, without a model {none:.4g}{unit}"


def _scores(report: ReportCard, *, everything: bool) -> Sequence[Row]:
    """Choose the scores to show; those of stability not where none is stable, since there is nothing to find."""
    if _no_stable(report) is not None:
        report = report.model_copy(update={"stability": None})
    rows = report.rows()
    if everything:
        return rows
    plain = {row.name for row in report.model_copy(update={"stability": None, "learning_curve": None}).rows()}
    return [row for row in rows if row.name in _FIRST or row.name not in plain or row.unit == "s per 1000 rows"]


def _no_stable(report: ReportCard) -> str | None:
    found = report.stability
    if found is None or found.n_stable:
        return None
    return f"none of {found.n:,} rows is stable at the threshold {found.threshold:g}: no decision can be scored"


def _named(name: str, report: ReportCard) -> str:
    """Name a score, with the number of rows where these are few of all."""
    if name == "MAE outside of the domain" and report.domain is not None:
        n = report.domain.n_outside
        return f"{name} ({n:,} row{'' if n == 1 else 's'})"
    return name


def _print_worst(what: str, parts: list[Any], report: ReportCard) -> None:
    if len(parts) < 2:
        return
    worst = sorted(parts, key=lambda one: -one.mae)[:SHOWN_PARTS]
    unit = f" {report.unit}" if report.unit else ""
    error = f"MAE{unit}" if report.task == "regression" else "mean |P - class|"
    listed = ", ".join(f"{printable(one.name)} {one.mae:.3g} ({one.n:,} rows)" for one in worst)
    echo(f"largest errors by {what}, {error}: {listed}")


@dataclass(frozen=True)
class Shown:
    """Which of the predicted rows a table shows.

    Attributes
    ----------
    n_rows, n_errors
        Rows of the input, and those that could not be predicted.
    first_error
        The first of those, and why.
    highest
        Whether the highest are shown, not the lowest.
    probability
        Whether what is predicted is the probability of 1.
    """

    n_rows: int
    n_errors: int
    first_error: str
    highest: bool
    probability: bool


def print_predictions(best: pd.DataFrame, card: ModelCard, shown: Shown, *, as_json: bool) -> None:
    """Print the rows with the lowest or highest predictions."""
    import pandas as pd

    end = "highest" if shown.highest else "lowest"
    if as_json:
        rows = [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in best.to_dict(orient="records")
        ]
        counts = {"rows": shown.n_rows, "errors": shown.n_errors, "first_error": shown.first_error or None}
        print_json({"target": card.target, "unit": card.unit, **counts, end: rows})
        return
    unit = f" ({card.unit})" if card.unit else ""
    what = f"probability that {card.target} is 1" if shown.probability else f"{card.target}{unit}"
    among = "1 row" if shown.n_rows == 1 else f"{shown.n_rows:,} rows"
    echo(f"{printable(what)}: the {end} {len(best)} of {among}; -o FILE writes all")
    # of a class, std and the ends of an interval say nothing that the probability does not
    ends = [] if shown.probability else [name for name in best.columns if name.startswith(("lower_", "upper_"))]
    numbers = ["mean", *([] if shown.probability else ["std", *ends])]
    cells = []
    for row in best.to_dict(orient="records"):
        outside = row.get("outside", False)
        note = "outside of the training data" if not pd.isna(outside) and outside else ""
        cells.append([row["id"], row["formula"], *(_number(row[name]) for name in numbers), note])
    percent = ends[0].removeprefix("lower_") if ends else ""
    named = ["probability"] if shown.probability else ["mean", "std", f"{percent} % from", "to"]
    headings = ("id", "formula", *named, "note")
    print_table(headings, [[printable(str(cell)) for cell in row] for row in cells], right=range(2, 2 + len(named)))
    if shown.n_errors:
        rows_said = "1 row" if shown.n_errors == 1 else f"{shown.n_errors:,} rows"
        echo(f"{rows_said} could not be predicted, the first: {printable(shown.first_error)}")


def _number(value: float | None) -> str:
    """Write a number; a dash where it is unknown."""
    return "-" if value is None or value != value else f"{value:.4g}"  # noqa: PLR0124  NaN
