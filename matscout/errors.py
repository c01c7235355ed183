"""The one exception for what a person can put right.

The command line prints its message as it stands and exits with code 2; everything else is a defect of ours and keeps
its traceback.
"""

from __future__ import annotations

import sys
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can put right: the message says what was wrong, where, and what to do."""


class MissingFileError(UserError):
    """A file that a campaign names is not there: what its store holds can still be read."""


class NoStoreError(UserError):
    """There is no store yet where one is to be read."""


class MatscoutWarning(UserWarning):
    """Something that the user should know of, which the command line prints as one line."""


_PACKAGE = str(Path(__file__).parent)


def warn(message: str, category: type[MatscoutWarning] = MatscoutWarning) -> None:
    """Warn, at the line outside of this package that called into it."""
    level, frame = 1, sys._getframe()  # noqa: SLF001  Python 3.12 has skip_file_prefixes for this
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


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
