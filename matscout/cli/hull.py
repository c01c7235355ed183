"""`matscout hull`: the hull of a chemical system, of a file of entries or of a campaign in a store."""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import echo

import matscout
from matscout.cli import printable
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.cli.hull_sources import Loaded
    from matscout.workflows.stability import Hull

_PLOT_SUFFIXES = (".html", ".json")


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
        The element that is open, and its chemical potential in eV/atom: absolute, or relative to the element.
    temperature
        K; None for the energies themselves.
    scheme, compare
        Correction scheme of a file's entries, and another to compare it with.
    window
        Farthest from the hull that is shown, eV/atom.
    decompose
        A composition whose reaction is shown.
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
    mu: float | None = None
    delta_mu: float | None = None
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
    elements = _elements(request.system)
    _check_choices(request)
    _check_open(request, elements)
    for path in (request.plot, request.potentials):
        if path is not None:
            _check_plot_file(path)
    _check_plot_sizes(request, elements)
    with _warnings_as_lines():
        if request.compare is not None:
            from matscout.cli.hull_comparison import show_comparison

            show_comparison(request, elements)
        else:
            _show(request, elements)


def _show(request: HullRequest, elements: tuple[str, ...]) -> None:
    from matscout.cli import hull_views

    loaded = _load(request, elements)
    hull, system = loaded.hull, "-".join(elements)
    plotted = (hull, system)
    if request.opened:
        view = hull_views.open_view(request, loaded, elements)
        plotted = (view.hull, "-".join(element for element in elements if element not in request.opened))
    elif request.decompose is not None:
        hull_views.decomposition_view(request, loaded, elements)
    elif request.phase is not None:
        hull_views.phase_view(request, loaded, elements)
    else:
        hull_views.list_view(request, loaded, elements)
    _write_plots(request, *plotted)


def _load(request: HullRequest, elements: tuple[str, ...]) -> Loaded:
    from matscout.cli.hull_sources import hull_of_file, hull_of_store

    if request.entries is not None:
        loaded = hull_of_file(request.entries, elements, request.scheme or "none", request.temperature)
    else:
        loaded = hull_of_store(request.campaign, request.store, request.temperature)
    for note in loaded.notes:
        echo(printable(note), err=True)
    return loaded


def _elements(system: str) -> tuple[str, ...]:
    """Elements of a chemical system in the order given.

    Raises
    ------
    UserError
        One is no element, or stands twice; a formula is told how to be written.
    """
    from matscout.workflows.stability.compositions import system_of

    symbols = [part.strip() for part in system.split("-")]
    if not any(symbols):
        raise UserError("the chemical system is empty: name its elements, such as Li-Fe-P-O")
    try:
        known = system_of(symbols)
    except UserError as error:
        hint = _instead(system)
        said = str(error).replace(repr(symbols), f'"{system}"')
        raise UserError(f"{said}. Did you mean {hint}?" if hint else said) from None
    if len(known) < len(symbols):
        raise UserError(f'an element stands twice in the chemical system "{system}"')
    return tuple(symbols)


def _instead(system: str) -> str | None:
    """Chemical system that a formula, or one in wrong case, was meant to be."""
    from pymatgen.core import Composition, Element

    capitalised = [part.strip().capitalize() for part in system.replace(",", "-").split("-")]
    if all(Element.is_valid_symbol(part) for part in capitalised):
        return "-".join(capitalised)
    try:
        return "-".join(Composition(system).get_el_amt_dict()) or None
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _check_choices(request: HullRequest) -> None:
    """Refuse options that do not go together, before anything is read."""
    views = _given(request, "opened", "decompose", "phase", "compare")
    if len(views) > 1:
        raise UserError(f"{' and '.join(views)} do not go together: ask for one at a time")
    places = _given(request, "campaign", "store")
    if request.entries is not None and places:
        raise UserError(f"--entries reads a file, {' and '.join(places)} a store: name one of the two")
    file_only = _given(request, "scheme", "compare")
    if request.entries is None and file_only:
        raise UserError(
            f"{file_only[0]} is for entries of a file (--entries FILE): a campaign's hull keeps the scheme that its "
            "labels were made with"
        )
    of_one_hull = _given(request, "plot", "potentials", "temperature")
    if request.compare is not None and of_one_hull:
        raise UserError(f"{of_one_hull[0]} does not go with --compare: ask for one hull, with --scheme NAME")
    if request.window is not None and not (math.isfinite(request.window) and request.window >= 0):
        raise UserError(f"--window is {request.window:g}: a distance of 0 or more, in eV/atom")
    if request.window is not None and request.everything:
        raise UserError("--all shows every entry, --window those near the hull: name one of the two")


