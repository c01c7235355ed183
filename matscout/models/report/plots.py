"""Plots of scores, as figures of Plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing import style
from matscout.drawing.style import escape, number, with_unit
from matscout.errors import UserError
from matscout.models.report import measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from plotly.graph_objects import Figure

    from matscout.models.prediction import Prediction
    from matscout.models.report.calibration_curves import CalibrationCurve
    from matscout.models.report.report_card import PartErrors
    from matscout.models.report.stability import StabilityScores
    from matscout.models.validation.learning_curves import LearningCurve

_MOST_POINTS = 3000  # of a scatter plot: with more, the page is slow and marks hide each other
_CELLS = 80  # along each axis, of the density in its place


def plot_parity(
    y: ArrayLike, prediction: Prediction, *, target: str = "target", unit: str = "", names: Sequence[str] | None = None
) -> Figure:
    """Plot predictions over targets; above 3000 of them as a density.

    Parameters
    ----------
    y
        Targets, shape (n,).
    prediction
        Of the same rows.
    target, unit
        Name and unit of the target.
    names
        Of the rows, for the pointer.

    Raises
    ------
    ValueError
        Shapes do not match, there is no row, or a value is not finite.
    """
    import plotly.graph_objects as go

    truth, mean = measures.checked("parity plot", y, prediction.mean)
    low, high = float(min(truth.min(), mean.min())), float(max(truth.max(), mean.max()))
    room = 0.04 * (high - low) or 1.0
    ends = [low - room, high + room]
    figure = go.Figure()
    if len(truth) > _MOST_POINTS:
        figure.add_trace(_density(truth, mean, ends))
    else:
        said = [""] * len(truth) if names is None else [f"<b>{escape(name)}</b><br>" for name in names]
        figure.add_scatter(
            x=truth,
            y=mean,
            mode="markers",
            marker={"color": style.BLUE, "size": 6, "opacity": 0.6},
            hovertext=[
                f"{name}true {t:.4g}, predicted {m:.4g} ± {s:.2g} {escape(unit)}"
                for name, t, m, s in zip(said, truth, mean, prediction.std, strict=True)
            ],
            hoverinfo="text",
            showlegend=False,
        )
    figure.add_scatter(**style.line(ends, ends, "equal", dash="dash"), hoverinfo="skip", showlegend=False)
    mae, mad = np.abs(mean - truth).mean(), np.abs(truth - truth.mean()).mean()
    facts = [f"{len(truth)} predictions, MAE {mae:.3g} {escape(unit)}, without a model {mad:.3g}"]
    words = escape(target)
    style.finished(figure, target, facts, with_unit(f"true {words}", unit), with_unit(f"predicted {words}", unit))
    return figure.update_xaxes(range=ends).update_yaxes(range=ends)


def _density(x: Any, y: Any, ends: Sequence[float]) -> Any:
    import plotly.graph_objects as go

    counts, edges, _ = np.histogram2d(x, y, bins=_CELLS, range=[ends, ends])
    middles = (edges[1:] + edges[:-1]) / 2
    return go.Heatmap(
        x=middles,
        y=middles,
        z=np.log10(np.where(counts > 0, counts, np.nan)).T,
        customdata=counts.T,
        hovertemplate="%{customdata:.0f} rows<extra></extra>",
        colorscale=style.LOW_TO_HIGH,
        showscale=False,
    )


def plot_calibration(curve: CalibrationCurve) -> Figure:
    """Plot the share of targets within central intervals over the share that these are to hold."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(**style.line([0, 1], [0, 1], "perfect", dash="dash"), hoverinfo="skip")
    figure.add_scatter(
        **style.line([0, *curve.nominal, 1], [0, *curve.observed, 1], "this surrogate", colour=style.BLUE)
        | {"mode": "lines+markers"}
    )
    facts = [
        f"{curve.n} predictions, miscalibration area {number(curve.miscalibration_area)} (perfect 0)",
        "below the dashed line: too sure of itself",
    ]
    style.finished(figure, "Calibration", facts, "nominal share of an interval", "share of targets within")
    return figure.update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1])


def plot_error_by_std(curve: CalibrationCurve, unit: str = "") -> Figure:
    """Plot root mean square errors over the std predicted for them, in parts of equal number."""
    import plotly.graph_objects as go

    unit = "" if curve.of_logarithm else unit
    std, rmse = [part.std for part in curve.bins], [part.rmse for part in curve.bins]
    end = 1.08 * max(*std, *rmse) or 1.0
    figure = go.Figure()
    figure.add_scatter(**style.line([0, end], [0, end], "perfect", dash="dash"), hoverinfo="skip")
    figure.add_scatter(
        **style.line(std, rmse, "this surrogate", colour=style.BLUE) | {"mode": "lines+markers"},
        hovertext=[
            f"{part.n} rows: std {part.std:.3g}, RMSE {part.rmse:.3g}, MAE {part.mae:.3g}" for part in curve.bins
        ],
        hoverinfo="text",
    )
    facts = [f"{curve.n} predictions, rank correlation of error and std {number(curve.spearman)}"]
    style.finished(figure, "Error and std", facts, with_unit("predicted std", unit), with_unit("RMSE", unit))
    return figure.update_xaxes(range=[0, end]).update_yaxes(range=[0, end])


