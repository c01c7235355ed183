"""Checks of options that say what is wrong with a value, and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


def plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's, which JSON takes; anything else as it is.

    Examples
    --------
    >>> plain(np.int64(3)), plain("adam")
    (3, 'adam')
    """
    return value.item() if isinstance(value, np.generic) else value


def check_number(
    name: str, value: Any, low: float, high: float = np.inf, *, integer: bool = False, above: bool = False
) -> None:
    """Raise a `UserError` unless an option is a number within its bounds (`above`: not at the lower one)."""
    kind = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    inside = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high
    if not inside or (above and value == low):
        sign = ">" if above else ">="
        bounds = f"{sign} {low:g}" + (f" and <= {high:g}" if high < np.inf else "")
        raise UserError(f"option {name} must be {'an integer' if integer else 'a number'} {bounds}, got {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise a `UserError` unless an option is one of some words."""
    if value in choices:
        return
    near = nearest(value, choices) if isinstance(value, str) else None
    hint = f" Did you mean {near}?" if near else ""
    raise UserError(f"option {name} must be one of {', '.join(choices)}, got {value!r}.{hint}")


def check_options(of: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raise a `UserError` where an option is not among those that something takes."""
    for option in given:
        if option not in known:
            near = nearest(option, known)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f'{of} has no option "{option}".{hint} It takes: {", ".join(known) or "none"}.')
