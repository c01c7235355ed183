"""Predictions as a file, part by part: as many rows as the input has, whole or not at all."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from matscout.db.files import write_whole
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from matscout.models.predicted_rows import PredictedRows


def write_predictions(parts: Iterable[PredictedRows], path: Path) -> dict[str, int]:
    """Write predictions as Parquet or CSV, as the ending says.

    Returns
    -------
    How many rows there were, how many have an error, and how many are outside of the model's domain.

    Raises
    ------
    UserError
        There is no row, or none can be predicted: then no file is written.
    """
    counts = {"rows": 0, "errors": 0, "outside": 0}
    first = ""

    def counted() -> Iterable[Any]:
        nonlocal first
        for part in parts:
            counts["rows"] += len(part)
            counts["errors"] += len(part.errors)
            counts["outside"] += int(part.prediction.outside.sum())
            first = first or first_error(part)
            yield part.frame()
        check_predicted(counts["rows"], counts["errors"], first)

    write_whole(path, lambda file: (_write_csv if path.suffix.lower() == ".csv" else _write_parquet)(counted(), file))
    return counts


def first_error(part: PredictedRows) -> str:
    """Say which row of a part cannot be predicted first, and why; nothing where all can."""
    if not part.errors:
        return ""
    row = min(part.errors)
    return f"{part.ids[row]}: {part.errors[row]}"


def check_predicted(n_rows: int, n_errors: int, first: str) -> None:
    """Raise a `UserError` where nothing was predicted."""
    if not n_rows:
        raise UserError("the input holds no row to predict")
    if n_errors == n_rows:
        what = "the only row cannot be predicted" if n_rows == 1 else f"none of {n_rows:,} rows can be predicted"
        raise UserError(f"{what}: row {first}")


def _write_csv(frames: Iterable[Any], file: IO[bytes]) -> None:
    for number, frame in enumerate(frames):
        file.write(frame.to_csv(index=False, header=number == 0).encode())


def _write_parquet(frames: Iterable[Any], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, schema = None, None
    for frame in frames:
        if schema is None:
            found = pa.Schema.from_pandas(frame, preserve_index=False)
            # a part without errors does not tell the type of a column of texts
            schema = found.set(found.get_field_index("error"), pa.field("error", pa.string())).remove_metadata()
            writer = pq.ParquetWriter(file, schema)
        assert writer is not None
        writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
    if writer is not None:
        writer.close()
