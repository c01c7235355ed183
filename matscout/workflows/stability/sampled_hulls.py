"""Heights of sampled hulls: known phases and the candidates that lie below the known hull in a sample.

Each height that is wanted is a small linear program, and those of many chemical systems are solved together. Where many
candidates of one chemical system are below, programs would cost the square of their number. There the facets of each
sample's hull are found instead: a candidate above them does not shape that hull, so that its height is that of the hull
without it as well, and only for the few on the hull a program is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.blocks import SAME_ENERGY
from matscout.workflows.stability.facets import lower_hull
from matscout.workflows.stability.programs import PhaseSets, solve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.programs import Floats, Phases
    from matscout.workflows.stability.undecided import Candidates, Competing

_NUMBERS_AT_ONCE = 1_000_000  # sampled energies made into hulls at once: 8 MB, and some ten times that on the way
# Heights times phases of a sample from which its facets are found sooner than its programs are solved, by the number
# of elements. Beyond these there are no facets.
_WORTH_FACETS = {2: 2_000, 3: 2_000, 4: 4_000, 5: 50_000}


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
    shared, offsets
        The error that predictions share, in units of their std: of each sample, shape (1, n_samples), and for each
        candidate with some samples drawn anew, broadcastable to (c, n_samples).
    chosen
        Samples that the probability is averaged over, shape (c, n_samples).
    again
        Those of them in which the shared error was drawn anew, shape (c, n_samples).
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
    shared: Floats
    offsets: Floats
    chosen: NDArray[np.bool_]
    again: NDArray[np.bool_]
    needed: NDArray[np.bool_]
    lowered: Floats


@dataclass(frozen=True, eq=False)
class _Heights:
    """Heights that are wanted of some sampled hulls of one chemical system.

    Attributes
    ----------
    task
        Whose `lowered` takes them.
    hulls
        Phases of each hull.
    which, without
        The hull of each height, and the phase that is left out of it or -1, shape (q,).
    rows, samples
        Where each height belongs, shape (q,).
    """

    task: Task
    hulls: PhaseSets
    which: NDArray[np.intp]
    without: NDArray[np.intp]
    rows: NDArray[np.intp]
    samples: NDArray[np.intp]

    @property
    def at(self) -> Floats:
        """Compositions of the heights, shape (q, d)."""
        return self.task.candidates.fractions[self.task.part][self.rows]

    def enter(self, heights: Floats, chosen: NDArray[np.bool_] | slice = slice(None)) -> None:
        """Write heights relative to the elements to where they belong."""
        rows, samples = self.rows[chosen], self.samples[chosen]
        change = heights - self.task.candidates.hull[self.task.part][rows]
        self.task.lowered[rows, samples] = np.where(change < -SAME_ENERGY, change, 0.0)

    def only(self, kept: NDArray[np.bool_]) -> _Heights:
        """Return some of the heights."""
        own = self.which[kept], self.without[kept], self.rows[kept], self.samples[kept]
        return _Heights(self.task, self.hulls, *own)


def lower(batch: Sequence[Task], known: Callable[[System], Phases]) -> None:
    """Fill in the heights that tasks need; programs with one number of elements are solved together."""
    by_size: dict[int, list[Task]] = {}
    for task in batch:
        if task.needed.any():
            by_size.setdefault(len(task.candidates.system), []).append(task)
    for size in sorted(by_size):
        waiting: list[_Heights] = []
        numbers = 0
        for task in by_size[size]:
            for wanted in _wanted(task, known(task.candidates.system)):
                left = _from_facets(wanted)
                waiting.append(left)
                numbers += len(left.hulls.energies) + len(left.rows)
                if numbers > _NUMBERS_AT_ONCE:
                    _from_programs(waiting)
                    waiting, numbers = [], 0
        _from_programs(waiting)


def _wanted(task: Task, known: Phases) -> Iterator[_Heights]:
    """All heights that a task needs, some at a time."""
    step = max(1, _NUMBERS_AT_ONCE // (len(known.energies) + len(task.competing.hull)))
    samples, rows = np.nonzero((task.needed & ~task.again).T)
    different, place = np.unique(samples, return_inverse=True)
    for start in range(0, len(different), step):
        some = slice(*np.searchsorted(place, [start, start + step]))
        yield _of_samples(task, known, different[start : start + step], place[some] - start, rows[some])
    rows, samples = np.nonzero(task.needed & task.again)
    for start in range(0, len(rows), step):
        yield _drawn_anew(task, known, rows[start : start + step], samples[start : start + step])


def _of_samples(
    task: Task, known: Phases, samples: NDArray[np.intp], place: NDArray[np.intp], rows: NDArray[np.intp]
) -> _Heights:
    """Heights of samples as they were drawn; each is one hull for all its candidates.

    Parameters
    ----------
    samples
        Numbers of the samples, each once, shape (m,).
    place, rows
        For each height that is wanted its sample, as a place in `samples`, and its candidate, shape (q,).
    """
    n_known = len(known.energies)
    hulls, present = _hulls(task.competing, known, task.competing.distances[:, samples], 2)
    own = task.competing.place[task.part][rows]
    own = np.where(own >= 0, own + n_known, 0)  # row 0 is an element and stands for none
    rank = np.cumsum(present, axis=0)[own, place] - 1
    without = np.where((own > 0) & present[own, place], rank, -1)
    return _Heights(task, hulls, place, without, rows, samples[place])


def _drawn_anew(task: Task, known: Phases, rows: NDArray[np.intp], samples: NDArray[np.intp]) -> _Heights:
    """Heights of samples in which the shared error was drawn anew, each a hull of its own without its candidate."""
    others = task.competing
    change = task.offsets[rows, samples] - task.shared[0, samples]
    distances = others.distances[:, samples] + others.shared_std[:, None] * change
    own = others.place[task.part][rows]
    itself = np.flatnonzero(own >= 0)
    distances[own[itself], itself] = np.inf
    lower_ones = (distances < 0).any(axis=0)
    rows, samples = rows[lower_ones], samples[lower_ones]
    hulls, _ = _hulls(others, known, distances[:, lower_ones], 1)
    each = np.arange(len(rows))
    return _Heights(task, hulls, each, np.full(len(rows), -1), rows, samples)


def _hulls(others: Competing, known: Phases, distances: Floats, most: int) -> tuple[PhaseSets, NDArray[np.bool_]]:
    """Phases of m hulls, and which of the known ones and the others at these distances they are, shape (p + k, m).

    Of the crystals of a composition only the lowest can shape a hull, and the next one where that is left out: no more
    than `most` are taken.
    """
    m = distances.shape[1]
    present = np.concatenate([np.ones((len(known.energies), m), dtype=bool), _lowest(distances, others.starts, most)])
    energies = np.concatenate([np.tile(known.energies[:, None], m), others.hull[:, None] + distances])
    sample, phase = np.nonzero(present.T)
    fractions = np.concatenate([known.fractions, others.fractions])[phase]
    sizes = present.sum(axis=0)
    return PhaseSets(fractions, energies[phase, sample], np.cumsum(sizes) - sizes, sizes), present


def _lowest(distances: Floats, starts: NDArray[np.intp], most: int) -> NDArray[np.bool_]:
    """Which of the others are below the known hull and among the `most` lowest of their composition, shape (k, m)."""
    below = distances < 0
    k, m = distances.shape
    if len(starts) == k or not m:
        return below
    sizes = np.diff(starts, append=k)
    left, chosen = np.where(below, distances, np.inf), np.zeros_like(below)
    for _ in range(most):
        lowest = left == np.repeat(np.minimum.reduceat(left, starts, axis=0), sizes, axis=0)
        chosen |= lowest
        left[lowest] = np.inf
    return chosen & below


def _from_facets(wanted: _Heights) -> _Heights:
    """Enter the heights that facets give where these are worth while; returns what is left for programs."""
    hulls, at = wanted.hulls, wanted.at
    worth = _WORTH_FACETS.get(at.shape[1])
    asked = np.bincount(wanted.which, minlength=len(hulls.sizes))
    many = [] if worth is None else np.flatnonzero(asked * hulls.sizes >= worth).tolist()
    if not many:
        return wanted
    heights = np.full(len(at), np.nan)
    ends = np.cumsum(asked)
    for hull in many:
        lowest = lower_hull(hulls.one(hull))
        if lowest is not None:
            own = slice(ends[hull] - asked[hull], ends[hull])
            heights[own] = lowest.energy(at[own])
    # A phase on the hull shapes it: the hull without it is another. One above it does not.
    phase = hulls.starts[wanted.which] + np.maximum(wanted.without, 0)
    known = ~np.isnan(heights) & ((wanted.without < 0) | (hulls.energies[phase] - heights > SAME_ENERGY))
    wanted.enter(heights[known], known)
    return wanted.only(~known)


def _from_programs(waiting: Sequence[_Heights]) -> None:
    """Enter the heights that linear programs give, all solved together."""
    waiting = [wanted for wanted in waiting if len(wanted.rows)]
    if not waiting:
        return
    firsts = np.cumsum([0, *(len(wanted.hulls.sizes) for wanted in waiting)])
    which = [wanted.which + first for wanted, first in zip(waiting, firsts[:-1], strict=True)]
    sets = PhaseSets.join([wanted.hulls for wanted in waiting])
    at, without = (np.concatenate([getattr(one, name) for one in waiting]) for name in ("at", "without"))
    energy = solve(sets, np.concatenate(which), at, without).energy
    ends = np.cumsum([len(wanted.rows) for wanted in waiting])[:-1]
    for wanted, heights in zip(waiting, np.split(energy, ends), strict=True):
        wanted.enter(heights)
