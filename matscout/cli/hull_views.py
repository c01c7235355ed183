"""What `matscout hull` shows: the entries, an open hull, a decomposition, the chemical potentials of a phase."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.hull_about import about_hull, print_about, stable_counts, ties
from matscout.cli.hull_names import composition_meant, formulas_of, same_composition, stable_phase
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    import pandas as pd

    from matscout.cli.hull import HullRequest
    from matscout.cli.hull_sources import Loaded
    from matscout.workflows.stability import Facet, Hull
    from matscout.workflows.stability.open_systems import OpenHull

NEAR = 0.025
"""Distance to the hull in eV/atom up to which entries are listed without --window: that of a campaign."""


def list_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """List the entries of a chemical system, nearest to the hull first."""
    from matscout.workflows.stability import hull_frame

    about = about_hull(request, loaded, elements)
    if len(elements) == 1 and request.window is None:
        request = replace(request, everything=True)  # the polymorphs are what there is to see
    frame = hull_frame(loaded.hull, elements, window=_window(request))
    shown, more = _chosen(request, frame, about["entries"])
    if request.as_json:
        print_json({"hull": about, "rows": _records(shown), "more": about["entries"] - len(shown)})
        return
    print_about(about)
    rows = [
        (
            x["formula"],
            x["id"],
            f"{x['e_above_hull']:.3f}",
            _signed(x["decomposition_energy"]),
            f"{_rounded(x['formation_energy']):.3f}",
            _products(x["formula"], x["reaction"], ", ".join(x["decomposition"])) if x["e_above_hull"] else "stable",
        )
        for x in _records(shown)
    ]
    echo("energies in eV/atom")
    headings = ("formula", "id", "above hull", "decomp.", "formation", "decomposes to")
    print_cells(headings, rows, right=(2, 3, 4), optional=(4, 3, 5))
    _print_more(more)


def opened_hull(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> OpenHull:
    """Open a hull to the elements asked for."""
    from matscout.workflows.stability.open_systems import open_hull

    potentials = dict(zip(request.opened, request.mu or request.delta_mu, strict=True))
    return open_hull(loaded.hull, potentials, relative=not request.mu, chemical_system=elements)


def open_view(request: HullRequest, loaded: Loaded, elements: Sequence[str], opened: OpenHull) -> None:
    """List the entries of a hull that is open to elements."""
    frame = opened.frame(window=_window(request))
    about = about_hull(request, loaded, elements)
    counts = stable_counts(opened.entries, opened.own_e_above_hull())
    relative = {element: mu - opened.references[element] for element, mu in opened.chemical_potentials.items()}
    about["open"] = {
        "chemical_potentials": dict(opened.chemical_potentials),
        "relative_to_the_elements": relative,
        "entries": len(opened.ids),
        **counts,
        "version": opened.hull.version,
    }
    shown, more = _chosen(request, frame, len(opened.ids))
    if request.as_json:
        print_json({"hull": about, "rows": _records(shown), "more": len(opened.ids) - len(shown)})
        return
    print_about(about)
    at = "" if request.temperature is None else f" in its stable phase at {request.temperature:g} K and 1 bar"
    held = [
        f"{element} at {_rounded(opened.chemical_potentials[element]):.3f} eV/atom, {_rounded(relative[element]):+.3f} "
        f"relative to the element{at}"
        for element in request.opened
    ]
    echo(
        f"open to {' and '.join(held)}: {counts['stable']} stable{ties(counts['of_equal_energy'])} of "
        f"{len(opened.ids)} entries; distances in eV per atom of the other elements"
    )
    lower = _lowest_ids(opened)
    rows = [
        (
            x["formula"],
            x["id"],
            f"{x['e_above_hull']:.3f}",
            _products(x["formula"], x["reaction"], lower.get(x["formula"], "")) if x["e_above_hull"] else "stable",
        )
        for x in _records(shown)
    ]
    print_cells(("formula", "id", "above hull", "becomes"), rows, right=(2,), optional=(3,))
    _print_more(more)


def decomposition_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """Show what a composition decomposes to, as a balanced reaction."""
    hull = loaded.hull
    composition, entry_id = composition_meant(request.decompose or "", hull, elements)
    reaction, shares = hull.reaction(composition), hull.decompose(composition)
    formation = float(hull.formation_energy([composition], [reaction.energy])[0])
    about = about_hull(request, loaded, elements)
    phases = [
        {"id": name, "formula": reaction.formulas[name], "amount": reaction.phases[name], "atomic_fraction": share}
        for name, share in shares.items()
    ]
    above = None if entry_id is None else _own_distance(entry_id, hull, elements)
    if request.as_json:
        document = {
            "id": entry_id,
            "formula": reaction.formula,
            "e_above_hull": above,
            "reaction": str(reaction),
            "amount": reaction.amount,
            "energy": reaction.energy,
            "formation_energy": formation,
            "phases": phases,
        }
        print_json({"hull": about, "decomposition": document})
        return
    print_about(about)
    stable = len(phases) == 1 and phases[0]["formula"] == reaction.formula
    _echo(f"{reaction.formula} is stable: {phases[0]['id']}" if stable else str(reaction))
    _echo(
        f"the hull lies there at {_rounded(formation):.3f} eV/atom relative to the elements"
        + (f", {entry_id} {above:.3f} eV/atom above it" if above else "")
    )
    if not stable:
        rows = [(x["formula"], x["id"], f"{x['amount']:.6g}", f"{x['atomic_fraction']:.4f}") for x in phases]
        print_cells(("phase", "id", "formula units", "fraction of the atoms"), rows, right=(2, 3))


def phase_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """Show at which chemical potentials a phase is stable, and with which phases it coexists."""
    hull = loaded.hull
    entry_id = stable_phase(request.phase or "", hull, elements)
    window = hull.chemical_potential_window(entry_id, elements)
    own = same_composition(entry_id, hull, elements)
    try:
        facets = [facet for facet in hull.facets(elements) if not own.isdisjoint(facet.phases)]
        unknown = ""
    except UserError as error:  # more elements than facets are found for: the window does not need them
        facets, unknown = [], str(error)
    names = formulas_of(hull, elements)
    about = about_hull(request, loaded, elements)
    if request.as_json:
        document = {
            "id": entry_id,
            "formula": names[entry_id],
            "chemical_potentials": {
                element: {"low": _finite(low), "high": _finite(high)} for element, (low, high) in window.items()
            },
            "coexists_with": None if unknown else [_facet(facet, names, own) for facet in facets],
        }
        print_json({"hull": about, "phase": document})
        return
    print_about(about)
    _echo(f"{names[entry_id]} ({entry_id}) is stable at chemical potentials, in eV/atom relative to the elements, of")
    print_cells(
        ("element", "lowest", "highest"),
        [(element, _potential(window[element][0]), _potential(window[element][1])) for element in elements],
        right=(1, 2),
    )
    if unknown:
        _echo(f"which phases it coexists with is not known: {unknown}")
        return
    echo(f"it coexists with {len(facets)} set{'s' * (len(facets) != 1)} of phases, at these chemical potentials")
    rows = [
        (
            *(_potential(facet.chemical_potentials[element]) for element in elements),
            ", ".join(dict.fromkeys(names[name] for name in facet.phases if name not in own)),
        )
        for facet in facets
    ]
    print_cells((*elements, "phases"), rows, right=range(len(elements)))


def print_cells(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[int] = (),
    optional: Sequence[int] = (),
) -> None:
    """Print a table of what a file or a user wrote: no control character steers the terminal or breaks a row."""
    cells = [[printable(str(cell)).replace("\n", "\\n") for cell in row] for row in rows]
    print_table(columns, cells, right=right, optional=optional)


def _window(request: HullRequest) -> float | None:
    if request.everything:
        return None
    return NEAR if request.window is None else request.window


def _chosen(request: HullRequest, frame: pd.DataFrame, total: int) -> tuple[pd.DataFrame, str]:
    """Rows to show, and a sentence on the others: of a composition its lowest entry, unless more are asked for."""
    shown = frame
    if not request.everything and request.window is None and not request.as_json:
        shown = frame[(frame["e_above_hull"] == 0) | ~frame.duplicated("formula")]
    higher, farther = len(frame) - len(shown), total - len(frame)
    parts = [f"{higher} higher phase{'s' * (higher != 1)} of these compositions"] if higher else []
    beyond = f"farther than {_window(request):g} eV/atom" if _window(request) else "above the hull"
    parts += [f"{farther} {beyond}"] if farther else []
    return shown, f"not shown: {' and '.join(parts)}; --all shows them" if parts else ""


def _print_more(more: str) -> None:
    if more:
        echo(more)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON takes them: ids as text, numbers in full, nothing that is not a number."""
    return [
        {str(key): _plain(value) for key, value in row.items()} | {"id": str(row["id"])}
        for row in frame.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): float(share) for key, share in value.items()}
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    return value + 0.0 if math.isfinite(value) else None


