"""The entries of one chemical system as points of a plot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matscout.drawing.style import escape
from matscout.errors import UserError
from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.compositions import grid_keys, system_of
from matscout.workflows.stability.open_systems import OpenHull
from matscout.workflows.stability.plots import text
from matscout.workflows.stability.systems import UNLISTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.hull import Hull
    from matscout.workflows.stability.naming import EntryId

_POLYMORPHS_NAMED = 4
_PER_ATOM = "eV/atom"


@dataclass(frozen=True, eq=False)
class Points:
    """Entries, those nearest to the hull first.

    Attributes
    ----------
    elements
        In the order in which the plot was asked for.
    ids, formulas
        Of n entries.
    fractions
        Atomic fractions, shape (n, d).
    formation_energies
        eV/atom, shape (n,).
    above
        Distance to the hull in eV/atom, shape (n,).
    fates
        For each entry, the reaction in which it decomposes, or the stable phase of its composition.
    unit
        Of the energies: "eV/atom", or "eV/atom without O" on a hull open to O.
    total
        Number of entries of the chemical system, those outside the window included.
    temperature
        Of free energies, in K; None where the energies are those of 0 K.
    """

    elements: System
    ids: tuple[EntryId, ...]
    formulas: tuple[str, ...]
    fractions: NDArray[np.float64]
    formation_energies: NDArray[np.float64]
    above: NDArray[np.float64]
    fates: tuple[str, ...]
    unit: str
    total: int
    temperature: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Which entries are on the hull, shape (n,)."""
        return self.above < SAME_ENERGY

    @cached_property
    def row_of(self) -> dict[EntryId, int]:
        """Row of each id."""
        return {entry_id: row for row, entry_id in enumerate(self.ids)}

    @property
    def energy_title(self) -> str:
        """Title of an axis of energies."""
        name = "formation energy" if self.temperature is None else "free energy of formation"
        name = name if self.unit == _PER_ATOM else "grand potential of formation"
        at = "" if self.temperature is None else f" at {self.temperature:g} K"
        return f"{name}{at} ({self.unit})"

    def name(self, row: int) -> str:
        """Write the formula for a label; entries that tie at one composition get one label."""
        return text.subscripts(self.formulas[row]) if self._groups[self._key_of[row]][0] == row else ""

    def inner_name(self, row: int) -> str:
        """Write the formula for a label, or none where the corner of the frame already says it."""
        pure = self.fractions[row].max() == 1.0 and self.formulas[row].rstrip("0123456789") in self.elements
        return "" if pure else self.name(row)

    def hover(self, row: int) -> str:
        """Tell formula, id, distance, formation energy and decomposition of one entry."""
        said = [
            f"<b>{text.subscripts(self.formulas[row])}</b>  {escape(self.ids[row])}",
            "on the hull" if self.stable[row] else f"E above hull {self.above[row]:.4f} {self.unit}",
            f"{self.energy_title.split(' (')[0]} {self.formation_energies[row]:.4f} {self.unit}",
        ]
        if not self.stable[row]:
            said.append(self.fates[row])
        return "<br>".join(said)

    def by_composition(self) -> list[tuple[int, str]]:
        """Find the lowest entry of each composition, with a hover that names its polymorphs too.

        Where the energy has no axis, the polymorphs of a composition lie on one another.
        """
        return [(rows[0], self._hover_of(rows)) for rows in self._groups.values()]

    @cached_property
    def _key_of(self) -> list[bytes]:
        return [key.tobytes() for key in grid_keys(self.fractions)]

    @cached_property
    def _groups(self) -> dict[bytes, list[int]]:
        """Rows of each composition, the lowest first."""
        groups: dict[bytes, list[int]] = {}
        for row in np.lexsort((np.arange(len(self)), self.formation_energies)).tolist():
            groups.setdefault(self._key_of[row], []).append(row)
        return groups

    def _hover_of(self, rows: Sequence[int]) -> str:
        hover = self.hover(rows[0])
        higher = rows[1:]
        if not higher:
            return hover
        words = []
        for row in higher[:_POLYMORPHS_NAMED]:  # on an open hull they may differ in open elements
            other = "" if self.formulas[row] == self.formulas[rows[0]] else f"{text.subscripts(self.formulas[row])} "
            words.append(f"{other}{escape(self.ids[row])} {self.above[row]:.3f}")
        if len(higher) > _POLYMORPHS_NAMED:
            words.append(f"{len(higher) - _POLYMORPHS_NAMED} more")
        return f"{hover}<br>higher here ({self.unit} above):<br>{text.lines(words, ', ')}"


