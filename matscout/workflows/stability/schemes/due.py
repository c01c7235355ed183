"""When MP2020 corrects an entry: its U, and which of its elements are anions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pymatgen.core.composition import Composition

from matscout.workflows.stability.schemes.mp2020_table import mp2020_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core.entries import ComputedEntry

_SULFIDES = frozenset({"sulfide", "polysulfide"})
_SAME_U = 1e-6  # eV
_UNKNOWN_U = float("nan")


def hubbard_u(entry: ComputedEntry) -> dict[str, float]:
    """U in eV of each element of the entry that has one; NaN for all where only the run type says that there is a U."""
    given = entry.parameters.get("hubbards")
    if given:
        present = entry.composition.get_el_amt_dict()
        return {symbol: float(u) for symbol, u in given.items() if abs(float(u)) > _SAME_U and symbol in present}
    run_type = str(entry.parameters.get("run_type") or entry.data.get("run_type") or "")
    if run_type.replace("_U", "+U").endswith("+U"):
        return dict.fromkeys(entry.composition.get_el_amt_dict(), _UNKNOWN_U)
    return {}


def is_due(entry: ComputedEntry) -> bool:
    """Whether MP2020 would change the energy of an entry of Materials Project settings.

    The rule of pymatgen's MaterialsProject2020Compatibility, told without its corrections: oxygen other than in
    ozonides, sulfur in sulfides, an element of the table whose oxidation state is -1 or less, or that is the most
    electronegative where the state is not known, or a Hubbard U.
    """
    amounts = entry.composition.get_el_amt_dict()
    if len(amounts) == 1:
        return False
    if hubbard_u(entry) or ("O" in amounts and entry.data.get("oxide_type") != "ozonide"):
        return True
    if "S" in amounts and (entry.data.get("sulfide_type") or "sulfide") in _SULFIDES:
        return True
    anions = mp2020_table().anions.intersection(amounts) - {"S"}
    if not anions:
        return False
    states, most = _oxidation_states(entry), most_electronegative(entry)
    known = {anion: float(states.get(anion, 0)) for anion in anions}
    return any(state <= -1 or (state >= 0 and anion == most) for anion, state in known.items())


def most_electronegative(entry: ComputedEntry) -> str:
    """Symbol of the element with the largest Pauling electronegativity: the last one where two tie, as Cu and Si do.

    So does pymatgen take it, which makes its corrections of such compounds depend on the order of the elements.
    """
    return str(max(reversed(entry.composition.elements), key=lambda element: element.X).symbol)


def _oxidation_states(entry: ComputedEntry) -> Mapping[str, float]:
    """Oxidation states as pymatgen's compatibility takes them: given with the entry, else guessed; none if unknown."""
    given: Mapping[str, float] | None = entry.data.get("oxidation_states")
    return _guessed_states(entry.composition.formula) if given is None else given


@lru_cache(maxsize=4096)
def _guessed_states(formula: str) -> Mapping[str, float]:
    try:
        guesses = Composition(formula).oxi_state_guesses(max_sites=-20)
    except ValueError:  # too large a formula
        return {}
    return guesses[0] if guesses else {}
