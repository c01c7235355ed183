"""What a user may put into a role: elements, ions, mixtures of elements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.errors import UserError, nearest
from matscout.workflows.enumeration.ordering.ordered_cells import Mixture, parse_mixture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

_ION = re.compile(r"([A-Z][a-z]?)(?:(\d*)([+-])|([+-])(\d+))")


@dataclass(frozen=True)
class Ion:
    """An element with an oxidation state."""

    symbol: str
    state: int


@dataclass(frozen=True)
class Choices:
    """What may fill one role.

    Parameters
    ----------
    numbers
        Atomic numbers of elements that fill it alone, each once.
    mixtures
        Elements that fill it together.
    states
        Oxidation states of those elements that were given as ions.
    """

    numbers: tuple[int, ...]
    mixtures: tuple[Mixture, ...]
    states: Mapping[str, tuple[int, ...]]

    @property
    def column(self) -> NDArray[np.uint8]:
        """The elements as choices of one role, shape (n_elements, 1)."""
        return np.array(self.numbers, dtype=np.uint8)[:, None]


def parse_choice(text: Any) -> str | Ion | Mixture:
    """Read an element (`Sr`), an ion (`Fe3+`) or a mixture on the sites of one role (`O2N`, `Sr0.5Ba0.5`).

    Raises
    ------
    UserError
        It is none of these (the nearest element is given), or an oxidation state that the element is not known with.

    Examples
    --------
    >>> parse_choice("Fe3+")
    Ion(symbol='Fe', state=3)
    >>> parse_choice("O2N")
    Mixture(elements=('O', 'N'), parts=(2, 1))
    """
    if isinstance(text, bool):
        raise UserError(
            f"{text} is not an element. YAML reads No, Yes, On and Off without quotes as true or false: "
            'write "No" in quotes for nobelium'
        )
    if not isinstance(text, str):
        raise UserError(f"{text!r} is not an element: write symbols, such as Sr")
    if text in atomic_numbers():
        return text
    ion = _ION.fullmatch(text)
    if ion:
        return _ion(ion)
    meant = text.capitalize()
    if len(text) == 2 and meant in atomic_numbers():
        raise UserError(f'unknown element "{text}". Nearest: {meant}.')  # CO is cobalt mistyped, not carbon and oxygen
    mixture = parse_mixture(text) if sum(letter.isupper() for letter in text) > 1 else None
    if mixture is None:
        raise UserError(f'unknown element "{text}".{_hint(text)}')
    return mixture


def _hint(text: str) -> str:
    close = nearest(text, atomic_numbers())
    return f" Nearest: {close}." if close else ""


def _ion(match: re.Match[str]) -> Ion:
    symbol = match[1]
    if symbol not in atomic_numbers():
        raise UserError(f'unknown element "{symbol}" of the ion {match[0]}.{_hint(symbol)}')
    size, sign = (match[2] or "1", match[3]) if match[3] else (match[5], match[4])
    state = int(size) * (1 if sign == "+" else -1)
    known = _known_states(symbol)
    if state not in known:
        listed = ", ".join(f"{one:+d}" for one in known) or "no oxidation state"
        raise UserError(f"{match[0]} is not an ion of {symbol}, which is known with {listed}")
    return Ion(symbol, state)


@cache
def _known_states(symbol: str) -> tuple[int, ...]:
    from pymatgen.core.periodic_table import Element

    element = Element(symbol)
    states = {*element.oxidation_states, *element.icsd_oxidation_states, *element.common_oxidation_states}
    return tuple(sorted(int(state) for state in states if state))


def read_choices(given: Any, where: str) -> Choices:
    """Read what a user listed for one role, or for all.

    Parameters
    ----------
    given
        One text or several, as `parse_choice` reads them.
    where
        What to call the list in messages: `role A`.

    Raises
    ------
    UserError
        No list, nothing in it, something unknown, or something listed twice.
    """
    texts = [given] if isinstance(given, str | bool) else given
    if texts is None or isinstance(texts, Mapping) or not hasattr(texts, "__iter__"):
        raise UserError(f"{where}: a list of element symbols is expected, got {given!r}")
    texts = list(texts)
    if not texts:
        raise UserError(f"{where} has no elements: name at least one")
    try:
        parsed = [parse_choice(text) for text in texts]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    for place, one in enumerate(parsed):
        if one in parsed[:place]:
            raise UserError(f"{where}: {texts[place]} is listed twice")
    bare = [one for one in parsed if isinstance(one, str)]
    states: dict[str, tuple[int, ...]] = {}
    for ion in (one for one in parsed if isinstance(one, Ion)):
        if ion.symbol in bare:
            raise UserError(f"{where}: {ion.symbol} is listed both without a charge and with one")
        states[ion.symbol] = tuple(sorted({*states.get(ion.symbol, ()), ion.state}))
    symbols = [one.symbol if isinstance(one, Ion) else one for one in parsed if not isinstance(one, Mixture)]
    numbers = dict.fromkeys(atomic_numbers()[symbol] for symbol in symbols)
    return Choices(tuple(numbers), tuple(one for one in parsed if isinstance(one, Mixture)), states)


def choices_by_role(prototypes: Sequence[Prototype], elements: Any) -> dict[str, Choices]:
    """Read the elements of each role of any of the prototypes.

    Parameters
    ----------
    prototypes
        The prototypes.
    elements
        Choices by role, or one list for all roles.

    Raises
    ------
    UserError
        A role without elements or of no prototype, and what `read_choices` refuses.
    """
    roles = dict.fromkeys(role for prototype in prototypes for role in prototype.roles)
    if not isinstance(elements, Mapping):
        return dict.fromkeys(roles, read_choices(elements, "the list of elements"))
    unknown = [role for role in elements if role not in roles]
    if unknown:
        raise UserError(f"no prototype has the role {unknown[0]!r}: {_roles_of(prototypes)}")
    for prototype in prototypes:
        missing = [role for role in prototype.roles if role not in elements]
        if missing:
            raise UserError(f"no elements for the role {missing[0]} of {prototype.name}: {_roles_of([prototype])}")
    return {role: read_choices(given, f"role {role}") for role, given in elements.items()}


def _roles_of(prototypes: Iterable[Prototype]) -> str:
    chosen = list(prototypes)
    said = [f"{prototype.name} has {', '.join(prototype.roles)}" for prototype in chosen[:5]]
    return "; ".join(said) + (" ..." if len(chosen) > 5 else "")