def plot_learning_curve(curve: LearningCurve, unit: str = "") -> Figure:
    """Plot the error on the test part over rows learnt from, both logarithmic, with the laws fitted to it."""
    import plotly.graph_objects as go

    along = np.geomspace(curve.sizes[0], 2 * curve.sizes[-1], 60)
    figure = go.Figure()
    law = curve.power_law
    figure.add_scatter(**style.line(along.tolist(), law.at(along).tolist(), f"a n^-{law.b:.2f}", dash="dot"))
    if curve.saturating is not None:
        fitted = curve.saturating
        name = f"a n^-{fitted.b:.2f} + {fitted.c:.3g}"
        figure.add_scatter(**style.line(along.tolist(), fitted.at(along).tolist(), name, colour=style.ORANGE))
    figure.add_scatter(
        x=curve.sizes,
        y=curve.mae,
        mode="markers",
        marker={"color": style.BLUE, "size": 9},
        error_y={"array": list(curve.std), "color": style.BLUE},
        name=f"mean and std of {curve.repeats} subsets" + (", all rows once" if None in curve.std else ""),
    )
    falls = "still falls" if curve.still_falls else "may have ceased to fall"
    facts = [f"tested on the same {curve.n_test} rows; at {curve.sizes[-1]} rows the error {falls}"]
    style.finished(figure, "Learning curve", facts, "rows learnt from", with_unit("MAE", unit))
    figure.update_xaxes(type="log", tickvals=list(curve.sizes), ticktext=[str(size) for size in curve.sizes])
    return figure.update_yaxes(type="log", dtick="D2")


def plot_discovery(scores: StabilityScores) -> Figure:
    """Plot the stable rows found over calculations done in the order of P(stable), against a random order."""
    import plotly.graph_objects as go

    curve = scores.discovery
    calculated, expected, std = (np.array(column) for column in (curve.calculated, curve.random, curve.random_std))
    low = np.maximum(expected - 1.645 * std, 0.0)
    high = np.minimum(expected + 1.645 * std, scores.n_stable)
    figure = go.Figure()
    x = calculated.tolist()
    figure.add_scatter(**style.band(x, low.tolist(), high.tolist(), "random order, 90 %"))
    figure.add_scatter(**style.line(x, expected.tolist(), "random order, mean", dash="dash"))
    best = np.minimum(calculated, scores.n_stable).tolist()
    figure.add_scatter(**style.line(x, best, "without a mistake", colour=style.FAINT, dash="dot"))
    figure.add_scatter(**style.line(x, curve.found, "this surrogate", colour=style.BLUE))
    saved = [
        f"{100 * one.saved:.0f} % at {100 * one.missed:g} % missed" for one in scores.saved if one.saved is not None
    ]
    where = f"within {1000 * scores.threshold:g} meV/atom of the hull" if scores.threshold else "on the hull"
    facts = [
        f"{scores.n_stable} of {scores.n} {where}",
        *([f"calculations saved: {', '.join(saved)}"] if saved else []),
    ]
    return style.finished(figure, "Discovery", facts, "calculations", "stable ones found")


def plot_element_errors(errors: Sequence[PartErrors], unit: str = "") -> Figure:
    """Plot the mean absolute error of the rows that hold an element, on the periodic table.

    Raises
    ------
    UserError
        There is no element among the names.
    """
    import plotly.graph_objects as go

    from matscout.db._elements import atomic_numbers

    of_element = {part.name: part for part in errors if part.name in atomic_numbers()}
    if not of_element:
        raise UserError("no errors per element to plot: make the report card with compositions")
    rows, columns = zip(*(periodic_place(atomic_numbers()[name]) for name in of_element), strict=True)
    parts = list(of_element.values())
    largest = max(part.mae for part in parts)
    grid, hover = np.full((9, 18), np.nan), np.full((9, 18), "", dtype=object)
    grid[list(rows), list(columns)] = [part.mae for part in parts]
    hover[list(rows), list(columns)] = [
        f"<b>{part.name}</b>  {part.n} predictions<br>MAE {part.mae:.3g}, bias {part.bias:+.3g} {escape(unit)}"
        for part in parts
    ]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            text=hover,
            hoverinfo="text",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            colorscale=style.LOW_TO_HIGH,
            zmin=0,
            zmax=largest or 1.0,
            colorbar={"title": {"text": with_unit("MAE", unit), "side": "right"}, "thickness": 12},
        )
    )
    for part, row, column in zip(parts, rows, columns, strict=True):
        colour = "white" if part.mae > 0.75 * largest else style.INK
        figure.add_annotation(x=column, y=row, text=part.name, showarrow=False, font={"size": 12, "color": colour})
    worst = max(parts, key=lambda part: part.mae)
    facts = [f"{len(parts)} elements, the largest error with {worst.name}: {worst.mae:.3g} {escape(unit)}"]
    style.finished(figure, "Error per element", facts)
    hidden = {"showticklabels": False, "showgrid": False, "showline": False, "ticks": ""}
    figure.update_xaxes(hidden | {"range": [-0.5, 17.5]})
    return figure.update_yaxes(hidden | {"range": [8.5, -0.5], "scaleanchor": "x", "constrain": "domain"})


def periodic_place(number: int) -> tuple[int, int]:
    """Row and column of an element in the periodic table of 18 columns, from 0; lanthanides and actinides below it.

    Examples
    --------
    >>> [periodic_place(z) for z in (1, 2, 26, 57, 71, 72, 118)]
    [(0, 0), (0, 17), (3, 7), (7, 2), (7, 16), (5, 3), (6, 17)]
    """
    if 57 <= number <= 71 or 89 <= number <= 103:
        start = 57 if number < 89 else 89
        return (7 if number < 89 else 8), 2 + number - start
    noble = (0, 2, 10, 18, 36, 54, 86, 118)
    period = next(i for i, last in enumerate(noble) if number <= last) - 1
    place, length = number - noble[period] - 1, noble[period + 1] - noble[period]
    early = 1 if length == 2 else 2
    return period, place if place < early else 18 - length + place
