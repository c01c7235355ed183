"""One filter and order over one collection, run as SQL as far as the index entries reach.

The selection is driven by the most selective clause, or, where none is selective and few documents are wanted, by the
index of the first sort key; the other clauses are looked up document by document.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import bson
from mongomock.filtering import filter_applies, resolve_sort_key

from matscout.db.embedded.keys import UNORDERED, key
from matscout.db.embedded.plan import make_plan
from matscout.db.embedded.schema import ID_FIELD
from matscout.db.embedded.statement import Statement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from matscout.db.embedded.plan import Clause
    from matscout.db.embedded.rows import CollectionStore
    from matscout.db.embedded.schema import Field

SELECTIVE = 10_000
"""A clause that selects at most this many documents is looked up before anything else."""


class Row(NamedTuple):
    """A document with its place and its BSON."""

    seq: int
    body: bytes
    document: dict[str, Any]


class Search:
    """A filter and an order, planned; to be used inside the transaction it was made in.

    Parameters
    ----------
    store
        The collection.
    db
        The connection, in a transaction.
    spec
        A MongoDB filter.
    sort
        Pairs of path and direction.
    """

    def __init__(
        self, store: CollectionStore, db: sqlite3.Connection, spec: dict[str, Any], sort: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._store = store
        self._db = db
        self._spec = spec
        self._sort = sort
        info = store.info
        self._collection = info.id if info else 0
        fields = info.fields if info else {"_id": ID_FIELD}
        self._plan = make_plan(spec, fields)
        if not self._plan.exact and store.is_empty:
            filter_applies(spec, {})  # a wrong filter is an error also where nothing can match
        self._order = self._pushed_order(fields)

    @property
    def precise(self) -> bool:
        """Whether `seqs` names the matching documents and no others."""
        return self._plan.exact or self._order is None

    def rows(self, skip: int = 0, limit: int | None = None) -> Iterator[Row]:
        """Return the matching documents in order, reading no more than it takes."""
        if self.precise:
            return self._fetched(self.seqs(skip, limit))
        stop = None if limit is None else skip + limit
        return islice(self._matching(self.seqs(limit=stop)), skip, stop)

    def seqs(self, skip: int = 0, limit: int | None = None) -> Iterator[int]:
        """Return places of documents in order: all that match and, unless `precise`, others too.

        `skip` and `limit` hold where it is `precise`; else `limit` is how many are likely to be wanted.
        """
        if self._order is None:
            return islice(self._ordered_here(), skip, None if limit is None else skip + limit)
        return self._selected(self._order, skip, limit)

    def count(self) -> int:
        """Count the matching documents, without reading them where the plan is exact."""
        if not self._plan.exact:
            return sum(1 for _ in self._matching(self._selected([])))
        sql = Statement(self._collection)
        text = sql.count(self._plan, self._driver(sorted_few=False))
        ((number,),) = sql.run(self._db, text)
        return int(number)

    def read(self, seq: int) -> Row | None:
        """Return a document by its place; None where it was deleted."""
        body = self._store.body(self._db, seq)
        return None if body is None else Row(seq, body, bson.decode(body))

    def read_all(self, seqs: list[int]) -> list[Row]:
        """Return the documents of some places, in their order, without those that were deleted."""
        bodies = self._store.bodies(self._db, seqs)
        return [Row(seq, bodies[seq], bson.decode(bodies[seq])) for seq in seqs if seq in bodies]

    def applies(self, document: dict[str, Any]) -> bool:
        """Tell whether a document matches the filter."""
        return bool(filter_applies(self._spec, document))

    def _fetched(self, seqs: Iterable[int]) -> Iterator[Row]:
        return (row for row in map(self.read, seqs) if row is not None)

    def _matching(self, seqs: Iterable[int]) -> Iterator[Row]:
        return (row for row in self._fetched(seqs) if self.applies(row.document))

    # --------------------------------------------------------------------------------------------------------- order

    def _pushed_order(self, fields: dict[str, Field]) -> list[tuple[Field, bool]] | None:
        """Return field and direction of each sort key; None where SQL cannot sort as mongomock does."""
        if not all(path in fields for path, _ in self._sort):
            return None
        order = [(fields[path], direction < 0) for path, direction in self._sort]
        return None if any(self._unordered(field) for field, _ in order) else order

    def _unordered(self, field: Field) -> bool:
        """Tell whether some document has a sort key there that SQL cannot sort by."""
        if field is ID_FIELD:
            text = "SELECT EXISTS (SELECT 1 FROM documents WHERE collection = ? AND key >= ? AND key < ?)"
            spans = [(bytes([kind]), bytes([kind + 1])) for kind in UNORDERED]
            return any(self._db.execute(text, (self._collection, *span)).fetchone()[0] for span in spans)
        text = "SELECT EXISTS (SELECT 1 FROM entries INDEXED BY entries_unordered WHERE field = ? AND first = 2)"
        return bool(self._db.execute(text, (field.id,)).fetchone()[0])

    def _ordered_here(self) -> Iterator[int]:
        """Sort by reading every match, and keep of each only what it is sorted by."""
        paths = [path for path, _ in self._sort if path != "$natural"]
        for path in paths:
            if path.startswith("$"):
                raise NotImplementedError(f"sorting by {path} is not implemented")
        seqs = []
        columns: dict[str, list[Any]] = {path: [] for path in paths}
        for row in self._matching(self._selected([])):
            seqs.append(row.seq)
            for path, column in columns.items():
                column.append(resolve_sort_key(path, row.document))
        order = list(range(len(seqs)))
        for path, direction in reversed(self._sort):
            if path != "$natural":
                ranks = _comparable(columns[path])
                order.sort(key=ranks.__getitem__, reverse=direction < 0)
            elif direction < 0:
                order.reverse()
        return (seqs[place] for place in order)

    # ----------------------------------------------------------------------------------------------------------- SQL

    def _selected(self, order: list[tuple[Field, bool]], skip: int = 0, limit: int | None = None) -> Iterator[int]:
        """Run the plan, one row at a time."""
        driver = self._driver(sorted_few=bool(order) and limit is not None)
        sql = Statement(self._collection)
        text = sql.select(self._plan, order, driver)
        if self._plan.exact and (limit is not None or skip):
            text += " LIMIT ? OFFSET ?"
            sql.parameters += [-1 if limit is None else limit, skip]
        return (seq for (seq,) in sql.run(self._db, text))

    def _driver(self, *, sorted_few: bool) -> Clause | None:
        """Choose the clause that selects fewest documents; none where walking along the sort key is quicker."""
        clauses = sorted(self._plan.clauses, key=lambda clause: clause.field is not ID_FIELD)
        if len(clauses) == 1 and not sorted_few:
            return clauses[0]
        best, fewest = None, SELECTIVE + 1
        for clause in clauses:
            number = self._number_up_to(fewest, clause)
            if number < fewest:
                best, fewest = clause, number
        return best if best or sorted_few or not clauses else clauses[0]

    def _number_up_to(self, limit: int, clause: Clause) -> int:
        """Count what a clause selects, or tell that it is at least `limit`."""
        if clause.field is ID_FIELD and clause.span is None:
            return len(clause.keys)
        sql = Statement(self._collection)
        text = f"SELECT count(*) FROM ({sql.base(clause)} LIMIT {limit})"  # noqa: S608  parameters are bound
        ((number,),) = sql.run(self._db, text)
        return int(number)


def _comparable(values: list[Any]) -> list[Any]:
    """Return keys of bytes in place of mongomock's slow comparables where both sort alike."""
    keys = [b"" if rank == 0 else key(comparable.obj) for rank, comparable in values]
    return values if any(found and found[0] in UNORDERED for found in keys) else keys
