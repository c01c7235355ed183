"""Plots of hulls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.plots import flat, solid, style
from matscout.workflows.stability.plots.edges import tie_lines
from matscout.workflows.stability.plots.points import closed_of, elements_of, points_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.open_systems import OpenHull

_MOST_ELEMENTS = 4


def plot_hull(
    hull: Hull | OpenHull,
    chemical_system: str | Sequence[str],
    *,
    window: float | None = None,
    energy_upwards: bool = False,
) -> Figure:
    """Plot the hull of a chemical system of one to four elements.

    One element: energies of its polymorphs. Two: formation energy against composition, with the tie line. Three: a
    triangle with the edges of the facets. Four: a tetrahedron with tie lines, to be turned. Phases on the hull carry
    their formula; metastable entries are coloured by their distance, unstable ones are small and grey. Hover tells
    formula, id, distance, formation energy and decomposition; where the energy has no axis, the polymorphs of a
    composition share one point.

    Parameters
    ----------
    hull
        Holds entries of the chemical system; a closed hull, or one open to elements, over the others.
    chemical_system
        Such as "Li-Fe-O". The plot's axes follow its order: left and right; top, left and right.
    window
        Up to what distance from the hull, in eV/atom, entries are metastable; those farther away are not drawn. Where
        None, all are drawn, and told apart at 0.1 eV/atom.
    energy_upwards
        A ternary hull in space, with the formation energy upwards.

    Returns
    -------
    A figure of Plotly; `write_plot` writes it.

    Raises
    ------
    UserError
        Five or more elements, an element without entries, a negative window, or energy upwards on another hull than a
        ternary one.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["Na", "Cl2", "NaCl", "Na3Cl"], [-1.3, -1.8, -3.6, -1.9])
    >>> [trace.name for trace in plot_hull(hull, "Na-Cl").data if trace.name]
    ['unstable', 'stable']
    """
    elements = elements_of(chemical_system)
    name = "-".join(elements)
    if len(elements) > _MOST_ELEMENTS:
        raise UserError(
            f"{name} has {len(elements)} elements, and a plot shows at most {_MOST_ELEMENTS}: plot a system inside it, "
            f"such as {'-'.join(elements[:_MOST_ELEMENTS])}, or a hull open to an element (open_hull, --open)"
        )
    if energy_upwards and len(elements) != 3:
        raise UserError(f"the energy goes upwards on plots of 3 elements, and {name} has {len(elements)}")
    points = points_of(hull, elements, window)
    facts = [*style.counted(points, window), *style.facts_of(hull, elements)]
    if len(elements) == 3 and not energy_upwards:
        facts.append("lines of the grid every 20 % of the atoms")
    heading = style.title(elements, "hull", facts)
    if len(elements) == 1:
        return flat.element_figure(points, heading, window)
    if len(elements) == 2:
        return flat.binary_figure(points, heading, window)
    closed = closed_of(hull)
    edges = tie_lines(closed, points)
    if energy_upwards:
        return solid.landscape_figure(points, edges, heading, window)
    if len(elements) == 3:
        return flat.ternary_figure(points, edges, heading, window)
    return solid.quaternary_figure(points, edges, heading, window)
