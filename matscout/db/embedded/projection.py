"""The fields of a document that are asked for, where that is simple; mongomock does the rest, in ten times as long."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def picked(document: dict[str, Any], fields: Any) -> dict[str, Any] | None:
    """Return the fields that a projection names, by path through objects alone; None where it is not so simple.

    Examples
    --------
    >>> picked({"_id": 1, "spec": {"a": 2, "b": 3}, "state": "READY"}, {"spec.a": 1, "state": 1})
    {'_id': 1, 'spec': {'a': 2}, 'state': 'READY'}
    >>> picked({"_id": 1, "list": [{"a": 2}]}, {"list.a": 1}) is None
    True
    """
    if not isinstance(fields, Mapping) or not all(isinstance(value, int) and value == 1 for value in fields.values()):
        return None
    wanted = _tree(tuple(fields))
    return None if wanted is None else _part(document, wanted)


@lru_cache(maxsize=64)
def _tree(paths: tuple[str, ...]) -> dict[str, Any] | None:
    """Arrange paths as nested names, `_id` among them; None where one leads through another, or names a position."""
    if any("$" in path or "" in path.split(".") for path in paths):
        return None
    if any(other.startswith(f"{path}.") for path in paths for other in paths):
        return None
    tree: dict[str, Any] = {"_id": {}}
    for path in paths:
        below = tree
        for name in path.split("."):
            below = below.setdefault(name, {})
    return tree


def _part(document: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name not in wanted:
            continue
        if wanted[name]:
            if not isinstance(value, dict):
                return None
            value = _part(value, wanted[name])  # noqa: PLW2901
            if value is None:
                return None
        found[name] = value
    return found
