"""Oxidation states by guess, the same for every cell of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymatgen.core.composition import Composition
    from pymatgen.core.structure import Structure

MOST_ATOMS = 50
"""Atoms of the longest formula that is guessed for: the time grows with a power of their number."""


def charged_composition(composition: Composition) -> Composition:
    """Give a composition the oxidation states that pymatgen holds for the most probable ones.

    They are guessed for the formula in smallest whole numbers, then for twice that (SbO2 is Sb3+ and Sb5+); the result
    has these amounts. An element has the state 0; a composition that has oxidation states keeps them.

    Raises
    ------
    UserError
        No states add up to no charge, or the formula is too long.
    """
    from pymatgen.core.composition import Composition
    from pymatgen.core.periodic_table import Species, get_el_sp

    if all(getattr(kind, "oxi_state", None) is not None for kind in composition):
        return composition
    if len(composition.elements) == 1:
        return Composition({Species(kind.symbol, 0): amount for kind, amount in composition.items()})
    # once pymatgen's cache has seen Na of the state 1.0 it hands that out for 1, and matminer counts by the state
    get_el_sp.cache_clear()  # type: ignore[attr-defined]  # a cached function with overloads
    for formula in _formulas(composition):
        charged = formula.add_charges_from_oxi_state_guesses()
        if any(kind.oxi_state for kind in charged):  # pymatgen gives 0 to all where it finds none
            return charged
    raise UserError(_nothing_found(composition))


def charge(structure: Structure) -> None:
    """Give each element of a structure its mean oxidation state, as `charged_composition` finds it, in place.

    Raises
    ------
    UserError
        See `charged_composition`.
    """
    for formula in _formulas(structure.composition):
        if guesses := formula.oxi_state_guesses():
            whole = {element: int(state) if state == int(state) else state for element, state in guesses[0].items()}
            structure.add_oxidation_state_by_element(whole)
            return
    raise UserError(_nothing_found(structure.composition))


def _formulas(composition: Composition) -> Iterator[Composition]:
    from pymatgen.core.composition import Composition

    whole = Composition(composition.element_composition.get_integer_formula_and_factor()[0])
    for formula in (whole, whole * 2):
        if formula.num_atoms <= MOST_ATOMS:
            yield formula
    if whole.num_atoms > MOST_ATOMS:
        raise UserError(
            f"{whole.reduced_formula} has {whole.num_atoms:g} atoms in its formula: oxidation states are guessed for "
            f"at most {MOST_ATOMS}"
        )


def _nothing_found(composition: Composition) -> str:
    return f"{composition.reduced_formula}: no oxidation states of its elements add up to no charge"
