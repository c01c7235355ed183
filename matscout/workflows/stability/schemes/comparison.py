"""The same entries on two hulls, before and after a correction scheme."""

from __future__ import annotations

from collections import Counter
from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.workflows.stability.compositions import fraction_table
from matscout.workflows.stability.hull import Hull
from matscout.workflows.stability.naming import names_from_formulas, some
from matscout.workflows.stability.schemes.protocols import ids_by_protocol
from matscout.workflows.stability.schemes.registry import check_joinable, corrected_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    import pandas as pd
    from pymatgen.core.entries import ComputedEntry

    from matscout.workflows.stability.schemes.base import Corrected

_COLUMNS = (
    "id",
    "formula",
    "e_above_hull_before",
    "e_above_hull_after",
    "change",
    "stable_before",
    "stable_after",
    "left_out",
)
_EQUAL = 9  # digits of eV/atom to which changes are ranked


def compare_schemes(
    entries: Iterable[ComputedEntry],
    before: str = "none",
    after: str = "mp2020",
    *,
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Distances of entries to the hulls of the same entries under two correction schemes.

    Parameters
    ----------
    entries
        pymatgen entries; those without an id go by their formula.
    before, after
        Names of schemes. "none" takes the energies as they are.
    allow_mixed
        Build a hull even where its protocols may not meet, so as to see what mixing them does. `attrs` says so; such
        distances are no labels.

    Returns
    -------
    A row for each entry: id, formula, e_above_hull_before, e_above_hull_after and change in eV/atom, stable_before,
    stable_after, and left_out: why a scheme cannot correct the entry, empty where both can. Distances to a hull that an
    entry is left out of are NaN. First those whose stability changes, then the largest changes.

    `attrs["before"]` and `attrs["after"]` hold each scheme's report, with its lines for people as "lines", the number
    of stable entries as "stable" and, where protocols that do not belong together were mixed, the error as "mixed".

    Raises
    ------
    UserError
        Protocols meet that the scheme does not join, an element has no entry left, or an id stands for two entries.
    """
    import pandas as pd

    listed = _with_ids(entries)
    names = [str(entry.entry_id) for entry in listed]
    columns: dict[str, list[Any]] = {"id": names, "formula": [entry.reduced_formula for entry in listed]}
    attributes: dict[str, dict[str, Any]] = {}
    reasons: dict[str, list[str]] = {}
    for side, scheme in (("before", before), ("after", after)):
        corrected = corrected_entries(listed, scheme)
        mixed = _mixed(corrected, scheme, allow_mixed=allow_mixed)
        distances, stable = _distances(corrected.entries)
        columns[f"e_above_hull_{side}"] = [distances.get(name, np.nan) for name in names]
        columns[f"stable_{side}"] = [name in stable for name in names]
        for name, why in corrected.left_out:
            reasons.setdefault(name, []).append(f"{scheme}: {why}")
        attributes[side] = {**corrected.report, "lines": list(corrected.lines), "stable": len(stable), "mixed": mixed}
    columns["left_out"] = ["; ".join(reasons.get(name, [])) for name in names]
    frame = pd.DataFrame(columns)
    frame["change"] = frame["e_above_hull_after"] - frame["e_above_hull_before"]
    frame = frame[list(_COLUMNS)]
    flips = frame["stable_before"] != frame["stable_after"]
    size = frame["change"].abs().round(_EQUAL).fillna(np.inf)
    ranked = frame.iloc[np.lexsort((np.arange(len(frame)), -size, ~flips))].reset_index(drop=True)
    ranked.attrs.update(attributes)
    return ranked


def _with_ids(entries: Iterable[ComputedEntry]) -> list[ComputedEntry]:
    """Copy the entries, under ids of their own."""
    listed = [copy(entry) for entry in entries]
    if not listed:
        raise UserError("there are no entries to compare two correction schemes on")
    table = fraction_table([entry.composition for entry in listed])
    energies = np.array([entry.energy_per_atom for entry in listed])
    names = [str(name) for name in names_from_formulas(table, energies, [entry.entry_id for entry in listed])]
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise UserError(f"one id stands for two entries: {some(twice)}; give each entry an id of its own")
    for entry, name in zip(listed, names, strict=True):
        entry.entry_id = name
    return listed


def _mixed(corrected: Corrected, scheme: str, *, allow_mixed: bool) -> str:
    """Say why the protocols may not meet; empty where they may."""
    try:
        check_joinable(ids_by_protocol(corrected.entries), scheme)
    except UserError as error:
        if not allow_mixed:
            raise
        return str(error)
    return ""


def _distances(entries: Sequence[ComputedEntry]) -> tuple[dict[str, float], set[str]]:
    """Distance of each entry to the hull of all of them, eV/atom, and the ids of those on it."""
    compositions = [entry.composition for entry in entries]
    energies = np.array([entry.energy_per_atom for entry in entries])
    names = [str(entry.entry_id) for entry in entries]
    hull = Hull(compositions, energies, names)
    distances = hull.e_above_hull(compositions, energies).tolist()
    return dict(zip(names, distances, strict=True)), {str(name) for name in hull.stable_ids}
