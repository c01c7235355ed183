"""A cursor that reads documents as they are asked for, where mongomock's reads all before the first."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mongomock import helpers
from mongomock.collection import Cursor
from pymongo.errors import InvalidOperation

if TYPE_CHECKING:
    from collections.abc import Iterator


class EmbeddedCursor(Cursor):
    """What `EmbeddedCollection.find` returns."""

    collection: Any

    def rewind(self) -> EmbeddedCursor:
        """Begin anew."""
        super().rewind()
        self._stream: Iterator[dict[str, Any]] | None = None
        self._exhausted = False
        return self

    def __next__(self) -> dict[str, Any]:
        if self._stream is None:
            self._stream = self._documents(self._skip, abs(self._limit) if self._limit else None)
        try:
            document = next(self._stream)
        except StopIteration:
            self._exhausted = True
            raise
        self._emitted += 1
        return document

    next = __next__

    def _documents(self, skip: int = 0, limit: int | None = None) -> Iterator[dict[str, Any]]:
        found: Iterator[dict[str, Any]] = self.collection.stream(self._spec, self._sort, self._projection, skip, limit)
        if self.collection.codec_options.tz_aware:
            return map(helpers.make_datetime_timezone_aware_in_document, found)
        return found

    def _compute_results(self, with_limit_and_skip: bool = False) -> Iterator[dict[str, Any]]:  # noqa: FBT001, FBT002
        assert not with_limit_and_skip, "mongomock's distinct asks for all"
        return self._documents()

    @property
    def alive(self) -> bool:
        """Whether there may be more documents."""
        return not self._exhausted

    def clone(self) -> EmbeddedCursor:
        """Return an unused cursor of the same query."""
        return EmbeddedCursor(
            self.collection, self._spec, self._sort, self._projection, self._skip, self._limit or 0, self._collation
        )

    def sort(self, key_or_list: Any, direction: int | None = None) -> EmbeddedCursor:
        """Order the results."""
        self._check_unused()
        keys = [(key_or_list, direction or 1)] if isinstance(key_or_list, str) else as_pairs(key_or_list)
        super().sort(keys)
        return self

    def skip(self, count: int) -> EmbeddedCursor:
        """Leave out the first `count` results."""
        self._check_unused()
        super().skip(count)
        return self

    def limit(self, count: int) -> EmbeddedCursor:
        """Return at most `count` results; all for 0."""
        self._check_unused()
        super().limit(count)
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= 0:
            for document in self.clone().skip(self._skip + index).limit(-1):
                return document
            raise IndexError("no such item for Cursor instance")
        return super().__getitem__(index)

    def _check_unused(self) -> None:
        if self._stream is not None:
            raise InvalidOperation("cannot set options after executing query")


def as_pairs(keys: Any) -> list[tuple[str, Any]]:
    """Return pairs of path and direction from any of the forms that pymongo takes.

    Examples
    --------
    >>> as_pairs("state"), as_pairs({"round": -1})
    ([('state', 1)], [('round', -1)])
    """
    if not keys:
        return []
    if isinstance(keys, str):
        return [(keys, 1)]
    items = keys.items() if isinstance(keys, Mapping) else keys
    return [(item, 1) if isinstance(item, str) else (item[0], item[1]) for item in items]
