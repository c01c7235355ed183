"""Refuse cells that no calculation can take, before any code is called.

Two atoms 1 Å apart make CHGNet's graph so large that the process is killed at 24 GB, and an atom without a neighbour
has no graph at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

HEAVIEST = 94
"""Atomic number of the heaviest element among CHGNet's (plutonium)."""


def refusal(structure: Structure, settings: dict[str, Any]) -> str | None:
    """Say why a structure cannot be calculated, or None when it can.

    Parameters
    ----------
    structure
        An ordered structure.
    settings
        A protocol's settings, with ``min_volume_A3_per_atom``, ``min_distance_of_covalent_radii`` (a fraction of the
        sum of two covalent radii) and ``isolated_beyond_A``.
    """
    from ase.data import covalent_radii

    heavy = sorted({s.symbol for s in structure.composition.elements if s.Z > HEAVIEST})
    if heavy:
        return f"no parameters for {', '.join(heavy)}"
    volume = structure.volume / len(structure)
    if not np.isfinite(volume) or volume < settings["min_volume_A3_per_atom"]:
        return f"{volume:.2f} Å³/atom is less than any crystal has ({settings['min_volume_A3_per_atom']:g})"
    centres, neighbours, _, distances = structure.get_neighbor_list(settings["isolated_beyond_A"])
    alone = sorted(set(range(len(structure))) - set(centres.tolist()))
    if alone:
        site = structure[alone[0]].specie.symbol
        return f"the {site} atom on site {alone[0]} has no neighbour within {settings['isolated_beyond_A']:g} Å"
    radii = covalent_radii[[site.specie.Z for site in structure]]
    closeness = distances / (radii[centres] + radii[neighbours])
    worst = int(closeness.argmin())
    if closeness[worst] < settings["min_distance_of_covalent_radii"]:
        pair = f"{structure[centres[worst]].specie.symbol} and {structure[neighbours[worst]].specie.symbol}"
        return f"{pair} are {distances[worst]:.2f} Å apart"
    return None
