"""What stands in hover and labels, in the few tags that Plotly knows.

Plotly reads `<b>`, `<a href>` and the like in every text it draws, so whatever comes from an entry is escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matscout.drawing.style import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = 38  # characters of a line in hover
_TAG = re.compile(r"<[^<>]*>")
_DIGITS = re.compile(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)")


def subscripts(formula: str) -> str:
    """Return a formula with its amounts below the line.

    Examples
    --------
    >>> subscripts("LiFe(PO4)2")
    'LiFe(PO<sub>4</sub>)<sub>2</sub>'
    """
    return _DIGITS.sub(r"<sub>\1</sub>", escape(formula))


def width(text: str) -> int:
    """Count the characters that are seen.

    Examples
    --------
    >>> width("LiFePO<sub>4</sub> &amp; co")
    12
    """
    return len(re.sub(r"&[a-z]+;", "&", _TAG.sub("", text)))


def lines(words: Iterable[str], joint: str, longest: int = _LINE) -> str:
    """Join words, with a line break where a line would become too long.

    Examples
    --------
    >>> lines(["Li2O", "Fe2O3", "FeO"], " + ", longest=14)
    'Li2O + Fe2O3<br>+ FeO'
    """
    rows: list[str] = []
    for word in words:
        if not rows:
            rows.append(word)
        elif width(rows[-1]) + len(joint) + width(word) <= longest:
            rows[-1] += joint + word
        elif joint.startswith(" "):
            rows.append(joint.lstrip() + word)
        else:
            rows[-1] += joint.rstrip()
            rows.append(word)
    return "<br>".join(rows)


def reaction(words: str) -> str:
    """Return a reaction with its amounts below the line, broken where it is long.

    Examples
    --------
    >>> reaction("2 Fe2O3 -> 4 FeO + O2")
    '2 Fe<sub>2</sub>O<sub>3</sub> → 4 FeO + O<sub>2</sub>'
    """
    left, right = (lines([subscripts(term) for term in side.split(" + ")], " + ") for side in words.split(" -> "))
    joint = " → " if width(left.rsplit("<br>", maxsplit=1)[-1]) + width(right.split("<br>")[0]) < _LINE else "<br>→ "
    return left + joint + right
