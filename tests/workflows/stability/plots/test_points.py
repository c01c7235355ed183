from __future__ import annotations

import re

import numpy as np
import pytest

from matscout.workflows.stability import Hull
from matscout.workflows.stability.plots.points import elements_of, points_of

HOSTILE = '<img src=x onerror=alert(1)>&"'


def hover_of(points, entry_id):
    return points.hover(points.row_of[entry_id])


def test_hover_tells_formula_id_distance_and_decomposition(oxides):
    points = points_of(oxides, elements_of("Li-Fe-O"))
    assert hover_of(points, "e-Fe3O4") == (
        "<b>Fe<sub>3</sub>O<sub>4</sub></b>  e-Fe3O4<br>E above hull 0.0186 eV/atom<br>"
        "formation energy -1.6100 eV/atom<br>"
        "decomposes:<br>Fe<sub>3</sub>O<sub>4</sub> → Fe<sub>2</sub>O<sub>3</sub> + FeO"
    )
    assert hover_of(points, "e-LiFeO2") == (
        "<b>LiFeO<sub>2</sub></b>  e-LiFeO2<br>on the hull<br>formation energy -1.9450 eV/atom"
    )


def test_a_polymorph_names_the_stable_one(oxides):
    points = points_of(oxides, elements_of("Fe-O"))
    assert hover_of(points, "e-other").endswith("stable as e-Fe2O3")


def test_a_point_of_a_composition_tells_its_polymorphs_too():
    names = [f"p{i}" for i in range(7)]
    hull = Hull(["Fe2O3"] * 7, [-1.6 + i / 10 for i in range(7)], names, formation_energies=True)
    points = points_of(hull, elements_of("Fe-O"))
    hovers = dict(points.by_composition())
    assert len(hovers) == 3
    told = hovers[points.row_of["p0"]]
    assert told.endswith("higher here (eV/atom above):<br>p1 0.100, p2 0.200, p3 0.300, p4 0.400,<br>2 more")


def test_what_an_entry_brings_stays_text():
    hull = Hull(["Na", "Cl2", "NaCl", "NaCl"], [0, 0, -2, -1.9], ["a", "b", HOSTILE, "c"], formation_energies=True)
    points = points_of(hull, elements_of("Na-Cl"))
    hovers = [points.hover(row) for row in range(4)] + [hover for _, hover in points.by_composition()]
    assert any("&lt;img src=x onerror=alert(1)&gt;&amp;" in hover for hover in hovers)
    for hover in hovers:
        assert set(re.findall(r"<[^>]*>", hover)) <= {"<b>", "</b>", "<br>", "<sub>", "</sub>"}


def test_fractions_follow_the_order_that_was_asked_for(oxides):
    one, other = (points_of(oxides, elements_of(system)) for system in ("Li-Fe-O", "O-Li-Fe"))
    row, same = one.row_of["e-Li5FeO4"], other.row_of["e-Li5FeO4"]
    assert one.fractions[row].tolist() == pytest.approx([0.5, 0.1, 0.4])
    assert other.fractions[same].tolist() == pytest.approx([0.4, 0.5, 0.1])


def test_a_window_keeps_the_near_ones_and_the_count_of_all(oxides):
    points = points_of(oxides, elements_of("Li-Fe-O"), 0.02)
    assert points.total == 12
    assert "e-Fe3O4" in points.ids
    assert "e-other" not in points.ids
    assert points.above.max() <= 0.02
    assert np.all(np.diff(points.above) >= 0)


def test_a_window_of_nothing_keeps_the_stable_phases(oxides):
    assert points_of(oxides, elements_of("Li-Fe-O"), 0.0).stable.all()


def test_a_corner_does_not_name_its_element_twice(oxides):
    points = points_of(oxides, elements_of("Fe-O"))
    assert points.name(points.row_of["e-O2"]) == "O<sub>2</sub>"
    assert points.inner_name(points.row_of["e-O2"]) == ""
    assert points.inner_name(points.row_of["e-FeO"]) == "FeO"
