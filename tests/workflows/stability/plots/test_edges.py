from __future__ import annotations

import numpy as np

from matscout.workflows.stability import Hull
from matscout.workflows.stability.plots.edges import edges_of, tie_lines
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


def test_where_four_phases_coexist_their_diagonals_are_no_tie_lines():
    """Li4O2, Li2Fe2O2, LiFe2O3 and Li3O3 at energies in one plane are the corners of a parallelogram."""
    fractions = np.array([[4, 0, 2], [2, 2, 2], [1, 2, 3], [3, 0, 3]], dtype=float) / 6
    energies = -0.1 - fractions[:, 2]
    hull = Hull((fractions, ("Li", "Fe", "O")), energies, list("abcd"), formation_energies=True)
    points = points_of(hull, elements_of("Li-Fe-O"))
    pairs = {frozenset((points.ids[i], points.ids[j])) for i, j in tie_lines(hull, points)}
    assert {frozenset(pair) for pair in ("ab", "bc", "cd", "da")} <= pairs
    assert not {frozenset("ac"), frozenset("bd")} & pairs


def test_the_sides_of_a_ternary_are_drawn_too(oxides):
    points = points_of(oxides, elements_of("Li-Fe-O"))
    pairs = {frozenset((points.ids[i], points.ids[j])) for i, j in tie_lines(oxides, points)}
    assert frozenset(("e-Li", "e-Fe")) in pairs
    assert frozenset(("e-FeO", "e-Fe2O3")) in pairs
    assert frozenset(("e-Fe", "e-Fe2O3")) not in pairs
