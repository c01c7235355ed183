"""`matscout watch`: steps of a campaign now and then, and a live table of how it stands."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text
from typer import echo

from matscout.cli import EXIT_STOPPED, printable
from matscout.cli.output import console, duration
from matscout.cli.queueing import campaign_meant, existing
from matscout.cli.steps import jobs_of, jobs_words, print_end, standing_of, standing_words, step_words
from matscout.db import connect
from matscout.db.lease import StoreLeased

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from matscout.cli.queueing import Meant
    from matscout.workflows.campaign.queued import Advance
    from matscout.workflows.campaign.standing import Standing

BUSY_SECONDS = 10.0
"""Where another process is at the store, the next step is tried so soon, s."""


@dataclass
class Picture:
    """What is shown of a campaign.

    Attributes
    ----------
    store
        The store as people may see it.
    standing
        How it stands; None before the first step.
    jobs
        Jobs in the queues, by worker and state.
    last
        When the last step ended, local time.
    did
        What it changed.
    notes
        What a person should know.
    due
        When the next step is to begin, on the monotonic clock; None while one is being taken.
    """

    store: str
    standing: Standing | None = None
    jobs: dict[str, dict[str, int]] = field(default_factory=dict)
    last: str = ""
    did: str = ""
    notes: tuple[str, ...] = ()
    due: float | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Return what the table says, by line."""
        if self.standing is None:
            return [("next step", "now"), *(("note", note) for note in self.notes)]
        here = self.standing
        rows = [("campaign", f"{here.name}, {here.state}, store {self.store}"), ("stage", standing_words(here))]
        rows += [("jobs", words) for words in jobs_words(self.jobs)] or [("jobs", "none")]
        rows += [("failed", causes_words(here))] if here.causes else []
        rows += [("best so far", f"{here.best[0]} {here.best[1]:.3f} eV/atom above the hull")] if here.best else []
        rows += [("last step", f"{self.last}  {self.did or 'nothing has changed'}")] if self.last else []
        left = "now" if self.due is None else f"in {duration(max(self.due - time.monotonic(), 0.0))}"
        rows.append(("next step", f"{left}   (Ctrl-C leaves; what is in the queue goes on)"))
        return [*rows, *(("note", note) for note in self.notes)]

    def line(self) -> str:
        """Return the same in one line, without times."""
        parts = list(self.notes)
        if self.standing is not None:
            parts.append(standing_words(self.standing))
            parts += [f"jobs of {words}" for words in jobs_words(self.jobs)]
            parts += [f"failed: {causes_words(self.standing)}"] if self.standing.causes else []
            best = self.standing.best
            parts += [f"best {best[0]} {best[1]:.3f} eV/atom above the hull"] if best else []
        return "; ".join([*([self.did] if self.did else []), *parts])


def causes_words(standing: Standing) -> str:
    """Say what failed, by cause."""
    listed = ", ".join(f"{number} {cause}" for cause, number in standing.causes.items())
    given_up = f" ({standing.gave_up} given up after several attempts)" if standing.gave_up else ""
    return f"{listed}{given_up}"


class Screen(Protocol):
    """Where a picture is shown."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """End it."""

    def show(self) -> None:
        """Show the picture as it is now."""


class LiveScreen:
    """A table on a terminal, that is drawn anew every second."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._live = Live(console=console(), get_renderable=self._table, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self) -> None:
        """Draw it anew."""
        self._live.refresh()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        for name, words in self._picture.rows():
            table.add_row(Text(name, style="bold"), Text(printable(words)))
        return table


class Lines:
    """A line a step in a log file, where anything changed."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self) -> None:
        """Print the line, if it says anything new."""
        line = self._picture.line()
        if self._picture.due is not None and line != self._said:
            self._said = line
            echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {printable(line)}")


def watch(file: Path | None, store: str | None, workers_file: Path | None, seconds: float) -> None:
    """Take a step now and then until the campaign has ended, and show how far it is.

    Between two steps the store is open to others. Where one of them is at it when a step is due, that step waits.
    """
    meant = campaign_meant(file, store, workers_file)
    meant.submitted()
    picture = Picture(store=_shown(meant))
    screen: Screen = LiveScreen(picture) if console().is_terminal else Lines(picture)
    try:
        with _ended_by_signals():
            with screen:
                found = _until_the_end(meant, picture, screen, seconds)
            assert picture.standing is not None, "a step says how the campaign stands"
            print_end(meant, found, picture.standing)
    except KeyboardInterrupt:
        echo(f"stopped watching; what is in the queue goes on. Later: matscout advance {meant.path}")
        sys.exit(EXIT_STOPPED)


def _until_the_end(meant: Meant, picture: Picture, screen: Screen, seconds: float) -> Advance:
    while True:
        picture.due = None
        screen.show()
        wait = seconds
        try:
            found = _step(meant, picture)
            if found.summary is not None:
                return found
        except StoreLeased as error:
            picture.notes = (f"waiting for {error.holder or 'another process'}, which is at the store",)
            _look(meant, picture)
            wait = min(seconds, BUSY_SECONDS)
        picture.due = time.monotonic() + wait
        screen.show()
        _rest(wait)


def _rest(seconds: float) -> None:
    time.sleep(seconds)


def _step(meant: Meant, picture: Picture) -> Advance:
    """Take a step, and note what came of it; the store is closed again afterwards."""
    with connect(meant.uri, must_exist=True) as store:
        found = meant.step(store)
        picture.standing = standing_of(meant, store)
        picture.jobs = jobs_of(store, found.step)
    picture.last = time.strftime("%H:%M:%S")
    picture.did = step_words(found.step)
    picture.notes = tuple(found.step.notes)
    return found


def _look(meant: Meant, picture: Picture) -> None:
    """Read how the campaign stands while another process moves it on."""
    with existing(meant.uri) as store:
        if store is not None:
            picture.standing = standing_of(meant, store)
    picture.did = ""


def _shown(meant: Meant) -> str:
    with existing(meant.uri) as store:
        return "" if store is None else store.display_uri


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Take the end of a terminal, or of a job, for Ctrl-C."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
