"""Formulas read: thousands of plain ones at once from their bytes, those with brackets one by one.

Neither way takes longer than the formula is long, and no nesting is too deep. What is read is what pymatgen reads, but
that an element written with the amount 0 is an error here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers, symbols
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LONGEST = 10_000
"""Characters of the longest formula that is read."""

LEAST, MOST = 1e-8, 1e100
"""Amounts that are read. Below the first pymatgen takes an amount for none; above the second sums overflow."""

ISOTOPES = {"D": 1, "T": 1}
"""Symbols of deuterium and tritium, which count as hydrogen."""


class Terms(NamedTuple):
    """Terms of plain formulas: an element and its amount, one after the other.

    Attributes
    ----------
    rows
        Which formula each term is of, ascending, shape (n_terms,).
    numbers
        Atomic numbers, shape (n_terms,).
    values
        Amounts, shape (n_terms,).
    others
        Formulas that are not plain, or not right: `read_formula` reads each, or says what is wrong.
    """

    rows: NDArray[np.intp]
    numbers: NDArray[np.uint8]
    values: NDArray[np.float64]
    others: NDArray[np.intp]


_OTHER, _UPPER, _LOWER, _DIGIT, _POINT, _END = range(6)


@cache
def _kinds() -> NDArray[np.uint8]:
    """Kind of each byte, shape (256,)."""
    kinds = np.full(256, _OTHER, dtype=np.uint8)
    for kind, characters in ((_UPPER, "AZ"), (_LOWER, "az"), (_DIGIT, "09"), (_POINT, ".."), (_END, "\n\n")):
        kinds[ord(characters[0]) : ord(characters[1]) + 1] = kind
    return kinds


@cache
def _number_of_symbol() -> NDArray[np.uint8]:
    """Atomic number of a symbol's letters, shape (26, 27); 0 where there is no such element."""
    table = np.zeros((26, 27), dtype=np.uint8)
    for symbol, number in (atomic_numbers() | ISOTOPES).items():
        table[ord(symbol[0]) - ord("A"), ord(symbol[1]) - ord("a") + 1 if len(symbol) == 2 else 0] = number
    return table


def read_plain(formulas: Sequence[str]) -> Terms:
    """Read the formulas that have neither brackets nor blanks nor an element twice, all at once.

    Parameters
    ----------
    formulas
        n texts, none with a line break in it.
    """
    text = "\n".join(formulas) + "\n"
    codes = np.frombuffer(text.encode("ascii", errors="replace"), dtype=np.uint8)
    kinds = _kinds()[codes]
    before = np.concatenate([np.array([_END], dtype=np.uint8), kinds[:-1]])
    breaks = np.flatnonzero(kinds == _END)
    starts = np.flatnonzero(kinds == _UPPER)
    line = np.cumsum(kinds == _END)
    rows = line[starts]

    two_letters = kinds[starts + 1] == _LOWER
    second = np.where(two_letters, codes[starts + 1] - np.uint8(ord("a") - 1), 0)
    numbers = _number_of_symbol()[codes[starts] - np.uint8(ord("A")), second]
    digits = starts + 1 + two_letters
    ends = np.append(starts[1:], len(codes))
    ends = np.minimum(ends, breaks[rows])
    values = _values(text, codes, kinds, digits, ends)

    wrong = (kinds == _OTHER) | ((kinds == _LOWER) & (before != _UPPER))
    wrong |= ((kinds == _DIGIT) | (kinds == _POINT)) & (before == _END)
    is_other = np.bincount(rows, minlength=len(formulas)) == 0
    is_other[line[wrong]] = True
    is_other[rows[(numbers == 0) | ~((values >= LEAST) & (values <= MOST))]] = True
    is_other[_repeating(rows, numbers)] = True
    kept = ~is_other[rows]
    return Terms(rows[kept], numbers[kept], values[kept], np.flatnonzero(is_other))


