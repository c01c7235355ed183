"""Domains of the stable phases in the space of chemical potentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.plots.points import elements_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.naming import EntryId

    Floats = NDArray[np.float64]

_TOUCHES = 1e-6  # eV/atom between a vertex and the plane of a phase
_SAME_VERTEX = 1e-6  # eV/atom
_ZERO = 1e-12  # eV/atom
_ROOM = 0.2  # how far beyond the last facet a diagram goes, relative to the largest potential in it
_LEAST_ROOM = 0.1  # eV/atom


@dataclass(frozen=True, eq=False)
class Domain:
    """Chemical potentials at which a phase is stable.

    Attributes
    ----------
    entry_id
        Of the phase; the symbol of an element that is not listed.
    elements
        Of the axes, d of them.
    fractions
        Atomic fractions of the phase, shape (d,).
    vertices
        Corners of the domain in eV/atom relative to the elements, shape (m, d): a segment for two elements, a polygon
        in its order for three, a body of one dimension less than d for more.
    limits
        Lowest and highest chemical potential of each element, -inf where only the lower limit cuts.
    """

    entry_id: EntryId
    elements: System
    fractions: Floats
    vertices: Floats
    limits: Mapping[str, tuple[float, float]]


def chemical_potential_domains(
    hull: Hull, chemical_system: str | Sequence[str], *, lower_limit: float | Mapping[str, float] | None = None
) -> tuple[Domain, ...]:
    """Find at which chemical potentials each stable phase of a system is in equilibrium.

    The corners of the domains are the chemical potentials of the hull's facets, and, as domains reach to minus
    infinity, points at a lower limit.

    Parameters
    ----------
    hull
        Holds entries of the chemical system.
    chemical_system
        Of two to five elements, such as "Li-Fe-O".
    lower_limit
        Lowest chemical potential, in eV/atom relative to the element's lowest phase: one for all elements, or one each.
        Somewhat below the lowest facet for elements without one.

    Returns
    -------
    A domain for each stable phase that has one above the limit, in the order of the facets.

    Raises
    ------
    UserError
        One element, more elements than facets are found for, a limit that is not negative, or one above which nothing
        is stable.

    References
    ----------
    Yokokawa, J. Phase Equilib. 20, 258 (1999), doi:10.1361/105497199770335794.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["Na", "Cl2", "NaCl"], [-1.3, -1.8, -3.6])
    >>> for domain in chemical_potential_domains(hull, "Na-Cl", lower_limit=-5):
    ...     print(domain.entry_id, domain.vertices.round(2).tolist())
    Cl2 [[-5.0, 0.0], [-4.1, 0.0]]
    NaCl [[-4.1, 0.0], [0.0, -4.1]]
    Na [[0.0, -5.0], [0.0, -4.1]]
    """
    elements = elements_of(chemical_system)
    if len(elements) == 1:
        raise UserError(f"chemical potentials of {elements[0]} alone make no diagram: name two elements or more")
    ids, fractions, energies, lowest = _stable_phases(hull, elements)
    limits = _limits(elements, lowest, lower_limit)
    vertices = _vertices(fractions, energies, limits, elements)
    touches = np.abs(vertices @ fractions.T - energies) < _TOUCHES
    domains = []
    for phase, entry_id in enumerate(ids):
        corners = vertices[touches[:, phase]]
        if len(corners) < len(elements):  # on the hull, but at a point of its own neighbours' making
            continue
        if len(elements) == 3:
            corners = in_order(corners)
        low, high = corners.min(axis=0), corners.max(axis=0)
        ranges = {
            element: (-np.inf if low[i] < limits[i] + _TOUCHES else float(low[i]), min(float(high[i]), 0.0))
            for i, element in enumerate(elements)
        }
        domains.append(Domain(entry_id, elements, fractions[phase], corners, ranges))
    return tuple(domains)


def in_order(vertices: Floats) -> Floats:
    """Sort the corners of a flat convex polygon in two or three dimensions, shape (m, d), around it."""
    away = vertices - vertices.mean(axis=0)
    _, _, directions = np.linalg.svd(away, full_matrices=False)
    x, y = (away @ directions[:2].T).T
    return vertices[np.argsort(np.arctan2(y, x), kind="stable")]


def _stable_phases(hull: Hull, elements: System) -> tuple[list[EntryId], Floats, Floats, Floats]:
    """Ids, fractions (p, d), formation energies (p,) of the phases on facets; lowest potential (d,) on any facet.

    Energies are those of the facets, so they are relative to the elements' lowest phases in every convention.
    """
    name = "-".join(sorted(elements))
    facets = hull.facets(name)
    columns = hull.columns(name)
    row_of = {entry_id: row for row, entry_id in enumerate(columns.ids)}
    order = [list(columns.elements).index(element) for element in elements]
    energy_of: dict[EntryId, float] = {}
    fractions = []
    potentials = np.array([[facet.chemical_potentials[element] for element in elements] for facet in facets])
    for facet, potential in zip(facets, potentials, strict=True):
        for phase in facet.phases:
            if phase in energy_of:
                continue
            listed = phase in row_of
            own = columns.amounts[row_of[phase], order] if listed else np.array([e == phase for e in elements], float)
            fractions.append(own)
            energy_of[phase] = float(own @ potential)
    return list(energy_of), np.array(fractions), np.array(list(energy_of.values())), potentials.min(axis=0)


def _limits(elements: System, lowest: Floats, given: float | Mapping[str, float] | None) -> Floats:
    """Lower limit of each element, shape (d,)."""
    limits = lowest - max(_ROOM * float(-lowest.min()), _LEAST_ROOM)
    if given is None:
        return limits
    by_element = dict(given) if isinstance(given, Mapping) else dict.fromkeys(elements, given)
    strangers = set(by_element) - set(elements)
    if strangers:
        raise UserError(f"a lower limit for {', '.join(sorted(strangers))}, which {'-'.join(elements)} does not hold")
    for element, limit in by_element.items():
        if not (np.isfinite(limit) and limit < 0):
            raise UserError(f"the lower limit of {element} must be below 0 eV/atom, its own phase, got {limit}")
        limits[elements.index(element)] = limit
    return limits


def _vertices(fractions: Floats, energies: Floats, limits: Floats, elements: System) -> Floats:
    """Corners of the room above the limits in which no phase would form, shape (v, d)."""
    from scipy.optimize import linprog
    from scipy.spatial import HalfspaceIntersection

    n = len(elements)
    sides = np.vstack([fractions, -np.eye(n)])
    bounds = np.concatenate([energies, -limits])
    lengths = np.linalg.norm(sides, axis=1)
    # The centre of the largest ball inside is a point for Qhull to start from.
    ball = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([sides, lengths]),
        b_ub=bounds,
        bounds=[(None, None)] * n + [(0, None)],
        method="highs",
    )
    centre = np.asarray(ball.x if ball.success else np.zeros(n + 1))
    if centre[-1] < _TOUCHES:
        said = ", ".join(f"{limit:g} for {element}" for element, limit in zip(elements, limits, strict=True))
        raise UserError(f"above the lower limits ({said} eV/atom) no chemical potentials are left: lower them")
    corners = HalfspaceIntersection(np.column_stack([sides, -bounds]), centre[:-1]).intersections
    _, first = np.unique(np.rint(corners / _SAME_VERTEX).astype(np.int64), axis=0, return_index=True)
    kept: list[Floats] = []
    for corner in corners[first]:
        if not kept or np.abs(np.array(kept) - corner).max(axis=1).min() > 2 * _SAME_VERTEX:
            kept.append(corner)
    found = np.array(kept)
    return np.where(np.abs(found) < _ZERO, 0.0, found)
