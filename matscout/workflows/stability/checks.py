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

_STRONGEST = -6.0
"""Formation energy in eV/atom that no compound reaches: fluorides of the rare earths come to some -4.5."""


class EnergyWarning(UserWarning):
    """Energies that do not look like eV/atom."""


def finite_energies(
    energies: ArrayLike, table: FractionTable, names: Sequence[EntryId] | None = None
) -> NDArray[np.float64]:
    """Energies as an array, one for each row and none of them NaN or infinite."""
    values = np.atleast_1d(np.asarray(energies, dtype=float))
    if values.shape != (len(table),):
        raise UserError(f"{len(table)} compositions but energies of shape {values.shape}, in eV/atom")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        who = [f"{formula(table, row) if names is None else names[row]} ({values[row]:g})" for row in bad.tolist()]
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


def warn_of_energies_per_cell(
    table: FractionTable, formation: NDArray[np.float64], names: Sequence[EntryId], rows: Iterable[int]
) -> None:
    """Warn of formation energies in eV/atom, shape (n,), that no compound has: energies per cell, most likely."""
    compounds = [row for row in rows if formation[row] < _STRONGEST and table.fractions[row].max() < 1.0]
    if not compounds:
        return
    who = some(f"{names[row]} ({formation[row]:.1f} eV/atom, {table.atoms[row]:g} atoms)" for row in compounds)
    warnings.warn(
        f"formation energies below any compound's: {who}. A hull takes energies in eV/atom: were these per cell?",
        EnergyWarning,
        stacklevel=4,
    )
