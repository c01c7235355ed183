"""Diagrams of chemical potentials: where each stable phase is in equilibrium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing.style import GRID, LINE, escape
from matscout.errors import UserError
from matscout.workflows.stability.plots import labels, style, text
from matscout.workflows.stability.plots.points import elements_of
from matscout.workflows.stability.plots.potentials import chemical_potential_domains, in_order
from matscout.workflows.stability.plots.views import View, board_of, label_annotations, on_board, picture_height

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.plots.potentials import Domain

    Floats = NDArray[np.float64]

_PLACES_ALONG = 21  # at which a line answers to the pointer
_EYE = np.array([2.4, 2.4, 1.3])
_ASIDE = np.array([0.08, -0.08, -0.05])  # brings the title of the upright axis into a narrow screen
_MARGIN = 0.02  # of the scene, relative to the range of an axis
_FLAT = 1e-6  # eV/atom: a polygon thinner than this is a line


def plot_chemical_potentials(
    hull: Hull,
    chemical_system: str | Sequence[str],
    *,
    axes: Sequence[str] | None = None,
    lower_limit: float | Mapping[str, float] | None = None,
) -> Figure:
    """Plot the chemical potentials at which the stable phases of two or three elements are in equilibrium.

    Two elements: a line for each phase; phases coexist where lines meet. Three: a face for each phase, in space. Three
    elements on two axes: the faces seen along the third, so that each phase that holds the third element is a region,
    in which its chemical potential is as high as it can be, and each phase without it is a line.

    Parameters
    ----------
    hull, chemical_system, lower_limit
        As in `chemical_potential_domains`; two or three elements.
    axes
        Two of three elements, for a flat diagram.

    Returns
    -------
    A figure of Plotly; `write_plot` writes it.

    Raises
    ------
    UserError
        Another number of elements, axes that are not two of three, or as from `chemical_potential_domains`.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["Na", "Cl2", "NaCl"], [-1.3, -1.8, -3.6])
    >>> plot_chemical_potentials(hull, "Na-Cl").layout.xaxis.title.text
    'Δμ(Na) (eV/atom)'
    """
    elements = elements_of(chemical_system)
    name = "-".join(elements)
    if len(elements) not in (2, 3):
        raise UserError(
            f"a diagram of chemical potentials shows 2 or 3 elements, and {name} has {len(elements)}: "
            f"plot a system inside it"
        )
    shown = elements if axes is None else tuple(axes)
    if axes is not None and not (
        len(elements) == 3 and len(set(shown)) == len(shown) == 2 and set(shown) < set(elements)
    ):
        raise UserError(f"the axes of a flat diagram are two of three elements, not {', '.join(shown)} of {name}")
    domains = chemical_potential_domains(hull, elements, lower_limit=lower_limit)
    formulas = _formulas(domains)
    facts = [
        f"{len(domains)} stable phases",
        *style.facts_of(hull, elements),
        "Δμ counts from each element's lowest phase",
    ]
    if len(shown) < len(elements):
        third = next(element for element in elements if element not in shown)
        facts.append(f"Δμ({third}) as high as the phases allow")
    heading = style.title(elements, "chemical potentials", facts)
    if len(shown) == 2:
        return _flat_figure(domains, formulas, shown, heading)
    return _solid_figure(domains, formulas, heading)


def _formulas(domains: Sequence[Domain]) -> list[str]:
    from matscout.workflows.stability.compositions import fraction_table
    from matscout.workflows.stability.naming import reduced_formulas

    table = fraction_table((np.array([domain.fractions for domain in domains]), domains[0].elements))
    return reduced_formulas(table, range(len(table)))


def _axis_title(element: str) -> dict[str, Any]:
    return {"text": f"Δμ({element}) (eV/atom)", "font": {"size": 13}}


def _hover(domain: Domain, formula: str) -> str:
    """Tell the phase, and the range of each chemical potential."""
    said = [f"<b>{text.subscripts(formula)}</b>  {escape(domain.entry_id)}"]
    for element, (low, high) in domain.limits.items():
        if np.isneginf(low):
            words = f"at most {high:.3f}"
        elif high - low < _FLAT:
            words = f"{high:.3f}"
        else:
            words = f"{low:.3f} to {high:.3f}"
        said.append(f"Δμ({element}) {words} eV/atom".replace("-0.000", "0.000"))
    return "<br>".join(said)


def _flat_figure(
    domains: Sequence[Domain], formulas: Sequence[str], shown: Sequence[str], heading: dict[str, Any]
) -> Figure:
    import plotly.graph_objects as go

    columns = [domains[0].elements.index(element) for element in shown]
    outlines = [_outline(domain.vertices[:, columns]) for domain in domains]
    corners = np.concatenate(outlines)
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = 0.06 * (high - low)
    start, end = low - room, high + room
    figure = go.Figure()
    for number, (domain, formula, outline) in enumerate(zip(domains, formulas, outlines, strict=True)):
        hover = _hover(domain, formula)
        colour = style.SPECTRUM[number % len(style.SPECTRUM)]
        if len(outline) > 2:
            _add_region(figure, outline, hover, colour)
        else:
            _add_line(figure, outline, hover, colour)
    _add_labels(figure, [text.subscripts(formula) for formula in formulas], outlines, start, end)
    style.finish(figure, heading, axis=58)
    figure.update_layout(margin={"l": 66, "r": 24})
    looks = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": LINE, "ticks": "outside"}
    figure.update_xaxes(looks | {"title": _axis_title(shown[0]), "range": [start[0], end[0]]})
    figure.update_yaxes(looks | {"title": _axis_title(shown[1]), "range": [start[1], end[1]]})
    return figure


def _add_labels(figure: Figure, names: Sequence[str], outlines: Sequence[Floats], start: Floats, end: Floats) -> None:
    """Write the phases into their regions and beside their lines; hover tells those for which there is no room."""
    extent = end - start
    frames = [(outline - start) / extent for outline in outlines]
    sides = np.concatenate([np.stack([frame, np.roll(frame, -1, axis=0)], axis=1) for frame in frames])
    board = labels.Board((style.NARROWEST - 90, 360), np.empty((0, 2)), sides)
    anchors = [_anchors(frame) for frame in frames]
    placed = board.place(names, anchors, inside=[len(frame) > 2 for frame in frames])
    chosen = [places[i] for places, i in zip(anchors, placed.anchors, strict=True)]
    at = np.array(chosen) * extent + start
    figure.add_scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers+text",
        marker={"size": 8, "opacity": 0},  # keeps text beside a line off it
        text=["" if crowded else name for name, crowded in zip(names, placed.crowded, strict=True)],
        textposition=placed.positions,
        textfont=style.label_font(),
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )


def _anchors(corners: Floats) -> Floats:
    """Places for the label of a polygon or line, shape (k, d): its middle, then towards its corners."""
    middle = corners.mean(axis=0)
    return np.concatenate([middle[None], *(middle + share * (corners - middle) for share in (0.3, 0.6, 0.85))])


def _outline(corners: Floats) -> Floats:
    """Outline of a domain on two axes: a polygon in its order, or the two ends of a line."""
    away = corners - corners.mean(axis=0)
    _, sizes, directions = np.linalg.svd(away, full_matrices=False)
    if len(corners) > 2 and sizes[1] > _FLAT:
        return in_order(corners)
    along = away @ directions[0]
    return corners[[along.argmin(), along.argmax()]]


def _add_region(figure: Figure, outline: Floats, hover: str, colour: str) -> None:
    closed = np.vstack([outline, outline[:1]])
    figure.add_scatter(
        x=closed[:, 0],
        y=closed[:, 1],
        mode="lines",
        line={"color": LINE, "width": 1.2},
        fill="toself",
        fillcolor=_translucent(colour),
        hoveron="fills",
        text=hover,
        hoverinfo="text",
        showlegend=False,
    )


def _add_line(figure: Figure, ends: Floats, hover: str, colour: str) -> None:
    along = np.linspace(0, 1, _PLACES_ALONG)[:, None]
    path = ends[:1] * (1 - along) + ends[1:] * along
    figure.add_scatter(
        x=path[:, 0],
        y=path[:, 1],
        mode="lines+markers",
        line={"color": colour, "width": 5},
        marker={"color": colour, "size": 5, "symbol": "circle"},
        hovertext=[hover] * len(path),
        hoverinfo="text",
        showlegend=False,
    )


def _translucent(colour: str, opacity: float = 0.45) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _solid_figure(domains: Sequence[Domain], formulas: Sequence[str], heading: dict[str, Any]) -> Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    paths = []
    for number, (domain, formula) in enumerate(zip(domains, formulas, strict=True)):
        corners = domain.vertices
        count = np.arange(1, len(corners) - 1)
        figure.add_mesh3d(
            **dict(zip("xyz", corners.T, strict=True)),
            i=np.zeros_like(count),
            j=count,
            k=count + 1,
            color=style.SPECTRUM[number % len(style.SPECTRUM)],
            opacity=0.6,
            flatshading=True,
            lighting={"ambient": 0.9, "diffuse": 0.2, "specular": 0.0},
            hovertext=[_hover(domain, formula)] * len(corners),
            hoverinfo="text",
        )
        paths += [corners, corners[:1], np.full((1, 3), np.nan)]
    figure.add_scatter3d(
        **dict(zip("xyz", np.concatenate(paths).T, strict=True)),
        mode="lines",
        line={"color": LINE, "width": 3},
        hoverinfo="skip",
        showlegend=False,
    )
    style.finish(figure, heading)
    looks = {
        "gridcolor": GRID,
        "showbackground": False,
        "showspikes": False,
        "nticks": 6,
        "tickfont": {"size": 10},
    }
    corners = np.concatenate([domain.vertices for domain in domains])
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = _MARGIN * (high - low)
    view = View(low - room, high + room, np.ones(3), _EYE, _ASIDE)
    ranges = view.ranges()
    axes = {
        name: looks | limits | {"title": _axis_title(element) | {"font": {"size": 11}}}
        for (name, limits), element in zip(ranges.items(), domains[0].elements, strict=True)
    }
    figure.update_layout(scene=view.scene() | axes | {"annotations": _face_labels(figure, domains, formulas, view)})
    return figure


def _face_labels(
    figure: Figure, domains: Sequence[Domain], formulas: Sequence[str], view: View
) -> list[dict[str, Any]]:
    """Write each phase on its face, or beside it where the face is too small."""
    names = [text.subscripts(formula) for formula in formulas]
    anchors = [_anchors(domain.vertices) for domain in domains]
    height = picture_height(figure)
    faces = [domain.vertices for domain in domains]
    edges = np.concatenate([np.stack([face, np.roll(face, -1, axis=0)], axis=1) for face in faces])
    board = board_of(view, height, np.empty((0, 3)), edges)
    return label_annotations(names, anchors, board.lead(names, on_board(view, height, anchors), inside=True))
