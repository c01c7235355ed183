"""How a filter speaks, and how filters are applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from matscout.db.candidates import CandidateTable, FilterCount
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FilterResult:
    """What a filter found.

    Parameters
    ----------
    keep
        True for rows that stay, shape (n,).
    unknown
        Number of rows on which the filter could not judge, kept or not.
    columns
        New columns of the table, shape (n,) each.
    """

    keep: NDArray[np.bool_]
    unknown: int = 0
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


Filter: TypeAlias = Callable[[CandidateTable], "FilterResult | NDArray[np.bool_]"]
"""A function of the table; its `name`, or else its `__name__`, stands in the counts."""


def apply_filters(table: CandidateTable, filters: Iterable[Filter]) -> CandidateTable:
    """Apply filters in order.

    Parameters
    ----------
    table
        The candidates.
    filters
        Functions of the table that return a `FilterResult`, or just a mask of what stays.

    Returns
    -------
    The rows that stay, with a `FilterCount` for each filter and the columns that the filters added.

    Raises
    ------
    UserError
        Nothing stays; the message says how many each filter removed. Or a filter returned something else than a mask.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> def light(table):
    ...     return (table.decoration < 12).all(axis=1)
    >>> table = apply_filters(enumerate_candidates("rock-salt", ["Li", "Na", "F", "Cl"]), [light])
    >>> table.filter_counts
    (FilterCount(name='light', before=6, removed=3, unknown=0),)
    """
    for rule in filters:
        result = _result(rule, table)
        count = FilterCount(_name(rule), len(table), int(np.count_nonzero(~result.keep)), int(result.unknown))
        counts = (*table.filter_counts, count)
        if count.removed == len(table):
            raise UserError(_nothing_left(counts))
        columns = {**table.columns, **result.columns}
        table = table.replace(filter_counts=counts, columns=columns).take(result.keep)
    return table


def _name(rule: Filter) -> str:
    return str(getattr(rule, "name", None) or getattr(rule, "__name__", type(rule).__name__))


def _result(rule: Filter, table: CandidateTable) -> FilterResult:
    given = rule(table)
    result = given if isinstance(given, FilterResult) else FilterResult(np.asarray(given))
    if result.keep.dtype != bool or result.keep.shape != (len(table),):
        raise UserError(
            f"the filter {_name(rule)} must return True or False for each of {len(table)} candidates, got "
            f"{result.keep.dtype} of shape {result.keep.shape}"
        )
    return result


def _nothing_left(counts: Sequence[FilterCount]) -> str:
    removed = ", ".join(f"{count.name} removed {count.removed} of {count.before}" for count in counts)
    unknown = sum(count.unknown for count in counts)
    return f"no candidates left: {removed}" + (f" ({unknown} unknown to a filter)" if unknown else "")
