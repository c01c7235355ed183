"""A plan as the text and the parameters of one SELECT.

Parameters are bound by place, so every method appends them in the order in which its text asks for them. The text
itself is made of names of ours alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matscout.db.embedded.schema import ID_FIELD

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from matscout.db.embedded.plan import Clause, Plan
    from matscout.db.embedded.schema import Field

MAX_KEYS = 5_000
"""Values of one clause that are bound as parameters; more are handed over as a set in a function."""


class Statement:
    """One SELECT over the collection of number `collection`."""

    def __init__(self, collection: int) -> None:
        self.parameters: list[Any] = []
        self._collection = collection
        self._sets: list[frozenset[bytes]] = []

    def run(self, db: sqlite3.Connection, text: str) -> Iterable[tuple[Any, ...]]:
        """Run it: row by row, or all at once where sets were handed over."""
        if not self._sets:
            return db.execute(text, self.parameters)
        for number, keys in enumerate(self._sets):
            db.create_function(f"listed{number}", 1, keys.__contains__, deterministic=True)
        try:
            return db.execute(text, self.parameters).fetchall()
        finally:
            for number in range(len(self._sets)):
                db.create_function(f"listed{number}", 1, None)

    def select(self, plan: Plan, order: list[tuple[Field, bool]], driver: Clause | None) -> str:
        """Return ``SELECT seq`` of a plan in the order of the sort keys, and then in natural order.

        It begins at the `driver`, or else at the first sort key, or else at the alternatives or the whole collection.
        """
        place = "s0.seq" if order and driver is None else "c.seq"
        tables = [] if order and driver is None else [f"({self._start(plan, driver)}) AS c"]
        conditions = []
        for number, (field, _) in enumerate(order):
            tables.append(self._sort_table(number, field, leads=not tables))
            conditions.append(self._sort_condition(number, field, place))
        conditions += self._conditions(plan, place, driver)
        terms = [f"s{n}.{_value(field)}{' DESC' if down else ''}" for n, (field, down) in enumerate(order)]
        source = " CROSS JOIN ".join(tables)  # CROSS keeps SQLite to this order of tables
        return f"SELECT {place} FROM {source}{_where(conditions)} ORDER BY {', '.join([*terms, place])}"  # noqa: S608

    def count(self, plan: Plan, driver: Clause | None) -> str:
        """Return ``SELECT count(*)`` of a plan."""
        start = self._start(plan, driver)
        return f"SELECT count(*) FROM ({start}) AS c{_where(self._conditions(plan, 'c.seq', driver))}"  # noqa: S608

    def base(self, clause: Clause) -> str:
        """Return ``SELECT seq`` of one clause, each document once."""
        single = clause.span is None and len(clause.keys) == 1
        distinct = "" if single or clause.field is ID_FIELD else "DISTINCT "
        table, index, owner = _source(clause.field)
        self.parameters.append(clause.field.id or self._collection)
        condition = self._condition(clause, _value(clause.field))
        return f"SELECT {distinct}seq FROM {table} INDEXED BY {index} WHERE {owner} = ? AND {condition}"  # noqa: S608

    def _start(self, plan: Plan, driver: Clause | None) -> str:
        if driver is not None:
            return self.base(driver)
        if plan.alternatives:
            return self._union(plan.alternatives[0])
        self.parameters.append(self._collection)
        return "SELECT seq FROM documents INDEXED BY documents_by_collection WHERE collection = ?"

    def _union(self, branches: tuple[Plan, ...]) -> str:
        """Return at least what one of the branches selects."""
        parts = [
            self.base(branch.clauses[0])
            if branch.clauses
            else f"SELECT seq FROM ({self._union(branch.alternatives[0])})"  # noqa: S608  names of ours
            for branch in branches
        ]
        return " UNION ".join(parts)

    def _sort_table(self, number: int, field: Field, *, leads: bool) -> str:
        table, index, _ = _source(field)
        return f"{table} AS s{number} INDEXED BY {index}" if leads else f"{table} AS s{number}"

    def _sort_condition(self, number: int, field: Field, place: str) -> str:
        _, _, owner = _source(field)
        name = f"s{number}"
        self.parameters.append(field.id or self._collection)
        condition = f"{name}.{owner} = ?" if field is ID_FIELD else f"{name}.{owner} = ? AND {name}.first = 1"
        return condition if place == f"{name}.seq" else f"{condition} AND {name}.seq = {place}"

    def _conditions(self, plan: Plan, place: str, driver: Clause | None) -> list[str]:
        conditions = [self._exists(clause, place) for clause in plan.clauses if clause is not driver]
        return conditions + [self._one_of(branches, place) for branches in plan.alternatives]

    def _one_of(self, branches: tuple[Plan, ...], place: str) -> str:
        terms = [" AND ".join(self._conditions(branch, place, None)) for branch in branches]
        return "(" + " OR ".join(f"({term})" for term in terms) + ")"

    def _exists(self, clause: Clause, place: str) -> str:
        table, _, owner = _source(clause.field)
        self.parameters.append(clause.field.id or self._collection)
        condition = self._condition(clause, f"x.{_value(clause.field)}")
        return f"EXISTS (SELECT 1 FROM {table} AS x WHERE x.{owner} = ? AND x.seq = {place} AND {condition})"  # noqa: S608

    def _condition(self, clause: Clause, column: str) -> str:
        if clause.span is not None:
            self.parameters += clause.span
            return f"{column} >= ? AND {column} < ?"
        if len(clause.keys) > MAX_KEYS:
            self._sets.append(frozenset(clause.keys))
            return f"listed{len(self._sets) - 1}({column})"
        self.parameters += clause.keys
        if len(clause.keys) == 1:  # for IN, SQLite would sort what the index has in order
            return f"{column} = ?"
        return f"{column} IN ({', '.join('?' * len(clause.keys))})"


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _source(field: Field) -> tuple[str, str, str]:
    """Return table, index by value and owner's column of a field."""
    if field is ID_FIELD:
        return "documents", "documents_by_key", "collection"
    return "entries", "entries_by_value", "field"


def _value(field: Field) -> str:
    return "key" if field is ID_FIELD else "value"
