"""Hulls in space: quaternaries as a tetrahedron, ternaries with the energy upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing.style import INK, LINE
from matscout.workflows.stability.plots import style
from matscout.workflows.stability.plots.views import (
    View,
    board_of,
    label_annotations,
    longest,
    on_board,
    picture_height,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.workflows.stability.plots.points import Points

    Floats = NDArray[np.float64]

_TRIANGLE = np.array([[0.0, np.sqrt(3) / 3], [-0.5, -np.sqrt(3) / 6], [0.5, -np.sqrt(3) / 6]])
_TETRAHEDRON = np.vstack([np.column_stack([_TRIANGLE, np.zeros(3)]), [0.0, 0.0, np.sqrt(2 / 3)]])
_GROUND = (-0.66, 0.66)  # the scene around the middle of the triangle, in edges of it
_TALL = 0.8  # height of a landscape, in edges of its triangle
_ZOOM = 1.25  # to fill a telephone
_ZOOM_OUT = 0.8  # of a landscape, whose corners come nearer to the eye
_EYE_DISTANCE, _EYE_HEIGHT = 2.2, 0.35
_TURNS = np.linspace(-1.0, 1.0, 9)  # radians
_MOST_TICKS = 6
_CENTRE = -0.15  # brings the symbol of the nearest corner above the legend
_MARKER = 4
_OFF_MARKER = 0.03  # of the edges, so that lines end at the rim of the markers
_OFF_CORNER = 0.12
_CORNER_FONT = 17.0  # px
_TIE_LINE = "#9aa5ad"


def quaternary_figure(
    points: Points, edges: Sequence[tuple[int, int]], heading: dict[str, Any], window: float | None
) -> Figure:
    """Draw the tetrahedron of compositions with tie lines."""
    import plotly.graph_objects as go

    places = points.fractions @ _TETRAHEDRON
    outline = [(a, b) for a in range(4) for b in range(a)]
    figure = go.Figure()
    _add_lines(figure, _TETRAHEDRON, outline, off=_OFF_MARKER, color=INK, width=3)
    _add_lines(figure, places, edges, off=_OFF_MARKER, color=_TIE_LINE, width=1.5)
    drawn = points.by_composition()
    _add_entries(figure, points, places, drawn, window)
    style.finish(figure, heading)
    views = [_view(turn, (-0.12, 0.95), centre=_CENTRE) for turn in _TURNS]
    _show(figure, points, places, [row for row, _ in drawn], _TETRAHEDRON, outline, views)
    return figure


def landscape_figure(
    points: Points,
    edges: Sequence[tuple[int, int]],
    heading: dict[str, Any],
    window: float | None,
) -> Figure:
    """Draw a ternary hull with the formation energy upwards."""
    import plotly.graph_objects as go

    energies = points.formation_energies
    low, high = style.energy_range(energies, points.above)
    places = np.column_stack([points.fractions @ _TRIANGLE, energies])
    base = np.column_stack([_TRIANGLE, np.zeros(3)])
    outline = [(0, 1), (1, 2), (2, 0)]
    figure = go.Figure()
    _add_lines(figure, base, outline, off=_OFF_MARKER, color=INK, width=3)
    _add_lines(figure, places, edges, off=_OFF_MARKER, color=LINE, width=3)
    shown = np.flatnonzero(energies <= high).tolist()
    _add_entries(figure, points, places, [(row, points.hover(row)) for row in shown], window)
    _add_scale(figure, base[0], low)
    style.finish(figure, style.with_unseen(heading, energies, high))
    views = [_view(turn, (low, high), tall=_TALL) for turn in _TURNS]
    _show(figure, points, places, shown, base, outline, views)
    return figure


def _add_scale(figure: Figure, corner: Floats, low: float) -> None:
    """Draw an energy scale at a corner: one of Plotly's own stands far off, outside a narrow screen."""
    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if -low / step <= _MOST_TICKS), 2.0)
    ticks = np.arange(0, -low, step)
    places = np.tile(corner, (len(ticks), 1)) - np.outer(ticks, [0.0, 0.0, 1.0])
    figure.add_scatter3d(
        **_axes(places),
        mode="lines+text",
        line={"color": LINE, "width": 2},
        text=["", *(f"{-tick:g} eV/atom" for tick in ticks[1:])],
        textposition="middle right",
        textfont={"size": 10, "color": LINE},
        hoverinfo="skip",
        showlegend=False,
    )


