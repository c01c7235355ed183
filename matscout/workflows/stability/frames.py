"""A hull as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.compositions import FractionTable
from matscout.workflows.stability.naming import reduced_formulas

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from matscout.workflows.stability.hull import Hull


def hull_frame(
    hull: Hull, chemical_system: str | Sequence[str] | None = None, *, window: float | None = None
) -> pd.DataFrame:
    """Return the entries of a hull as a table, nearest to the hull first.

    Parameters
    ----------
    hull
        Any hull.
    chemical_system
        Entries inside it alone; all where None.
    window
        Largest distance to the hull in eV/atom; None for all.

    Returns
    -------
    Columns id, formula, chemical_system, energy, formation_energy, e_above_hull and decomposition_energy (eV/atom),
    decomposition ({id: atomic fraction}; a stable phase is its own), reaction (text), protocol and source.

    Examples
    --------
    >>> from matscout.workflows.stability import Hull
    >>> hull = Hull(["NaCl", "Na3Cl"], [-2.0, -0.9], formation_energies=True)
    >>> hull_frame(hull)[["formula", "e_above_hull", "reaction"]]
      formula  e_above_hull              reaction
    0    NaCl           0.0          NaCl -> NaCl
    1   Na3Cl           0.1  Na3Cl -> 2 Na + NaCl
    """
    import pandas as pd

    columns = hull.columns(chemical_system)
    table = FractionTable(columns.amounts, columns.elements, np.ones(len(columns)))
    amounts = (columns.amounts, columns.elements)
    frame = pd.DataFrame(
        {
            "id": columns.ids,
            "formula": reduced_formulas(table, range(len(table))),
            "chemical_system": ["-".join(np.array(columns.elements)[row > 0]) for row in columns.amounts],
            "energy": columns.energies,
            "formation_energy": hull.formation_energy(amounts, columns.energies),
            "e_above_hull": hull.own_e_above_hull(chemical_system),
            "decomposition_energy": hull.decomposition_energy(chemical_system),
            "protocol": columns.protocols,
            "source": columns.sources,
        }
    )
    if window is not None:
        frame = frame[frame["e_above_hull"] <= window]
    frame = frame.sort_values(["e_above_hull", "decomposition_energy", "formula"], kind="stable")
    shown = (columns.amounts[frame.index], columns.elements)
    reactions = hull.reactions(shown)
    frame.insert(7, "decomposition", [dict(reaction.fractions) for reaction in reactions])
    frame.insert(8, "reaction", [str(reaction) for reaction in reactions])
    return frame.reset_index(drop=True)
