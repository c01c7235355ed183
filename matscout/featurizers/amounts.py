"""How much of which element: formulas, compositions and candidates brought into one compact form.

A row keeps only the elements it holds, in the order in which they are written: a ternary costs three numbers, not 118.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.elements import atomic_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

_PLAIN_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*(?:\.\d+)?)+")
_LONGEST = 1000  # characters; pymatgen's parser takes a time that grows with the square
_TERM = re.compile(r"([A-Z][a-z]?)(\d*(?:\.\d+)?)")


@runtime_checkable
class AmountTable(Protocol):
    """What a `CandidateTable` offers to a composition featurizer."""

    def __len__(self) -> int: ...

    def amounts(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Amounts, shape (n, n_elements), and the symbols of the columns."""

    def chunks(self, size: int) -> Iterator[Any]:
        """Parts of at most `size` rows, in order."""


@dataclass(frozen=True, eq=False)
class Amounts:
    """Elements and amounts of n compositions with at most k elements each.

    Attributes
    ----------
    elements
        Atomic numbers, shape (n, k). A row with fewer than k elements is filled up with its first element.
    values
        Amounts as written in the formula, shape (n, k), > 0; 0 where filled up.
    """

    elements: NDArray[np.uint8]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.elements)

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.float64], numbers: NDArray[np.uint8]) -> Amounts:
        """From a dense matrix of amounts, shape (n, n_elements), and the atomic number of each column."""
        rows, columns = np.nonzero(matrix != 0)  # of booleans: several times faster than of numbers
        counts = np.bincount(rows, minlength=len(matrix))
        if not counts.all():
            raise UserError(f"row {int(counts.argmin())} holds no element")
        starts = np.cumsum(counts) - counts
        place = np.arange(len(rows)) - starts[rows]
        width = int(counts.max(initial=1))
        elements = np.repeat(numbers[columns[starts]][:, None], width, axis=1)
        values = np.zeros(elements.shape)
        elements[rows, place] = numbers[columns]
        values[rows, place] = matrix[rows, columns]
        return cls(elements, values)

    @classmethod
    def from_compositions(cls, compositions: Sequence[str | Composition], *, first_row: int = 0) -> Amounts:
        """From formulas or pymatgen compositions; `first_row` is added to the row that an error names."""
        pairs = [_read(composition, first_row + i) for i, composition in enumerate(compositions)]
        width = max((len(pair) for pair in pairs), default=1)
        numbers = [[*row, *[next(iter(row))] * (width - len(row))] for row in pairs]
        amounts = [[*row.values(), *[0.0] * (width - len(row))] for row in pairs]
        shape = (len(pairs), width)
        return cls(np.array(numbers, dtype=np.uint8).reshape(shape), np.array(amounts, dtype=float).reshape(shape))


def iterate_amounts(data: AmountTable | Sequence[str | Composition], size: int) -> Iterator[tuple[slice, Amounts]]:
    """Amounts of at most `size` rows at a time, with the rows they belong to."""
    start = 0
    if isinstance(data, AmountTable):
        for part in data.chunks(size):
            yield slice(start, start + len(part)), amounts_of_table(part)
            start += len(part)
        return
    for start in range(0, len(data), size):
        part = data[start : start + size]
        yield slice(start, start + len(part)), Amounts.from_compositions(part, first_row=start)


def amounts_of_table(table: AmountTable) -> Amounts:
    """Amounts of a candidate table, without a formula between."""
    matrix, names = table.amounts()
    numbers = np.array([atomic_numbers()[name] for name in names], dtype=np.uint8)
    return Amounts.from_matrix(matrix, numbers)


def _read(composition: str | Composition, row: int) -> dict[int, float]:
    """Atomic number -> amount, in the order of the formula."""
    if isinstance(composition, str):
        # nine of ten formulas have no bracket, and need no parser
        return _read_plain(composition) or _read_pymatgen(composition, row)
    return _read_pymatgen(composition, row)


def _read_plain(formula: str) -> dict[int, float] | None:
    """Read a formula without brackets; None where it takes pymatgen to read it or to refuse it."""
    if not _PLAIN_FORMULA.fullmatch(formula):
        return None
    numbers = atomic_numbers()
    amounts: dict[int, float] = {}
    for symbol, digits in _TERM.findall(formula):
        number = numbers.get(symbol)
        amount = float(digits) if digits else 1.0
        if number is None or not 1e-6 < amount < 1e12:
            return None
        amounts[number] = amounts.get(number, 0.0) + amount
    return amounts


def _read_pymatgen(composition: str | Composition, row: int) -> dict[int, float]:
    from pymatgen.core.composition import Composition

    if isinstance(composition, str) and len(composition) > _LONGEST:
        raise UserError(_refusal(composition, row, f"is too long: {len(composition)} characters"))
    if not isinstance(composition, (str, Composition)):
        raise UserError(_refusal(composition, row, f"is no formula but a {type(composition).__name__}"))
    try:
        parsed = Composition(composition).get_el_amt_dict()
        amounts: dict[int, float] = {}
        for symbol, amount in parsed.items():
            number = atomic_numbers()[symbol]
            amounts[number] = amounts.get(number, 0.0) + float(amount)
    except (ValueError, KeyError) as error:
        raise UserError(_refusal(composition, row, f"is no formula: {error}")) from error
    if not amounts:
        raise UserError(_refusal(composition, row, "holds no element"))
    if not all(0 < amount < np.inf for amount in amounts.values()):
        raise UserError(_refusal(composition, row, "has an amount that is not positive and finite"))
    return amounts


def _refusal(composition: object, row: int, reason: str) -> str:
    text = str(composition)
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    reason = reason.rstrip("!. ")
    return f"row {row}: {shown} {reason}. Write it like Fe2O3 or Ca3(PO4)2."
