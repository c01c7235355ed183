"""Magnetic starting moments and Hubbard U, as a protocol's policy says.

The Materials Project starts every calculation ferromagnetic, with high-spin moments on a list of elements, and puts a U
on the d electrons of eight transition metals in oxides and fluorides (Jain et al., APL Materials 1, 011002 (2013),
doi:10.1063/1.4812323; U values after Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107 (2006),
doi:10.1103/PhysRevB.73.195107). Where several orderings are asked for, they are enumerated as ordered cells of spins up
and down. pymatgen's own enumerator needs the program enumlib, which no package registry or distribution here brings;
the enumeration of `matscout.workflows.enumeration.ordering`, through icet, takes its place.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from matscout.db.documents import MagneticStart
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

MOMENTS = {
    "V": 5.0, "Cr": 5.0, "Mn": 5.0, "Fe": 5.0, "Co": 0.6, "Ni": 5.0, "Mo": 5.0, "W": 5.0, "Ce": 5.0, "Pr": 2.0,
    "Nd": 3.0, "Pm": 4.0, "Sm": 5.0, "Eu": 10.0, "Gd": 7.0, "Tb": 6.0, "Dy": 5.0, "Ho": 4.0, "Er": 3.0, "Tm": 2.0,
    "Yb": 1.0,
}  # fmt: skip
"""Starting moments of the Materials Project (MPRelaxSet), Bohr magnetons, those of trivalent lanthanides included."""

HUBBARD_U = {
    anion: {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}
    for anion in ("F", "O")
}
"""Hubbard U of the Materials Project on d electrons, eV, by the anion that it stands beside."""

FERROMAGNETIC = "ferromagnetic"
NOT_ENUMERABLE = "ferromagnetic, antiferromagnetic ones not enumerable"
"""Name of the ferromagnetic ordering where spins half up and half down were asked for, and are too many."""

MOST_KINDS = 8
"""Kinds of magnetic sites, times cells, of which spins are enumerated: two kinds in four cells take up to a minute."""


class Ordering(NamedTuple):
    """A magnetic ordering: its name, and the crystal in the cell of it with moments as site property ``magmom``."""

    name: str
    structure: Structure


def hubbard_u(structure: Structure, table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """U of each element that has one, eV: where the most electronegative element of the crystal is in the table.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure(Lattice.cubic(3), ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> hubbard_u(salt, HUBBARD_U)
    {'Ni': 6.2}
    """
    elements = sorted(structure.composition.element_composition.elements, key=lambda element: element.X)
    if len(elements) < 2:
        return {}
    values = table.get(elements[-1].symbol, {})
    return {e.symbol: float(values[e.symbol]) for e in elements if values.get(e.symbol)}


def check_policy(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse moments and U values of a protocol that nothing could be done with.

    Raises
    ------
    UserError
        An unknown element, a value that is no number, or moments in INCAR beside several orderings.
    """
    policy = settings.get("magnetism", {})
    for setting in ("moments", "moments_of_the_element"):
        _check_values(name, f"magnetism.{setting}", policy.get(setting, {}))
    for anion, values in settings.get("hubbard_u", {}).items():
        _check_element(name, "hubbard_u", anion)
        if not isinstance(values, dict):
            raise UserError(
                f"protocol {name}: hubbard_u.{anion} is {values!r}: a U is written by the anion that it stands beside "
                "and its element, such as hubbard_u.O.Fe=5.3"
            )
        _check_values(name, f"hubbard_u.{anion}", values)
    if policy.get("orderings", 1) > 1 and settings.get("incar", {}).get("MAGMOM"):
        raise UserError(
            f"protocol {name}: moments of incar.MAGMOM would stand in the place of those of each ordering: leave them "
            "out, or ask for magnetism.orderings=1"
        )


def _check_values(name: str, setting: str, values: Mapping[str, Any]) -> None:
    for symbol, value in values.items():
        _check_element(name, setting, symbol)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise UserError(f"protocol {name}: {setting}.{symbol} is a number, or null for none, not {value!r}")


def _check_element(name: str, setting: str, symbol: str) -> None:
    from matscout.db._elements import atomic_numbers

    if symbol not in atomic_numbers():
        close = nearest(symbol, atomic_numbers())
        hint = f" Nearest: {close}." if close else ""
        raise UserError(f'protocol {name}: {setting} is by element, and none is called "{symbol}".{hint}')


def moments_by_element(symbols: Sequence[str], policy: Mapping[str, Any]) -> dict[str, float]:
    """Return the starting moment of each element of a crystal that a policy names one for."""
    table = dict(policy["moments"])
    if len(set(symbols)) == 1:
        table |= policy.get("moments_of_the_element", {})
    return {symbol: float(moment) for symbol, moment in table.items() if moment is not None and symbol in symbols}


def starting_moments(structure: Structure, policy: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Moment of each atom to begin with, Bohr magnetons; None where no spin polarisation is due.

    Parameters
    ----------
    structure
        The crystal. Moments that it has already, as site property ``magmom``, are kept.
    policy
        ``moments`` by element, ``default`` for the others in a crystal that has one of these, and
        ``moments_of_the_element`` for crystals of one element alone, such as oxygen's molecules.
    """
    given = structure.site_properties.get("magmom")
    if given is not None:
        return tuple(float(moment) for moment in given)
    symbols = [site.specie.symbol for site in structure]
    table = moments_by_element(symbols, policy)
    if not any(table.values()):
        return None
    return tuple(float(table.get(symbol, policy["default"])) for symbol in symbols)


def magnetic_start(
    structure: Structure, settings: Mapping[str, Any], ordering: str | None = None
) -> MagneticStart | None:
    """Describe how a calculation's moments begin; None for a protocol without a policy of its own."""
    policy = settings.get("magnetism")
    if policy is None or "moments" not in policy:
        return None
    moments = starting_moments(structure, policy)
    return MagneticStart(
        policy=policy["policy"],
        ordering=ordering or ("none" if moments is None else FERROMAGNETIC),
        moments=moments,
        hubbard_u=hubbard_u(structure, settings.get("hubbard_u", {})),
    )


def orderings(structure: Structure, policy: Mapping[str, Any]) -> list[Ordering]:
    """Find the magnetic orderings that a calculation is to try, the ferromagnetic one first.

    Parameters
    ----------
    structure
        The crystal.
    policy
        ``orderings``, how many at most, and ``ordering_cells``, how many primitive cells an antiferromagnetic one may
        have, beside what `starting_moments` takes.

    Returns
    -------
    One, or none where no element is magnetic, unless several are asked for. Then the ferromagnetic one; with several
    magnetic elements those in which whole elements point down; then those with half of the spins of each kind of site
    down, smallest cells and highest symmetry first. Where the last are too many to enumerate, or none fits into so many
    cells, the name of the ferromagnetic one says so.
    """
    moments = starting_moments(structure, policy)
    if moments is None:
        return []
    wanted = policy.get("orderings", 1)
    found = [Ordering(FERROMAGNETIC, _with_moments(structure, moments))]
    symbols = [site.specie.symbol for site in structure]
    table = {symbol: moment for symbol, moment in moments_by_element(symbols, policy).items() if moment}
    magnetic = [symbol for symbol in dict.fromkeys(symbols) if symbol in table]
    if wanted > 1 and magnetic:
        found += _ferrimagnetic(structure, magnetic, moments)
    if wanted > len(found) and magnetic:
        try:
            found += _antiferromagnetic(structure, table, policy)
        except UserError:  # the enumeration's own: too many, or half of the spins of such cells is no whole number
            found[0] = found[0]._replace(name=NOT_ENUMERABLE)
    return found[:wanted]


def _with_moments(structure: Structure, moments: Sequence[float]) -> Structure:
    new = structure.copy()
    new.add_site_property("magmom", list(moments))
    return new


def _ferrimagnetic(structure: Structure, magnetic: Sequence[str], moments: Sequence[float]) -> list[Ordering]:
    """Turn whole elements round; the first stays up, as all spins turned round are the same ordering."""
    found = []
    for turned in product((1.0, -1.0), repeat=len(magnetic) - 1):
        sign = dict(zip(magnetic, (1.0, *turned), strict=True))
        down = [element for element in magnetic if sign[element] < 0]
        if down:
            turned_moments = [m * sign.get(site.specie.symbol, 1.0) for m, site in zip(moments, structure, strict=True)]
            name = f"ferrimagnetic, {' and '.join(down)} down"
            found.append(Ordering(name, _with_moments(structure, turned_moments)))
    return found


def _antiferromagnetic(structure: Structure, table: Mapping[str, float], policy: Mapping[str, Any]) -> list[Ordering]:
    from pymatgen.core import Element, Species, Structure

    from matscout.workflows.enumeration.ordering import ordered_structures

    kinds = _kinds(structure, table)
    if kinds * policy["ordering_cells"] > MOST_KINDS:
        raise UserError(f"{kinds} kinds of magnetic sites in {policy['ordering_cells']} cells are too many")
    halves = {element: {Species(element, spin=sign * table[element]): 0.5 for sign in (1, -1)} for element in table}
    symbols = [site.specie.symbol for site in structure]
    mixed = Structure(
        structure.lattice, [halves.get(symbol, {Element(symbol): 1.0}) for symbol in symbols], structure.frac_coords
    )
    found = []
    for number, cell in enumerate(ordered_structures(mixed, max_cells=policy["ordering_cells"]), start=1):
        spins = [getattr(site.specie, "spin", None) for site in cell]
        bare = Structure(cell.lattice, [site.specie.symbol for site in cell], cell.frac_coords)
        bare.scale_lattice(structure.volume / len(structure) * len(bare))
        moments = [float(policy["default"] if spin is None else spin) for spin in spins]
        found.append(Ordering(f"antiferromagnetic {number}", _with_moments(bare, moments)))
    return found


def _kinds(structure: Structure, magnetic: Mapping[str, float]) -> int:
    """Count the magnetic sites that no symmetry carries onto one another: the enumeration's time grows with them."""
    from matscout.db._symmetry import spglib_call
    from matscout.db.prototypes import SYMPREC

    scale = (len(structure) / structure.volume) ** (1 / 3)
    cell = (scale * structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    dataset = spglib_call("get_symmetry_dataset", cell, symprec=SYMPREC)
    if dataset is None:
        raise UserError(f"{structure.composition.reduced_formula}: no symmetry finder can treat it; do atoms overlap?")
    return len(
        {o for o, s in zip(dataset.crystallographic_orbits, structure, strict=True) if s.specie.symbol in magnetic}
    )
