"""Predictions of rows that a surrogate had not seen: what its uncertainty is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.models.prediction import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.models.base import Surrogate
    from matscout.models.inputs import Inputs

MANY_ROWS = 20_000
"""Above that one part is held out instead of each in turn: it has errors enough, and costs one more fit, not five."""

LEAST_HELD_OUT = 100
"""Fewest rows of a part that alone is held out."""

LARGEST_GROUP = 0.5
"""Share of the rows above which a group is parted: without it, a model would have learnt from few rows only."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows with the prediction of a model that was trained without them.

    Attributes
    ----------
    rows
        Which rows, ascending, shape (m,).
    mean, std
        As the surrogate sees them, shape (m,).
    epistemic
        Part of std that more data would lessen, shape (m,); 0 where the surrogate does not tell.
    fold_of_row
        Part of each of the rows for an honest estimate of what is fitted to them, shape (m,): groups stay together.
    n_fits
        How many parts were held out, each from a fit of its own.
    grouped
        Whether rows of one group, of every one, were held out together.
    smallest_training_share
        Share of all rows that the model learnt from which learnt from the fewest.
    """

    rows: NDArray[np.intp]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    epistemic: NDArray[np.float64]
    fold_of_row: NDArray[np.intp]
    n_fits: int
    grouped: bool
    smallest_training_share: float


def hold_out(
    surrogate: Surrogate, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None, folds: int
) -> HeldOut:
    """Predict rows by copies of a surrogate that were trained without them.

    Each part of a cross-validation is held out in turn; or only one part, where the surrogate's training is dear (its
    `held_out_part`) or the rows are more than `MANY_ROWS`. Groups are held out as a whole, save for one with more than
    half of the rows (`LARGEST_GROUP`), whose rows are dealt at random. Where one part alone is held out and the groups
    leave none of a fit size with `LEAST_HELD_OUT` rows, random rows are held out instead.

    Parameters
    ----------
    surrogate
        It is left as it is.
    inputs, y, groups
        As `Surrogate.fit` takes them, checked.
    folds
        Parts of the cross-validation.
    """
    n, seed = len(y), surrogate.seed
    share = _share(surrogate, n, folds)
    if share is None:
        fold_of_row, grouped = _dealt(n, folds, groups, seed)
        parts = [fold_of_row == fold for fold in range(int(fold_of_row.max()) + 1)]
        rows, inner = np.arange(n), fold_of_row
    else:
        part, grouped = _one_part(n, share, groups, seed)
        parts, rows = [part], np.flatnonzero(part)
        inner, _ = _dealt(len(rows), folds, None if groups is None else groups[rows], seed)
    mean, std, epistemic = np.empty(n), np.empty(n), np.zeros(n)
    for held in parts:
        prediction = _trained_without(held, surrogate, inputs, y, groups)
        mean[held], std[held] = prediction.mean, prediction.std
        if prediction.epistemic is not None:
            epistemic[held] = prediction.epistemic
    least = 1 - max(int(held.sum()) for held in parts) / n
    return HeldOut(rows, mean[rows], std[rows], epistemic[rows], inner, len(parts), grouped, least)


def _share(surrogate: Surrogate, n: int, folds: int) -> float | None:
    """Share of the rows that alone is held out; None where each part is in turn."""
    share = surrogate.held_out_part
    if share is not None and share * n >= LEAST_HELD_OUT:
        return share
    return max(1 / folds, LEAST_HELD_OUT / n) if n > MANY_ROWS else None


def _one_part(n: int, share: float, groups: NDArray[np.intp] | None, seed: int) -> tuple[NDArray[np.bool_], bool]:
    """Mask of about a share of the rows, and whether groups were kept together."""
    fold_of_row, grouped = _dealt(n, max(round(1 / share), 2), groups, seed)
    sizes = np.bincount(fold_of_row)
    best = int(np.abs(sizes - share * n).argmin())
    if sizes[best] >= LEAST_HELD_OUT:
        return fold_of_row == best, grouped
    part = np.zeros(n, dtype=bool)
    part[np.random.default_rng(seed).permutation(n)[: max(round(share * n), LEAST_HELD_OUT)]] = True
    return part, False


def _dealt(n: int, folds: int, groups: NDArray[np.intp] | None, seed: int) -> tuple[NDArray[np.intp], bool]:
    """Deal rows into parts, groups as a whole save for one that is too large, as `assign_folds` does."""
    if groups is None:
        return assign_folds(n, folds, seed=seed)
    numbers = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(numbers)
    largest = int(sizes.argmax())
    if sizes[largest] <= LARGEST_GROUP * n:
        return assign_folds(n, folds, groups, seed=seed)
    if len(sizes) == 1:
        return assign_folds(n, folds, seed=seed)
    alone = numbers == largest
    numbers[alone] = len(sizes) + np.arange(int(alone.sum()))  # each of its rows is a group of its own
    return assign_folds(n, folds, numbers, seed=seed)[0], False


def _trained_without(
    held: NDArray[np.bool_],
    surrogate: Surrogate,
    inputs: Inputs,
    y: NDArray[np.float64],
    groups: NDArray[np.intp] | None,
) -> Prediction:
    target = y[~held]
    if (target == target[0]).all():  # a surrogate would refuse it, but the rows as a whole are good
        n = int(held.sum())
        return Prediction(np.full(n, target[0]), np.zeros(n))
    model = surrogate.unfitted().fit(inputs.take(~held), target, None if groups is None else groups[~held])
    return model.predict(inputs.take(held))


def assign_folds(n: int, folds: int, groups: NDArray[Any] | None = None, *, seed: int) -> tuple[NDArray[np.intp], bool]:
    """Part to which each row belongs, and whether groups were kept together.

    Parameters
    ----------
    n
        Number of rows.
    folds
        Number of parts wanted; there are fewer where there are fewer rows or groups.
    groups
        Label of each row, shape (n,). The largest groups are dealt first, each to the smallest part so far.
    seed
        Order in which rows, or groups of equal size, are dealt.

    Returns
    -------
    Shape (n,), parts numbered from 0, none of them empty.
    """
    rng = np.random.default_rng(seed)
    if groups is not None:
        _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if len(sizes) > 1:
            order = rng.permutation(len(sizes))
            order = order[np.argsort(-sizes[order], kind="stable")]
            filled = np.zeros(min(folds, len(sizes)), dtype=np.intp)
            fold_of_group = np.empty(len(sizes), dtype=np.intp)
            for group in order.tolist():
                fold_of_group[group] = filled.argmin()
                filled[fold_of_group[group]] += sizes[group]
            return fold_of_group[group_of_row], True
    fold_of_row = np.empty(n, dtype=np.intp)
    fold_of_row[rng.permutation(n)] = np.arange(n) % min(folds, n)
    return fold_of_row, False
