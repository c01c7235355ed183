"""What the parts of a campaign's description share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from matscout.errors import UserError, nearest


class Part(BaseModel):
    """A part of the description: unknown keys are refused, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_name(word: str, known: Any, what: str) -> str:
    """Return a name that is known; a `UserError` with the nearest one where it is not."""
    if word not in known:
        raise UserError(unknown_name(word, known, what))
    return word


def unknown_name(word: str, known: Any, what: str) -> str:
    """Say that a name is unknown, and which is the nearest."""
    close = nearest(word, known)
    return f'unknown {what} "{word}".' + (f" Nearest: {close}." if close else "")
