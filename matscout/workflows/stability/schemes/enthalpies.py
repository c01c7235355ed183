"""Experimental formation enthalpies from files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymatgen.core.composition import Composition

from matscout.errors import UserError
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.files import read_document

if TYPE_CHECKING:
    from os import PathLike

_ENERGY_KEYS = ("exp energy", "energy", "enthalpy")
_LARGEST = 8.0  # eV/atom; the strongest bound fluorides and oxides have below 5


@dataclass(frozen=True)
class FormationEnthalpy:
    """Experimental formation enthalpy of a compound.

    Attributes
    ----------
    formula
        What the energy is of: -6.20 for Li2O, -12.40 for Li4O2.
    energy
        eV per formula unit as written, at 298 K; negative where the compound forms with heat.
    uncertainty
        Standard uncertainty in eV per formula unit; 0 where unknown.

    Raises
    ------
    UserError
        The formula is none, the energy is not finite, or so large that it cannot be in eV.
    """

    formula: str
    energy: float
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        try:
            fraction_table([self.formula])
        except UserError as error:
            raise UserError(f"formation enthalpy of {self.formula!r}, which is not a formula: {error}") from error
        n_atoms = self.composition.num_atoms
        if not math.isfinite(self.energy) or not 0 <= self.uncertainty < math.inf:
            raise UserError(
                f"formation enthalpy of {self.formula!r}: energy {self.energy!r}, uncertainty {self.uncertainty!r}; "
                "expected eV per formula unit, and an uncertainty of at least 0"
            )
        if abs(self.energy) / n_atoms > _LARGEST:
            raise UserError(
                f"formation enthalpy of {self.formula}: {self.energy:g} eV per formula unit is more than "
                f"{_LARGEST:g} eV/atom; are these kJ/mol? (1 eV is 96.485 kJ/mol)"
            )

    @property
    def composition(self) -> Composition:
        """The formula's composition."""
        return Composition(self.formula)

    @property
    def energy_per_atom(self) -> float:
        """eV/atom."""
        return float(self.energy / self.composition.num_atoms)

    @property
    def uncertainty_per_atom(self) -> float:
        """eV/atom; 0 where unknown."""
        return float(self.uncertainty / self.composition.num_atoms)


def read_enthalpies(path: str | PathLike[str]) -> list[FormationEnthalpy]:
    """Read formation enthalpies from JSON, gzipped or not.

    The file holds a list of {"formula": "Li2O", "exp energy": -6.20, "uncertainty": 0.01}, in eV per formula unit; the
    uncertainty may be missing, and "energy" or "enthalpy" may stand for "exp energy".

    Raises
    ------
    UserError
        The file is missing, not JSON or damaged, or an item is not as above.
    """
    document = read_document(path, "formation enthalpies", "a list of formation enthalpies")
    if not isinstance(document, list) or not document:
        raise UserError(f'{path} holds no list of formation enthalpies: {{"formula": "Li2O", "exp energy": -6.20}}')
    return [_enthalpy(item, f"{path}, item {i}") for i, item in enumerate(document)]


def _enthalpy(item: Any, place: str) -> FormationEnthalpy:
    content = item if isinstance(item, dict) else {}
    key = next((key for key in _ENERGY_KEYS if key in content), None)
    values: list[Any] = [content.get(key or "energy"), content.get("uncertainty") or 0.0]
    if not isinstance(content.get("formula"), str) or not all(_is_number(value) for value in values):
        raise UserError(
            f"{place} is no formation enthalpy: {str(item)[:60]!r}; expected formula, exp energy (eV per formula "
            "unit) and uncertainty"
        )
    try:
        return FormationEnthalpy(content["formula"], float(values[0]), float(values[1]))
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
