"""Colours, titles and axes of plots, and text in them.

Blue against orange is told apart by colour-blind readers, and the orange ramp also in grey print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

INK = "#222222"
BLUE = "#0072B2"  # of Okabe and Ito's palette
ORANGE = "#D55E00"  # likewise
LINE = "#5b6770"
GRID = "#e3e6e8"
FAINT = "#9aa5ad"
BAND = "rgba(91,103,112,0.18)"
LOW_TO_HIGH = [[0.0, "#fff5eb"], [0.35, "#fdd0a2"], [0.65, "#fd8d3c"], [0.85, "#d94801"], [1.0, "#7f2704"]]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"

_HEIGHT = 560  # px
_LONGEST = 48  # characters: a longer name would be cut off on a telephone


def escape(words: object) -> str:
    """Return text that Plotly draws as it stands: one line, no tags, no entities, shortened where very long.

    Examples
    --------
    >>> escape("<b>E</b> & co")
    '&lt;b&gt;E&lt;/b&gt; &amp; co'
    """
    plain = "".join(letter if letter.isprintable() else " " for letter in str(words))
    if len(plain) > _LONGEST:
        plain = plain[: _LONGEST - 1] + "…"
    # Not html.escape: Plotly knows no &quot;
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def with_unit(words: str, unit: str) -> str:
    """Return an axis title with its unit.

    Examples
    --------
    >>> with_unit("MAE", "eV/atom")
    'MAE (eV/atom)'
    """
    return f"{words} ({escape(unit)})" if unit else words


def number(value: float | None) -> str:
    """Return a score as a reader wants it: three digits.

    Examples
    --------
    >>> number(0.07349), number(None)
    ('0.0735', 'unknown')
    """
    return "unknown" if value is None else f"{value:.3g}"


def finished(figure: Figure, heading: str, facts: Sequence[str], x: str = "", y: str = "") -> Figure:
    """Give a figure its title, with a small line of facts, the titles of its axes, and its looks."""
    figure.update_layout(
        title={
            "text": f"<b>{escape(heading)}</b>",
            "subtitle": {"text": "<br>".join(facts), "font": {"size": 12, "color": INK}},
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "yref": "container",
            "pad": {"l": 12, "t": 28},
            "font": {"size": 17},
        },
        height=_HEIGHT,
        autosize=True,
        template="none",
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
        hoverlabel={"align": "left", "bgcolor": "white", "bordercolor": LINE, "font": {"size": 12, "color": INK}},
        margin={"l": 70, "r": 24, "t": 82 + 16 * len(facts), "b": 96},
        legend={"orientation": "h", "font": {"size": 12}, "x": 0.5, "xanchor": "center", "y": -0.17, "yanchor": "top"},
    )
    looks: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": LINE}
    figure.update_xaxes(looks | {"ticks": "outside", "title": {"text": x, "font": {"size": 13}}})
    figure.update_yaxes(looks | {"ticks": "outside", "title": {"text": y, "font": {"size": 13}}})
    return figure


def line(
    x: Sequence[float], y: Sequence[float], name: str, *, colour: str = LINE, dash: str = "solid"
) -> dict[str, Any]:
    """Return a line for `Figure.add_scatter`."""
    return {
        "x": list(x),
        "y": list(y),
        "name": name,
        "mode": "lines",
        "line": {"color": colour, "width": 2, "dash": dash},
    }


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float], name: str) -> dict[str, Any]:
    """Return a band between two lines for `Figure.add_scatter`."""
    return {
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "name": name,
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": BAND,
        "hoverinfo": "skip",
    }
