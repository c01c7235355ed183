"""Terms of a formula: what is computed from columns, as text, as numbers, and with its unit."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Unit = tuple[tuple[str, float], ...]
"""Powers of base units, sorted by name: m/s is (("m", 1), ("s", -1)); empty where there is none."""

UNARY = ("square", "root", "inverse", "log")
BINARY = ("product", "ratio", "sum", "difference", "distance")
OPERATIONS = ("column", *UNARY, *BINARY)

# cm3 and cm^-3; a power of several digits is written with ^, as log10 is no power of log
_WORD = re.compile(r"^([A-Za-zÅµμΩ°%_]+)(?:\^(-?\d+(?:\.\d+)?)|(-?\d))?$")
_PLAIN = re.compile(r"^\w+$")
_SUMS = ("sum", "difference")
_FORMS = {
    "square": "{}^2",
    "root": "sqrt({})",
    "inverse": "1 / {}",
    "log": "log({})",
    "product": "{} * {}",
    "ratio": "{} / {}",
    "sum": "{} + {}",
    "difference": "{} - {}",
    "distance": "abs({} - {})",
}


@dataclass(frozen=True)
class Term:
    """A column, or an operation on one or two terms.

    Attributes
    ----------
    operation
        One of `OPERATIONS`; a ``distance`` is the absolute difference.
    parts
        What it is made of; of a column its number instead.
    """

    operation: str
    parts: tuple[Term, ...] = ()
    column: int = -1

    def __post_init__(self) -> None:
        wanted = 0 if self.operation == "column" else 1 if self.operation in UNARY else 2
        if self.operation not in OPERATIONS or len(self.parts) != wanted or (not wanted and self.column < 0):
            raise ValueError(f"no term: {self.operation} of {len(self.parts)} parts")

    @property
    def columns(self) -> tuple[int, ...]:
        """Numbers of the columns that it takes, with repetitions."""
        return tuple(column for part in self.parts for column in part.columns) if self.parts else (self.column,)

    def values(self, X: Floats) -> Floats:
        """Value in each row of X, shape (n,); NaN where it is not defined."""
        if self.operation == "column":
            return np.asarray(X[:, self.column], dtype=np.float64)
        found = evaluate(self.operation, *(part.values(X) for part in self.parts))
        return np.where(np.isfinite(found), found, np.nan)

    def text(self, names: Sequence[str]) -> str:
        """Write it with the names of the columns; names that are not one word in brackets."""
        if self.operation == "column":
            name = names[self.column]
            return name if _PLAIN.match(name) else f"[{name}]"
        parts = [part.text(names) for part in self.parts]
        if self.operation in (*_SUMS, "distance") and self.parts[1].operation in _SUMS:
            parts[1] = f"({parts[1]})"
        elif self.operation in ("square", "inverse", "product", "ratio"):
            parts = [self._in_factor(place, text) for place, text in enumerate(parts)]
        return _FORMS[self.operation].format(*parts)

    def _in_factor(self, place: int, text: str) -> str:
        """Put brackets around a part of a product, ratio or power where they are needed."""
        loose = self.parts[place].operation in (*_SUMS, "inverse")
        if self.operation in ("square", "inverse") or (self.operation == "ratio" and place == 1):
            loose = loose or self.parts[place].operation in ("product", "ratio")
        if self.operation == "square":
            loose = loose or self.parts[place].operation == "square"
        return f"({text})" if loose else text

    def as_list(self) -> list[Any]:
        """Return it as nested lists, ready for JSON."""
        return [self.operation, self.column] if not self.parts else [self.operation, *(p.as_list() for p in self.parts)]

    @classmethod
    def from_list(cls, document: Sequence[Any]) -> Self:
        """Take up what `as_list` returned."""
        if document[0] == "column":
            return cls("column", column=int(document[1]))
        return cls(str(document[0]), tuple(cls.from_list(part) for part in document[1:]))


def evaluate(operation: str, *parts: Floats) -> Floats:
    """Compute an operation on arrays of one shape; not finite where it is not defined."""
    x, y = parts[0], parts[-1]
    with np.errstate(all="ignore"):
        match operation:
            case "square":
                found = x * x
            case "root":
                found = np.sqrt(x)
            case "inverse":
                found = 1 / x
            case "log":
                found = np.log(x)
            case "product":
                found = x * y
            case "ratio":
                found = x / y
            case "sum":
                found = x + y
            case "difference":
                found = x - y
            case _:
                found = np.abs(x - y)
    return found


def read_unit(text: str) -> Unit:
    """Read a unit: names with powers, multiplied by ``*`` or spaces and divided by ``/``.

    What cannot be read so, as ``log10 of GPa``, is a unit of its own.

    Examples
    --------
    >>> read_unit("eV/Å^3"), read_unit("g/cm3") == read_unit("g cm^-3"), read_unit("")
    ((('eV', 1.0), ('Å', -3.0)), True, ())
    """
    powers: Counter[str] = Counter()
    for number, over in enumerate(text.replace("·", " ").replace("*", " ").split("/")):
        for word in over.split():
            if word == "1":
                continue
            found = _WORD.match(word)
            if found is None:
                return ((text.strip(), 1.0),)
            powers[found[1]] += (1 if number == 0 else -1) * float(found[2] or found[3] or 1)  # type: ignore[assignment]
    return _tidy(powers)


def unit_of(operation: str, *units: Unit) -> Unit | None:
    """Tell the unit of what an operation gives; None where it makes no sense.

    Examples
    --------
    >>> length, energy = read_unit("Å"), read_unit("eV")
    >>> unit_of("ratio", energy, length), unit_of("sum", energy, length), unit_of("log", length)
    ((('eV', 1.0), ('Å', -1.0)), None, None)
    """
    first, second = units[0], units[-1]
    if operation == "log":
        return () if not first else None
    if operation in ("sum", "difference", "distance"):
        return first if first == second else None
    powers: Counter[str] = Counter()
    scales = {"square": (2.0,), "root": (0.5,), "inverse": (-1.0,), "ratio": (1.0, -1.0)}.get(operation, (1.0, 1.0))
    for unit, scale in zip(units, scales, strict=True):
        for name, power in unit:
            powers[name] += scale * power  # type: ignore[assignment]
    return _tidy(powers)


def _tidy(powers: Counter[str]) -> Unit:
    return tuple(sorted((name, float(power)) for name, power in powers.items() if power))
