"""Checks of filters' options: one sentence that names the filter, the option and the value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matscout.db._elements import atomic_numbers
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def check_number(name: str, option: str, value: Any, what: str = "a positive number", *, lowest: float = 0.0) -> None:
    """Refuse what is no finite number above `lowest`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest < value < math.inf:
        raise UserError(f"{name}: {option} must be {what}, got {value!r}")


def check_window(name: str, minimum: Any, maximum: Any) -> None:
    """Refuse a window whose ends are no positive numbers or stand in the wrong order."""
    check_number(name, "minimum", minimum)
    check_number(name, "maximum", maximum)
    if minimum > maximum:
        raise UserError(f"{name}: minimum {minimum} is larger than maximum {maximum}")


def check_limit(name: str, value: Any, of_what: str) -> None:
    """Refuse a limit that is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name}: limit must be a whole number of {of_what}, at least 1, got {value!r}")


def check_choice(name: str, option: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        listed = " or ".join([", ".join(f'"{choice}"' for choice in choices[:-1]), f'"{choices[-1]}"'])
        raise UserError(f"{name}: {option} must be {listed}, got {value!r}")


def check_flag(name: str, option: str, value: Any) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise UserError(f"{name}: {option} must be true or false, got {value!r}")


def check_words(name: str, option: str, values: Any, known: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return a list of known words, or one word alone, as a tuple; refuse others, naming the nearest."""
    given = (values,) if isinstance(values, str | bool) else values
    if not isinstance(given, list | tuple | set | frozenset):
        raise UserError(f"{name}: {option} must be a list, got {values!r}")
    words = list(known)
    for value in given:
        if isinstance(value, str) and value in words:
            continue
        if isinstance(value, bool):
            raise UserError(f'{name}: {value} in {option} is no {kind}: write "No" in quotes for nobelium')
        close = nearest(str(value), words)
        hint = f"Nearest: {close}." if close else f"Known: {', '.join(words[:10])}."
        raise UserError(f"{name}: unknown {kind} {value!r} in {option}. {hint}")
    return tuple(sorted(set(given))) if isinstance(given, set | frozenset) else tuple(given)


def check_elements(name: str, option: str, values: Any) -> tuple[str, ...]:
    """Return a list of element symbols, or one symbol alone, as a tuple."""
    return check_words(name, option, values, atomic_numbers(), "element")
