"""What `matscout run` shows while it runs: one live line on a terminal, one line a stage in a log file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from matscout.cli.output import console, duration
from matscout.workflows.campaign.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.documents import CalculationResult
    from matscout.db.labels import Label
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space


class RunDisplay(Watcher):
    """Shows a campaign's progress; a context manager around the run.

    Parameters
    ----------
    spec
        The campaign.
    store
        The store as people may see it.
    """

    def __init__(self, spec: CampaignSpec, store: str) -> None:
        self.spec = spec
        self.store = store
        self.console = console()
        self._live = self.console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._progress.add_task("preparing", total=None, note="")
        self._name, self._done, self._total, self._failed, self._new = "preparing", 0, 0, 0, 0
        self._begun = time.monotonic()
        self._best = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close_stage()
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._progress.console.print(Text(line))

    def planned(self, space: Space, plan: ReferencePlan) -> None:
        """Show what the campaign is about."""
        protocol = self.spec.full_protocol()
        self.say(
            f"{self.spec.name}: {len(space.table)} candidates, {self.spec.budget.calculations} calculations, "
            f"protocol {protocol.name} {protocol.id[:4]}, store {self.store}"
        )
        self.say(f"references: {plan.description}")

    def recovered(self, taken: int, interrupted: int) -> None:
        """Show what an earlier run had left."""
        self.say(
            f"an earlier run was cut off: {taken} finished results taken in, {interrupted} calculations start again"
        )

    def stage(self, name: str, done: int, total: int) -> None:
        """Begin a group of calculations."""
        self._close_stage()
        self._name, self._done, self._total, self._failed, self._new = name, done, total, 0, 0
        self._begun = time.monotonic()
        self._show()

    def result(self, result: CalculationResult) -> None:
        """Count a calculation."""
        self._done += 1
        self._new += 1
        self._failed += result.outcome != "completed"
        self._show()

    def labelled(self, labels: Sequence[Label]) -> None:
        """Remember the best so far."""
        own = [x for x in labels if x.same_crystal_as is None and x.known_as is None]
        if own:
            best = min(own, key=lambda x: (x.e_above_hull, x.decomposition_energy))
            self._best = f"best {best.formula} {best.e_above_hull:.3f} eV/atom above the hull"

    def thinking(self, what: str) -> None:
        """Show what takes a moment."""
        self._close_stage()
        if self._live:
            self._progress.update(self._task, description=what, total=None, completed=0, note=self._note())

    def _show(self) -> None:
        if self._live:
            note = self._note()
            self._progress.update(
                self._task, description=self._name, total=self._total, completed=self._done, note=note
            )

    def _note(self) -> str:
        parts = [f"{self._failed} failed"] if self._failed else []
        if self._name.startswith("round"):
            budget = self.spec.budget.calculations
            parts.append(f"budget {budget}")
        parts += [self._best] if self._best else []
        if self._new and self._done < self._total:
            left = (time.monotonic() - self._begun) / self._new * (self._total - self._done)
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)

    def _close_stage(self) -> None:
        """Leave one line of a stage that calculated something."""
        if self._new:
            failed = f", {self._failed} failed" if self._failed else ""
            taken = duration(time.monotonic() - self._begun)
            best = f"   {self._best}" if self._best and self._name.startswith("round") else ""
            self.say(f"{self._name:<13} {self._done} of {self._total} done{failed}, {taken}{best}")
        self._new = 0
