"""Undecided candidates of many chemical systems judged together, sample by sample.

Energies are counted from the known hull, so a candidate below 0 in a sample takes part in that sample's hull, in its
own chemical system and in every larger one. Only where another candidate lies below 0 is there a new hull to find, by
`sampled_hulls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.probability import probability_below
from matscout.workflows.stability.sampled_hulls import Task, lower
from matscout.workflows.stability.undecided import competing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.programs import Floats, Phases
    from matscout.workflows.stability.undecided import Candidates, Draws

# Samples that an estimate averages over, however improbable the candidate: without and with a shared error, which makes
# what they give uneven, so that fewer would not tell the standard error.
_FEWEST_HULLS = 32, 100
_ROWS_AT_ONCE = 2_000  # candidates of one chemical system whose samples are held together
_PROGRAMS_AT_ONCE = 50_000  # linear programs collected over chemical systems before they are solved
_NUMBERS_AT_ONCE = 2_000_000  # sampled energies held while they are collected, 16 MB


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the samples say of some candidates.

    Attributes
    ----------
    rows
        Positions in the caller's order, shape (c,).
    probability, standard_error
        P(stable, final), and the error that the number of samples leaves, shape (c,).
    lowest
        Probability of being stable and the lowest candidate of its composition, shape (c,).
    n_stable, n_compositions
        Stable candidates, and compositions with any, in each sample, shape (n_samples,).
    """

    rows: NDArray[np.intp]
    probability: Floats
    standard_error: Floats
    lowest: Floats
    n_stable: NDArray[np.intp]
    n_compositions: NDArray[np.intp]


def outcomes(
    groups: Mapping[System, Candidates], known: Callable[[System], Phases], draws: Draws, threshold: float
) -> Iterator[Outcome]:
    """Sample all candidates and judge each, one batch of chemical systems after the other.

    Parameters
    ----------
    groups
        The candidates of each chemical system.
    known
        Gives the stable known phases of a chemical system.
    draws
        The random numbers.
    threshold
        Distance above the hull that still counts as stable, eV/atom.
    """
    for batch in _batches(tasks(groups, draws, threshold)):
        lower(batch, known)
        yield from (judge(task, draws, threshold) for task in batch)


