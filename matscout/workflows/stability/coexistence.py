"""Which phases coexist, and at which chemical potentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.answers import Facet
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.facets import MOST_ELEMENTS

if TYPE_CHECKING:
    from matscout.workflows.stability.blocks import Block, EntryId
    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.systems import Systems

_TOLERANCE = 1e-10  # the tightest that HiGHS takes


def facets(systems: Systems, system: System) -> tuple[Facet, ...]:
    """Find the sets of phases that coexist in a chemical system.

    Raises
    ------
    UserError
        The system has more elements than facets are found for, or compositions so close that it has none.
    """
    name = "-".join(system)
    if len(system) > MOST_ELEMENTS:
        raise UserError(
            f"{name} has {len(system)} elements, and facets are found for up to {MOST_ELEMENTS}: ask for a system "
            f"inside it, open it to an element, or ask for the chemical-potential window of one phase"
        )
    competitors, lower = systems.facets(system)
    if lower is None:
        raise UserError(f"{name} holds phases of so nearly one composition that its facets cannot be told apart")
    found: dict[tuple[int, ...], np.ndarray] = {}
    phases = competitors.phases
    for plane, simplex in zip(lower.planes, lower.simplices, strict=True):
        touching = np.abs(phases.energies - phases.fractions @ plane) < SAME_ENERGY
        touching[simplex] = True
        found.setdefault(tuple(np.flatnonzero(touching).tolist()), plane)
    return tuple(
        Facet(
            tuple(systems.names(competitors, numbers)),
            {element: min(float(mu), 0.0) for element, mu in zip(system, plane, strict=True)},
        )
        for numbers, plane in sorted(found.items())
    )


def potential_window(
    systems: Systems, system: System, name: EntryId, block: Block, row: int
) -> dict[str, tuple[float, float]]:
    """Find the range of each element's chemical potential, relative to its lowest phase, where an entry is stable.

    The potentials are those where the entry costs nothing to make and no other phase gains: two linear programs for
    each element.

    Raises
    ------
    UserError
        The entry is not stable, or holds an element from outside the system.
    """
    from scipy.optimize import linprog

    if not set(block.system) <= set(system):
        raise UserError(f"{name} holds elements from outside the chemical system {'-'.join(system)}")
    above = float((block.energies - systems.own_heights([block], without_own=False)[0])[row])
    if above >= SAME_ENERGY:
        raise UserError(
            f"{name} lies {above:.4g} eV/atom above the hull, so there are no chemical potentials at which it is stable"
        )
    competitors = systems.competitors(system)
    phases = competitors.phases
    own = np.zeros(len(system))
    own[[system.index(element) for element in block.system]] = block.fractions[row]
    formation = block.energies[row] - own @ competitors.corners
    window = {}
    for i, element in enumerate(system):
        ends = []
        for sign in (1.0, -1.0):
            cost = np.zeros(len(system))
            cost[i] = sign
            solution = linprog(
                cost,
                A_ub=phases.fractions,
                b_ub=phases.energies,
                A_eq=own[None],
                b_eq=[formation],
                bounds=(None, None),
                method="highs",
                options={"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE},
            )
            ends.append(-sign * np.inf if solution.fun is None else sign * solution.fun)
        low, high = ends
        window[element] = (float(low), min(float(high), 0.0))
    return window
