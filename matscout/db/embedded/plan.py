"""Which part of a MongoDB filter the index entries can answer.

A `Plan` selects at least the documents that match; where it is `exact` it selects those and no others. mongomock's own
semantics are the measure (`mongomock.filtering`), so that a plan never changes an answer.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from bson import Code, ObjectId
from bson.errors import BSONError

from matscout.db.embedded.keys import NULL, key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matscout.db.embedded.schema import Field

_RANGES = frozenset({"$gt", "$gte", "$lt", "$lte"})
_OTHERS = frozenset({"$ne", "$nin", "$regex", "$options", "$not", "$all", "$elemMatch", "$size", "$type"})
_MAX_BRANCHES = 100  # SQLite limits the terms of one statement


@dataclass(frozen=True)
class Clause:
    """One condition on an indexed path: one of its keys is among `keys`, or within `span` (low <= key < high)."""

    field: Field
    keys: tuple[bytes, ...] = ()
    span: tuple[bytes, bytes] | None = None


@dataclass(frozen=True)
class Plan:
    """All `clauses` hold, and of each of the `alternatives` at least one."""

    clauses: tuple[Clause, ...] = ()
    alternatives: tuple[tuple[Plan, ...], ...] = ()
    exact: bool = True

    @property
    def selects(self) -> bool:
        """Whether it narrows the collection at all."""
        return bool(self.clauses or self.alternatives)

    def __and__(self, other: Plan) -> Plan:
        return Plan(
            self.clauses + other.clauses, self.alternatives + other.alternatives, exact=self.exact and other.exact
        )


EVERYTHING = Plan()
UNKNOWN = Plan(exact=False)


def make_plan(spec: Any, fields: Mapping[str, Field]) -> Plan:
    """Plan a filter over a collection whose `fields` are indexed."""
    if not isinstance(spec, dict):
        return UNKNOWN
    plan = EVERYTHING
    for name, search in spec.items():
        plan &= _part(name, search, fields)
    return plan


def _part(name: str, search: Any, fields: Mapping[str, Field]) -> Plan:
    if name.startswith("$"):
        return _logical(name, search, fields)
    if name not in fields:
        return UNKNOWN
    if isinstance(search, dict) and search and all(operator.startswith("$") for operator in search):
        return _operators(fields[name], search)
    return _equal(fields[name], search)


def _logical(name: str, search: Any, fields: Mapping[str, Field]) -> Plan:
    if name == "$comment":
        return EVERYTHING
    if not isinstance(search, list) or not 0 < len(search) <= _MAX_BRANCHES:
        return UNKNOWN
    branches = tuple(make_plan(spec, fields) for spec in search)
    if name == "$and":
        return reduce(and_, branches)
    if name == "$or" and all(branch.selects for branch in branches):
        return Plan(alternatives=(branches,), exact=all(branch.exact for branch in branches))
    return UNKNOWN


def _operators(field: Field, search: dict[str, Any]) -> Plan:
    if not set(search) <= _RANGES | _OTHERS | {"$eq", "$in", "$exists"}:
        return UNKNOWN  # mongomock refuses it as soon as it meets a document
    plan = Plan(exact=len(search) == 1 or not field.multikey)
    for operator, value in search.items():
        if operator == "$eq":
            plan &= _equal(field, value)
        elif operator == "$in" and isinstance(value, list):
            plan &= _among(field, value)
        elif operator == "$exists" and not value:
            plan &= Plan((Clause(field, (NULL,)),), exact=False)
        elif operator not in _RANGES:
            plan &= UNKNOWN
    return plan & _ranges(field, {operator: value for operator, value in search.items() if operator in _RANGES})


def _ranges(field: Field, search: dict[str, Any]) -> Plan:
    """Plan comparisons: one range of keys together, but one each where two values of an array may satisfy them."""
    spans = []
    for operator, value in search.items():
        span = _span(operator, value)
        if span is None:
            return UNKNOWN
        spans.append(span)
    if spans and not field.multikey:
        spans = [(max(low for low, _ in spans), min(high for _, high in spans))]
    return Plan(tuple(Clause(field, span=span) for span in spans))


def _span(operator: str, value: Any) -> tuple[bytes, bytes] | None:
    """Return the keys that compare so with `value`; only values of its own type do."""
    if not isinstance(value, bool | int | float | str | datetime | ObjectId) or isinstance(value, Code):
        return None
    bound = _query_key(value)
    if bound is None:
        return None
    lowest, highest = bound[:1], bytes([bound[0] + 1])
    after = bound + b"\x00"
    return {
        "$gt": (after, highest),
        "$gte": (bound, highest),
        "$lt": (lowest, bound),
        "$lte": (lowest, after),
    }[operator]


def _among(field: Field, values: list[Any]) -> Plan:
    if all(type(value) is str for value in values):  # ten thousand ids
        return Plan((Clause(field, tuple(dict.fromkeys(map(key, values)))),))
    plans = [_equal(field, value) for value in values]
    if not all(plan.clauses for plan in plans):
        return UNKNOWN
    keys = dict.fromkeys(found for plan in plans for found in plan.clauses[0].keys)
    return Plan((Clause(field, tuple(keys)),), exact=all(plan.exact for plan in plans))


def _equal(field: Field, value: Any) -> Plan:
    found = _query_key(value)
    if found is None or value == {}:  # to mongomock an empty object is also a missing field
        return UNKNOWN
    keys, exact = [found], not isinstance(value, dict | list | bytes)
    if value is None:
        exact = "." not in field.path  # a path that ends early is null to a sort, and not to a filter
    elif isinstance(value, bool | int | float) and value in (0, 1):
        keys = [key(bool(value)), key(int(value))]  # equal to Python, and so to mongomock
    elif isinstance(value, ObjectId) and field.multikey:
        keys.append(key(str(value)))  # mongomock finds an ObjectId's text in arrays
        exact = False
    return Plan((Clause(field, tuple(keys)),), exact=exact)


def _query_key(value: Any) -> bytes | None:
    """Return the key of a value in a filter; None where equal values might have other keys."""
    if isinstance(value, Code) or (isinstance(value, float) and math.isnan(value)):
        return None
    if not (value is None or isinstance(value, bool | int | float | str | datetime | ObjectId | dict | list | bytes)):
        return None
    try:
        return key(value)
    except (ArithmeticError, AttributeError, TypeError, BSONError, struct.error):  # what BSON cannot hold
        return None
