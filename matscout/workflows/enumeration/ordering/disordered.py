"""Crystals with mixed or partly filled sites, as the ordered cells that stand for them."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product
from math import lcm
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.db._symmetry import spglib_call
from matscout.db.prototypes import SYMPREC, Prototype
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.ordering.ordered_cells import MAX_PARTS, ordered_prototypes, parse_mixture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.periodic_table import DummySpecies, Element, Species
    from pymatgen.core.sites import PeriodicSite
    from pymatgen.core.structure import Structure

    #: None is a vacancy.
    Occupant = Element | Species | DummySpecies | str | None


class _Filling(NamedTuple):
    """What a role holds: one occupant, or several with their parts."""

    occupants: tuple[Occupant, ...]
    parts: tuple[int, ...] = (1,)


def mixed_structures(
    parent: Structure | Prototype, elements: Mapping[str, str], *, max_cells: int = 1, limit: int = 10_000
) -> list[Structure]:
    """Put mixtures of elements on the sites of a crystal, in all orders.

    Parameters
    ----------
    parent
        An ordered crystal, or a prototype.
    elements
        What takes the place of an element of the crystal, or of a role of the prototype: a mixture as `parse_mixture`
        reads it, or one element. Elements of a crystal that are not named stay; a prototype needs all of its roles.
    max_cells, limit
        As for `ordered_prototypes`.

    Returns
    -------
    Each ordered cell once, at the parent's volume per atom; as its primitive cell.

    Raises
    ------
    UserError
        An element that the crystal, or a role that the prototype does not have; a role without elements; what
        `parse_mixture` and `ordered_prototypes` refuse.

    Examples
    --------
    >>> from matscout.workflows.enumeration import get_prototype
    >>> perovskite = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"])
    >>> [cell.formula for cell in mixed_structures(perovskite, {"O": "O2N"})]
    ['Sr1 Ti1 N1 O2']
    """
    prototype = parent if isinstance(parent, Prototype) else _prototype_of(parent)
    for role in elements:
        if role not in prototype.roles:
            close = nearest(str(role), prototype.roles)
            raise UserError(
                f"{prototype.name} has no {role} to replace, it has {', '.join(prototype.roles)}"
                + (f"; nearest: {close}" if close else "")
            )
    fillings = []
    for role in prototype.roles:
        if role in elements:
            text = elements[role]
            mixture = parse_mixture(text)
            fillings.append(_Filling(mixture.elements, mixture.parts) if mixture else _Filling((text,)))
        elif prototype is parent:
            raise UserError(f"no elements for the role {role} of {prototype.name}")
        else:
            fillings.append(_Filling((role,)))
    return _filled(prototype, fillings, max_cells, limit)


def _prototype_of(structure: Structure) -> Prototype:
    if not structure.is_ordered:
        raise UserError(f"{structure.formula} has mixed sites already: order it with ordered_structures")
    symbols = [site.specie.symbol for site in structure]
    roles = tuple(dict.fromkeys(symbols))
    return Prototype(
        structure.reduced_formula,
        "",
        roles,
        structure.lattice.matrix,
        structure.frac_coords,
        np.array([roles.index(symbol) for symbol in symbols]),
    )


def ordered_structures(disordered: Structure, *, max_cells: int = 1, limit: int = 10_000) -> list[Structure]:
    """Find the ordered cells of a crystal whose sites are partly occupied.

    Each orbit of mixed sites keeps its own occupancies. What is missing to a full site is a vacancy.

    Parameters
    ----------
    disordered
        The crystal, as a CIF with occupancies gives it. An occupancy written with three decimals or more stands for the
        nearest fraction with a denominator up to 12; with two, for thirds and sixths (0.33, 0.67, 0.17, 0.83).
    max_cells, limit
        As for `ordered_prototypes`; in primitive cells of the disordered crystal.

    Returns
    -------
    Each ordered cell once, as its primitive cell; the crystal itself where nothing is mixed.

    Raises
    ------
    UserError
        More than one atom on a site; an occupancy that is no such fraction; what `ordered_prototypes` refuses.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> alloy = Structure(Lattice.cubic(3.8), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    >>> len(ordered_structures(alloy, max_cells=4))
    9
    """
    if disordered.is_ordered:
        return [disordered.copy()]
    fillings = [_filling(site, number) for number, site in enumerate(disordered, start=1)]
    role_of_site = _orbits(disordered, fillings)
    first = [role_of_site.index(role) for role in range(max(role_of_site) + 1)]
    names = [disordered[site].species_string.replace(":", " ") for site in first]
    roles = [f"{name} on site {site + 1}" for name, site in zip(names, first, strict=True)]
    prototype = Prototype(
        disordered.composition.reduced_formula,
        "",
        tuple(roles),
        disordered.lattice.matrix,
        disordered.frac_coords,
        np.array(role_of_site),
    )
    return _filled(prototype, [fillings[site] for site in first], max_cells, limit)


def _filling(site: PeriodicSite, number: int) -> _Filling:
    """Occupants of a site with whole parts, the number counted from 1."""
    shares: dict[Occupant, Fraction] = {
        species: _fraction(amount, f"site {number} ({site.species_string})") for species, amount in site.species.items()
    }
    total = sum(shares.values(), Fraction(0))
    if total > 1:
        raise UserError(f"site {number} ({site.species_string}) holds {float(total):g} atoms, more than one")
    if total < 1:
        shares[None] = 1 - total
    denominator = lcm(*(share.denominator for share in shares.values()))
    if denominator > MAX_PARTS:
        raise UserError(
            f"site {number} ({site.species_string}) is divided into {denominator} parts, more than {MAX_PARTS}: round "
            "its occupancies to simpler fractions"
        )
    ordered = sorted(shares, key=lambda occupant: (-shares[occupant], str(occupant)))
    return _Filling(tuple(ordered), tuple(int(shares[occupant] * denominator) for occupant in ordered))


def _fraction(occupancy: float, where: str) -> Fraction:
    written = Fraction(str(round(occupancy, 6)))
    if written.denominator <= MAX_PARTS:
        return written
    two_decimals = 100 % written.denominator == 0
    for denominator in (3, 6) if two_decimals else range(1, MAX_PARTS + 1):
        near = Fraction(round(occupancy * denominator), denominator)
        if abs(near - written) < (Fraction(1, 200) if two_decimals else Fraction(1, 2000)):
            return near
    raise UserError(
        f"{where} has the occupancy {occupancy:g}, which is no fraction with a denominator up to {MAX_PARTS}: round it "
        "to one"
    )


def _orbits(structure: Structure, fillings: Sequence[_Filling]) -> list[int]:
    """Role of each site: an orbit for mixed sites, the species for others."""
    kinds = list(dict.fromkeys(fillings))
    kind_of_site = [kinds.index(filling) for filling in fillings]
    scale = (len(structure) / structure.volume) ** (1 / 3)
    cell = (scale * structure.lattice.matrix, structure.frac_coords, np.array(kind_of_site) + 1)
    dataset = spglib_call("get_symmetry_dataset", cell, symprec=SYMPREC)
    if dataset is None:
        raise UserError(f"{structure.composition.reduced_formula}: no symmetry finder can treat it; do atoms overlap?")
    orbits = [
        (kind, int(orbit) if len(filling.parts) > 1 else -1)
        for kind, filling, orbit in zip(kind_of_site, fillings, dataset.crystallographic_orbits, strict=True)
    ]
    roles = list(dict.fromkeys(orbits))
    return [roles.index(orbit) for orbit in orbits]


# cells with their elements


def _filled(prototype: Prototype, fillings: Sequence[_Filling], max_cells: int, limit: int) -> list[Structure]:
    """Fill the ordered cells of a prototype, each crystal once."""
    mixtures = {
        role: filling.parts for role, filling in zip(prototype.roles, fillings, strict=True) if len(filling.parts) > 1
    }
    cells = ordered_prototypes(prototype, mixtures, max_cells=max_cells, limit=limit) if mixtures else [prototype]
    occupants = list(dict.fromkeys(occupant for filling in fillings for occupant in filling.occupants))
    ways = list(product(*(_orders(filling) for filling in fillings)))
    numbers = np.array([[occupants.index(o) + 1 for order in way for o in order] for way in ways], dtype=np.uint8)
    different: list[Prototype] = []
    structures = []
    for cell in cells:
        for decoration in np.unique(cell.canonical(numbers), axis=0):
            if numbers.shape[1] > len(occupants):  # one occupant in several roles: cells may become the same
                merged = _merged(cell, decoration)
                if any(_same(merged, other) for other in different):
                    continue
                different.append(merged)
            structures.append(_structure(cell, [occupants[number - 1] for number in decoration.tolist()]))
    return structures


def _orders(filling: _Filling) -> Iterator[tuple[Occupant, ...]]:
    """Give the occupants in all orders that parts of equal size may have."""
    for order in permutations(range(len(filling.parts))):
        if all(filling.parts[i] == part for i, part in zip(order, filling.parts, strict=True)):
            yield tuple(filling.occupants[i] for i in order)


def _merged(cell: Prototype, decoration: NDArray[np.uint8]) -> Prototype:
    """Return the cell with a role for each occupant."""
    present, roles = np.unique(decoration, return_inverse=True)
    names = tuple(str(number) for number in present.tolist())
    return Prototype(cell.name, "", names, cell.lattice, cell.frac_coords, roles[cell.role_of_site])


def _same(first: Prototype, second: Prototype) -> bool:
    return tuple(range(len(first.roles))) in first.role_maps(second)


def _structure(cell: Prototype, occupants: Sequence[Occupant]) -> Structure:
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    filled = [site for site, role in enumerate(cell.role_of_site.tolist()) if occupants[role] is not None]
    species: list[Any] = [occupants[cell.role_of_site[site]] for site in filled]
    return Structure(Lattice(cell.lattice), species, cell.frac_coords[filled])
