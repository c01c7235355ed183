"""Element properties as arrays indexed by atomic number, read once when first asked for.

Everything that needs a property of an element takes a row of an `ElementTable`; nothing else looks elements up.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS, symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Missing = Literal["mean", "nan"]
"""What stands for a property that an element has no value of: the mean over the elements that have one, or NaN."""

MAGPIE_CITATION = (
    "Ward, Agrawal, Choudhary, Wolverton, A general-purpose machine learning framework for predicting properties of "
    "inorganic materials, npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28"
)
PYMATGEN_CITATION = (
    "Ong et al., Python Materials Genomics (pymatgen), Comput. Mater. Sci. 68, 314 (2013), "
    "doi:10.1016/j.commatsci.2012.10.028"
)
SHANNON_CITATION = (
    "Shannon, Revised effective ionic radii and systematic studies of interatomic distances in halides and "
    "chalcogenides, Acta Cryst. A 32, 751 (1976), doi:10.1107/S0567739476001551"
)

MAGPIE_PROPERTIES = (
    "Number",
    "MendeleevNumber",
    "AtomicWeight",
    "MeltingT",
    "Column",
    "Row",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "NValence",
    "NsUnfilled",
    "NpUnfilled",
    "NdUnfilled",
    "NfUnfilled",
    "NUnfilled",
    "GSvolume_pa",
    "GSbandgap",
    "GSmagmom",
    "SpaceGroupNumber",
)
"""The properties of matminer's preset "magpie", in its order."""


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Properties of the elements, one row per atomic number.

    Attributes
    ----------
    properties
        Names of the columns.
    units
        Unit of each column, "" where it has none.
    values
        Shape (119, n_properties), row = atomic number; NaN where a property is unknown. Row 0 stands for "no element"
        and is NaN throughout.
    citations
        Where the numbers come from.
    """

    properties: tuple[str, ...]
    units: tuple[str, ...]
    values: NDArray[np.float64]
    citations: tuple[str, ...]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one property by atomic number, shape (119,)."""
        return self.values[:, self.properties.index(name)]

    def filled(self, missing: Missing) -> ElementTable:
        """Return the table with the mean of a property in the place of each unknown one, or, for "nan", as it is."""
        if missing == "nan":
            return self
        return replace(self, values=np.stack([mean_for_unknown(column) for column in self.values.T], axis=1))


def mean_for_unknown(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the mean of a property in the place of each unknown value, as matminer does; NaN stays where none is known.

    Parameters
    ----------
    column
        By atomic number, shape (119,).
    """
    known = ~np.isnan(column)
    filled = np.where(known, column, np.nanmean(column[1:]) if known.any() else np.nan)
    filled[0] = np.nan
    return filled


@cache
def magpie_table(missing: Missing = "mean", properties: tuple[str, ...] = MAGPIE_PROPERTIES) -> ElementTable:
    """Magpie's element properties as packaged with matminer.

    Parameters
    ----------
    missing
        What an element without a value gets: the mean of the property over the elements that have one, as matminer
        fills the gaps by default (``impute_nan=True``), or NaN.
    properties
        Which ones.
    """
    units = {"AtomicWeight": "u", "MeltingT": "K", "CovalentRadius": "pm", "Electronegativity": "Pauling"}
    units |= {"GSvolume_pa": "Å^3/atom", "GSbandgap": "eV", "GSmagmom": "Bohr magneton/atom"}
    values = np.stack([_magpie_column(name) for name in properties], axis=1)
    table = ElementTable(properties, tuple(units.get(name, "") for name in properties), values, (MAGPIE_CITATION,))
    return table.filled(missing)


@cache
def period_group_table() -> ElementTable:
    """Period and group; lanthanides and actinides stand in group 3."""
    return ElementTable(
        properties=("period", "group"),
        units=("", ""),
        values=np.column_stack([_of_elements(lambda e: e.row), _of_elements(lambda e: e.group)]),
        citations=(PYMATGEN_CITATION,),
    )


@cache
def site_table() -> ElementTable:
    """Properties that tell what an element does on a site; NaN where unknown, never imputed.

    The ionic radius is the mean of the element's Shannon radii as an anion where there are any, else as a cation.
    """
    columns = {
        "atomic_number": ("", np.arange(float(N_ELEMENTS))),
        "period": ("", _of_elements(lambda e: e.row)),
        "group": ("", _of_elements(lambda e: e.group)),
        "mendeleev_number": ("", _magpie_column("MendeleevNumber")),
        "electronegativity": ("Pauling", _magpie_column("Electronegativity")),
        "covalent_radius": ("Å", _magpie_column("CovalentRadius") / 100),
        "ionic_radius": ("Å", _of_elements(_ionic_radius)),
        "s_electrons": ("", _magpie_column("NsValence")),
        "p_electrons": ("", _magpie_column("NpValence")),
        "d_electrons": ("", _magpie_column("NdValence")),
        "f_electrons": ("", _magpie_column("NfValence")),
        "ionization_energy": ("eV", _of_elements(lambda e: e.ionization_energy)),
        "electron_affinity": ("eV", _of_elements(lambda e: e.data.get("Electron affinity"))),
        "polarizability": ("Å^3", _magpie_column("Polarizability")),
        "volume_per_atom": ("Å^3", _magpie_column("GSvolume_pa")),
        "max_oxidation_state": ("", _of_elements(lambda e: max(e.common_oxidation_states, default=None))),
        "min_oxidation_state": ("", _of_elements(lambda e: min(e.common_oxidation_states, default=None))),
    }
    values = np.column_stack([column for _, column in columns.values()])
    values[0] = np.nan
    return ElementTable(
        properties=tuple(columns),
        units=tuple(unit for unit, _ in columns.values()),
        values=values,
        citations=(MAGPIE_CITATION, PYMATGEN_CITATION, SHANNON_CITATION),
    )


@cache
def _magpie_data() -> dict[str, dict[str, Any]]:
    from matminer.utils.data import MagpieData

    data: dict[str, dict[str, Any]] = MagpieData(impute_nan=False).all_elemental_props
    return data


def _magpie_column(name: str) -> NDArray[np.float64]:
    """Read a column of Magpie's tables, shape (119,)."""
    of_symbol = _magpie_data()[name]
    return np.array([np.nan, *(of_symbol[symbol] for symbol in symbols()[1:])])


def _of_elements(value: Callable[[Any], float | None]) -> NDArray[np.float64]:
    """Collect a property of pymatgen's elements, shape (119,); NaN where pymatgen has none."""
    from pymatgen.core.periodic_table import Element

    column = np.full(N_ELEMENTS, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen warns at each missing value; here NaN says so
        for z in range(1, N_ELEMENTS):
            number = value(Element.from_Z(z))
            column[z] = np.nan if number is None else number
    return column


def _ionic_radius(element: Any) -> float | None:
    # Nitrogen's mean over all charges (0.63 Å) describes no ion; where there is an anion, it is what crystals hold.
    return float(element.average_anionic_radius) or float(element.average_cationic_radius) or None