def tasks(groups: Mapping[System, Candidates], draws: Draws, threshold: float) -> Iterator[Task]:
    """Sample the candidates of each chemical system, and find the samples in which others may get in their way."""
    most = max(1, min(_ROWS_AT_ONCE, _NUMBERS_AT_ONCE // draws.n_samples))
    for system in sorted(groups):
        candidates, others = groups[system], competing(groups, system, draws)
        shared = draws.shared(system) if draws.correlation else np.zeros((1, draws.n_samples))
        for part in candidates.parts(most):
            distances = draws.distances(candidates, part)
            own = (distances < 0) & (others.place[part] >= 0)[:, None]
            hindered = others.n_below > own
            chosen, again = _chosen(distances, threshold, candidates.std[part], draws)
            offsets = draws.shared_if_stable(candidates, part, again, threshold) if again.any() else shared
            needed = chosen & (hindered | again)
            yield Task(
                candidates, part, others, distances, shared, offsets, chosen, again, needed, np.zeros_like(distances)
            )


def judge(task: Task, draws: Draws, threshold: float) -> Outcome:
    """Average over the samples what each candidate's own error then decides.

    Given the errors of all others, a candidate is stable with a probability known in closed form: that its own error
    takes it below their hull. That has less noise than a count, and none where there are no others. The samples are of
    what the others do where the candidate is stable without them, so the mean of that probability over the one without
    others is multiplied with P(stable, now).
    """
    part, candidates = task.part, task.candidates
    now, std, composition = candidates.now[part], candidates.std[part][:, None], candidates.composition[part]
    own = std * np.sqrt(1 - draws.correlation)
    centre = candidates.mean[part][:, None] + std * np.sqrt(draws.correlation) * task.offsets
    # Where nothing is left to chance, rounding must not decide.
    open_hull = threshold + np.where(own == 0, SAME_ENERGY, 0.0)
    limit = task.lowered + open_hull
    alone = probability_below(open_hull - centre, own)
    share, error = _mean(probability_below(limit - centre, own), alone, task.chosen)
    limit_of_lowest = np.minimum(limit, _lowest_other(task, composition, draws))
    share_lowest, _ = _mean(probability_below(limit_of_lowest - centre, own), alone, task.chosen)
    error = np.hypot(error, _unseen(task))
    twins = candidates.twins(part)
    stable = task.distances <= limit
    starts = np.flatnonzero(candidates.crystal[part] == 0)
    return Outcome(
        candidates.rows[part],
        now * _averaged(share, twins),
        now * _averaged(error, twins),
        now * share_lowest,
        stable.sum(axis=0),
        np.logical_or.reduceat(stable, starts, axis=0).sum(axis=0),
    )


def _batches(every: Iterable[Task]) -> Iterator[list[Task]]:
    """Tasks of many chemical systems, as many as memory should hold at once."""
    batch: list[Task] = []
    programs = numbers = 0
    for task in every:
        batch.append(task)
        programs += int(np.count_nonzero(task.needed))
        numbers += task.distances.size + task.competing.distances.size
        if programs > _PROGRAMS_AT_ONCE or numbers > _NUMBERS_AT_ONCE:
            yield batch
            batch, programs, numbers = [], 0, 0
    if batch:
        yield batch


def _chosen(
    distances: Floats, threshold: float, std: Floats, draws: Draws
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose the samples to average over, and which of them need another shared error, shape (c, n_samples) each.

    They are those in which the candidate is stable without others, whose hulls are wanted for the count in any case.
    Where these are few, its own next lowest samples join them: its own error says nothing of the errors of others. But
    what it shares with them does, and has to be drawn anew.
    """
    stable = distances <= threshold + np.where(std == 0, SAME_ENERGY, 0.0)[:, None]
    fewest = min(_FEWEST_HULLS[draws.correlation > 0], draws.n_samples)
    few = np.flatnonzero(np.count_nonzero(stable, axis=1) < fewest)
    chosen = stable.copy()
    if len(few):
        last = np.partition(distances[few], fewest - 1, axis=1)[:, fewest - 1, None]
        chosen[few] |= distances[few] <= last
    again = chosen & ~stable & (std > 0)[:, None] if draws.correlation else np.zeros_like(chosen)
    return chosen, again


def _lowest_other(task: Task, composition: NDArray[np.intp], draws: Draws) -> Floats:
    """Lowest sampled distance among the other crystals of a candidate's composition; infinite where it is alone.

    Of two that agree the first is the lower, so that they never count twice.
    """
    result = np.full_like(task.distances, np.inf)
    starts = np.flatnonzero(np.diff(composition, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(composition)], strict=True):
        if end - start > 1:
            crystals = task.distances[start:end]
            two = np.partition(crystals, 1, axis=0)[:2]
            is_lowest = np.arange(end - start)[:, None] == crystals.argmin(axis=0)
            result[start:end] = np.where(is_lowest, two[1], np.nextafter(two[0], -np.inf))
            for row in (start + np.flatnonzero(task.again[start:end].any(axis=1))).tolist():
                result[row, task.again[row]] = _lowest_drawn_anew(task, row, slice(start, end), draws)
    return result


def _lowest_drawn_anew(task: Task, row: int, crystals: slice, draws: Draws) -> Floats:
    """Find the same for one candidate, in the samples in which its shared error was drawn anew."""
    samples = task.again[row]
    change = task.offsets[row, samples] - task.shared[0, samples]
    shared_std = task.candidates.std[task.part][crystals, None] * np.sqrt(draws.correlation)
    others = task.distances[crystals][:, samples] + shared_std * change
    # Rounding must not decide between two that share their whole error.
    tie = SAME_ENERGY if draws.correlation == 1 else 0.0
    others += np.where(np.arange(crystals.start, crystals.stop) < row, -tie, tie)[:, None]
    others[row - crystals.start] = np.inf
    return np.asarray(others.min(axis=0))


def _mean(value: Floats, larger: Floats, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean of a value over a larger one, over chosen samples, and its standard error; 1 where both are 0."""
    n_chosen = chosen.sum(axis=1)
    ratio = np.divide(value, larger, out=np.ones(chosen.shape), where=chosen & (larger > 0))
    mean = np.where(chosen, ratio, 0.0).sum(axis=1) / n_chosen
    variance = np.where(chosen, ratio - mean[:, None], 0.0) ** 2
    return mean, np.sqrt(variance.sum(axis=1) / (n_chosen - 1) / n_chosen)


def _unseen(task: Task) -> Floats:
    """Give the standard error of a share for what as many samples may have missed, shape (c,).

    Samples that agree do not prove that all would: of m that are all alike, one more may differ by Laplace's rule of
    succession with a probability of 1/(m + 2). But others cannot interfere more than they lie below the known hull.
    """
    part, others = task.part, task.competing
    own, n_others = others.own_interference(part)
    together = others.shared_std > 0
    apart, sharing = others.interference[~together].sum(), others.interference[together].sum()
    # Given that the candidate is stable, one that shares its error is below at most so much more often.
    given = np.maximum(task.candidates.now[part], np.finfo(float).tiny)
    most = apart + (sharing - own) / given if together.any() else apart - own
    most = np.where(n_others > 0, np.clip(most, 0.0, 1.0), 0.0)
    return np.asarray(np.minimum(most, 1 / (task.chosen.sum(axis=1) + 2)))


def _averaged(values: Floats, twins: NDArray[np.intp]) -> Floats:
    """Give candidates that cannot be told apart the mean of what the samples say of them."""
    return np.asarray((np.bincount(twins, values) / np.bincount(twins))[twins])
