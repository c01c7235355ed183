"""Which hull `matscout hull` shows: its version, what made it, and what competes on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.versions import label_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from matscout.cli.hull import HullRequest
    from matscout.cli.hull_sources import Loaded
    from matscout.workflows.stability import EntryColumns


def stable_counts(entries: EntryColumns, above: NDArray[np.float64]) -> dict[str, int]:
    """Count the compositions on a hull, and the further entries of these at the same energy.

    Parameters
    ----------
    entries
        n entries.
    above
        Their distances to the hull in eV/atom, shape (n,).
    """
    from matscout.workflows.stability.contents import count_compositions

    on_hull = entries.amounts[above == 0]
    stable = count_compositions(on_hull)
    return {"stable": stable, "of_equal_energy": len(on_hull) - stable}


def ties(n: int) -> str:
    """Say that so many entries beside those counted have the energy of one of these."""
    return f" (+{n} of equal energy)" if n else ""


def about_hull(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> dict[str, Any]:
    """Return what JSON says of a hull: its version, what made it, and what competes on it."""
    from matscout.workflows.stability import get_scheme

    hull = loaded.hull
    columns, complete = hull.columns(elements), hull.completeness(elements)
    return {
        "chemical_system": "-".join(elements),
        "entries": len(columns),
        **stable_counts(columns, hull.own_e_above_hull(elements)),
        "version": hull.version,
        "entries_of_version": len(hull),
        "from": loaded.origin,
        "protocols": sorted(set(columns.protocols)),
        "scheme": hull.scheme,
        "scheme_version": get_scheme(hull.scheme).version,
        "corrections": loaded.corrected or None,
        "temperature": request.temperature,
        "left_out": list(loaded.left_out),
        "warnings": [*loaded.notes, *loaded.warnings],
        "formation_energies": hull.formation_energies,
        "judged_against": str(complete),
        "competing_compositions": {str(size): n for size, n in complete.compositions.items()},
        "competitors": {str(size): n for size, n in complete.by_size.items()},
        "competing_systems": {"-".join(inside): n for inside, n in complete.by_system.items()},
        "competitor_sources": dict(complete.by_source),
        "versions": label_versions(),
    }


def print_about(about: Mapping[str, Any]) -> None:
    """Print what `about_hull` returns, for people."""
    whole = about["entries_of_version"]
    lines = [
        f"hull of {about['entries']} entries in {about['chemical_system']}: {about['stable']} stable"
        f"{ties(about['of_equal_energy'])}; version {about['version']}"
        + (f" of all {whole} entries" if whole != about["entries"] else ""),
        f"from {about['from']}",
        f"protocol{'s' * (len(about['protocols']) > 1)} {', '.join(about['protocols'])}; correction scheme "
        f"{about['scheme']}"
        + ("" if about["temperature"] is None else f"; free energies of formation at {about['temperature']:g} K"),
        f"judged against {about['judged_against']}",
    ]
    lines[3:3] = (about["corrections"] or {}).get("lines", [])
    sources = about["competitor_sources"]
    if len(sources) > 1:
        lines[-1] += f"; entries from {', '.join(f'{source}: {n}' for source, n in sources.items())}"
    if about["left_out"] and about["temperature"] is not None:
        lines.append(
            f"left out: {some(about['left_out'])}: without a structure, or higher entries of an element or a gas, they "
            "have no free energy"
        )
    for line in lines:
        echo(printable(line))
