"""How a filter speaks, and how filters are applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from matscout.db.candidates import CandidateTable, FilterCount
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

_CHUNK = 1 << 17


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

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What a function of columns raises when it is mistaken; memory and interrupts are nobody's mistake.
_MISTAKES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def named_filter(name: str) -> Callable[[_Function], _Function]:
    """Name a filter of your own, for the counts and for errors.

    Examples
    --------
    >>> @named_filter("no-more-than-argon")
    ... def light(table):
    ...     return (table.decoration <= 18).all(axis=1)
    >>> light.name
    'no-more-than-argon'
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"a filter's name must be a text, got {name!r}")

    def give(function: _Function) -> _Function:
        function.name = name  # type: ignore[attr-defined]
        return function

    return give


def parts_by_prototype(table: CandidateTable) -> Iterator[tuple[Prototype, NDArray[np.intp]]]:
    """Give each prototype with the numbers of its rows, at most 131,072 at once, so that memory stays bounded."""
    for prototype, rows in table.by_prototype():
        for start in range(0, len(rows), _CHUNK):
            yield prototype, rows[start : start + _CHUNK]


def apply_filters(table: CandidateTable, filters: Iterable[Filter], *, may_be_empty: bool = False) -> CandidateTable:
    """Apply filters in order.

    Parameters
    ----------
    table
        The candidates.
    filters
        Functions of the table that return a `FilterResult`, or just a mask of what stays.
    may_be_empty
        Whether a table without rows may come back, as for one chunk of many; see
        `matscout.db.candidates.merge_filter_counts`. The filters behind the one that removed the last row still run, so
        that every chunk has as many counts.

    Returns
    -------
    The rows that stay, with a `FilterCount` for each filter and the columns that the filters added.

    Raises
    ------
    UserError
        Nothing stays, unless that may be; the message says how many each filter removed. Or a filter of the user's own
        failed, or returned something else than a mask, or a column of another length.

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
        if count.removed == len(table) and not may_be_empty:
            raise UserError(nothing_left(counts))
        columns = {**table.columns, **result.columns}
        table = table.replace(filter_counts=counts, columns=columns).take(result.keep)
    return table


def nothing_left(counts: Sequence[FilterCount]) -> str:
    """Say that filters removed every candidate, and how many each did."""
    removed = ", ".join(f"{count.name} removed {count.removed} of {count.before}" for count in counts)
    unknown = sum(count.unknown for count in counts)
    return f"no candidates left: {removed}" + (f" ({unknown} unknown to a filter)" if unknown else "")


def _name(rule: Filter) -> str:
    return str(getattr(rule, "name", None) or getattr(rule, "__name__", type(rule).__name__))


def _result(rule: Filter, table: CandidateTable) -> FilterResult:
    result = _judged(rule, table)
    if result.keep.dtype != bool or result.keep.shape != (len(table),):
        raise UserError(
            f"the filter {_name(rule)} must return True or False for each of {len(table)} candidates, got "
            f"{result.keep.dtype} of shape {result.keep.shape}"
        )
    for column, values in result.columns.items():
        if np.shape(values) != (len(table),):
            raise UserError(
                f"the filter {_name(rule)} must give a value of its column {column} for each of {len(table)} "
                f"candidates, got the shape {np.shape(values)}"
            )
    return result


def _judged(rule: Filter, table: CandidateTable) -> FilterResult:
    try:
        given = rule(table)
        return given if isinstance(given, FilterResult) else FilterResult(np.asarray(given))
    except UserError:
        raise
    except _MISTAKES as error:
        if str(getattr(rule, "__module__", "")).startswith("matscout."):
            raise  # a defect of ours keeps its traceback
        raise UserError(f"the filter {_name(rule)} failed: {type(error).__name__}: {error}") from error
