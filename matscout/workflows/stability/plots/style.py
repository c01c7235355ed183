"""What all plots share: colours, title, legend, colour bar, margins.

Blue against orange is told apart by colour-blind readers, the orange ramp grows darker towards the hull in grey print
too, and circles, diamonds and small grey marks need no colour at all. Widths follow the page; heights are fixed, so
that title, legend and colour bar keep their places at 375 px.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing.style import BLUE, FAINT, FONT, INK, LINE, escape
from matscout.workflows.stability.open_systems import OpenHull
from matscout.workflows.stability.plots import text
from matscout.workflows.stability.plots.points import closed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.plots.points import Points

STABLE = BLUE
FAR = FAINT
NEAR_TO_FAR = [[0.0, "#7f2704"], [0.25, "#d94801"], [0.6, "#fd8d3c"], [1.0, "#fdd0a2"]]  # ColorBrewer's Oranges
HEIGHT = 660  # px
LABEL_SIZE = 12  # px
NARROWEST = 375  # px
SIDES = 12  # px of room beside a plot

SPECTRUM = (  # Tol's muted palette
    "#88CCEE",
    "#CC6677",
    "#DDCC77",
    "#117733",
    "#332288",
    "#AA4499",
    "#44AA99",
    "#999933",
    "#882255",
)

_TITLE_LINE = 46  # characters
_SMALL = 12  # px
_BUTTONS = 28  # px of Plotly's buttons, which a telephone always shows
_LEGEND = 34  # px
_COLOUR_BAR = 54  # px
_METASTABLE = 0.1  # eV/atom, as is customary: most crystals known to be metastable lie nearer to the hull
# (Sun et al., Sci. Adv. 2, e1600225 (2016), doi:10.1126/sciadv.1600225)


def title(elements: System, kind: str, facts: list[str]) -> dict[str, Any]:
    """Title with the system in its first line and small lines of facts below it."""
    small = [line for fact in facts for line in text.lines(fact.split(), " ", longest=_TITLE_LINE).split("<br>")]
    return {
        "text": f"<b>{'-'.join(elements)}</b> {kind}",
        "subtitle": {"text": "<br>".join(small), "font": {"size": _SMALL, "color": INK}},
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "top",
        "yref": "container",
        "pad": {"l": 12, "t": _BUTTONS},
        "font": {"size": 17},
    }


def energy_range(energies: NDArray[np.float64], above: NDArray[np.float64]) -> tuple[float, float]:
    """Range of the energy axis: a few entries far above do not press the hull flat."""
    low = float(energies.min())
    depth = max(-low, float(np.quantile(above, 0.9)), 0.05)
    high = min(float(energies.max()), depth / 2)
    room = 0.08 * (high - low) + 0.01
    return low - 1.5 * room, high + room


def with_unseen(heading: dict[str, Any], energies: NDArray[np.float64], high: float) -> dict[str, Any]:
    """Title that also says how many entries lie higher than the frame."""
    unseen = int((energies > high).sum())
    if not unseen:
        return heading
    small = heading["subtitle"]
    fact = f"{unseen} above the frame, up to {energies.max():.2f} eV/atom"
    return heading | {"subtitle": small | {"text": f"{small['text']}<br>{fact}"}}


def title_height(heading: dict[str, Any]) -> int:
    """Height of a title in px, with the room around it."""
    return _BUTTONS + 48 + round(1.3 * _SMALL) * str(heading["subtitle"]["text"]).count("<br>")


def facts_of(hull: Hull | OpenHull, elements: System) -> list[str]:
    """Which hull a plot shows: what it is open to, its version, protocols and correction scheme."""
    closed = closed_of(hull)
    columns = closed.columns("-".join(sorted(elements)))
    named = [escape(protocol) for protocol in sorted(set(columns.protocols))]
    protocols = f"protocol{'s' if len(named) > 1 else ''} {', '.join(named)}"
    corrections = "" if closed.scheme == "none" else f", corrections {escape(closed.scheme)}"
    potentials = hull.chemical_potentials if isinstance(hull, OpenHull) else {}
    opened = [f"open to {element} at {mu:.6g} eV/atom" for element, mu in potentials.items()]
    warm = [] if closed.temperature is None else [f"free energies at {closed.temperature:g} K"]
    return [*opened, *warm, f"hull {closed.version}", protocols + corrections]


def counted(points: Points, hidden_by: float | None) -> list[str]:
    """How many entries there are, and how many of them a window leaves."""
    listed = f"{points.total} entries, {int(points.stable.sum())} on the hull"
    if hidden_by is None or len(points) >= points.total:
        return [listed]
    return [listed, f"{len(points)} within {hidden_by:g} eV/atom shown"]


def finish(figure: Figure, heading: dict[str, Any], *, above: int = 0, axis: int = 0, sides: int = SIDES) -> None:
    """Set title, legend, colour bar and margins around a plot.

    Parameters
    ----------
    figure
        With its traces.
    heading
        Of `title`.
    above, axis, sides
        Room in px that labels take above, below and beside the frame.
    """
    coloured = [trace for trace in figure.data if "marker" in trace and trace.marker.colorbar.title.text]
    named = any(trace.name for trace in figure.data)
    legend = _LEGEND if named else 0
    top, bottom = title_height(heading) + above, axis + legend + (_COLOUR_BAR if coloured else 0)
    frame = HEIGHT - top - bottom
    figure.update_layout(
        title=heading,
        height=HEIGHT,
        autosize=True,
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"align": "left", "bgcolor": "white", "bordercolor": LINE, "font": {"size": 12, "color": INK}},
        margin={"l": sides, "r": sides, "t": top, "b": bottom},
        legend={
            "orientation": "h",
            "traceorder": "reversed",
            "itemsizing": "constant",
            "font": {"size": _SMALL},
            "x": 0.5,
            "xanchor": "center",
            "y": -axis / frame,
            "yanchor": "top",
        },
    )
    for trace in coloured:
        trace.marker.colorbar.update(
            x=0.5, xanchor="center", len=0.8, y=-(axis + legend) / frame, yanchor="top", ypad=0, xpad=0
        )


def stable_marker(size: int = 10) -> dict[str, Any]:
    """Marker of a phase on the hull."""
    return {"symbol": "circle", "size": size, "color": STABLE, "line": {"color": "white", "width": 1}}


def above_hull(
    points: Points, drawn: Sequence[tuple[int, str]], window: float | None, *, size: float, far_symbol: str = "x"
) -> list[tuple[str, list[tuple[int, str]], dict[str, Any]]]:
    """Sort what is above the hull into metastable and unstable.

    Parameters
    ----------
    drawn
        Rows and hovers of points; those on the hull are left out.
    window
        Where metastability ends, eV/atom; 0.1 where None.
    size
        Of the markers.
    far_symbol
        Of what is unstable.

    Returns
    -------
    For the traces in the order in which they are drawn: name, rows with their hovers, marker. The nearest to the hull
    come last, so that they lie in front.
    """
    limit = window or _METASTABLE
    farthest_first = sorted(
        (part for part in drawn if not points.stable[part[0]]), key=lambda part: -float(points.above[part[0]])
    )
    far = [part for part in farthest_first if points.above[part[0]] > limit]
    near = farthest_first[len(far) :]
    groups = []
    if far:
        far_marker = {"symbol": far_symbol, "size": 0.6 * size, "color": FAR, "line": {"width": 0}}
        groups.append(("unstable", far, far_marker))
    if near:
        legend = f"E above hull ({points.unit})" + (f", unstable beyond {limit:g}" if far else "")
        marker = _distance_marker(points.above[[row for row, _ in near]], limit, legend, size)
        groups.append(("metastable", near, marker))
    return groups


def _distance_marker(above: NDArray[np.float64], limit: float, legend: str, size: float) -> dict[str, Any]:
    """Marker coloured by the distance, with the title of its colour bar."""
    ticks = np.linspace(0, limit, 6)
    return {
        "symbol": "diamond",
        "size": size,
        "color": above,
        "cmin": 0,
        "cmax": limit,
        "colorscale": NEAR_TO_FAR,
        "line": {"color": LINE, "width": 0.6},
        "colorbar": {
            "orientation": "h",
            "title": {"text": legend, "side": "top", "font": {"size": _SMALL}},
            "tickvals": ticks,
            "ticktext": [f"{tick:.3g}" for tick in ticks],
            "tickfont": {"size": 11},
            "thickness": 10,
            "outlinewidth": 0,
        },
    }


def label_font() -> dict[str, Any]:
    """Font of the formulas beside points, with a white rim that keeps them readable on lines."""
    rim = ", ".join(f"{x}px {y}px 1px white" for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)
    return {"size": LABEL_SIZE, "color": INK, "shadow": rim}
