"""The scheme that corrects nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.schemes.base import CorrectionScheme, in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class NoScheme(CorrectionScheme):
    """One protocol only."""

    name = "none"
    summary = "one protocol only, nothing corrected"

    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Refuse a second protocol, and name the schemes that join the two."""
        if len(entries_of) < 2:
            return
        from matscout.workflows.stability.schemes.registry import joining

        *first, last = sorted(entries_of)
        schemes = joining(entries_of)
        raise UserError(
            f"energies of the protocols {', '.join(first)} and {last} cannot stand on one hull: "
            f"{in_words(entries_of)}. Calculate all with one protocol (in a campaign, references: recompute: true), or "
            + ("state the protocol of the others (protocols=...), or " if NOT_STATED in entries_of else "")
            + (
                f"name a correction scheme that joins them: {', '.join(schemes)}"
                if schemes
                else "leave one of them out"
            )
        )

    def joins(self, protocols: Iterable[str]) -> bool:
        """Whether there is but one."""
        return len(set(protocols)) < 2
