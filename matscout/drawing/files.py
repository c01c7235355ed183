"""Plots as files."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.files import write_text
from matscout.errors import UserError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # a button that would send the figure to Plotly's servers
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
    "typesetMath": False,
    "toImageButtonOptions": {"format": "svg", "filename": "matscout"},
}

# The policy keeps the page from the network whatever it holds.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ margin: 0 auto; max-width: 960px; background: white; font-family: sans-serif; }}
@page {{ size: A4 landscape; margin: 12mm; }}
</style>
</head>
<body>
<noscript>This plot is drawn by JavaScript, which is switched off here.</noscript>
{plot}
</body>
</html>
"""


def write_plot(figure: Figure, path: str | Path) -> None:
    """Write a figure as one page that needs no network, or as the JSON of Plotly.

    The file appears complete or not at all. The same figure gives the same bytes.

    Parameters
    ----------
    figure
        Of Plotly.
    path
        Ends in .html or .json; a file of that name is replaced.

    Raises
    ------
    UserError
        The suffix is another, or there is no such folder.
    OSError
        The disk is full or the folder cannot be written.
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in (".html", ".json"):
        raise UserError(f"a plot is written as .html (a page of its own) or .json (Plotly's figure), not as {target}")
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} to write {target.name} into")
    write_text(target, _page(figure) if kind == ".html" else str(figure.to_json()))


def _page(figure: Figure) -> str:
    heading = str(figure.layout.title.text or "").split("<br>", maxsplit=1)[0]
    plain = unescape(re.sub(r"<[^<>]*>", "", heading))
    plot = figure.to_html(full_html=False, include_plotlyjs=True, config=_CONFIG, div_id="plot")
    return _PAGE.format(title=escape(plain), plot=plot)
