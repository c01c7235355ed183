"""Training of neural networks, whatever they look at: AdamW, one cycle of the learning rate, averaged weights.

A network gives two numbers per row: of a regression the expected target and the logarithm of the scale of its error,
both in std of the targets; of a classification the logit of class 1, the second number being ignored. This module needs
torch, so it is imported when a network is trained or asked.
"""

from __future__ import annotations

import copy
import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from matscout.errors import UserError
from matscout.models.networks.outputs import LARGEST_LOG_SCALE, outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matscout.models.base import Task
    from matscout.models.networks.outputs import Rows

_LOG = logging.getLogger(__name__)

STEPS_PER_EPOCH = 8
"""Batches that a few rows are cut into, so that a network takes steps enough where they fill no batch."""

SMALLEST_BATCH = 16
"""Rows of the smallest batch that is made for that."""

_AVERAGED_PART = 0.03  # of all steps: what the average of the weights looks back on
_LOWEST_RATE = 1e-3  # of the learning rate, at the start and at the end


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    task
        ``regression`` or ``classification``.
    epochs
        Times that each row is seen.
    batch_size
        Rows of a batch; fewer where there are few rows (see `batch_size_for`).
    learning_rate
        The highest one; it rises over the first part of the training (`warm_up`) and falls by a cosine.
    weight_decay
        Of AdamW; on matrices only.
    patience
        Epochs without gain on the validation rows after which training ends.
    largest_gradient
        Norm to which a longer gradient is cut.
    warm_up
        Part of the steps in which the learning rate rises.
    """

    task: Task = "regression"
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    patience: int = 30
    largest_gradient: float = 1.0
    warm_up: float = 0.15


@dataclass(frozen=True)
class History:
    """How training went.

    Attributes
    ----------
    steps
        Steps that were taken.
    losses
        Mean loss of each epoch's batches.
    validation
        Of each epoch the mean absolute error on the validation rows in std of the targets, or the mean log loss of a
        classification; empty where no rows were set aside.
    best_epoch
        The one, from 0, whose averaged weights were kept.
    """

    steps: int
    losses: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


def chosen_device(name: str) -> torch.device:
    """Return the device that an option names: ``auto`` takes a GPU where there is one.

    Raises
    ------
    UserError
        There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise UserError(f"option device is {name}, but torch finds no GPU here: take cpu or auto")
    return torch.device(name)


@contextmanager
def reproducible(n_threads: int, seed: int | None = None, device: torch.device | None = None) -> Iterator[None]:
    """Compute with so many threads and, where a seed is given, torch's random numbers from it; restores both.

    The random numbers are those of the processor and, where the device is one, of the GPU. What needs no GPU must not
    wake it: that takes memory there, and fails in a process that was forked.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    gpus = [torch.cuda.current_device()] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus, enabled=seed is not None):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
                if gpus:
                    torch.cuda.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def batch_size_for(n: int, largest: int) -> int:
    """Rows of a batch where n are to be seen: `largest`, or what gives a step or some to an epoch of few rows.

    Examples
    --------
    >>> [batch_size_for(n, 512) for n in (20, 1000, 60_000)]
    [16, 125, 512]
    """
    return min(max(math.ceil(n / STEPS_PER_EPOCH), SMALLEST_BATCH), largest)


def laplace_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Negative logarithm of a Laplace distribution's density, but for a constant, each row weighted by its scale.

    So the mean learns from the absolute error, every row alike, whereas the plain density would have it attend to rows
    that are easy already; the scale still ends at the mean absolute error. The weight is the one that Seitzer et al.,
    ICLR (2022), arXiv:2203.09168 give a normal distribution (beta = 1). Absolute errors as in Roost: Goodall, Lee, Nat.
    Commun. 11, 6280 (2020), doi:10.1038/s41467-020-19964-7.

    Parameters
    ----------
    outputs
        Mean and logarithm of the scale, shape (n, 2).
    target
        Shape (n,).
    """
    log_scale = outputs[:, 1].clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
    scale = log_scale.exp()
    return (scale.detach() * ((outputs[:, 0] - target).abs() / scale + log_scale)).mean()


def loss_of(outputs: Tensor, target: Tensor, task: Task) -> Tensor:
    """Return what training minimises: `laplace_loss`, or the log loss of a classification."""
    if task == "classification":
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], target)
    return laplace_loss(outputs, target)


