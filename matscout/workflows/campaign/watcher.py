"""Who is told what a campaign does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.documents import CalculationResult
    from matscout.db.labels import Label
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.stages import Space


class Watcher:
    """Is told what a campaign does, and does nothing: override what you want to hear."""

    def planned(self, space: Space, plan: ReferencePlan) -> None:
        """Hear that candidates and references are known."""

    def recovered(self, taken: int, interrupted: int) -> None:
        """Hear that an earlier run's calculations were settled."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Hear that a group of calculations begins, `done` of `total` of them in the store already."""

    def result(self, result: CalculationResult) -> None:
        """Hear that a calculation ended and is in the store."""

    def labelled(self, labels: Sequence[Label]) -> None:
        """Hear that the labels are new."""

    def thinking(self, what: str) -> None:
        """Hear that something begins that may take seconds."""
