"""The head of an aggregation pipeline as a query, and what the rest of it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.embedded.cursor import EmbeddedCursor


def begin(cursor: EmbeddedCursor, stages: Sequence[dict[str, Any]]) -> tuple[EmbeddedCursor, Sequence[dict[str, Any]]]:
    """Take a match, a sort, a skip and a limit at the head of a pipeline into the query; return what is left of it."""
    rest = stages
    for name in ("$match", "$sort", "$skip", "$limit"):
        if not rest or list(rest[0]) != [name]:
            continue
        value = rest[0][name]
        if name == "$match":
            cursor = cursor.collection.find(value)
        elif name == "$sort":
            cursor = cursor.sort(value)
        elif name == "$skip":
            cursor = cursor.skip(value)
        elif value > 0:
            cursor = cursor.limit(value)
        else:
            break
        rest = rest[1:]
    return cursor, rest


def needed_fields(stages: Sequence[dict[str, Any]]) -> set[str] | None:
    """Return the top-level fields that a pipeline reads; None where it may read all of them.

    Examples
    --------
    >>> sorted(needed_fields([{"$group": {"_id": "$state", "best": {"$min": "$result.energy"}}}]))
    ['result', 'state']
    """
    if not stages or list(stages[0]) != ["$group"]:
        return None
    return _read_by(stages[0]["$group"])


def _read_by(expression: Any) -> set[str] | None:
    if isinstance(expression, str):
        if expression.startswith("$$"):  # the document itself, or a variable
            return None
        return {expression[1:].split(".")[0]} if expression.startswith("$") else set()
    if not isinstance(expression, dict | list):
        return set()
    parts = [_read_by(part) for part in (expression.values() if isinstance(expression, dict) else expression)]
    return None if None in parts else set().union(*(part for part in parts if part))
