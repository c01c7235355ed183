"""Costs, abundances and market concentrations of the elements, as arrays indexed by atomic number."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from matscout.db._elements import N_ELEMENTS, atomic_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


@cache
def atomic_masses() -> NDArray[np.float64]:
    """Atomic masses in u, shape (119,); 0 at place 0."""
    from pymatgen.core.periodic_table import Element

    return np.array([0.0, *(float(Element.from_Z(number).atomic_mass) for number in range(1, N_ELEMENTS))])


@cache
def costs() -> NDArray[np.float64]:
    """Cost of the pure elements in USD/kg, shape (119,); NaN where there is none.

    pymatgen's table (`pymatgen.analysis.cost`), with prices of 2013.
    """
    lines = files("pymatgen.analysis").joinpath("costdb_elements.csv").read_text(encoding="utf-8").splitlines()
    return _by_number((row[0], row[1]) for row in csv.reader(lines, quotechar="|") if row)


@cache
def market_concentrations() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Herfindahl-Hirschman indices of the elements' production and of their reserves, shape (119,) each.

    The sum of the squares of the countries' shares in per cent, 10,000 where one country has all; NaN where there is
    none.

    References
    ----------
    Gaultois et al., Chemistry of Materials 25, 2911 (2013), doi:10.1021/cm400893e, as pymatgen holds it.
    """
    lines = files("pymatgen.analysis").joinpath("hhi_data.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.reader(lines) if row and not row[0].startswith("#")]
    return _by_number((row[0], row[1]) for row in rows), _by_number((row[0], row[2]) for row in rows)


@cache
def crustal_abundances() -> NDArray[np.float64]:
    """Abundance in the Earth's crust in mg/kg, shape (119,); NaN where there is none.

    The head of `crustal_abundance.csv` names the source.
    """
    lines = files("matscout.workflows.enumeration.filters").joinpath("crustal_abundance.csv").read_text().splitlines()
    return _by_number((row[0], row[1]) for row in csv.reader(lines) if not row[0].startswith(("#", "element")))


def _by_number(values: Iterable[tuple[str, str]]) -> NDArray[np.float64]:
    array = np.full(N_ELEMENTS, np.nan)
    for symbol, value in values:
        array[atomic_numbers()[symbol]] = float(value)
    array.flags.writeable = False
    return array


@cache
def element_classes() -> Mapping[str, frozenset[str]]:
    """Classes of elements that may be excluded by name.

    `radioactive`: no stable isotope but bismuth's, as pymatgen says (`Element.is_radioactive`): Tc, Pm and all from Po
    on. `toxic`: As, Be, Cd, Hg, Pb and Tl: those of `rohs`, and the elements
    of the arsenic, beryllium and thallium compounds that Annex VI to Regulation (EC) No 1272/2008 (CLP) classes as
    acutely toxic as whole groups; name others (Se, Sb, Ba, Os) one by one. `rohs`: Cd, Hg and Pb, the elements that
    Annex II to Directive 2011/65/EU restricts in electrical equipment in every form (chromium only as Cr6+).
    `noble-gases`, `lanthanoids` (La to Lu) and
    `actinoids` (Ac to Lr) as IUPAC names them.
    """
    from pymatgen.core.periodic_table import Element

    names = list(atomic_numbers())
    return MappingProxyType(
        {
            "radioactive": frozenset(name for name in names if Element(name).is_radioactive),
            "toxic": frozenset({"As", "Be", "Cd", "Hg", "Pb", "Tl"}),
            "rohs": frozenset({"Cd", "Hg", "Pb"}),
            "noble-gases": frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og"}),
            "lanthanoids": frozenset(name for name in names if 57 <= atomic_numbers()[name] <= 71),
            "actinoids": frozenset(name for name in names if 89 <= atomic_numbers()[name] <= 103),
        }
    )


@cache
def valence_electrons() -> NDArray[np.int64]:
    """Valence electrons by atomic number, shape (119,); 0 at place 0.

    The group for groups 1 to 12, the group less 10 for groups 13 to 18 (2 for He), and all electrons outside the
    noble-gas core for lanthanoids and actinoids.
    """
    from pymatgen.core.periodic_table import Element

    classes = element_classes()
    electrons = np.zeros(N_ELEMENTS, dtype=np.int64)
    for symbol, number in atomic_numbers().items():
        group = Element(symbol).group
        electrons[number] = group if group <= 12 else group - 10
        if symbol in classes["lanthanoids"]:
            electrons[number] = number - 54
        elif symbol in classes["actinoids"]:
            electrons[number] = number - 86
    electrons[atomic_numbers()["He"]] = 2
    return electrons
