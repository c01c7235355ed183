"""What a hull holds: its entries as columns, and how many compete in a chemical system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.answers import Completeness, EntryColumns
from matscout.workflows.stability.compositions import grid_keys

if TYPE_CHECKING:
    from collections.abc import Container

    from numpy.typing import NDArray

    from matscout.workflows.stability.blocks import Blocks
    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.naming import EntryId


def columns(entries: Blocks, elements: System) -> EntryColumns:
    """Return the entries that hold no other elements than these, in the order they came in."""
    blocks = list(entries.within(elements))
    positions = np.concatenate([np.empty(0, dtype=np.intp), *(block.positions for block in blocks)])
    energies = np.concatenate([np.empty(0), *(block.energies for block in blocks)])
    amounts = np.zeros((len(positions), len(elements)))
    end = 0
    for block in blocks:
        start, end = end, end + len(block.energies)
        amounts[start:end, [elements.index(element) for element in block.system]] = block.fractions
    order = np.argsort(positions)
    chosen = positions[order].tolist()
    return EntryColumns(
        ids=tuple(entries.ids[i] for i in chosen),
        amounts=amounts[order],
        elements=elements,
        energies=energies[order],
        protocols=tuple(entries.origins[i][0] for i in chosen),
        sources=tuple(entries.origins[i][1] for i in chosen),
    )


def completeness(
    entries: Blocks, system: System, without: Container[EntryId], *, unlisted_elements: bool
) -> Completeness:
    """Count entries and compositions inside a chemical system, but for some; unlisted elements may count as entries."""
    by_system: dict[System, int] = {}
    by_source: dict[str, int] = {}
    by_size = dict.fromkeys(range(1, len(system) + 1), 0)
    compositions = dict(by_size)
    for block in entries.within(system):
        rows = [row for row, i in enumerate(block.positions.tolist()) if entries.ids[i] not in without]
        counted = block.positions[rows].tolist()
        by_size[len(block.system)] += len(counted)
        compositions[len(block.system)] += count_compositions(block.fractions[rows])
        if counted:
            by_system[block.system] = len(counted)
        for i in counted:
            source = entries.origins[i][1]
            by_source[source] = by_source.get(source, 0) + 1
    if unlisted_elements:
        unlisted = sum((element,) not in entries.by_system for element in system)
        by_size[1] += unlisted
        compositions[1] += unlisted
    return Completeness(by_system, by_size, dict(sorted(by_source.items())), compositions)


def count_compositions(fractions: NDArray[np.float64]) -> int:
    """Count the distinct rows of atomic fractions, shape (n, k)."""
    return len({key.tobytes() for key in grid_keys(fractions)})
