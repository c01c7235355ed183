"""From formulas, crystals or candidates to named columns: here or on dask, part by part.

A row that raises, runs past its time or ends its process is NaN with its error beside it, and takes no other along.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.blocks import Job, iterate_blocks
from matscout.featurizers.errors import RowErrors
from matscout.featurizers.feature_files import FeatureFile, write_blocks
from matscout.featurizers.parts import source_of
from matscout.featurizers.registry import column_names, resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.blocks import Block
    from matscout.featurizers.cache import FeatureCache

    Featurizers = str | Featurizer | Sequence[str | Featurizer]
    Progress = bool | Callable[[int, int | None], None]


MOST_ERRORS = 1000
"""Errors that are remembered of rows that are written into a file, which has them all."""


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of n rows.

    Attributes
    ----------
    values
        Shape (n, n_features); NaN where a feature is unknown or does not apply, or the row has an error.
    names
        Names of the columns, each one once.
    units
        Unit of each column, "" where it has none.
    sets
        The featurizer that each column comes from.
    citations
        Sources to cite.
    ids, formulas
        What the user knows each row by, and its formula.
    errors
        What was wrong, by row; rows without an error are not there.
    seconds_per_row
        What the features of one row cost, s: as measured, also where they came from the cache.
    n_cached
        Rows that came from the cache, over all featurizers.
    versions
        Key of each featurizer by its name: equal keys mean equal numbers.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    units: tuple[str, ...]
    sets: tuple[str, ...]
    citations: tuple[str, ...]
    ids: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    errors: Mapping[int, str] = field(default_factory=dict)
    seconds_per_row: float = 0.0
    n_cached: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def frame(self) -> pd.DataFrame:
        """Return the features as a frame indexed by id, with the column `errors` (None where there is none) last."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=list(self.names), index=pd.Index(self.ids, name="id"))
        errors = pd.Series([self.errors.get(row) for row in range(len(self))], index=frame.index, dtype=object)
        return pd.concat([frame, errors.rename("errors")], axis=1)


@overload
def featurize(
    data: Any,
    featurizers: Featurizers,
    client: Any = None,
    *,
    output: None = None,
    time_limit: float | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    strict: bool = False,
    rows_at_once: int | None = None,
    progress: Progress = False,
) -> FeatureMatrix: ...
@overload
def featurize(
    data: Any,
    featurizers: Featurizers,
    client: Any = None,
    *,
    output: str | os.PathLike[str],
    time_limit: float | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    strict: bool = False,
    rows_at_once: int | None = None,
    progress: Progress = False,
) -> FeatureFile: ...
def featurize(
    data: Any,
    featurizers: Featurizers,
    client: Any = None,
    *,
    output: str | os.PathLike[str] | None = None,
    time_limit: float | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    strict: bool = False,
    rows_at_once: int | None = None,
    progress: Progress = False,
) -> FeatureMatrix | FeatureFile:
    """Features of many rows.

    Parameters
    ----------
    data
        A `CandidateTable`; formulas, pymatgen compositions or structures in a list, a pandas series or any other
        iterable, which is read as it is needed.
    featurizers
        Names out of `FEATURE_SETS`, featurizers, or a mixture of both; their columns follow each other in this order.
    client
        Where to work: this process if None; else "local" or "local:N" for N worker processes on this machine, "slurm"
        for jobs as the settings say, the address or the scheduler file of a running dask scheduler, a dask cluster or a
        dask client. The numbers are the same to the last bit everywhere.
    output
        Parquet file to write instead of returning the numbers: as 32-bit numbers, part by part, so that the result may
        be longer than memory. It appears whole or not at all.
    time_limit
        Longest time for one row of one featurizer of crystals, s; such rows are worked on in a process of its own,
        which is killed then. On dask they always are.
    cache
        Whether features of crystals are looked up in the user's cache and kept there; or the folder or cache to use.
    strict
        Raise if any row has an error.
    rows_at_once
        Rows worked on at a time.
    progress
        Show a progress bar; or a function that is told after each part how many rows are done, and of how many (None
        where that is not known).

    Returns
    -------
    The numbers, or with `output` what was written.

    Raises
    ------
    UserError
        A feature set is unknown, named twice, or not to be had from such rows; nobody answers as `client`; `output`
        cannot be written.
    FeatureRowsError
        With `strict`: some rows have an error; it names the first ten.

    Examples
    --------
    >>> matrix = featurize(["NaCl", "Na2"], ["stoichiometry", "period_group"])
    >>> matrix.values.shape, matrix.names[:2], matrix.errors
    ((2, 44), ('0-norm', '2-norm'), {})
    """
    _check(time_limit, rows_at_once)
    source = source_of(data)
    made = resolve(featurizers, source)
    job = Job(made, _opened(cache), time_limit, np.float64 if output is None else np.float32)
    total = _Total(made, source.n_rows, strict=strict, about=source.about)
    with ExitStack() as stack:
        total.progress = _progress(progress, stack)
        opened = _client(client, stack)
        # closed at once, not when an exception's traceback is forgotten: a child process may belong to it
        blocks = stack.enter_context(closing(iterate_blocks(source, job, rows_at_once, opened)))
        if output is None:
            return total.matrix(total.counted(blocks))
        write_blocks(total.counted(blocks, MOST_ERRORS), output, total.names, made)
    return total.file(Path(output))


