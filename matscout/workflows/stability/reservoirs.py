"""Entries in exchange with reservoirs of elements, as columns."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from matscout.errors import UserError, warn
from matscout.workflows.stability.blocks import NOT_STATED, SAME_ENERGY
from matscout.workflows.stability.checks import EnergyWarning
from matscout.workflows.stability.compositions import system_of
from matscout.workflows.stability.hull import Hull
from matscout.workflows.stability.systems import UNLISTED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.answers import EntryColumns
    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.naming import EntryId

Floats: TypeAlias = "NDArray[np.float64]"

SMALLEST_REST = 1e-8
"""Atomic fraction of the other elements below which nothing is left of a composition beside open elements."""


def with_elements(hull: Hull, chemical_system: str | Sequence[str] | None) -> EntryColumns:
    """Entries of a hull, and the elements that stand at 0 without being listed, under their symbols."""
    columns = hull.columns(chemical_system)
    if not hull.formation_energies:
        return columns
    listed = references(columns)
    unlisted = [column for column, element in enumerate(columns.elements) if listed[element] > SAME_ENERGY]
    names: list[EntryId] = []
    for column in unlisted:
        name = columns.elements[column]
        names.append(name if name not in columns.ids else f"{name}{UNLISTED}")
    return replace(
        columns,
        ids=(*columns.ids, *names),
        amounts=np.vstack([columns.amounts, np.eye(len(columns.elements))[unlisted]]),
        energies=np.append(columns.energies, np.zeros(len(unlisted))),
        # What stands at 0 does so in any protocol.
        protocols=(*columns.protocols, *[(columns.protocols or (NOT_STATED,))[0]] * len(unlisted)),
        sources=(*columns.sources, *[NOT_STATED] * len(unlisted)),
    )


def references(columns: EntryColumns) -> dict[str, float]:
    """Energy of the lowest entry of each element, eV/atom; infinite where there is none."""
    lowest = {}
    for column, element in enumerate(columns.elements):
        pure = columns.amounts[:, column] == 1.0
        lowest[element] = float(columns.energies[pure].min(initial=math.inf))
    return lowest


def absolute_potentials(
    hull: Hull, columns: EntryColumns, given: Mapping[str, float], *, relative: bool
) -> dict[str, float]:
    """Check chemical potentials, and count them from where the hull counts its energies, eV/atom."""
    if not given:
        raise UserError("no open element: name one and its chemical potential, such as {'O': -5.0}")
    symbols = {str(element): float(potential) for element, potential in given.items()}
    system_of(list(symbols))
    absent = [element for element in symbols if element not in columns.elements]
    if absent:
        raise UserError(
            f"cannot open the hull to {', '.join(absent)}: it has no such element but {', '.join(columns.elements)}"
        )
    if len(symbols) == len(columns.elements):
        raise UserError(f"all elements are open ({', '.join(symbols)}): nothing is left that could be stable")
    bad = [f"{element} ({potential:g})" for element, potential in symbols.items() if not math.isfinite(potential)]
    if bad:
        raise UserError(f"chemical potentials that are not finite: {', '.join(bad)}; give them in eV/atom")
    counted_from = np.zeros(len(symbols))
    if relative:
        counted_from = hull.hull_energy((np.eye(len(symbols)), list(symbols)))
    return dict(zip(symbols, (np.array(list(symbols.values())) + counted_from).tolist(), strict=True))


def warn_of_precipitation(potentials: Mapping[str, float], lowest: Mapping[str, float]) -> None:
    """Warn where a chemical potential lies above the energy of the element itself, both in eV/atom."""
    for element, potential in potentials.items():
        if potential > lowest[element] + SAME_ENERGY:
            warn(
                f"the chemical potential of {element}, {potential:.6g} eV/atom, lies above the energy of {element} "
                f"itself, {lowest[element]:.6g} eV/atom: the element would precipitate"
            )


def rest_of(amounts: Floats, elements: System, opened: Collection[str]) -> Floats:
    """Amount of the elements that are not open, shape (n,), from amounts of shape (n, k)."""
    return np.asarray(amounts[:, [element not in opened for element in elements]].sum(axis=1))


def open_columns(columns: EntryColumns, potentials: Mapping[str, float]) -> tuple[EntryColumns, EntryColumns]:
    """Entries that hold more than open elements: as they are, and per atom of their other elements.

    The second have the other elements alone in their amounts, and grand potentials for energies.
    """
    rest = rest_of(columns.amounts, columns.elements, potentials)
    kept = take(columns, rest > SMALLEST_REST)
    rest = rest[rest > SMALLEST_REST]
    open_ = [columns.elements.index(element) for element in potentials]
    others = [column for column, element in enumerate(columns.elements) if element not in potentials]
    of_reservoirs = kept.amounts[:, open_] @ np.array(list(potentials.values()))
    closed = replace(
        kept,
        amounts=kept.amounts[:, others] / rest[:, None],
        elements=tuple(columns.elements[column] for column in others),
        energies=(kept.energies - of_reservoirs) / rest,
    )
    return kept, closed


def take(columns: EntryColumns, which: NDArray[np.bool_]) -> EntryColumns:
    """Pick entries by a mask of shape (n,)."""
    rows = np.flatnonzero(which).tolist()
    return replace(
        columns,
        ids=tuple(columns.ids[row] for row in rows),
        amounts=columns.amounts[rows],
        energies=columns.energies[rows],
        protocols=tuple(columns.protocols[row] for row in rows),
        sources=tuple(columns.sources[row] for row in rows),
    )


def hull_of(columns: EntryColumns, scheme: str, temperature: float | None = None) -> Hull:
    """Build the hull of columns, whose energies may be grand potentials of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnergyWarning)
        return Hull(
            (columns.amounts, columns.elements),
            columns.energies,
            columns.ids,
            protocols=columns.protocols,
            sources=columns.sources,
            scheme=scheme,
            temperature=temperature,
        )
