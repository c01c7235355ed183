"""spglib, quietly: its releases from 2.7 on warn at every call of a coming change in how they report errors."""

from __future__ import annotations

import warnings
from typing import Any

import spglib

#: Raised by releases that no longer return None for a cell they cannot treat.
_ERROR: Any = getattr(spglib, "SpglibError", None) or getattr(spglib.error, "SpglibError", ())


def spglib_call(function: str, *args: Any, **options: Any) -> Any:
    """Call a function of spglib by its name; None where it finds no answer, whichever release is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return getattr(spglib, function)(*args, **options)
        except _ERROR:
            return None
