"""What a campaign's energies count for on a hull: as the correction scheme of their protocol leaves them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.schemes import MATERIALS_PROJECT, get_scheme

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymatgen.core.entries import ComputedStructureEntry

    from matscout.db.documents import CalculationResult
    from matscout.workflows.calculations.protocols import Protocol

_OF_THE_FIT = ("incar.LDAU", "potcar")
"""Settings whose values a scheme of corrections for GGA and GGA+U was fitted to, by the beginning of their names."""


def hull_protocol(protocol: Protocol) -> str:
    """Name that the energies of a protocol stand under on a hull, once they are corrected.

    Those of the Materials Project's own settings meet its entries; those of changed settings are corrected alike, and
    stand alone.

    Examples
    --------
    >>> from matscout.workflows.calculations.protocols import get_protocol
    >>> hull_protocol(get_protocol("vasp-mp-gga")), hull_protocol(get_protocol("chgnet-relax"))
    ('mp2020', 'chgnet-relax')
    """
    return MATERIALS_PROJECT if protocol.corrections == MATERIALS_PROJECT and not protocol.overrides else protocol.label


def own_scheme(protocol: Protocol) -> str:
    """Name of the scheme under which the energies of a protocol make a hull by themselves."""
    return protocol.corrections if hull_protocol(protocol) == protocol.corrections else "none"


def hull_energy(protocol: Protocol, result: CalculationResult) -> float:
    """Energy of a completed calculation as it stands on a hull, eV/atom.

    Raises
    ------
    UserError
        The protocol's scheme does not correct it: says why.
    """
    assert result.energy_per_atom is not None, "a completed calculation has an energy"
    if protocol.corrections == "none":
        return result.energy_per_atom
    return _corrected(_Asked(protocol.corrections, result.id, result.energy_per_atom, protocol, result))


def hull_entry(protocol: Protocol, result: CalculationResult, name: str) -> ComputedStructureEntry:
    """Entry of a completed calculation as it stands on a hull, corrections included, under a name there."""
    entry = protocol.to_entry(result)
    entry.entry_id = name
    entry.data["protocol"] = hull_protocol(protocol)
    if protocol.corrections != "none":
        entry.correction = hull_energy(protocol, result) * len(entry.structure) - entry.uncorrected_energy
    return entry


@dataclass(frozen=True)
class _Asked:
    """What a correction depends on; a result never changes under its id and its energy."""

    scheme: str
    id: str
    energy: float
    protocol: Protocol = field(compare=False)
    result: CalculationResult = field(compare=False)


@lru_cache(maxsize=100_000)
def _corrected(asked: _Asked) -> float:
    entry = asked.protocol.to_entry(asked.result)
    entry.data.pop("protocol", None)  # corrected by run type and U, also where other settings were changed
    corrected = get_scheme(asked.scheme).correct([entry])
    return float(corrected.entries[0].energy_per_atom)


def check_mixing(protocol: Protocol, elements: Iterable[str]) -> None:
    """Refuse a protocol that would put energies with and without +U on one hull as they are.

    An oxide of iron with a U and iron without one are hundreds of meV/atom apart for no reason of nature: Jain et al.,
    Phys. Rev. B 84, 045115 (2011), doi:10.1103/PhysRevB.84.045115.

    Raises
    ------
    UserError
        No scheme of the protocol corrects for +U; or settings were changed that its scheme was fitted to.
    """
    if protocol.corrections != "none":
        changed = [key for key in protocol.overrides if key.startswith(_OF_THE_FIT)]
        if changed:
            raise UserError(
                f"protocol {protocol.name}: its energies stand on a hull as corrected by {protocol.corrections}, which "
                f"was fitted to its U values and pseudopotentials: leave {', '.join(changed)} as they are"
            )
        return
    table = protocol.settings.get("hubbard_u") or {}
    present = set(elements)
    with_u = sorted({e for anion in present & table.keys() for e in present & table[anion].keys() if table[anion][e]})
    if with_u:
        anions = " or ".join(sorted(present & table.keys()))
        raise UserError(
            f"protocol {protocol.name} puts a U on {', '.join(with_u)} beside {anions} and none elsewhere, and no "
            "scheme corrects for that: such energies may not stand on one hull. Calculate all without U "
            "(overrides: {hubbard_u: {}}), or leave these elements out"
        )
