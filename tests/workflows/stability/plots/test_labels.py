from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.workflows.stability.plots import labels

SIZE = (300.0, 300.0)
NO_POINTS, NO_LINES = np.empty((0, 2)), np.empty((0, 2, 2))
places = st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)), min_size=1, max_size=12)


def boxes_of(names, anchors, led):
    """Independent of the module: boxes around the middles of labels, 7.4 px a character and 16 px high."""
    middles = np.array([places[k] for places, k in zip(anchors, led.anchors, strict=True)]) * SIZE + led.offsets
    half = np.array([[7.4 * len(name) / 2, 8.0] for name in names])
    return np.hstack([middles - half, middles + half])


@given(places)
def test_labels_that_are_written_do_not_cover_one_another(at):
    names = [f"Li{i}" for i in range(len(at))]
    anchors = [np.array([place]) for place in at]
    led = labels.Board(SIZE, np.array(at), NO_LINES).lead(names, anchors)
    written = [i for i, crowded in enumerate(led.crowded) if not crowded]
    boxes = boxes_of(names, anchors, led)[written]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            shared = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
            assert shared <= 0.5 * 7.4 * 16 + 1e-6


def test_a_label_of_a_lone_point_stands_beneath_it():
    placed = labels.place(["FeO"], np.array([[0.5, 0.5]]), SIZE, np.array([[0.5, 0.5]]), NO_LINES)
    assert placed == (["bottom center"], [0], [False])


def test_a_label_leaves_a_line_free():
    line = np.array([[[0.0, 0.45], [1.0, 0.45]]])
    placed = labels.place(["FeO"], np.array([[0.5, 0.5]]), SIZE, np.array([[0.5, 0.5]]), line)
    assert "top" in placed.positions[0] or "middle" in placed.positions[0]


@pytest.mark.parametrize(("right", "expected"), [(0.0, "left"), (60.0, "center")])
def test_a_label_goes_beyond_the_frame_only_where_there_is_room(right, expected):
    placed = labels.place(["Li2FeO3"], np.array([[0.99, 0.5]]), SIZE, NO_POINTS, NO_LINES, right=right)
    assert expected in placed.positions[0]


def test_a_label_on_its_own_place_has_no_line():
    led = labels.Board(SIZE, NO_POINTS, NO_LINES).lead(["FeO"], [np.array([[0.5, 0.5]])], inside=True)
    assert led.offsets.tolist() == [[0, 0]]


def test_what_is_reserved_stays_free():
    board = labels.Board(SIZE, NO_POINTS, NO_LINES)
    board.reserve("Li", np.array([0.5, 0.5]), 24.0)
    led = board.lead(["FeO"], [np.array([[0.5, 0.5]])], inside=True)
    assert led.offsets.any()


def test_too_many_at_one_place_are_left_to_hover():
    board = labels.Board((60.0, 40.0), NO_POINTS, NO_LINES)
    led = board.lead(["LiFePO4"] * 40, [np.array([[0.5, 0.5]])] * 40)
    assert any(led.crowded)
    assert not led.crowded[0]
