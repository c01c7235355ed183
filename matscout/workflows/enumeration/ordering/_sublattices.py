"""Labellings of a crystal's sites that repeat with a sublattice of its lattice, and when two of them are one.

A sublattice is written as its Hermite normal form, the one upper triangular basis with entries from 0 up to below the
diagonal entry of their column: rows in units of the crystal's basis. The cells of the crystal modulo a sublattice have
numbers; a labelling is a label for each site of each of these cells, shape (n_cells * n_sites,), sites fastest.

All is exact: the operations are integer matrices and permutations of sites. How far a site may fall beside another one
matters only where the operations are found.
"""

from __future__ import annotations

from functools import cached_property
from math import factorial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from matscout.db._isometries import Crystal

    Ints = NDArray[np.int64]
    Labels = NDArray[np.uint8]

Hermite = tuple[tuple[int, int, int], ...]


class Operations(NamedTuple):
    """Isometries of a crystal, which move site s of cell z to site `sites[g, s]` of `z @ rotations[g] + cells[g, s]`.

    Parameters
    ----------
    rotations
        Integer matrices for rows, shape (n_operations, 3, 3).
    sites
        Shape (n_operations, n_sites).
    cells
        Shape (n_operations, n_sites, 3).
    """

    rotations: Ints
    sites: Ints
    cells: Ints

    def take(self, keep: NDArray[np.bool_]) -> Operations:
        """Return some of them, by a mask of shape (n_operations,)."""
        return Operations(self.rotations[keep], self.sites[keep], self.cells[keep])


def find_operations(crystal: Crystal, species: Ints, symprec: float) -> Operations:
    """Find the isometries that carry sites onto sites of the same species, pure lattice translations left out.

    Parameters
    ----------
    crystal
        A primitive cell, scaled to the volume 1 per atom.
    species
        Shape (n_sites,): the roles, or fewer where roles may be exchanged.
    symprec
        Largest distance between a moved site and the one it falls on.
    """
    found = spglib_call("get_symmetry", (crystal.lattice, crystal.frac_coords, species + 1), symprec=symprec)
    if found is None:
        raise ValueError("no symmetry finder can treat the crystal")
    rotations = found["rotations"].transpose(0, 2, 1).astype(np.int64)
    moved = crystal.frac_coords @ rotations + found["translations"][:, None]
    delta = moved[:, :, None] - crystal.frac_coords
    offset = np.round(delta)
    distances = np.linalg.norm((delta - offset) @ crystal.lattice, axis=-1)
    sites = distances.argmin(axis=2)
    cells = np.take_along_axis(offset, sites[:, :, None, None], axis=2)[:, :, 0].astype(np.int64)
    permutes = (np.sort(sites, axis=1) == np.arange(len(species))).all(axis=1)
    return Operations(rotations, sites, cells).take(permutes)


def hermite_form(basis: Ints) -> Hermite:
    """Hermite normal form of a sublattice's basis in rows, shape (3, 3).

    Examples
    --------
    >>> hermite_form(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    ((1, 0, 1), (0, 1, 1), (0, 0, 2))
    """
    rows = basis.tolist()
    for i in range(3):
        for j in range(i + 1, 3):
            while rows[j][i]:
                quotient = rows[i][i] // rows[j][i]
                rows[i], rows[j] = rows[j], [x - quotient * y for x, y in zip(rows[i], rows[j], strict=True)]
        if rows[i][i] < 0:
            rows[i] = [-x for x in rows[i]]
        for j in range(i):
            quotient = rows[j][i] // rows[i][i]
            rows[j] = [x - quotient * y for x, y in zip(rows[j], rows[i], strict=True)]
    return tuple((row[0], row[1], row[2]) for row in rows)


