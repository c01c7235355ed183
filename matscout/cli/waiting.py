"""What a user sees while a command works, and where Ctrl-C ends it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from typer import Exit

from matscout.cli import EXIT_STOPPED, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.text import Text


@contextmanager
def status(words: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, on a terminal only; what is yielded says more of it."""
    from rich.console import Console

    if not sys.stderr.isatty():
        yield lambda _words: None
        return
    with Console(stderr=True).status(_plain(words)) as shown:
        yield lambda more: shown.update(_plain(more))


def _plain(words: str) -> Text:
    """Take words of schedulers and files for what they are: neither markup nor control characters."""
    from rich.text import Text

    return Text(printable(words))


@contextmanager
def stoppable() -> Iterator[list[Path]]:
    """End in one line where the user presses Ctrl-C: files and folders appear whole or not at all.

    What was written is to be put into the list that is yielded.
    """
    written: list[Path] = []
    try:
        yield written
    except KeyboardInterrupt:
        what = f"{', '.join(map(str, written))} was written before" if written else "nothing was written"
        sys.stderr.write(f"stopped, {what}\n")
        raise Exit(EXIT_STOPPED) from None
