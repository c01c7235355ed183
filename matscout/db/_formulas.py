"""Reduced formulas of many decorations of one stoichiometry at once, written as pymatgen writes them.

Among the decorations of a stoichiometry only a few orders of the elements occur. Each gets a template, and a template
is filled in a microsecond where a `Composition` takes a hundred.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import electronegativities, symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Difference of electronegativity below which pymatgen puts the last two elements in brackets, as in Li3V2(PO4)3.
_POLYANION_DIFFERENCE = 1.65


@cache
def _formula_rank() -> NDArray[np.int16]:
    """Place of each element in a formula, shape (119,): by electronegativity, then alphabetically."""
    values, names = electronegativities(), symbols()
    order = sorted(range(len(names)), key=lambda z: (np.inf if np.isnan(values[z]) else values[z], names[z]))
    rank = np.empty(len(names), dtype=np.int16)
    rank[order] = np.arange(len(names))
    return rank


@cache
def _alphabetical() -> tuple[NDArray[np.uint8], list[str]]:
    """Alphabetical place of each atomic number, shape (119,), and the symbols in that order."""
    names = symbols()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.uint8)
    place[order] = np.arange(len(names))
    return place, [names[z] for z in order]


def reduced_formulas(decoration: NDArray[np.uint8], amounts: Sequence[int]) -> list[str]:
    """Reduced formulas of decorations.

    Parameters
    ----------
    decoration
        Atomic numbers, shape (n, n_roles), none of them 0.
    amounts
        Atoms of each role in a formula unit, without a common divisor, shape (n_roles,).

    Examples
    --------
    >>> reduced_formulas(np.array([[38, 22, 8], [3, 8, 15]], dtype=np.uint8), [1, 1, 3])
    ['SrTiO3', 'LiP3O']
    """
    formulas = np.empty(len(decoration), dtype=object)
    single = _all_different(decoration)
    if not single.all():
        formulas[~single] = [_formula_of_repeated(row, amounts) for row in decoration[~single].tolist()]
    rows = np.flatnonzero(single)
    chosen = decoration[rows]
    order = np.argsort(_formula_rank()[chosen], axis=1)
    ordered = np.take_along_axis(chosen, order, axis=1)
    bracketed = _polyanion(ordered)
    code = order @ (len(amounts) ** np.arange(len(amounts))) * 2 + bracketed
    for value in np.unique(code):
        members = np.flatnonzero(code == value)
        counts = [amounts[role] for role in order[members[0]].tolist()]
        formulas[rows[members]] = _fill(ordered[members], counts, bracketed=bool(bracketed[members[0]]))
    return formulas.tolist()


def _all_different(decoration: NDArray[np.uint8]) -> NDArray[np.bool_]:
    ordered = np.sort(decoration, axis=1)
    different: NDArray[np.bool_] = (ordered[:, 1:] != ordered[:, :-1]).all(axis=1)
    return different


def _polyanion(ordered: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the last two elements of a formula make a polyanion, shape (n,)."""
    if ordered.shape[1] < 3:
        return np.zeros(len(ordered), dtype=bool)
    values = electronegativities()
    return values[ordered[:, -1]] - values[ordered[:, -2]] < _POLYANION_DIFFERENCE


def _fill(ordered: NDArray[np.uint8], counts: list[int], *, bracketed: bool) -> list[str]:
    """Formulas of decorations that share the order of their elements."""
    from pymatgen.core.composition import Composition

    template = _template(counts, bracketed=bracketed)
    names = np.array(symbols(), dtype=object)[ordered]
    filled = [template % row for row in zip(*names.T.tolist(), strict=True)]
    if counts in ([1], [1, 1]):  # O2, Li2O2 and their like
        return [Composition.special_formulas.get(formula, formula) for formula in filled]
    return filled


def _template(counts: list[int], *, bracketed: bool) -> str:
    def written(amounts: list[int]) -> str:
        return "".join("%s" if amount == 1 else f"%s{amount}" for amount in amounts)

    factor = gcd(*counts[-2:]) if bracketed else 1
    if factor == 1:
        return written(counts)
    return written(counts[:-2]) + f"({written([amount // factor for amount in counts[-2:]])}){factor}"


def _formula_of_repeated(row: list[int], amounts: Sequence[int]) -> str:
    """Write the formula of a decoration with one element in several roles: rare, so pymatgen may do it."""
    from pymatgen.core.composition import Composition

    total: dict[str, int] = {}
    for number, amount in zip(row, amounts, strict=True):
        total[symbols()[number]] = total.get(symbols()[number], 0) + int(amount)
    return Composition(total).reduced_formula


def chemical_systems(decoration: NDArray[np.uint8]) -> list[str]:
    """Chemical systems of decorations, as `O-Sr-Ti`; shape of `decoration` (n, n_roles)."""
    place, names = _alphabetical()
    ordered = np.sort(place[decoration], axis=1)
    table = np.array(names, dtype=object)
    systems = ["-".join(row) for row in zip(*table[ordered].T.tolist(), strict=True)]
    for index in np.flatnonzero(~_all_different(decoration)).tolist():
        systems[index] = "-".join(dict.fromkeys(systems[index].split("-")))
    return systems
