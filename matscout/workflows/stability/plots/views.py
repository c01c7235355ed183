"""How a scene in space is seen on the screen, so that labels can be placed there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing.style import INK, LINE
from matscout.workflows.stability.plots import labels, style, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Floats = NDArray[np.float64]

_HALF_ANGLE = np.pi / 8  # of Plotly's perspective, upwards


@dataclass(frozen=True, eq=False)
class View:
    """A scene of Plotly and the eye that looks at it.

    Attributes
    ----------
    low, high
        Ranges of the three axes, shape (3,).
    lengths
        Lengths of the three axes in Plotly's unit of the scene, shape (3,).
    eye, centre
        Where the eye is, and what is in the middle of the picture, from the middle of the scene, shape (3,).
    """

    low: Floats
    high: Floats
    lengths: Floats
    eye: Floats
    centre: Floats

    def seen(self, places: Floats, height: float) -> Floats:
        """Where places of shape (n, 3) are in a picture so many px high: right of its middle and up, shape (n, 2)."""
        forward = self.centre - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        middle = (self.low + self.high) / 2
        away = (places - middle) / (self.high - self.low) * self.lengths - self.eye
        upwards = np.cross(right, forward)
        scale = height / 2 / np.tan(_HALF_ANGLE)
        return np.asarray(away @ np.column_stack([right, upwards]) * scale / (away @ forward)[:, None])

    def scene(self) -> dict[str, Any]:
        """Return the layout of the scene, without its axes' looks."""
        return {
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", self.lengths.tolist(), strict=True)),
            "camera": {
                "eye": dict(zip("xyz", self.eye.tolist(), strict=True)),
                "center": dict(zip("xyz", self.centre.tolist(), strict=True)),
            },
        }

    def ranges(self) -> dict[str, dict[str, Any]]:
        """Return the axes with their ranges."""
        limits = zip("xyz", self.low.tolist(), self.high.tolist(), strict=True)
        return {f"{axis}axis": {"range": [low, high]} for axis, low, high in limits}


def board_of(view: View, height: float, points: Floats, segments: Floats) -> labels.Board:
    """Board in front of a scene: points of shape (n, 3) and lines of shape (s, 2, 3) in it are to be left free."""
    size = np.array([style.NARROWEST - 2 * style.SIDES, height])
    ends = view.seen(segments.reshape(-1, 3), height).reshape(-1, 2, 2)
    return labels.Board((size[0], size[1]), view.seen(points, height) / size + 0.5, ends / size + 0.5)


def on_board(view: View, height: float, anchors: Sequence[Floats]) -> list[Floats]:
    """Anchors of labels, arrays of shape (k, 3), as fractions of the board, shape (k, 2)."""
    size = np.array([style.NARROWEST - 2 * style.SIDES, height])
    return [view.seen(places, height) / size + 0.5 for places in anchors]


def picture_height(figure: Figure) -> float:
    """Height of a finished figure's scene in px."""
    margin = figure.layout.margin
    return float(figure.layout.height - margin.t - margin.b)


def label_annotations(names: Sequence[str], anchors: Sequence[Floats], led: labels.Led) -> list[dict[str, Any]]:
    """Return labels that stay in front of the scene, each with a line to its place; hover tells those left out."""
    found = []
    for name, places, anchor, (right, up), crowded in zip(
        names, anchors, led.anchors, led.offsets.tolist(), led.crowded, strict=True
    ):
        if crowded or not name:
            continue
        x, y, z = places[anchor].tolist()
        found.append(
            {
                "x": x,
                "y": y,
                "z": z,
                "text": name,
                "ax": right,
                "ay": -up,
                "showarrow": bool(right or up),
                "arrowhead": 0,
                "arrowwidth": 0.8,
                "arrowcolor": LINE,
                "standoff": 4,
                "xanchor": "center",
                "yanchor": "middle",
                "borderpad": 0,
                "bgcolor": "rgba(255,255,255,0.75)" if right or up else "rgba(0,0,0,0)",
                "font": {"size": style.LABEL_SIZE - 1, "color": INK},
                "captureevents": False,
            }
        )
    return found


def longest(names: Sequence[str]) -> list[int]:
    """Order in which labels are placed: the long ones, which fit in few places, first."""
    return sorted(range(len(names)), key=lambda i: -text.width(names[i]))
