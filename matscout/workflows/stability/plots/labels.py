"""Where labels go, so that they cover neither one another nor the points and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.workflows.stability.plots import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_CHARACTER = 7.4  # px, at the size of the labels
_LINE_HEIGHT = 16.0  # px
_GAP = 8.0  # px between a point and its label
_ALONG_LINE = 24  # places at which a line is taken into account
_CROWDED = 0.5  # characters of another label that may be covered

_CENTRE = "middle center"
# What each position does to the middle of a label: in its widths, heights and gaps to the right and upwards.
_POSITIONS = {
    "bottom center": (0.0, -0.5, 0.0, -1.0),
    "top center": (0.0, 0.5, 0.0, 1.0),
    "middle right": (0.5, 0.0, 1.0, 0.0),
    "middle left": (-0.5, 0.0, -1.0, 0.0),
    "bottom right": (0.5, -0.5, 0.4, -0.4),
    "bottom left": (-0.5, -0.5, -0.4, -0.4),
    "top right": (0.5, 0.5, 0.4, 0.4),
    "top left": (-0.5, 0.5, -0.4, 0.4),
}


class Placed(NamedTuple):
    """For m labels: text positions of Plotly, which of its anchors each took, which still lie on another label."""

    positions: list[str]
    anchors: list[int]
    crowded: list[bool]


class Board:
    """A frame on which labels are placed, one after the other.

    Parameters
    ----------
    size
        Width and height of the frame in px: that of the narrowest screen to be served.
    points
        All points drawn, as fractions of the frame, shape (n, 2).
    segments
        Ends of the lines drawn, as fractions of the frame, shape (s, 2, 2).
    """

    def __init__(self, size: tuple[float, float], points: Floats, segments: Floats) -> None:
        self._frame = np.asarray(size)
        steps = np.linspace(0, 1, _ALONG_LINE)[:, None]
        along = segments[:, None, 0] * (1 - steps) + segments[:, None, 1] * steps
        self._on_lines = along.reshape(-1, 2) * self._frame
        self._points = points * self._frame
        self._taken = np.empty((0, 4))

    def place(self, names: Sequence[str], anchors: Sequence[Floats], *, inside: Sequence[bool] = ()) -> Placed:
        """Choose a place for each label.

        Parameters
        ----------
        names
            m texts; an empty one takes no room.
        anchors
            Where each may stand, the best first, as fractions of the frame: m arrays of shape (k, 2).
        inside
            Labels that stand on their anchor instead of beside it; none where left out.
        """
        placed = Placed([], [], [])
        for i, (name, places) in enumerate(zip(names, anchors, strict=True)):
            positions = [_CENTRE] if inside and inside[i] else list(_POSITIONS)
            options = [(anchor, position) for anchor in range(len(places)) for position in positions]
            extent = np.array([text.width(name) * _CHARACTER, _LINE_HEIGHT])
            boxes = np.array([_box(places[a] * self._frame, extent, position) for a, position in options])
            shared = _overlap(boxes, self._taken)
            outside = np.maximum(0, -boxes[:, :2]).sum(axis=1) + np.maximum(0, boxes[:, 2:] - self._frame).sum(axis=1)
            cost = 6 * shared + 2 * _inside(boxes, self._points) + _inside(boxes, self._on_lines) / 3 + outside
            best = int(np.argmin(cost + np.arange(len(boxes)) / 100))
            crowded = bool(name) and bool(shared[best] > _CROWDED)
            placed.anchors.append(options[best][0])
            placed.positions.append(options[best][1])
            placed.crowded.append(crowded)
            if name and not crowded:
                self._taken = np.vstack([self._taken, boxes[best]])
        return placed


def place(names: Sequence[str], anchors: Floats, size: tuple[float, float], points: Floats, segments: Floats) -> Placed:
    """Choose a text position for each of m labels beside points of shape (m, 2); the rest as for `Board`."""
    return Board(size, points, segments).place(names, list(anchors[:, None]))


def place_seen(
    names: Sequence[str], anchors: Sequence[Floats], eye: Floats, pixels: float, *, inside: bool = False
) -> Placed:
    """Choose a place for each of m labels in space, as seen from an eye, shape (3,), with the third axis up.

    Parameters
    ----------
    names, anchors
        As for `Board.place`, but with anchors of shape (k, 3).
    pixels
        Length in px of one unit of the anchors on the screen.
    inside
        All labels stand on their anchors.
    """
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    screen = [places @ np.column_stack([right, np.cross(right, forward)]) for places in anchors]
    low = np.concatenate(screen).min(axis=0)
    size = np.ptp(np.concatenate(screen), axis=0) + 1e-9
    wide, high = (size * pixels).tolist()
    frames = [(places - low) / size for places in screen]
    points = np.empty((0, 2)) if inside else np.concatenate(frames)
    board = Board((wide, high), points, np.empty((0, 2, 2)))
    return board.place(names, frames, inside=[inside] * len(names))


def _box(anchor: Floats, extent: Floats, position: str) -> Floats:
    """Left, bottom, right and top of a label in px, shape (4,)."""
    move = np.array(_POSITIONS.get(position, (0.0, 0.0, 0.0, 0.0)))
    middle = anchor + extent * move[:2] + _GAP * move[2:]
    return np.concatenate([middle - extent / 2, middle + extent / 2])


def _overlap(boxes: Floats, taken: Floats) -> Floats:
    """Area that each box shares with boxes already there, in characters."""
    low = np.maximum(boxes[:, None, :2], taken[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], taken[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return np.asarray(shared / (_CHARACTER * _LINE_HEIGHT))


def _inside(boxes: Floats, places: Floats) -> Floats:
    """Count the places that each box covers."""
    within = (places[None] > boxes[:, None, :2]) & (places[None] < boxes[:, None, 2:])
    return np.asarray(within.all(axis=2).sum(axis=1), dtype=float)
