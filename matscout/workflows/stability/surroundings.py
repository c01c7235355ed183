"""What a hull says of a composition before its own energy is known, as features for a model.

The known phases around a compound bound its energy from above where it is to be stable, and the energy of the hull
without it is a good first guess: Bartel et al., A critical examination of compound stability predictions from
machine-learned formation energies, npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from matscout.errors import UserError, nearest
from matscout.featurizers.matrix import FeatureMatrix
from matscout.workflows.stability.checks import check_elements
from matscout.workflows.stability.compositions import fraction_table, grid_keys
from matscout.workflows.stability.lowest import Lowest, numbers_of, ranges
from matscout.workflows.stability.naming import reduced_formulas
from matscout.workflows.stability.programs import SMALLEST_SHARE, PhaseSets, solve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matscout.workflows.stability.blocks import Blocks
    from matscout.workflows.stability.compositions import Compositions, FractionTable, System
    from matscout.workflows.stability.hull import Hull

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

LeaveOut = Literal["own", "chemical_system", "nothing"]
"""What of a hull does not count for a composition."""

COLUMNS = {
    "hull energy": "eV/atom",
    "competing phases": "",
    "distance to competing phases": "atomic fraction",
    "lowest energy of competing phases": "eV/atom",
    "distance to nearest phase": "atomic fraction",
    "compounds in chemical system": "",
    "compounds with one element fewer": "",
    "binary compounds": "",
    "ternary compounds": "",
    "compounds of these elements": "",
}
"""Columns of `hull_surroundings`, with their units."""

_ENERGY, _PHASES, _MEAN_DISTANCE, _LOWEST_ENERGY, _NEAREST = range(5)
_SET = "hull_surroundings"
_VERSION = "1"
_CITATION = (
    "Bartel et al., A critical examination of compound stability predictions from machine-learned formation energies, "
    "npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y"
)
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB of compositions of phases


def hull_surroundings(hull: Hull, compositions: Compositions, *, leave_out: LeaveOut = "own") -> FeatureMatrix:
    """Describe the known phases around each composition, as a matrix that models take.

    Build the hull from the training rows alone. Each of these then sees what a new composition would see, the others,
    because its own entries are left out; so what a model learns from the columns holds when it predicts.

    Parameters
    ----------
    hull
        Of known phases.
    compositions
        n formulas or Compositions, or amounts with their symbols, as everywhere on a hull. They need not be on it.
    leave_out
        ``own``: entries of the composition itself, where there are any; ``chemical_system``: all entries with exactly
        its elements, for a model that is to be judged on chemical systems that it has not seen; ``nothing``.

    Returns
    -------
    Shape (n, 10), nothing unknown. Energies are relative to the elements. Distances are atomic fractions that have to
    be exchanged to make one composition of the other: half the sum of absolute differences.

    - hull energy: of the phases that compete;
    - competing phases: how many the composition decomposes into; distance to these: their mean, weighted by their
      fraction of the atoms; the lowest energy among them;
    - distance to nearest phase: elements, and compounds of these elements that lie below the elements' plane;
    - compounds: known compositions, of whatever energy, with exactly these elements, with all but one of them, with two
      or three of them, and with any two or more of them.

    An element has an energy of 0 and is its own only phase.

    Raises
    ------
    UserError
        An element has no entry where absolute energies need one, or `leave_out` is none of the three.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["NaCl", "NaCl3", "KCl"], [-2.0, -0.5, -2.2], formation_energies=True)
    >>> found = hull_surroundings(hull, ["NaCl", "Na2Cl2O"])
    >>> found.names[0], found.values[:, 0].round(3).tolist()  # NaCl would be Na and NaCl3
    ('hull energy', [-0.333, -1.6])
    """
    if leave_out not in get_args(LeaveOut):
        near = nearest(str(leave_out), get_args(LeaveOut))
        hint = f" Did you mean {near}?" if near else ""
        raise UserError(f"leave_out must be one of {', '.join(get_args(LeaveOut))}, got {leave_out!r}.{hint}")
    table = fraction_table(compositions)
    entries = hull._entries  # noqa: SLF001  the entries of a hull are the package's own business
    check_elements(entries, table, None, formation_energies=hull.formation_energies)
    lowest = Lowest(entries, hull._systems.corner)  # noqa: SLF001
    values = np.hstack([_competition(lowest, entries, table, leave_out), _counts(entries, table, leave_out)])
    formulas = _formulas(compositions, table)
    return FeatureMatrix(
        values=values,
        names=tuple(COLUMNS),
        units=tuple(COLUMNS.values()),
        sets=(_SET,) * len(COLUMNS),
        citations=(_CITATION,),
        ids=formulas,
        formulas=formulas,
        versions={_SET: _VERSION},
    )


def _formulas(compositions: Any, table: FractionTable) -> tuple[str, ...]:
    """Formulas as they were given, where they were."""
    if isinstance(compositions, str):
        return (compositions,)
    if not isinstance(compositions, tuple) and all(isinstance(one, str) for one in compositions):
        return tuple(map(str, compositions))
    return tuple(reduced_formulas(table, range(len(table))))


def _competition(lowest: Lowest, entries: Blocks, table: FractionTable, leave_out: LeaveOut) -> Floats:
    """Columns that tell of the phases a composition competes with, shape (n, 5)."""
    values = np.zeros((len(table), 5))
    values[:, _PHASES] = 1.0  # of an element: itself, at 0, and no distance away
    by_size: dict[int, list[tuple[System, Rows, Floats]]] = defaultdict(list)
    for system, rows, fractions in table.by_system():
        if len(system) > 1:
            by_size[len(system)].append((system, rows, fractions))
    for questions in by_size.values():
        for found in lowest.collect(numbers_of([system for system, *_ in questions])):
            part = questions[found.first : found.end]
            own = np.array([_n_below(lowest, entries, system) for system, *_ in part])
            sets, which = found.sets, np.repeat(np.arange(len(part)), [len(rows) for _, rows, _ in part])
            if leave_out == "chemical_system":  # whose entries come last
                sets = PhaseSets(sets.fractions, sets.energies, sets.starts, sets.sizes - own)
            rows, at = (np.concatenate(column) for column in list(zip(*part, strict=True))[1:])
            for some in _blocks(sets.sizes[which] * at.shape[1]):
                without = np.full(some.stop - some.start, -1)
                if leave_out == "own":
                    without = _own_phases(sets, own, which[some], at[some])
                values[rows[some]] = _competing(sets, which[some], at[some], without)
    return values


def _n_below(lowest: Lowest, entries: Blocks, system: System) -> int:
    """How many phases with exactly these elements compete."""
    if system not in entries.by_system:
        return 0
    table = lowest.table(len(system))
    return int(table.below[table.number_of[system]])


def _blocks(costs: Rows) -> Iterator[slice]:
    """Consecutive rows, as many as memory should hold at once."""
    ends = np.cumsum(costs)
    start = 0
    while start < len(costs):
        done = ends[start] - costs[start]
        end = max(start + 1, int(np.searchsorted(ends, done + _NUMBERS_AT_ONCE, side="right")))
        yield slice(start, end)
        start = end


def _own_phases(sets: PhaseSets, own: Rows, which: Rows, at: Floats) -> Rows:
    """Which phase of its system has the composition itself, or -1, shape (n,); `own` of the last ones may."""
    counts = own[which]
    row = np.repeat(np.arange(len(at)), counts)
    phase = ranges(sets.sizes[which] - counts, counts)
    same = (grid_keys(sets.fractions[sets.starts[which][row] + phase]) == grid_keys(at)[row]).all(axis=1)
    found = np.full(len(at), -1)
    found[row[same]] = phase[same]
    return found


def _competing(sets: PhaseSets, which: Rows, at: Floats, without: Rows) -> Floats:
    """Columns of compositions, each in one of several systems and without one of its phases, shape (n, 5)."""
    answer = solve(sets, which, at, without)
    starts, sizes = sets.starts[which], sets.sizes[which]
    used = answer.shares > SMALLEST_SHARE
    phases = starts[:, None] + np.where(used, answer.phases, 0)
    shares = np.where(used, answer.shares, 0.0)
    apart = _distance(sets.fractions[phases], at[:, None])
    values = np.empty((len(at), 5))
    values[:, _ENERGY] = answer.energy
    values[:, _PHASES] = used.sum(axis=1)
    values[:, _MEAN_DISTANCE] = (shares * apart).sum(axis=1) / shares.sum(axis=1)
    values[:, _LOWEST_ENERGY] = np.where(used, sets.energies[phases], 0.0).min(axis=1)
    row = np.repeat(np.arange(len(at)), sizes)
    every = ranges(starts, sizes)
    distance = _distance(sets.fractions[every], at[row])
    distance[every == np.where(without >= 0, starts + without, -1)[row]] = np.inf
    values[:, _NEAREST] = np.minimum.reduceat(distance, np.cumsum(sizes) - sizes)
    return values


def _distance(first: Floats, second: Floats) -> Floats:
    """Atomic fraction that has to be exchanged, over the last axis."""
    return np.asarray(np.abs(first - second).sum(axis=-1) / 2)


def _counts(entries: Blocks, table: FractionTable, leave_out: LeaveOut) -> Floats:
    """Columns that count known compounds, shape (n, 5)."""
    values = np.zeros((len(table), 5))
    compositions: dict[System, set[bytes]] = {}
    for system, rows, fractions in table.by_system():
        if len(system) == 1:
            continue
        by_size = [0] * (len(system) + 1)
        for block in entries.within(system):
            if len(block.system) > 1 and block.system not in compositions:
                compositions[block.system] = {key.tobytes() for key in grid_keys(block.fractions)}
            by_size[len(block.system)] += len(compositions.get(block.system, ()))
        known = compositions.get(system, set())
        counts = np.tile(np.array(by_size, dtype=float), (len(rows), 1))
        if leave_out == "own" and known:
            counts[:, -1] -= [key.tobytes() in known for key in grid_keys(fractions)]
        elif leave_out == "chemical_system":
            counts[:, -1] = 0.0
        ternary = counts[:, 3] if len(system) > 2 else np.zeros(len(rows))
        columns = (counts[:, -1], counts[:, -2], counts[:, 2], ternary, counts.sum(axis=1))
        values[rows] = np.column_stack(columns)
    return values
