"""How far a scheme's energies lie from those of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.entries import ComputedStructureEntry

from matscout.errors import UserError
from matscout.workflows.stability.entries import restrict
from matscout.workflows.stability.hull import Hull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import ArrayLike
    from pymatgen.core.entries import ComputedEntry

_NEAR_HULL = 0.025  # eV/atom


@dataclass(frozen=True)
class SchemeError:
    """How far a scheme's energies lie from those of the reference, in eV/atom.

    Attributes
    ----------
    n
        Compounds compared.
    mean
        Mean of protocol minus reference.
    mae
        Mean of the absolute difference.
    max
        Largest absolute difference.
    """

    n: int
    mean: float
    mae: float
    max: float


def measure_error(reference_energies: ArrayLike, protocol_energies: ArrayLike) -> SchemeError:
    """Compare energies of the same compounds, eV/atom, shape (n,) each.

    Raises
    ------
    UserError
        There is nothing to compare, or an energy is not finite.

    Examples
    --------
    >>> measure_error([-3.0, -2.0], [-3.01, -1.97])
    SchemeError(n=2, mean=0.01, mae=0.02, max=0.03)
    """
    reference, protocol = np.asarray(reference_energies, dtype=float), np.asarray(protocol_energies, dtype=float)
    if reference.shape != protocol.shape or reference.ndim != 1 or not reference.size:
        raise UserError(
            f"a scheme's error needs one energy of each compound by reference and by protocol, "
            f"got shapes {reference.shape} and {protocol.shape}"
        )
    difference = protocol - reference
    if not np.isfinite(difference).all():
        raise UserError("a scheme's error needs finite energies; leave out the compounds whose calculation failed")
    size = np.abs(difference)
    # Ten digits are far below any error and free of the noise of subtracting.
    mean, mae, largest = (round(float(value), 10) for value in (difference.mean(), size.mean(), size.max()))
    return SchemeError(len(difference), mean, mae, largest)


def calibration_sample(
    entries: Iterable[ComputedEntry], elements: Collection[str], n: int
) -> list[ComputedStructureEntry]:
    """Choose reference entries to calculate again, so as to measure a scheme's error; always the same ones.

    Of the entries within these elements whose structure is known and that lie at most 25 meV/atom above the hull of the
    entries, the one nearest to the hull of each formula: at most n, smallest cells first.
    """
    inside = restrict(entries, elements)
    if not inside:
        return []
    compositions = [entry.composition for entry in inside]
    energies = [entry.energy_per_atom for entry in inside]
    # The scheme has judged these entries by then (`check_references`): nothing is labelled here, a sample is chosen.
    above = Hull(compositions, energies).e_above_hull(compositions, energies)
    nearest_of: dict[str, tuple[float, str, ComputedStructureEntry]] = {}
    for entry, distance in zip(inside, above.tolist(), strict=True):
        if isinstance(entry, ComputedStructureEntry) and distance <= _NEAR_HULL:
            rank = (round(distance, 6), str(entry.entry_id), entry)
            nearest_of[entry.reduced_formula] = min(nearest_of.get(entry.reduced_formula, rank), rank, key=_first_two)
    chosen = [entry for *_, entry in nearest_of.values()]
    return sorted(chosen, key=lambda entry: (len(entry.structure), str(entry.entry_id)))[: max(n, 0)]


def _first_two(rank: tuple[float, str, ComputedStructureEntry]) -> tuple[float, str]:
    return rank[:2]
