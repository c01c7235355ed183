"""What all commands print with: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_GAP = 2  # spaces between columns
_ROOM = 20  # width that words get before they take several lines


def console() -> Console:
    """Return the console of standard output: colours and bars on a terminal only."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=200, no_color=True, highlight=False)


def print_json(content: Any) -> None:
    """Print JSON, as one document."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[int] = (),
    optional: Sequence[int] = (),
) -> None:
    """Print rows under headings, without lines around them; numbers stand to the right.

    Nothing is ever cut: a formula broken in two is no formula, and a number without its digits another one. Of words,
    the last two columns may take several lines each. What a terminal is too narrow for goes beyond its edge.

    Parameters
    ----------
    columns
        Headings.
    rows
        Cells as they are to be seen: none is taken for markup.
    right
        Columns of numbers.
    optional
        Columns that are left out on a narrow terminal, the first one first; a line says so.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    texts = set(range(len(columns) - 2, len(columns))) - set(right)
    natural = [_width([heading, *(row[n] for row in cells)]) for n, heading in enumerate(columns)]
    least = [
        _width([heading, *(row[n] for row in cells)], words=True) if n in texts else natural[n]
        for n, heading in enumerate(columns)
    ]
    screen = console()
    shown = list(range(len(columns)))
    wanted = [max(low, min(width, _ROOM)) for low, width in zip(least, natural, strict=True)]
    left_out = []
    for n in optional if screen.is_terminal else ():
        if _total(wanted[one] for one in shown) > screen.width:
            shown.remove(n)
            left_out.append(columns[n])
    widths = _widths(least, natural, shown, screen.width)
    screen.width = max(screen.width, _total(widths.values()))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for n in shown:
        table.add_column(Text(columns[n]), justify="right" if n in right else "left", width=widths[n])
    for row in cells:
        table.add_row(*(Text(row[n]) for n in shown))
    screen.print(table)
    if left_out:
        typer.echo(f"too narrow for {', '.join(left_out)}: a wider terminal shows {'them' if left_out[1:] else 'it'}")


def _widths(least: Sequence[int], natural: Sequence[int], shown: Sequence[int], screen: int) -> dict[int, int]:
    """Width of each column shown: the least that it needs, and what is left over goes to those that need least more."""
    spare = max(screen - _total(least[n] for n in shown), 0)
    widths = {}
    for left, n in enumerate(sorted(shown, key=lambda n: natural[n] - least[n]), start=-len(shown)):
        more = min(natural[n] - least[n], spare // -left)
        widths[n] = least[n] + more
        spare -= more
    return widths


def _width(texts: Iterable[str], *, words: bool = False) -> int:
    """Cells on the screen that the longest of some texts takes, or the longest of their words."""
    return max((cell_len(part) for text in texts for part in (text.split() if words else [text])), default=0)


def _total(widths: Iterable[int]) -> int:
    listed = list(widths)
    return sum(listed) + _GAP * max(len(listed) - 1, 0)


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
