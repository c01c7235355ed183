"""Which phases are stable at which chemical potential of an open element."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED, SAME_ENERGY
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.naming import reduced_formulas
from matscout.workflows.stability.reservoirs import (
    SMALLEST_REST,
    absolute_potentials,
    hull_of,
    open_columns,
    references,
    rest_of,
    take,
    warn_of_precipitation,
    with_elements,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pandas import DataFrame

    from matscout.workflows.stability.answers import EntryColumns
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.naming import EntryId

Floats: TypeAlias = "NDArray[np.float64]"

_SAME_POTENTIAL = 1e-7  # eV/atom within which changes happen at one chemical potential
_TIGHT = 1e-10  # tolerance of HiGHS


def stable_phases_over(
    hull: Hull,
    element: str,
    low: float,
    high: float,
    *,
    others: Mapping[str, float] | None = None,
    relative: bool = False,
    chemical_system: str | Sequence[str] | None = None,
) -> DataFrame:
    """Find the stable phases at all chemical potentials of an open element.

    The distance of an entry to the open hull is a convex function of the chemical potential, so an entry is stable in
    one range of it, whose ends two linear programs find exactly.

    Parameters
    ----------
    hull, relative, chemical_system
        As in `open_hull`.
    element
        The open element.
    low, high
        Its lowest and highest chemical potential, eV/atom.
    others
        Chemical potentials of further open elements, eV/atom.

    Returns
    -------
    One row for each range with the same stable phases, from low to high: low and high (eV/atom, counted as they were
    given), ids and formulas of the stable phases, and the ids appearing and vanishing at the low end. What is stable at
    a single chemical potential alone is in no row.

    Raises
    ------
    UserError
        As from `open_hull`, or `low` is not below `high`.

    Warns
    -----
    UserWarning
        As from `open_hull`, for `high`.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["Fe", "O2", "FeO", "Fe2O3"], [-8.4, -4.9, -8.2, -8.0])
    >>> stable_phases_over(hull, "O", -4, 0, relative=True)[["low", "high", "formulas"]].round(3)
       low  high  formulas
    0 -4.0  -3.1     (Fe,)
    1 -3.1  -2.3    (FeO,)
    2 -2.3   0.0  (Fe2O3,)
    """
    import pandas as pd

    columns = with_elements(hull, chemical_system)
    fixed = dict(others or {})
    if element in fixed:
        raise UserError(f"{element} is open over a range, so it has no one chemical potential among the others")
    start, end = (absolute_potentials(hull, columns, {**fixed, element: mu}, relative=relative) for mu in (low, high))
    if not low < high:
        raise UserError(f"the chemical potential of {element} cannot go from {low:g} up to {high:g} eV/atom")
    warn_of_precipitation(end, references(columns))
    further = {name: start[name] for name in fixed}
    phases = _stable_below(open_columns(columns, further)[1] if further else columns, element, end[element])
    known = set(phases.ids)
    stable_once = take(columns, np.array([name in known for name in columns.ids]))
    table = fraction_table((stable_once.amounts, stable_once.elements))
    formula_of = dict(zip(stable_once.ids, reduced_formulas(table, range(len(table))), strict=True))
    rows = []
    before: tuple[EntryId, ...] | None = None
    for bottom, top, ids in _ranges(phases, element, start[element], end[element]):
        rows.append(
            {
                "low": bottom - start[element] + low,
                "high": top - start[element] + low,
                "ids": ids,
                "formulas": tuple(formula_of[name] for name in ids),
                "appearing": tuple(name for name in ids if before is not None and name not in before),
                "vanishing": tuple(name for name in before or () if name not in ids),
            }
        )
        before = ids
    return pd.DataFrame(rows)


def _stable_below(columns: EntryColumns, element: str, potential: float) -> EntryColumns:
    """Entries that may be stable where the chemical potential of an element is at most this, in eV/atom.

    They are those on the hull in which the element itself stands at that potential. What lies above it gains there by
    falling apart, if need be into some of the element, and at a lower potential, where that is worth less, gains more.
    """
    compounds = take(columns, rest_of(columns.amounts, columns.elements, {element}) > SMALLEST_REST)
    n = len(compounds)
    pure = np.array([[float(symbol == element) for symbol in columns.elements]])
    numbered = replace(
        compounds,
        ids=tuple(range(n + 1)),
        amounts=np.vstack([compounds.amounts, pure]),
        energies=np.append(compounds.energies, potential),
        protocols=(NOT_STATED,) * (n + 1),
        sources=(NOT_STATED,) * (n + 1),
    )
    stable = set(hull_of(numbered, "none").stable_ids)
    return take(compounds, np.array([row in stable for row in range(n)], dtype=bool))


def _ranges(
    phases: EntryColumns, element: str, low: float, high: float
) -> Iterator[tuple[float, float, tuple[EntryId, ...]]]:
    """Ranges of the chemical potential with the ids that are stable throughout; no two neighbours have the same."""
    windows = _windows(phases, element, low, high)
    ends = [low]
    for end in sorted(windows[~np.isnan(windows)].tolist()):
        if ends[-1] + _SAME_POTENTIAL < end < high - _SAME_POTENTIAL:
            ends.append(end)
    found: list[tuple[float, float, tuple[EntryId, ...]]] = []
    for bottom, top in pairwise([*ends, high]):
        middle = (bottom + top) / 2
        present = (windows[:, 0] <= middle) & (middle <= windows[:, 1])
        ids = tuple(phases.ids[row] for row in np.flatnonzero(present).tolist())
        if found and found[-1][2] == ids:
            found[-1] = (found[-1][0], top, ids)
        else:
            found.append((bottom, top, ids))
    yield from found


def _windows(phases: EntryColumns, element: str, low: float, high: float) -> Floats:
    """Lowest and highest chemical potential at which each phase is stable, eV/atom, shape (n, 2); NaN for none."""
    column = phases.elements.index(element)
    rest = 1.0 - phases.amounts[:, column]
    held = phases.amounts[:, column] / rest
    others = np.delete(phases.amounts, column, axis=1) / rest[:, None]
    energies = phases.energies / rest
    windows = np.full((len(rest), 2), np.nan)
    for row in range(len(rest)):
        inside = others[row] > 0
        competing = (others[:, ~inside] == 0).all(axis=1) & (np.arange(len(rest)) != row)
        windows[row] = _window(
            np.column_stack([others[competing][:, inside], held[competing]]),
            energies[competing],
            np.append(others[row, inside], held[row]),
            energies[row],
            (low, high),
        )
    return windows


def _window(
    competitors: Floats, energies: Floats, own: Floats, energy: float, limits: tuple[float, float]
) -> tuple[float, float]:
    """Range of the last chemical potential for which others exist such that the phase costs nothing, and none gains.

    Parameters
    ----------
    competitors, own
        Atoms of each element per atom of the elements that are not open, shape (m, d) and (d,).
    energies, energy
        eV per atom of the elements that are not open, shape (m,), and of the phase itself.
    limits
        Of the last chemical potential, eV/atom.
    """
    from scipy.optimize import linprog

    bounds: list[tuple[float | None, float | None]] = [*[(None, None)] * (len(own) - 1), limits]
    for slack in (0.0, SAME_ENERGY):  # a phase that is stable within noise may have no room without it
        ends = []
        for sign in (1.0, -1.0):
            solution = linprog(
                np.append(np.zeros(len(own) - 1), sign),
                A_ub=np.vstack([competitors, own, -own]),
                b_ub=np.concatenate([energies, [energy, slack - energy]]),
                bounds=bounds,
                method="highs",
                options={"primal_feasibility_tolerance": _TIGHT, "dual_feasibility_tolerance": _TIGHT},
            )
            if solution.status == 0 and solution.x is not None:
                ends.append(float(solution.x[-1]))
        if len(ends) == 2:
            return ends[0], ends[1]
    return np.nan, np.nan
