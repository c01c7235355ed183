"""The facets of one chemical system's hull.

In composition space the lower hull is the largest of its facets' planes, so once the planes are known a query is one
matrix product. A plane below all points bounds the hull from below whether or not Qhull found every facet; that the
facets cover the whole simplex of compositions makes the bound the hull. Where they do not, for degenerate points or for
many elements, there are no facets, and `programs` answers instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matscout.workflows.stability.programs import Phases

Floats = NDArray[np.float64]

MOST_ELEMENTS = 5
"""Elements of a system up to which facets are looked for: their number grows with a power of the points."""

_VERTICAL = 1e-10  # a normal with less of the energy axis is a side of the hull, not its bottom
_PLANE_NOISE = 1e-10  # eV/atom by which Qhull may put a plane above a point
_UNCOVERED = 1e-9  # share of composition space that facets may leave open
_HEIGHTS_AT_ONCE = 200_000  # rows times planes of one matrix product, 1.6 MB: it stays in the cache


@dataclass(frozen=True, eq=False)
class LowerHull:
    """The facets of the lower convex hull.

    Attributes
    ----------
    planes
        Chemical potentials of the elements in eV on each facet, relative to the elements, shape (f, d).
    simplices
        Phases at the corners of each facet, shape (f, d).
    """

    planes: Floats
    simplices: NDArray[np.intp]

    def energy(self, fractions: Floats) -> Floats:
        """Energy of the hull in eV/atom at atomic fractions of shape (n, d)."""
        if len(self.planes) == 1:
            return np.asarray(fractions @ self.planes[0])
        step = max(1, _HEIGHTS_AT_ONCE // len(self.planes))
        parts = [(fractions[i : i + step] @ self.planes.T).max(axis=1) for i in range(0, len(fractions), step)]
        return np.concatenate(parts) if parts else np.empty(0)


def lower_hull(phases: Phases) -> LowerHull | None:
    """Find the facets of the lower convex hull; None where the phases have none that cover all compositions.

    Parameters
    ----------
    phases
        Phases with negative formation energies, behind their d elements at energy 0.
    """
    fractions, energies = phases.fractions, phases.energies
    n_points, n_elements = fractions.shape
    if n_points == n_elements:
        return LowerHull(np.zeros((1, n_elements)), np.arange(n_elements)[None])
    if n_elements > MOST_ELEMENTS:
        return None
    from scipy.spatial import ConvexHull, QhullError

    # A roof over the middle makes the points span the space even where all lie on one plane.
    roof = np.append(np.full(n_elements - 1, 1 / n_elements), 1.0)
    try:
        solid = ConvexHull(np.vstack([np.column_stack([fractions[:, 1:], energies]), roof]))
    except QhullError:  # nearly coinciding compositions
        return None
    bottom = (solid.equations[:, -2] < -_VERTICAL) & (solid.simplices < n_points).all(axis=1)
    planes = _planes(solid.equations[bottom])
    simplices = solid.simplices[bottom].astype(np.intp)
    room = (energies - planes @ fractions.T).min(axis=1)
    good = np.abs(room) < _PLANE_NOISE
    planes, simplices = planes[good] + room[good, None], simplices[good]
    covered = np.abs(np.linalg.det(fractions[simplices])).sum()
    return LowerHull(planes, simplices) if abs(covered - 1) < _UNCOVERED else None


def _planes(equations: Floats) -> Floats:
    """Heights at the elements of planes n.x + m e + c = 0, where x leaves out the first element, shape (f, d)."""
    normals, upward, offset = equations[:, :-2], equations[:, -2:-1], equations[:, -1:]
    return np.asarray(-np.hstack([offset, normals + offset]) / upward)
