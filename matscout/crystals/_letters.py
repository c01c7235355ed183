"""Wyckoff letters: which of them are one position under another name, and the one way to write an occupation.

The letters of a crystal depend on the origin and on the axes: in cubic perovskite either cation may sit on a, and the
anions then on c or on d. What may be exchanged is the action of the affine normaliser of the space group on its
letters. pymatgen ships it for the groups from 15 on, and for lower ones only as far as it leaves a general lattice
unchanged; but two cells of one monoclinic crystal, or two monoclinic crystals of one type, differ by more: by the
choice of a and c within their plane.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from matscout.crystals._wyckoff import shipped_relabelings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Letters that another choice of basis vectors exchanges, and no shift of the origin, by space group in spglib's
#: setting; together with pymatgen's they generate the normaliser's whole action.
_OTHER_AXES: dict[int, tuple[str, ...]] = {
    2: ("de fh", "cd fg", "bc ef"),
    3: ("cd", "bd"),
    10: ("dg eh jl", "cg fh kl"),
    11: ("bd", "cd"),
    12: ("cd", "ef"),
    13: ("ef",),
    14: ("bd",),
}

#: The second space group of each enantiomorphic pair with the first; their letters agree.
_MIRRORED = {
    78: 76,
    95: 91,
    96: 92,
    145: 144,
    153: 151,
    154: 152,
    170: 169,
    172: 171,
    179: 178,
    181: 180,
    213: 212,
}


def unhanded(space_group: int) -> int:
    """Return the space group, or the lower one of its enantiomorphic pair: a crystal and its mirror image share it.

    Examples
    --------
    >>> unhanded(154), unhanded(221)
    (152, 221)
    """
    return _MIRRORED.get(space_group, space_group)


@cache
def relabelings(space_group: int) -> tuple[dict[int, str], ...]:
    """Return all exchanges of Wyckoff letters that leave a crystal what it is, as tables of `str.translate`.

    Examples
    --------
    >>> [table[ord("c")] for table in relabelings(221)]
    ['c', 'd']
    """
    shipped = shipped_relabelings(space_group)
    names = "".join(map(chr, shipped[0]))
    pairs = [(swap[::3], swap[1::3]) for swap in _OTHER_AXES.get(space_group, ())]
    swaps = [str.maketrans(first + second, second + first) for first, second in pairs]
    generators: list[dict[int, Any]] = [*shipped, *swaps]
    found = dict.fromkeys([names, *(names.translate(table) for table in shipped)])
    queue = list(found)
    for image in queue:  # grows while it is gone through
        for table in generators:
            new = image.translate(table)
            if new not in found:
                found[new] = None
                queue.append(new)
    return tuple(dict(zip(map(ord, names), image, strict=True)) for image in found)


@lru_cache(maxsize=4096)
def canonical_letters(letters: str, space_group: int) -> str:
    """Write the occupied positions with the first letters that an equivalent choice of origin and axes gives them.

    Parameters
    ----------
    letters
        Positions of each element, every letter behind its number, elements separated by `_`: `1b_3d_1a`.
    space_group
        Number of the space group.

    Returns
    -------
    As AFLOW writes them, without ones. The order is pymatgen's: the smallest sum of places in the alphabet, of equal
    ones the first text.

    Examples
    --------
    >>> canonical_letters("1b_3d_1a", 221)
    'a_3c_b'
    """
    return _best(map(_sorted_and_scored, _renamed(letters, space_group)))


@lru_cache(maxsize=4096)
def anonymous_letters(letters: str, space_group: int, amounts: tuple[int, ...]) -> str:
    """Write the occupied positions without regard to which of the elements of equal amounts is which.

    Parameters
    ----------
    letters
        As for `canonical_letters`, elements by growing amount.
    space_group
        Number of the space group.
    amounts
        Atoms of each element in a formula unit, in the same order.

    Examples
    --------
    >>> anonymous_letters("1b_1a_1d", 216, (1, 1, 1))
    'a_b_c'
    """
    scored = map(_sorted_and_scored, _renamed(letters, space_group))
    return _best((_in_order(text, amounts), score) for text, score in scored)


def _renamed(letters: str, space_group: int) -> Sequence[str]:
    return list(dict.fromkeys(letters.translate(table) for table in relabelings(space_group)))


def _sorted_and_scored(letters: str) -> tuple[str, int]:
    """Write an occupation as AFLOW does, and the sum of the letters' places in the alphabet; A, behind z, counts 0."""
    elements = [
        sorted(re.findall(r"(\d+)([a-zA-Z])", element), key=lambda pair: pair[1]) for element in letters.split("_")
    ]
    text = "_".join("".join((count if count != "1" else "") + letter for count, letter in pairs) for pairs in elements)
    return text, sum(0 if letter == "A" else ord(letter) - 96 for pairs in elements for _, letter in pairs)


def _best(scored: Iterable[tuple[str, int]]) -> str:
    return min(scored, key=lambda written: (written[1], written[0]))[0]


def _in_order(text: str, amounts: tuple[int, ...]) -> str:
    """Sort the positions of elements with equal amounts."""
    by_amount = groupby(zip(amounts, text.split("_"), strict=True), key=lambda pair: pair[0])
    # with the separator behind them, so that the joined text comes first too
    return "_".join(part for _, pairs in by_amount for part in sorted((one for _, one in pairs), key=lambda s: s + "_"))