def _given(request: HullRequest, *names: str) -> list[str]:
    """Options that were given, as they are written."""
    values = {name: getattr(request, name) for name in names}
    written = {"opened": "--open"}
    return [written.get(name, f"--{name}") for name, value in values.items() if value not in (None, ())]


def _check_open(request: HullRequest, elements: tuple[str, ...]) -> None:
    potentials = [value for value in (request.mu, request.delta_mu) if value is not None]
    if not request.opened:
        if potentials:
            raise UserError("a chemical potential needs the element that is open: --open O --mu -5")
        return
    if len(request.opened) > 1:
        raise UserError(
            f"--open stands {len(request.opened)} times ({', '.join(request.opened)}): a hull is open to one element "
            "here; matscout.workflows.stability.open_hull takes several"
        )
    (element,) = request.opened
    if element not in elements:
        raise UserError(f"--open {element}: the chemical system holds {', '.join(elements)}")
    if len(elements) == 1:
        raise UserError(f"--open {element}: nothing but {element} is in the chemical system")
    if len(potentials) != 1:
        raise UserError(
            f"--open {element} needs its chemical potential in eV/atom: --mu -5 on the scale of the energies, or "
            "--delta-mu -1.5 relative to the element" + ("; not both" if potentials else "")
        )
    if request.mu is not None and request.temperature is not None:
        raise UserError(
            "at a temperature all energies are counted from the elements: give --delta-mu, relative to the element, "
            "in place of --mu"
        )
    if not math.isfinite(potentials[0]):
        raise UserError(f"the chemical potential of {element} is {potentials[0]:g}: it must be a number in eV/atom")


def _check_plot_file(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed for it."""
    if path.suffix.lower() not in _PLOT_SUFFIXES:
        raise UserError(f"{path}: a plot is written as .html, a page of its own, or as .json, Plotly's figure")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file for the plot")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for {path.name}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(
            f"the folder {path.parent.absolute()} cannot be written ({error.strerror}): choose another one for "
            f"{path.name}"
        ) from None


def _check_plot_sizes(request: HullRequest, elements: tuple[str, ...]) -> None:
    shown = len(elements) - len(request.opened)
    if request.plot is not None and shown > 4:
        raise UserError(
            f"a plot shows at most 4 elements, and this hull has {shown}: plot a system inside it, or open it to an "
            "element with --open"
        )
    if request.potentials is not None and request.opened:
        raise UserError("--potentials shows the chemical potentials of all elements: leave out --open")
    if request.potentials is not None and shown not in (2, 3):
        raise UserError(
            f"a diagram of chemical potentials shows 2 or 3 elements, and this hull has {shown}: name a system inside "
            "it"
        )


def _write_plots(request: HullRequest, hull: Hull, system: str) -> None:
    if request.plot is None and request.potentials is None:
        return
    from matscout.workflows.stability import plots

    if request.plot is not None:
        plots.write_plot(plots.plot_hull(hull, system, window=request.window), request.plot)
        echo(f"plot in {request.plot}", err=True)
    if request.potentials is not None:
        plots.write_plot(plots.plot_chemical_potentials(hull, system), request.potentials)
        echo(f"chemical potentials in {request.potentials}", err=True)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print what the library warns of as one line each on standard error, once; other packages' warnings stay quiet."""
    own = Path(matscout.__file__).parent
    said: set[str] = set()

    def say(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, UserWarning) and Path(filename).is_relative_to(own) and text not in said:
            said.add(text)
            sys.stderr.write(f"warning: {printable(text)}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = say
        yield
