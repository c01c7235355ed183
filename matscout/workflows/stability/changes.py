"""Which labels change when entries come to a hull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.answers import LabelChanges
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import FractionTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.blocks import Block, Blocks
    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.systems import Systems


def touched_blocks(
    entries: Blocks, systems: Systems, table: FractionTable, energies: NDArray[np.float64], rows: list[int]
) -> list[Block]:
    """Blocks whose distances may change when these rows come, still outside: those that get a lower hull."""
    if not entries.ids:
        return []
    columns = [np.flatnonzero(table.fractions[row]).tolist() for row in rows]
    own = [tuple(table.elements[column] for column in some) for some in columns]
    # No old entry holds an element that the hull has no energy of.
    old = [i for i, system in enumerate(own) if all(np.isfinite(systems.corner(element)) for element in system)]
    if not old:
        return []
    some = np.array([rows[i] for i in old])
    part = FractionTable(table.fractions[some], table.elements, table.atoms[some])
    is_lower = energies[some] < systems.heights(part) - SAME_ENERGY
    lowered: set[System] = {own[i] for i, lower in zip(old, is_lower.tolist(), strict=True) if lower}
    touched: set[System] = set().union(*(entries.containing(system) for system in lowered))
    return [entries.by_system[system] for system in sorted(touched)]


def label_changes(
    entries: Blocks, systems: Systems, touched: Sequence[Block], before: Sequence[NDArray[np.float64]]
) -> LabelChanges:
    """Compare the distances of entries in these blocks, as they were, with those after others came."""
    now = [entries.by_system[block.system] for block in touched]
    positions, first, second = [], [], []
    for old, low, lower in zip(touched, before, systems.own_heights(now, without_own=False), strict=True):
        distance = rounded_distance(old.energies, low)
        new_distance = rounded_distance(old.energies, lower[: len(old.energies)])
        changed = np.abs(new_distance - distance) > SAME_ENERGY
        positions.append(old.positions[changed])
        first.append(distance[changed])
        second.append(new_distance[changed])
    if not positions:
        return LabelChanges()
    order = np.argsort(np.concatenate(positions))
    ids = tuple(entries.ids[i] for i in np.concatenate(positions)[order].tolist())
    return LabelChanges(ids, np.concatenate(first)[order], np.concatenate(second)[order])


def rounded_distance(energies: NDArray[np.float64], heights: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Energies above heights in eV/atom; 0 where they agree within 1e-9 eV/atom."""
    distance = energies - heights
    return np.where(np.abs(distance) < SAME_ENERGY, 0.0, distance)
