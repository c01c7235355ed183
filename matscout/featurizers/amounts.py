"""How much of which element: formulas, compositions and candidates brought into one compact form.

A row keeps only the elements it holds, in the order in which they are written: a ternary costs three numbers, not 118.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.errors import UserError
from matscout.featurizers.errors import RowErrors
from matscout.featurizers.formulas import ISOTOPES, LONGEST, check_amount, read_formula, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable


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
        return _packed(len(matrix), rows, numbers[columns], matrix[rows, columns])

    def rows(self, rows: slice) -> Amounts:
        """Return some of the rows; they share memory with these."""
        return Amounts(self.elements[rows], self.values[rows])

    def blocks(self, size: int) -> Iterator[tuple[slice | NDArray[np.intp], NDArray[np.uint8], NDArray[np.float64]]]:
        """Rows with equally many elements, at most `size` at a time.

        Yields
        ------
        rows
            Which ones: a slice where all rows have equally many.
        elements, values
            Theirs, shape (m, their number of elements), nothing filled up.
        """
        if self.values[:, -1].all():
            for start in range(0, len(self), size):
                rows = slice(start, start + size)
                yield rows, self.elements[rows], self.values[rows]
            return
        counts = np.count_nonzero(self.values, axis=1)
        order = np.argsort(counts.astype(np.uint8), kind="stable")  # of bytes: sorted by counting
        ends = np.cumsum(np.bincount(counts)).tolist()
        for k, (first, end) in enumerate(pairwise(ends), start=1):
            for start in range(first, end, size):
                chosen = order[start : min(start + size, end)]
                yield chosen, self.elements[chosen, :k], self.values[chosen, :k]


def row_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the elements of each row, shape (m, k) to (m,), in their order: the same bits in a block of any size."""
    total = values[:, 0].copy()
    for j in range(1, values.shape[1]):
        total += values[:, j]
    return total


def _packed(n: int, rows: NDArray[np.intp], numbers: NDArray[np.uint8], values: NDArray[np.float64]) -> Amounts:
    """Bring terms, in ascending order of rows, into the form of `Amounts`; rows without any are a hydrogen atom."""
    counts = np.bincount(rows, minlength=n)
    starts = np.cumsum(counts) - counts
    width = int(counts.max(initial=1))
    first = np.ones(n, dtype=np.uint8)
    first[counts > 0] = numbers[starts[counts > 0]]
    packed = Amounts(np.repeat(first[:, None], width, axis=1), np.zeros((n, width)))
    place = np.arange(len(rows)) - starts[rows]
    packed.elements[rows, place] = numbers
    packed.values[rows, place] = values
    packed.values[counts == 0, 0] = 1.0
    return packed


def read_amounts(compositions: Sequence[Any]) -> tuple[Amounts, RowErrors]:
    """Read formulas or pymatgen compositions.

    Deuterium and tritium count as hydrogen, species as their element.

    Parameters
    ----------
    compositions
        n of them. Whatever else stands among them is an error of its row.

    Returns
    -------
    Amounts, shape (n, k), and what was wrong with rows. Those hold a hydrogen atom, so that nothing stumbles over them:
    who calls writes NaN there.

    Examples
    --------
    >>> amounts, errors = read_amounts(["Fe2O3", "Fe0"])
    >>> amounts.elements.tolist(), amounts.values.tolist()
    ([[26, 8], [1, 1]], [[2.0, 3.0], [1.0, 0.0]])
    >>> errors[1]
    "'Fe0' has an amount that is not positive: 0 of Fe"
    """
    compositions = list(compositions)
    plain = [one if isinstance(one, str) and len(one) <= LONGEST and "\n" not in one else "" for one in compositions]
    terms = read_plain(plain)
    errors = RowErrors()
    others: dict[int, dict[int, float]] = {}
    for row in terms.others.tolist():
        try:
            others[row] = _read(compositions[row])
        except UserError as error:
            errors.add(row, f"{_quoted(compositions[row])} {error}")
    if not others:
        return _packed(len(plain), terms.rows, terms.numbers, terms.values), errors
    pairs = [(row, number, value) for row, amounts in others.items() for number, value in amounts.items()]
    more_rows, more_numbers, more_values = zip(*pairs, strict=True)
    rows = np.append(terms.rows, more_rows)
    order = np.argsort(rows, kind="stable")
    numbers = np.append(terms.numbers, np.array(more_numbers, dtype=np.uint8))[order]
    return _packed(len(plain), rows[order], numbers, np.append(terms.values, more_values)[order]), errors


def _read(composition: Any) -> dict[int, float]:
    if isinstance(composition, str):
        return read_formula(composition)
    from pymatgen.core.composition import Composition

    if not isinstance(composition, Composition):
        if composition is None or (isinstance(composition, float) and np.isnan(composition)):
            raise UserError("is no formula: it is missing")
        raise UserError(f"is no formula, but of type {type(composition).__name__}")
    known = atomic_numbers() | ISOTOPES
    amounts: dict[int, float] = {}
    for species, amount in composition.items():
        symbol = getattr(species, "symbol", str(species))
        if symbol not in known:
            raise UserError(f"is no composition of elements: {species}")
        check_amount(symbol, amount)
        amounts[known[symbol]] = amounts.get(known[symbol], 0.0) + float(amount)
    if not amounts:
        raise UserError("holds no element")
    return amounts


def _quoted(composition: Any) -> str:
    if isinstance(composition, str):
        return repr(_short(composition))
    if isinstance(composition, Mapping):  # pymatgen cannot write a composition with an infinite amount
        return _short("".join(f"{key}{amount}" for key, amount in islice(composition.items(), 20)) or "{}")
    return _short(repr(composition))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def amounts_of_table(table: CandidateTable) -> Amounts:
    """Amounts of the candidates of a table in one formula unit, without a formula between."""
    n, n_roles = table.decoration.shape
    elements = np.zeros((n, max(n_roles, 1)), dtype=np.uint8)
    elements[:, :n_roles] = table.decoration
    values = np.zeros(elements.shape)
    for prototype, rows in table.by_prototype():
        n_roles = len(prototype.roles)
        values[rows, :n_roles] = prototype.reduced_multiplicity
        elements[rows, n_roles:] = elements[rows, :1]
    repeated = _with_repeated_element(table.decoration)
    if len(repeated):
        matrix, names = table.take(repeated).amounts()
        numbers = np.array([atomic_numbers()[name] for name in names], dtype=np.uint8)
        summed = Amounts.from_matrix(matrix, numbers)
        width = summed.elements.shape[1]
        values[repeated] = 0
        values[repeated, :width] = summed.values
        elements[repeated] = summed.elements[:, :1]
        elements[repeated, :width] = summed.elements
    return Amounts(elements, values)


def _with_repeated_element(decoration: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Rows that have an element in several roles; 0 stands for no role."""
    repeated = np.zeros(len(decoration), dtype=bool)
    for role in range(1, decoration.shape[1]):
        for other in range(role):
            repeated |= (decoration[:, role] == decoration[:, other]) & (decoration[:, role] != 0)
    return np.flatnonzero(repeated)
