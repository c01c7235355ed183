"""Features as Parquet files: written part by part, whole or not at all.

Columns: `id`, `formula`, what the input had beside, the features as 32-bit numbers, `errors` (null where there are
none). What made the features stands in the metadata as JSON.
"""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import IO

    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.blocks import Block

METADATA_KEY = "matscout.features"
_VERSION = 1
_GROUP_ROWS = 1 << 16
"""Rows of a group in the file; small parts are put together."""

OWN_COLUMNS = ("id", "formula", "errors")


@dataclass(frozen=True)
class FeatureFile:
    """A file of features that was written.

    Attributes
    ----------
    path
        The file.
    n_rows, n_features
        How much it holds.
    n_errors
        Rows that have no features, or not all.
    errors
        What was wrong with the first thousand of these, by row.
    seconds_per_row
        What the features of one row cost, s: as measured, also where they came from the cache.
    n_cached
        Rows that came from the cache, over all featurizers.
    """

    path: Path
    n_rows: int
    n_features: int
    n_errors: int
    errors: Mapping[int, str]
    seconds_per_row: float
    n_cached: int


def write_blocks(
    blocks: Iterable[Block], path: str | os.PathLike[str], names: Sequence[str], featurizers: Sequence[Featurizer]
) -> None:
    """Write blocks one after the other into one file, which appears whole or not at all.

    Raises
    ------
    UserError
        The folder cannot be written, the disk is full, or a column of the input has the name of a feature.
    """
    from matscout.db.files import write_whole

    try:
        write_whole(Path(path), lambda file: _write(_apart(blocks), file, names, featurizers))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    except _ReadError as error:
        raise error.cause from None


class _ReadError(Exception):
    """The operating system refused what rows are read from, which is not the file that is written."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _apart(blocks: Iterable[Block]) -> Iterator[Block]:
    try:
        yield from blocks
    except OSError as error:
        raise _ReadError(error) from error


def _write(blocks: Iterable[Block], file: IO[bytes], names: Sequence[str], featurizers: Sequence[Featurizer]) -> None:
    """Write groups of rows; while one is encoded in a thread, the next is made."""
    metadata = {METADATA_KEY: json.dumps(description(names, featurizers))}
    with ExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(1))
        groups = _Groups(file, names, metadata, stack)
        encoding: Future[None] | None = None
        for group in _grouped(blocks):
            if encoding is not None:
                encoding.result()
            encoding = thread.submit(groups.write, group)
        if encoding is None:
            groups.write_nothing()
        else:
            encoding.result()


def _grouped(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Put small blocks together."""
    waiting: list[Block] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= _GROUP_ROWS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


class _Groups:
    """Writes groups of rows into one file; the first one says which columns there are."""

    def __init__(self, file: IO[bytes], names: Sequence[str], metadata: Mapping[str, str], stack: ExitStack) -> None:
        self._file = file
        self._names = names
        self._metadata = metadata
        self._stack = stack
        self._writer: Any = None

    def write(self, group: Sequence[Block]) -> None:
        import pyarrow as pa

        table = pa.concat_tables([_arrow(block, self._names) for block in group])
        if self._writer is None:
            self._open(table.schema)
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=_GROUP_ROWS)

    def write_nothing(self) -> None:
        """Write a file without rows."""
        import pyarrow as pa

        own = {"id": pa.string(), "formula": pa.string()}
        features = dict.fromkeys(self._names, pa.float32())
        self._open(pa.schema({**own, **features, "errors": pa.string()}))

    def _open(self, schema: Any) -> None:
        import pyarrow.parquet as pq

        self._writer = self._stack.enter_context(
            pq.ParquetWriter(self._file, schema.with_metadata(self._metadata), **_encoding(schema))
        )


def _encoding(schema: Any) -> dict[str, Any]:
    """Encode without dictionaries but for texts that repeat: of numbers they cost more time than zstd saves."""
    import pyarrow as pa

    texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in OWN_COLUMNS]
    return {"compression": "zstd", "compression_level": 1, "use_dictionary": texts}


def _arrow(block: Block, names: Sequence[str]) -> Any:
    """Write one block as an Arrow table."""
    import pyarrow as pa

    columns: dict[str, Any] = {"id": _texts(block.part.ids), "formula": _texts(block.part.formulas)}
    for name, values in block.part.columns.items():
        if name in columns or name in names or name in OWN_COLUMNS:
            raise UserError(f'the input has a column "{name}", which the file of features needs itself: rename it')
        columns[name] = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values)
    features = np.asfortranarray(block.values, dtype=np.float32)
    columns |= {name: pa.array(features[:, place]) for place, name in enumerate(names)}
    return pa.table({**columns, "errors": _texts([block.errors.get(row) for row in range(len(block))])})


def _texts(texts: Sequence[str | None]) -> Any:
    """Write texts as Arrow; bytes of a file's name or of a formula that are no text are written out."""
    import pyarrow as pa

    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        written = [None if text is None else text.encode(errors="backslashreplace").decode() for text in texts]
        return pa.array(written, pa.string())


def description(names: Sequence[str], featurizers: Sequence[Featurizer]) -> dict[str, Any]:
    """Say what made the features, as JSON takes it."""
    documents, start = [], 0
    for featurizer in featurizers:
        columns = names[start : start + len(featurizer)]
        start += len(featurizer)
        documents.append(
            {
                **featurizer.identity(),
                "key": featurizer.key,
                "citations": list(featurizer.citations),
                "columns": [{"name": name, "unit": unit} for name, unit in zip(columns, featurizer.units, strict=True)],
            }
        )
    return {"version": _VERSION, "featurizers": documents}


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what made the features of a file: each featurizer with its columns, units and citations.

    Raises
    ------
    UserError
        It is no file that `featurize` wrote.
    """
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a Parquet file: {error}") from error
    document: dict[str, Any] = json.loads(metadata.get(METADATA_KEY.encode(), b"{}"))
    if document.get("version") != _VERSION:
        raise UserError(f"{path} is a Parquet file, but not one of features written by this version")
    return document
