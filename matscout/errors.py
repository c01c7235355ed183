"""The one exception for what a person can put right.

The command line prints its message as it stands and exits with code 2; everything else is a defect of ours and keeps
its traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can put right: the message says what was wrong, where, and what to do."""


class MissingFileError(UserError):
    """A file that a campaign names is not there: what its store holds can still be read."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, or None when none resembles it.

    Examples
    --------
    >>> nearest("cubic-perovskit", ["rock-salt", "cubic-perovskite"])
    'cubic-perovskite'
    """
    words = sorted(known)
    folded = {w.casefold(): w for w in words}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    return folded[close[0]] if close else None
