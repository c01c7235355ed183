"""Oxidation states of the elements, from pymatgen's tables, as arrays indexed by atomic number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers, symbols
from matscout.db._patterns import all_patterns
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

#: Common states that pymatgen's table (after Greenwood and Earnshaw) lacks, each with a compound that has it: leaving
#: them out would call well-known compounds impossible.
MISSING_COMMON_STATES: dict[str, tuple[int, ...]] = {
    "Ti": (3,),  # Ti2O3, LaTiO3
    "V": (3, 4),  # V2O3, VO2
    "Mn": (3,),  # Mn2O3, LaMnO3
    "Ni": (3,),  # LaNiO3
    "Cu": (1,),  # Cu2O, CuCl
    "Nb": (4,),  # NbO2
    "Sm": (2,),  # SmF2
    "Yb": (2,),  # YbO, CsYbI3
    "Re": (6,),  # ReO3
    "Au": (1,),  # AuCl
    "In": (1,),  # InCl
    "Bi": (5,),  # NaBiO3
    "U": (4,),  # UO2
}

#: Rarer states of well-known compounds. Filters take them into account, so that they call no such compound impossible;
#: the reference phases of a campaign and guesses of a known crystal's ions keep to the common ones.
RARER_STATES: dict[str, tuple[int, ...]] = {
    "Ti": (2,),  # TiO, TiCl2
    "V": (2,),  # VO, VCl2
    "Cr": (2, 4),  # CrF2; CrO2, SrCrO3
    "Fe": (4,),  # SrFeO3, CaFeO3
    "Co": (4,),  # SrCoO3
    "Ni": (4,),  # BaNiO3
    "Cu": (3,),  # LaCuO3
    "Ru": (5,),  # Ba2YRuO6
    "Rh": (4,),  # RhO2, SrRhO3
    "Pr": (4,),  # PrO2, BaPrO3
    "Tb": (4,),  # BaTbO3
    "Os": (5, 7),  # Ba2YOsO6; Ba2NaOsO6
    "Ir": (5,),  # Ba2YIrO6
}

#: Tables by name: pymatgen's common states with both additions above, those found in the ICSD, all that are known.
TABLES = ("common", "icsd", "all")

OxidationStates = str | Mapping[str, Sequence[int]]


class ChargeTable(NamedTuple):
    """Charges by atomic number: the states, shape (119, k), padded with 0, and how many are valid, shape (119,)."""

    charges: NDArray[np.int64]
    valid: NDArray[np.int64]

    @property
    def largest(self) -> int:
        """The largest charge, of either sign."""
        return int(np.abs(self.charges).max())


@cache
def common_oxidation_states(symbol: str) -> tuple[int, ...]:
    """Return the common oxidation states of an element, ascending; never 0.

    pymatgen's list with `MISSING_COMMON_STATES`.

    Examples
    --------
    >>> common_oxidation_states("Cu")
    (1, 2)
    """
    return tuple(state for state in _states(symbol, "common") if state not in RARER_STATES.get(symbol, ()))


def _states(symbol: str, table: str) -> tuple[int, ...]:
    from pymatgen.core.periodic_table import Element

    element = Element(symbol)
    if table == "icsd":
        states = set(element.icsd_oxidation_states)
    elif table == "all":
        states = set(element.oxidation_states)
    else:
        added = (*MISSING_COMMON_STATES.get(symbol, ()), *RARER_STATES.get(symbol, ()))
        states = {*element.common_oxidation_states, *added}
    return tuple(sorted(int(state) for state in states if state))


def charge_table(oxidation_states: OxidationStates = "common") -> ChargeTable:
    """Return the oxidation states of all elements as an array.

    Parameters
    ----------
    oxidation_states
        `common`, `icsd` or `all`, or the states by element symbol; elements that are not named then have none.

    Raises
    ------
    UserError
        An unknown table or element, or a state that is no integer or 0.
    """
    if isinstance(oxidation_states, str):
        return _named_table(oxidation_states)
    if not isinstance(oxidation_states, Mapping):
        raise UserError(
            f"oxidation_states: one of {', '.join(TABLES)}, or the states by element, got {oxidation_states}"
        )
    return _padded({symbol: _checked(symbol, states) for symbol, states in oxidation_states.items()})


def charges_of_roles(
    prototype: Prototype, common: ChargeTable, own: Mapping[str, Mapping[str, Sequence[int]]]
) -> tuple[ChargeTable, ...]:
    """Return the oxidation states that elements may have in each role of a prototype.

    A role has its own states for the elements that it names as ions, and the common ones for all others. A part of a
    split role (`X.1`) has those of the whole (`X`). Roles that may be exchanged share theirs, as a candidate is written
    with its elements in either order. An element that fills several roles may have different states in them, as iron in
    Fe3O4.

    Parameters
    ----------
    prototype
        The prototype whose roles are asked for.
    common
        States of all elements.
    own
        States by role and element symbol, as `CandidateTable.oxidation_states` holds them.

    Returns
    -------
    One table for each role, in the order of the roles.
    """
    if not own:
        return (common,) * len(prototype.roles)
    tables = []
    for role in range(len(prototype.roles)):
        states: dict[str, set[int]] = {}
        for other in sorted(_exchanged(prototype, role)):
            name = prototype.roles[other]
            for symbol, given in own.get(name, own.get(name.split(".")[0], {})).items():
                states.setdefault(symbol, set()).update(given)
        tables.append(_replaced(common, {symbol: tuple(sorted(given)) for symbol, given in states.items()}))
    return tuple(tables)


def _exchanged(prototype: Prototype, role: int) -> set[int]:
    """Roles whose element may come to stand in a role when a candidate is written in its one way.

    With an element in several roles there are more exchanges than without; they are looked for only up to five roles,
    beyond which roles that share an element are rare and their patterns many.
    """
    found = {permutation[role] for permutation in prototype.equivalent_roles}
    if len(prototype.roles) <= 5:
        for pattern in all_patterns(len(prototype.roles)):
            for labels in prototype.equivalents(pattern):
                found |= {other for other, block in enumerate(pattern) if block == labels[role] and labels != pattern}
    return found


def _replaced(common: ChargeTable, states: Mapping[str, tuple[int, ...]]) -> ChargeTable:
    """Return the common table with other states for some elements."""
    if not states:
        return common
    table = _padded(states)
    width = max(common.charges.shape[1], table.charges.shape[1])
    charges = np.zeros((N_ELEMENTS, width), dtype=np.int64)
    charges[:, : common.charges.shape[1]] = common.charges
    valid = common.valid.copy()
    for symbol in states:
        number = atomic_numbers()[symbol]
        charges[number] = 0
        charges[number, : table.charges.shape[1]] = table.charges[number]
        valid[number] = table.valid[number]
    return ChargeTable(charges, valid)


@cache
def _named_table(name: str) -> ChargeTable:
    if name not in TABLES:
        close = nearest(name, TABLES)
        known = f"Nearest: {close}." if close else f"Known: {', '.join(TABLES)}."
        raise UserError(f'unknown table of oxidation states "{name}". {known}')
    return _padded({symbol: _states(symbol, name) for symbol in symbols() if symbol})


def _checked(symbol: str, states: Any) -> tuple[int, ...]:
    if symbol not in atomic_numbers():
        close = nearest(str(symbol), atomic_numbers())
        raise UserError(f'oxidation_states: unknown element "{symbol}".' + (f" Nearest: {close}." if close else ""))
    if not isinstance(states, Sequence) or isinstance(states, str):
        raise UserError(f"oxidation_states: a list of charges is expected for {symbol}, got {states!r}")
    for state in states:
        if isinstance(state, bool) or not isinstance(state, int) or not 0 < abs(state) < 10:
            raise UserError(f"oxidation_states: {state!r} is not the charge of an ion of {symbol} (-9 to 9, not 0)")
    return tuple(sorted(set(states)))


def _padded(states: Mapping[str, tuple[int, ...]]) -> ChargeTable:
    width = max((len(values) for values in states.values()), default=0)
    charges = np.zeros((N_ELEMENTS, max(width, 1)), dtype=np.int64)
    count = np.zeros(N_ELEMENTS, dtype=np.int64)
    for symbol, values in states.items():
        number = atomic_numbers()[symbol]
        charges[number, : len(values)] = values
        count[number] = len(values)
    return ChargeTable(charges, count)
