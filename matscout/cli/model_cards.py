"""`matscout model card`, and the tables that show what a model is and what it says."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from matscout.models.model_card import ModelCard
    from matscout.models.report import ReportCard

SHOWN_PARTS = 5
"""Elements and prototypes with the largest errors that are shown; JSON has all."""

LEAST_ROWS = 5
"""Rows that an element or a prototype needs to be among them: the error of one row says little."""


def show_card(folder: Path, plots: Path | None, *, as_json: bool) -> None:
    """Print the card of a kept model, and draw its plots into a folder."""
    from matscout.models.model import read_card

    card = read_card(folder)
    written = [] if plots is None else _draw(card, plots)
    if as_json:
        print_json({**card.model_dump(mode="json"), "plots": written})
        return
    unit = f" in {card.unit}" if card.unit else ""
    echo(f"predicts   {printable(card.target)}{unit}")
    learns = f" on {', '.join(map(str, card.features))} ({card.n_features} features)" if card.features else ""
    echo(f"model      {card.surrogate}{learns or f' on {card.takes}'}")
    left_out = f", {card.n_left_out:,} left out" if card.n_left_out else ""
    licence = f", licence {printable(card.data_licence)}" if card.data_licence else ""
    echo(f"trained    {card.created} on {card.n_rows:,} rows of {printable(card.data)}{left_out}{licence}")
    echo(f"data       {card.data_hash[:16]}")
    echo(f"packages   {', '.join(f'{name} {release}' for name, release in card.versions.items())}")
    print_card(card)
    for one in written:
        echo(f"wrote {one}")


def print_card(card: ModelCard) -> None:
    """Print the scores of a card: those of the report, else those of the calibration."""
    from matscout.models.report import ReportCard

    if card.report is None:
        _print_calibration(card)
        return
    report = ReportCard.from_dict(card.report)
    grouped = f", rows of one {report.grouped_by.replace('-', ' ')} together" if report.grouped_by else ""
    echo(f"{report.surrogate} on rows it had not seen: {report.n_predictions:,} by {report.scheme}{grouped}")
    cells = [
        [
            row.name,
            "-" if row.value is None else f"{row.value:.4g}",
            row.unit,
            f"{row.against} {row.reference:.4g}" if row.against and row.reference is not None else "",
        ]
        for row in report.rows()
    ]
    print_table(("score", "value", "unit", "compare with"), cells, right=(1,))
    _print_worst("element", [one for one in report.by_element if one.n >= LEAST_ROWS], report)
    _print_worst("prototype", [one for one in report.by_prototype if one.n >= LEAST_ROWS], report)


def _print_worst(what: str, parts: list[Any], report: ReportCard) -> None:
    if len(parts) < 2:
        return
    worst = sorted(parts, key=lambda one: -one.mae)[:SHOWN_PARTS]
    unit = f" {report.unit}" if report.unit else ""
    listed = ", ".join(f"{printable(one.name)} {one.mae:.3g} ({one.n:,} rows)" for one in worst)
    echo(f"largest errors by {what}, MAE{unit}: {listed}")


def _print_calibration(card: ModelCard) -> None:
    """Print what the calibration measured on rows held out, where no report was asked for."""
    found = card.calibration
    if found.get("fallback"):
        echo(f"{card.n_rows} rows are too few to measure any error: std is that of the targets")
        return
    unit = f" {card.unit}" if card.unit else ""
    if "mae" in found:
        covered = found["coverage_after"].get("90")
        echo(f"MAE {found['mae']:.4g}{unit} on rows held out for calibration")
        if covered is not None:
            echo(f"90 % intervals hold {100 * covered:.1f} % of them")
    else:
        echo(f"ROC-AUC {found['roc_auc']:.3g} on rows held out for calibration")


def _draw(card: ModelCard, folder: Path) -> list[str]:
    from matscout.drawing.files import write_plot
    from matscout.models.report import ReportCard, plots

    if card.report is None:
        raise UserError("the model was trained with --validate none: there is nothing to draw")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    folder.mkdir(exist_ok=True)
    report = ReportCard.from_dict(card.report)
    figures = {}
    if report.calibration is not None:
        figures["calibration"] = plots.plot_calibration(report.calibration)
        figures["error-by-std"] = plots.plot_error_by_std(report.calibration, report.unit)
    if report.stability is not None:
        figures["discovery"] = plots.plot_discovery(report.stability)
    if report.learning_curve is not None:
        figures["learning-curve"] = plots.plot_learning_curve(report.learning_curve, report.unit)
    if report.by_element:
        figures["elements"] = plots.plot_element_errors(report.by_element, report.unit)
    written = []
    for name, figure in figures.items():
        path = folder / f"{name}.html"
        write_plot(figure, path)
        written.append(str(path))
    return written


def print_predictions(best: pd.DataFrame, card: ModelCard, *, n_rows: int, n_errors: int, as_json: bool) -> None:
    """Print the rows with the lowest predictions."""
    import pandas as pd

    if as_json:
        rows = [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in best.to_dict(orient="records")
        ]
        print_json({"target": card.target, "unit": card.unit, "rows": n_rows, "errors": n_errors, "lowest": rows})
        return
    unit = f" ({card.unit})" if card.unit else ""
    echo(f"{printable(card.target)}{unit}: the lowest {len(best)} of {n_rows:,} rows; -o FILE writes all")
    ends = [name for name in best.columns if name.startswith(("lower_", "upper_"))]
    cells = []
    for row in best.itertuples(index=False):
        outside = getattr(row, "outside", False)
        note = row.error or ("outside of the training data" if not pd.isna(outside) and outside else "")
        numbers = [row.mean, row.std, *(getattr(row, name) for name in ends)]
        cells.append([row.id, row.formula, *(f"{value:.4g}" for value in numbers), note])
    percent = ends[0].removeprefix("lower_") if ends else ""
    headings = ("id", "formula", "mean", "std", f"{percent} % from", "to", "note")
    print_table(headings, [[printable(str(cell)) for cell in row] for row in cells], right=(2, 3, 4, 5))
    if n_errors:
        echo(f"{n_errors:,} rows could not be predicted")


def as_rows(report: ReportCard) -> list[dict[str, Any]]:
    """Return the main scores as JSON takes them."""
    return [asdict(row) for row in report.rows()]
