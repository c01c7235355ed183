"""New crystals from known ones, by the substitutions of ions that nature is known to make."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.crystals.volume import predict_volumes
from matscout.db.candidates import CandidateTable, FilterCount
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.filters.known import KnownCompounds
from matscout.workflows.enumeration.substitution.ion_substitution import (
    Replacements,
    charges_of,
    ion_table,
    ions_of,
    probable_replacements,
)
from matscout.workflows.enumeration.substitution.parents import KnownCrystal, known_crystals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.crystals.structure_files import RefusedCrystal
    from matscout.db.prototypes import Prototype
    from matscout.workflows.enumeration.substitution.ion_substitution import Given

#: Thresholds at which the largest probability is looked for when none is above the user's.
_LOWER = (1e-3, 1e-4, 1e-5, 1e-6)

#: Shortest distances of two prototypes that may be one differ by less, where one atom has the volume 1.
_SAME_DISTANCE = 5e-3

#: Shortest lattice vectors that are compared before anything else, of both signs; lengths that differ by more, where
#: one atom has the volume 1, are those of two crystals.
_N_VECTORS = 14
_SAME_VECTORS = 2e-2
_COMBINATIONS = np.array([steps for steps in product(range(-2, 3), repeat=3) if any(steps)])


class _Parent(NamedTuple):
    """A known crystal, its prototype among those of the table, and where its roles fall in it."""

    crystal: KnownCrystal
    prototype: int
    role_map: tuple[int, ...]


class _Rows(NamedTuple):
    """Neutral substitutions of all parents, one below the other."""

    parent: NDArray[np.intp]
    ions: NDArray[np.intp]  # in the order of the parent's roles, -1 behind the last
    decoration: NDArray[np.uint8]  # in the order of the prototype's roles, canonical
    probability: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp]) -> _Rows:
        return _Rows(self.parent[rows], self.ions[rows], self.decoration[rows], self.probability[rows])


def substitute(
    known: Any,
    species: Iterable[str] | None = None,
    *,
    threshold: float = 1e-3,
    given: Given = "known",
    symprec: float = 0.01,
) -> tuple[CandidateTable, list[RefusedCrystal]]:
    """Replace the ions of known crystals by others, as far as that is probable.

    Each ion of a known crystal is a role, and is replaced as a whole: Fe2+ and Fe3+ of magnetite are two. A candidate
    keeps the number of ions, consists of different ions only, and is neutral. Its probability is the product over all
    ions, those that stay included; `ion_substitution` gives the formula and its source.

    Parameters
    ----------
    known
        Structures, entries, pairs of name and structure; a file of them; or what `known_crystals` returned, which need
        not be prepared again for every set of species. `structures_in` takes them from a store.
    species
        The ions that candidates may be made of, such as `Na+` and `O2-`, those that may stay included; an element
        stands for its common ions. All 230 of the table when None.
    threshold
        Only candidates above this probability.
    given
        What the probability is conditional on. `known`: the known crystal, as in pymatgen's `Substitutor`.
        `candidate`: the new ions, as in its `SubstitutionPredictor`, which favours ions that are rarely seen.
    symprec
        How far sites of known crystals may be from the places that symmetry gives them, in Å.

    Returns
    -------
    candidates
        The most probable first, with the columns `probability`, `parent` and `parent_formula` (the known crystal) and
        `substitution` (the ions that change, `Li+ -> Na+, Fe2+ -> Mn2+`). Parents that are the same crystal by
        `Prototype.role_maps`, as NaCl and MgO are, share a prototype, under the first name of the alphabet; what they
        have in common is there once, from the parent that makes it more probable. Parents of one structure type that
        differ in free parameters or in the shape of their cells stay apart: `find_duplicates` tells what is alike. What
        is known already, by composition and StructureMatcher, is left out. `filter_counts` says how many were not
        neutral, the same, and known.
    refused
        Known crystals that cannot be parents, with the reason.

    Raises
    ------
    UserError
        A threshold outside (0, 1]; an ion that does not exist, or that the table lacks; nothing found.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> nacl = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> table, refused = substitute(nacl, ["K+", "Rb+", "Br-", "Cl-"], threshold=0.005)
    >>> list(zip(table.formulas, table.columns["probability"].round(3).tolist()))
    [('KCl', 0.019), ('RbCl', 0.011)]
    >>> table.columns["substitution"].tolist()
    ['Na+ -> K+', 'Na+ -> Rb+']
    """
    _check(threshold, given)
    allowed = ions_of(species)
    crystals, refused = _prepared(known, symprec)
    found, counts = _search(crystals, allowed, threshold, given)
    if not found:
        raise UserError(_nothing(crystals, refused, allowed, threshold, given))
    prototypes, parents = _classes([crystal for crystal, _ in found])
    rows = _assembled(parents, prototypes, [replacements for _, replacements in found])
    n_neutral = len(rows.parent)
    rows = _merged(rows, parents)
    counts = [*counts, FilterCount("same-crystal", n_neutral, n_neutral - len(rows.parent))]
    n_different = len(rows.parent)
    rows = rows.take(np.flatnonzero(~_themselves(rows, parents, prototypes)))  # spares a slow comparison
    table = _table(rows, parents, prototypes)
    new = KnownCompounds([crystal.structure for crystal in crystals], match="prototype")(table).keep
    if not new.any():
        raise UserError(
            f"nothing new: all {n_different} substitutions above {threshold:g} are among the known crystals"
        )
    counts.append(FilterCount("known", n_different, n_different - int(new.sum())))
    return _compact(table.take(new), counts), refused


def _check(threshold: Any, given: Any) -> None:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise UserError(f"threshold: a probability above 0 and at most 1 is expected, got {threshold!r}")
    if given not in ("known", "candidate"):
        close = nearest(str(given), ["known", "candidate"])
        raise UserError(f'given: known or candidate, got "{given}".' + (f" Nearest: {close}." if close else ""))


def _prepared(known: Any, symprec: float) -> tuple[list[KnownCrystal], list[RefusedCrystal]]:
    prepared = isinstance(known, list) and known and all(isinstance(item, KnownCrystal) for item in known)
    return (known, []) if prepared else known_crystals(known, symprec=symprec)


def _search(
    crystals: Sequence[KnownCrystal], allowed: NDArray[np.intp], threshold: float, given: Given
) -> tuple[list[tuple[KnownCrystal, Replacements]], list[FilterCount]]:
    """Find the neutral substitutions of each crystal that has any; those of the same ions are looked for once."""
    of_ions: dict[tuple[int, ...], Replacements] = {}
    found: list[tuple[KnownCrystal, Replacements]] = []
    n_probable = n_neutral = 0
    for crystal in crystals:
        if not crystal.ions:
            continue
        if crystal.ions not in of_ions:
            of_ions[crystal.ions] = probable_replacements(crystal.ions, allowed, threshold, given)
        probable = of_ions[crystal.ions]
        neutral = charges_of(probable.ions, crystal.prototype.reduced_multiplicity) == 0
        n_probable += len(neutral)
        n_neutral += int(neutral.sum())
        if neutral.any():
            found.append((crystal, Replacements(probable.ions[neutral], probable.probability[neutral])))
    return found, [FilterCount("charge-balance", n_probable, n_probable - n_neutral)]


def _nothing(
    crystals: Sequence[KnownCrystal],
    refused: Sequence[RefusedCrystal],
    allowed: NDArray[np.intp],
    threshold: float,
    given: Given,
) -> str:
    parents = [crystal for crystal in crystals if crystal.ions]
    if not parents:
        first = f"; the first, {refused[0]}" if refused else ""
        return f"none of the known crystals can be a parent of others{first}"
    for lower in (limit for limit in _LOWER if limit < threshold):
        found, _ = _search(parents, allowed, lower, given)
        if found:
            largest = max(replacements.probability.max() for _, replacements in found)
            return (
                f"no substitution into these species has a probability above {threshold:g}: the largest of a neutral "
                f"one is {largest:.2g}"
            )
    return (
        f"no substitution into these species has a probability above {threshold:g}, and no neutral one above "
        f"{min(_LOWER[-1], threshold):g}: the known crystals have {_counted(parents)} different ions each"
    )


def _counted(parents: Sequence[KnownCrystal]) -> str:
    sizes = sorted({len(parent.ions) for parent in parents})
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _classes(crystals: Sequence[KnownCrystal]) -> tuple[list[Prototype], list[_Parent]]:
    """Prototypes of crystals, each geometry once, and which one each crystal has."""
    prototypes: list[Prototype] = []
    alike: dict[tuple[int, ...], list[tuple[int, NDArray[np.float64]]]] = {}
    parents: dict[str, _Parent] = {}
    for crystal in sorted(crystals, key=lambda crystal: crystal.name):
        prototype = crystal.prototype
        vectors = _shortest_vectors(prototype)
        members = alike.setdefault(tuple(sorted(prototype.multiplicity.tolist())), [])
        near = (place for place, its in members if np.abs(vectors - its).max() < _SAME_VECTORS)
        place, role_map = _same_as(prototype, prototypes, near)
        if place == len(prototypes):
            prototypes.append(prototype)
            members.append((place, vectors))
        parents[crystal.name] = _Parent(crystal, place, role_map)
    return prototypes, [parents[crystal.name] for crystal in crystals]


def _shortest_vectors(prototype: Prototype) -> NDArray[np.float64]:
    """Lengths of the shortest lattice vectors of a Niggli cell, where one atom has the volume 1, ascending.

    Computed in microseconds, where distances between sites take a tenth of a second in large cells.
    """
    lattice = prototype.lattice * (prototype.n_sites / abs(np.linalg.det(prototype.lattice))) ** (1 / 3)
    return np.asarray(np.sort(np.linalg.norm(_COMBINATIONS @ lattice, axis=1))[:_N_VECTORS])


def _same_as(
    prototype: Prototype, prototypes: Sequence[Prototype], places: Iterable[int]
) -> tuple[int, tuple[int, ...]]:
    """Place of the prototype that is the same geometry, the next free one where none is, and where roles fall in it."""
    for place in places:
        mine, its = (np.sort(one.shortest_distances, axis=None) for one in (prototype, prototypes[place]))
        if np.abs(mine - its).max() < _SAME_DISTANCE:
            role_maps = prototype.role_maps(prototypes[place])
            if role_maps:
                return place, role_maps[0]
    return len(prototypes), tuple(range(len(prototype.roles)))


def _assembled(parents: Sequence[_Parent], prototypes: Sequence[Prototype], found: Sequence[Replacements]) -> _Rows:
    width = max(replacements.ions.shape[1] for replacements in found)
    total = sum(len(replacements.probability) for replacements in found)
    rows = _Rows(
        np.repeat(np.arange(len(found)), [len(replacements.probability) for replacements in found]),
        np.full((total, width), -1, dtype=np.intp),
        np.zeros((total, width), dtype=np.uint8),
        np.concatenate([replacements.probability for replacements in found]),
    )
    start = 0
    for parent, replacements in zip(parents, found, strict=True):
        n, n_roles = replacements.ions.shape
        part = slice(start, start + n)
        moved = np.empty((n, n_roles), dtype=np.uint8)
        moved[:, list(parent.role_map)] = ion_table().numbers[replacements.ions]
        rows.ions[part, :n_roles] = replacements.ions
        rows.decoration[part, :n_roles] = prototypes[parent.prototype].canonical(moved)
        start += n
    return rows


def _merged(rows: _Rows, parents: Sequence[_Parent]) -> _Rows:
    """Keep the most probable of what is one candidate, and sort by probability."""
    prototype = np.array([parent.prototype for parent in parents])
    names = np.array([parent.crystal.name for parent in parents])
    alphabetical = np.argsort(np.argsort(names, kind="stable"), kind="stable")
    order = np.lexsort((*rows.decoration.T[::-1], alphabetical[rows.parent], -rows.probability))
    rows = rows.take(order)
    keys = np.column_stack([prototype[rows.parent], rows.decoration.astype(np.int64)])
    _, first = np.unique(keys, axis=0, return_index=True)
    return rows.take(np.sort(first))


def _themselves(rows: _Rows, parents: Sequence[_Parent], prototypes: Sequence[Prototype]) -> NDArray[np.bool_]:
    """Mark the rows that are parents, shape (n,)."""
    own = set()
    for parent in parents:
        moved = np.zeros((1, len(parent.role_map)), dtype=np.uint8)
        moved[0, list(parent.role_map)] = parent.crystal.decoration
        own.add((parent.prototype, *prototypes[parent.prototype].canonical(moved)[0].tolist()))
    prototype = np.array([parent.prototype for parent in parents])[rows.parent].tolist()
    filled = (tuple(number for number in row if number) for row in rows.decoration.tolist())
    return np.array([(place, *row) in own for place, row in zip(prototype, filled, strict=True)], dtype=bool)


def _table(rows: _Rows, parents: Sequence[_Parent], prototypes: Sequence[Prototype]) -> CandidateTable:
    index = np.array([parent.prototype for parent in parents])[rows.parent]
    volume = np.empty(len(index))
    for place in np.unique(index).tolist():
        mine = index == place
        volume[mine] = predict_volumes(prototypes[place], rows.decoration[mine][:, : len(prototypes[place].roles)])
    columns = {
        "probability": rows.probability,
        "parent": np.array([parent.crystal.name for parent in parents])[rows.parent],
        "parent_formula": np.array([parent.crystal.formula for parent in parents])[rows.parent],
        "substitution": np.array(_written(rows, parents)),
    }
    return CandidateTable(prototypes, index, rows.decoration, volume, columns=columns)


def _written(rows: _Rows, parents: Sequence[_Parent]) -> list[str]:
    """Say which ions change in each row."""
    names = ion_table().names
    before = [parent.crystal.ions for parent in parents]
    return [
        ", ".join(
            f"{names[old]} -> {names[new]}" for old, new in zip(before[parent], after, strict=False) if old != new
        )
        for parent, after in zip(rows.parent.tolist(), rows.ions.tolist(), strict=True)
    ]


def _compact(table: CandidateTable, counts: Sequence[FilterCount]) -> CandidateTable:
    """Return the table with the prototypes that it needs, and no others."""
    used, index = np.unique(table.prototype_index, return_inverse=True)
    prototypes = [table.prototypes[place] for place in used.tolist()]
    width = max(len(prototype.roles) for prototype in prototypes)
    return CandidateTable(prototypes, index, table.decoration[:, :width], table.volume, counts, table.columns)