def cell_numbers(hermite: Hermite, cells: Ints) -> Ints:
    """Numbers of cells modulo a sublattice, for cells of shape (..., 3)."""
    rest = cells.copy()
    for i, row in enumerate(hermite):
        rest -= (rest[..., i] // row[i])[..., None] * np.array(row)
    return np.asarray((rest[..., 0] * hermite[1][1] + rest[..., 1]) * hermite[2][2] + rest[..., 2])


def cells_of(hermite: Hermite) -> Ints:
    """Cells modulo a sublattice in the order of their numbers, shape (n_cells, 3)."""
    return np.array(list(np.ndindex(*(hermite[i][i] for i in range(3)))), dtype=np.int64)


class Supercell:
    """A sublattice, with what the operations of the crystal and its own translations do to labellings.

    Parameters
    ----------
    hermite
        The sublattice.
    operations
        Operations of the crystal.
    """

    def __init__(self, hermite: Hermite, operations: Operations) -> None:
        self.hermite = hermite
        self.operations = operations
        basis = np.array(hermite)
        self._images = [hermite_form(basis @ rotation) for rotation in operations.rotations]

    @cached_property
    def least(self) -> Hermite:
        """The first of the sublattices that the operations make of this one."""
        return min(self._images)

    @cached_property
    def n_sublattices(self) -> int:
        """Number of sublattices that the operations make of this one."""
        return len(set(self._images))

    @cached_property
    def onto_least(self) -> Ints:
        """See `onto`: the images on `least`."""
        return self.onto(self.least)

    def onto(self, target: Hermite) -> Ints:
        """Images of labellings under all operations that make `target` of this sublattice, and under translations.

        Returns
        -------
        `labels[images]` are the labellings that `labels` becomes, shape (n_images, n_cells * n_sites).
        """
        chosen = self.operations.take(np.array([image == target for image in self._images]))
        cells = cells_of(self.hermite)
        n_sites = self.operations.sites.shape[1]
        # axes: operation, translation, cell, site
        moved = (cells @ chosen.rotations)[:, None, :, None] + chosen.cells[:, None, None]
        moved = moved + cells_of(target)[None, :, None, None]
        places = cell_numbers(target, moved) * n_sites + chosen.sites[:, None, None]
        places = places.reshape(-1, len(cells) * n_sites)
        return np.argsort(places, axis=1)

    def canonical(self, labels: Labels, relabelled: Labels) -> tuple[tuple[Hermite, bytes], int]:
        """Represent a labelling by the first of all that are the same.

        Parameters
        ----------
        labels
            Shape (n_cells * n_sites,).
        relabelled
            What the labels may be exchanged for, shape (n_exchanges, n_labels), the identity among them.

        Returns
        -------
        representative
            `least`, and the labels as bytes.
        orbit
            How many labellings are the same.
        """
        images = relabelled[:, labels[self.onto_least]].reshape(-1, len(labels))
        # one string per row; strings end at a zero, so no label may be one
        strings = np.unique(np.ascontiguousarray(images + np.uint8(1)).view(f"S{len(labels)}")[:, 0])
        first = np.frombuffer(strings[0], dtype=np.uint8) - np.uint8(1)
        return (self.least, first.tobytes()), len(strings) * self.n_sublattices

    def label_maps(self, labels: Labels) -> set[tuple[int, ...]]:
        """Permutations of labels that operations make of a labelling which they otherwise leave as it is."""
        found = set()
        for image in labels[self.onto(self.hermite)] if self.hermite in self._images else ():
            pairs = set(zip(image.tolist(), labels.tolist(), strict=True))
            if len(pairs) == len(dict(pairs)):
                found.add(tuple(label for _, label in sorted(pairs)))
        return found


# distances

#: Two distances that differ by less belong to one shell, where one atom has the volume 1.
_SHELL_GAP = 5e-3


class Pairs(NamedTuple):
    """Pairs of sites of a crystal within a radius, in both directions.

    Parameters
    ----------
    first, second
        Sites, shape (n_pairs,).
    cells
        Cell of the second site, the first being in cell 0, shape (n_pairs, 3).
    shell
        Distances as numbers in rising order, shape (n_pairs,).
    """

    first: Ints
    second: Ints
    cells: Ints
    shell: Ints


def find_pairs(crystal: Crystal, radius: float) -> Pairs:
    """Find the pairs of sites within a radius."""
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    reach = np.ceil(radius / heights).astype(int) + 1
    images = np.array(list(np.ndindex(*(2 * reach + 1)))) - reach
    delta = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    distances = np.linalg.norm((delta + images[:, None, None]) @ crystal.lattice, axis=-1)
    image, first, second = np.nonzero((distances > _SHELL_GAP) & (distances < radius))
    found = distances[image, first, second]
    order = np.argsort(found)
    shell = np.empty(len(order), dtype=np.int64)
    shell[order] = np.cumsum(np.diff(found[order], prepend=found[order[:1]]) > _SHELL_GAP)
    return Pairs(first, second, images[image], shell)


def pair_counts(pairs: Pairs, hermite: Hermite, labels: Labels, n_labels: int) -> tuple[tuple[int, ...], ...]:
    """Count the pairs of labels at each distance: the same for labellings that are the same, labels exchanged or not.

    Returns
    -------
    By shell, the counts from high to low.
    """
    cells = cells_of(hermite)
    by_cell = labels.reshape(len(cells), -1).astype(np.int64)
    other = by_cell[cell_numbers(hermite, cells[:, None] + pairs.cells), pairs.second]
    kind = (pairs.shell * n_labels + by_cell[:, pairs.first]) * n_labels + other
    n_shells = int(pairs.shell.max(initial=-1)) + 1
    counts = np.bincount(kind.ravel(), minlength=n_shells * n_labels**2).reshape(n_shells, -1)
    return tuple(map(tuple, -np.sort(-counts, axis=1)))


# counts


def n_sublattices(n_cells: int) -> int:
    """Count the sublattices of a three-dimensional lattice with `n_cells` cells.

    The sequence A001001 of the On-Line Encyclopedia of Integer Sequences.

    Examples
    --------
    >>> [n_sublattices(n) for n in range(1, 9)]
    [1, 7, 13, 35, 31, 91, 57, 155]
    """
    return sum(second * (n_cells // second // first) ** 2 for first, second in _divisor_pairs(n_cells))


def _divisor_pairs(number: int) -> Iterator[tuple[int, int]]:
    for first in range(1, number + 1):
        if number % first == 0:
            yield from ((first, second) for second in range(1, number // first + 1) if number // first % second == 0)


def n_labellings(counts: Iterable[Iterable[int]]) -> int:
    """Count the ways to label sites: for each role, how many sites get each of its labels.

    Examples
    --------
    >>> n_labellings([[2, 1], [1, 1]])
    6
    """
    total = 1
    for parts in counts:
        sizes = list(parts)
        total *= factorial(sum(sizes))
        for size in sizes:
            total //= factorial(size)
    return total


def without_smaller_period(by_cells: dict[int, int]) -> dict[int, int]:
    """Count the labellings that repeat with a sublattice, and with none that has fewer cells.

    Parameters
    ----------
    by_cells
        For each number of cells, in rising order, the labellings of one supercell of this size; with every size also
        its divisors, where they are possible.

    Returns
    -------
    For the same numbers of cells, the labellings of all supercells of this size together.
    """
    counted: dict[int, int] = {}
    for cells, each in by_cells.items():
        repeated = sum(n_sublattices(cells // other) * count for other, count in counted.items() if cells % other == 0)
        counted[cells] = n_sublattices(cells) * each - repeated
    return counted
