"""A prototype: a crystal structure type whose roles wait for elements.

A prototype holds one reference cell. Its lengths only fix the shape; a candidate's volume is predicted from its
elements.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db import _isometries, _patterns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core.structure import Structure

#: Tolerance of the space group search where one atom has the volume 1: coordinates are published to 3 or 4 decimals.
SYMPREC = 1e-3


@dataclass(frozen=True, eq=False)
class Prototype:
    """A crystal structure type.

    Parameters
    ----------
    name
        Unique name: `cubic-perovskite`, or an AFLOW label, with a formula behind it where several share the label.
    label
        AFLOW label, as `AB3C_cP5_221_a_c_b`.
    roles
        Name of each role: `("A", "B", "X")`. A role is a set of sites that hold the same element.
    lattice
        Reference cell in rows, shape (3, 3), in Å.
    frac_coords
        Fractional coordinates, shape (n_sites, 3).
    role_of_site
        Role of each site as its place in `roles`, shape (n_sites,).
    description
        Mineral, Strukturbericht symbol, example.
    source
        Literature or library that the cell comes from.
    ideal_swaps
        Role permutations under which the crystal would map onto itself if its free parameters had an ideal value that
        the reference cell only comes close to, as the anion's x = 1/4 in chalcopyrite. Candidates that differ by such a
        permutation relax into one crystal, so they are one candidate.

    Examples
    --------
    >>> caesium_chloride = Prototype(
    ...     "my-CsCl", "AB_cP2_221_b_a", ("A", "X"), 4.12 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1]
    ... )
    >>> caesium_chloride.structure(["Cs", "I"], volume_per_atom=48.0).volume.__round__(6)
    96.0
    >>> caesium_chloride.equivalent_roles
    ((0, 1), (1, 0))
    """

    name: str
    label: str
    roles: tuple[str, ...]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    role_of_site: NDArray[np.int64]
    description: str = ""
    source: str = ""
    ideal_swaps: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for field, dtype in (("lattice", float), ("frac_coords", float), ("role_of_site", np.int64)):
            array = np.array(getattr(self, field), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, field, array)
        n_sites, n_roles = len(self.role_of_site), len(self.roles)
        if self.lattice.shape != (3, 3) or abs(np.linalg.det(self.lattice)) < 1e-6:
            raise ValueError(f"prototype {self.name}: the lattice must be three independent vectors, shape (3, 3)")
        if self.frac_coords.shape != (n_sites, 3):
            raise ValueError(
                f"prototype {self.name}: {n_sites} sites have roles, but coordinates have the shape "
                f"{self.frac_coords.shape}"
            )
        if not n_roles or len(set(self.roles)) < n_roles:
            raise ValueError(f"prototype {self.name}: needs roles of different names, got {self.roles}")
        if sorted(set(self.role_of_site.tolist())) != list(range(n_roles)):
            raise ValueError(f"prototype {self.name}: every role in {self.roles} needs a site, and every site a role")
        for swap in self.ideal_swaps:
            if sorted(swap) != list(range(n_roles)) or (self.multiplicity[list(swap)] != self.multiplicity).any():
                raise ValueError(f"prototype {self.name}: {swap} does not permute roles of equal size")

    def __repr__(self) -> str:
        return f"Prototype({self.name!r}, roles={self.roles}, n_sites={self.n_sites})"

    @property
    def n_sites(self) -> int:
        """Number of sites in the reference cell."""
        return len(self.role_of_site)

    @cached_property
    def multiplicity(self) -> NDArray[np.int64]:
        """Number of sites of each role in the reference cell, shape (n_roles,)."""
        return np.bincount(self.role_of_site, minlength=len(self.roles))

    @cached_property
    def reduced_multiplicity(self) -> NDArray[np.int64]:
        """Number of sites of each role in one formula unit, shape (n_roles,)."""
        return self.multiplicity // int(np.gcd.reduce(self.multiplicity))

    @cached_property
    def _symmetry(self) -> Any:
        """What spglib finds for the reference cell with a different element in each role."""
        from matscout.db._symmetry import spglib_call

        lattice = self.lattice * (self.n_sites / abs(np.linalg.det(self.lattice))) ** (1 / 3)
        cell = (lattice, self.frac_coords, self.role_of_site + 1)
        dataset = spglib_call("get_symmetry_dataset", cell, symprec=SYMPREC)
        if dataset is None:
            raise ValueError(f"prototype {self.name}: no symmetry finder can label its cell")
        return dataset

    @property
    def space_group(self) -> int:
        """Space group number (1 to 230) of the reference cell with a different element in each role."""
        return int(self._symmetry.number)

    @property
    def space_group_symbol(self) -> str:
        """Short international symbol, as `Pm-3m`."""
        return str(self._symmetry.international)

    @cached_property
    def wyckoff_positions(self) -> tuple[tuple[str, ...], ...]:
        """Wyckoff positions of each role with their multiplicities in the conventional cell, as `("8c",)`."""
        found = self._symmetry
        lattice_points = 1 / abs(np.linalg.det(found.transformation_matrix))
        orbits, first, count = np.unique(found.crystallographic_orbits, return_index=True, return_counts=True)
        names = [
            f"{round(n * lattice_points)}{found.wyckoffs[site]}"
            for site, n in zip(first.tolist(), count.tolist(), strict=True)
        ]
        role = self.role_of_site[orbits]
        return tuple(
            tuple(sorted((name for name, of in zip(names, role, strict=True) if of == place), key=lambda w: w[-1]))
            for place in range(len(self.roles))
        )

    @property
    def shortest_distances(self) -> NDArray[np.float64]:
        """Shortest distance between the sites of each pair of roles, shape (n_roles, n_roles).

        In units of the cube root of the volume per atom, so that a cell of v Å³/atom has distances of v^(1/3) times
        these, in Å. On the diagonal: between two sites of the same role.
        """
        return self._neighbours[0]

    @property
    def coordination(self) -> NDArray[np.float64]:
        """Effective number of neighbours of one role around a site of another, shape (n_roles, n_roles).

        Of the neighbours in the column's role around the row's role, each counts exp(1 - (d/d_min)^6); so Ti in cubic
        SrTiO3 has 6 O, and O has 2 Ti.
        """
        return self._neighbours[1]

    @cached_property
    def _neighbours(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _isometries.neighbours(self._reduced, len(self.roles))

    @cached_property
    def equivalent_roles(self) -> tuple[tuple[int, ...], ...]:
        """Role permutations that map the crystal onto itself, a group, the identity first.

        Rock salt's two roles may be exchanged, and so may B and B' of an elpasolite with ideal anions: decorations that
        differ only by such a permutation are the same candidate. Includes what follows from `ideal_swaps`.
        """
        identity = tuple(range(len(self.roles)))
        found: set[tuple[int, ...]] = {identity, *self.ideal_swaps}
        if len(set(self.multiplicity.tolist())) < len(self.roles):
            found.update(_isometries.role_maps(self._reduced, self._reduced))
        return _isometries.group_closure(found)

    @cached_property
    def _merged(self) -> dict[tuple[int, ...], Prototype]:
        return {tuple(range(len(self.roles))): self}

    def merged(self, pattern: tuple[int, ...]) -> Prototype:
        """Return the prototype whose roles are this one's merged.

        Parameters
        ----------
        pattern
            Merged role of each role, numbered as they first appear, shape (n_roles,): with (0, 1, 1, 2) an elpasolite
            becomes a cubic perovskite.
        """
        if pattern not in self._merged:
            blocks = [
                "=".join(role for role, place in zip(self.roles, pattern, strict=True) if place == block)
                for block in range(max(pattern) + 1)
            ]
            self._merged[pattern] = Prototype(
                f"{self.name}({','.join(blocks)})",
                "",
                tuple(blocks),
                self.lattice,
                self.frac_coords,
                np.array(pattern)[self.role_of_site],
            )
        return self._merged[pattern]

    @cached_property
    def _equivalents(self) -> dict[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        return {}

    def equivalents(self, pattern: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Say which decorations are the same candidate as one whose equal elements make a pattern.

        Parameters
        ----------
        pattern
            Which roles share an element: the block of each role, numbered as they first appear. Without a shared
            element, (0, 1, 2 ...), the answer is `equivalent_roles`.

        Returns
        -------
        The block whose element each role takes, the pattern itself first.

        Examples
        --------
        >>> from matscout.workflows.enumeration import get_prototype
        >>> heusler = get_prototype("quaternary-heusler")
        >>> len(heusler.equivalents((0, 1, 2, 3))), heusler.equivalents((0, 0, 1, 1))
        (8, ((0, 0, 1, 1), (0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0)))
        """
        if pattern not in self._equivalents:
            self._equivalents[pattern] = _patterns.equivalents(self, pattern)
        return self._equivalents[pattern]

    @cached_property
    def key(self) -> str:
        """Hash of name and geometry, 64 hex characters: the prototype's part of a candidate's id."""
        geometry = {
            "name": self.name,
            "roles": self.roles,
            # rounded, and without negative zeros, so that the key outlives a change of the last digit
            "lattice": (np.round(self.lattice, 6) + 0.0).tolist(),
            "frac_coords": (np.round(self.frac_coords, 6) + 0.0).tolist(),
            "role_of_site": self.role_of_site.tolist(),
        }
        return hashlib.sha256(json.dumps(geometry, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _reduced(self) -> _isometries.Crystal:
        return _isometries.reduced(_isometries.Crystal(self.lattice, self.frac_coords, self.role_of_site))

    @cached_property
    def _fingerprint(self) -> NDArray[np.float64]:
        return _isometries.fingerprint(self._reduced, len(self.roles))

    def role_maps(self, other: Prototype) -> list[tuple[int, ...]]:
        """Find the maps of roles under which this crystal is the other one, rotated, reflected, moved or scaled.

        Returns
        -------
        `m[i]` is the role of `other` that role `i` falls on; empty when they are different crystals.
        """
        # cheap looks before the search: sites within the tolerance change no sum by more than a percent
        if len(self._reduced.roles) != len(other._reduced.roles) or len(self.roles) != len(other.roles):
            return []
        mine, its = self._fingerprint, other._fingerprint
        if (np.abs(mine - its) > 0.02 * (mine + 0.05)).any():
            return []
        return _isometries.role_maps(self._reduced, other._reduced)

    def canonical(self, decoration: ArrayLike) -> NDArray[np.uint8]:
        """Return the one representative of each decoration among those that are the same candidate.

        Parameters
        ----------
        decoration
            Atomic numbers by role, shape (n, n_roles).

        Returns
        -------
        Shape (n, n_roles): the lexicographically smallest of the equivalent decorations. Where an element fills
        several roles, the isometries of the crystal without their difference count too.
        """
        given = np.asarray(decoration, dtype=np.uint8)
        best = given.copy()
        for pattern, rows in _patterns.by_pattern(given):
            others = self.equivalents(pattern)[1:]
            if not others:
                continue
            columns = _patterns.block_columns(pattern)
            of_pattern = given[rows]
            least = of_pattern.copy()
            for labels in others:
                other = of_pattern[:, columns[list(labels)]]
                differs = other != least
                first = differs.argmax(axis=1)[:, None]
                smaller = np.take_along_axis(other, first, 1) < np.take_along_axis(least, first, 1)
                np.copyto(least, other, where=smaller)
            best[rows] = least
        return best

    def structure(self, elements: Sequence[str], volume_per_atom: float | None = None) -> Structure:
        """Build the crystal with one element per role.

        Parameters
        ----------
        elements
            Element symbol of each role, in the order of `roles`.
        volume_per_atom
            Å³/atom; the reference cell's own when None.
        """
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        if len(elements) != len(self.roles):
            raise ValueError(f"{self.name} has the roles {', '.join(self.roles)}, got {len(elements)} elements")
        lattice = self.lattice
        if volume_per_atom is not None:
            lattice = lattice * (volume_per_atom * self.n_sites / abs(np.linalg.det(lattice))) ** (1 / 3)
        species = [elements[role] for role in self.role_of_site]
        return Structure(Lattice(lattice), species, self.frac_coords)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON types."""
        return {
            "name": self.name,
            "label": self.label,
            "roles": list(self.roles),
            "lattice": self.lattice.tolist(),
            "frac_coords": self.frac_coords.tolist(),
            "role_of_site": self.role_of_site.tolist(),
            "description": self.description,
            "source": self.source,
            "ideal_swaps": [list(swap) for swap in self.ideal_swaps],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Prototype:
        """Build a prototype from what `to_dict` returned."""
        fields = dict(document)
        fields["roles"] = tuple(fields["roles"])
        fields["ideal_swaps"] = tuple(tuple(swap) for swap in fields.get("ideal_swaps", ()))
        return cls(**fields)
