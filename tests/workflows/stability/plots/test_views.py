from __future__ import annotations

import numpy as np
import pytest

from matscout.workflows.stability import plot_chemical_potentials, plot_hull
from matscout.workflows.stability.plots.views import View


@pytest.fixture
def view():
    return View(np.full(3, -1.0), np.full(3, 1.0), np.full(3, 2.0), np.array([0.0, -4.0, 0.0]), np.zeros(3))


def test_the_middle_is_in_the_middle_and_up_is_up(view):
    seen = view.seen(np.array([[0, 0, 0], [0, 0, 0.5], [0.5, 0, 0]]), 400.0)
    assert seen[0] == pytest.approx([0, 0])
    assert seen[1, 0] == pytest.approx(0)
    assert seen[1, 1] > 0
    assert seen[2, 0] > 0


def test_the_edge_of_the_picture_is_where_the_angle_of_view_ends(view):
    """Seen from 4 under 45 degrees, the top of the picture is 4 tan(22.5°) above its middle."""
    top = view.seen(np.array([[0, 0, 4 * np.tan(np.radians(22.5))]]), 400.0)
    assert top[0] == pytest.approx([0, 200])


def test_what_is_nearer_is_larger(view):
    near, far = view.seen(np.array([[0.5, -1, 0], [0.5, 1, 0]]), 400.0)
    assert near[0] / far[0] == pytest.approx(5 / 3)


def test_labels_of_a_quaternary_stay_on_a_telephone_and_name_stable_phases(phosphates):
    figure = plot_hull(phosphates, "Li-Fe-P-O")
    written = [label for label in figure.layout.scene.annotations if "<b>" not in label.text]
    corners = [label.text for label in figure.layout.scene.annotations if "<b>" in label.text]
    assert corners == ["<b>Li</b>", "<b>Fe</b>", "<b>P</b>", "<b>O</b>"]
    assert len(written) > 30  # of the 36 that no corner names
    assert max(np.hypot(label.ax, label.ay) for label in written) < 110


def test_the_camera_is_the_one_that_labels_were_placed_for(oxides):
    scene = plot_chemical_potentials(oxides, "Li-Fe-O").layout.scene
    assert scene.aspectmode == "manual"
    assert all(scene[f"{axis}axis"].range is not None for axis in "xyz")
