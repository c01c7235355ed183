"""Candidates as columns: two million of them take about 30 MB.

A candidate is one row: a prototype, the elements in its roles, the predicted volume. Formulas, ids and crystals are
made when somebody asks for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db import _formulas
from matscout.db._elements import N_ELEMENTS, symbols
from matscout.errors import UserError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core.structure import Structure

    from matscout.db.prototypes import Prototype


@dataclass(frozen=True)
class FilterCount:
    """What one filter did: rows before it, rows it removed, rows on which it could not judge."""

    name: str
    before: int
    removed: int
    unknown: int = 0


def merge_filter_counts(parts: Iterable[Sequence[FilterCount]]) -> tuple[FilterCount, ...]:
    """Add up what filters did on the chunks of one enumeration.

    Parameters
    ----------
    parts
        The `filter_counts` of each chunk: the same filters in the same order.

    Raises
    ------
    ValueError
        The chunks went through different filters.

    Examples
    --------
    >>> merge_filter_counts([(FilterCount("light", 6, 3),), (FilterCount("light", 4, 4, 1),)])
    (FilterCount(name='light', before=10, removed=7, unknown=1),)
    """
    merged: tuple[FilterCount, ...] | None = None
    for part in parts:
        if merged is None:
            merged = tuple(part)
            continue
        names = [[count.name for count in counts] for counts in (merged, part)]
        if names[0] != names[1]:
            raise ValueError(f"chunks went through different filters: {names[0]} and {names[1]}")
        merged = tuple(_sum(first, second) for first, second in zip(merged, part, strict=True))
    return merged or ()


def _sum(first: FilterCount, second: FilterCount) -> FilterCount:
    return FilterCount(
        first.name, first.before + second.before, first.removed + second.removed, first.unknown + second.unknown
    )


def nothing_more(counts: Iterable[FilterCount]) -> tuple[FilterCount, ...]:
    """Return counts of 0 under the same names: for the parts behind the one that has the counts of all."""
    return tuple(FilterCount(count.name, 0, 0) for count in counts)


class CandidateTable:
    """Decorated prototypes as columns.

    Parameters
    ----------
    prototypes
        The prototypes that rows refer to.
    prototype_index
        Prototype of each row as its place in `prototypes`, shape (n,).
    decoration
        Atomic numbers by role, shape (n, max_roles); 0 behind the last role of prototypes with fewer roles.
    volume
        Predicted volume in Å³/atom, shape (n,).
    filter_counts
        What the filters did that made this table, in order.
    columns
        More columns of booleans, numbers or strings, each of shape (n,).
    oxidation_states
        Oxidation states that a role's elements were restricted to, by role and symbol, where ions were asked for. They
        are no part of a candidate's id: a crystal is made of elements.

    Examples
    --------
    >>> from matscout.db.prototypes import Prototype
    >>> rock_salt = Prototype(
    ...     "NaCl", "AB_cF8_225_a_b", ("A", "X"), 2.82 * (1 - np.eye(3)), [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1]
    ... )
    >>> table = CandidateTable([rock_salt], [0, 0], [[11, 17], [8, 12]], [22.4, 9.5])
    >>> table.formulas
    ['NaCl', 'MgO']
    >>> table.take([False, True]).structure(0).volume.__round__(6)
    19.0
    """

    def __init__(
        self,
        prototypes: Sequence[Prototype],
        prototype_index: ArrayLike,
        decoration: ArrayLike,
        volume: ArrayLike,
        filter_counts: Sequence[FilterCount] = (),
        columns: Mapping[str, ArrayLike] | None = None,
        oxidation_states: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    ) -> None:
        self.prototypes: tuple[Prototype, ...] = tuple(prototypes)
        self.prototype_index: NDArray[np.int32] = np.asarray(prototype_index, dtype=np.int32)
        self.decoration: NDArray[np.uint8] = np.asarray(decoration, dtype=np.uint8)
        self.volume: NDArray[np.float64] = np.asarray(volume, dtype=np.float64)
        self.filter_counts: tuple[FilterCount, ...] = tuple(filter_counts)
        self.columns: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in (columns or {}).items()}
        self.oxidation_states: dict[str, dict[str, tuple[int, ...]]] = {
            role: {symbol: tuple(states) for symbol, states in given.items()}
            for role, given in (oxidation_states or {}).items()
        }
        self._check()

    def _check(self) -> None:
        n = len(self.prototype_index)
        if self.decoration.ndim != 2 or len(self.decoration) != n or self.volume.shape != (n,):
            raise ValueError(f"{n} rows, but decorations {self.decoration.shape} and volumes {self.volume.shape}")
        for name, values in self.columns.items():
            if values.shape != (n,):
                raise ValueError(f"column {name!r} has the shape {values.shape}, expected ({n},)")
            if values.dtype.kind not in "biufU":
                raise ValueError(f"column {name!r} holds {values.dtype}: booleans, numbers and strings can be kept")
            if name in own_names(self.decoration.shape[1]):
                raise ValueError(f"column {name!r}: the table has a column of its own under this name")
        if n and not 0 <= self.prototype_index.min() <= self.prototype_index.max() < len(self.prototypes):
            raise ValueError(f"prototype_index must lie within the {len(self.prototypes)} prototypes")
        for prototype, rows in self.by_prototype():
            n_roles = len(prototype.roles)
            if not self.decoration[rows, :n_roles].all() or self.decoration[rows, n_roles:].any():
                raise ValueError(f"decorations of {prototype.name} must fill its {n_roles} roles and no others")

    def __len__(self) -> int:
        return len(self.prototype_index)

    def __repr__(self) -> str:
        return f"CandidateTable({len(self)} candidates of {len(self.prototypes)} prototypes)"

    def by_prototype(self) -> Iterator[tuple[Prototype, NDArray[np.intp]]]:
        """Give each prototype that has rows, with the numbers of its rows in order."""
        order = np.argsort(self.prototype_index, kind="stable")
        ends = np.cumsum(np.bincount(self.prototype_index, minlength=len(self.prototypes)))
        for prototype, start, end in zip(self.prototypes, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if start < end:
                yield prototype, order[start:end]

    # ids

    def _hash_keys(self, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
        keys = np.empty(len(rows), dtype=np.uint64)
        for index in np.unique(self.prototype_index[rows]).tolist():
            prototype = self.prototypes[index]
            members = np.flatnonzero(self.prototype_index[rows] == index)
            canonical = prototype.canonical(self.decoration[rows[members], : len(prototype.roles)])
            start = hashlib.sha256(prototype.key.encode())
            data, width = canonical.tobytes(), canonical.shape[1]
            digests = bytearray()
            for offset in range(0, len(data), width):
                candidate = start.copy()
                candidate.update(data[offset : offset + width])
                digests += candidate.digest()[:8]
            keys[members] = np.frombuffer(bytes(digests), dtype=">u8")
        return keys

    @cached_property
    def _keys(self) -> NDArray[np.uint64]:
        return self._hash_keys(np.arange(len(self)))

    @cached_property
    def _sorted_keys(self) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        order = np.argsort(self._keys, kind="stable")
        return order, self._keys[order]

    @property
    def ids(self) -> list[str]:
        """Content hashes, 16 hex characters each.

        They depend on the prototype's name and geometry and on the decoration, not on the rest of the table.
        Decorations that differ only by equivalent roles have the same id.
        """
        return [f"{key:016x}" for key in self._keys.tolist()]

    def ids_at(self, indices: ArrayLike) -> list[str]:
        """Ids of some rows, without hashing the others."""
        return [f"{key:016x}" for key in self._hash_keys(self._rows(indices)).tolist()]

    def index_of(self, candidate_id: str) -> int:
        """Row of a candidate by its id; a `UserError` where the table does not hold it."""
        try:
            key = np.uint64(int(candidate_id, 16))
        except (ValueError, OverflowError):
            raise UserError(f"{candidate_id!r} is not a candidate id: 16 hexadecimal digits are expected") from None
        order, keys = self._sorted_keys
        place = int(np.searchsorted(keys, key))
        if place == len(keys) or keys[place] != key:
            raise UserError(f"no candidate {candidate_id} among the {len(self)} of this table")
        return int(order[place])

    # composition

    @property
    def formulas(self) -> list[str]:
        """Reduced formulas as pymatgen writes them, `SrTiO3`."""
        formulas = np.empty(len(self), dtype=object)
        for prototype, rows in self.by_prototype():
            amounts = prototype.reduced_multiplicity.tolist()
            formulas[rows] = _formulas.reduced_formulas(self.decoration[rows, : len(amounts)], amounts)
        return formulas.tolist()

    def formulas_at(self, indices: ArrayLike) -> list[str]:
        """Reduced formulas of some rows, without writing the others."""
        return self._part(self._rows(indices)).formulas

    def chemical_systems_at(self, indices: ArrayLike) -> list[str]:
        """Chemical systems of some rows, without writing the others."""
        return self._part(self._rows(indices)).chemical_systems

    @property
    def chemical_systems(self) -> list[str]:
        """Chemical systems, elements in alphabetical order, `O-Sr-Ti`."""
        systems = np.empty(len(self), dtype=object)
        for prototype, rows in self.by_prototype():
            systems[rows] = _formulas.chemical_systems(self.decoration[rows, : len(prototype.roles)])
        return systems.tolist()

    def amounts(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Atoms of each element in one formula unit.

        A dense matrix: 300 MB for a million rows over 39 elements. Go through `chunks` for large tables.

        Returns
        -------
        amounts
            Integers, reduced by their common divisor, shape (n, n_elements).
        elements
            Symbol of each column, by atomic number: those that occur in the table.
        """
        numbers = np.flatnonzero(np.bincount(self.decoration.ravel(), minlength=N_ELEMENTS)[:N_ELEMENTS])
        numbers = numbers[numbers > 0]
        column = np.zeros(N_ELEMENTS, dtype=np.intp)
        column[numbers] = np.arange(len(numbers))
        amounts = np.zeros((len(self), len(numbers)))
        for prototype, rows in self.by_prototype():
            for role, amount in enumerate(prototype.reduced_multiplicity.tolist()):
                amounts[rows, column[self.decoration[rows, role]]] += amount
            if len(prototype.roles) > 1:  # an element in two roles may leave a common divisor
                filled = (amounts[rows] > 0).sum(axis=1)
                repeated = rows[filled < len(prototype.roles)]
                divisor = np.gcd.reduce(amounts[repeated].astype(np.int64), axis=1)
                amounts[repeated] /= divisor[:, None]
        return amounts, tuple(symbols()[number] for number in numbers.tolist())

    # crystals

    def structure(self, i: int) -> Structure:
        """Build the crystal of row i at its predicted volume."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"row {i} of a table of {len(self)}")
        prototype = self.prototypes[int(self.prototype_index[i])]
        elements = [symbols()[number] for number in self.decoration[i, : len(prototype.roles)].tolist()]
        return prototype.structure(elements, float(self.volume[i]))

    def structures(self, indices: ArrayLike) -> list[Structure]:
        """Build the crystals of some rows."""
        return [self.structure(row) for row in self._rows(indices).tolist()]

    # parts

    def _rows(self, mask_or_indices: ArrayLike) -> NDArray[np.intp]:
        given = np.asarray(mask_or_indices)
        if given.dtype == bool:
            if given.shape != (len(self),):
                raise IndexError(f"a mask of {given.shape} for a table of {len(self)}")
            return np.flatnonzero(given)
        rows = given.astype(np.intp) if given.size == 0 else np.arange(len(self))[given]
        return np.atleast_1d(rows)

    def take(self, mask_or_indices: ArrayLike) -> CandidateTable:
        """Return a table of the rows chosen by a mask of shape (n,) or by their numbers, in that order."""
        rows = self._rows(mask_or_indices)
        return self._part(rows)

    def chunks(self, size: int) -> Iterator[CandidateTable]:
        """Give the table in parts of at most `size` rows, in order; the parts share its memory.

        The first has the table's filter counts, the others counts of 0, so that they add up.
        """
        if size < 1:
            raise ValueError(f"a chunk needs at least one row, got {size}")
        for start in range(0, len(self), size):
            part = self._part(slice(start, start + size))
            yield part.replace(filter_counts=nothing_more(self.filter_counts)) if start else part

    def _part(self, rows: NDArray[np.intp] | slice) -> CandidateTable:
        return CandidateTable(
            self.prototypes,
            self.prototype_index[rows],
            self.decoration[rows],
            self.volume[rows],
            self.filter_counts,
            {name: values[rows] for name, values in self.columns.items()},
            self.oxidation_states,
        )

    def replace(
        self, filter_counts: Sequence[FilterCount] | None = None, columns: Mapping[str, ArrayLike] | None = None
    ) -> CandidateTable:
        """Return a table of the same rows with other filter counts or other extra columns."""
        return CandidateTable(
            self.prototypes,
            self.prototype_index,
            self.decoration,
            self.volume,
            self.filter_counts if filter_counts is None else filter_counts,
            self.columns if columns is None else columns,
            self.oxidation_states,
        )

    # Parquet

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one Parquet file; see `matscout.db.candidate_files`."""
        from matscout.db.candidate_files import write_candidates

        write_candidates([self], path)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> CandidateTable:
        """Read a table that `to_parquet` wrote."""
        from matscout.db.candidate_files import read_candidates

        return read_candidates(path)


def own_names(n_roles: int) -> set[str]:
    """Names of a table's own columns in a file, which extra columns may not have."""
    return {"prototype_index", "volume"} | {f"site_{role}" for role in range(n_roles)}
