"""Hulls in space: quaternaries as a tetrahedron, ternaries with the energy upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.workflows.stability.plots import labels, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.workflows.stability.plots.points import Points

    Floats = NDArray[np.float64]

_TRIANGLE = np.array([[0.0, np.sqrt(3) / 3], [-0.5, -np.sqrt(3) / 6], [0.5, -np.sqrt(3) / 6]])
_TETRAHEDRON = np.vstack([np.column_stack([_TRIANGLE, np.zeros(3)]), [0.0, 0.0, np.sqrt(2 / 3)]])
_FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
_PIXELS = 320.0  # px of the edge of a triangle or tetrahedron, as first seen
_GROUND = (-0.66, 0.66)  # the scene around the middle of the triangle, in edges of it
_TALL = 0.8  # height of a landscape, in edges of its triangle
_ZOOM = 1.25  # to fill a telephone
_ZOOM_OUT = 0.8  # of a landscape, whose corners come nearer to the eye
_EYE_DISTANCE, _EYE_HEIGHT = 2.2, 0.35
_TURNS = np.linspace(-1.0, 1.0, 9)  # radians
_MOST_TICKS = 6
_TIE_LINE = "#9aa5ad"


def quaternary_figure(
    points: Points, edges: Sequence[tuple[int, int]], heading: dict[str, Any], window: float | None
) -> Figure:
    """Draw the tetrahedron of compositions with tie lines and translucent faces."""
    import plotly.graph_objects as go

    places = points.fractions @ _TETRAHEDRON
    figure = go.Figure()
    _add_faces(figure, _TETRAHEDRON, _FACES, opacity=0.06)
    _add_lines(figure, _TETRAHEDRON, [(a, b) for a in range(4) for b in range(a)], color=style.INK, width=3)
    _add_lines(figure, places, edges, color=_TIE_LINE, width=1.5)
    drawn = points.by_composition()
    _add_unstable(figure, points, places, [part for part in drawn if not points.stable[part[0]]], window)
    stable = [part for part in drawn if points.stable[part[0]]]
    eye = _add_stable(figure, points, places, stable, places)
    _add_corners(figure, points, _TETRAHEDRON)
    style.finish(figure, heading)
    _set_scene(figure, eye, (-0.12, 0.95))
    return figure


def landscape_figure(
    points: Points,
    triangles: NDArray[np.intp],
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
    figure = go.Figure()
    _add_faces(figure, places, triangles, opacity=0.12)
    _add_lines(figure, base, [(0, 1), (1, 2), (2, 0)], color=style.INK, width=3)
    _add_lines(figure, places, edges, color=style.LINE, width=3)
    shown = np.flatnonzero(energies <= high)
    hovers = [(row, points.hover(row)) for row in shown.tolist()]
    _add_unstable(figure, points, places, [part for part in hovers if not points.stable[part[0]]], window)
    stable = [part for part in hovers if points.stable[part[0]]]
    eye = _add_stable(figure, points, places, stable, places * [1, 1, _TALL / (high - low)])
    _add_corners(figure, points, base)
    _add_scale(figure, base[0], low)
    style.finish(figure, style.with_unseen(heading, energies, high))
    _set_scene(figure, eye, (low, high), tall=_TALL)
    return figure


def _add_scale(figure: Figure, corner: Floats, low: float) -> None:
    """Draw an energy scale at a corner: one of Plotly's own stands far off, outside a narrow screen."""
    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if -low / step <= _MOST_TICKS), 2.0)
    ticks = np.arange(0, -low, step)
    places = np.tile(corner, (len(ticks), 1)) - np.outer(ticks, [0.0, 0.0, 1.0])
    figure.add_scatter3d(
        **_axes(places),
        mode="lines+text",
        line={"color": style.LINE, "width": 2},
        text=["", *(f"{-tick:g} eV/atom" for tick in ticks[1:])],
        textposition="middle right",
        textfont={"size": 10, "color": style.LINE},
        hoverinfo="skip",
        showlegend=False,
    )


