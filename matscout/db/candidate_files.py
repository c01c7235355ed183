"""Tables of candidates as Parquet files, whole or part by part.

Columns: `prototype_index`, `site_0`, `site_1` ... (atomic numbers by role), `volume` (Å³/atom) and the extra ones. The
prototypes, the filter counts and the oxidation states stand in the metadata as JSON, so that a file explains itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.candidates import CandidateTable, FilterCount, merge_filter_counts, nothing_more, own_names
from matscout.db.files import write_whole
from matscout.db.prototypes import Prototype
from matscout.errors import UserError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from typing import IO

    from numpy.typing import NDArray

_METADATA_KEY = b"matscout.candidates"
_VERSION = 1


def write_candidates(tables: Iterable[CandidateTable], path: str | os.PathLike[str]) -> int:
    """Write tables one after the other into one Parquet file, which appears whole or not at all.

    Parameters
    ----------
    tables
        Parts of one enumeration: the same prototypes, roles and extra columns. Only one is held at a time.
    path
        The file; one of that name is replaced.

    Returns
    -------
    Number of candidates written.

    Raises
    ------
    ValueError
        There is no table, or they do not belong together.
    """
    rows = 0

    def write(file: IO[bytes]) -> None:
        nonlocal rows
        rows = _write(tables, file)

    write_whole(Path(path), write)
    return rows


def _write(tables: Iterable[CandidateTable], file: IO[bytes]) -> int:
    import pyarrow.parquet as pq

    parts = iter(tables)
    empty: list[CandidateTable] = []  # their columns may not know of what kind they are
    first = next(parts, None)
    while first is not None and not len(first):
        empty.append(first)
        first = next(parts, None)
    if first is None and not empty:
        raise ValueError("no table to write")
    first = first or empty.pop()
    rows, counts = 0, merge_filter_counts([first.filter_counts, *(table.filter_counts for table in empty)])
    with pq.ParquetWriter(file, _arrow(first).schema, compression="zstd") as writer:
        for table in chain([first], parts):
            if table is not first:
                _refuse_stranger(first, table)
                counts = merge_filter_counts([counts, table.filter_counts])
            if len(table):
                writer.write_table(_arrow(table).cast(writer.schema))
            rows += len(table)
        document = {
            "version": _VERSION,
            "prototypes": [prototype.to_dict() for prototype in first.prototypes],
            "filter_counts": [asdict(count) for count in counts],
            "n_roles": first.decoration.shape[1],
            "oxidation_states": first.oxidation_states,
        }
        writer.add_key_value_metadata({_METADATA_KEY.decode(): json.dumps(document)})
    return rows


def _arrow(table: CandidateTable) -> Any:
    """Columns of a table as an Arrow table."""
    import pyarrow as pa

    arrays = {"prototype_index": table.prototype_index, "volume": table.volume}
    arrays |= {f"site_{role}": table.decoration[:, role] for role in range(table.decoration.shape[1])}
    return pa.table({name: pa.array(values) for name, values in (arrays | table.columns).items()})


def _refuse_stranger(first: CandidateTable, other: CandidateTable) -> None:
    for name, values in other.columns.items():
        mine = first.columns.get(name)
        if mine is not None and mine.dtype.kind != values.dtype.kind and len(mine) and len(values):
            raise ValueError(f"column {name!r} holds {mine.dtype} in one table and {values.dtype} in another")
    if first.oxidation_states != other.oxidation_states:
        raise ValueError("tables of different oxidation states cannot be written into one file")
    same = len(first.prototypes) == len(other.prototypes) and all(
        mine is its or mine.key == its.key for mine, its in zip(first.prototypes, other.prototypes, strict=True)
    )
    if not same or first.columns.keys() != other.columns.keys():
        raise ValueError("tables of different prototypes or columns cannot be written into one file")


def read_candidates(path: str | os.PathLike[str]) -> CandidateTable:
    """Read all candidates of a file.

    Raises
    ------
    UserError
        There is no such file, or it is not one that `write_candidates` wrote.
    """
    import pyarrow.parquet as pq

    document = _document(path)
    table = pq.read_table(path)
    return _table(document, {name: table[name].to_numpy() for name in table.column_names})


def iterate_candidate_file(path: str | os.PathLike[str], size: int = 1 << 18) -> Iterator[CandidateTable]:
    """Read a file part by part.

    Parameters
    ----------
    path
        A file that `write_candidates` wrote.
    size
        Most rows of a part.

    Yields
    ------
    Tables in order. The first has the filter counts of the whole file and the others have counts of 0, so that they add
    up to what they were.

    Raises
    ------
    UserError
        As `read_candidates`.
    """
    import pyarrow.parquet as pq

    document = _document(path)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=size):
            columns = {
                name: column.to_numpy(zero_copy_only=False)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            yield _table(document, columns)
            document = document | {"filter_counts": nothing_more(document["filter_counts"])}


def _document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Metadata of a file, checked."""
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    if not Path(path).is_file():
        raise UserError(f"no candidate file {path}")
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except ArrowInvalid as error:
        raise UserError(f"{path} is not a Parquet file: {error}") from error
    document: dict[str, Any] = json.loads(metadata.get(_METADATA_KEY, b"{}"))
    if document.get("version") != _VERSION:
        raise UserError(f"{path} is a Parquet file, but not a table of candidates written by this version")
    document["prototypes"] = [Prototype.from_dict(prototype) for prototype in document["prototypes"]]
    document["filter_counts"] = [FilterCount(**count) for count in document["filter_counts"]]
    return document


def _table(document: dict[str, Any], columns: dict[str, NDArray[Any]]) -> CandidateTable:
    own = own_names(document["n_roles"])
    sites = [columns[f"site_{role}"] for role in range(document["n_roles"])]
    return CandidateTable(
        document["prototypes"],
        columns["prototype_index"],
        np.stack(sites, axis=1) if sites else np.zeros((len(columns["volume"]), 0), dtype=np.uint8),
        columns["volume"],
        document["filter_counts"],
        {name: _plain(values) for name, values in columns.items() if name not in own},
        document["oxidation_states"],
    )


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Arrow gives strings as objects; the table keeps them as NumPy strings."""
    return values.astype(str) if values.dtype == object else values
