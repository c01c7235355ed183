"""Shannon's ionic radii, one by one and as arrays indexed by atomic number and charge."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The largest charge of either sign that arrays of radii hold; charge q stands at place q + MAX_CHARGE.
MAX_CHARGE = 9

_COORDINATION = {
    "I": 1,
    "II": 2,
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
def radii(coordination: int) -> NDArray[np.float64]:
    """Shannon radii in Å by atomic number and charge + 9, shape (119, 19); NaN where there is none."""
    values = np.full((N_ELEMENTS, 2 * MAX_CHARGE + 1), np.nan)
    for symbol, number in atomic_numbers().items():
        for charge in range(-MAX_CHARGE, MAX_CHARGE + 1):
            values[number, charge + MAX_CHARGE] = shannon_radius(symbol, charge, coordination)
    values.flags.writeable = False
    return values
