"""Hulls on the plane of the page: polymorphs of an element, binaries, ternaries as a triangle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing.style import GRID, LINE
from matscout.workflows.stability.plots import labels, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.workflows.stability.plots.points import Points

    Floats = NDArray[np.float64]

_TRIANGLE = np.array([[0.5, 1.0], [0.0, 0.0], [1.0, 0.0]])  # top, left, right, as fractions of the frame


def element_figure(points: Points, heading: dict[str, Any], window: float | None) -> Figure:
    """Draw the energies of the polymorphs of one element, one beside the other."""
    places = np.arange(1.0, len(points) + 1)
    axis = {
        "title": {"text": "entries, the nearest to the hull first", "font": {"size": 13}},
        "tickformat": "d",
        "range": [0.4, len(points) + 0.6],
    }
    return _with_energy_axis(points, places, axis, heading, window, tie_line=False)


def binary_figure(points: Points, heading: dict[str, Any], window: float | None) -> Figure:
    """Draw the formation energy against the fraction of the second element, with the tie line."""
    second = points.elements[1]
    axis = {
        "title": {"text": f"atomic fraction of {second}{points.unit.removeprefix('eV/atom')}", "font": {"size": 13}},
        "range": [-0.04, 1.04],
    }
    return _with_energy_axis(points, points.fractions[:, 1], axis, heading, window, tie_line=True)


def _with_energy_axis(
    points: Points,
    places: Floats,
    axis: dict[str, Any],
    heading: dict[str, Any],
    window: float | None,
    *,
    tie_line: bool,
) -> Figure:
    import plotly.graph_objects as go

    energies = points.formation_energies
    on_hull = np.flatnonzero(points.stable)
    stable: list[int] = on_hull[np.argsort(places[on_hull], kind="stable")].tolist()
    low, high = style.energy_range(energies, points.above)
    figure = go.Figure()
    ends = np.empty((0, 2, 2))
    start, end = axis["range"]
    scale = np.array([end - start, high - low])
    frame = (np.column_stack([places, energies]) - [start, low]) / scale
    if tie_line:
        figure.add_scatter(
            x=places[stable],
            y=energies[stable],
            mode="lines",
            line={"color": LINE, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
        ends = np.stack([frame[stable][:-1], frame[stable][1:]], axis=1)
    hovers = [(row, points.hover(row)) for row in np.flatnonzero(energies <= high).tolist()]
    for name, others, marker in style.above_hull(points, hovers, window, size=8):
        rows = [row for row, _ in others]
        figure.add_scatter(
            x=places[rows],
            y=energies[rows],
            mode="markers",
            marker=marker,
            hovertext=[hover for _, hover in others],
            hoverinfo="text",
            cliponaxis=False,
            name=name,
        )
    names = [points.name(row) for row in stable]
    figure.add_scatter(
        x=places[stable],
        y=energies[stable],
        mode="markers+text",
        marker=style.stable_marker(),
        text=names,
        textposition=labels.place(names, frame[stable], (style.NARROWEST - 90, 330), frame, ends, right=20).positions,
        textfont=style.label_font(),
        hovertext=[points.hover(row) for row in stable],
        hoverinfo="text",
        cliponaxis=False,
        name="stable",
    )
    style.finish(figure, style.with_unseen(heading, energies, high), axis=58)
    figure.update_layout(margin={"l": 66, "r": 24})
    lines = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": LINE, "ticks": "outside"}
    figure.update_xaxes(axis | lines)
    energy = {"title": {"text": points.energy_title, "font": {"size": 13}}, "range": [low, high]}
    figure.update_yaxes(energy | lines | {"zeroline": True, "zerolinecolor": LINE, "zerolinewidth": 1})
    return figure


def ternary_figure(
    points: Points, edges: Sequence[tuple[int, int]], heading: dict[str, Any], window: float | None
) -> Figure:
    """Draw the triangle of compositions with the edges of the facets."""
    import plotly.graph_objects as go

    drawn = points.by_composition()
    stable = [(row, hover) for row, hover in drawn if points.stable[row]]
    frame = points.fractions @ _TRIANGLE
    figure = go.Figure()
    ends = [points.fractions[[i, j]] for i, j in edges]
    gap = np.full((1, 3), np.nan)
    figure.add_scatterternary(
        **_corners(np.concatenate([part for pair in ends for part in (pair, gap)])),
        mode="lines",
        line={"color": LINE, "width": 1.2},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, others, marker in style.above_hull(points, drawn, window, size=8):
        figure.add_scatterternary(
            **_corners(points.fractions[[row for row, _ in others]]),
            mode="markers",
            marker=marker,
            hovertext=[hover for _, hover in others],
            hoverinfo="text",
            cliponaxis=False,
            name=name,
        )
    rows = [row for row, _ in stable]
    names = [points.inner_name(row) for row in rows]
    figure.add_scatterternary(
        **_corners(points.fractions[rows]),
        mode="markers+text",
        marker=style.stable_marker(),
        text=names,
        textposition=labels.place(
            names,
            frame[rows],
            (style.NARROWEST - 80, 260),
            frame[[row for row, _ in drawn]],
            np.stack([pair @ _TRIANGLE for pair in ends]),
            right=30,
        ).positions,
        textfont=style.label_font(),
        hovertext=[hover for _, hover in stable],
        hoverinfo="text",
        cliponaxis=False,
        name="stable",
    )
    style.finish(figure, heading, above=20, axis=28, sides=40)
    figure.update_layout(ternary=_triangle(points))
    return figure


def _corners(fractions: Floats) -> dict[str, Floats]:
    return {"a": fractions[:, 0], "b": fractions[:, 1], "c": fractions[:, 2]}


def _triangle(points: Points) -> dict[str, Any]:
    axis = {
        "showticklabels": False,
        "ticks": "",
        "dtick": 0.2,
        "gridcolor": GRID,
        "linecolor": LINE,
        "linewidth": 1.5,
    }
    axes = zip(("aaxis", "baxis", "caxis"), points.elements, strict=True)
    corners = {name: axis | {"title": {"text": f"<b>{element}</b>", "font": {"size": 17}}} for name, element in axes}
    return {"sum": 1, "bgcolor": "white"} | corners
