"""What `matscout hull` shows: the entries, an open hull, a decomposition, the chemical potentials of a phase."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from matscout.cli.hull import HullRequest
    from matscout.cli.hull_sources import Loaded
    from matscout.workflows.stability import Facet, Hull
    from matscout.workflows.stability.open_systems import OpenHull

NEAR = 0.025
"""Distance to the hull in eV/atom up to which entries are listed without --window: that of a campaign."""

_PACKAGES = ("matscout", "pymatgen", "numpy", "scipy")


def list_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """List the entries of a chemical system, nearest to the hull first."""
    from matscout.workflows.stability import hull_frame

    about = _about(request, loaded, elements)
    if len(elements) == 1 and request.window is None:
        request = replace(request, everything=True)  # the polymorphs are what there is to see
    frame = hull_frame(loaded.hull, elements, window=_window(request))
    shown, more = _chosen(request, frame, about["entries"])
    if request.as_json:
        print_json({"hull": about, "rows": _records(shown), "more": about["entries"] - len(shown)})
        return
    _print_about(about)
    rows = [
        (
            x["formula"],
            x["id"],
            f"{x['e_above_hull']:.3f}",
            f"{_rounded(x['decomposition_energy']):+.3f}",
            f"{_rounded(x['formation_energy']):.3f}",
            _products(x),
        )
        for x in _records(shown)
    ]
    print_cells(
        ("formula", "id", "above hull, eV/atom", "decomposition, eV/atom", "formation, eV/atom", "decomposes to"),
        rows,
        right=(2, 3, 4),
    )
    _print_more(more)


def open_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> OpenHull:
    """List the entries of a hull that is open to an element, and return it."""
    from matscout.workflows.stability.open_systems import open_hull

    (element,) = request.opened
    potential = request.mu if request.delta_mu is None else request.delta_mu
    assert potential is not None, "checked before"
    opened = open_hull(
        loaded.hull, {element: potential}, relative=request.delta_mu is not None, chemical_system=elements
    )
    frame = opened.frame(window=_window(request))
    about = _about(request, loaded, elements)
    mu, reference = opened.chemical_potentials[element], opened.references[element]
    about["open"] = {
        "element": element,
        "chemical_potential": mu,
        "relative_to_the_element": mu - reference,
        "entries": len(opened.ids),
        "stable": len(opened.stable_ids),
        "version": opened.hull.version,
    }
    shown, more = _chosen(request, frame, len(opened.ids))
    if request.as_json:
        print_json({"hull": about, "rows": _records(shown), "more": len(opened.ids) - len(shown)})
        return opened
    _print_about(about)
    echo(
        f"open to {element} at {_rounded(mu):.3f} eV/atom, {_rounded(mu - reference):+.3f} relative to the element: "
        f"{len(opened.stable_ids)} of {len(opened.ids)} phases stable; distances in eV per atom of the other elements"
    )
    rows = [
        (x["formula"], x["id"], f"{x['e_above_hull']:.3f}", x["reaction"] if x["e_above_hull"] > 0 else "stable")
        for x in _records(shown)
    ]
    print_cells(("formula", "id", "above hull, eV/atom", "becomes"), rows, right=(2,))
    _print_more(more)
    return opened


def decomposition_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """Show what a composition decomposes to, as a balanced reaction."""
    hull = loaded.hull
    composition = _inside(request.decompose or "", elements)
    reaction, shares = hull.reaction(composition), hull.decompose(composition)
    formation = float(hull.formation_energy([composition], [reaction.energy])[0])
    about = _about(request, loaded, elements)
    phases = [
        {"id": name, "formula": reaction.formulas[name], "amount": reaction.phases[name], "atomic_fraction": share}
        for name, share in shares.items()
    ]
    if request.as_json:
        document = {
            "formula": reaction.formula,
            "reaction": str(reaction),
            "amount": reaction.amount,
            "energy": reaction.energy,
            "formation_energy": formation,
            "phases": phases,
        }
        print_json({"hull": about, "decomposition": document})
        return
    _print_about(about)
    stable = len(phases) == 1 and phases[0]["formula"] == reaction.formula
    _echo(f"{reaction.formula} is stable: {phases[0]['id']}" if stable else str(reaction))
    echo(f"the hull lies there at {_rounded(formation):.3f} eV/atom relative to the elements")
    if not stable:
        rows = [(x["formula"], x["id"], f"{x['amount']:.6g}", f"{x['atomic_fraction']:.4f}") for x in phases]
        print_cells(("phase", "id", "formula units", "fraction of the atoms"), rows, right=(2, 3))


def phase_view(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> None:
    """Show at which chemical potentials a phase is stable, and with which phases it coexists."""
    hull = loaded.hull
    entry_id = _stable_phase(request.phase or "", hull, elements)
    window = hull.chemical_potential_window(entry_id, elements)
    try:
        facets = [facet for facet in hull.facets(elements) if entry_id in facet.phases]
        unknown = ""
    except UserError as error:  # more elements than facets are found for: the window does not need them
        facets, unknown = [], str(error)
    names = _formulas(hull, elements)
    about = _about(request, loaded, elements)
    if request.as_json:
        document = {
            "id": entry_id,
            "formula": names[entry_id],
            "chemical_potentials": {
                element: {"low": _finite(low), "high": _finite(high)} for element, (low, high) in window.items()
            },
            "coexists_with": None if unknown else [_facet(facet, names, entry_id) for facet in facets],
        }
        print_json({"hull": about, "phase": document})
        return
    _print_about(about)
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
            ", ".join(names[name] for name in facet.phases if name != entry_id),
        )
        for facet in facets
    ]
    print_cells((*elements, "phases"), rows, right=range(len(elements)))


def print_cells(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print a table of what a file or a user wrote: no control character steers the terminal or breaks a row."""
    print_table(columns, [[printable(str(cell)).replace("\n", "\\n") for cell in row] for row in rows], right=right)


