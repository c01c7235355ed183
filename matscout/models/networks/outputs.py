"""What networks say of rows, asked for as many at a time as memory holds. Needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from scipy.special import expit

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import nn

    from matscout.models.base import Task

PREDICTED_AT_ONCE = 2048
"""Most rows that a network is asked for at a time."""

LARGEST_BATCH = 131_072
"""Vectors that the rows asked for at a time have together (`Rows.sizes`), so that large crystals fit into memory."""

LARGEST_LOG_SCALE = 8.0
"""Of an error's scale in std of the targets: keeps its exponential finite."""


class Rows(Protocol):
    """What a network looks at, in a form that batches are made of."""

    def __len__(self) -> int: ...

    @property
    def sizes(self) -> NDArray[np.intp]:
        """How many vectors a layer makes of each row at most, shape (n,): that is what fills the memory."""

    def batch(self, rows: NDArray[np.intp], device: torch.device) -> Any:
        """Put some rows, in this order, into what the network takes."""


def outputs_of(
    network: nn.Module, rows: Rows, device: torch.device, chosen: NDArray[np.intp] | None = None
) -> NDArray[np.float32]:
    """Ask a network for rows, as many at a time as memory holds.

    Parameters
    ----------
    network
        On the device, with its averaged weights.
    chosen
        Numbers of the rows; None takes all.

    Raises
    ------
    UserError
        An output is not finite.

    Returns
    -------
    Shape (n, 2).
    """
    numbers = np.arange(len(rows)) if chosen is None else chosen
    network.eval()
    found = np.empty((len(numbers), 2), dtype=np.float32)
    with torch.inference_mode():
        for part in _parts(rows.sizes[numbers]):
            found[part] = network(rows.batch(numbers[part], device)).cpu().numpy()
    if overflown := int((~np.isfinite(found).all(axis=1)).sum()):
        raise UserError(
            f"the network gives no finite number for {overflown} of {len(found)} rows: its training diverged, "
            "train it with a lower option learning_rate"
        )
    return found


def _parts(sizes: NDArray[np.intp]) -> Iterator[slice]:
    """Cut rows into parts of at most `PREDICTED_AT_ONCE` rows and `LARGEST_BATCH` vectors, but of one row at least."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = ends[start] - sizes[start]
        fitting = int(np.searchsorted(ends, before + LARGEST_BATCH, side="right"))
        stop = min(max(fitting, start + 1), start + PREDICTED_AT_ONCE)
        yield slice(start, stop)
        start = stop


def mean_and_variance(
    outputs: NDArray[np.float32], task: Task, centre: float, spread: float
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Read a network's outputs, in the unit of the target.

    Parameters
    ----------
    outputs
        Shape (n, 2).
    centre, spread
        Mean and std of the targets that it was trained on.

    Returns
    -------
    Mean and variance of the targets about it, shape (n,) each; of a classification the probability, and None.
    """
    first, second = outputs.astype(np.float64).T
    if task == "classification":
        return expit(first), None
    scale = spread * np.exp(second.clip(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE))
    return centre + spread * first, 2 * scale**2  # a Laplace distribution's variance is twice its scale squared
