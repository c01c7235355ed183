"""Undecided candidates by chemical system, and samples of their energies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from matscout.workflows.stability.compositions import grid_keys

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
    of that composition; each chemical system has one for the error that its predictions share.

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

    def _normal(self, what: str, system: System, content: bytes) -> Floats:
        head = f"{self.seed}\t{what}\t{'-'.join(system)}\t".encode()
        key = int.from_bytes(blake2b(head + content, digest_size=16).digest(), "big")
        return np.random.Generator(np.random.Philox(key=key)).standard_normal(self.n_samples)


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
    below
        Where those are negative, shape (k, n_samples).
    place
        Where each candidate of the system itself stands among the competing ones, or -1, shape (c,).
    """

    fractions: Floats
    hull: Floats
    distances: Floats
    below: NDArray[np.bool_]
    place: NDArray[np.intp]


def competing(groups: Mapping[System, Candidates], system: System, draws: Draws) -> Competing:
    """Sample the candidates of a chemical system, and of all inside it, that may come to lie below the known hull."""
    place = np.full(len(groups[system]), -1, dtype=np.intp)
    fractions, hull, distances = [np.empty((0, len(system)))], [np.empty(0)], [np.empty((0, draws.n_samples))]
    for inner in _inside(system, groups):
        candidates = groups[inner]
        which = np.flatnonzero(candidates.competes)
        if not len(which):
            continue
        if inner == system:
            place[which] = sum(map(len, hull)) + np.arange(len(which))
        wide = np.zeros((len(which), len(system)))
        wide[:, [system.index(element) for element in inner]] = candidates.fractions[which]
        fractions.append(wide)
        hull.append(candidates.hull[which])
        distances.append(draws.distances(candidates, which))
    sampled = np.concatenate(distances)
    return Competing(np.concatenate(fractions), np.concatenate(hull), sampled, sampled < 0, place)


def _inside(system: System, groups: Mapping[System, Candidates]) -> Iterator[System]:
    """Chemical systems of candidates inside this one, itself included."""
    if len(system) <= _SUBSETS_UP_TO:
        subsets = (part for size in range(1, len(system) + 1) for part in combinations(system, size))
        yield from (part for part in subsets if part in groups)
    else:
        yield from sorted((part for part in groups if set(part) <= set(system)), key=lambda part: (len(part), part))