def train_network(
    network: nn.Module,
    rows: Rows,
    target: NDArray[np.float64],
    training: Training,
    *,
    aside: NDArray[np.bool_] | None,
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[nn.Module, History]:
    """Train a network.

    Parameters
    ----------
    network
        On the device; it is changed.
    rows
        What it looks at.
    target
        Shape (n,): standardised, or 0 and 1.
    training
        How.
    aside
        Mask of the validation rows, shape (n,), that early stopping judges by; None takes all steps.
    rng
        Order of the rows.

    Raises
    ------
    UserError
        Training diverged.

    Returns
    -------
    The network of averaged weights, ready to predict, of the epoch that was best on the validation rows, else of the
    last one; and how training went.
    """
    learnt_from = np.arange(len(target)) if aside is None else np.flatnonzero(~aside)
    size = batch_size_for(len(learnt_from), training.batch_size)
    per_epoch = math.ceil(len(learnt_from) / size)
    answers = torch.as_tensor(target, dtype=torch.float32, device=device)
    optimizer, schedule = _optimizer(network, training, training.epochs * per_epoch)
    average = _WeightAverage(network, training.epochs * per_epoch)
    stop = _EarlyStopping(rows, target, training, aside, device)
    losses = []
    for _ in range(training.epochs):
        network.train()
        summed = torch.zeros((), device=device)
        for part in np.array_split(rng.permutation(learnt_from), per_epoch):
            chosen = torch.as_tensor(part, device=device)
            loss = loss_of(network(rows.batch(part, device)), answers[chosen], training.task)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), training.largest_gradient)
            optimizer.step()
            schedule.step()
            average.update(network)
            summed += loss.detach()
        losses.append(float(summed) / per_epoch)
        # the last step of an epoch comes after its last loss
        if not (math.isfinite(losses[-1]) and average.is_finite()):
            raise UserError(f"training diverged in epoch {len(losses)}: lower the option learning_rate")
        ended = stop.after_epoch(average.network)
        judged = f", validation {stop.scores[-1]:.4f}" if stop.scores else ""
        _LOG.info("epoch %d of %d: loss %.4f%s", len(losses), training.epochs, losses[-1], judged)
        if ended:
            break
    best = stop.best(average.network)
    return best, History(average.steps, tuple(losses), tuple(stop.scores), stop.best_epoch(len(losses)))


def _optimizer(
    network: nn.Module, training: Training, n_steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    matrices = [one for one in network.parameters() if one.ndim > 1]
    vectors = [one for one in network.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": training.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )

    def share(step: int) -> float:
        done = step / n_steps
        if done < training.warm_up:
            return max(done / training.warm_up, _LOWEST_RATE)
        falling = (done - training.warm_up) / (1 - training.warm_up)
        return max(0.5 * (1 + math.cos(math.pi * falling)), _LOWEST_RATE)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


class _WeightAverage:
    """Exponential moving average of a network's weights, over a part of the training that grows to `_AVERAGED_PART`."""

    def __init__(self, network: nn.Module, n_steps: int) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self.steps = 0
        self._span = max(_AVERAGED_PART * n_steps, 1.0)

    def update(self, network: nn.Module) -> None:
        self.steps += 1
        weight = 1 / min(self._span, 1 + 0.2 * self.steps)
        averaged: list[Tensor] = list(self.network.parameters())
        now: list[Tensor] = [one.detach() for one in network.parameters()]
        torch._foreach_lerp_(averaged, now, weight)

    def is_finite(self) -> bool:
        return all(bool(one.isfinite().all()) for one in self.network.parameters())


class _EarlyStopping:
    """Judge averaged weights by the validation rows, and keep the best."""

    def __init__(
        self,
        rows: Rows,
        target: NDArray[np.float64],
        training: Training,
        aside: NDArray[np.bool_] | None,
        device: torch.device,
    ) -> None:
        self._rows, self._training, self._device = rows, training, device
        self._judged = None if aside is None else np.flatnonzero(aside)
        self._target = target
        self._best: dict[str, Tensor] = {}
        self.scores: list[float] = []

    def after_epoch(self, network: nn.Module) -> bool:
        """Judge a network; True if training should end."""
        if self._judged is None:
            return False
        found = outputs_of(network, self._rows, self._device, self._judged)
        self.scores.append(_score(found, self._target[self._judged], self._training.task))
        best = int(np.argmin(self.scores))
        if best == len(self.scores) - 1:
            self._best = {name: one.clone() for name, one in network.state_dict().items()}
        return len(self.scores) - 1 - best >= self._training.patience

    def best(self, network: nn.Module) -> nn.Module:
        """Put the best weights into a network; without validation rows they are its own."""
        if self._best:
            network.load_state_dict(self._best)
        return network

    def best_epoch(self, n_epochs: int) -> int:
        return int(np.argmin(self.scores)) if self.scores else n_epochs - 1


def _score(outputs: NDArray[np.float32], target: NDArray[np.float64], task: Task) -> float:
    first = outputs[:, 0].astype(np.float64)
    if task == "classification":
        return float(np.logaddexp(0.0, np.where(target == 1, -first, first)).mean())
    return float(np.abs(first - target).mean())
