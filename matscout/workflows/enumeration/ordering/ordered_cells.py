"""Mixed sites: the ordered cells in which several elements share the sites of one role.

icet enumerates them (Hart and Forcade, Phys. Rev. B 77, 224115 (2008), doi:10.1103/PhysRevB.77.224115, and 80, 014120
(2009), doi:10.1103/PhysRevB.80.014120). It takes elements for different things; here parts of equal size may be
exchanged, as the candidates get their elements both ways. And its answer is checked: the labellings that each ordered
cell stands for must add up to the number of all labellings, which is known in closed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.db.prototypes import SYMPREC, Prototype
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.ordering._orderings import Divided, ideal_operations, lifted_swaps, orderings
from matscout.workflows.enumeration.ordering._sublattices import find_operations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matscout.workflows.enumeration.ordering._orderings import Ordering

#: Parts into which the sites of a role may be divided.
MAX_PARTS = 12

_TERM = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


def ordered_prototypes(
    prototype: Prototype, mixtures: Mapping[str, Sequence[int]], *, max_cells: int = 1, limit: int = 10_000
) -> list[Prototype]:
    """Find the ordered cells of a prototype whose roles are divided among several elements.

    Two cells are one when an isometry carries one onto the other, parts of equal size exchanged or not: whoever puts
    elements into the parts puts them there in both orders.

    Parameters
    ----------
    prototype
        The prototype.
    mixtures
        By role, the parts into which its sites are divided: (2, 1) puts one element on two thirds of them.
    max_cells
        Primitive cells of the prototype that an ordered cell may have.
    limit
        More ways to divide the sites of a cell, or surely more ordered cells, are refused.

    Returns
    -------
    Prototypes in which `X.1` and `X.2` stand in the place of `X`. Ordered by the number of sites, then by space group
    from high to low, then by their distances. No cell repeats a smaller one.

    Raises
    ------
    UserError
        An unknown role; parts that are not positive integers, or do not fit into so many cells; too many orderings.

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> (oxynitride,) = ordered_prototypes(get_prototype("cubic-perovskite"), {"X": (2, 1)})
    >>> oxynitride
    Prototype('cubic-perovskite(X=2:1)#1', roles=('A', 'B', 'X.1', 'X.2'), n_sites=5)
    >>> double = ordered_prototypes(get_prototype("cubic-perovskite"), {"B": (1, 1)}, max_cells=2)
    >>> [ordered.space_group for ordered in double]  # rock salt, layered, columnar
    [225, 123, 123]
    """
    divided = Divided.of(prototype, mixtures)
    sizes = divided.sizes(max_cells)
    operations = find_operations(divided.crystal, divided.crystal.roles, SYMPREC)
    expected = divided.expected(sizes, operations, limit)
    found = sorted(orderings(divided, operations, expected), key=attrgetter("sort_key"))
    swaps = ideal_operations(prototype, divided.crystal)
    return [
        _derived(divided, ordering, lifted_swaps(swaps, ordering), place, len(found))
        for place, ordering in enumerate(found, start=1)
    ]


def _derived(
    divided: Divided, ordering: Ordering, ideal_swaps: tuple[tuple[int, ...], ...], place: int, of: int
) -> Prototype:
    parent, crystal = divided.prototype, ordering.crystal
    scale = (abs(np.linalg.det(parent.lattice)) / parent.n_sites) ** (1 / 3)
    which = f", ordered cell {place} of {of}" if of > 1 else ""
    n_sites = len(crystal.roles)
    return Prototype(
        name=f"{parent.name}({divided.formula})#{place}",
        label="",
        roles=divided.roles,
        lattice=scale * crystal.lattice,
        frac_coords=crystal.frac_coords,
        role_of_site=crystal.roles,
        description=f"{parent.name} with {divided.said}{which}, {n_sites} sites, {ordering.symbol}",
        source=parent.source,
        ideal_swaps=ideal_swaps,
    )


# mixtures as text


@dataclass(frozen=True)
class Mixture:
    """Elements that share the sites of a role.

    Parameters
    ----------
    elements
        Symbols; those of equal parts in alphabetical order.
    parts
        How many sites each has, from many to few, without a common divisor.
    """

    elements: tuple[str, ...]
    parts: tuple[int, ...]


def parse_mixture(text: str) -> Mixture | None:
    """Read elements with their amounts on the sites of one role.

    Parameters
    ----------
    text
        Symbols with amounts, whole (`O2N`) or decimal (`Sr0.75Ba0.25`); 1 where none is written.

    Returns
    -------
    None for one element without an amount.

    Raises
    ------
    UserError
        Something else; an unknown element, or one twice; an amount of nothing; amounts that divide the sites into more
        than 12 parts.

    Examples
    --------
    >>> parse_mixture("ON2")
    Mixture(elements=('N', 'O'), parts=(2, 1))
    >>> parse_mixture("Sr0.5Ba0.5")
    Mixture(elements=('Ba', 'Sr'), parts=(1, 1))
    """
    amounts = _amounts(text)
    if len(amounts) == 1 and amounts == {text: 1}:
        return None
    if len(amounts) == 1:
        raise UserError(
            f'"{text}" is one element with an amount: write {next(iter(amounts))}, or a mixture such as O2N'
        )
    parts = _whole(amounts)
    if sum(parts.values()) > MAX_PARTS:
        raise UserError(
            f'mixture "{text}" divides the sites into {sum(parts.values())} parts, more than {MAX_PARTS}'
            + _near(amounts)
        )
    elements = sorted(parts, key=lambda element: (-parts[element], element))
    return Mixture(tuple(elements), tuple(parts[element] for element in elements))


def _amounts(text: str) -> dict[str, Fraction]:
    """Amounts by element, as they are written."""
    if not isinstance(text, str) or not text:
        raise UserError(f"a mixture is written as O2N or Sr0.75Ba0.25, got {text!r}")
    terms = list(_TERM.finditer(text))
    if "".join(term[0] for term in terms) != text or any(term[2] == "." for term in terms):
        charged = ": its elements carry no charges" if set("+-") & set(text) else ""
        raise UserError(f'"{text}" is not a mixture{charged}; write symbols with amounts, such as O2N or Sr0.75Ba0.25')
    amounts: dict[str, Fraction] = {}
    for symbol, amount in (term.groups() for term in terms):
        if symbol not in atomic_numbers():
            close = nearest(symbol, atomic_numbers())
            raise UserError(f'mixture "{text}": unknown element "{symbol}".' + (f" Nearest: {close}." if close else ""))
        if symbol in amounts:
            raise UserError(f'mixture "{text}" names {symbol} twice')
        amounts[symbol] = Fraction(amount or 1)
        if not amounts[symbol]:
            raise UserError(f'mixture "{text}": the amount of {symbol} is 0')
    return amounts


def _whole(amounts: Mapping[str, Fraction]) -> dict[str, int]:
    """Amounts as whole numbers without a common divisor."""
    denominator = lcm(*(amount.denominator for amount in amounts.values()))
    whole = {element: int(amount * denominator) for element, amount in amounts.items()}
    return {element: number // gcd(*whole.values()) for element, number in whole.items()}


def _near(amounts: Mapping[str, Fraction]) -> str:
    """Name the nearest mixture of few parts, for a message; empty where rounding leaves no whole sites."""
    total = sum(amounts.values())
    for denominator in range(len(amounts), MAX_PARTS + 1):
        counts = {element: round(amount / total * denominator) for element, amount in amounts.items()}
        error = max(abs(amounts[e] / total - Fraction(n, denominator)) for e, n in counts.items())
        if sum(counts.values()) == denominator and all(counts.values()) and error < 0.02:
            written = "".join(e if n == 1 else f"{e}{n}" for e, n in counts.items())
            return f"; {written} is near"
    return ""
