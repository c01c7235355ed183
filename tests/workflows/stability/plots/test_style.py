from __future__ import annotations

import numpy as np
import pytest

from matscout.drawing.style import INK, LINE
from matscout.workflows.stability import plot_hull
from matscout.workflows.stability.plots import style


def luminance(colour):
    """Relative luminance of the Web Content Accessibility Guidelines 2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_the_ramp_grows_darker_towards_the_hull():
    ramp = [luminance(colour) for _, colour in style.NEAR_TO_FAR]
    assert ramp == sorted(ramp)
    assert ramp[-1] - ramp[0] > 0.5


def test_text_stands_out_from_the_page():
    assert 1.05 / (luminance(INK) + 0.05) > 7
    assert 1.05 / (luminance(LINE) + 0.05) > 4.5


def test_a_few_far_entries_do_not_press_the_hull_flat():
    energies = np.array([0.0, 0.0, -1.0, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, 30.0])
    low, high = style.energy_range(energies, energies + 1)
    assert low < -1.0
    assert 0 < high < 1
    heading = style.with_unseen({"subtitle": {"text": "x"}}, energies, high)
    assert heading["subtitle"]["text"] == "x<br>1 above the frame, up to 30.00 eV/atom"


def test_all_is_in_the_frame_where_nothing_is_far():
    energies = np.array([0.0, 0.0, -1.0, -0.9])
    low, high = style.energy_range(energies, energies + 1)
    assert low < -1 < 0 < high


@pytest.mark.parametrize("system", ["O", "Fe-O", "Li-Fe-O", "Li-Fe-P-O"])
def test_kinds_of_entries_differ_in_shape_colour_and_name(phosphates, system):
    named = {trace.name: trace.marker for trace in plot_hull(phosphates, system).data if trace.name}
    assert set(named) == {"stable", "metastable", "unstable"}
    assert len({marker.symbol for marker in named.values()}) == 3
    assert named["stable"].size > named["unstable"].size
    assert named["metastable"].colorbar.title.text == "E above hull (eV/atom), unstable beyond 0.1"


def test_title_legend_and_plot_leave_one_another_room(phosphates):
    layout = plot_hull(phosphates, "Li-Fe-O").layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "white"
    assert layout.margin.t + layout.margin.b < layout.height / 2 + 20
    assert layout.autosize
