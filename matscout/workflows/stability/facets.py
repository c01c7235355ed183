"""The lower convex hull of one chemical system.

In composition space the lower hull is the largest of its facets' planes, so once the planes are known a query is one
matrix product. A plane below all points bounds the hull from below whether or not Qhull found every facet; that the
facets cover the whole simplex of compositions makes the bound the hull. Where they do not, for degenerate points or for
many elements, a linear program answers instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

Floats = NDArray[np.float64]

_MOST_ELEMENTS_FOR_FACETS = 5  # the number of facets grows with a power of the points: floor(elements / 2)
_VERTICAL = 1e-10  # a normal with less of the energy axis is a side of the hull, not its bottom
_PLANE_NOISE = 1e-10  # eV/atom by which Qhull may put a plane above a point
_UNCOVERED = 1e-9  # share of composition space that facets may leave open
_SAME_PLANE = 1e-9  # eV/atom within which facets count as one plane
_FLAT = 1e-12  # determinant below which a facet has no inside
_SMALLEST_SHARE = 1e-8  # atomic fraction below which a phase is not part of a decomposition
_HEIGHTS_AT_ONCE = 200_000  # rows times planes of one matrix product, 1.6 MB: it stays in the cache


@dataclass(frozen=True, eq=False)
class LowerHull:
    """The lower convex hull of points whose first d are the elements at energy 0.

    Attributes
    ----------
    fractions
        Atomic fractions of the points, shape (p, d).
    energies
        Formation energies of the points in eV/atom, shape (p,); negative but for the elements.
    planes
        Chemical potentials of the elements in eV on each facet, shape (f, d); None where only a linear program helps.
    simplices
        Points at the corners of each facet, shape (f, d).
    """

    fractions: Floats
    energies: Floats
    planes: Floats | None
    simplices: NDArray[np.intp]

    def energy(self, fractions: Floats) -> Floats:
        """Energy of the hull in eV/atom at atomic fractions of shape (n, d)."""
        if self.planes is None:
            return np.array([self.energies @ self._program(x) for x in fractions])
        if len(self.planes) == 1:
            return np.asarray(fractions @ self.planes[0])
        step = max(1, _HEIGHTS_AT_ONCE // len(self.planes))
        parts = [(fractions[i : i + step] @ self.planes.T).max(axis=1) for i in range(0, len(fractions), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def shares(self, fractions: Floats) -> Floats:
        """Atomic fractions of the points, shape (p,), that one composition of shape (d,) decomposes into."""
        shares = self._on_facets(fractions)
        if shares is None:
            shares = self._program(fractions)
        shares = np.where(shares < _SMALLEST_SHARE, 0.0, shares)
        return np.asarray(shares / shares.sum())

    def without(self, point: int) -> LowerHull:
        """Return the hull of the other points; `point` must not be an element."""
        others = np.arange(len(self.energies)) != point
        return lower_hull(self.fractions[others], self.energies[others])

    def _on_facets(self, x: Floats) -> Floats | None:
        """Shares at the corners of the facet that holds `x`, or None where no facet with an inside does."""
        if self.planes is None:
            return None
        heights = self.planes @ x
        simplices = self.simplices[heights >= heights.max() - _SAME_PLANE]
        corners = self.fractions[simplices]
        inside = np.abs(np.linalg.det(corners)) > _FLAT
        if not inside.any():
            return None
        transposed = np.swapaxes(corners[inside], 1, 2)
        shares = np.linalg.solve(transposed, np.broadcast_to(x[:, None], (len(transposed), len(x), 1)))[..., 0]
        best = int(shares.min(axis=1).argmax())
        if shares[best].min() < -_SMALLEST_SHARE:
            return None
        result = np.zeros(len(self.energies))
        result[simplices[inside][best]] = shares[best]
        return result

    def _program(self, x: Floats) -> Floats:
        """Shares of lowest energy at `x` by linear programming, shape (p,)."""
        solution = linprog(
            self.energies,
            A_eq=self.fractions.T,
            b_eq=x,
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if not solution.success:  # the elements alone always make x, so this is numerical
            raise RuntimeError(f"the linear program of the hull failed at fractions {x.tolist()}: {solution.message}")
        return np.asarray(solution.x, dtype=float)


def lower_hull(fractions: Floats, energies: Floats) -> LowerHull:
    """Solve the lower convex hull of points whose first d are the elements at energy 0.

    Parameters
    ----------
    fractions
        Atomic fractions, shape (p, d); rows 0 to d - 1 are the identity.
    energies
        Formation energies in eV/atom, shape (p,); zero for the elements, negative for all others.
    """
    n_points, n_elements = fractions.shape
    if n_points == n_elements:
        return LowerHull(fractions, energies, np.zeros((1, n_elements)), np.arange(n_elements)[None])
    by_program = LowerHull(fractions, energies, None, np.empty((0, n_elements), dtype=np.intp))
    if n_elements > _MOST_ELEMENTS_FOR_FACETS:
        return by_program
    # A roof over the middle makes the points span the space even where all lie on one plane.
    roof = np.append(np.full(n_elements - 1, 1 / n_elements), 1.0)
    try:
        solid = ConvexHull(np.vstack([np.column_stack([fractions[:, 1:], energies]), roof]))
    except QhullError:  # nearly coinciding compositions: no facets, but the linear program stands
        return by_program
    bottom = (solid.equations[:, -2] < -_VERTICAL) & (solid.simplices < n_points).all(axis=1)
    planes = _planes(solid.equations[bottom])
    simplices = solid.simplices[bottom].astype(np.intp)
    room = (energies - planes @ fractions.T).min(axis=1)
    good = np.abs(room) < _PLANE_NOISE
    planes, simplices = planes[good] + room[good, None], simplices[good]
    covered = np.abs(np.linalg.det(fractions[simplices])).sum()
    if abs(covered - 1) > _UNCOVERED:
        return by_program
    return LowerHull(fractions, energies, planes, simplices)


def _planes(equations: Floats) -> Floats:
    """Heights at the elements of planes n.x + m e + c = 0, where x leaves out the first element, shape (f, d)."""
    normals, upward, offset = equations[:, :-2], equations[:, -2:-1], equations[:, -1:]
    return np.asarray(-np.hstack([offset, normals + offset]) / upward)
