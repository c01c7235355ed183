"""What is wrong with energies, said before any result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import MatscoutWarning, UserError, warn
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.naming import EntryId, formula, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.workflows.stability.blocks import Blocks, Origin
    from matscout.workflows.stability.compositions import FractionTable

_STRONGEST = ((frozenset({"F", "O"}), -6.0), (frozenset({"Br", "Cl", "I", "N", "S", "Se"}), -4.0))
"""Formation energies in eV/atom that no compound of these elements reaches, a third beyond the strongest known."""

_STRONGEST_OF_OTHERS = -2.5
_WEAK = 1.0  # eV/atom above the elements that few compounds lie, and hardly ever half of them
_FEW = 2  # compounds of which half may be odd
_LOWEST_ELEMENT = -0.5  # eV/atom relative to itself: new phases of elements lie a few hundredths lower


class EnergyWarning(MatscoutWarning):
    """Energies that do not look like eV/atom."""


def finite_energies(
    energies: ArrayLike, table: FractionTable, names: Sequence[EntryId | None] | None = None
) -> NDArray[np.float64]:
    """Energies as an array, one for each row and none of them NaN or infinite."""
    listed = list(energies) if isinstance(energies, Iterator) else energies
    values = np.atleast_1d(np.asarray(listed, dtype=float))
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
    table: FractionTable,
    formation: NDArray[np.float64],
    names: Sequence[EntryId],
    rows: Iterable[int],
    *,
    relative: bool,
) -> None:
    """Warn of formation energies in eV/atom, shape (n,), that entries do not have.

    Energies per cell where energies per atom belong are too strong by the number of atoms; the other way about they are
    so weak that most compounds lie far above the elements. An element far below 0 tells of absolute energies where
    `relative` ones were expected.
    """
    chosen = np.array(list(rows), dtype=np.intp)
    pure = table.fractions[chosen].max(axis=1, initial=0.0) == 1.0
    compounds = chosen[~pure]
    low = chosen[pure & (formation[chosen] < _LOWEST_ELEMENT)].tolist()
    if low and relative:
        who = some(f"{names[row]} ({formation[row]:.2f} eV/atom)" for row in low)
        warn(
            f"elements far below 0 eV/atom: {who}. With formation_energies=True they stand at 0: were these absolute "
            "energies?",
            EnergyWarning,
        )
    elif _warn_of_strong(table, formation, [str(name) for name in names], compounds):
        return
    elif len(compounds) >= _FEW and np.median(formation[compounds]) > _WEAK:
        weak = compounds[formation[compounds] > _WEAK].tolist()
        who = some(f"{names[row]} ({formation[row]:.1f} eV/atom)" for row in weak)
        warn(
            f"most compounds lie over {_WEAK:g} eV/atom above their elements: {who}. Were their energies per atom "
            "where energies per cell belong, or the elements' per molecule, or of another functional?",
            EnergyWarning,
        )


def warn_of_strong_energies(table: FractionTable, formation: NDArray[np.float64]) -> None:
    """Warn of formation energies in eV/atom of compounds asked about, shape (n,), that no compound has.

    Rows of one atom are fractions, for which a cell means nothing.
    """
    compound = (table.fractions.max(axis=1, initial=0.0) < 1.0) & (table.atoms > 1.5)
    compounds = np.flatnonzero((formation < _STRONGEST_OF_OTHERS) & compound)
    if len(compounds):
        _warn_of_strong(table, formation, None, compounds)


def _warn_of_strong(
    table: FractionTable, formation: NDArray[np.float64], names: Sequence[str] | None, compounds: NDArray[np.intp]
) -> bool:
    strong = compounds[formation[compounds] < _strongest(table)[compounds]].tolist()
    if strong:
        named = (
            f"{names[row] if names else formula(table, row)} ({formation[row]:.1f} eV/atom, {table.atoms[row]:g} atoms)"
            for row in strong
        )
        warn(
            f"formation energies below any such compound's: {some(named)}. A hull takes energies in eV/atom: were "
            "these per cell?",
            EnergyWarning,
        )
    return bool(strong)


def _strongest(table: FractionTable) -> NDArray[np.float64]:
    """Bound formation energies in eV/atom: what no compound of the elements of a row reaches, shape (n,)."""
    bound = np.full(len(table), _STRONGEST_OF_OTHERS)
    for elements, energy in reversed(_STRONGEST):
        columns = [column for column, element in enumerate(table.elements) if element in elements]
        bound[(table.fractions[:, columns] > 0).any(axis=1)] = energy
    return bound


def check_elements(
    entries: Blocks, table: FractionTable, names: Sequence[EntryId] | None = None, *, formation_energies: bool
) -> None:
    """Refuse elements without an energy; `names` are those of entries on their way in."""
    if formation_energies:
        return
    pure = table.fractions.max(axis=1, initial=0.0) == 1.0
    for column, element in enumerate(table.elements):
        needing = np.flatnonzero(table.fractions[:, column])
        brought = names is not None and pure[needing].any()
        if len(needing) and not brought and (element,) not in entries.by_system:
            who = [formula(table, row) if names is None else names[row] for row in needing.tolist()]
            raise UserError(
                f"no entry of the element {element}, which {some(who)} need{'s' * (len(who) == 1)}: "
                f"give the hull an entry of {element}, or formation energies"
            )


def known_scheme(name: str) -> str:
    """Refuse a correction scheme that does not exist, and return the name of one that does."""
    if name != "none":
        from matscout.workflows.stability.schemes import get_scheme

        get_scheme(name)
    return name


def check_protocols(entries: Blocks, scheme: str, origins: Sequence[Origin], names: Sequence[EntryId]) -> None:
    """Refuse protocols that the scheme does not join, before any of the named entries is in."""
    ids_of: dict[str, list[EntryId]] = {protocol: [*ids] for protocol, ids in entries.ids_of_protocol.items()}
    for (protocol, _), name in zip(origins, names, strict=True):
        ids_of.setdefault(protocol, []).append(name)
    if len(ids_of) > 1 or (scheme != "none" and ids_of.keys() != {NOT_STATED}):
        from matscout.workflows.stability.schemes import check_joinable

        check_joinable(ids_of, scheme)
