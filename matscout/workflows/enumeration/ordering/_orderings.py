"""What `ordering` asks of icet, and the check that its answer is whole."""

from __future__ import annotations

import warnings
from itertools import chain, permutations, product
from math import gcd, lcm
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.db import _isometries
from matscout.db._symmetry import spglib_call
from matscout.db.prototypes import SYMPREC
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.ordering._sublattices import (
    Supercell,
    cell_numbers,
    cells_of,
    find_operations,
    find_pairs,
    hermite_form,
    n_labellings,
    pair_counts,
    without_smaller_period,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype
    from matscout.workflows.enumeration.ordering._sublattices import Hermite, Operations

#: Tolerances, one atom having the volume 1, at which the exchange of roles that a prototype declares for an ideal value
#: of its parameters is looked for.
_IDEAL_TOLERANCES = (0.02, 0.05, 0.1, 0.15, 0.2)

#: Distances up to here, one atom having the volume 1, put ordered cells of the same group in order.
_RADIUS = 2.5


class Divided(NamedTuple):
    """A prototype in its primitive cell, with the parts of each role; (1,) where it is not divided."""

    prototype: Prototype
    crystal: _isometries.Crystal
    parts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, prototype: Prototype, mixtures: Mapping[str, Sequence[int]]) -> Divided:
        """Check what the user asked for."""
        if not mixtures:
            raise UserError(f"{prototype.name}: name at least one role to divide, such as {prototype.roles[-1]}: 2:1")
        for role in mixtures:
            if role not in prototype.roles:
                close = nearest(str(role), prototype.roles)
                raise UserError(
                    f"{prototype.name} has no role {role!r} to divide, it has {', '.join(prototype.roles)}"
                    + (f"; nearest: {close}" if close else "")
                )
        parts = tuple(_checked(mixtures[role], role) if role in mixtures else (1,) for role in prototype.roles)
        crystal = _isometries.Crystal(prototype.lattice, prototype.frac_coords, prototype.role_of_site)
        divided = cls(prototype, _isometries.reduced(crystal), parts)
        if len(set(divided.roles)) < len(divided.roles):
            raise UserError(f"{prototype.name}: a role has the name of a part of another, {divided.roles}: rename it")
        return divided

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the roles after the division."""
        return tuple(
            f"{role}.{part}" if len(parts) > 1 else role
            for role, parts in zip(self.prototype.roles, self.parts, strict=True)
            for part in range(1, len(parts) + 1)
        )

    @property
    def labels(self) -> list[list[int]]:
        """For each role of the prototype, its roles after the division, numbered."""
        ends = np.cumsum([len(parts) for parts in self.parts]).tolist()
        return [list(range(end - len(parts), end)) for parts, end in zip(self.parts, ends, strict=True)]

    @property
    def formula(self) -> str:
        """The division as it stands in names: `A=1:1,X=2:1`."""
        return ",".join(f"{role}={parts}" for role, parts in self._of_divided())

    def _of_divided(self) -> list[tuple[str, str]]:
        return [
            (role, ":".join(map(str, parts)))
            for role, parts in zip(self.prototype.roles, self.parts, strict=True)
            if len(parts) > 1
        ]

    @property
    def said(self) -> str:
        """The division in words."""
        return " and ".join(f"{role} divided {parts}" for role, parts in self._of_divided())

    @property
    def exchanges(self) -> NDArray[np.uint8]:
        """What the new roles may be exchanged for: parts of equal size; shape (n_exchanges, n_roles)."""
        ways = []
        for parts, labels in zip(self.parts, self.labels, strict=True):
            orders = permutations(range(len(parts)))
            ways.append([
                [labels[i] for i in order]
                for order in orders
                if all(parts[i] == size for i, size in zip(order, parts, strict=True))
            ])  # fmt: skip
        return np.array([list(chain.from_iterable(way)) for way in product(*ways)], dtype=np.uint8)

    def sizes(self, max_cells: int) -> range:
        """Numbers of cells in which the parts are whole numbers of sites."""
        if isinstance(max_cells, bool) or not isinstance(max_cells, int) or max_cells < 1:
            raise UserError(f"max_cells must be a whole number, at least 1, got {max_cells!r}")
        multiplicity = np.bincount(self.crystal.roles).tolist()
        steps = [sum(parts) // gcd(sum(parts), n) for parts, n in zip(self.parts, multiplicity, strict=True)]
        step = lcm(*steps)
        if step > max_cells:
            sites = " and ".join(
                f"{role} has {n} site{'s' * (n > 1)}"
                for role, parts, n in zip(self.prototype.roles, self.parts, multiplicity, strict=True)
                if len(parts) > 1
            )
            raise UserError(
                f"{self.prototype.name}: {sites} in a primitive cell, so {self.formula} needs supercells: "
                f"max_cells must be at least {step}, got {max_cells}"
            )
        return range(step, max_cells + 1, step)

    def amounts(self, cells: int) -> list[list[int]]:
        """Sites of each part of each role in so many cells."""
        multiplicity = np.bincount(self.crystal.roles).tolist()
        return [
            [cells * n * size // sum(parts) for size in parts]
            for n, parts in zip(multiplicity, self.parts, strict=True)
        ]

    def expected(self, sizes: range, operations: Operations, limit: int) -> dict[int, int]:
        """Labellings by number of cells, or a refusal where they are too many."""
        labellings: dict[int, int] = {}
        for cells in sizes:
            labellings[cells] = n_labellings(self.amounts(cells))
            if labellings[cells] > limit:
                raise UserError(
                    f"{self.prototype.name}: {self.formula} divides the sites of {cells} primitive cells in "
                    f"{labellings[cells]:,} ways, more than {limit:,}: ask for fewer cells"
                )
        expected = without_smaller_period(labellings)
        same = len(operations.rotations) * len(self.exchanges)
        least = sum(-(-count // (same * cells)) for cells, count in expected.items())
        if least > limit:
            raise UserError(
                f"{self.prototype.name}: {self.formula} has at least {least:,} ordered cells of up to {sizes[-1]} "
                f"primitive cells, more than {limit:,}: ask for fewer cells"
            )
        return expected


def _checked(parts: Any, role: str) -> tuple[int, ...]:
    given = tuple(parts) if hasattr(parts, "__iter__") else (parts,)
    if any(isinstance(part, bool) or not isinstance(part, int) or part < 1 for part in given):
        raise UserError(f"role {role}: its parts must be positive whole numbers, such as (2, 1), got {parts!r}")
    if len(given) < 2:
        raise UserError(f"role {role}: to divide its sites takes at least two parts, such as (2, 1), got {parts!r}")
    return tuple(part // gcd(*given) for part in given)


class Ordering(NamedTuple):
    """One ordered cell: the sublattice, the new role of each site of its cells, and what to sort by."""

    hermite: Hermite
    labels: NDArray[np.uint8]
    crystal: _isometries.Crystal
    group: int
    symbol: str
    distances: tuple[tuple[int, ...], ...]

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Invariants of the geometry; behind them what depends on the prototype's cell."""
        return len(self.labels), -self.group, self.distances, self.hermite, self.labels.tobytes()


