"""Correction schemes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError, nearest
from matscout.workflows.stability.given import given_entries
from matscout.workflows.stability.schemes.base import with_reasons
from matscout.workflows.stability.schemes.chgnet import ChgnetAsMp2020
from matscout.workflows.stability.schemes.fitted import FittedReferences
from matscout.workflows.stability.schemes.mp2020 import Mp2020
from matscout.workflows.stability.schemes.none import NoScheme
from matscout.workflows.stability.schemes.protocols import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry

    from matscout.workflows.stability.schemes.base import Corrected, CorrectionScheme

_OWN: dict[str, CorrectionScheme] = {scheme.name: scheme for scheme in (NoScheme(), ChgnetAsMp2020(), Mp2020())}
_registered: dict[str, CorrectionScheme] = {}
_FITTED_SPEC = f"{FittedReferences.name}:ENTRIES:ENTHALPIES"


def scheme_names() -> tuple[str, ...]:
    """Names that `get_scheme` knows; the capitals stand for files."""
    return (*_OWN, _FITTED_SPEC, *_registered)


def get_scheme(name: str) -> CorrectionScheme:
    """Return the correction scheme of this name.

    `fitted-references:ENTRIES:ENTHALPIES` names two files, which are read and fitted when they are first asked for:
    see `FittedReferences.from_files`.

    Raises
    ------
    UserError
        There is no such scheme, or its files cannot be read.

    Examples
    --------
    >>> get_scheme("chgnet-as-mp2020").summary
    'CHGNet energies beside MP2020-corrected Materials Project entries'
    """
    known = _OWN | _registered
    if name in known:
        return known[name]
    kind, *files = name.split(":")
    if kind == FittedReferences.name:
        if len(files) != 2 or not all(files):
            raise UserError(
                f"the correction scheme {name} needs two files, calculated entries and experimental formation "
                f"enthalpies: {_FITTED_SPEC}"
            )
        return FittedReferences.from_files(*files)
    close = nearest(name, [*known, FittedReferences.name])
    hint = f" Nearest: {close}." if close else ""
    raise UserError(f"unknown correction scheme {name!r}.{hint} Known: {', '.join(scheme_names())}")


def register_scheme(scheme: CorrectionScheme) -> None:
    """Make a scheme known to `get_scheme`, and so to hulls, by its name, in this process.

    Raises
    ------
    UserError
        The name is empty, holds a colon, or is that of a scheme of the library.
    """
    if not scheme.name or ":" in scheme.name or scheme.name in _OWN:
        raise UserError(
            f"a correction scheme cannot be called {scheme.name!r}: choose a name without colon that is none of "
            f"{', '.join(_OWN)}"
        )
    _registered[scheme.name] = scheme


def joining(protocols: Iterable[str]) -> list[str]:
    """Names of the schemes that bring entries of these protocols onto one hull."""
    wanted = list(protocols)
    names = [name for name, scheme in (_OWN | _registered).items() if scheme.joins(wanted)]
    return [*names, _FITTED_SPEC] if FittedReferences.may_join(wanted) else names


def corrected_entries(
    entries: Iterable[ComputedEntry], scheme: str | CorrectionScheme, elements: Iterable[str] = ()
) -> Corrected:
    """Correct entries that shall stand on one hull.

    Parameters
    ----------
    entries
        pymatgen entries; those passed in stay as they are.
    scheme
        A scheme or its name.
    elements
        Symbols of elements that the hull needs beside those of the entries that the scheme can correct.

    Raises
    ------
    UserError
        Entries are of a protocol that the scheme cannot correct; or it leaves out every entry of an element that the
        hull needs: they are named with the reasons.
    """
    rule = get_scheme(scheme) if isinstance(scheme, str) else scheme
    listed = given_entries(entries)
    corrected = rule.correct(listed)
    of_element: dict[str, list[str]] = {}
    for entry, name in zip(listed, names_of(listed), strict=True):
        if entry.is_element:
            of_element.setdefault(_symbols(entry)[0], []).append(name)
    kept = {_symbols(entry)[0] for entry in corrected.entries if entry.is_element}
    needed = {symbol for entry in corrected.entries for symbol in _symbols(entry)}.union(elements)
    lost = sorted(needed.intersection(of_element) - kept)
    if lost:
        why = dict(corrected.left_out)
        told = [(name, why.get(name, "no reason given")) for symbol in lost for name in of_element[symbol]]
        raise UserError(
            f"the correction scheme {rule.name} leaves out every entry of the element{'s' * (len(lost) > 1)} "
            f"{', '.join(lost)}, which the hull needs: {with_reasons(told)}. Put right what the reasons name, add "
            f"entries of {', '.join(lost)} that the scheme can correct, or name another scheme"
        )
    return corrected


def _symbols(entry: ComputedEntry) -> list[str]:
    return list(entry.composition.get_el_amt_dict())


def check_joinable(entries_of: Mapping[str, Sequence[object]], scheme: str | CorrectionScheme) -> None:
    """Raise a UserError, naming the protocols and some entries of each, unless the scheme lets them stand on one hull.

    Parameters
    ----------
    entries_of
        Ids of the entries of each protocol.
    scheme
        A scheme or its name.
    """
    (get_scheme(scheme) if isinstance(scheme, str) else scheme).check_protocols(entries_of)
