"""Element symbols, atomic numbers and Pauling electronegativities as arrays indexed by atomic number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length of every array indexed by atomic number; place 0 stands for "no element".
N_ELEMENTS = 119


_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl "
    "Mc Lv Ts Og"
)


@cache
def symbols() -> tuple[str, ...]:
    """Element symbols; the place is the atomic number, place 0 is empty."""
    return ("", *_SYMBOLS.split())


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
