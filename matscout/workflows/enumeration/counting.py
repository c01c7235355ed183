"""Numbers of candidates in closed form, before any is made.

Elements that the lists do not tell apart are interchangeable, so only the kinds of elements matter. A way to put kinds
into the roles stands for a product of falling factorials of decorations; each belongs to as many ordered decorations of
the same candidate as there are allowed ways among its equivalents. Sums of those quotients are exact in fractions.

For one list of n elements in all of k roles and a group of g equivalent orders this is n (n-1) ... (n-k+1) / g.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from matscout.db._patterns import all_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matscout.db._patterns import Pattern
    from matscout.workflows.enumeration.decorate import Decorations


class _Kinds(NamedTuple):
    """How many elements are of each kind, and which kinds each slot of each prototype takes, by roles."""

    size: list[int]
    taken: list[list[set[tuple[int, ...]]]]


def count_decorations(
    all_decorations: Sequence[Decorations], earlier: Sequence[Sequence[Decorations]] | None = None
) -> list[int]:
    """Count the candidates that each prototype gives, without making them.

    Parameters
    ----------
    all_decorations
        Decorations of prototypes, in the order in which they are enumerated: a candidate that several would give counts
        for the first.
    earlier
        For each, those before it that could give the same candidates; all before it when None.

    Returns
    -------
    Candidates of each.

    Examples
    --------
    >>> import numpy as np
    >>> from matscout.workflows.enumeration import get_prototype
    >>> from matscout.workflows.enumeration.decorate import Decorations, Slot
    >>> pool = np.arange(1, 40, dtype=np.uint8)[:, None]
    >>> count_decorations([Decorations(get_prototype("elpasolite"), tuple(Slot((i,), pool) for i in range(4)))])
    [987012]
    """
    kinds = _kinds(all_decorations)
    places = {id(decorations): place for place, decorations in enumerate(all_decorations)}
    counts = []
    for place, decorations in enumerate(all_decorations):
        before = range(place) if earlier is None else [places[id(other)] for other in earlier[place]]
        n_roles = len(decorations.prototype.roles)
        patterns = all_patterns(n_roles) if decorations.repeat_elements else [tuple(range(n_roles))]
        total = sum((_count(all_decorations, place, before, pattern, kinds) for pattern in patterns), Fraction(0))
        counts.append(int(total))
    return counts


def _kinds(all_decorations: Sequence[Decorations]) -> _Kinds:
    """Tell apart the elements that the slots tell apart; those of slots with several roles are a kind each."""
    signature: dict[int, list[object]] = {}
    for which, decorations in enumerate(all_decorations):
        for place, slot in enumerate(decorations.slots):
            for row in slot.choices.tolist():
                for number in row:
                    mark = number if len(row) > 1 else True
                    signature.setdefault(number, []).append((which, place, mark))
    names: dict[tuple[object, ...], int] = {}
    kind = {number: names.setdefault(tuple(dict.fromkeys(marks)), len(names)) for number, marks in signature.items()}
    size = [0] * len(names)
    for one in kind.values():
        size[one] += 1
    taken = [
        [{tuple(kind[number] for number in row) for row in slot.choices.tolist()} for slot in decorations.slots]
        for decorations in all_decorations
    ]
    return _Kinds(size, taken)


def _count(
    all_decorations: Sequence[Decorations], which: int, before: Iterable[int], pattern: Pattern, kinds: _Kinds
) -> Fraction:
    """Candidates of one prototype whose roles share elements as the pattern says."""
    decorations = all_decorations[which]
    own = decorations.prototype.equivalents(pattern)
    others = [
        (place, labels)
        for place in before
        for labels in decorations.images_in(pattern, all_decorations[place])
        if all_decorations[place].repeat_elements or len(set(labels)) == len(labels)
    ]
    total = Fraction(0)
    for ways, blocks in _assignments(decorations, which, pattern, kinds):
        if any(_allowed(all_decorations[place], kinds.taken[place], blocks, labels) for place, labels in others):
            continue
        orders = sum(_allowed(decorations, kinds.taken[which], blocks, labels) for labels in own)
        total += Fraction(ways, orders)
    return total


def _allowed(
    decorations: Decorations, taken: list[set[tuple[int, ...]]], blocks: Sequence[int], labels: Sequence[int]
) -> bool:
    """Whether the slots take the kinds in the blocks, put into the roles as the labels say."""
    return all(
        tuple(blocks[labels[role]] for role in slot.roles) in kinds
        for slot, kinds in zip(decorations.slots, taken, strict=True)
    )


def _assignments(
    decorations: Decorations, which: int, pattern: Pattern, kinds: _Kinds
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Give the ways to put a kind into each block that the slots allow, and how many decorations each stands for."""
    taken = kinds.taken[which]
    by_role = [set[int]() for _ in pattern]
    for slot, rows in zip(decorations.slots, taken, strict=True):
        for place, role in enumerate(slot.roles):
            by_role[role] |= {row[place] for row in rows}
    n_blocks = max(pattern) + 1
    choices = [
        sorted(set.intersection(*(by_role[role] for role, block in enumerate(pattern) if block == wanted)))
        for wanted in range(n_blocks)
    ]

    def choose(blocks: tuple[int, ...], ways: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        if len(blocks) == n_blocks:
            if _allowed(decorations, taken, blocks, pattern):
                yield ways, blocks
            return
        for kind in choices[len(blocks)]:
            left = kinds.size[kind] - blocks.count(kind)
            if left > 0:
                yield from choose((*blocks, kind), ways * left)

    yield from choose((), 1)
