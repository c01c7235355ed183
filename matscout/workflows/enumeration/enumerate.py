"""Candidates from prototypes and elements."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

from matscout.crystals.volume import predict_volumes
from matscout.db._elements import atomic_numbers
from matscout.db.candidates import CandidateTable, merge_filter_counts
from matscout.errors import UserError
from matscout.workflows.enumeration.choices import choices_by_role
from matscout.workflows.enumeration.counting import count_decorations
from matscout.workflows.enumeration.decorate import CHUNK, Decorations, Slot
from matscout.workflows.enumeration.filters import apply_filters, nothing_left
from matscout.workflows.enumeration.ordering.ordered_cells import ordered_prototypes
from matscout.workflows.enumeration.prototypes.library import select_prototypes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import FilterCount
    from matscout.db.prototypes import Prototype
    from matscout.workflows.enumeration.choices import Choices
    from matscout.workflows.enumeration.filters import Filter
    from matscout.workflows.enumeration.ordering.ordered_cells import Mixture

    Prototypes = str | Prototype | Iterable[str | Prototype]
    Elements = Mapping[str, Sequence[str] | str] | Sequence[str]

LIMIT = 50_000_000
"""More candidates than this are refused in one table: they would take gigabytes. `iterate_candidates` has no limit."""

_LARGEST = 1 << 62
_MOST_ROLES_TO_REPEAT = 7

_SEARCH_LIMIT = 4 * LIMIT
"""More ordered decorations than this are refused in one table: they would take minutes."""


def enumerate_candidates(
    prototypes: Prototypes,
    elements: Elements,
    filters: Iterable[Filter] = (),
    *,
    repeat_elements: bool = False,
    max_cells: int = 1,
) -> CandidateTable:
    """Decorate prototypes with elements; every candidate once, at its predicted volume.

    Two decorations are one candidate when an isometry maps one crystal onto the other, at the prototype's parameters or
    at ideal values that it declares: the elements of an elpasolite's B and B' may stand in the other order than in
    `elements`, as each candidate is written with the smallest atomic numbers first. Prototypes that are one crystal
    under two names, such as `rock-salt` and `AB_cF8_225_a_b`, give each candidate under the name that stands first, and
    a filter that looks at the prototype judges it under that name.

    Parameters
    ----------
    prototypes
        Names, patterns such as `AB3C_*`, `all`, or `Prototype`s.
    elements
        By role, or one list for all roles. With several prototypes each takes the roles that it has. Besides elements
        (`Sr`) there may be ions (`Fe3+`), which restrict the oxidation states that filters take into account, and
        mixtures on the sites of one role (`O2N`, `Sr0.75Ba0.25`), which stand for all their ordered cells.
    filters
        Applied in order, see `matscout.workflows.enumeration.filters.registry`.
    repeat_elements
        Let an element fill several roles of a candidate.
    max_cells
        Primitive cells of the prototype that an ordered cell of a mixture may have.

    Returns
    -------
    Rows in the order of the prototypes, and within a prototype in lexicographic order of the lists of elements.

    Raises
    ------
    UserError
        An unknown prototype, role, element or ion; a role without elements; an element listed twice; nothing left; more
        than 50 million candidates.

    Examples
    --------
    >>> table = enumerate_candidates("cubic-perovskite", {"A": ["K", "Rb"], "B": ["Mg", "Ca"], "X": ["F"]})
    >>> table.formulas
    ['KMgF3', 'KCaF3', 'RbMgF3', 'RbCaF3']
    """
    space = CandidateSpace(prototypes, elements, repeat_elements=repeat_elements, max_cells=max_cells)
    return apply_filters(space.table(), filters)


def iterate_candidates(
    prototypes: Prototypes,
    elements: Elements,
    filters: Iterable[Filter] = (),
    *,
    repeat_elements: bool = False,
    max_cells: int = 1,
    chunk: int = CHUNK,
) -> Iterator[CandidateTable]:
    """Enumerate in parts, for spaces that no memory holds.

    Parameters
    ----------
    prototypes, elements, filters, repeat_elements, max_cells
        As for `enumerate_candidates`.
    chunk
        Ordered decorations looked at together; a table has at most as many rows.

    Yields
    ------
    Tables whose rows together are those of `enumerate_candidates`, in the same order. Their filter counts are of the
    part; a part that the filters empty comes without rows, for its counts.

    Raises
    ------
    UserError
        As `enumerate_candidates`; that nothing is left shows at the end.

    Examples
    --------
    >>> parts = iterate_candidates("rock-salt", ["Li", "Na", "F", "Cl"], chunk=8)
    >>> [part.formulas for part in parts]
    [['NaLi', 'LiF', 'LiCl', 'NaF', 'NaCl'], ['ClF']]
    """
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise UserError(f"chunk must be a whole number of decorations, at least 1, got {chunk!r}")
    space = CandidateSpace(prototypes, elements, repeat_elements=repeat_elements, max_cells=max_cells)
    rules = list(filters)
    counts: tuple[FilterCount, ...] = ()
    n_left = 0
    for table in space.tables(chunk):
        kept = apply_filters(table, rules, may_be_empty=True)
        counts = merge_filter_counts([counts, kept.filter_counts]) if counts else kept.filter_counts
        n_left += len(kept)
        yield kept
    if not n_left:
        raise UserError(nothing_left(counts))


def count_candidates(
    prototypes: Prototypes, elements: Elements, *, repeat_elements: bool = False, max_cells: int = 1
) -> dict[str, int]:
    """Count the candidates of each prototype in closed form, before filters, without making them.

    Parameters
    ----------
    prototypes, elements, repeat_elements, max_cells
        As for `enumerate_candidates`.

    Returns
    -------
    By the prototype's name; ordered cells of mixtures have names of their own.

    Examples
    --------
    >>> count_candidates("elpasolite", ["Li", "Na", "K", "F", "Cl"])
    {'elpasolite': 60}
    """
    return CandidateSpace(prototypes, elements, repeat_elements=repeat_elements, max_cells=max_cells).counts


class CandidateSpace:
    """All candidates of some prototypes over some elements, none made yet.

    Parameters
    ----------
    prototypes, elements, repeat_elements, max_cells
        As for `enumerate_candidates`.
    """

    def __init__(
        self, prototypes: Prototypes, elements: Elements, *, repeat_elements: bool = False, max_cells: int = 1
    ) -> None:
        chosen = select_prototypes(prototypes)
        choices = choices_by_role(chosen, elements)
        self.decorations: list[Decorations] = []
        self._earlier: list[list[Decorations]] = []
        for prototype in chosen:
            before = list(self.decorations)
            # ordered cells of one prototype are told apart when they are made, unless its roles may be exchanged
            apart = not repeat_elements and len(prototype.equivalent_roles) == 1
            for ordered, slots in _slots(prototype, choices, max_cells):
                self._earlier.append(before if apart else list(self.decorations))
                self.decorations.append(Decorations(ordered, slots, repeat_elements))
        self.prototypes = [decorations.prototype for decorations in self.decorations]
        self.oxidation_states = {role: dict(one.states) for role, one in choices.items() if one.states}
        self._refuse_unnumbered()
        self._n = count_decorations(self.decorations, self._earlier)
        self.counts: dict[str, int] = {}
        """Candidates of each prototype by its name, before filters."""
        for prototype, n in zip(self.prototypes, self._n, strict=True):
            self.counts[prototype.name] = self.counts.get(prototype.name, 0) + n
        if not sum(self._n):
            raise UserError(
                f"no candidates: {', '.join(p.name for p in chosen[:5])} cannot be decorated with these elements"
                + ("" if repeat_elements else ", as no element may fill two roles of a candidate")
            )

    def _refuse_unnumbered(self) -> None:
        """Refuse decorations that no 64-bit number counts, and more roles than patterns can be gone through."""
        for decorations in self.decorations:
            name, n_roles = decorations.prototype.name, len(decorations.prototype.roles)
            if decorations.total >= _LARGEST:
                raise UserError(f"{name} has {decorations.total:.1e} ordered decorations: name fewer elements")
            if decorations.repeat_elements and n_roles > _MOST_ROLES_TO_REPEAT:
                raise UserError(
                    f"{name} has {n_roles} roles: with repeat_elements at most {_MOST_ROLES_TO_REPEAT} can be treated; "
                    "merge roles, as with roles: elements"
                )

    def _refuse_too_large(self) -> None:
        total = sum(self._n)
        if total > LIMIT:
            raise UserError(
                f"{total:,} candidates are more than one table may hold ({LIMIT:,}): name fewer elements for the roles "
                f"of {max(self.counts, key=self.counts.__getitem__)}, or go through them with iterate_candidates"
            )
        for decorations in self.decorations:
            if decorations.total > _SEARCH_LIMIT:
                lengths = " x ".join(str(len(slot.choices)) for slot in decorations.slots)
                raise UserError(
                    f"{decorations.prototype.name} with {lengths} elements has {decorations.total:.1e} ordered "
                    f"decorations, more than {_SEARCH_LIMIT:.0e}: name fewer elements for its roles"
                )

    def table(self) -> CandidateTable:
        """Make all candidates.

        Raises
        ------
        UserError
            More than one table may hold.
        """
        self._refuse_too_large()
        total = sum(self._n)
        width = max(len(prototype.roles) for prototype in self.prototypes)
        decoration = np.zeros((total, width), dtype=np.uint8)
        index, volume = np.empty(total, dtype=np.int32), np.empty(total)
        start = 0
        for place, rows in self._parts(None):
            part = slice(start, start + len(rows))
            decoration[part, : rows.shape[1]] = rows
            index[part] = place
            volume[part] = predict_volumes(self.prototypes[place], rows)
            start += len(rows)
        if start != total:
            raise RuntimeError(f"{total} candidates were counted, {start} made")
        return self._table(index, decoration, volume)

    def tables(self, chunk: int) -> Iterator[CandidateTable]:
        """Make the candidates in parts of at most so many rows."""
        width = max(len(prototype.roles) for prototype in self.prototypes)
        for place, rows in self._parts(chunk):
            decoration = np.zeros((len(rows), width), dtype=np.uint8)
            decoration[:, : rows.shape[1]] = rows
            index = np.full(len(rows), place, dtype=np.int32)
            yield self._table(index, decoration, predict_volumes(self.prototypes[place], rows))

    def _parts(self, chunk: int | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for place, decorations in enumerate(self.decorations):
            for rows in decorations.parts(self._earlier[place], chunk):
                if len(rows):
                    yield place, rows

    def _table(
        self, index: NDArray[np.int32], decoration: NDArray[np.uint8], volume: NDArray[np.float64]
    ) -> CandidateTable:
        return CandidateTable(self.prototypes, index, decoration, volume, oxidation_states=self.oxidation_states)


def _slots(
    prototype: Prototype, choices: Mapping[str, Choices], max_cells: int
) -> Iterator[tuple[Prototype, tuple[Slot, ...]]]:
    """Give the prototype with its elements, and its ordered cells with the elements of mixtures."""
    ways = []
    for role in prototype.roles:
        parts = dict.fromkeys(mixture.parts for mixture in choices[role].mixtures)
        ways.append([*([None] if choices[role].numbers else []), *parts])
    for way in product(*ways):
        mixed = {role: parts for role, parts in zip(prototype.roles, way, strict=True) if parts}
        cells = ordered_prototypes(prototype, mixed, max_cells=max_cells) if mixed else [prototype]
        for cell in cells:
            yield cell, tuple(_slots_of(prototype.roles, mixed, choices))


def _slots_of(
    roles: Sequence[str], mixed: Mapping[str, tuple[int, ...]], choices: Mapping[str, Choices]
) -> Iterator[Slot]:
    """Give the slots of a cell whose mixed roles are divided: the parts of a mixed role are filled together."""
    place = 0
    for role in roles:
        if role not in mixed:
            yield Slot((place,), choices[role].column)
            place += 1
            continue
        mixtures = [mixture for mixture in choices[role].mixtures if mixture.parts == mixed[role]]
        filled = np.array([row for mixture in mixtures for row in _orders(mixture)], dtype=np.uint8)
        yield Slot(tuple(range(place, place + filled.shape[1])), filled)
        place += filled.shape[1]


def _orders(mixture: Mixture) -> Iterator[tuple[int, ...]]:
    """Give the atomic numbers of a mixture, in all orders that parts of equal size may have."""
    numbers = [atomic_numbers()[symbol] for symbol in mixture.elements]
    for order in permutations(range(len(numbers))):
        if all(mixture.parts[i] == part for i, part in zip(order, mixture.parts, strict=True)):
            yield tuple(numbers[i] for i in order)
