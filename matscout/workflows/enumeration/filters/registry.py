"""Filters by their names, as a campaign file names them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.filters.bartel import BartelTau
from matscout.workflows.enumeration.filters.electronegativity import ElectronegativityOrder
from matscout.workflows.enumeration.filters.known import KnownCompounds
from matscout.workflows.enumeration.filters.neutrality import ChargeNeutrality
from matscout.workflows.enumeration.filters.resources import (
    CrustalAbundance,
    ExcludeElements,
    HerfindahlHirschman,
    MaxCost,
)
from matscout.workflows.enumeration.filters.sizes import MaxAtoms, MaxElectrons, MaxSites
from matscout.workflows.enumeration.filters.tolerance import (
    Goldschmidt,
    OctahedralFactor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.workflows.enumeration.filters.rules import Filter

_FILTERS: dict[str, Callable[..., Filter]] = {
    "bartel-tau": BartelTau,
    "charge-neutrality": ChargeNeutrality,
    "crustal-abundance": CrustalAbundance,
    "electronegativity-order": ElectronegativityOrder,
    "exclude-elements": ExcludeElements,
    "goldschmidt": Goldschmidt,
    "hhi": HerfindahlHirschman,
    "known-compounds": KnownCompounds,
    "max-atoms": MaxAtoms,
    "max-cost": MaxCost,
    "max-electrons": MaxElectrons,
    "max-sites": MaxSites,
    "octahedral-factor": OctahedralFactor,
}


def filter_names() -> tuple[str, ...]:
    """Names that `make_filter` and a campaign file know."""
    return tuple(_FILTERS)


def make_filter(name: str, /, **options: Any) -> Filter:
    """Make a filter by its name, as a campaign file names it.

    Parameters
    ----------
    name
        One of `filter_names()`.
    options
        The filter's parameters.

    Raises
    ------
    UserError
        An unknown filter or option (the nearest is given), a missing option, or an impossible value.

    Examples
    --------
    >>> make_filter("goldschmidt", minimum=0.85)
    Goldschmidt(minimum=0.85, maximum=1.11, unknown='keep', oxidation_states='common', name='goldschmidt')
    """
    if name not in _FILTERS:
        raise UserError(f'unknown filter "{name}". {_hint(str(name), _FILTERS)}')
    parameters = inspect.signature(_FILTERS[name]).parameters
    for option in options:
        if option not in parameters:
            raise UserError(f'the filter {name} has no option "{option}". {_hint(option, parameters)}')
    for parameter in parameters.values():
        if parameter.default is parameter.empty and parameter.name not in options:
            raise UserError(f"the filter {name} needs its option {parameter.name}")
    return _FILTERS[name](**options)


def _hint(word: str, known: Any) -> str:
    close = nearest(word, known)
    return f"Nearest: {close}." if close else f"Known: {', '.join(known)}."
