"""What all commands print with: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def console() -> Console:
    """Return the console of standard output: colours and bars on a terminal only."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=200, no_color=True, highlight=False)


def print_json(content: Any) -> None:
    """Print JSON, as one document."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows under headings, without lines around them; numbers stand to the right.

    Texts are escaped: a formula or a name is never taken for markup.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for n, column in enumerate(columns):
        # A formula broken in two is no formula: only the last columns give way on a narrow terminal.
        table.add_column(column, justify="right" if n in right else "left", no_wrap=n < len(columns) - 2)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console().print(table)


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Examples
    --------
    >>> duration(72.4), duration(3), duration(7260)
    ('1 min 12 s', '3 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def mev(energy: float) -> str:
    """Write an energy in meV/atom.

    Examples
    --------
    >>> mev(0.025), mev(0.0125)
    ('25', '12.5')
    """
    return f"{1000 * energy:.3g}"
