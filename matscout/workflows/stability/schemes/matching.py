"""Experiments beside the calculations of the same compounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.schemes.enthalpies import FormationEnthalpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.entries import ComputedEntry


def as_list(enthalpies: Iterable[FormationEnthalpy] | Mapping[str, float]) -> list[FormationEnthalpy]:
    """List formation enthalpies; a mapping holds formulas and eV per formula unit."""
    if isinstance(enthalpies, Mapping):
        return [FormationEnthalpy(formula, float(energy)) for formula, energy in enthalpies.items()]
    return list(enthalpies)


def lowest_of(entries: Iterable[ComputedEntry]) -> dict[str, ComputedEntry]:
    """Entry of lowest uncorrected energy of each reduced formula."""
    found: dict[str, ComputedEntry] = {}
    for entry in entries:
        formula = entry.reduced_formula
        if formula not in found or entry.uncorrected_energy_per_atom < found[formula].uncorrected_energy_per_atom:
            found[formula] = entry
    return found


def match(
    enthalpies: Iterable[FormationEnthalpy], entries: Mapping[str, ComputedEntry], computed: Mapping[str, float]
) -> tuple[list[tuple[FormationEnthalpy, ComputedEntry]], list[tuple[str, str]]]:
    """Pair experiments with calculations; and the formulas without, with the reason."""
    rows: dict[str, tuple[FormationEnthalpy, ComputedEntry]] = {}
    unused = []
    for enthalpy in sorted(enthalpies, key=lambda enthalpy: enthalpy.energy_per_atom):
        composition = enthalpy.composition
        formula = composition.reduced_formula
        lacking = sorted({str(element.symbol) for element in composition.elements} - computed.keys())
        if composition.is_element:
            unused.append((enthalpy.formula, "an element"))
        elif formula in rows:
            unused.append((enthalpy.formula, "not the lowest of its composition"))
        elif formula not in entries:
            unused.append((enthalpy.formula, "no calculated entry"))
        elif lacking:
            unused.append((enthalpy.formula, f"no calculated entry of the element {', '.join(lacking)}"))
        else:
            rows[formula] = (enthalpy, entries[formula])
    return list(rows.values()), unused


def weights(enthalpies: Sequence[FormationEnthalpy]) -> NDArray[np.float64]:
    """Inverse squared uncertainties per atom, shape (n,); one that is unknown counts as the mean of the known ones."""
    uncertainties = np.array([enthalpy.uncertainty_per_atom for enthalpy in enthalpies])
    known = uncertainties > 0
    if not known.any():
        return np.ones(len(uncertainties))
    return np.asarray(np.where(known, uncertainties, uncertainties[known].mean()) ** -2)
