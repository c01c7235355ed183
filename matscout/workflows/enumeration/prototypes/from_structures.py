"""The user's own prototypes: any ordered crystal, whose orbits, or elements, become roles to decorate."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from matscout.crystals.structure_files import NamedStructure, RefusedCrystal, read_structures
from matscout.db.prototypes import Prototype
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.prototypes._canonical import CanonicalCell, canonical_cell

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

Roles = Literal["orbits", "elements"]

#: Two sites nearer than this are one atom written twice, in Å: the shortest bond there is, in H2, has 0.74 Å.
OVERLAP = 0.5

#: The largest unit cells in the AFLOW library have a few hundred sites; molecular dynamics cells have more.
MOST_SITES = 500

_ISOTOPES = {"D": "deuterium", "T": "tritium"}


def prototype_from_structure(
    structure: Structure,
    name: str | None = None,
    *,
    roles: Roles = "orbits",
    symprec: float = 0.01,
    source: str = "",
) -> Prototype:
    """Make a prototype of a crystal: its sites' orbits, or its elements, become roles.

    The prototype's cell is primitive, and as symmetric as the crystal is within `symprec`. It does not depend on the
    cell, the origin, the axes and the order of the sites that the crystal came with; so neither do roles, key and the
    ids of candidates. They do change with the name, with `symprec` where it changes the symmetry, and with the digits
    that the crystal is written with: two refinements of one mineral are two prototypes, and `Prototype.role_maps`
    compares them. Mirror images stay two. Where a crystal is distorted by just about `symprec`, its symmetry hangs on
    the cell it is written in, and so does all the rest.

    Parameters
    ----------
    structure
        An ordered crystal; oxidation states and other properties of its sites are left out.
    name
        The reduced formula when None.
    roles
        `orbits`: one role per crystallographic orbit, named by its element, with numbers where the element has several
        orbits (`O1`, `O2`, the smaller orbit first, then by coordinates in the prototype's cell; Wyckoff letters would
        change with the choice of origin). `elements`: one role per element.
    symprec
        How far sites may be from the places that symmetry gives them, in Å.
    source
        Where the crystal comes from.

    Returns
    -------
    Roles in the order of the elements in the formula. The label is AFLOW's; where there is none, it is empty, and the
    description says why.

    Raises
    ------
    UserError
        No atoms; partial occupancies; overlapping atoms; dummy atoms or isotopes; more than 500 sites; a cell that
        no symmetry finder can label; a tolerance that is not positive.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> batio3 = Structure(
    ...     Lattice.cubic(4.0), ["Ba", "Ti", "O", "O", "O"],
    ...     [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    ... )
    >>> prototype_from_structure(batio3)
    Prototype('BaTiO3', roles=('Ba', 'Ti', 'O'), n_sites=5)
    """
    if roles not in ("orbits", "elements"):
        close = nearest(str(roles), ["orbits", "elements"])
        raise UserError(f'roles: orbits or elements, got "{roles}".' + (f" Nearest: {close}." if close else ""))
    _check_symprec(symprec)
    shown = name or _formula_of(structure)
    try:
        numbers = atomic_numbers_of(structure)
        cell = canonical_of(structure, numbers, symprec)
    except UserError as error:
        raise UserError(f"{shown}: {error}") from None
    label, complaint = _label(cell, symprec)
    role_names, role_of_site = _roles(cell, by_orbit=roles == "orbits")
    return Prototype(
        name=shown,
        label=label,
        roles=role_names,
        lattice=cell.lattice,
        frac_coords=cell.frac_coords,
        role_of_site=role_of_site,
        description=_formula_of(structure) + complaint,
        source=source,
    )


def read_prototype(
    path: str | os.PathLike[str], name: str | None = None, *, roles: Roles = "orbits", symprec: float = 0.01
) -> Prototype:
    """Make a prototype of the one crystal in a file.

    Parameters
    ----------
    path
        What `read_structures` reads.
    name
        The file's name without its ending when None.
    roles, symprec
        See `prototype_from_structure`.

    Raises
    ------
    UserError
        The file cannot be read, holds several crystals, or its crystal cannot be a prototype.
    """
    structures, refused = read_structures(path)
    if len(structures) + len(refused) > 1:
        raise UserError(
            f"{path}: {len(structures) + len(refused)} crystals where one is expected: read_prototypes takes all of "
            "them"
        )
    if refused:
        raise UserError(f"{path}: {refused[0].reason}")
    try:
        return prototype_from_structure(
            structures[0].structure, name or structures[0].name, roles=roles, symprec=symprec, source=str(path)
        )
    except UserError as error:
        _, _, reason = str(error).partition(": ")
        raise UserError(f"{path}: {reason}") from None


def read_prototypes(
    paths: Iterable[str | os.PathLike[str]], *, roles: Roles = "orbits", symprec: float = 0.01
) -> tuple[list[Prototype], list[RefusedCrystal]]:
    """Make prototypes of all crystals in some files.

    Parameters
    ----------
    paths
        What `read_structures` reads, with one crystal or several.
    roles, symprec
        See `prototype_from_structure`.

    Returns
    -------
    prototypes
        In the order of the files, each under a name of its own.
    refused
        Files and crystals that cannot be prototypes, and those whose name is taken by an earlier one.

    Raises
    ------
    UserError
        A tolerance that is not positive: the files are not at fault.
    """
    _check_symprec(symprec)
    prototypes: list[Prototype] = []
    refused: list[RefusedCrystal] = []
    homes: dict[str, str] = {}
    for path in paths:
        structures, bad = _read_or_refuse(path)
        refused += [
            RefusedCrystal(str(path) if item.name in str(path) else f"{path}, {item.name}", item.reason) for item in bad
        ]
        for name, structure in structures:
            where = str(path) if len(structures) == 1 else f"{path}, {name}"
            if name in homes:
                refused.append(RefusedCrystal(where, f"the name {name} is taken by {homes[name]}: give it another"))
                continue
            try:
                made = prototype_from_structure(structure, name, roles=roles, symprec=symprec, source=where)
            except UserError as error:
                refused.append(RefusedCrystal(where, str(error).removeprefix(f"{name}: ")))
                continue
            prototypes.append(made)
            homes[name] = where
    return prototypes, refused


def _read_or_refuse(path: str | os.PathLike[str]) -> tuple[list[NamedStructure], list[RefusedCrystal]]:
    try:
        return read_structures(path)
    except UserError as error:
        return [], [RefusedCrystal(str(path), str(error).removeprefix(f"{path}: "))]


def _check_symprec(symprec: Any) -> None:
    if isinstance(symprec, bool) or not isinstance(symprec, int | float) or not 0 < symprec < 1:
        raise UserError(f"symprec: a length between 0 and 1 Å is expected, got {symprec!r}")


# checks


def atomic_numbers_of(structure: Structure) -> NDArray[np.int64]:
    """Return the atomic number of each site of a crystal that can be a prototype, shape (n_sites,).

    Raises
    ------
    UserError
        It cannot; the sentence does not name the crystal.
    """
    if not getattr(structure, "lattice", None):
        raise UserError(f"a Structure with a lattice is expected, got a {type(structure).__name__}")
    if not len(structure):
        raise UserError("it has no atoms")
    if len(structure) > MOST_SITES:
        raise UserError(f"{len(structure)} sites are no prototype's cell: at most {MOST_SITES} are taken")
    numbers = np.array([_atomic_number(site, place) for place, site in enumerate(structure, start=1)])
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise UserError("its cell or a coordinate is not a finite number")
    _refuse_overlaps(structure)
    return numbers


def _atomic_number(site: Any, place: int) -> int:
    if not site.is_ordered:
        held = site.species.formula.replace(" ", "")
        raise UserError(
            f"{_site_name(site, place)} holds {held}: an ordered cell is needed; make the ordered cells of its mixed "
            "sites first"
        )
    # the symbol of deuterium is H in pymatgen, and only its name is D
    symbol = str(getattr(getattr(site.specie, "element", site.specie), "name", site.specie))
    if symbol in _ISOTOPES:
        raise UserError(f"{_site_name(site, place)} holds {_ISOTOPES[symbol]}: write H for all of its isotopes")
    if type(site.specie).__name__ == "DummySpecies":
        raise UserError(
            f"{_site_name(site, place)} holds {site.specie.symbol}, which is no element: leave vacancies out"
        )
    return int(site.specie.Z)


def _site_name(site: Any, place: int) -> str:
    label = str(getattr(site, "label", "") or "")
    return f"site {place}" + (f" ({label})" if label and label != site.species_string else "")


def _refuse_overlaps(structure: Structure) -> None:
    shortest = min(structure.lattice.abc)
    packed = structure.volume / len(structure)
    if packed < 1e-3:
        raise UserError("the vectors of its cell lie in a plane: it has no volume")
    if shortest < OVERLAP or packed < OVERLAP**3 / np.sqrt(2):  # of close-packed spheres at this distance
        raise UserError(f"its atoms overlap: {packed:.2g} Å³ per atom, shortest cell vector {shortest:.2g} Å")
    distances = structure.distance_matrix + np.diag(np.full(len(structure), np.inf))
    if distances.min() < OVERLAP:
        first, second = sorted(int(i) for i in np.unravel_index(distances.argmin(), distances.shape))
        names = [f"{_site_name(structure[i], i + 1)}, {structure[i].species_string}," for i in (first, second)]
        raise UserError(f"{names[0]} and {names[1]} overlap: {distances.min():.2g} Å apart, less than {OVERLAP} Å")


# cell, roles, label


def canonical_of(structure: Structure, kinds: NDArray[np.int64], symprec: float) -> CanonicalCell:
    """Return the canonical cell of a structure whose sites are told apart by `kinds`, shape (n_sites,)."""
    cell = canonical_cell(structure.lattice.matrix, structure.frac_coords, kinds, symprec)
    if cell is None:
        raise UserError(f"no symmetry finder can label its cell at {symprec:g} Å: try another symprec")
    return cell


def formula_order(numbers: Sequence[int]) -> list[int]:
    """Sort atomic numbers as a formula does: by electronegativity, the unknown last, then by symbol."""
    from matscout.db._elements import electronegativities, symbols

    values = electronegativities()
    return sorted(numbers, key=lambda z: (bool(np.isnan(values[z])), float(np.nan_to_num(values[z])), symbols()[z]))


class _Named(NamedTuple):
    names: tuple[str, ...]
    of_site: NDArray[np.int64]


def _roles(cell: CanonicalCell, *, by_orbit: bool) -> _Named:
    from matscout.db._elements import symbols

    names: list[str] = []
    of_site = np.empty(len(cell.kinds), dtype=np.int64)
    for number in formula_order(np.unique(cell.kinds).tolist()):
        mine = cell.kinds == number
        symbol = symbols()[number]
        n_orbits = int(cell.orbits[mine].max()) + 1 if by_orbit else 1
        of_site[mine] = len(names) + (cell.orbits[mine] if by_orbit else 0)
        names += [symbol] if n_orbits == 1 else [f"{symbol}{place}" for place in range(1, n_orbits + 1)]
    return _Named(tuple(names), of_site)


def _formula_of(structure: Any) -> str:
    composition = getattr(structure, "composition", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements without an electronegativity
        return str(composition.reduced_formula) if composition else type(structure).__name__


def _label(cell: CanonicalCell, symprec: float) -> tuple[str, str]:
    """AFLOW label, or none and the complaint about it."""
    from pymatgen.core.structure import Structure

    from matscout.crystals.protostructure import protostructure_label
    from matscout.db._elements import symbols

    structure = Structure(cell.lattice, [symbols()[kind] for kind in cell.kinds.tolist()], cell.frac_coords)
    size = (structure.volume / len(structure)) ** (1 / 3)  # labels take a tolerance where one atom has the volume 1
    try:
        return protostructure_label(structure, symprec / size).partition(":")[0], ""
    except UserError as error:
        return "", f"; no AFLOW label ({error})"
