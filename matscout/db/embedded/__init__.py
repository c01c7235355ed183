"""mongomock's query and update semantics over documents kept in one SQLite file.

`EmbeddedClient` stands where a `pymongo.MongoClient` would. Documents are rows of BSON, indexes are rows of values that
sort as MongoDB sorts them, and no collection is held in memory. mongomock reads filters, applies updates and runs
aggregations; what it changes in place is written back in the same transaction, and clauses, sorts, limits and counts
that an index can answer become SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.db.embedded.client import EmbeddedClient
    from matscout.db.embedded.engine import Engine

__all__ = ["EmbeddedClient", "Engine"]

__getattr__ = late_names(__name__, {"EmbeddedClient": "client", "Engine": "engine"})
