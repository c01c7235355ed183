"""What is wrong with energies, said before any result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.naming import EntryId, formula, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.workflows.stability.compositions import FractionTable

_STRONGEST = ((frozenset({"F", "O"}), -6.0), (frozenset({"Br", "Cl", "I", "N", "S", "Se"}), -4.0))
"""Formation energies in eV/atom that no compound of these elements reaches, a third beyond the strongest known."""

_STRONGEST_OF_OTHERS = -2.5
_WEAK = 1.0  # eV/atom above the elements that few compounds lie, and hardly ever half of them
_FEW = 3  # compounds of which half may be odd


class EnergyWarning(UserWarning):
    """Energies that do not look like eV/atom."""


def finite_energies(
    energies: ArrayLike, table: FractionTable, names: Sequence[EntryId | None] | None = None
) -> NDArray[np.float64]:
    """Energies as an array, one for each row and none of them NaN or infinite."""
    values = np.atleast_1d(np.asarray(energies, dtype=float))
    if values.shape != (len(table),):
        raise UserError(f"{len(table)} compositions but energies of shape {values.shape}, in eV/atom")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        named = [None] * len(table) if names is None else names
        who = [f"{named[row] or formula(table, row)} ({values[row]:g})" for row in bad.tolist()]
        raise UserError(f"energies that are not finite: {some(who)}; leave out what failed")
    return values


def one_each(given: str | Sequence[str] | None, n: int, what: str) -> list[str]:
    """One text for each of n entries, from one for all, from n, or from none."""
    if given is None or isinstance(given, str):
        return [given or NOT_STATED] * n
    listed = [text or NOT_STATED for text in given]
    if len(listed) != n:
        raise UserError(f"{n} compositions but {len(listed)} {what}")
    return listed


def warn_of_odd_energies(
    table: FractionTable, formation: NDArray[np.float64], names: Sequence[EntryId], rows: Iterable[int]
) -> None:
    """Warn of formation energies in eV/atom, shape (n,), that compounds do not have.

    Energies per cell where energies per atom belong are too strong by the number of atoms; the other way about they are
    so weak that most compounds lie far above the elements.
    """
    compounds = np.array([row for row in rows if table.fractions[row].max() < 1.0], dtype=np.intp)
    strong = compounds[formation[compounds] < _strongest(table)[compounds]].tolist()
    if strong:
        who = some(f"{names[row]} ({formation[row]:.1f} eV/atom, {table.atoms[row]:g} atoms)" for row in strong)
        warnings.warn(
            f"formation energies below any such compound's: {who}. A hull takes energies in eV/atom: were these per "
            "cell?",
            EnergyWarning,
            stacklevel=4,
        )
    elif len(compounds) >= _FEW and np.median(formation[compounds]) > _WEAK:
        weak = compounds[formation[compounds] > _WEAK].tolist()
        who = some(f"{names[row]} ({formation[row]:.1f} eV/atom)" for row in weak)
        warnings.warn(
            f"most compounds lie over {_WEAK:g} eV/atom above their elements: {who}. Were their energies per atom "
            "where energies per cell belong, or of another functional than the elements'?",
            EnergyWarning,
            stacklevel=4,
        )


def _strongest(table: FractionTable) -> NDArray[np.float64]:
    """Bound formation energies in eV/atom: what no compound of the elements of a row reaches, shape (n,)."""
    bound = np.full(len(table), _STRONGEST_OF_OTHERS)
    for elements, energy in reversed(_STRONGEST):
        columns = [column for column, element in enumerate(table.elements) if element in elements]
        bound[(table.fractions[:, columns] > 0).any(axis=1)] = energy
    return bound
