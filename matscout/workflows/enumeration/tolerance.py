"""Goldschmidt's tolerance factor as a filter of perovskites."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers
from matscout.errors import UserError
from matscout.workflows.enumeration.oxidation import ChargeTable, OxidationStates, charge_table
from matscout.workflows.enumeration.rules import FilterResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from matscout.db.candidates import CandidateTable
    from matscout.db.prototypes import Prototype

_CHUNK = 1 << 17
_MAX_CHARGE = 9
_COORDINATION = {
    "III": 3,
    "IV": 4,
    "V": 5,
    "VI": 6,
    "VII": 7,
    "VIII": 8,
    "IX": 9,
    "X": 10,
    "XI": 11,
    "XII": 12,
    "XIV": 14,
}
_COORDINATION |= {"I": 1, "II": 2}

#: Coordination number of each role, and the families that the factor is defined for: atoms of each role in a formula.
_COORDINATION_OF = {"A": 12, "B": 6, "B'": 6, "X": 6}
_FAMILIES = ({"A": 1, "B": 1, "X": 3}, {"A": 2, "B": 1, "B'": 1, "X": 6})


def tolerance_factor(r_a: ArrayLike, r_b: ArrayLike, r_x: ArrayLike) -> NDArray[np.float64]:
    """Goldschmidt tolerance factor of ABX3 perovskites.

    Parameters
    ----------
    r_a, r_b, r_x
        Ionic radii in Å, shape (n,) or broadcastable; NaN where unknown.

    Returns
    -------
    Dimensionless, shape (n,); NaN where a radius is unknown.

    Raises
    ------
    ValueError
        A radius is zero or negative.

    References
    ----------
    Goldschmidt, Naturwissenschaften 14, 477 (1926), doi:10.1007/BF01507527.

    Examples
    --------
    >>> tolerance_factor(1.44, 0.605, 1.40).round(3).item()  # SrTiO3, Shannon radii
    1.002
    """
    a, b, x = np.broadcast_arrays(*(np.asarray(r, dtype=float) for r in (r_a, r_b, r_x)))
    for site, radii in zip("ABX", (a, b, x), strict=True):
        if (radii <= 0).any():
            raise ValueError(f"radius of site {site} must be positive, got {np.nanmin(radii):g} Å")
    return np.asarray((a + x) / (np.sqrt(2) * (b + x)))


def shannon_radius(symbol: str, charge: int, coordination: int) -> float:
    """Shannon's ionic radius.

    Where the coordination number is not tabulated the nearest one is taken, of two equally near the larger; of two spin
    states, high spin.

    Parameters
    ----------
    symbol, charge
        The ion.
    coordination
        Number of neighbours.

    Returns
    -------
    Å; NaN where the ion is not in the table, or stands there with a radius that is not positive (H+).

    References
    ----------
    Shannon, Acta Crystallographica A 32, 751 (1976), doi:10.1107/S0567739476001551.

    Examples
    --------
    >>> shannon_radius("Sr", 2, 12), shannon_radius("Mg", 2, 12)  # Mg2+ is tabulated up to 8 neighbours
    (1.44, 0.89)
    """
    from pymatgen.core.periodic_table import Element

    tabulated = Element(symbol).data.get("Shannon radii", {}).get(str(charge), {})
    # IVSQ and IVPY are other shapes with four neighbours: taken only where the plain entry is missing
    by_number = {
        _COORDINATION[key.removesuffix("SQ").removesuffix("PY")]: key for key in sorted(tabulated, reverse=True)
    }
    if not by_number:
        return float("nan")
    spins = tabulated[by_number[min(by_number, key=lambda number: (abs(number - coordination), -number))]]
    radius = float(spins.get("High Spin", next(iter(spins.values())))["ionic_radius"])
    return radius if radius > 0 else float("nan")


@cache
def _radii(coordination: int) -> NDArray[np.float64]:
    """Shannon radii by atomic number and charge + 9, shape (119, 19)."""
    radii = np.full((N_ELEMENTS, 2 * _MAX_CHARGE + 1), np.nan)
    for symbol, number in atomic_numbers().items():
        for charge in range(-_MAX_CHARGE, _MAX_CHARGE + 1):
            radii[number, charge + _MAX_CHARGE] = shannon_radius(symbol, charge, coordination)
    return radii


@dataclass(frozen=True)
class Goldschmidt:
    """Keep perovskites whose tolerance factor lies in a window.

    For ABX3 and A2BB'X6 with roles of these names; r_B is the mean of B and B'. Radii are Shannon's, A with 12
    neighbours, B and X with 6 (see `shannon_radius` for what is not tabulated). Charges are those of neutral
    assignments of oxidation states: a candidate stays if any of them gives a factor in the window. Adds the column
    `tolerance_factor`: of the assignment in the window that is nearest to 1, else of the nearest of all.

    Parameters
    ----------
    minimum, maximum
        The window, ends included.
    unknown
        What happens to candidates without a neutral assignment all of whose radii are known: `keep` or `drop`.
    oxidation_states
        As for `ChargeNeutrality`.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Mg", "Sr"], "B": ["Ti"], "X": ["O"]}
    >>> table = enumerate_candidates("cubic-perovskite", space, [Goldschmidt(0.9, 1.1)])
    >>> table.formulas, table.columns["tolerance_factor"].round(3).tolist()
    (['SrTiO3'], [1.002])
    """

    minimum: float = 0.8
    maximum: float = 1.11
    unknown: Literal["keep", "drop"] = "keep"
    oxidation_states: OxidationStates = "common"
    name: str = field(default="goldschmidt", init=False)

    def __post_init__(self) -> None:
        for key, value in (("minimum", self.minimum), ("maximum", self.maximum)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
                raise UserError(f"goldschmidt: {key} must be a positive number, got {value!r}")
        if self.minimum > self.maximum:
            raise UserError(f"goldschmidt: minimum {self.minimum} is larger than maximum {self.maximum}")
        if self.unknown not in ("keep", "drop"):
            raise UserError(f'goldschmidt: unknown must be "keep" or "drop", got {self.unknown!r}')
        charge_table(self.oxidation_states)

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        charges = charge_table(self.oxidation_states)
        keep = np.zeros(len(table), dtype=bool)
        factor = np.full(len(table), np.nan)
        for prototype, rows in table.by_prototype():
            family = _family(prototype)
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                keep[part], factor[part] = self._judge(table.decoration[part], family, charges)
        unknown = np.isnan(factor)
        if self.unknown == "keep":
            keep |= unknown
        return FilterResult(keep, int(unknown.sum()), {"tolerance_factor": factor})

    def _judge(
        self, decoration: NDArray[np.uint8], family: Mapping[str, _Role], charges: ChargeTable
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Whether a factor lies in the window, and the factor that speaks best for each candidate; (n,) each."""
        inside = np.zeros(len(decoration), dtype=bool)
        best = np.full(len(decoration), np.nan)
        for rows, radii in _neutral_assignments(decoration, list(family.values()), charges):
            r_b = (radii["B"] + radii["B'"]) / 2 if "B'" in radii else radii["B"]
            factor = tolerance_factor(radii["A"], r_b, radii["X"])
            fits = (factor >= self.minimum) & (factor <= self.maximum)
            nearer = np.isnan(best[rows]) | (np.abs(factor - 1) < np.abs(best[rows] - 1))
            better = ~np.isnan(factor) & (nearer & (fits | ~inside[rows]) | fits & ~inside[rows])
            best[rows[better]] = factor[better]
            inside[rows] |= fits
        return inside, best


