"""Where labels go, so that they cover neither one another nor the points and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.workflows.stability.plots import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FONT = 12.0  # px, of the labels
_CHARACTER = 7.4  # px
_LINE_HEIGHT = 16.0  # px
_GAP = 8.0  # px between a point and its label
_ALONG_LINE = 24  # places at which a line is taken into account
_CROWDED = 0.5  # characters of another label that may be covered
_TOO_BAD = 8.0  # cost beyond which no label is better than one that hides others' lines, or whose own runs across them
_LEADS = np.array([8.0, 16.0, 28.0, 44.0, 64.0])  # px from a point to the label at the end of a line
_ALONG_LEAD = 8  # places at which such a line must not cross labels
_DIRECTIONS = np.array([[np.cos(turn), np.sin(turn)] for turn in np.arange(16) * np.pi / 8])

_CENTRE = "middle center"
# What each position does to the middle of a label: in its widths, heights and gaps to the right and upwards.
# A hull leaves most room below.
_POSITIONS = {
    "bottom center": (0.0, -0.5, 0.0, -1.0),
    "bottom right": (0.5, -0.5, 0.4, -0.4),
    "bottom left": (-0.5, -0.5, -0.4, -0.4),
    "middle right": (0.5, 0.0, 1.0, 0.0),
    "middle left": (-0.5, 0.0, -1.0, 0.0),
    "top center": (0.0, 0.5, 0.0, 1.0),
    "top right": (0.5, 0.5, 0.4, 0.4),
    "top left": (-0.5, 0.5, -0.4, 0.4),
}


class Placed(NamedTuple):
    """For m labels: text positions of Plotly, which of its anchors each took, which still lie on another label."""

    positions: list[str]
    anchors: list[int]
    crowded: list[bool]


class Led(NamedTuple):
    """Places of m labels with a line to what they name.

    Attributes
    ----------
    anchors
        Which of its anchors each took.
    offsets
        How far right of it and up the middle of the label is, in px, shape (m, 2).
    crowded
        Which find no good place.
    cost
        How bad all places together are.
    """

    anchors: list[int]
    offsets: Floats
    crowded: list[bool]
    cost: float


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
    right
        Room in px that a label may take beyond the right side of the frame.
    """

    def __init__(self, size: tuple[float, float], points: Floats, segments: Floats, *, right: float = 0.0) -> None:
        self._frame = np.asarray(size)
        self._right = right
        steps = np.linspace(0, 1, _ALONG_LINE)[:, None]
        along = segments[:, None, 0] * (1 - steps) + segments[:, None, 1] * steps
        self._on_lines = along.reshape(-1, 2) * self._frame
        self._points = points * self._frame
        self._on_leads = np.empty((0, 2))
        self._taken = np.empty((0, 4))

    def reserve(self, name: str, anchor: Floats, size: float) -> None:
        """Keep free what a text of a font size in px takes, centred at a fraction of the frame, shape (2,)."""
        extent = np.array([text.width(name) * _CHARACTER, _LINE_HEIGHT]) * size / _FONT
        self._taken = np.vstack([self._taken, _box(anchor * self._frame, extent, _CENTRE)])

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
            cost = 6 * shared + 2 * _inside(boxes, self._points) + _inside(boxes, self._on_lines) / 3
            cost += self._outside(boxes)
            best = int(np.argmin(cost + np.arange(len(boxes)) / 100))
            crowded = bool(name) and bool(shared[best] > _CROWDED)
            placed.anchors.append(options[best][0])
            placed.positions.append(options[best][1])
            placed.crowded.append(crowded)
            if name and not crowded:
                self._taken = np.vstack([self._taken, boxes[best]])
        return placed

    def lead(self, names: Sequence[str], anchors: Sequence[Floats], *, inside: bool = False) -> Led:
        """Choose a place for each label at the end of a line, or, where `inside`, on its anchor if that is free.

        Parameters are those of `place`.
        """
        led = Led([], np.zeros((len(names), 2)), [], 0.0)
        total = 0.0
        for i, (name, places) in enumerate(zip(names, anchors, strict=True)):
            extent = np.array([text.width(name) * _CHARACTER, _LINE_HEIGHT])
            around = _DIRECTIONS[None] * (_LEADS[:, None, None] + extent / 2)
            moves = around.reshape(-1, 2)
            chosen = np.zeros(len(moves), dtype=np.intp)
            if inside:
                moves = np.concatenate([np.zeros((len(places), 2)), moves])
                chosen = np.concatenate([np.arange(len(places)), chosen])
            starts = places[chosen] * self._frame
            middles = starts + moves
            boxes = np.column_stack([middles - extent / 2, middles + extent / 2])
            shared = _overlap(boxes, self._taken)
            on_lines = _inside(boxes, self._on_lines) * np.where(moves.any(axis=1), 1 / 8, 1 / 24)
            cost = 6 * shared + _inside(boxes, self._points) / 2 + on_lines + _inside(boxes, self._on_leads)
            cost += self._outside(boxes) + np.linalg.norm(moves, axis=1) / 20 + 2 * self._crossed(starts, middles)
            best = int(np.argmin(cost))
            crowded = bool(name) and bool(shared[best] > _CROWDED or cost[best] > _TOO_BAD)
            led.anchors.append(int(chosen[best]))
            led.offsets[i] = moves[best]
            led.crowded.append(crowded)
            if name:
                total += 3 * _TOO_BAD if crowded else float(cost[best])
            if name and not crowded:
                self._taken = np.vstack([self._taken, boxes[best]])
                if moves[best].any():
                    self._on_leads = np.vstack([self._on_leads, _lead(starts[best], middles[best])])
        return led._replace(cost=total)

    def _outside(self, boxes: Floats) -> Floats:
        """Measure how far boxes reach out of the frame, in px."""
        end = self._frame + np.array([self._right, 0.0])
        beyond = np.maximum(0, -boxes[:, :2]) + np.maximum(0, boxes[:, 2:] - end)
        return np.asarray(beyond.sum(axis=1))

    def _crossed(self, starts: Floats, ends: Floats) -> Floats:
        """Count places at which lines from starts to ends, both of shape (n, 2), run over labels."""
        if not len(self._taken):
            return np.zeros(len(starts))
        along = starts[:, None] + (ends - starts)[:, None] * np.linspace(0, 1, _ALONG_LEAD)[:, None]
        low, high = self._taken[:, :2], self._taken[:, 2:]
        within = ((along[:, :, None] > low) & (along[:, :, None] < high)).all(axis=3)
        return np.asarray(np.any(within, axis=2).sum(axis=1), dtype=np.float64)


def place(
    names: Sequence[str],
    anchors: Floats,
    size: tuple[float, float],
    points: Floats,
    segments: Floats,
    *,
    right: float = 0.0,
) -> Placed:
    """Choose a text position for each of m labels beside points of shape (m, 2); the rest as for `Board`."""
    return Board(size, points, segments, right=right).place(names, list(anchors[:, None]))


def _lead(start: Floats, end: Floats) -> Floats:
    """Points of a line to a label that no other label should hide."""
    return start + (end - start) * np.linspace(0.1, 0.7, _ALONG_LEAD)[:, None]


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
    return np.asarray(within.all(axis=2).sum(axis=1), dtype=np.float64)
