"""Which phases coexist, and at which chemical potentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from matscout.errors import UserError
from matscout.workflows.stability.answers import Facet
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.facets import MOST_ELEMENTS

if TYPE_CHECKING:
    from matscout.workflows.stability.blocks import Block
    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.naming import EntryId
    from matscout.workflows.stability.systems import Competitors, Systems

Floats = NDArray[np.float64]

_TOLERANCE = 1e-10  # the tightest that HiGHS takes
_SLACK = 1e-10  # eV/atom by which the height of a hull may be off
_ROUNDING = 1e-12  # eV/atom
_SOLVED, _UNBOUNDED = 0, 3  # of scipy's linprog


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
    names, fractions, energies = _near_the_hull(systems, competitors)
    row_of = {name: row for row, name in reversed(list(enumerate(names)))}
    for plane, simplex in zip(lower.planes, lower.simplices, strict=True):
        touching = np.abs(energies - fractions @ plane) < SAME_ENERGY
        touching[[row_of[name] for name in systems.names(competitors, simplex.tolist())]] = True
        found.setdefault(tuple(np.flatnonzero(touching).tolist()), plane)
    return tuple(
        Facet(
            tuple(dict.fromkeys(names[number] for number in numbers)),
            {element: 0.0 if mu > -_ROUNDING else float(mu) for element, mu in zip(system, plane, strict=True)},
        )
        for numbers, plane in sorted(found.items())
    )


def _near_the_hull(systems: Systems, competitors: Competitors) -> tuple[list[EntryId], Floats, Floats]:
    """Names, fractions and formation energies of the elements and of all entries not above their plane.

    Also those that no hull needs: of two polymorphs at one energy both are stable. An element that is an entry comes
    twice.
    """
    system, d = competitors.system, len(competitors.system)
    names = [systems.element_id(element) for element in system]
    fractions, energies = [np.eye(d)], [np.zeros(d)]
    for block in competitors.blocks:
        inside = np.zeros((len(block.energies), d))
        inside[:, [system.index(element) for element in block.system]] = block.fractions
        formation = block.energies - inside @ competitors.corners
        near = formation < SAME_ENERGY
        names += systems.ids_at(block.positions[near].tolist())
        fractions.append(inside[near])
        energies.append(formation[near])
    return names, np.concatenate(fractions), np.concatenate(energies)


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
    height = float(systems.own_heights([block], without_own=False)[0][row])
    above = float(block.energies[row]) - height
    if above >= SAME_ENERGY:
        raise UserError(
            f"{name} lies {above:.4g} eV/atom above the hull, so there are no chemical potentials at which it is stable"
        )
    competitors = systems.competitors(system)
    phases = competitors.phases
    own = np.zeros(len(system))
    own[[system.index(element) for element in block.system]] = block.fractions[row]
    # Not its own energy, which may be a rounding error above the hull, where no chemical potentials are.
    formation = height - own @ competitors.corners
    window = {}
    for i, element in enumerate(system):
        ends = []
        for sign in (1.0, -1.0):
            cost = np.zeros(len(system))
            cost[i] = sign
            for slack in (0.0, _SLACK):
                solution = linprog(
                    cost,
                    A_ub=np.vstack([phases.fractions, own, -own]),
                    b_ub=np.concatenate([phases.energies, [formation, slack - formation]]),
                    bounds=(None, None),
                    method="highs",
                    options={"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE},
                )
                if solution.status in (_SOLVED, _UNBOUNDED):
                    break
            else:  # the plane of a stable entry always exists, so this is numerical
                raise RuntimeError(f"no chemical-potential window of {name} in {'-'.join(system)}: {solution.message}")
            ends.append(-sign * np.inf if solution.fun is None else sign * float(solution.fun))
        low, high = ends
        window[element] = (low + 0.0, min(high, 0.0) + 0.0)
    return window
