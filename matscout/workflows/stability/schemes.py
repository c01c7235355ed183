"""Correction schemes: what may let energies of two protocols meet on one hull."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pymatgen.entries.computed_entries import ComputedStructureEntry

from matscout.errors import UserError, nearest
from matscout.workflows.stability.blocks import some
from matscout.workflows.stability.entries import restrict
from matscout.workflows.stability.hull import Hull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import ArrayLike
    from pymatgen.entries.computed_entries import ComputedEntry

MATERIALS_PROJECT = "mp2020"
"""Protocol of reference entries: Materials Project settings with MP2020 corrections."""

_MP_PARAMETERS = frozenset({"run_type", "hubbards", "is_hubbard", "potcar_symbols", "potcar_spec", "pseudo_potential"})
_CORRECTED_ANIONS = frozenset({"O", "S", "F", "Cl", "Br", "I", "N"})
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


class CorrectionScheme(ABC):
    """A rule that joins protocols, or refuses to."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def check_protocols(self, protocols: Iterable[str]) -> None:
        """Raise a UserError unless energies of these protocols may stand on one hull."""

    @abstractmethod
    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Raise a UserError unless reference entries from a file are what the scheme takes them for."""


class NoScheme(CorrectionScheme):
    """One protocol only."""

    name = "none"
    summary = "one protocol only, nothing corrected"

    def check_protocols(self, protocols: Iterable[str]) -> None:
        """Refuse a second protocol."""
        different = sorted(set(protocols))
        if len(different) > 1:
            raise UserError(
                f"energies of the protocols {' and '.join(different)} cannot stand on one hull: calculate all with one "
                f"protocol (references: recompute: true), or name a correction scheme that joins them: "
                f"{', '.join(name for name in SCHEMES if name != self.name)}"
            )

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Take any entries: their protocol is for `check_protocols` to compare."""


class ChgnetAsMp2020(CorrectionScheme):
    """CHGNet energies beside MP2020-corrected Materials Project entries, unchanged.

    CHGNet was trained on energies that already held the MP2020 corrections, so its energies estimate corrected ones,
    and must not be corrected again. The error of that estimate is measured, with `calibration_sample` and
    `measure_error`, on entries that the protocol calculates again.

    References
    ----------
    Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
    """

    name = "chgnet-as-mp2020"
    summary = "CHGNet energies beside MP2020-corrected Materials Project entries"

    def check_protocols(self, protocols: Iterable[str]) -> None:
        """Take CHGNet protocols and the corrected entries."""
        other = sorted({p for p in protocols if p != MATERIALS_PROJECT and not p.startswith("chgnet-")})
        if other:
            raise UserError(
                f"the correction scheme {self.name} joins chgnet- protocols with {MATERIALS_PROJECT} entries, "
                f"not with {some(other)}"
            )

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Refuse entries with other corrections, without a sign of the Materials Project, or not corrected."""
        foreign = [entry for entry in entries if not all(a.name.startswith("MP2020") for a in entry.energy_adjustments)]
        self._refuse(foreign, "are corrected, but not by MP2020")
        bare = [entry for entry in entries if not entry.energy_adjustments]
        unknown = [entry for entry in bare if not _MP_PARAMETERS.intersection(entry.parameters)]
        self._refuse(unknown, "show no sign of the Materials Project: no corrections, and no run_type in parameters")
        due = [entry for entry in entries if _is_anion_compound(entry)]
        raw = [entry for entry in due if not entry.energy_adjustments]
        # MP2020 leaves a few of these compounds alone, where it finds no negative oxidation state, but never most.
        self._refuse(raw if 2 * len(raw) > len(due) else [], "are not corrected, though MP2020 corrects such anions")

    def _refuse(self, entries: Sequence[ComputedEntry], why: str) -> None:
        if entries:
            names = some(f"{entry.entry_id} ({entry.reduced_formula})" for entry in entries)
            raise UserError(
                f"the correction scheme {self.name} needs MP2020-corrected Materials Project entries, but "
                f"{len(entries)} {why}: {names}. Apply pymatgen's MaterialsProject2020Compatibility first, "
                f"or calculate the references again (recompute: true)"
            )


SCHEMES: dict[str, CorrectionScheme] = {scheme.name: scheme for scheme in (NoScheme(), ChgnetAsMp2020())}


def get_scheme(name: str) -> CorrectionScheme:
    """Return the correction scheme of this name.

    Examples
    --------
    >>> get_scheme("chgnet-as-mp2020").summary
    'CHGNet energies beside MP2020-corrected Materials Project entries'
    """
    if name not in SCHEMES:
        close = nearest(name, SCHEMES)
        hint = f" Nearest: {close}." if close else ""
        raise UserError(f"unknown correction scheme {name!r}.{hint} Known: {', '.join(SCHEMES)}")
    return SCHEMES[name]


def check_joinable(protocols: Iterable[str], scheme: str | CorrectionScheme) -> None:
    """Raise a UserError, naming the protocols, unless the scheme lets them stand on one hull."""
    (get_scheme(scheme) if isinstance(scheme, str) else scheme).check_protocols(protocols)


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
    above = Hull.from_entries(inside).e_above_hull(
        [entry.composition for entry in inside], [entry.energy_per_atom for entry in inside]
    )
    nearest_of: dict[str, tuple[float, str, ComputedStructureEntry]] = {}
    for entry, distance in zip(inside, above.tolist(), strict=True):
        if isinstance(entry, ComputedStructureEntry) and distance <= _NEAR_HULL:
            rank = (round(distance, 6), str(entry.entry_id), entry)
            nearest_of[entry.reduced_formula] = min(nearest_of.get(entry.reduced_formula, rank), rank, key=_first_two)
    chosen = [entry for *_, entry in nearest_of.values()]
    return sorted(chosen, key=lambda entry: (len(entry.structure), str(entry.entry_id)))[: max(n, 0)]


def _first_two(rank: tuple[float, str, ComputedStructureEntry]) -> tuple[float, str]:
    return rank[:2]


def _is_anion_compound(entry: ComputedEntry) -> bool:
    symbols = entry.composition.get_el_amt_dict()
    return len(symbols) > 1 and not _CORRECTED_ANIONS.isdisjoint(symbols)
