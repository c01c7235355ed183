"""Decorations of a prototype: every element in every role, and no candidate twice.

Decorations are numbered in mixed radix, role by role, so that the numbers from 0 to the product of the lists' lengths
are all of them in lexicographic order of the lists. They are made and thinned out in parts, and never all at once.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

#: More ordered decorations of one prototype than this are refused: they would take minutes and many gigabytes.
LIMIT = 200_000_000

_CHUNK = 1 << 18


def decorations(prototype: Prototype, elements: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the decorations of a prototype, each candidate once.

    No element fills two roles. Of the decorations that equivalent roles make one candidate, the first in the order of
    the lists counts; it is written as the prototype's canonical representative, so that a candidate looks the same in
    every table.

    Parameters
    ----------
    prototype
        The prototype.
    elements
        Atomic numbers allowed in each role, in order, each once.

    Returns
    -------
    Atomic numbers by role, shape (n, n_roles).

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> pool = np.array([3, 9, 11], dtype=np.uint8)
    >>> decorations(get_prototype("rock-salt"), [pool, pool]).tolist()
    [[3, 9], [3, 11], [9, 11]]
    """
    lengths = [len(numbers) for numbers in elements]
    total = prod(lengths)
    if total > LIMIT:
        raise UserError(
            f"{prototype.name} with {' x '.join(map(str, lengths))} elements has {total:.1e} ordered decorations, more "
            f"than {LIMIT:.0e}: name fewer elements for its roles"
        )
    ranks = _ranks(elements)
    parts = [
        _part(prototype, elements, ranks, np.arange(start, min(start + _CHUNK, total)))
        for start in range(0, total, _CHUNK)
    ]
    return prototype.canonical(np.concatenate([np.zeros((0, len(lengths)), dtype=np.uint8), *parts]))


def _ranks(elements: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Place of each element in each role's list, shape (n_roles, 119); -1 where the role does not take it."""
    ranks = np.full((len(elements), N_ELEMENTS), -1, dtype=np.int64)
    for role, numbers in enumerate(elements):
        ranks[role, numbers] = np.arange(len(numbers))
    return ranks


def _part(
    prototype: Prototype,
    elements: Sequence[NDArray[np.uint8]],
    ranks: NDArray[np.int64],
    codes: NDArray[np.int64],
) -> NDArray[np.uint8]:
    n_roles = len(elements)
    strides = [prod(len(numbers) for numbers in elements[role + 1 :]) for role in range(n_roles)]
    part = np.empty((len(codes), n_roles), dtype=np.uint8)
    for role, numbers in enumerate(elements):
        part[:, role] = numbers[codes // strides[role] % len(numbers)]
    keep = np.ones(len(codes), dtype=bool)
    for role in range(n_roles):
        for other in range(role):
            keep &= part[:, role] != part[:, other]
    part, codes = part[keep], codes[keep]
    first = np.ones(len(codes), dtype=bool)
    for permutation in prototype.equivalent_roles[1:]:
        # the same candidate, written with its roles permuted, has been there before if its number is smaller
        places = np.stack([ranks[role, part[:, source]] for role, source in enumerate(permutation)], axis=1)
        allowed = (places >= 0).all(axis=1)
        first &= ~allowed | (places @ np.array(strides, dtype=np.int64) >= codes)
    return part[first]


def same_crystals(
    decoration: NDArray[np.uint8],
    prototype: Prototype,
    earlier: Sequence[tuple[Prototype, NDArray[np.uint8]]],
) -> NDArray[np.bool_]:
    """Mark decorations that earlier prototypes of the same geometry, under another name, have made already.

    Parameters
    ----------
    decoration
        Decorations of `prototype`, shape (n, n_roles).
    earlier
        Other prototypes with their decorations, canonical.

    Returns
    -------
    Shape (n,).
    """
    seen = np.zeros(len(decoration), dtype=bool)
    for other, its in earlier:
        role_maps = prototype.role_maps(other)
        if not role_maps or not len(its):
            continue
        moved = np.empty_like(decoration)
        moved[:, list(role_maps[0])] = decoration
        seen |= np.isin(_as_bytes(other.canonical(moved)), _as_bytes(its))
    return seen


def _as_bytes(decoration: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """One string of bytes per row; atomic numbers are never 0, so none is lost."""
    return np.ascontiguousarray(decoration).view(f"S{decoration.shape[1]}")[:, 0]
