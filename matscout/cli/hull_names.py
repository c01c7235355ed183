"""What `matscout hull` is asked about: a composition, an entry, a stable phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Composition

    from matscout.workflows.stability import Hull


def composition_meant(name: str, hull: Hull, elements: Sequence[str]) -> tuple[str | Composition, str | int | None]:
    """Composition of a formula, or of the entry of an id; and that id.

    Raises
    ------
    UserError
        It is neither, or of other elements.
    """
    ids = ids_of(hull, elements)
    if _is_formula(name) or name not in ids:
        return inside(name, elements), None
    from pymatgen.core import Composition

    columns = hull.columns(elements)
    amounts = columns.amounts[columns.ids.index(ids[name])]
    return Composition(dict(zip(columns.elements, amounts.tolist(), strict=True))), ids[name]


def ids_of(hull: Hull, elements: Sequence[str]) -> dict[str, str | int]:
    """Ids of the entries of a chemical system, by how they are written."""
    return {str(entry_id): entry_id for entry_id in hull.columns(elements).ids}


def inside(formula: str, elements: Sequence[str]) -> str:
    """Check that a formula is one, and of this chemical system."""
    from matscout.workflows.stability.compositions import fraction_table

    if not _is_formula(formula):
        raise UserError(f'"{formula}" is no formula, and no id of an entry in {"-".join(elements)}')
    outside = sorted(set(fraction_table([formula]).elements) - set(elements))
    if outside:
        raise UserError(f"{formula} holds {', '.join(outside)}, and the chemical system is {'-'.join(elements)}")
    return formula


def stable_phase(name: str, hull: Hull, elements: Sequence[str]) -> str | int:
    """Id of the phase meant, by its id or by its formula."""
    ids = ids_of(hull, elements)
    is_stable = name in ids and ids[name] in hull.stable_ids
    if is_stable or (name in ids and not _is_formula(name)):
        return ids[name]
    phases = list(hull.decompose(inside(name, elements)))
    reaction = hull.reaction(name)
    if len(phases) > 1 or reaction.formulas[phases[0]] != reaction.formula:
        raise UserError(f"{name} is not stable, so no chemical potentials are its own: {reaction}")
    return phases[0]


def _is_formula(text: str) -> bool:
    from matscout.workflows.stability.compositions import fraction_table

    try:
        fraction_table([text])
    except UserError:
        return False
    return True


def formulas_of(hull: Hull, elements: Sequence[str]) -> dict[str | int, str]:
    """Return the formula of each entry of a system, and of elements that are not listed."""
    from matscout.workflows.stability.compositions import fraction_table
    from matscout.workflows.stability.naming import formula, reduced_formulas
    from matscout.workflows.stability.systems import UNLISTED

    columns = hull.columns(elements)
    table = fraction_table((columns.amounts, columns.elements))
    names: dict[str | int, str] = {}
    for element in elements:
        names[element] = names[f"{element}{UNLISTED}"] = formula(fraction_table([element]), 0)
    return names | dict(zip(columns.ids, reduced_formulas(table, range(len(table))), strict=True))


def same_composition(entry_id: str | int, hull: Hull, elements: Sequence[str]) -> set[str | int]:
    """Ids of all entries of an entry's composition, itself among them."""
    from matscout.workflows.stability.compositions import grid_keys

    columns = hull.columns(elements)
    if entry_id not in columns.ids:
        return {entry_id}  # an element that is not listed
    keys = grid_keys(columns.amounts)
    same = (keys == keys[columns.ids.index(entry_id)]).all(axis=1)
    return {columns.ids[row] for row in same.nonzero()[0].tolist()}
