"""Names of entries and lists of names."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pymatgen.core.composition import Composition, reduce_formula

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import FractionTable

EntryId: TypeAlias = str | int

_NAMED_AT_MOST = 3  # entries in an error message
_WHOLE = 3e-8  # by which amounts may miss whole numbers
_LARGEST_MULTIPLE = 60  # of the smallest amount; compositions that need more are left to pymatgen
_LARGEST_DENOMINATOR = 1000  # of an amount that pymatgen makes a whole number
_SAME_FRACTION = 1e-8  # by which whole numbers may miss the fractions they are written for
_DIGITS = 6  # significant, of an amount that is no whole number
_LARGEST_UNIT = 9  # atoms of one element that other amounts are counted by


def names_from_formulas(
    table: FractionTable,
    energies: NDArray[np.float64],
    given: Sequence[EntryId | None],
    taken: Container[object] = (),
) -> list[EntryId]:
    """Fill in missing ids: the reduced formula, and NaCl#2, NaCl#3 for the higher entries of a composition.

    The same entries get the same ids in any order, unless two of them agree in energy.
    """
    names = list(given)
    used = {name for name in given if name is not None}
    unnamed = [row for row, name in enumerate(given) if name is None]
    formulas = dict(zip(unnamed, reduced_formulas(table, unnamed), strict=True))
    for row in sorted(unnamed, key=lambda row: (formulas[row], energies[row])):
        name, count = formulas[row], 1
        while name in used or name in taken:
            count += 1
            name = f"{formulas[row]}#{count}"
        used.add(name)
        names[row] = name
    return [name for name in names if name is not None]


def formula(table: FractionTable, row: int) -> str:
    """Reduced formula of one row, as `reduced_formulas` writes it."""
    return reduced_formulas(table, [row])[0]


def reduced_formulas(table: FractionTable, rows: Sequence[int]) -> list[str]:
    """Reduced formulas of rows, as pymatgen writes them.

    A composition that small whole numbers do not give is written with decimals, such as Fe0.9471O: a formula of
    another composition would be no name of it, and its reactions would not balance.
    """
    fractions = table.fractions[list(rows)]
    whole = _whole_amounts(fractions)
    names = []
    for amounts, exact in zip(whole, fractions, strict=True):
        columns = np.flatnonzero(exact).tolist()
        if amounts.any():
            names.append(_write(tuple((table.elements[c], int(amounts[c])) for c in columns)))
        else:
            names.append(_from_pymatgen({table.elements[c]: float(exact[c]) for c in columns}))
    return names


def some(things: Iterable[object]) -> str:
    """Name a few of many things.

    Examples
    --------
    >>> some(["NaCl", "KCl", "LiF", "LiCl", "RbF"])
    'NaCl, KCl, LiF and 2 more'
    """
    words = [str(thing) for thing in things]
    rest = len(words) - _NAMED_AT_MOST
    return ", ".join(words[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _whole_amounts(fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Smallest whole numbers in the ratio of fractions, shape (n, k); a row of 0 where they would be large."""
    whole = np.zeros(fractions.shape, dtype=np.int64)
    smallest = np.where(fractions > 0, fractions, np.inf).min(axis=1, initial=np.inf)
    left = np.arange(len(fractions))
    for multiple in range(1, _LARGEST_MULTIPLE + 1):
        if not len(left):
            break
        amounts = fractions[left] / smallest[left, None] * multiple
        nearest = np.rint(amounts)
        good = (np.abs(amounts - nearest) < _WHOLE).all(axis=1)
        whole[left[good]] = nearest[good].astype(np.int64)
        left = left[~good]
    return whole


@cache
def _special_formulas() -> dict[str, str]:
    """Formulas that pymatgen does not reduce, such as Li2O2, by their reduced form."""
    return Composition.special_formulas


def _write(amounts: tuple[tuple[str, int], ...]) -> str:
    if len(amounts) == 1:
        return _from_pymatgen({amounts[0][0]: 1.0})
    written, _ = reduce_formula(dict(amounts))
    return _special_formulas().get(written, written)


@cache
def _element(symbol: str) -> str:
    return str(Composition({symbol: 1}).reduced_formula)


def _from_pymatgen(amounts: dict[str, float]) -> str:
    """Write the formula of atomic fractions, in whole numbers where they are exact, else in decimals."""
    if len(amounts) == 1:
        return _element(next(iter(amounts)))
    whole, _ = Composition(amounts).get_integer_formula_and_factor(max_denominator=_LARGEST_DENOMINATOR)
    written = Composition(whole)
    is_exact = all(abs(written.get_atomic_fraction(one) - share) < _SAME_FRACTION for one, share in amounts.items())
    return str(written.reduced_formula) if is_exact else _in_decimals(amounts)


def _in_decimals(fractions: dict[str, float]) -> str:
    """Write atomic fractions as the formula of fewest digits in which some amount is a small whole number.

    Where none is exact, amounts are counted by the largest.
    """
    largest = max(fractions.values())
    texts = {symbol: _digits(fraction / largest) for symbol, fraction in fractions.items()}
    least = np.inf
    for share, unit in product(sorted(fractions.values(), reverse=True), range(1, _LARGEST_UNIT + 1)):
        amounts = {symbol: fraction / share * unit for symbol, fraction in fractions.items()}
        tried = {symbol: _digits(amount) for symbol, amount in amounts.items()}
        exact = all(abs(float(tried[symbol]) / amount - 1) < _SAME_FRACTION for symbol, amount in amounts.items())
        length = sum(map(len, tried.values())) + unit
        if exact and length < least:
            texts, least = tried, length
    ordered = [part.removesuffix("1") for part in Composition(dict.fromkeys(fractions, 1)).formula.split()]
    return "".join(symbol if texts[symbol] == "1" else symbol + texts[symbol] for symbol in ordered)


def _digits(amount: float) -> str:
    """Write an amount without exponent, which a formula does not know."""
    return np.format_float_positional(amount, precision=_DIGITS, fractional=False, trim="-")
