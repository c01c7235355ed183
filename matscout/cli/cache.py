"""`matscout cache`: which features are kept to be used again, and how to be rid of them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matscout.featurizers.cache import CacheContent


def show_cache(names: Sequence[str], older_than_days: float | None, *, as_json: bool) -> None:
    """List the featurizers whose rows are kept: all, or those named, or those not used for so many days."""
    from matscout.featurizers.cache import FeatureCache

    cache = FeatureCache()
    contents = cache.contents(names or None, older_than_days=older_than_days)
    damaged = cache.damaged()
    if as_json:
        print_json(
            {
                "folder": str(cache.folder),
                "featurizers": [_described(content) for content in contents],
                "damaged": [str(path) for path in damaged],
            }
        )
        return
    if contents:
        echo(printable(str(cache.folder)))
        _print_contents(contents)
        older = [] if older_than_days is None else ["--older-than", f"{older_than_days:g}"]
        command = shlex.join(["matscout", "cache", *names, *older, "--clear"])
        echo(printable(f"{_amount(contents)}; {command} removes {'them' if len(contents) > 1 else 'it'}"))
    else:
        echo(_nothing(cache.folder, older_than_days))
    if damaged:
        files, them = (
            ("1 damaged file was", "it") if len(damaged) == 1 else (f"{len(damaged)} damaged files were", "them")
        )
        echo(f"{files} set aside: matscout cache --clear, without a name, removes {them}")


def clear_cache(names: Sequence[str], older_than_days: float | None, *, as_json: bool) -> None:
    """Remove what `show_cache` lists, and say what that was."""
    from matscout.featurizers.cache import FeatureCache

    cache = FeatureCache()
    damaged = cache.damaged()
    removed = cache.clear(names or None, older_than_days=older_than_days)
    gone = [path for path in damaged if not path.exists()]
    if as_json:
        print_json(
            {
                "folder": str(cache.folder),
                "removed": [_described(content) for content in removed],
                "damaged": [str(path) for path in gone],
            }
        )
        return
    if removed:
        _print_contents(removed)
        echo(printable(f"removed {_amount(removed)} from {cache.folder}"))
    if gone:
        echo(f"removed {len(gone)} damaged {'file' if len(gone) == 1 else 'files'}")
    if not removed and not gone:
        echo(_nothing(cache.folder, older_than_days))


def _print_contents(contents: Sequence[CacheContent]) -> None:
    cells = [
        [
            printable(content.featurizer),
            _listed(content.options),
            _listed(content.software),
            str(content.n_features),
            f"{content.rows:,}",
            f"{content.errors:,}",
            _size(content.bytes),
            f"{content.last_used.astimezone():%Y-%m-%d}",
        ]
        for content in contents
    ]
    columns = ("featurizer", "options", "software", "features", "rows", "errors", "size", "last used")
    print_table(columns, cells, right=(3, 4, 5, 6), optional=(2, 3))


def _listed(values: dict[str, Any]) -> str:
    return printable(" ".join(f"{name}={value}" for name, value in values.items()) or "-")


def _amount(contents: Sequence[CacheContent]) -> str:
    n_rows = sum(content.rows for content in contents)
    rows = "1 row" if n_rows == 1 else f"{n_rows:,} rows"
    kinds = "1 featurizer" if len(contents) == 1 else f"{len(contents)} featurizers"
    return f"{rows} of {kinds}, {_size(sum(content.bytes for content in contents))}"


def _size(n_bytes: int) -> str:
    """Write a number of bytes as people say it.

    Examples
    --------
    >>> _size(512), _size(24_576), _size(3_210_000), _size(12_000_000_000)
    ('512 bytes', '25 kB', '3.2 MB', '12 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.{0 if n_bytes >= 10 * unit else 1}f} {name}"
    return f"{n_bytes} bytes"


def _nothing(folder: Path, older_than_days: float | None) -> str:
    if older_than_days is None:
        return printable(f"the cache of features in {folder} is empty")
    return printable(f"the cache of features in {folder} holds nothing unused for {older_than_days:g} days")


def _described(content: CacheContent) -> dict[str, Any]:
    return {
        "featurizer": content.featurizer,
        "options": content.options,
        "version": content.version,
        "software": content.software,
        "key": content.key,
        "n_features": content.n_features,
        "rows": content.rows,
        "errors": content.errors,
        "bytes": content.bytes,
        "first_written": content.first_written.isoformat(timespec="seconds"),
        "last_written": content.last_written.isoformat(timespec="seconds"),
        "last_used": content.last_used.isoformat(timespec="seconds"),
    }
