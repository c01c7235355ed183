"""Refuse cells that no calculation can take, before any code is called.

Two atoms 1 Å apart make CHGNet's graph so large that the process is killed at 24 GB, and an atom without a neighbour
has no graph at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.featurizers.descriptors._chgnet import HEAVIEST, NEVER_SEEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymatgen.core import Structure


def unknown_elements(code: str, settings: dict[str, Any], symbols: Iterable[str]) -> list[str]:
    """Return those of the elements that a code has no parameters for, by atomic number.

    CHGNet has weights up to plutonium, but never saw Po, At, Rn, Fr and Ra. VASP takes elements that the protocol names
    a potential for, GPAW those that it has a setup of. Of other codes nothing is known.

    Examples
    --------
    >>> unknown_elements("chgnet", {}, ["O", "Am", "Rn"])
    ['Rn', 'Am']
    """
    numbers = atomic_numbers()
    present = sorted(set(symbols), key=lambda symbol: numbers[symbol])
    if code == "chgnet":
        return [symbol for symbol in present if numbers[symbol] > HEAVIEST or numbers[symbol] in NEVER_SEEN]
    if code == "vasp":
        named = settings["config"]["POTCAR"] | settings["potcar"]
        return [symbol for symbol in present if symbol not in named]
    if code == "gpaw":
        return _without_setup(present, settings["xc"])
    return []


def _without_setup(symbols: Sequence[str], functional: str) -> list[str]:
    """Return the elements that GPAW's data sets have no PAW setup of; none where GPAW is not installed."""
    from pathlib import Path

    try:
        from gpaw import setup_paths
    except ImportError:  # on a machine that only plans; the one that calculates looks again
        return []
    folders = [Path(folder) for folder in setup_paths]
    return [one for one in symbols if not any(any(folder.glob(f"{one}.{functional}*")) for folder in folders)]


def refusal(structure: Structure, settings: dict[str, Any], code: str) -> str | None:
    """Say why a structure cannot be calculated, or None when it can.

    Parameters
    ----------
    structure
        An ordered structure.
    settings
        A protocol's settings, with ``min_volume_A3_per_atom``, ``min_distance_of_covalent_radii`` (a fraction of the
        sum of two covalent radii) and, where an atom needs a neighbour, ``isolated_beyond_A``.
    code
        The protocol's code, which may lack parameters for an element.
    """
    from ase.data import covalent_radii

    unknown = unknown_elements(code, settings, [site.specie.symbol for site in structure])
    if unknown:
        return f"no parameters for {', '.join(unknown)}"
    volume = structure.volume / len(structure)
    if not np.isfinite(volume) or volume < settings["min_volume_A3_per_atom"]:
        return f"{volume:.2f} Å³/atom is less than any crystal has ({settings['min_volume_A3_per_atom']:g})"
    beyond = settings.get("isolated_beyond_A")
    centres, neighbours, _, distances = structure.get_neighbor_list(beyond or _FAR)
    alone = sorted(set(range(len(structure))) - set(centres.tolist())) if beyond else []
    if alone:
        site = structure[alone[0]].specie.symbol
        return f"the {site} atom on site {alone[0]} has no neighbour within {beyond:g} Å"
    if not len(distances):
        return None
    radii = covalent_radii[[site.specie.Z for site in structure]]
    closeness = distances / (radii[centres] + radii[neighbours])
    worst = int(closeness.argmin())
    if closeness[worst] < settings["min_distance_of_covalent_radii"]:
        pair = f"{structure[centres[worst]].specie.symbol} and {structure[neighbours[worst]].specie.symbol}"
        return f"{pair} are {distances[worst]:.2f} Å apart"
    return None


_FAR = 5.0
"""How far overlapping atoms are looked for, Å: no covalent radii but two of francium add up to more."""