def _products(formula: str, reaction: str, lower: str) -> str:
    """Write what an entry becomes: its reaction, without the entry where that is one formula unit of it alone.

    A higher polymorph names the lower one.
    """
    left, _, right = reaction.partition(" -> ")
    if left == right:
        return f"{right} ({lower})" if lower else right
    return right if left == formula else reaction


def _lowest_ids(opened: OpenHull) -> dict[str, str]:
    """Ids of the stable entries of an open hull, by their formula."""
    frame = opened.frame(window=0.0)
    return {str(formula): str(name) for formula, name in zip(frame["formula"], frame["id"], strict=True)}


def _own_distance(entry_id: str | int, hull: Hull, elements: Sequence[str]) -> float:
    """Distance of one entry to the hull, eV/atom."""
    return float(hull.own_e_above_hull(elements)[hull.columns(elements).ids.index(entry_id)])


def _facet(facet: Facet, names: Mapping[str | int, str], own: Container[str | int]) -> dict[str, Any]:
    return {
        "phases": [{"id": str(name), "formula": names[name]} for name in facet.phases if name not in own],
        "chemical_potentials": dict(facet.chemical_potentials),
    }


def _potential(value: float) -> str:
    return f"{_rounded(value):.3f}" if math.isfinite(value) else "unbounded"


def _signed(energy: float) -> str:
    """Write an energy with its sign, which it keeps where it rounds to 0: what is stable is stable by a hair too."""
    return f"{energy:+.3f}" if energy else "0.000"


def _rounded(energy: float) -> float:
    """Round to meV, without the sign of a zero."""
    return round(energy, 3) + 0.0


def _echo(line: str) -> None:
    echo(printable(line))
