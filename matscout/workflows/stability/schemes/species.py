"""Elements as a set of calculations treats them: with and without a Hubbard U."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.schemes.base import in_words
from matscout.workflows.stability.schemes.due import hubbard_u, most_electronegative
from matscout.workflows.stability.schemes.protocols import calculated_by, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from pymatgen.core.entries import ComputedEntry

_SAME_U = 1e-3  # eV
_ROLES = {"O": "an oxide", "F": "a fluoride", "S": "a sulfide", "N": "a nitride", "Cl": "a chloride"}


@dataclass(frozen=True)
class Species:
    """What a set of entries calculates with +U, and what without.

    Attributes
    ----------
    functional
        Their run type without +U, such as "GGA", or the protocol they name.
    u_values
        U in eV of each element that has one anywhere.
    with_u, without_u
        Element and most electronegative element of the compounds where the element has a U, and where it has none.
    """

    functional: str
    u_values: Mapping[str, float]
    with_u: frozenset[tuple[str, str]]
    without_u: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, entries: Iterable[ComputedEntry]) -> Self:
        """Learn from entries.

        Raises
        ------
        UserError
            The entries are of two functionals, an element has two values of U, or entries do not say where U is.
        """
        functionals: dict[str, list[object]] = defaultdict(list)
        values: dict[str, dict[float, list[object]]] = defaultdict(lambda: defaultdict(list))
        pairs: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
        listed = list(entries)
        for entry, name in zip(listed, names_of(listed), strict=True):
            functionals[functional_of(entry)].append(name)
            own = hubbard_u(entry)
            anion = most_electronegative(entry)
            for symbol in entry.composition.get_el_amt_dict():
                pairs[symbol in own].add((symbol, anion))
            for symbol, u in own.items():
                values[symbol][u].append(name)
        if len(functionals) != 1:
            raise UserError(
                "elemental energies are fitted to entries of one functional, with or without +U; these are "
                f"{in_words(functionals) or 'none'}"
            )
        for symbol, of_value in values.items():
            if any(map(isnan, of_value)):
                raise UserError(
                    f"entries run with +U do not say on which elements: {some(next(iter(of_value.values())))}; "
                    'give them parameters["hubbards"], in eV'
                )
            if len(of_value) > 1:
                told = " and ".join(f"{u:g} eV ({some(ids)})" for u, ids in sorted(of_value.items()))
                raise UserError(f"{symbol} has two values of U: {told}; an elemental energy belongs to one")
        u_values = {symbol: next(iter(of_value)) for symbol, of_value in sorted(values.items())}
        return cls(next(iter(functionals)), u_values, frozenset(pairs[True]), frozenset(pairs[False]))

    def refusal(self, entry: ComputedEntry) -> str:
        """Why the entry is treated otherwise than these species; empty where it is not."""
        own = hubbard_u(entry)
        if any(map(isnan, own.values())):
            return "run with +U, but its parameters do not say on which elements"
        symbols = entry.composition.get_el_amt_dict()
        if len(symbols) == 1:
            return f"an element run with U = {next(iter(own.values())):g} eV" if own else ""
        anion = most_electronegative(entry)
        kind = _ROLES.get(anion, f"a compound of {anion}")
        for symbol in symbols:
            pair, known = (symbol, anion), self.u_values.get(symbol)
            if symbol in own and (known is None or abs(own[symbol] - known) > _SAME_U):
                had = "without U" if known is None else f"with U = {known:g} eV"
                return f"U = {own[symbol]:g} eV on {symbol}, which the references were fitted {had}"
            if symbol not in own and pair in self.with_u - self.without_u:
                return f"no U on {symbol} in {kind}, where the references were fitted with U = {known:g} eV"
            if symbol in own and pair in self.without_u - self.with_u:
                return f"U on {symbol} in {kind}, where the references were fitted without"
        return ""


def functional_of(entry: ComputedEntry) -> str:
    """Run type of an entry without its +U, or the protocol that it names.

    Examples
    --------
    >>> from pymatgen.core.entries import ComputedEntry
    >>> functional_of(ComputedEntry("FeO", -15, parameters={"run_type": "GGA+U"}))
    'GGA'
    >>> functional_of(ComputedEntry("FeO", -15, data={"protocol": "GGA+U-QE"}))
    'GGA+U-QE'
    """
    return calculated_by(entry).removesuffix("+U")


def species_of(entry: ComputedEntry) -> dict[str, float]:
    """Atoms of each species in the cell: "Fe+U" where iron has a U, "Fe" where not.

    Examples
    --------
    >>> from pymatgen.core.entries import ComputedEntry
    >>> species_of(ComputedEntry("Fe2O3", -30, parameters={"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0}}))
    {'Fe+U': 2.0, 'O': 3.0}
    """
    own = hubbard_u(entry)
    amounts = entry.composition.get_el_amt_dict()
    return {f"{symbol}+U" if symbol in own else symbol: float(amount) for symbol, amount in amounts.items()}
