"""`matscout featurize`: formulas, crystals, candidates or a store's calculations as a Parquet file of features."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Exit, echo

from matscout.cli import EXIT_STOPPED, printable
from matscout.cli.output import print_json, print_table
from matscout.cli.sources import listed_names, open_source
from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.featurizers import FeatureFile
    from matscout.featurizers.parts import Source

SHOWN_ERRORS = 10


@dataclass(frozen=True)
class FeaturizeRequest:
    """What the command was asked for."""

    input: str | None
    output: Path | None
    features: tuple[str, ...]
    column: str | None
    dask: str | None
    time_limit: float
    cached: bool
    strict: bool
    as_json: bool


def featurize_input(request: FeaturizeRequest) -> None:
    """Write the features of all rows of the input, and say what came of them."""
    from matscout.featurizers import featurize

    if request.input is None or request.output is None:
        raise UserError("name what to featurize and where to write: matscout featurize INPUT -o OUT.parquet")
    output = _checked_output(request.input, request.output)
    if request.features and not listed_names(request.features):
        raise UserError("--features names no feature set: matscout featurize --list shows them")
    with open_source(request.input, request.column) as source:
        try:
            written = featurize(
                source,
                listed_names(request.features) or (["magpie"] if source.kind == "formulas" else ["magpie", "sites"]),
                request.dask or get_settings().dask,
                output=output,
                time_limit=request.time_limit,
                cache=request.cached,
                strict=request.strict,
                progress=sys.stderr.isatty(),  # no bar in a log file
            )
        except KeyboardInterrupt:
            kept = "; features of crystals that were made are in the cache, the same command goes on from there"
            from_there = request.cached and source.kind != "formulas"
            sys.stderr.write(f"stopped, {output} was not written{kept if from_there else ''}\n")
            raise Exit(EXIT_STOPPED) from None
    _report(written, source, request)


def _checked_output(given: str, output: Path) -> Path:
    if output.suffix != ".parquet":
        raise UserError(f"{output}: features are written as Parquet: end its name in .parquet")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it")
    if not output.parent.is_dir():
        raise UserError(f"no folder {output.parent}: make it first")
    if output.exists() and Path(given).exists() and output.samefile(given):
        raise UserError(f"{output} is the input: name another file")
    return output


def _report(written: FeatureFile, source: Source, request: FeaturizeRequest) -> None:
    if request.as_json:
        print_json(
            {
                "input": request.input,
                "output": str(written.path),
                "kind": source.kind,
                "rows": written.n_rows,
                "features": written.n_features,
                "rows_with_errors": written.n_errors,
                "errors": [{"row": row, "error": error} for row, error in sorted(written.errors.items())],
                "seconds_per_row": written.seconds_per_row,
                "from_cache": written.n_cached,
            }
        )
        return
    cached = f", {written.n_cached:,} from the cache" if written.n_cached else ""
    rows = source.kind if written.n_rows != 1 else source.kind.removesuffix("s")
    echo(f"{source.name}: {written.n_rows:,} {rows}, {written.n_features} features each{cached}")
    if written.n_errors:
        have = "row has" if written.n_errors == 1 else "rows have"
        echo(f"{written.n_errors:,} {have} no features, or not all; the column errors says why:")
        for row, error in sorted(written.errors.items())[:SHOWN_ERRORS]:
            echo(f"  row {row}: {printable(error)}")
        if written.n_errors > SHOWN_ERRORS:
            echo(f"  and {written.n_errors - SHOWN_ERRORS:,} more")
    cost = f"features cost {_cost(written.seconds_per_row)} a row; " if written.n_rows else ""
    echo(f"{cost}written to {written.path}")


def _cost(seconds: float) -> str:
    """Write a short time with its unit.

    Examples
    --------
    >>> _cost(0.0000123), _cost(0.123), _cost(1.23), _cost(0.0)
    ('12 µs', '120 ms', '1.2 s', '0 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds / 1e-6:.2g}'):g} µs"


def list_feature_sets(features: Sequence[str], *, as_json: bool) -> None:
    """List the feature sets, or the columns of those named."""
    from matscout.featurizers.registry import ABOUT, FEATURE_SETS, make_featurizer

    if names := listed_names(features):
        _show_columns(names, as_json=as_json)
        return
    sets = [make_featurizer(one) for one in FEATURE_SETS]
    if as_json:
        documents = [
            {
                "name": one.name,
                "takes": one.takes,
                "features": len(one),
                "about": ABOUT[one.name],
                "citations": list(one.citations),
            }
            for one in sets
        ]
        print_json(documents)
        return
    cells = [[one.name, one.takes, str(len(one)), ABOUT[one.name]] for one in sets]
    print_table(("name", "made of", "features", "what it tells"), cells, right=(2,))
    echo(
        "matminer:CLASS or matminer:CLASS:PRESET is any featurizer of matminer; "
        "--list --features NAME shows the columns of one"
    )


def _show_columns(names: Sequence[str], *, as_json: bool) -> None:
    from matscout.featurizers import make_featurizer

    sets = [make_featurizer(name) for name in names]
    if as_json:
        documents = [
            {
                **one.identity(),
                "key": one.key,
                "takes": one.takes,
                "citations": list(one.citations),
                "columns": [
                    {"name": column, "unit": unit} for column, unit in zip(one.feature_names, one.units, strict=True)
                ],
            }
            for one in sets
        ]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    cells = [[one.name, *column] for one in sets for column in zip(one.feature_names, one.units, strict=True)]
    print_table(("set", "feature", "unit"), cells)
    for citation in dict.fromkeys(citation for one in sets for citation in one.citations):
        echo(f"cite: {citation}")