def iterate_features(
    data: Any,
    featurizers: Featurizers,
    client: Any = None,
    *,
    time_limit: float | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    rows_at_once: int | None = None,
) -> Iterator[FeatureMatrix]:
    """Features as `featurize` gives them, a part at a time: for what is longer than memory.

    Rows of a part are numbered from 0 in its `errors`.
    """
    _check(time_limit, rows_at_once)
    source = source_of(data)
    made = resolve(featurizers, source)
    job = Job(made, _opened(cache), time_limit)
    with ExitStack() as stack:
        for block in iterate_blocks(source, job, rows_at_once, _client(client, stack)):
            part = _Total(made, len(block), strict=False)
            yield part.matrix(part.counted([replace(block, start=0)]))


class _Total:
    """Adds up what came of all rows."""

    def __init__(
        self, featurizers: Sequence[Featurizer], n_rows: int | None, *, strict: bool, about: int | None = None
    ) -> None:
        self.names = column_names(featurizers)
        self.progress: Callable[[int, int | None], None] | None = None
        self._featurizers = featurizers
        self._expected = n_rows
        self._about = about
        self._strict = strict
        self._errors = RowErrors()
        self._ids: list[str] = []
        self._formulas: list[str] = []
        self._n_rows = 0
        self._n_errors = 0
        self._n_cached = 0
        self._seconds = 0.0

    def counted(self, blocks: Iterable[Block], most_errors: float = inf) -> Iterator[Block]:
        """Hand blocks on, and note what is to be noted of them; at the end complain, if that was asked for."""
        for block in blocks:
            names = block.part.ids if block.errors else []
            for row, error in sorted(block.errors.items()):
                if len(self._errors) < most_errors:
                    number = block.start + row
                    self._errors[number] = error if names[row] == str(number) else f"{names[row]}: {error}"
            self._n_errors += len(block.errors)
            self._n_rows += len(block)
            self._n_cached += block.n_cached
            self._seconds += block.seconds
            yield block
            if self.progress is not None:
                self.progress(self._n_rows, self._expected or self._about)
        if self._strict:
            self._errors.report(n_rows=self._n_rows, strict=True, n_errors=self._n_errors)

    def matrix(self, blocks: Iterable[Block]) -> FeatureMatrix:
        """Put all blocks into one matrix."""
        width = len(self.names)
        values = np.empty((self._expected or 0, width))
        grown: list[NDArray[Any]] = []
        for block in blocks:
            self._ids += block.part.ids
            self._formulas += block.part.formulas
            if self._expected is None:
                grown.append(np.asarray(block.values))
            else:
                values[block.start : block.start + len(block)] = np.asarray(block.values)
        return FeatureMatrix(
            values=np.concatenate(grown) if grown else values,
            names=self.names,
            units=tuple(unit for featurizer in self._featurizers for unit in featurizer.units),
            sets=tuple(featurizer.name for featurizer in self._featurizers for _ in featurizer.feature_names),
            citations=tuple(dict.fromkeys(one for featurizer in self._featurizers for one in featurizer.citations)),
            ids=tuple(self._ids),
            formulas=tuple(self._formulas),
            errors=dict(self._errors),
            seconds_per_row=self._seconds / max(1, self._n_rows),
            n_cached=self._n_cached,
            versions=_versions(self._featurizers),
        )

    def file(self, path: Path) -> FeatureFile:
        """Describe the file that all blocks were written into."""
        return FeatureFile(
            path=path,
            n_rows=self._n_rows,
            n_features=len(self.names),
            n_errors=self._n_errors,
            errors=dict(self._errors),
            seconds_per_row=self._seconds / max(1, self._n_rows),
            n_cached=self._n_cached,
        )


def _versions(featurizers: Sequence[Featurizer]) -> dict[str, str]:
    """Key of each featurizer; of a prototype's sites without the prototypes, as their columns say what they have."""
    versions: dict[str, str] = {}
    for one in featurizers:
        key = one.key
        if one.takes == "candidates":
            identity = {name: content for name, content in one.identity().items() if name != "options"}
            key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        versions[one.name] = f"{versions[one.name]}+{key}" if one.name in versions else key
    return versions


def _check(time_limit: float | None, rows_at_once: int | None) -> None:
    if time_limit is not None and not time_limit > 0:
        raise UserError(f"time_limit: a positive number of seconds is expected, got {time_limit!r}")
    if rows_at_once is not None and (not isinstance(rows_at_once, int) or rows_at_once < 1):
        raise UserError(f"rows_at_once: a positive whole number is expected, got {rows_at_once!r}")


def _opened(cache: Any) -> FeatureCache | None:
    if cache is False:
        return None
    from matscout.featurizers.cache import FeatureCache

    if isinstance(cache, FeatureCache):
        return cache
    if cache is not True and not isinstance(cache, (str, Path)):
        raise UserError(f"cache: True, False, a folder or a FeatureCache is expected, got {cache!r:.60}")
    return FeatureCache(None if cache is True else cache)


def _client(client: Any, stack: ExitStack) -> Any:
    if client is None:
        return None
    from matscout.featurizers.clients import connected, dashboard_address

    opened = stack.enter_context(connected(client, say=_say))
    if opened is not client and (address := dashboard_address(opened)):
        _say(f"dashboard {address}")
    return opened


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _progress(progress: Progress, stack: ExitStack) -> Callable[[int, int | None], None] | None:
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return None
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = stack.enter_context(Bar(console=Console(stderr=True)))
    task = bar.add_task("featurizing", total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
