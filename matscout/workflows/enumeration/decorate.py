"""Decorations of a prototype: every choice of elements, and no candidate twice.

Decorations are numbered in mixed radix, slot by slot, so that the numbers from 0 to the product of the slots' lengths
are all of them in lexicographic order of the lists. They are made and thinned out in parts, and never all at once.
Whether a decoration is new is decided from its number alone: of the decorations that are one candidate the one with the
smallest number counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.db._patterns import block_columns, by_pattern, images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.db._patterns import Labels, Pattern
    from matscout.db.prototypes import Prototype

CHUNK = 1 << 18
"""Ordered decorations that are looked at together."""


@dataclass(frozen=True, eq=False)
class Slot:
    """Roles that are filled together, and with what.

    A role has a slot of its own, except for the parts of a mixed role: O2N puts O and N in two roles at once.

    Parameters
    ----------
    roles
        Places of the roles in the prototype.
    choices
        Atomic numbers, each row different, shape (n_choices, n_roles).
    """

    roles: tuple[int, ...]
    choices: NDArray[np.uint8]

    def ranks(self, decoration: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Place of what decorations hold in these roles among the choices, -1 where it is none; shape (n,)."""
        if len(self.roles) == 1:
            return self._rank_of_element[decoration[:, self.roles[0]]]
        wanted = _code(decoration[:, list(self.roles)])
        order, codes = self._sorted
        place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        return np.where(codes[place] == wanted, order[place], -1)

    @cached_property
    def _rank_of_element(self) -> NDArray[np.int64]:
        ranks = np.full(N_ELEMENTS, -1, dtype=np.int64)
        ranks[self.choices[:, 0]] = np.arange(len(self.choices))
        return ranks

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        codes = _code(self.choices)
        order = np.argsort(codes)
        return order, codes[order]


def _code(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """One number per row of at most nine atomic numbers."""
    return np.asarray(rows @ N_ELEMENTS ** np.arange(rows.shape[1], dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Decorations:
    """All decorations of one prototype.

    Parameters
    ----------
    prototype
        The prototype.
    slots
        Together they hold each role once.
    repeat_elements
        Whether an element may fill several roles.

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> pool = np.array([[3], [9], [11]], dtype=np.uint8)
    >>> rock_salts = Decorations(get_prototype("rock-salt"), (Slot((0,), pool), Slot((1,), pool)))
    >>> [part.tolist() for part in rock_salts.parts()]
    [[[3, 9], [3, 11], [9, 11]]]
    """

    prototype: Prototype
    slots: tuple[Slot, ...]
    repeat_elements: bool = False

    @property
    def total(self) -> int:
        """Number of ordered decorations, before any is left out."""
        return prod(len(slot.choices) for slot in self.slots)

    @cached_property
    def _strides(self) -> list[int]:
        return [prod(len(slot.choices) for slot in self.slots[place + 1 :]) for place in range(len(self.slots))]

    def _numbers(self, decoration: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the number of each decoration, -1 where it is none of these; shape (n,)."""
        numbers = np.zeros(len(decoration), dtype=np.int64)
        allowed = np.ones(len(decoration), dtype=bool)
        for slot, stride in zip(self.slots, self._strides, strict=True):
            rank = slot.ranks(decoration)
            allowed &= rank >= 0
            numbers += rank * stride
        if not self.repeat_elements:
            allowed &= _all_different(decoration)
        return np.where(allowed, numbers, -1)

    def hold(self, decoration: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether decorations are among these, in this very order of the roles; shape (n,)."""
        return self._numbers(decoration) >= 0

    def _made(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        decoration = np.empty((len(numbers), len(self.prototype.roles)), dtype=np.uint8)
        for slot, stride in zip(self.slots, self._strides, strict=True):
            decoration[:, list(slot.roles)] = slot.choices[numbers // stride % len(slot.choices)]
        return decoration

    def parts(self, earlier: Sequence[Decorations] = (), chunk: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Give the decorations in parts, each candidate once.

        Parameters
        ----------
        earlier
            Decorations of other prototypes; what they hold is left out.
        chunk
            Ordered decorations looked at together.

        Yields
        ------
        Atomic numbers by role, shape (n, n_roles), in lexicographic order of the choices, each written as the
        prototype's canonical representative, so that a candidate looks the same in every table.
        """
        size = chunk or CHUNK
        for first in range(0, self.total, size):
            numbers = np.arange(first, min(first + size, self.total))
            decoration = self._made(numbers)
            if not self.repeat_elements:
                different = _all_different(decoration)
                decoration, numbers = decoration[different], numbers[different]
            yield self.prototype.canonical(decoration[self._new(decoration, numbers, earlier)])

    def _new(
        self, decoration: NDArray[np.uint8], numbers: NDArray[np.int64], earlier: Sequence[Decorations]
    ) -> NDArray[np.bool_]:
        """Whether no smaller number and no earlier prototype makes the same candidate, shape (n,)."""
        new = np.zeros(len(decoration), dtype=bool)
        for pattern, of_pattern in by_pattern(decoration):
            columns = block_columns(pattern)
            rows = of_pattern  # those that are new so far: each order looked at leaves fewer
            for labels in self.prototype.equivalents(pattern)[1:]:
                other = self._numbers(decoration[rows][:, columns[list(labels)]])
                rows = rows[(other < 0) | (other >= numbers[rows])]
            for others in earlier:
                for labels in self.images_in(pattern, others):
                    rows = rows[~others.hold(decoration[rows][:, columns[list(labels)]])]
            new[rows] = True
        return new

    def images_in(self, pattern: Pattern, others: Decorations) -> tuple[Labels, ...]:
        """Labels of another prototype's decorations that are the same candidates as this one's of a pattern."""
        key = (id(others.prototype), pattern)
        if key not in self._images:
            self._images[key] = images(self.prototype, pattern, others.prototype)
        return self._images[key]

    @cached_property
    def _images(self) -> dict[tuple[int, Pattern], tuple[Labels, ...]]:
        return {}


def _all_different(decoration: NDArray[np.uint8]) -> NDArray[np.bool_]:
    different = np.ones(len(decoration), dtype=bool)
    for role in range(decoration.shape[1]):
        for other in range(role):
            different &= decoration[:, role] != decoration[:, other]
    return different
