"""The numbers of one part, wherever it is worked on: this process, or a worker of dask."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.base import CandidateFeaturizer, RowFeaturizer, TableFeaturizer
from matscout.featurizers.errors import row_error
from matscout.featurizers.parts import CandidatePart
from matscout.featurizers.rows import InlineRunner, failed_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.parts import Part
    from matscout.featurizers.row_process import RowProcess
    from matscout.featurizers.rows import FeatureRow, RowRunner


@dataclass
class Answer:
    """What came of one part.

    Attributes
    ----------
    tables
        Features that were made for all rows at once, by the featurizer's place, shape (n, its features).
    table_errors
        What was wrong with the compositions of rows.
    rows
        What came of each row that was asked for, by the featurizer's place and the row.
    seconds
        Time for all rows at once, by the featurizer's place.
    """

    tables: dict[int, NDArray[Any]] = field(default_factory=dict)
    table_errors: dict[int, str] = field(default_factory=dict)
    rows: dict[int, dict[int, FeatureRow]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)


class Runners:
    """Runs rows in this process, or in a child where a time limit must hold; a context manager that ends the child.

    Parameters
    ----------
    time_limit
        Longest time for one row of one featurizer, s.
    apart
        Use a child for every row, so that not even a crash of the process takes anything along.
    """

    def __init__(self, time_limit: float | None, *, apart: bool = False) -> None:
        self.time_limit = time_limit
        self._apart = apart
        self._inline = InlineRunner()
        self._process: RowProcess | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; a further row would start another."""
        self._stack.close()
        self._process = None

    def run(self, featurizer: RowFeaturizer, row: Any) -> FeatureRow:
        """See `RowRunner`."""
        if not self._apart and self.time_limit is None and featurizer.time_limit is None:
            return self._inline.run(featurizer, row)
        if self._process is None:
            from matscout.featurizers.row_process import RowProcess

            self._process = self._stack.enter_context(RowProcess(self.time_limit))
        return self._process.run(featurizer, row)


def work_on(
    part: Part,
    featurizers: Sequence[Featurizer],
    wanted: Mapping[int, Sequence[int]],
    runner: RowRunner,
    dtype: type[np.floating[Any]],
) -> Answer:
    """Make the features of one part.

    Parameters
    ----------
    part
        n rows.
    featurizers
        Those of many rows at a time are made for all rows.
    wanted
        Rows for each of the others, by the featurizer's place; those that nobody knows yet.
    runner
        What runs those.
    dtype
        Of the numbers made for all rows at once.
    """
    answer = Answer()
    _fill_tables(part, featurizers, answer, dtype)
    crystals: dict[int, Any] = {}
    for place, rows in wanted.items():
        featurizer = featurizers[place]
        assert isinstance(featurizer, RowFeaturizer)
        answer.rows[place] = {row: _run(part, featurizer, row, runner, crystals) for row in rows}
    return answer


def _fill_tables(part: Part, featurizers: Sequence[Featurizer], answer: Answer, dtype: type[np.floating[Any]]) -> None:
    amounts: Amounts | None = None
    for place, featurizer in enumerate(featurizers):
        if isinstance(featurizer, RowFeaturizer):
            continue
        start = time.perf_counter()
        out = np.empty((len(part), len(featurizer)), dtype=dtype, order="F")
        if isinstance(featurizer, TableFeaturizer):
            if amounts is None:
                amounts, errors = part.amounts()
                answer.table_errors.update(errors)
            _fill(featurizer.fill, amounts.rows, out, answer)
            out[list(errors)] = np.nan
        else:
            assert isinstance(featurizer, CandidateFeaturizer)
            assert isinstance(part, CandidatePart)
            _fill(featurizer.fill, lambda rows: part.table.take(np.arange(len(part))[rows]), out, answer)
        answer.tables[place] = out
        answer.seconds[place] = time.perf_counter() - start


def _fill(fill: Callable[..., None], of: Callable[[slice], Any], out: NDArray[Any], answer: Answer) -> None:
    """Fill all rows at once, or, where that fails, one by one, so that the rows that fail are known."""
    try:
        fill(of(slice(None)), out)
    except Exception:  # noqa: BLE001  the rows that fail are found and reported next
        for row in range(len(out)):
            one = slice(row, row + 1)
            try:
                fill(of(one), out[one])
            except Exception as error:  # noqa: BLE001  whatever it is belongs to this row, and is reported with it
                out[one] = np.nan
                answer.table_errors.setdefault(row, row_error(error))


def _run(part: Part, featurizer: RowFeaturizer, row: int, runner: RowRunner, crystals: dict[int, Any]) -> FeatureRow:
    """Run one row; its crystal is made and checked once for all featurizers."""
    try:
        if featurizer.takes == "compositions":
            given: Any = part.composition(row)
        else:
            if row not in crystals:
                crystals[row] = _crystal(part, row)
            given = crystals[row]
    except Exception as error:  # noqa: BLE001  whatever it is belongs to this row, and is reported with it
        return failed_row(featurizer, error, lasting=False)
    if isinstance(given, UserError):
        return failed_row(featurizer, given, lasting=False)
    return runner.run(featurizer, given)


def _crystal(part: Part, row: int) -> Any:
    try:
        return part.crystal(row)
    except UserError as error:
        return error


_of_this_thread = threading.local()


def work_on_worker(
    part: Part,
    featurizers: Sequence[Featurizer],
    wanted: Mapping[int, Sequence[int]],
    time_limit: float | None,
    dtype: type[np.floating[Any]],
) -> Answer:
    """Make the features of one part on a worker of dask, which keeps its child process from part to part."""
    runner: Runners | None = getattr(_of_this_thread, "runner", None)
    if runner is None or runner.time_limit != time_limit:
        if runner is not None:
            runner.close()
        runner = _of_this_thread.runner = Runners(time_limit, apart=True)
    return work_on(part, featurizers, wanted, runner, dtype)
