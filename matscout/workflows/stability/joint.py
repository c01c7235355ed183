"""Undecided candidates of many chemical systems judged together, sample by sample.

Energies are counted from the known hull, so a candidate below 0 in a sample takes part in that sample's hull, in its
own chemical system and in every larger one. Only where another candidate lies below 0 is there a new hull to find; its
height at a candidate's composition is a small linear program over the known stable phases and the candidates below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.probability import probability_stable_now
from matscout.workflows.stability.programs import Phases, PhaseSets, solve
from matscout.workflows.stability.undecided import competing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.programs import Floats
    from matscout.workflows.stability.undecided import Candidates, Competing, Draws

_FEWEST_HULLS = 32  # samples that an estimate averages over, however improbable the candidate
_ROWS_AT_ONCE = 2_000  # candidates of one chemical system whose samples are held together
_PROGRAMS_AT_ONCE = 50_000  # linear programs collected over chemical systems before they are solved
_NUMBERS_AT_ONCE = 4_000_000  # sampled energies held while they are collected, 32 MB


@dataclass(frozen=True, eq=False)
class Task:
    """Some candidates of a chemical system, with what their hulls are made of.

    Attributes
    ----------
    candidates, part
        The candidates of the system, and which of them.
    competing
        Candidates that shape the hulls.
    distances
        Sampled distances to the known hull, eV/atom, shape (c, n_samples).
    chosen
        Samples that the probability is averaged over, shape (c, n_samples).
    needed
        Samples in which the hull without the candidate itself may differ from the known one and its height is wanted,
        shape (c, n_samples).
    lowered
        That height relative to the known hull, eV/atom, at most 0; filled in by `lower`, shape (c, n_samples).
    """

    candidates: Candidates
    part: slice
    competing: Competing
    distances: Floats
    chosen: NDArray[np.bool_]
    needed: NDArray[np.bool_]
    lowered: Floats


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
    for system in sorted(groups):
        candidates, others = groups[system], competing(groups, system, draws)
        below = np.append(others.below, np.zeros((1, draws.n_samples), dtype=bool), axis=0)  # row -1: never below
        for part in candidates.parts(_ROWS_AT_ONCE):
            distances = draws.distances(candidates, part)
            hindered = below.sum(axis=0) > below[others.place[part]]
            chosen = _chosen(distances, candidates.now[part], draws)
            needed = (chosen | (distances <= threshold)) & hindered
            yield Task(candidates, part, others, distances, chosen, needed, np.zeros_like(distances))


def lower(batch: Sequence[Task], known: Callable[[System], Phases]) -> None:
    """Fill in the heights that tasks need; programs with one number of elements are solved together."""
    by_size: dict[int, list[Task]] = {}
    for task in batch:
        if task.needed.any():
            by_size.setdefault(len(task.candidates.system), []).append(task)
    for size in sorted(by_size):
        hulls: list[PhaseSets] = []
        which, at, without = [], [], []
        n_hulls = 0
        for task in by_size[size]:
            samples, rows = np.nonzero(task.needed.T)
            different, place = np.unique(samples, return_inverse=True)
            its_hulls, own = _hulls(known(task.candidates.system), task, different, place, rows)
            which.append(place + n_hulls)
            at.append(task.candidates.fractions[task.part][rows])
            without.append(own)
            hulls.append(its_hulls)
            n_hulls += len(different)
        sets = PhaseSets.join(hulls)
        energy = solve(sets, np.concatenate(which), np.concatenate(at), np.concatenate(without)).energy
        ends = np.cumsum([len(place) for place in which])[:-1]
        for task, heights in zip(by_size[size], np.split(energy, ends), strict=True):
            samples, rows = np.nonzero(task.needed.T)
            change = heights - task.candidates.hull[task.part][rows]
            task.lowered[rows, samples] = np.where(change < -SAME_ENERGY, change, 0.0)


def judge(task: Task, draws: Draws, threshold: float) -> Outcome:
    """Average over the samples what each candidate's own error then decides.

    Given the errors of all others, a candidate is stable with a probability known in closed form: that its own error
    takes it below their hull. That has less noise than a count, and none where there are no others. It is divided by
    what the same samples give without others, and multiplied with P(stable, now).
    """
    part, candidates = task.part, task.candidates
    now, std, composition = candidates.now[part], candidates.std[part][:, None], candidates.composition[part]
    own, centre = std * np.sqrt(1 - draws.correlation), candidates.mean[part][:, None]
    if draws.correlation:
        centre = centre + std * np.sqrt(draws.correlation) * draws.shared(candidates.system)
    # Where nothing is left to chance, rounding must not decide.
    open_hull = threshold + np.where(own == 0, SAME_ENERGY, 0.0)
    limit = task.lowered + open_hull
    alone = probability_stable_now(centre, own, open_hull)
    beside = probability_stable_now(centre, own, limit)
    as_lowest = probability_stable_now(centre, own, np.minimum(limit, _lowest_other(task.distances, composition)))
    share, error = _ratio(beside, alone, task.chosen)
    share_lowest, _ = _ratio(as_lowest, alone, task.chosen)
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


def _chosen(distances: Floats, now: Floats, draws: Draws) -> NDArray[np.bool_]:
    """Choose the samples to average over: the candidate's own lowest, about as many as are stable now.

    A candidate's own error says nothing of the errors of others, so these samples serve as well as any; and their hulls
    are wanted for the count of stable candidates in any case. With a shared error that is not so, and all are taken.
    """
    if draws.correlation:
        return np.ones(distances.shape, dtype=bool)
    size = np.maximum(np.ceil(now * draws.n_samples), _FEWEST_HULLS).astype(np.intp)
    last = np.minimum(size, draws.n_samples)[:, None] - 1
    return np.asarray(distances <= np.take_along_axis(np.sort(distances, axis=1), last, axis=1))


def _hulls(
    known: Phases, task: Task, samples: NDArray[np.intp], place: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[PhaseSets, NDArray[np.intp]]:
    """Phases that make the hull of each sample, and which of them is the candidate itself, or -1.

    Parameters
    ----------
    samples
        Numbers of the samples, each once, shape (m,).
    place, rows
        For each height that is wanted its sample, as a place in `samples`, and its candidate, shape (q,).
    """
    others, n_known = task.competing, len(known.energies)
    present = np.concatenate([np.ones((n_known, len(samples)), dtype=bool), others.below[:, samples]])
    above_known = others.hull[:, None] + others.distances[:, samples]
    energies = np.concatenate([np.tile(known.energies[:, None], len(samples)), above_known])
    sample, phase = np.nonzero(present.T)
    fractions = np.concatenate([known.fractions, others.fractions])[phase]
    sizes = present.sum(axis=0)
    hulls = PhaseSets(fractions, energies[phase, sample], np.cumsum(sizes) - sizes, sizes)
    own = task.competing.place[task.part][rows]
    own = np.where(own >= 0, own + n_known, 0)  # row 0 is an element and stands for none
    rank = np.cumsum(present, axis=0)[own, place] - 1
    return hulls, np.where((own > 0) & present[own, place], rank, -1)


def _lowest_other(distances: Floats, composition: NDArray[np.intp]) -> Floats:
    """Lowest sampled distance among the other crystals of a candidate's composition; infinite where it is alone.

    Of two that agree the first is the lower, so that they never count twice.
    """
    result = np.full_like(distances, np.inf)
    starts = np.flatnonzero(np.diff(composition, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(composition)], strict=True):
        if end - start > 1:
            crystals = distances[start:end]
            two = np.partition(crystals, 1, axis=0)[:2]
            is_lowest = np.arange(end - start)[:, None] == crystals.argmin(axis=0)
            result[start:end] = np.where(is_lowest, two[1], np.nextafter(two[0], -np.inf))
    return result


def _ratio(value: Floats, larger: Floats, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean of a value over that of a larger one, over chosen samples, and its standard error; 1 where both are 0."""
    n_chosen = chosen.sum(axis=1)
    total = np.where(chosen, larger, 0.0).sum(axis=1)
    nothing = total == 0
    total = np.where(nothing, 1.0, total)
    ratio = np.where(nothing, 1.0, np.where(chosen, value, 0.0).sum(axis=1) / total)
    residual = np.where(chosen, value - ratio[:, None] * larger, 0.0)
    variance = (residual**2).sum(axis=1) / (n_chosen - 1)
    return ratio, np.sqrt(variance * n_chosen) / total


def _averaged(values: Floats, twins: NDArray[np.intp]) -> Floats:
    """Give candidates that cannot be told apart the mean of what the samples say of them."""
    return np.asarray((np.bincount(twins, values) / np.bincount(twins))[twins])
