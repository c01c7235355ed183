"""One row, one featurizer, one answer: numbers or an error, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.errors import row_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.featurizers.base import RowFeaturizer


@dataclass(frozen=True, eq=False)
class FeatureRow:
    """What came of one row.

    Attributes
    ----------
    values
        Features, shape (n_features,); NaN throughout where there is an error.
    error
        What was wrong, in one line.
    seconds
        How long it took.
    lasting
        Whether another try would give the same: not so of a time limit, a process that was killed, memory or files.
    """

    values: NDArray[np.float64]
    error: str | None = None
    seconds: float = 0.0
    lasting: bool = True


class RowRunner(Protocol):
    """Something that featurizes one row after the other."""

    def run(self, featurizer: RowFeaturizer, row: Any) -> FeatureRow:
        """Featurize one `Crystal` or `Composition`, as `featurizer.takes` says; never raises for a row's sake."""


def failed_row(
    featurizer: RowFeaturizer, error: BaseException | str, seconds: float = 0.0, *, lasting: bool = True
) -> FeatureRow:
    """Answer for a row that has no features; what the machine did not have, another try may find."""
    if isinstance(error, BaseException):
        lasting = lasting and not isinstance(error, (ImportError, KeyboardInterrupt, MemoryError, OSError, Warning))
        error = row_error(error)
    return FeatureRow(np.full(len(featurizer), np.nan), error, seconds, lasting)


def run_row(featurizer: RowFeaturizer, row: Any) -> FeatureRow:
    """Featurize one row in this process, and take the time."""
    start = time.perf_counter()
    try:
        values = np.array(featurizer.featurize(row), dtype=float)  # a copy: it may use its own array again
    except Exception as error:  # noqa: BLE001  whatever it is belongs to this row, and is reported with it
        return failed_row(featurizer, error, time.perf_counter() - start)
    if values.shape != (len(featurizer),):
        message = f"{featurizer.name} gave the shape {values.shape} for {len(featurizer)} features"
        return failed_row(featurizer, message, time.perf_counter() - start)
    return FeatureRow(values, None, time.perf_counter() - start)


class InlineRunner:
    """Runs rows in this process: nothing between, and nothing to stop a row that does not end."""

    def __init__(self) -> None:
        self._prepared: dict[int, RowFeaturizer] = {}

    def prepare(self, featurizer: RowFeaturizer) -> None:
        """Load once what the first row would else wait for.

        Raises
        ------
        UserError
            The featurizer cannot work here.
        """
        if id(featurizer) not in self._prepared:
            try:
                featurizer.prepare()
            except UserError:  # something is missing on this machine: no row is to blame
                raise
            except Exception as error:
                raise UserError(f"{featurizer.name} cannot be used here: {row_error(error)}") from error
            self._prepared[id(featurizer)] = featurizer

    def run(self, featurizer: RowFeaturizer, row: Any) -> FeatureRow:
        """See `RowRunner`."""
        self.prepare(featurizer)
        return run_row(featurizer, row)
