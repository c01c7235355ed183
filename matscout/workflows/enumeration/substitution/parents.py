"""Known crystals as parents of new ones: one role per ion, oxidation states given or found."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from matscout.crystals.structure_files import NamedStructure, RefusedCrystal, read_structures
from matscout.db._elements import electronegativities, symbols
from matscout.db.prototypes import Prototype
from matscout.errors import UserError
from matscout.workflows.enumeration.filters.oxidation import MISSING_COMMON_STATES, common_oxidation_states
from matscout.workflows.enumeration.prototypes.from_structures import atomic_numbers_of, canonical_of, formula_order
from matscout.workflows.enumeration.substitution.bond_valence import likely_charges
from matscout.workflows.enumeration.substitution.ion_substitution import ion_name, ion_table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

#: Charges are written behind the atomic number where sites are told apart: 100 Z + 50 + charge.
_KIND, _NEUTRAL = 100, 50

#: Guesses by bond valence end after so many combinations of valences; pymatgen's own limit is ten times as many.
_COMBINATIONS = 10_000

#: Sums of given oxidation states nearer to 0 than this are neutral.
_NEUTRALITY = 1e-6


class KnownCrystal(NamedTuple):
    """A known crystal whose ions can be replaced.

    Parameters
    ----------
    name
        The name that the user knows it by; no two of a list have the same.
    formula
        Reduced formula.
    prototype
        The crystal with one role per ion, or per element where its oxidation states are unknown.
    decoration
        Its own elements by role, atomic numbers.
    ions
        Place of each role's ion in `ion_substitution.ion_table`; empty where it cannot be a parent. Then it still is a
        crystal that is known.
    structure
        The crystal itself, without oxidation states.
    """

    name: str
    formula: str
    prototype: Prototype
    decoration: tuple[int, ...]
    ions: tuple[int, ...]
    structure: Structure

    def __repr__(self) -> str:
        return f"KnownCrystal({self.name!r}, {self.formula!r}, {len(self.structure)} sites)"


class _Collection(Protocol):
    def find(self, query: dict[str, Any], projection: dict[str, int]) -> Iterable[dict[str, Any]]: ...


class StoreLike(Protocol):
    """What is needed of a `matscout.db.Store`."""

    def collection(self, name: str) -> Any:
        """Return a collection by its name."""
        ...


def structures_in(store: StoreLike, protocol: str | None = None) -> list[NamedStructure]:
    """Return the final crystals of a store's completed calculations, named by formula and calculation.

    Parameters
    ----------
    store
        An open `matscout.db.Store`.
    protocol
        Name of the protocol; calculations of all protocols when None.
    """
    from matscout.db.documents import Geometry

    query: dict[str, Any] = {"state": "completed"} | ({"request.protocol": protocol} if protocol else {})
    calculations: _Collection = store.collection("calculations")
    found = []
    for document in calculations.find(query, {"result.geometry": 1}):
        stored = document["result"]["geometry"]
        if stored:
            geometry = Geometry.model_validate(stored)
            found.append(NamedStructure(f"{geometry.reduced_formula}-{document['_id']}", geometry.to_structure()))
    return sorted(found, key=lambda crystal: crystal.name)


def known_crystals(known: Any, *, symprec: float = 0.01) -> tuple[list[KnownCrystal], list[RefusedCrystal]]:
    """Prepare known crystals for substitution.

    Oxidation states are those on the sites, where they are given. Else they are those of the only neutral combination
    of the elements' common states, in which an element that can be either is an anion only when it is the most
    electronegative one; else those that bond valences give (pymatgen's `BVAnalyzer`, after O'Keeffe and Brese, J. Am.
    Chem. Soc. 113, 3226 (1991), doi:10.1021/ja00009a002), site by site; else pymatgen's best guess for the composition.

    Parameters
    ----------
    known
        Structures, entries with a structure such as `ComputedStructureEntry`, or pairs of name and structure, in any
        mixture; or a file that `read_structures` reads. Take those of a store by `structures_in`.
    symprec
        How far sites may be from the places that symmetry gives them, in Å.

    Returns
    -------
    crystals
        All that can be prototypes, also those without oxidation states. Those without a name get their formula; of
        several of one name the second is called `NAME-2`.
    refused
        Those that cannot be parents, each with the reason: no prototype, no oxidation states, an ion that the table of
        substitution probabilities lacks.

    Raises
    ------
    UserError
        No known crystals; a file that cannot be read.
    """
    crystals: list[KnownCrystal] = []
    taken: dict[str, int] = {}
    named, refused = _named(known)
    for given_name, structure in named:
        taken[given_name] = taken.get(given_name, 0) + 1
        name = given_name if taken[given_name] == 1 else f"{given_name}-{taken[given_name]}"
        try:
            numbers = atomic_numbers_of(structure)
            charges, complaint = _charges(structure, numbers)
            crystals.append(_crystal(name, structure, numbers, charges, symprec))
        except UserError as error:
            refused.append(RefusedCrystal(name, str(error)))
            continue
        if complaint:
            refused.append(RefusedCrystal(name, complaint))
    if not crystals and not refused:
        raise UserError("no known crystals: name at least one")
    return crystals, refused


def _named(known: Any) -> tuple[Iterator[NamedStructure], list[RefusedCrystal]]:
    if isinstance(known, str | Path):
        structures, refused = read_structures(known)
        return iter(structures), refused
    single = hasattr(known, "lattice") or hasattr(known, "structure")
    if not single and not isinstance(known, Iterable):
        raise UserError(f"known: structures, entries or a file of them are expected, got {known!r}")
    return (_with_name(item) for item in ([known] if single else known)), []


def _structure(item: Any) -> Any:
    """Return an entry's structure, or what was given instead of an entry."""
    return getattr(item, "structure", item)


