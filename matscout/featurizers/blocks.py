"""How `featurize` works: parts become tasks, tasks are worked on here or on dask, answers become blocks in order.

The controller looks rows up in the cache and keeps there what comes back, so that workers need no cache and what was
finished before a failure is not done again.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.featurizers.base import RowFeaturizer
from matscout.featurizers.chunks import Answer, Runners, work_on, work_on_worker
from matscout.featurizers.errors import RowErrors

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.cache import FeatureCache
    from matscout.featurizers.parts import Part, Source
    from matscout.featurizers.rows import FeatureRow

ROWS_AT_ONCE = 16_384
"""Rows of a part where features are made for many rows at a time: bounds the memory beside the result."""

CRYSTALS_AT_ONCE = 64
"""Rows of a part where crystals are featurized one by one: some seconds of work for a worker."""


@dataclass(frozen=True, eq=False)
class Block:
    """Features of consecutive rows.

    Attributes
    ----------
    start
        Number of the first row.
    values
        Shape (n, n_features).
    part
        The rows.
    errors
        What was wrong, by row counted from `start`.
    seconds
        What they cost, s: as measured, also where they came from the cache.
    n_cached
        Rows that came from the cache, over all featurizers.
    """

    start: int
    values: NDArray[np.floating[Any]]
    part: Part
    errors: Mapping[int, str]
    seconds: float
    n_cached: int

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class _Task:
    """A part, what is known of its rows, and what is not, by the featurizer's place."""

    start: int
    part: Part
    keys: Sequence[str]
    known: Mapping[int, Mapping[int, FeatureRow]]
    wanted: Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Job:
    """What is to be done with each part.

    Attributes
    ----------
    featurizers
        In the order of their columns.
    cache
        Where features of crystals are looked up and kept; None where they are not.
    time_limit
        Longest time for one row of one featurizer, s.
    dtype
        Of the blocks.
    """

    featurizers: tuple[Featurizer, ...]
    cache: FeatureCache | None = None
    time_limit: float | None = None
    dtype: type[np.floating[Any]] = np.float64

    @property
    def rows_at_once(self) -> int:
        """Rows of a part unless somebody says how many."""
        one_by_one = any(isinstance(featurizer, RowFeaturizer) for featurizer in self.featurizers)
        return CRYSTALS_AT_ONCE if one_by_one else ROWS_AT_ONCE


def iterate_blocks(source: Source, job: Job, rows_at_once: int | None = None, client: Any = None) -> Generator[Block]:
    """Featurize part by part.

    Parameters
    ----------
    source
        The rows.
    job
        What to do with them.
    rows_at_once
        Rows worked on at a time.
    client
        An open dask client; None works in this process.

    Yields
    ------
    Blocks in the order of the rows.
    """
    tasks = _tasks(source.parts(rows_at_once or job.rows_at_once), job)
    answers = _here(tasks, job) if client is None else _on_dask(tasks, job, client)
    with closing(answers):
        for task, answer in answers:
            yield _block(task, answer, job)


def _tasks(parts: Iterable[Part], job: Job) -> Iterator[_Task]:
    start = 0
    places = [place for place, featurizer in enumerate(job.featurizers) if isinstance(featurizer, RowFeaturizer)]
    for part in parts:
        keys = part.keys() if places and job.cache is not None else []
        known = {place: _known(job, job.featurizers[place], keys) for place in places}
        wanted = {place: [row for row in range(len(part)) if row not in known[place]] for place in places}
        yield _Task(start, part, keys, known, {place: rows for place, rows in wanted.items() if rows})
        start += len(part)


def _known(job: Job, featurizer: Featurizer, keys: Sequence[str]) -> dict[int, FeatureRow]:
    """Rows that the cache has, by their number."""
    if job.cache is None or not _lasts(featurizer):
        return {}
    found = job.cache.get(featurizer, sorted({key for key in keys if key}))
    return {row: found[key] for row, key in enumerate(keys) if key in found}


def _here(tasks: Iterable[_Task], job: Job) -> Generator[tuple[_Task, Answer]]:
    with Runners(job.time_limit) as runner:
        for task in tasks:
            yield task, work_on(task.part, job.featurizers, task.wanted, runner, job.dtype)


def _on_dask(tasks: Iterable[_Task], job: Job, client: Any) -> Generator[tuple[_Task, Answer]]:
    from matscout.featurizers.clients import results_in_order

    calls = ((task, (task.part, job.featurizers, task.wanted, job.time_limit, job.dtype)) for task in tasks)
    yield from results_in_order(client, work_on_worker, calls)


def _block(task: _Task, answer: Answer, job: Job) -> Block:
    """Put together what was known and what came back, and keep the latter."""
    values = np.empty((len(task.part), sum(map(len, job.featurizers))), dtype=job.dtype, order="F")
    errors = RowErrors(answer.table_errors)
    seconds, n_cached, column = 0.0, 0, 0
    for place, featurizer in enumerate(job.featurizers):
        out = values[:, column : column + len(featurizer)]
        column += len(featurizer)
        if place in answer.tables:
            out[:] = answer.tables[place]
            seconds += answer.seconds[place]
            continue
        made = answer.rows.get(place, {})
        _keep(job, featurizer, {task.keys[row]: one for row, one in made.items()} if task.keys else {})
        n_cached += len(task.known[place])
        for row, one in {**task.known[place], **made}.items():
            out[row] = one.values
            seconds += one.seconds
            if one.error is not None:
                errors.add(row, one.error)
    return Block(task.start, values, task.part, errors, seconds, n_cached)


def _keep(job: Job, featurizer: Featurizer, made: Mapping[str, FeatureRow]) -> None:
    if job.cache is not None and made and _lasts(featurizer):
        job.cache.put(featurizer, {key: one for key, one in made.items() if key})


def _lasts(featurizer: Featurizer) -> bool:
    """Whether its class is the same in the next process: one of a script, a notebook or a function need not be."""
    kind = type(featurizer)
    return kind.__module__ != "__main__" and "<locals>" not in kind.__qualname__
