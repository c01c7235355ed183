"""Undecided candidates by chemical system, and samples of their energies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from matscout.workflows.stability.compositions import grid_keys
from matscout.workflows.stability.probability import probability_stable_now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from matscout.workflows.stability.compositions import System
    from matscout.workflows.stability.programs import Floats

_SUBSETS_UP_TO = 10  # elements: more subsets than 1,023 are slower to look up than all systems are to compare


@dataclass(frozen=True, eq=False)
class Candidates:
    """Undecided candidates with exactly these elements; once in order, by composition, mean and std.

    Attributes
    ----------
    system
        Element symbols in alphabetical order.
    rows
        Position of each in the caller's order, shape (c,).
    fractions
        Atomic fractions, shape (c, d).
    hull
        Height of the known hull relative to the elements, eV/atom, shape (c,).
    mean, std
        Of the distance to the known hull, eV/atom, shape (c,).
    now
        P(stable, now), shape (c,).
    competes
        Whether it may come to lie below the known hull, shape (c,).
    """

    system: System
    rows: NDArray[np.intp]
    fractions: Floats
    hull: Floats
    mean: Floats
    std: Floats
    now: Floats
    competes: NDArray[np.bool_]

    def in_order(self) -> Candidates:
        """Return the same candidates in an order of their own, so that nothing depends on the one they came in."""
        order = np.lexsort((self.std, self.mean, *grid_keys(self.fractions).T))
        return Candidates(
            self.system,
            self.rows[order],
            self.fractions[order],
            self.hull[order],
            self.mean[order],
            self.std[order],
            self.now[order],
            self.competes[order],
        )

    @cached_property
    def composition(self) -> NDArray[np.intp]:
        """Number of each candidate's composition, from 0, shape (c,)."""
        keys = grid_keys(self.fractions)
        return np.concatenate([[0], np.cumsum((keys[1:] != keys[:-1]).any(axis=1))])

    @cached_property
    def crystal(self) -> NDArray[np.intp]:
        """Place of each candidate among the crystals of its composition, from 0, shape (c,)."""
        starts = np.flatnonzero(np.diff(self.composition, prepend=-1))
        return np.asarray(np.arange(len(self)) - starts[self.composition])

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, most: int) -> Iterator[slice]:
        """Whole compositions, some `most` candidates at a time."""
        starts = np.flatnonzero(self.crystal == 0)
        begin = 0
        while begin < len(self):
            after = starts[starts >= begin + most]
            end = int(after[0]) if len(after) else len(self)
            yield slice(begin, end)
            begin = end

    def twins(self, part: slice) -> NDArray[np.intp]:
        """Give numbers to the candidates of a part; those that agree in composition, mean and std share one."""
        differs = (np.diff(column[part]) != 0 for column in (self.composition, self.mean, self.std))
        return np.concatenate([[0], np.cumsum(np.logical_or.reduce(list(differs)))])


@dataclass(frozen=True)
class Draws:
    """Random numbers that belong to a candidate, whatever others of other compositions there are.

    Each candidate has a Philox stream of its own, keyed by the seed, its composition and its place among the crystals
    of that composition; each chemical system has one for the error that its predictions share. A candidate that is
    hardly ever stable has another, for that error as it is where the candidate is stable.

    Attributes
    ----------
    seed, n_samples
        As the caller gave them.
    correlation
        Between the errors of any two predictions of one chemical system.

    References
    ----------
    Salmon et al., SC '11, article 16 (2011), doi:10.1145/2063384.2063405.
    """

    seed: int
    n_samples: int
    correlation: float

    def shared(self, system: System) -> Floats:
        """Draw standard normal numbers of one chemical system, shape (1, n_samples)."""
        return self._normal("system", system, b"")[None]

    def distances(self, candidates: Candidates, which: NDArray[np.intp] | slice) -> Floats:
        """Sample distances to the known hull of some of the candidates, eV/atom, shape (c, n_samples)."""
        keys = grid_keys(candidates.fractions[which])
        sampled = np.empty((len(keys), self.n_samples))
        for row, (key, crystal) in enumerate(zip(keys, candidates.crystal[which].tolist(), strict=True)):
            sampled[row] = self._normal(f"crystal {crystal}", candidates.system, key.tobytes())
        if self.correlation:
            sampled *= np.sqrt(1 - self.correlation)
            sampled += np.sqrt(self.correlation) * self.shared(candidates.system)
        sampled *= candidates.std[which][:, None]
        sampled += candidates.mean[which][:, None]
        return sampled

    def shared_if_stable(self, candidates: Candidates, which: slice, again: NDArray[np.bool_], limit: float) -> Floats:
        """Draw the error that predictions share, in some samples anew: given that the candidate itself is stable.

        Where a candidate is seldom stable, the samples in which it is are too few to tell what the others do there. Its
        whole error, in units of its std, is then drawn from the tail in which it is stable, and the shared part of it
        from what a part of a normal error is, given the whole.

        Parameters
        ----------
        which
            The candidates.
        again
            The samples that are drawn anew for each of them, shape (c, n_samples); none where a std is 0.
        limit
            Distance to the known hull up to which a candidate counts as stable, eV/atom.

        Returns
        -------
        Standard normal numbers where none are drawn anew, shape (c, n_samples), or (1, n_samples) if none are at all.
        """
        shared = self.shared(candidates.system)
        if not again.any():
            return shared
        drawn = np.repeat(shared, len(again), axis=0)
        keys = grid_keys(candidates.fractions[which])
        crystals, mean, std = candidates.crystal[which], candidates.mean[which], candidates.std[which]
        for row in np.flatnonzero(again.any(axis=1)).tolist():
            random = self._generator(f"offset {crystals[row]}", candidates.system, keys[row].tobytes())
            size = int(np.count_nonzero(again[row]))
            # By logarithms: the tail may be too thin for a number.
            in_tail = log_ndtr((limit - mean[row]) / std[row]) + np.log1p(-random.random(size))
            rest = np.sqrt(1 - self.correlation) * random.standard_normal(size)
            drawn[row, again[row]] = np.sqrt(self.correlation) * ndtri_exp(in_tail) + rest
        return drawn

    def _normal(self, what: str, system: System, content: bytes) -> Floats:
        return self._generator(what, system, content).standard_normal(self.n_samples)

    def _generator(self, what: str, system: System, content: bytes) -> np.random.Generator:
        head = f"{self.seed}\t{what}\t{'-'.join(system)}\t".encode()
        key = int.from_bytes(blake2b(head + content, digest_size=16).digest(), "big")
        return np.random.Generator(np.random.Philox(key=key))