def orderings(divided: Divided, operations: Operations, expected: Mapping[int, int]) -> Iterator[Ordering]:
    """Give each ordered cell once, and make sure that none is missing."""
    supercells: dict[Hermite, Supercell] = {}
    exchanges = divided.exchanges
    found: dict[tuple[Hermite, bytes], int] = {}
    reached = dict.fromkeys(expected, 0)
    for hermite, labels in _enumerated(divided, list(expected)):
        if hermite not in supercells:
            supercells[hermite] = Supercell(hermite, operations)
        representative, orbit = supercells[hermite].canonical(labels, exchanges)
        if representative not in found:
            found[representative] = orbit
            reached[len(labels) // len(divided.crystal.roles)] += orbit
    if reached != expected:
        raise UserError(
            f"{divided.prototype.name}: its cell is nearly, but not quite, symmetric, so that its orderings cannot be "
            "told apart: give it coordinates with more decimals"
        )
    pairs = find_pairs(divided.crystal, _RADIUS)
    for hermite, text in found:
        labels = np.frombuffer(text, dtype=np.uint8)
        crystal = ordered_crystal(divided.crystal, hermite, labels)
        dataset = spglib_call("get_symmetry_dataset", (*crystal[:2], crystal.roles + 1), symprec=SYMPREC)
        if dataset is None:
            raise ValueError(f"no symmetry finder can label an ordered cell of {divided.prototype.name}")
        counts = pair_counts(pairs, hermite, labels, exchanges.shape[1])
        yield Ordering(hermite, labels, crystal, int(dataset.number), str(dataset.international), counts)


def _enumerated(divided: Divided, sizes: list[int]) -> Iterator[tuple[Hermite, NDArray[np.uint8]]]:
    """Give what icet finds: sublattice and labels."""
    from ase import Atoms
    from ase.data import chemical_symbols
    from icet.tools import enumerate_structures

    lattice, frac_coords, roles = divided.crystal
    # icet takes a site at 0.9999 for one of the next cell when an operation carries another there from 0.0001: the
    # origin is moved so that no site lies near a face of the cell
    gaps = [_widest_gap(coordinate) for coordinate in frac_coords.T]
    origin = np.array([middle for middle, _ in gaps])
    shifted = (frac_coords - origin) % 1.0
    delta = shifted[:, None] - shifted + np.eye(len(roles))[:, :, None] / 2
    apart = np.abs(delta - np.round(delta)).max(axis=-1).min()
    symbols = [[chemical_symbols[1 + label] for label in labels] for labels in divided.labels]
    concentrations = {
        symbol: (amount / len(roles),) * 2
        for of_role, amounts in zip(symbols, divided.amounts(sizes[0]), strict=True)
        for symbol, amount in zip(of_role, np.array(amounts) / sizes[0], strict=True)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of spglib, at each call
        enumerated = list(
            enumerate_structures(
                Atoms(roles + 1, cell=lattice, scaled_positions=shifted, pbc=True),
                sizes,
                [symbols[role] for role in roles],
                concentration_restrictions=concentrations,
                niggli_reduce=False,
                symprec=SYMPREC,
                position_tolerance=0.4 * min(apart, *(width for _, width in gaps)),
            )
        )
    inverse = np.linalg.inv(lattice)
    for atoms in enumerated:
        hermite = hermite_form(np.round(atoms.cell.array @ inverse).astype(np.int64))
        places = atoms.positions @ inverse + origin
        delta = places[:, None] - frac_coords
        cells = np.round(delta)
        sites = np.abs(delta - cells).max(axis=-1).argmin(axis=1)
        chosen = cells[np.arange(len(sites)), sites].astype(np.int64)
        labels = np.empty(len(sites), dtype=np.uint8)
        labels[cell_numbers(hermite, chosen) * len(roles) + sites] = atoms.numbers - 1
        yield hermite, labels


def _widest_gap(coordinate: NDArray[np.float64]) -> tuple[float, float]:
    """Middle and width of the widest gap between the sites along an axis of the cell."""
    ordered = np.sort(coordinate % 1.0)
    widths = np.diff(ordered, append=ordered[0] + 1)
    widest = int(widths.argmax())
    return float(ordered[widest] + widths[widest] / 2), float(widths[widest])


def ordered_crystal(crystal: _isometries.Crystal, hermite: Hermite, labels: NDArray[np.uint8]) -> _isometries.Crystal:
    """Build a supercell with its labels as roles, in Niggli's reduced basis, sites ordered by role and place."""
    cells = cells_of(hermite)
    basis = np.array(hermite) @ crystal.lattice
    lattice = spglib_call("niggli_reduce", basis, 1e-5)
    if lattice is None:
        raise ValueError(f"no reduced cell for the lattice {basis.tolist()}")
    positions = (cells[:, None] + crystal.frac_coords).reshape(-1, 3) @ crystal.lattice
    frac_coords = np.round(positions @ np.linalg.inv(lattice), 12) % 1.0
    order = np.lexsort((*np.round(frac_coords, 6).T[::-1], labels))
    return _isometries.Crystal(lattice, frac_coords[order], labels[order].astype(np.int64))


# ideal values of the parameters


def ideal_operations(prototype: Prototype, crystal: _isometries.Crystal) -> Operations | None:
    """Find the isometries that exchange roles at the ideal values for which the prototype declares it."""
    if not prototype.ideal_swaps:
        return None
    roles = crystal.roles
    merged = [min(swap.index(role) for swap in prototype.equivalent_roles) for role in range(len(prototype.roles))]
    for symprec in _IDEAL_TOLERANCES:
        operations = find_operations(crystal, np.array(merged)[roles], symprec)
        onto = roles[operations.sites]
        does = np.array([(onto == np.array(swap)[roles]).all(axis=1) for swap in prototype.ideal_swaps])
        if does.any(axis=1).all():
            return operations.take(np.any(does, axis=0))
    return None


def lifted_swaps(operations: Operations | None, ordering: Ordering) -> tuple[tuple[int, ...], ...]:
    """Exchanges of an ordered cell's roles that follow from those that its prototype declares."""
    if operations is None:
        return ()
    return tuple(sorted(Supercell(ordering.hermite, operations).label_maps(ordering.labels)))