def label_versions() -> dict[str, str]:
    """Versions of the packages that made the numbers."""
    return {package: version(package) for package in _PACKAGES}


def _about(request: HullRequest, loaded: Loaded, elements: Sequence[str]) -> dict[str, Any]:
    """Say which hull it is: its version, what made it, and what competes on it."""
    from matscout.workflows.stability import get_scheme

    hull = loaded.hull
    columns, complete = hull.columns(elements), hull.completeness(elements)
    return {
        "chemical_system": "-".join(elements),
        "entries": len(columns),
        "stable": int((hull.own_e_above_hull(elements) == 0).sum()),
        "version": hull.version,
        "entries_of_version": len(hull),
        "from": loaded.origin,
        "protocols": sorted(set(columns.protocols)),
        "scheme": hull.scheme,
        "scheme_version": get_scheme(hull.scheme).version,
        "corrections": loaded.corrected or None,
        "temperature": request.temperature,
        "formation_energies": hull.formation_energies,
        "judged_against": str(complete),
        "competitors": {str(size): n for size, n in complete.by_size.items()},
        "competing_systems": {"-".join(inside): n for inside, n in complete.by_system.items()},
        "competitor_sources": dict(complete.by_source),
        "versions": label_versions(),
    }


def _print_about(about: Mapping[str, Any]) -> None:
    whole = about["entries_of_version"]
    lines = [
        f"hull of {about['entries']} entries in {about['chemical_system']}: {about['stable']} stable; version "
        f"{about['version']}" + (f" of all {whole} entries" if whole != about["entries"] else ""),
        f"from {about['from']}",
        f"protocol{'s' * (len(about['protocols']) > 1)} {', '.join(about['protocols'])}; correction scheme "
        f"{about['scheme']}"
        + ("" if about["temperature"] is None else f"; free energies of formation at {about['temperature']:g} K"),
        f"judged against {about['judged_against']}",
    ]
    lines[3:3] = (about["corrections"] or {}).get("lines", [])
    sources = about["competitor_sources"]
    if len(sources) > 1:
        lines[-1] += f" ({', '.join(f'{source}: {n}' for source, n in sources.items())})"
    for line in lines:
        _echo(line)


def _window(request: HullRequest) -> float | None:
    if request.everything:
        return None
    return NEAR if request.window is None else request.window


def _chosen(request: HullRequest, frame: pd.DataFrame, total: int) -> tuple[pd.DataFrame, str]:
    """Rows to show, and a sentence on the others: of a composition its lowest entry, unless all are asked for."""
    if request.everything:
        return frame, ""
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


def _products(row: Mapping[str, Any]) -> str:
    """Write what an entry decomposes to, as a reaction; a higher polymorph names the lower one."""
    if row["e_above_hull"] == 0:
        return "stable"
    left, _, right = row["reaction"].partition(" -> ")
    return f"{right} ({', '.join(row['decomposition'])})" if left == right else str(row["reaction"])


def _inside(formula: str, elements: Sequence[str]) -> str:
    """Check that a formula is one, and of this chemical system."""
    from matscout.workflows.stability.compositions import fraction_table

    if not _is_formula(formula):
        raise UserError(f'"{formula}" is no formula, and no id of an entry in {"-".join(elements)}')
    outside = sorted(set(fraction_table([formula]).elements) - set(elements))
    if outside:
        raise UserError(f"{formula} holds {', '.join(outside)}, and the chemical system is {'-'.join(elements)}")
    return formula


def _stable_phase(name: str, hull: Hull, elements: Sequence[str]) -> str | int:
    """Id of the phase meant, by its id or by its formula."""
    ids = {str(entry_id): entry_id for entry_id in hull.columns(elements).ids}
    is_stable = name in ids and ids[name] in hull.stable_ids
    if is_stable or (name in ids and not _is_formula(name)):
        return ids[name]
    phases = list(hull.decompose(_inside(name, elements)))
    reaction = hull.reaction(name)
    if len(phases) > 1 or reaction.formulas[phases[0]] != reaction.formula:
        raise UserError(f"{name} is not stable, so no chemical potentials are its own: {reaction}")
    return phases[0]


def _is_formula(text: str) -> bool:
    from matscout.workflows.stability.compositions import fraction_table

    try:
        fraction_table([text])
    except UserError:
        return False
    return True


def _formulas(hull: Hull, elements: Sequence[str]) -> dict[str | int, str]:
    """Return the formula of each entry of a system, and of elements that are not listed."""
    from matscout.workflows.stability.compositions import fraction_table
    from matscout.workflows.stability.naming import formula, reduced_formulas

    columns = hull.columns(elements)
    table = fraction_table((columns.amounts, columns.elements))
    names: dict[str | int, str] = {element: formula(fraction_table([element]), 0) for element in elements}
    return names | dict(zip(columns.ids, reduced_formulas(table, range(len(table))), strict=True))


def _facet(facet: Facet, names: Mapping[str | int, str], entry_id: str | int) -> dict[str, Any]:
    return {
        "phases": [{"id": str(name), "formula": names[name]} for name in facet.phases if name != entry_id],
        "chemical_potentials": dict(facet.chemical_potentials),
    }


def _potential(value: float) -> str:
    return f"{_rounded(value):.3f}" if math.isfinite(value) else "unbounded"


def _rounded(energy: float) -> float:
    """Round to meV, without the sign of a zero."""
    return round(energy, 3) + 0.0


def _echo(line: str) -> None:
    echo(printable(line))