def _with_name(item: Any) -> NamedStructure:
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return NamedStructure(item[0], _structure(item[1]))
    structure = _structure(item)
    if not hasattr(structure, "composition"):
        hint = ": read files by read_structures first" if isinstance(item, str | os.PathLike) else ""
        raise UserError(
            f"known: {item!r} is no structure, no entry with a structure and no pair of name and structure{hint}"
        )
    name = getattr(item, "entry_id", None)
    return NamedStructure(str(name) if name else _formula(structure), structure)


def _formula(structure: Structure) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements without an electronegativity
        return str(structure.composition.reduced_formula)


def _crystal(
    name: str, structure: Structure, numbers: NDArray[np.int64], charges: NDArray[np.int64] | None, symprec: float
) -> KnownCrystal:
    kinds = numbers * _KIND + _NEUTRAL + (0 if charges is None else charges)
    cell = canonical_of(structure, kinds, symprec)
    order = {number: place for place, number in enumerate(formula_order(sorted(set(numbers.tolist()))))}
    roles = sorted(set(cell.kinds.tolist()), key=lambda kind: (order[kind // _KIND], kind))
    decoration = tuple(kind // _KIND for kind in roles)
    names = [symbols()[number] for number in decoration]
    ions: tuple[int, ...] = ()
    if charges is not None:
        names = [ion_name(symbols()[kind // _KIND], kind % _KIND - _NEUTRAL) for kind in roles]
        places = ion_table().places
        ions = tuple(places[ion] for ion in names)
    prototype = Prototype(
        name=name,
        label="",
        roles=tuple(names),
        lattice=cell.lattice,
        frac_coords=cell.frac_coords,
        role_of_site=_places(roles, cell.kinds),
        description=_formula(structure),
        source=f"known crystal {name}",
    )
    return KnownCrystal(name, _formula(structure), prototype, decoration, ions, _plain(structure, numbers))


def _plain(structure: Structure, numbers: NDArray[np.int64]) -> Structure:
    """Return the structure without oxidation states and site properties."""
    from pymatgen.core.structure import Structure

    return Structure(structure.lattice, [symbols()[number] for number in numbers.tolist()], structure.frac_coords)


def _places(roles: list[int], kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    place = {kind: role for role, kind in enumerate(roles)}
    return np.array([place[kind] for kind in kinds.tolist()])


# oxidation states


def _charges(structure: Structure, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, str]:
    """Charge of each site, shape (n,), or None and the reason why the crystal cannot be a parent."""
    charges = _given_charges(structure)
    if charges is None:
        charges = _guessed_charges(structure, numbers)
    if charges is None:
        return None, "no oxidation states of its elements are neutral together: give them on its sites"
    if (charges == 0).any():
        return None, "an element has the oxidation state 0: only ions are substituted"
    known = ion_table().places
    for number, charge in sorted(set(zip(numbers.tolist(), charges.tolist(), strict=True))):
        if ion_name(symbols()[number], charge) not in known:
            return None, f"{ion_name(symbols()[number], charge)} is not in the table of substitution probabilities"
    return charges, ""


def _given_charges(structure: Structure) -> NDArray[np.int64] | None:
    states = [getattr(site.specie, "oxi_state", None) for site in structure]
    if None in states or not any(states):
        return None
    given = np.array(states, dtype=float)
    if np.abs(given - np.round(given)).max() > _NEUTRALITY:
        raise UserError(f"an oxidation state of {given[np.abs(given - np.round(given)).argmax()]:g} is no integer")
    if abs(given.sum()) > _NEUTRALITY:
        raise UserError(f"its oxidation states add up to {given.sum():+g}")
    return np.round(given).astype(np.int64)


def _guessed_charges(structure: Structure, numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
    of_element = _only_neutral(numbers)
    if of_element is None:
        by_site = likely_charges(structure, numbers, _COMBINATIONS)
        if by_site is not None:
            return by_site
        of_element = _by_composition(_formula(structure))
    if of_element is None:
        return None
    return np.array([of_element[number] for number in numbers.tolist()], dtype=np.int64)


def _only_neutral(numbers: NDArray[np.int64]) -> dict[int, int] | None:
    """Charge by atomic number where one combination of common states is neutral, and no other."""
    elements, amounts = np.unique(numbers, return_counts=True)
    values = electronegativities()[elements]
    top = np.nanmax(values) if not np.isnan(values).all() else np.inf
    choices = []
    for number, value in zip(elements.tolist(), values.tolist(), strict=True):
        symbol = symbols()[number]
        # of pymatgen's list alone: with an ion more, compounds of one neutral choice would have several
        states = set(common_oxidation_states(symbol)) - set(MISSING_COMMON_STATES.get(symbol, ()))
        positive = [state for state in states if state > 0]
        choices.append(sorted(state for state in states if state > 0 or value >= top or not positive))
    neutral = [charges for charges in product(*choices) if amounts @ np.array(charges) == 0]
    return dict(zip(elements.tolist(), neutral[0], strict=True)) if len(neutral) == 1 else None


@lru_cache(maxsize=4096)
def _by_composition(formula: str) -> dict[int, int] | None:
    from pymatgen.core.composition import Composition
    from pymatgen.core.periodic_table import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guesses = Composition(formula).oxi_state_guesses(max_sites=-1)
    whole = [guess for guess in guesses if all(float(state).is_integer() for state in guess.values())]
    return {int(Element(symbol).Z): int(state) for symbol, state in whole[0].items()} if whole else None