def elements_of(chemical_system: str | Sequence[str]) -> System:
    """Return the elements of a chemical system in the order in which they were given."""
    known = system_of(chemical_system)
    given = chemical_system.split("-") if isinstance(chemical_system, str) else chemical_system
    order = list(dict.fromkeys(given))
    return tuple(sorted(known, key=order.index))


def points_of(hull: Hull | OpenHull, elements: System, window: float | None = None) -> Points:
    """Collect the entries of a chemical system, all or those within a window of the hull.

    Elements that stand at 0 without being listed are points too, under their symbol. On an open hull entries keep their
    whole formulas.
    """
    from matscout.workflows.stability.frames import hull_frame

    if window is not None and not (np.isfinite(window) and window >= 0):
        raise UserError(f"the window must be a distance to the hull of 0 eV/atom or more, got {window}")
    closed = closed_of(hull)
    system = "-".join(sorted(elements))
    columns = closed.columns(system)
    frame = hull_frame(closed, system, window=window)
    unit = _PER_ATOM
    if isinstance(hull, OpenHull):
        whole = hull.frame(window=window).set_index("id").loc[frame["id"]]
        frame["formula"], frame["reaction"] = whole["formula"].to_numpy(), whole["reaction"].to_numpy()
        unit = f"{_PER_ATOM} without {', '.join(hull.chemical_potentials)}"
    row_of = {entry_id: row for row, entry_id in enumerate(columns.ids)}
    rows = [row_of[entry_id] for entry_id in frame["id"]]
    order = [list(columns.elements).index(element) for element in elements]
    return _with_unlisted(
        Points(
            elements,
            tuple(columns.ids[row] for row in rows),
            tuple(frame["formula"]),
            np.asarray(columns.amounts, dtype=float)[np.ix_(rows, order)],
            frame["formation_energy"].to_numpy(dtype=float),
            frame["e_above_hull"].to_numpy(dtype=float),
            tuple(_fate(*each) for each in zip(frame["decomposition"], frame["reaction"], strict=True)),
            unit,
            len(columns.ids),
            closed.temperature,
        )
    )


def closed_of(hull: Hull | OpenHull) -> Hull:
    """Return the hull itself, or an open hull's hull over the other elements."""
    return hull.hull if isinstance(hull, OpenHull) else hull


def _fate(parts: Mapping[EntryId, float], reaction: str) -> str:
    """Tell what an entry becomes; of a polymorph, the id of the stable one."""
    left, right = reaction.split(" -> ")
    if left == right and len(parts) == 1:
        return f"stable as {escape(next(iter(parts)))}"
    return f"decomposes:<br>{text.reaction(reaction)}"


def _with_unlisted(points: Points) -> Points:
    """Add a point at 0 for each element without a stable entry."""
    pure = points.fractions[points.stable].max(axis=1, initial=0.0) == 1.0
    listed = points.fractions[points.stable][pure].sum(axis=0)
    unlisted = np.flatnonzero(listed == 0).tolist()
    if not unlisted:
        return points
    symbols = tuple(points.elements[column] for column in unlisted)
    zeros = np.zeros(len(unlisted))
    return replace(
        points,
        ids=tuple(s if s not in points.row_of else f"{s}{UNLISTED}" for s in symbols) + points.ids,
        formulas=symbols + points.formulas,
        fractions=np.concatenate([np.eye(len(points.elements))[unlisted], points.fractions]),
        formation_energies=np.concatenate([zeros, points.formation_energies]),
        above=np.concatenate([zeros, points.above]),
        fates=("",) * len(unlisted) + points.fates,
    )
