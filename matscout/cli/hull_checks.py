"""What `matscout hull` refuses before it reads anything: options that contradict themselves, files it would destroy."""

from __future__ import annotations

import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.cli.context import campaign_files
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matscout.cli.hull import HullRequest

_PLOT_SUFFIXES = (".html", ".json")
# What people type or paste between elements: hyphens, dashes and the minus sign, underscores, commas, spaces.
_BETWEEN_ELEMENTS = re.compile(r"\s*[-_,;/\u2010-\u2015\u2212]\s*|\s+")


def elements_of_system(system: str) -> tuple[str, ...]:
    """Elements of a chemical system in the order given.

    Raises
    ------
    UserError
        One is no element, or stands twice; a formula is told how to be written.
    """
    from pymatgen.core import Element

    symbols = _BETWEEN_ELEMENTS.split(system.strip())
    if not any(symbols):
        raise UserError("the chemical system is empty: name its elements, such as Li-Fe-P-O")
    if not all(symbols):
        raise UserError(f'an element is missing in the chemical system "{system}": write it as Li-Fe-P-O')
    if not all(map(Element.is_valid_symbol, symbols)):
        raise UserError(_no_system(system, symbols))
    if len(set(symbols)) < len(symbols):
        raise UserError(f'an element stands twice in the chemical system "{system}"')
    return tuple(symbols)


def _no_system(system: str, symbols: Sequence[str]) -> str:
    """Say why a text is no chemical system, and which one was meant."""
    from pymatgen.core import Element

    of_formula = _elements_of_formula("".join(symbols))
    capitalised = [symbol.capitalize() for symbol in symbols]
    wrong_case = all(map(Element.is_valid_symbol, capitalised))
    # CO is carbon monoxide rather than cobalt; CO-O is cobalt and oxygen rather than a formula with a hyphen.
    if of_formula and not (wrong_case and len(symbols) > 1):
        return f'"{system}" is a formula, and the chemical system of it is {"-".join(of_formula)}: name that'
    unknown = next(symbol for symbol in symbols if not Element.is_valid_symbol(symbol))
    hint = f". Did you mean {'-'.join(capitalised)}?" if wrong_case else ""
    return f'unknown element {unknown!r} in the chemical system "{system}"; write it as Li-Fe-O{hint}'


def _elements_of_formula(text: str) -> list[str]:
    """Elements of a formula; none where the text is no formula."""
    from pymatgen.core import Composition, Element

    try:
        symbols = list(Composition(text).get_el_amt_dict())
    except (ValueError, TypeError, KeyError, OverflowError):
        return []
    return symbols if all(map(Element.is_valid_symbol, symbols)) else []


def check_request(request: HullRequest, elements: Sequence[str]) -> None:
    """Refuse a request that contradicts itself, or whose plots could not be written or would destroy what it reads."""
    _check_choices(request)
    _check_open(request, elements)
    for path in (request.plot, request.potentials):
        if path is not None:
            _check_plot_file(path)
    _check_plot_sizes(request, elements)
    if request.plot is not None and request.potentials is not None and _same_file(request.plot, request.potentials):
        raise UserError(f"--plot and --potentials both write {request.plot}: name two files")
    check_not_read(request, _files_read(request))


def check_not_read(request: HullRequest, files: Iterable[Path]) -> None:
    """Refuse to write a plot over one of these files, which the command reads."""
    listed = list(files)
    for option, path in (("--plot", request.plot), ("--potentials", request.potentials)):
        for file in listed if path is not None else ():
            if path is not None and _same_file(path, file):
                raise UserError(f"{option} {path} would overwrite {file}, which is read here: name another file")


def _files_read(request: HullRequest) -> list[Path]:
    """Files that the command reads, as far as the options tell."""
    files = [] if request.entries is None else [request.entries]
    for scheme in (request.scheme, request.compare):
        files += [Path(name) for name in (scheme or "").split(":")[1:] if name]
    if request.campaign is not None:
        files.append(Path(request.campaign))
    elif request.entries is None:
        files += campaign_files()
    return files


def _same_file(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)  # under two names
    except OSError:
        return False


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
    listing = ["--all"] if request.everything else [] if request.plot else _given(request, "window")
    if listing and (request.decompose is not None or request.phase is not None):
        raise UserError(f"{listing[0]} is for lists of entries: leave it out beside {views[0]}")
    if request.window is not None and request.everything:
        raise UserError("--all shows every entry, --window those near the hull: name one of the two")


def _given(request: HullRequest, *names: str) -> list[str]:
    """Options that were given, as they are written."""
    values = {name: getattr(request, name) for name in names}
    written = {"opened": "--open"}
    return [written.get(name, f"--{name}") for name, value in values.items() if value not in (None, ())]


def _check_open(request: HullRequest, elements: Sequence[str]) -> None:
    given = {"--mu": request.mu, "--delta-mu": request.delta_mu}
    potentials = {option: values for option, values in given.items() if values}
    if not request.opened:
        if potentials:
            raise UserError("a chemical potential needs the element that is open: --open O --mu -5")
        return
    names = ", ".join(request.opened)
    if len(set(request.opened)) < len(request.opened):
        raise UserError(f"an element stands twice with --open: {names}")
    for element in request.opened:
        if element not in elements:
            raise UserError(f"--open {element}: the chemical system holds {', '.join(elements)}")
    if len(request.opened) == len(elements):
        raise UserError(f"--open {names}: nothing but {names} is in the chemical system")
    _check_potentials(request, potentials)


def _check_potentials(request: HullRequest, potentials: Mapping[str, Sequence[float]]) -> None:
    """Check the chemical potentials given, by option: one for each open element."""
    names = ", ".join(request.opened)
    if len(potentials) != 1:
        raise UserError(
            f"--open {names} needs its chemical potential in eV/atom: --mu -5 on the scale of the energies, or "
            "--delta-mu -1.5 relative to the element" + ("; not both" if potentials else "")
        )
    ((option, values),) = potentials.items()
    if len(values) != len(request.opened):
        raise UserError(
            f"--open names {len(request.opened)} elements ({names}) and {option} {len(values)} chemical potentials: "
            "give one for each, in the same order"
        )
    if option == "--mu" and request.temperature is not None:
        raise UserError(
            "at a temperature all energies are counted from the elements: give --delta-mu, relative to the element, "
            "in place of --mu"
        )
    for element, value in zip(request.opened, values, strict=True):
        if not math.isfinite(value):
            raise UserError(f"the chemical potential of {element} is {value:g}: it must be a number in eV/atom")


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


def _check_plot_sizes(request: HullRequest, elements: Sequence[str]) -> None:
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