class _Role(NamedTuple):
    """A role of a perovskite: its name, its place in the decoration, its atoms in the formula."""

    name: str
    column: int
    amount: int


def _family(prototype: Prototype) -> dict[str, _Role]:
    amounts = dict(zip(prototype.roles, prototype.reduced_multiplicity.tolist(), strict=True))
    if amounts not in _FAMILIES:
        raise UserError(
            f"goldschmidt needs ABX3 or A2BB'X6 prototypes with the roles A, B, X or A, B, B', X, such as "
            f"cubic-perovskite and elpasolite: {prototype.name} has {', '.join(prototype.roles)}"
        )
    return {role: _Role(role, column, amounts[role]) for column, role in enumerate(prototype.roles)}


def _neutral_assignments(
    decoration: NDArray[np.uint8], roles: list[_Role], charges: ChargeTable
) -> Iterator[tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]]:
    """Give rows with their radii by role, for one neutral choice of oxidation states after the other.

    Role by role, only with the rows whose element has that many states: together not more than there are choices.
    """

    def choose(
        rows: NDArray[np.intp], total: NDArray[np.int64], radii: dict[str, NDArray[np.float64]], depth: int
    ) -> Iterator[tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]]:
        if depth == len(roles):
            neutral = total == 0
            if neutral.any():
                yield rows[neutral], {name: values[neutral] for name, values in radii.items()}
            return
        role = roles[depth]
        numbers = decoration[rows, role.column]
        table = _radii(_COORDINATION_OF[role.name])
        for state in range(charges.charges.shape[1]):
            having = np.flatnonzero(charges.valid[numbers] > state)
            if not len(having):
                return
            elements = numbers[having]
            charge = charges.charges[elements, state]
            known = {name: values[having] for name, values in radii.items()}
            known[role.name] = table[elements, charge + _MAX_CHARGE]
            yield from choose(rows[having], total[having] + role.amount * charge, known, depth + 1)

    yield from choose(np.arange(len(decoration)), np.zeros(len(decoration), dtype=np.int64), {}, 0)
