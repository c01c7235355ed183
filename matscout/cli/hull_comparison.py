"""`matscout hull --compare`: the same entries on two hulls, before and after a correction scheme."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.hull_about import ties
from matscout.cli.hull_sources import entries_of
from matscout.cli.hull_views import NEAR, print_cells
from matscout.cli.output import print_json
from matscout.workflows.stability.versions import label_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from matscout.cli.hull import HullRequest

_SMALLEST = 0.0005
"""Change in eV/atom that a table with three digits shows."""


def show_comparison(request: HullRequest, elements: Sequence[str]) -> None:
    """Print what a correction scheme changes: which phases become stable or unstable, and by how much others move."""
    from matscout.workflows.stability import compare_schemes, get_scheme
    from matscout.workflows.stability.schemes import protocols_of

    assert request.entries is not None
    assert request.compare is not None
    schemes = {"before": request.scheme or "none", "after": request.compare}
    rules = {side: get_scheme(name) for side, name in schemes.items()}
    entries = entries_of(request.entries, elements)
    # What mixing protocols does is what such a comparison is made for; the table says so where it happens.
    frame = compare_schemes(entries, schemes["before"], schemes["after"], allow_mixed=True)
    shown = frame if request.everything else _near(frame, NEAR if request.window is None else request.window)
    sides = {
        side: {
            **frame.attrs[side],
            **_counted(frame, frame[f"stable_{side}"]),
            "scheme": name,
            "protocols": sorted(set(protocols_of(rules[side].correct(entries).entries))),
        }
        for side, name in schemes.items()
    }
    if request.as_json:
        about = {"chemical_system": "-".join(elements), "entries": len(frame), "from": str(request.entries)}
        document = {"hull": about | {"versions": label_versions()}, **sides, "rows": _records(shown)}
        print_json(document | {"more": len(frame) - len(shown)})
        return
    echo(printable(f"{len(frame)} entries in {'-'.join(elements)}, from {request.entries}"))
    for side, report in sides.items():
        _print_side(side, report)
    flips = frame[frame["stable_before"] != frame["stable_after"]]
    changes = [_counted(flips, flips[f"stable_{side}"]) for side in ("after", "before")]
    stable, unstable = (f"{n['stable']}{ties(n['of_equal_energy'])}" for n in changes)
    echo(f"{stable} become stable, {unstable} become unstable; distances to the hulls in eV/atom")
    rows = [
        (x["formula"], x["id"], _number(x["e_above_hull_before"]), _number(x["e_above_hull_after"]), _remark(x))
        for x in _records(shown)
    ]
    print_cells(("formula", "id", "before", "after", ""), rows, right=(2, 3))
    if len(shown) < len(frame):
        echo(f"{len(frame) - len(shown)} more, far from both hulls or unchanged: --all shows them")


def _near(frame: pd.DataFrame, window: float) -> pd.DataFrame:
    """Rows whose stability changes, and those near one of the hulls that move."""
    flips = frame["stable_before"] != frame["stable_after"]
    distances = frame[["e_above_hull_before", "e_above_hull_after"]]
    moves = frame["change"].abs().fillna(math.inf) >= _SMALLEST
    return frame[flips | (moves & (distances.min(axis=1) <= window))]


def _counted(frame: pd.DataFrame, on_hull: pd.Series[bool]) -> dict[str, int]:
    """Count the compositions among rows on a hull, and the further entries of these."""
    formulas = frame.loc[on_hull, "formula"]
    return {"stable": formulas.nunique(), "of_equal_energy": len(formulas) - formulas.nunique()}


def _print_side(side: str, report: dict[str, Any]) -> None:
    protocols = f"protocol{'s' * (len(report['protocols']) > 1)} {', '.join(report['protocols'])}"
    echo(
        printable(
            f"{side:<7} scheme {report['scheme']}, {protocols}: {report['stable']} stable"
            f"{ties(report['of_equal_energy'])}"
        )
    )
    for line in report["lines"]:
        echo(printable(f"        {line}"))
    if report["mixed"]:
        echo(printable(f"        no valid hull, shown to compare: {report['mixed']}"))


def _remark(row: dict[str, Any]) -> str:
    if row["left_out"]:
        return f"left out: {row['left_out']}"
    if row["stable_before"] != row["stable_after"]:
        return "becomes stable" if row["stable_after"] else "becomes unstable"
    return ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]
