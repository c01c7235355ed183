"""`matscout hull`: the hull of a chemical system, of a file of entries or of a campaign in a store."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.hull_checks import check_not_read, check_request, elements_of_system
from matscout.errors import MatscoutWarning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matscout.cli.hull_sources import Loaded
    from matscout.workflows.stability import Hull, OpenHull


@dataclass(frozen=True)
class HullRequest:
    """What was asked for on the command line.

    Attributes
    ----------
    system
        Such as "Li-Fe-P-O".
    entries
        File of entries; the store where None.
    campaign
        Campaign file, or name or id of a campaign in the store.
    opened, mu, delta_mu
        The elements that are open, and the chemical potential of each in eV/atom: absolute, or relative to the element.
    temperature
        K; None for the energies themselves.
    scheme, compare
        Correction scheme of a file's entries, and another to compare it with.
    window
        Farthest from the hull that is shown, eV/atom.
    decompose
        Formula of a composition, or id of an entry, whose reaction is shown.
    phase
        Formula or id of a stable phase whose chemical potentials are shown.
    plot, potentials
        Files to write.
    everything
        Show all entries, however far.
    """

    system: str
    entries: Path | None = None
    campaign: str | None = None
    store: str | None = None
    opened: tuple[str, ...] = ()
    mu: tuple[float, ...] = ()
    delta_mu: tuple[float, ...] = ()
    temperature: float | None = None
    scheme: str | None = None
    compare: str | None = None
    window: float | None = None
    decompose: str | None = None
    phase: str | None = None
    plot: Path | None = None
    potentials: Path | None = None
    everything: bool = False
    as_json: bool = False


def show_hull(request: HullRequest) -> None:
    """Print or plot a hull.

    Raises
    ------
    UserError
        The request contradicts itself, or there is no such hull.
    """
    elements = elements_of_system(request.system)
    check_request(request, elements)
    with _warnings_as_lines() as said:
        if request.compare is not None:
            from matscout.cli.hull_comparison import show_comparison

            show_comparison(request, elements)
        else:
            _show(request, elements, said)


def _show(request: HullRequest, elements: tuple[str, ...], said: list[str]) -> None:
    from matscout.cli import hull_views

    loaded = replace(_load(request, elements), warnings=said)
    check_not_read(request, loaded.files)
    opened = hull_views.opened_hull(request, loaded, elements) if request.opened else None
    # Before anything is printed: what reads that may have enough of it.
    others = "-".join(element for element in elements if element not in request.opened)
    _write_plots(request, opened or loaded.hull, others)
    if opened is not None:
        hull_views.open_view(request, loaded, elements, opened)
    elif request.decompose is not None:
        hull_views.decomposition_view(request, loaded, elements)
    elif request.phase is not None:
        hull_views.phase_view(request, loaded, elements)
    else:
        hull_views.list_view(request, loaded, elements)


def _load(request: HullRequest, elements: tuple[str, ...]) -> Loaded:
    from matscout.cli.hull_sources import hull_of_file, hull_of_store

    if request.entries is not None:
        loaded = hull_of_file(request.entries, elements, request.scheme or "none", request.temperature)
    else:
        loaded = hull_of_store(request.campaign, request.store, elements, request.temperature)
    for note in loaded.notes:
        echo(printable(note), err=True)
    return loaded


def _write_plots(request: HullRequest, hull: Hull | OpenHull, system: str) -> None:
    if request.plot is None and request.potentials is None:
        return
    from matscout.workflows.stability import Hull, plots

    if request.plot is not None:
        plots.write_plot(plots.plot_hull(hull, system, window=request.window), request.plot)
        echo(f"plot in {request.plot}", err=True)
    if request.potentials is not None:
        assert isinstance(hull, Hull), "checked before"
        plots.write_plot(plots.plot_chemical_potentials(hull, system), request.potentials)
        echo(f"chemical potentials in {request.potentials}", err=True)


@contextmanager
def _warnings_as_lines() -> Iterator[list[str]]:
    """Print what the library warns of as one line each on standard error, once; other packages' warnings stay quiet.

    Yields
    ------
    What was said so far.
    """
    said: list[str] = []

    def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, MatscoutWarning) and text not in said:
            said.append(text)
            sys.stderr.write(f"warning: {printable(text)}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = say
        yield said