def _view(turn: float, upright: tuple[float, float], *, tall: float | None = None, centre: float = 0.0) -> View:
    """Look at the scene from a side; the third axis is in the unit of the others unless it is `tall` of them."""
    wide = _GROUND[1] - _GROUND[0]
    zoom = _ZOOM if tall is None else _ZOOM * _ZOOM_OUT
    low, high = np.array([_GROUND, _GROUND, upright]).T
    lengths = zoom * np.array([wide, wide, upright[1] - upright[0] if tall is None else tall])
    eye = np.array([np.sin(turn), -np.cos(turn), _EYE_HEIGHT]) * _EYE_DISTANCE
    return View(low, high, lengths, eye, np.array([0.0, 0.0, centre]))


def _show(
    figure: Figure,
    points: Points,
    places: Floats,
    drawn: Sequence[int],
    corners: Floats,
    outline: Sequence[tuple[int, int]],
    views: Sequence[View],
) -> None:
    """Set the scene as it is seen from where labels of the stable phases have most room, and write them there."""
    stable = [row for row in drawn if points.stable[row] and points.inner_name(row)]
    names = [points.inner_name(row) for row in stable]
    order = longest(names)
    names, anchors = [names[i] for i in order], [places[[stable[i]]] for i in order]
    height = picture_height(figure)
    symbols_at, symbols = _corner_names(points, corners)
    found = []
    for view in views:
        board = board_of(view, height, places[drawn], corners[list(outline)])
        for element, (at,) in zip(points.elements, on_board(view, height, list(symbols_at[:, None])), strict=True):
            board.reserve(element, at, _CORNER_FONT)
        found.append(board.lead(names, on_board(view, height, anchors)))
    best = min(range(len(views)), key=lambda i: found[i].cost)
    view = views[best]
    ranges = view.ranges()
    axes = {name: {"visible": False, "showspikes": False} | limits for name, limits in ranges.items()}
    written = [*label_annotations(names, anchors, found[best]), *symbols]
    figure.update_layout(scene=view.scene() | axes | {"annotations": written})


def _axes(places: Floats) -> dict[str, Floats]:
    return dict(zip("xyz", places.T, strict=True))


def _add_lines(
    figure: Figure, places: Floats, edges: Sequence[tuple[int, int]], *, off: float = 0.0, **line: Any
) -> None:
    """Draw lines that end so far off their places, in edges of the triangle or tetrahedron.

    Whatever Plotly draws in space in front of a marker takes its hover away: lines on it, and faces altogether, so
    there are none.
    """
    path = []
    for i, j in edges:
        away = places[j] - places[i]
        along = away * min(0.4, off / float(np.linalg.norm(away)))
        path += [places[i] + along, places[j] - along, np.full(3, np.nan)]
    figure.add_scatter3d(**_axes(np.array(path)), mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _add_entries(
    figure: Figure, points: Points, places: Floats, drawn: Sequence[tuple[int, str]], window: float | None
) -> None:
    stable = [part for part in drawn if points.stable[part[0]]]
    groups = style.above_hull(points, drawn, window, size=_MARKER - 1, far_symbol="square")
    for name, parts, marker in [*groups, ("stable", stable, style.stable_marker(_MARKER))]:
        figure.add_scatter3d(
            **_axes(places[[row for row, _ in parts]]),
            mode="markers",
            marker=marker,
            hovertext=[hover for _, hover in parts],
            hoverinfo="text",
            name=name,
        )


def _corner_names(points: Points, corners: Floats) -> tuple[Floats, list[dict[str, Any]]]:
    """Places of the elements' symbols, a little off their corners, shape (d, 3), and the symbols as annotations."""
    away = corners + _OFF_CORNER * (corners - corners.mean(axis=0))
    found = [
        dict(zip("xyz", place, strict=True))
        | {"text": f"<b>{element}</b>", "showarrow": False, "font": {"size": _CORNER_FONT, "color": INK}}
        for element, place in zip(points.elements, away.tolist(), strict=True)
    ]
    return away, found
