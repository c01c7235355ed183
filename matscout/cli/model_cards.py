"""`matscout model card`: what a model is, and how it did on rows it had not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import echo

from matscout.cli import printable
from matscout.cli.model_tables import print_report
from matscout.cli.output import print_json
from matscout.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.models.model_card import ModelCard


def show_card(folder: Path, plots: Path | None, *, everything: bool, as_json: bool) -> None:
    """Print the card of a kept model, and draw its plots into a folder."""
    from matscout.models.model import read_card

    card = read_card(folder)
    if plots is not None:
        _check_plots(card, plots)
    written = [] if plots is None else _draw(card, plots)
    if as_json:
        print_json({**card.model_dump(mode="json"), "plots": written})
        return
    if card.report is not None:
        print_card(card, everything=everything)
    unit = f" in {card.unit}" if card.unit else ""
    echo(f"predicts   {printable(_predicts(card))}{unit}")
    learns = f" on {', '.join(map(str, card.features))} ({card.n_features} features)" if card.features else ""
    echo(f"model      {card.surrogate}{learns or f' on {card.takes}'}")
    left_out = f", {card.n_left_out:,} left out" if card.n_left_out else ""
    licence = f", licence {printable(card.data_licence)}" if card.data_licence else ""
    rows = "1 row" if card.n_rows == 1 else f"{card.n_rows:,} rows"
    echo(f"trained    {card.created} on {rows} of {printable(card.data)}{left_out}{licence}")
    echo(f"data       {card.data_hash[:16]}")
    echo(f"packages   {', '.join(f'{name} {release}' for name, release in card.versions.items())}")
    if card.report is None:
        print_card(card)
    for one in written:
        echo(f"wrote {one}")
    if card.report is not None and not everything:
        echo("more scores: --all, or --json")


def _predicts(card: ModelCard) -> str:
    classification = card.options.get("task") == "classification"
    return f"probability that {card.target} is 1" if classification else card.target


def print_card(card: ModelCard, *, everything: bool = False) -> None:
    """Print the scores of a card: those of the report, else those of the calibration."""
    from matscout.models.report import ReportCard

    if card.report is None:
        _print_calibration(card)
        return
    print_report(ReportCard.from_dict(card.report), everything=everything)


def _print_calibration(card: ModelCard) -> None:
    """Print what the calibration measured on rows held out, where there is no report."""
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


def _check_plots(card: ModelCard, folder: Path) -> None:
    """Make the folder of plots; a `UserError` where there is nothing to draw, or no place for it."""
    if card.report is None:
        raise UserError("the model was not judged when it was trained: there is nothing to draw")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"no folder {folder.absolute().parent}: make it first")
    folder.mkdir(exist_ok=True)


def _draw(card: ModelCard, folder: Path) -> list[str]:
    from matscout.drawing.files import write_plot
    from matscout.models.report import ReportCard, plots

    report = ReportCard.from_dict(card.report or {})
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