def _values(
    text: str, codes: NDArray[np.uint8], kinds: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Amounts written between `starts` and `ends`: 1 where nothing is, NaN where it is no number."""
    length = ends - starts
    values = np.where(length == 0, 1.0, 0.0)
    points = np.cumsum(kinds == _POINT)
    has_point = points[ends - 1] > points[starts - 1]
    short = (length <= 4) & ~has_point
    for place in range(4):
        chosen = np.flatnonzero(short & (length > place))
        values[chosen] = 10 * values[chosen] + (codes[starts[chosen] + place] - np.uint8(ord("0")))
    for term in np.flatnonzero(~short).tolist():
        values[term] = _number(text[starts[term] : ends[term]])
    return values


def _number(digits: str) -> float:
    try:
        return float(digits)
    except ValueError:
        return np.nan


def _repeating(rows: NDArray[np.intp], numbers: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Rows in which an element stands twice."""
    found = [np.empty(0, dtype=np.intp)]
    later = np.arange(len(rows))
    for distance in range(1, N_ELEMENTS):
        later = later[later >= distance]
        later = later[rows[later] == rows[later - distance]]
        if not len(later):
            break
        found.append(rows[later[numbers[later] == numbers[later - distance]]])
    found.append(rows[later])  # more terms than there are elements
    return np.concatenate(found)


_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_PART = re.compile(rf"[\s@]*(?:(?P<open>[(\[{{])|(?:(?P<symbol>[A-Z][a-z]*)|[)\]}}])\s*(?P<amount>{_NUMBER})?)")
_BLANK = re.compile(r"[\s@]*")


def read_formula(formula: str) -> dict[int, float]:
    """Read one formula, with or without brackets.

    Returns
    -------
    Amount of each element by atomic number, in the order of the formula.

    Raises
    ------
    UserError
        It is no formula; the message says why, for a text with the formula in front.

    Examples
    --------
    >>> read_formula("Ca3(PO4)2")
    {20: 3.0, 15: 2.0, 8: 8.0}
    """
    if len(formula) > LONGEST:
        raise UserError(f"is too long: {len(formula)} characters, at most {LONGEST} are read")
    amounts = _parsed(formula.rstrip())
    if not amounts:
        raise _no_formula("it is empty")
    for number, amount in amounts.items():
        check_amount(symbols()[number], amount)
    return amounts


def _parsed(formula: str) -> dict[int, float]:
    groups: list[dict[int, float]] = [{}]  # that are open, the formula itself first
    place = 0
    while place < len(formula):
        found = _PART.match(formula, place)
        if found is None:
            raise _no_formula(_what_is_wrong(formula, place))
        place = found.end()
        if found["open"]:
            groups.append({})
            continue
        amount = 1.0 if found["amount"] is None else float(found["amount"])
        if found["symbol"]:
            _add(groups[-1], {_atomic_number(found["symbol"]): 1.0}, amount)
        elif len(groups) == 1:
            raise _no_formula("a bracket is closed that was not opened")
        elif not groups[-1]:
            raise _no_formula("there is nothing between two brackets")
        else:
            group = groups.pop()
            _add(groups[-1], group, amount)
    if len(groups) > 1:
        raise _no_formula("a bracket is not closed")
    return groups[0]


def _add(total: dict[int, float], group: dict[int, float], amount: float) -> None:
    for number, inside in group.items():
        if amount == 0:
            check_amount(symbols()[number], amount)
        total[number] = total.get(number, 0.0) + inside * amount


def check_amount(symbol: str, amount: float) -> None:
    """Refuse an amount that is not positive, or of no size that numbers can be made of.

    Raises
    ------
    UserError
        It says what is wrong, for a text with the formula in front.
    """
    if not LEAST <= amount <= MOST:
        size = "is not positive" if amount <= 0 else f"is not between {LEAST:g} and {MOST:g}"
        raise UserError(f"has an amount that {size}: {amount:g} of {symbol}")


def _atomic_number(symbol: str) -> int:
    number = atomic_numbers().get(symbol, ISOTOPES.get(symbol))
    if number is None:
        raise _no_formula(f"there is no element {symbol[:20]}")
    return number


def _no_formula(reason: str) -> UserError:
    return UserError(f"is no formula: {reason}. Write it like Fe2O3 or Ca3(PO4)2")


_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"


def _what_is_wrong(formula: str, place: int) -> str:
    """Say what stands at a place where an element or a bracket should."""
    blank = _BLANK.match(formula, place)
    place = blank.end() if blank else place
    character = formula[place]
    if character in _SUBSCRIPTS:
        plain = formula.translate(str.maketrans(_SUBSCRIPTS, "0123456789"))
        return f"write its numbers on the line, {plain[:40]!r}"
    if character in "+-\u2212\u207a\u207b\u00b9\u00b2\u00b3":
        return f'"{character}" after {place} characters: charges and negative amounts are not read'
    if character in "*\u00b7\u2022\u22c5\u2219":
        return f'"{character}" after {place} characters: write a hydrate with brackets, CuSO4(H2O)5'
    if character.islower():
        return f"{character!r} after {place} characters: symbols begin with a capital letter"
    return f"{character!r} after {place} characters is neither an element nor a bracket"
