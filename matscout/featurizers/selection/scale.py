"""A matrix with standardised columns that is never copied as a whole."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

CHUNK_NUMBERS = 100_000
"""Numbers worked on at a time: they stay in the processor's cache."""


def as_matrix(X: ArrayLike) -> NDArray[np.floating]:
    """Return X as floating-point numbers, as it is where it is such.

    Raises
    ------
    ValueError
        It has not two dimensions.
    """
    matrix = np.asarray(X)
    if not np.issubdtype(matrix.dtype, np.floating):
        matrix = matrix.astype(float)
    if matrix.ndim != 2:
        raise ValueError(f"expected X of shape (n_rows, n_features), got {matrix.shape}")
    return matrix


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: products are then the same to the last bit whatever the number of cores.

    It costs little, as the chunks are small and reading the matrix takes much of the time.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def refuse_infinite(infinite: NDArray[np.bool_], names: Sequence[str] | None = None) -> None:
    """Raise a `UserError` that names the first infinite column, where there is one."""
    if infinite.any():
        column = int(infinite.argmax())
        raise UserError(f"X is infinite in column {names[column] if names else column}: make that NaN, or leave it out")


def chunks(matrix: NDArray[np.floating], numbers: int | None = None) -> Iterator[slice]:
    """Rows of a matrix, about so many numbers at a time; `CHUNK_NUMBERS` if left out."""
    size = max(1, (CHUNK_NUMBERS if numbers is None else numbers) // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), size):
        yield slice(start, min(start + size, len(matrix)))


class Scale:
    """Mean and spread of each column.

    Parameters
    ----------
    matrix
        Shape (n_rows, n_features); NaN where unknown.
    names
        Names of the columns, for errors; their numbers if left out.

    Attributes
    ----------
    count
        Rows in which each column is known.
    mean
        Of these rows; 0 where there is none.
    weight
        One over the standard deviation; 0 for a column that is constant but for rounding.
    has_gaps
        Whether any number is unknown.

    Raises
    ------
    UserError
        A column is infinite somewhere.
    """

    def __init__(self, matrix: NDArray[np.floating], names: Sequence[str] | None = None) -> None:
        self.matrix = matrix
        self.count, total = np.zeros(matrix.shape[1]), np.zeros(matrix.shape[1])
        for rows in chunks(matrix):
            part = matrix[rows]
            known = ~np.isnan(part)
            self.count += known.sum(axis=0)
            total += np.where(known, part, 0.0).sum(axis=0, dtype=float)  # of 32-bit numbers, too
        refuse_infinite(~np.isfinite(total), names)
        self.mean = total / np.maximum(self.count, 1)
        self.has_gaps = bool((self.count < len(matrix)).any())
        squares = np.zeros(matrix.shape[1])
        for rows in chunks(matrix):
            squares += np.nansum((matrix[rows] - self.mean) ** 2, axis=0, dtype=float)
        std = np.sqrt(squares / np.maximum(self.count, 1))
        # a constant such as 0.1 leaves a std of rounding errors
        varies = std > 1e-9 * np.maximum(np.abs(self.mean), 1e-300)
        self.weight = np.divide(1.0, std, out=np.zeros_like(std), where=varies)

    def standardised(self, rows: slice | int, columns: slice | int = slice(None)) -> NDArray[np.float64]:
        """Return a part with means of 0 and standard deviations of 1; 0 where unknown."""
        part = (self.matrix[rows, columns] - self.mean[columns]) * self.weight[columns]
        return np.nan_to_num(part, copy=False, nan=0.0) if self.has_gaps else part

    def times(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standardised matrix times vectors of shape (n_features, k): shape (n_rows, k)."""
        found = np.empty((len(self.matrix), vectors.shape[1]))
        for rows, part in self._parts():
            np.matmul(part, vectors, out=found[rows])
        return found

    def transposed_times(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the transposed standardised matrix times vectors of shape (n_rows, k): shape (n_features, k)."""
        found = np.zeros((self.matrix.shape[1], vectors.shape[1]))
        for rows, part in self._parts():
            found += part.T @ vectors[rows]
        return found

    @cached_property
    def gram(self) -> NDArray[np.float64]:
        """Products of the standardised columns, shape (n_features, n_features)."""
        found = np.zeros((self.matrix.shape[1],) * 2)
        for _, part in self._parts():
            found += part.T @ part
        return found

    @cached_property
    def outer(self) -> NDArray[np.float64]:
        """Products of the standardised rows, shape (n_rows, n_rows)."""
        found = np.zeros((len(self.matrix),) * 2)
        size = max(1, CHUNK_NUMBERS // max(1, len(self.matrix)))
        for start in range(0, self.matrix.shape[1], size):
            part = self.standardised(slice(None), slice(start, start + size))
            found += part @ part.T
        return found

    def _parts(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Standardised rows, chunk by chunk in the same memory."""
        buffer: NDArray[np.float64] | None = None
        for rows in chunks(self.matrix):
            raw = self.matrix[rows]
            buffer = np.empty(raw.shape) if buffer is None else buffer
            part = np.subtract(raw, self.mean, out=buffer[: len(raw)])
            part *= self.weight
            if self.has_gaps:
                np.copyto(part, 0.0, where=np.isnan(part))
            yield rows, part
