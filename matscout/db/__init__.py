"""What is kept: documents, candidate tables, the store."""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.db.candidates import CandidateTable, FilterCount
    from matscout.db.lease import StoreLeased
    from matscout.db.prototypes import Prototype
    from matscout.db.store import Store, connect

__all__ = ["CandidateTable", "FilterCount", "Prototype", "Store", "StoreLeased", "connect"]

__getattr__ = late_names(
    __name__,
    {
        "CandidateTable": "candidates",
        "FilterCount": "candidates",
        "Prototype": "prototypes",
        "Store": "store",
        "StoreLeased": "lease",
        "connect": "store",
    },
)
