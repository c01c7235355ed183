from __future__ import annotations

import numpy as np

from matscout.workflows.stability import Hull
from matscout.workflows.stability.plots.edges import edges_of, tie_lines, triangles
from matscout.workflows.stability.plots.points import elements_of, points_of

CUBE_LIKE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) / 4


def test_a_square_of_four_phases_has_no_diagonals():
    corners = np.array([[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.25, 0.5]])
    fractions = np.column_stack([1 - corners.sum(axis=1), corners])
    assert {frozenset(edge) for edge in edges_of(fractions)} == {
        frozenset(pair) for pair in [(0, 1), (1, 2), (2, 3), (3, 0)]
    }


def test_a_box_of_eight_phases_has_twelve_edges():
    fractions = np.column_stack([1 - CUBE_LIKE.sum(axis=1), CUBE_LIKE])
    edges = edges_of(fractions)
    lengths = [np.abs(CUBE_LIKE[i] - CUBE_LIKE[j]).sum() for i, j in edges]
    assert len(edges) == 12
    assert set(lengths) == {0.25}


def test_four_phases_in_one_plane_are_joined_around_and_cut_into_two_triangles():
    names = ["A4", "A2C2", "B2C2", "A2B2"]  # a parallelogram at one energy below the elements
    symbols = {"A": "Li", "B": "Fe", "C": "O"}
    formulas = ["".join(symbols.get(c, c) for c in name) for name in names[1:]]
    hull = Hull(["Li2FeO", "LiFe2O", "LiFeO2", *formulas], [-1.0] * 3 + [-1.0] * 3, formation_energies=True)
    points = points_of(hull, elements_of("Li-Fe-O"))
    lines = tie_lines(hull, points)
    assert len(lines) == len(set(lines))
    areas = points.fractions[triangles(hull, points)]
    total = np.abs(np.linalg.det(areas)).sum()
    assert total == 1.0 or abs(total - 1) < 1e-12  # the triangles cover the triangle of compositions once


def test_the_sides_of_a_ternary_are_drawn_too(oxides):
    points = points_of(oxides, elements_of("Li-Fe-O"))
    pairs = {frozenset((points.ids[i], points.ids[j])) for i, j in tie_lines(oxides, points)}
    assert frozenset(("e-Li", "e-Fe")) in pairs
    assert frozenset(("e-FeO", "e-Fe2O3")) in pairs
    assert frozenset(("e-Fe", "e-Fe2O3")) not in pairs