@dataclass(frozen=True, eq=False)
class Competing:
    """Candidates inside one chemical system that may come to lie below the known hull.

    Attributes
    ----------
    fractions
        Atomic fractions in that system, shape (k, d).
    hull
        Height of the known hull relative to the elements, eV/atom, shape (k,).
    distances
        Sampled distances to the known hull, eV/atom, shape (k, n_samples).
    shared_std
        The part of each std that is shared with the system's own candidates, eV/atom, shape (k,).
    interference
        Probability of each to lie below the known hull; 0 where that is certain, shape (k,).
    starts
        Where each composition starts; the crystals of one stand together, shape (m,).
    place
        Where each candidate of the system itself stands among the competing ones, or -1, shape (c,).
    """

    fractions: Floats
    hull: Floats
    distances: Floats
    shared_std: Floats
    interference: Floats
    starts: NDArray[np.intp]
    place: NDArray[np.intp]

    @cached_property
    def n_below(self) -> NDArray[np.intp]:
        """How many lie below the known hull in each sample, shape (n_samples,)."""
        return np.asarray((self.distances < 0).sum(axis=0))

    def own_interference(self, part: slice) -> tuple[Floats, NDArray[np.intp]]:
        """Return what some of the system's own candidates add to `interference`, and how many others do, shape (c,)."""
        place = self.place[part]
        own = np.where(place >= 0, np.append(self.interference, 0.0)[place], 0.0)
        return own, np.count_nonzero(self.interference) - (own > 0)


def competing(groups: Mapping[System, Candidates], system: System, draws: Draws) -> Competing:
    """Sample the candidates of a chemical system, and of all inside it, that may come to lie below the known hull."""
    place = np.full(len(groups[system]), -1, dtype=np.intp)
    inside = [(groups[inner], np.flatnonzero(groups[inner].competes)) for inner in _inside(system, groups)]
    size = sum(len(which) for _, which in inside)
    fractions, distances = np.zeros((size, len(system))), np.empty((size, draws.n_samples))
    hull, shared_std, interference = np.empty(size), np.zeros(size), np.empty(size)
    first = np.zeros(size, dtype=bool)
    start = 0
    for candidates, which in inside:
        rows = slice(start, start + len(which))
        start = rows.stop
        if candidates.system == system:
            place[which] = np.arange(rows.start, rows.stop)
            shared_std[rows] = np.sqrt(draws.correlation) * candidates.std[which]
        fractions[rows, [system.index(element) for element in candidates.system]] = candidates.fractions[which]
        first[rows] = np.diff(candidates.composition[which], prepend=-1) != 0
        hull[rows] = candidates.hull[which]
        distances[rows] = draws.distances(candidates, which)
        mean, std = candidates.mean[which], candidates.std[which]
        interference[rows] = np.where(std > 0, probability_stable_now(mean, std, 0.0), 0.0)
    return Competing(fractions, hull, distances, shared_std, interference, np.flatnonzero(first), place)


def _inside(system: System, groups: Mapping[System, Candidates]) -> Iterator[System]:
    """Chemical systems of candidates inside this one, itself included."""
    if len(system) <= _SUBSETS_UP_TO:
        subsets = (part for size in range(1, len(system) + 1) for part in combinations(system, size))
        yield from (part for part in subsets if part in groups)
    else:
        yield from sorted((part for part in groups if set(part) <= set(system)), key=lambda part: (len(part), part))
