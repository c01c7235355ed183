"""Element symbols, atomic numbers and Pauling electronegativities as arrays indexed by atomic number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length of every array indexed by atomic number; place 0 stands for "no element".
N_ELEMENTS = 119


@cache
def symbols() -> tuple[str, ...]:
    """Element symbols; the place is the atomic number, place 0 is empty."""
    from pymatgen.core.periodic_table import Element

    return ("", *(Element.from_Z(number).symbol for number in range(1, N_ELEMENTS)))


@cache
def atomic_numbers() -> dict[str, int]:
    """Atomic number of each symbol."""
    return {symbol: number for number, symbol in enumerate(symbols()) if symbol}


@cache
def electronegativities() -> NDArray[np.float64]:
    """Pauling electronegativities, shape (119,); NaN where there is none."""
    from pymatgen.core.periodic_table import Element

    values = np.full(N_ELEMENTS, np.nan)
    for number in range(1, N_ELEMENTS):
        value = Element.from_Z(number).data.get("X")  # the property warns where there is none
        if value:
            values[number] = value
    values.flags.writeable = False
    return values
