"""What one step of a queue did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Step:
    """What one step did, and what it saw.

    Attributes
    ----------
    completed, failed
        Ids of calculations that ended; `failed` for good.
    again
        How many attempts are to be made again, by why.
    submitted
        Calculations given to jobs, by worker.
    jobs
        Jobs in the queues, by worker and state.
    notes
        What a person should know: a full queue, a scheduler that does not answer, a job that is held.
    closed
        Workers that take no more jobs in this step, as their queue is full or their scheduler does not answer.
    """

    completed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    again: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    submitted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    jobs: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    notes: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)

    def note(self, words: str) -> None:
        """Say something, once."""
        if words not in self.notes:
            self.notes.append(words)

    @property
    def changed(self) -> bool:
        """Whether a result came in, or anything was submitted or taken back."""
        return bool(self.completed or self.failed or self.again or self.submitted)
