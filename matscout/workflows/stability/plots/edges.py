"""Which phases of a hull are joined by a line: those along an edge of a facet."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.plots.points import Points

_SAME_DIRECTION = 1e-9


def tie_lines(hull: Hull, points: Points) -> list[tuple[int, int]]:
    """Rows of the two ends of each edge of the hull's facets, every edge once."""
    found = set()
    for facet in hull.facets("-".join(sorted(points.elements))):
        rows = [points.row_of[phase] for phase in facet.phases if phase in points.row_of]
        edges = list(combinations(range(len(rows)), 2))
        if len(rows) > len(points.elements):
            edges = edges_of(points.fractions[rows])
        found |= {(min(rows[i], rows[j]), max(rows[i], rows[j])) for i, j in edges}
    return sorted(found)


def edges_of(fractions: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Edges of the polygon or polyhedron that more than d compositions of shape (n, d) span.

    Where more phases coexist than a simplex has corners, its diagonals are no tie lines.
    """
    from scipy.spatial import ConvexHull

    body = ConvexHull(fractions[:, 1:])
    if fractions.shape[1] == 3:
        return [(int(i), int(j)) for i, j in body.simplices]
    normals: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
    for simplex, equation in zip(body.simplices, body.equations, strict=True):
        for i, j in combinations(sorted(simplex.tolist()), 2):
            normals.setdefault((i, j), []).append(equation[:-1])
    return [edge for edge, sides in normals.items() if np.ptp(sides, axis=0).max() > _SAME_DIRECTION]
