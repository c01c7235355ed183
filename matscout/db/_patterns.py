"""Decorations that put one element in several roles, and when two decorations are one crystal.

The *pattern* of a decoration says which roles share an element: the block of each role, blocks numbered as they first
appear, so that (Fe, Ti, Fe) has the pattern (0, 1, 0). A crystal with a shared element has fewer kinds of sites than
its prototype has roles, and may have isometries that the prototype has not: with B and B' alike an elpasolite is a
cubic perovskite. So the roles that share an element are merged, and the merged prototypes are compared.

*Labels* say what a role holds in terms of another decoration's blocks: with the labels (1, 0, 0) the first role takes
the element of block 1, the others that of block 0.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

Pattern = tuple[int, ...]
Labels = tuple[int, ...]


def pattern_of(contents: Sequence[int]) -> Pattern:
    """Pattern of what the roles hold.

    Examples
    --------
    >>> pattern_of([26, 22, 26])
    (0, 1, 0)
    """
    blocks: dict[int, int] = {}
    return tuple(blocks.setdefault(one, len(blocks)) for one in contents)


@cache
def all_patterns(n_roles: int) -> tuple[Pattern, ...]:
    """Return all patterns of so many roles, the one without a shared element last.

    Examples
    --------
    >>> all_patterns(2)
    ((0, 0), (0, 1))
    """
    found: list[Pattern] = [()]
    for _ in range(n_roles):
        found = [(*start, block) for start in found for block in range(max(start, default=-1) + 2)]
    return tuple(found)


def by_pattern(decoration: NDArray[np.uint8]) -> Iterator[tuple[Pattern, NDArray[np.intp]]]:
    """Give each pattern that occurs among decorations, shape (n, n_roles), with its rows in order."""
    n_roles = decoration.shape[1]
    code = np.zeros(len(decoration), dtype=np.int64)
    for role in range(1, n_roles):
        first = np.full(len(decoration), role)
        for other in range(role - 1, -1, -1):
            first[decoration[:, other] == decoration[:, role]] = other
        code = code * n_roles + first
    for value in np.unique(code):
        rows = np.flatnonzero(code == value)
        yield pattern_of(decoration[rows[0]].tolist()), rows


def block_columns(pattern: Pattern) -> NDArray[np.intp]:
    """First role of each block, shape (n_blocks,): where to read its element."""
    return np.array([pattern.index(block) for block in range(max(pattern) + 1)], dtype=np.intp)


def equivalents(prototype: Prototype, pattern: Pattern) -> tuple[Labels, ...]:
    """Labels under which decorations of a pattern are the same candidate, the pattern itself first.

    By the isometries of the merged crystals, and by the prototype's exchanges at ideal values of its parameters.
    """
    return tuple(_closure(prototype, {pattern}))


def images(prototype: Prototype, pattern: Pattern, other: Prototype) -> tuple[Labels, ...]:
    """Labels of the decorations of another prototype that are the same candidates; empty where there are none."""
    found: set[Labels] = set()
    for labels in prototype.equivalents(pattern):
        names = _names(labels)
        start = pattern_of(labels)
        for target in _of_same_sizes(prototype, start, other):
            found |= {
                tuple(names[block] for block in moved)
                for moved in _isometric(prototype.merged(start), other.merged(target), target)
            }
    return tuple(sorted(_closure(other, found)))


def _closure(prototype: Prototype, start: set[Labels]) -> list[Labels]:
    """Labels that follow from the first ones, these in front."""
    found = sorted(start)
    seen = set(start)
    for labels in found:  # grows while it is gone through
        names = _names(labels)
        for moved in _generators(prototype, pattern_of(labels)):
            new = tuple(names[block] for block in moved)
            if new not in seen:
                seen.add(new)
                found.append(new)
    return found


def _names(labels: Labels) -> list[int]:
    """Labels in the order in which they first appear: what the blocks of their pattern are called."""
    return list(dict.fromkeys(labels))


def _generators(prototype: Prototype, pattern: Pattern) -> Iterator[Labels]:
    """Give labels, in blocks of the pattern, of decorations that one step makes the same candidate."""
    for permutation in prototype.equivalent_roles:
        yield tuple(pattern[role] for role in permutation)
    if max(pattern) + 1 == len(pattern):
        return  # the exact isometries of the prototype itself are among its equivalent roles
    for target in _of_same_sizes(prototype, pattern, prototype):
        yield from _isometric(prototype.merged(pattern), prototype.merged(target), target)


def _of_same_sizes(prototype: Prototype, pattern: Pattern, other: Prototype) -> Iterator[Pattern]:
    """Give the patterns of another prototype whose merged roles have as many sites as those of the pattern."""
    sizes = _sizes(tuple(prototype.multiplicity.tolist()), pattern)
    yield from _by_sizes(tuple(other.multiplicity.tolist())).get(sizes, ())


@cache
def _by_sizes(multiplicity: tuple[int, ...]) -> dict[tuple[int, ...], list[Pattern]]:
    """Patterns by the sites of their merged roles in a formula unit."""
    found: dict[tuple[int, ...], list[Pattern]] = {}
    for pattern in all_patterns(len(multiplicity)):
        found.setdefault(_sizes(multiplicity, pattern), []).append(pattern)
    return found


def _sizes(multiplicity: tuple[int, ...], pattern: Pattern) -> tuple[int, ...]:
    sites = [0] * (max(pattern) + 1)
    for block, n in zip(pattern, multiplicity, strict=True):
        sites[block] += n
    divisor = gcd(*sites)
    return tuple(sorted(n // divisor for n in sites))


def _isometric(first: Prototype, second: Prototype, target: Pattern) -> Iterator[Labels]:
    """Give labels of the isometries that lay one merged prototype on another, roles of `target` behind the second."""
    for role_map in first.role_maps(second):
        origin = {onto: block for block, onto in enumerate(role_map)}
        yield tuple(origin[block] for block in target)
