"""Candidates that are known already: by composition, or by composition and crystal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.errors import UserError
from matscout.workflows.enumeration.filters._options import check_choice
from matscout.workflows.enumeration.filters.rules import FilterResult, parts_by_prototype

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition
    from pymatgen.core.entries import ComputedEntry
    from pymatgen.core.structure import Structure

    from matscout.db.candidates import CandidateTable
    from matscout.workflows.stability.crystals import KnownCrystals


@dataclass(frozen=True, eq=False)
class KnownCompounds:
    """Remove candidates that are among known entries, or keep only those, or mark them.

    Compositions are compared first, all at once; crystals only of the few candidates that share one. Adds the column
    `known`.

    Parameters
    ----------
    entries
        Entries, structures or formulas, in any mixture.
    file
        Path of a JSON file of pymatgen's entries, gzipped or not; instead of `entries`. Read once.
    match
        `composition`: the reduced composition is that of an entry. `prototype`: the crystal is too, by pymatgen's
        StructureMatcher with its default tolerances and volumes scaled to be equal, for the candidate as it is built,
        not relaxed. A distortion that the tolerances do not tell from its parent counts as the same crystal.
    keep
        `new`: what is not known stays. `known`: what is known stays. `all`: everything stays, and is marked.
    unknown
        For `match: prototype`, candidates whose composition only entries without a structure have: `keep` or `drop`.

    Raises
    ------
    UserError
        Neither or both of entries and file, a file that cannot be read or holds no entries, a formula that is none.

    Examples
    --------
    >>> from matscout.workflows.enumeration import enumerate_candidates
    >>> space = {"A": ["Na", "K"], "X": ["F", "Cl"]}
    >>> enumerate_candidates("rock-salt", space, [KnownCompounds(["NaCl", "K2F2"])]).formulas
    ['NaF', 'KCl']
    """

    entries: Iterable[ComputedEntry | Structure | Composition | str] | None = field(default=None, repr=False)
    file: str | os.PathLike[str] | None = None
    match: Literal["composition", "prototype"] = "composition"
    keep: Literal["new", "known", "all"] = "new"
    unknown: Literal["keep", "drop"] = "keep"
    name: str = field(default="known-compounds", init=False)

    def __post_init__(self) -> None:
        check_choice(self.name, "match", self.match, ("composition", "prototype"))
        check_choice(self.name, "keep", self.keep, ("new", "known", "all"))
        check_choice(self.name, "unknown", self.unknown, ("keep", "drop"))
        if (self.entries is None) == (self.file is None):
            raise UserError(f"{self.name} needs either entries or a file of them")
        _ = self._index  # a file or formula that cannot be read is refused now

    @cached_property
    def _index(self) -> _Index:
        if self.file is not None:
            return _index_of_file(str(self.file))
        given = self.entries
        if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
            raise UserError(f"{self.name}: entries must be a list of entries, structures or formulas, got {given!r}")
        return _Index(list(given), self.name)

    def __call__(self, table: CandidateTable) -> FilterResult:
        """Judge a table."""
        shared = self._index.shares_composition(table)
        known, unknown = shared, np.zeros(len(table), dtype=bool)
        if self.match == "prototype":
            known, unknown = self._index.same_crystal(table, shared)
        if self.keep == "all":
            keep = np.ones(len(table), dtype=bool)
        else:
            keep = known if self.keep == "known" else ~known
            keep = keep | unknown if self.unknown == "keep" else keep & ~unknown
        return FilterResult(keep, int(unknown.sum()), {"known": known})


def _index_of_file(path: str) -> _Index:
    from pathlib import Path

    resolved = Path(path).resolve()
    try:
        stat = resolved.stat()
    except OSError:
        return _read_index(path, 0, 0)  # says what is wrong with it
    return _read_index(str(resolved), stat.st_mtime_ns, stat.st_size)


@cache
def _read_index(path: str, _modified: int, _size: int) -> _Index:
    """Read a file once for as long as it does not change."""
    from matscout.workflows.stability.entries import read_entries

    return _Index(read_entries(path), f"known-compounds: {path}")


class _Index:
    """Known compositions and crystals, to look candidates up."""

    def __init__(self, given: Sequence[Any], where: str) -> None:
        compositions = [_composition(one, where) for one in given]
        self._crystals = [(one, _reduced(composition)) for one, composition in zip(given, compositions, strict=True)]
        self._known = {amounts for _, amounts in self._crystals}
        self._keys = np.array(sorted(_key(amounts) for amounts in self._known), dtype=np.uint64)

    def shares_composition(self, table: CandidateTable) -> NDArray[np.bool_]:
        """Whether a candidate's reduced composition is known, shape (n,)."""
        shared = np.zeros(len(table), dtype=bool)
        for prototype, rows in parts_by_prototype(table):
            amounts = prototype.reduced_multiplicity
            decoration = table.decoration[rows, : len(amounts)]
            hits = np.flatnonzero(np.isin(_row_keys(decoration, amounts), self._keys))
            # two compositions may share a key: the few that do are compared in full
            exact = [_row_amounts(decoration[hit], amounts) in self._known for hit in hits.tolist()]
            shared[rows[hits[exact]]] = True
        return shared

    def same_crystal(
        self, table: CandidateTable, shared: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether a candidate's crystal is known, and whether that cannot be told, shape (n,) each."""
        known = np.zeros(len(table), dtype=bool)
        unknown = np.zeros(len(table), dtype=bool)
        for row in np.flatnonzero(shared).tolist():
            structure = table.structure(row)
            known[row] = self._matcher.match(structure) is not None
            unknown[row] = not known[row] and _reduced(structure.composition) in self._without_structure
        return known, unknown

    @cached_property
    def _without_structure(self) -> set[tuple[tuple[int, int], ...]]:
        """Compositions of which some entry has no structure."""
        return {amounts for one, amounts in self._crystals if _structure(one) is None}

    @cached_property
    def _matcher(self) -> KnownCrystals:
        from pymatgen.core.entries import ComputedStructureEntry

        from matscout.workflows.stability.crystals import KnownCrystals

        structures = [_structure(one) for one, _ in self._crystals]
        return KnownCrystals(
            ComputedStructureEntry(structure, 0.0, entry_id=f"known-{place}")
            for place, structure in enumerate(structures)
            if structure is not None
        )


def _structure(given: Any) -> Structure | None:
    from pymatgen.core.structure import Structure

    return given if isinstance(given, Structure) else getattr(given, "structure", None)


def _composition(given: Any, where: str) -> Composition:
    from pymatgen.core.composition import Composition

    if not isinstance(given, str):
        composition = given if isinstance(given, Composition) else getattr(given, "composition", None)
        if not isinstance(composition, Composition):
            raise UserError(f"{where}: {given!r} is no entry, structure or formula")
        return composition
    try:
        composition = Composition(given, strict=True)
    except ValueError as error:
        raise UserError(f'{where}: "{given}" is not a formula ({error})') from None
    if not composition:
        raise UserError(f"{where}: an empty formula")
    return composition


def _reduced(composition: Composition) -> tuple[tuple[int, int], ...]:
    """Atomic numbers and whole amounts without a common divisor, in order of atomic number."""
    formula, _ = composition.element_composition.get_integer_formula_and_factor()
    amounts = {element.Z: round(amount) for element, amount in type(composition)(formula).items()}
    divisor = int(np.gcd.reduce(list(amounts.values())))  # pymatgen writes O2 and Li2O2
    return tuple(sorted((number, amount // divisor) for number, amount in amounts.items()))


@cache
def _weights() -> NDArray[np.uint64]:
    """One random number for each element: a composition's key is their sum, weighted by the amounts, modulo 2^64."""
    return np.random.default_rng(1364).integers(0, 2**64, N_ELEMENTS, dtype=np.uint64)


def _key(amounts: tuple[tuple[int, int], ...]) -> int:
    return sum(amount * int(_weights()[number]) for number, amount in amounts) % 2**64


def _row_keys(decoration: NDArray[np.uint8], amounts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of candidates' reduced compositions, shape (n,)."""
    weights = _weights()[decoration]
    keys = (weights * amounts.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
    ordered = np.sort(decoration, axis=1)
    repeated = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(repeated):  # an element in two roles may leave a common divisor
        same = decoration[repeated, :, None] == decoration[repeated, None, :]
        totals = same @ amounts
        first = ~np.tril(same, -1).any(axis=2)
        reduced = first * totals // np.gcd.reduce(totals, axis=1)[:, None]
        keys[repeated] = (weights[repeated] * reduced.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
    return np.asarray(keys)


def _row_amounts(row: NDArray[np.uint8], amounts: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    total: dict[int, int] = {}
    for number, amount in zip(row.tolist(), amounts.tolist(), strict=True):
        total[number] = total.get(number, 0) + amount
    divisor = int(np.gcd.reduce(list(total.values())))
    return tuple(sorted((number, amount // divisor) for number, amount in total.items()))
