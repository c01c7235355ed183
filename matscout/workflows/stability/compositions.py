"""Compositions as rows of atomic fractions, grouped by chemical system."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element, get_el_sp

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Amounts: TypeAlias = "tuple[NDArray[np.float64], Sequence[str]]"
Compositions: TypeAlias = "Sequence[Composition | str | Mapping[str, float]] | Composition | str | Amounts"
"""Formulas or Compositions; or amounts of shape (n, k) with the symbols of their k elements, for tables of millions."""

System: TypeAlias = tuple[str, ...]
"""A chemical system: its element symbols in alphabetical order."""

# Two compositions are one when their fractions agree to half a step of this grid, 3e-9. Its many small divisors put
# fractions such as 1/3 on grid points, where rounding noise cannot tip them to either side.
GRID = 2**8 * 3**3 * 5**2 * 7 * 11 * 13
_ROUNDING = 0.618  # not half a step, where fractions of other small divisors, such as 1/512, lie
_SMALLEST_FRACTION = 1e-8
_ISOTOPES = {"D": "H", "T": "H"}  # as a Composition has them
_SYMBOL_AND_AMOUNT = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")
_PLAIN_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")


@dataclass(frozen=True, eq=False)
class FractionTable:
    """Atomic fractions.

    Attributes
    ----------
    fractions
        Shape (n, k); each row sums to 1.
    elements
        Symbols of the k columns, in alphabetical order.
    atoms
        Atoms in each formula as it was given, shape (n,).
    """

    fractions: NDArray[np.float64]
    elements: System
    atoms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.fractions)

    def by_system(self) -> Iterator[tuple[System, NDArray[np.intp], NDArray[np.float64]]]:
        """Yield each chemical system with its rows and their fractions of its own elements, in a fixed order."""
        for system, rows, columns in self._groups:
            yield system, rows, self.fractions[rows[:, None], columns]

    @cached_property
    def _groups(self) -> list[tuple[System, NDArray[np.intp], NDArray[np.intp]]]:
        if not len(self):
            return []
        # Which elements a row holds, as a few whole numbers: sorting these takes a tenth of sorting rows of bytes.
        bits = np.packbits(self.fractions > 0, axis=1)
        words = np.ascontiguousarray(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))).view(np.uint64)
        order = np.lexsort(words.T)
        differs = (np.diff(words[order], axis=0) != 0).any(axis=1)
        rows_by_group = np.split(order, np.flatnonzero(differs) + 1)
        rows_by_group.sort(key=lambda rows: bytes(bits[rows[0]]))
        first = bits[[rows[0] for rows in rows_by_group]]
        columns = [np.flatnonzero(row) for row in np.unpackbits(first, axis=1, count=len(self.elements))]
        names = [tuple(self.elements[c] for c in some.tolist()) for some in columns]
        return list(zip(names, rows_by_group, columns, strict=True))


def system_of(elements: str | Sequence[str]) -> System:
    """Return the chemical system of "Li-Fe-O", or of its elements, in alphabetical order.

    Examples
    --------
    >>> system_of("Li-Fe-O")
    ('Fe', 'Li', 'O')
    """
    named = elements.split("-") if isinstance(elements, str) else elements
    symbols = [str(symbol).strip() for symbol in named]
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise UserError(f"unknown element {symbol!r} in the chemical system {elements!r}; write it as Li-Fe-O")
    return tuple(sorted(set(symbols)))


def fraction_table(compositions: Compositions, labels: Sequence[object] | None = None) -> FractionTable:
    """Parse compositions and normalise them to atomic fractions, so that Na2Cl2 is NaCl.

    Parameters
    ----------
    compositions
        n formulas, Compositions or {symbol: amount}; or (amounts (n, k), k symbols).
    labels
        n names for error messages, such as entry ids.

    Raises
    ------
    UserError
        A composition is empty, not a formula, or holds something that is no element or has a negative amount; or there
        are not n names.
    """
    given: Any = compositions
    if isinstance(given, AbstractSet):
        raise UserError("compositions given as a set have no order: give them as a list")
    if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], str | Mapping):
        return _from_amounts(np.asarray(given[0], dtype=float), [str(symbol) for symbol in given[1]], labels)
    if isinstance(given, np.ndarray) and given.dtype.kind in "iuf":
        raise UserError("amounts need the symbols of their columns: give both as (amounts, symbols)")
    if isinstance(given, str | Mapping) or hasattr(given, "composition"):
        given = [given]
    parsed = [_amounts_of(composition, i, labels) for i, composition in enumerate(given)]
    symbols = sorted({symbol for amounts in parsed for symbol in amounts})
    column = {symbol: i for i, symbol in enumerate(symbols)}
    values = np.zeros((len(parsed), len(symbols)))
    for row, amounts in zip(values, parsed, strict=True):
        for symbol, amount in amounts.items():
            row[column[symbol]] = amount
    return _from_amounts(values, symbols, labels)


def grid_keys(fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole numbers that are equal for equal compositions, shape as `fractions`."""
    return np.floor(fractions * GRID + _ROUNDING).astype(np.int64)