def _set_scene(figure: Figure, eye: Floats, upright: tuple[float, float], tall: float | None = None) -> None:
    """Look at the scene from an eye; the third axis is in the unit of the others unless it is `tall` of them."""
    wide = _GROUND[1] - _GROUND[0]
    zoom = _ZOOM if tall is None else _ZOOM * _ZOOM_OUT
    lengths = zoom * np.array([wide, wide, upright[1] - upright[0] if tall is None else tall])
    hidden = {"visible": False, "showspikes": False}
    figure.update_layout(
        scene={
            "xaxis": hidden | {"range": _GROUND},
            "yaxis": hidden | {"range": _GROUND},
            "zaxis": hidden | {"range": upright},
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", lengths.tolist(), strict=True)),
            "camera": {"eye": dict(zip("xyz", eye.tolist(), strict=True))},
        }
    )


def _axes(places: Floats) -> dict[str, Floats]:
    return dict(zip("xyz", places.T, strict=True))


def _add_faces(figure: Figure, places: Floats, faces: NDArray[np.intp], opacity: float) -> None:
    corners = dict(zip("ijk", faces.T, strict=True))
    figure.add_mesh3d(
        **_axes(places), **corners, color=style.STABLE, opacity=opacity, hoverinfo="skip", flatshading=True
    )


def _add_lines(figure: Figure, places: Floats, edges: Sequence[tuple[int, int]], **line: Any) -> None:
    gap = np.full((1, 3), np.nan)
    path = np.concatenate([part for i, j in edges for part in (places[[i, j]], gap)])
    figure.add_scatter3d(**_axes(path), mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _add_unstable(
    figure: Figure, points: Points, places: Floats, drawn: Sequence[tuple[int, str]], window: float | None
) -> None:
    if drawn:
        rows = [row for row, _ in drawn]
        figure.add_scatter3d(
            **_axes(places[rows]),
            mode="markers",
            marker=style.distance_marker(points.above[rows], window, points.unit, size=3),
            hovertext=[hover for _, hover in drawn],
            hoverinfo="text",
            name="above the hull",
        )


def _add_stable(
    figure: Figure, points: Points, places: Floats, drawn: Sequence[tuple[int, str]], normalised: Floats
) -> Floats:
    """Add the phases on the hull, labelled where there is room; other labels can be switched on in the legend.

    Returns
    -------
    The eye, shape (3,), from which most labels are free.
    """
    rows = [row for row, _ in sorted(drawn, key=lambda part: -np.count_nonzero(points.fractions[part[0]]))]
    hovers = dict(drawn)
    names = [points.inner_name(row) for row in rows]
    eyes = [np.array([np.sin(turn), -np.cos(turn), _EYE_HEIGHT]) * _EYE_DISTANCE for turn in _TURNS]
    views = [labels.place_seen(names, list(normalised[rows][:, None]), eye, _PIXELS) for eye in eyes]
    best = min(range(len(eyes)), key=lambda view: sum(views[view].crowded))
    left_out = [i for i, crowded in enumerate(views[best].crowded) if crowded]
    looks = {
        "textfont": {"size": style.LABEL_SIZE - 1, "color": style.INK},
        "textposition": views[best].positions,
    }
    if left_out:
        figure.add_scatter3d(
            **_axes(places[rows]),
            **looks,
            mode="text",
            text=[name if i in left_out else "" for i, name in enumerate(names)],
            hoverinfo="skip",
            visible="legendonly",
            name="more labels",
        )
    figure.add_scatter3d(
        **_axes(places[rows]),
        **looks,
        mode="markers+text",
        marker=style.stable_marker(4),
        text=["" if i in left_out else name for i, name in enumerate(names)],
        hovertext=[hovers[row] for row in rows],
        hoverinfo="text",
        name="on the hull",
    )
    return eyes[best]


def _add_corners(figure: Figure, points: Points, corners: Floats) -> None:
    away = corners + 0.08 * (corners - corners.mean(axis=0))
    figure.add_scatter3d(
        **_axes(away),
        mode="text",
        text=[f"<b>{element}</b>" for element in points.elements],
        textfont={"size": 17, "color": style.INK},
        hoverinfo="skip",
        showlegend=False,
    )
