"""Rules that drop candidates before anything is calculated.

A filter takes a table and returns a mask. None builds a crystal: two million candidates pass in seconds. Write your own
as a function of the table that returns a boolean mask of shape (n,), True for what stays; the table's columns are
arrays. With a `FilterResult` it can also add columns and say on how many rows it could not judge.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.neutrality import ChargeNeutrality
from matscout.workflows.enumeration.rules import Filter, FilterResult, apply_filters
from matscout.workflows.enumeration.tolerance import Goldschmidt, tolerance_factor

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.db.candidates import CandidateTable

__all__ = [
    "ChargeNeutrality",
    "Filter",
    "FilterResult",
    "Goldschmidt",
    "MaxSites",
    "apply_filters",
    "make_filter",
    "tolerance_factor",
]


@dataclass(frozen=True)
class MaxSites:
    """Keep candidates with at most `limit` sites in the prototype's cell: larger ones cost more to calculate.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> table = enumerate_candidates(["rutile", "fluorite"], ["Ti", "O"], [MaxSites(5)])
    >>> {table.prototypes[i].name for i in table.prototype_index}
    {'AB2_cF12_225_a_c'}
    """

    limit: int
    name: str = field(default="max-sites", init=False)

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise UserError(f"max-sites: limit must be a whole number of sites, at least 1, got {self.limit!r}")

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        n_sites = np.array([prototype.n_sites for prototype in table.prototypes])
        return FilterResult(n_sites[table.prototype_index] <= self.limit)


_FILTERS: dict[str, Callable[..., Filter]] = {
    "charge-neutrality": ChargeNeutrality,
    "goldschmidt": Goldschmidt,
    "max-sites": MaxSites,
}


def make_filter(name: str, /, **options: Any) -> Filter:
    """Make a filter by its name, as a campaign file names it.

    Parameters
    ----------
    name
        `charge-neutrality`, `goldschmidt` or `max-sites`.
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