def _place(i: int, labels: Sequence[object] | None) -> str:
    return (
        f"the composition of entry {labels[i]}"
        if labels is not None and i < len(labels) and labels[i] is not None
        else f"composition {i}"
    )


def _amounts_of(
    composition: Composition | str | Mapping[str, float], i: int, labels: Sequence[object] | None
) -> dict[str, float]:
    composition = getattr(composition, "composition", composition)  # of a Structure or an entry
    if not isinstance(composition, str | Mapping):
        kind = type(composition).__name__
        raise UserError(f"{_place(i, labels)} is a {kind}, not a formula: give a formula or a Composition")
    if not composition:
        return {}
    if isinstance(composition, str) and _PLAIN_FORMULA.fullmatch(composition):
        return _plain_amounts(composition)
    try:
        if isinstance(composition, Mapping):
            return _summed(composition)
        return _summed(Composition(composition))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UserError(f"{_place(i, labels)} is not a formula: {composition!r:.60} ({error})") from error


def _summed(amounts: Mapping[str, float]) -> dict[str, float]:
    """Amounts by element, of any size, where a Composition would leave out small ones and those that are no number."""
    found: dict[str, float] = {}
    for name, amount in amounts.items():
        species = get_el_sp(name)
        symbol = species.symbol
        found[symbol] = found.get(symbol, 0.0) + float(amount)
    return found


def _plain_amounts(formula: str) -> dict[str, float]:
    """Read a formula without brackets, some ten times as fast as a Composition does."""
    amounts: dict[str, float] = {}
    for written, amount in _SYMBOL_AND_AMOUNT.findall(formula):
        symbol = _ISOTOPES.get(written, written)
        amounts[symbol] = amounts.get(symbol, 0.0) + (float(amount) if amount else 1.0)
    return amounts


def _from_amounts(values: NDArray[np.float64], symbols: list[str], labels: Sequence[object] | None) -> FractionTable:
    if values.ndim != 2 or values.shape[1] != len(symbols):
        raise UserError(f"amounts have shape {values.shape}, expected (n, {len(symbols)}) for {len(symbols)} elements")
    if labels is not None and len(labels) != len(values):
        raise UserError(f"{len(values)} compositions but {len(labels)} ids")
    if len(set(symbols)) < len(symbols):
        raise UserError(f"an element has amounts twice: {', '.join(symbols)}")
    for column, symbol in enumerate(symbols):
        if not Element.is_valid_symbol(symbol):
            rows = np.flatnonzero(values[:, column])
            place = _place(int(rows[0]), labels) if len(rows) else "the table of amounts"
            raise UserError(f"{place} holds {symbol!r}, which is not an element")
    total = values.sum(axis=1, keepdims=True)  # NaN or infinite where an amount is
    bad = ~np.isfinite(total[:, 0]) | (values.min(axis=1, initial=0.0) < 0)
    if bad.any():
        raise UserError(f"{_place(int(bad.argmax()), labels)} has an amount that is negative or not a number")
    if (total == 0).any():
        raise UserError(f"{_place(int((total == 0).argmax()), labels)} is empty")
    small = (values > 0) & (values < _SMALLEST_FRACTION * total)
    if small.any():
        values = np.where(small, 0.0, values)
        total = values.sum(axis=1, keepdims=True)
    order = sorted(range(len(symbols)), key=symbols.__getitem__)
    values = values if order == list(range(len(symbols))) else values[:, order]
    return FractionTable(values / total, tuple(symbols[i] for i in order), total[:, 0])
