"""Plots of explanations, as figures of Plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.drawing import style
from matscout.drawing.style import escape, with_unit
from matscout.models.explanation.permutation import PermutationImportance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from matscout.models.explanation.contributions import Contributions

_MOST_POINTS = 500  # of each feature: more hide each other
_SPREAD = 0.35  # of the distance between two features, to which points with many neighbours are moved
_BINS = 40  # in which neighbours are counted
_LONGEST = 28  # characters of a feature's name beside the plot
_LOW_TO_HIGH = [[0.0, style.BLUE], [0.5, "#d9d9d9"], [1.0, style.ORANGE]]


def plot_importance(importance: Contributions | PermutationImportance, k: int = 15, *, unit: str = "") -> Figure:
    """Plot the k features, or groups of features, that count the most, as bars.

    Parameters
    ----------
    importance
        Contributions, whose mean sizes are shown; or the rises of a loss by permutation, with their std.
    k
        Number of bars.
    unit
        Of the target.
    """
    import plotly.graph_objects as go

    if isinstance(importance, PermutationImportance):
        rises = importance.top(k)
        bars = [
            (names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else ""), mean) for names, mean, _ in rises
        ]
        hovers = [", ".join(escape(name) for name in names) for names, _, _ in rises]
        errors: dict[str, Any] | None = {"array": [std for _, _, std in reversed(rises)], "color": style.INK}
        heading, axis = "Permutation importance", f"rise of the {importance.loss}"
        facts = [f"{importance.loss} {importance.baseline:.3g} {escape(unit)} with all features in their places"]
    else:
        bars = importance.top(k)
        hovers, errors = [escape(name) for name, _ in bars], None
        heading, axis = "Importance of features", "mean absolute contribution"
        facts = [f"{len(importance)} predictions, {len(importance.names)} features"]
        unit = unit if importance.of == "prediction" else importance.of
    figure = go.Figure()
    figure.add_bar(
        x=[size for _, size in reversed(bars)],
        y=list(range(len(bars))),
        orientation="h",
        marker={"color": style.BLUE},
        error_x=errors,
        hovertext=list(reversed(hovers)),
        hoverinfo="text+x",
        showlegend=False,
    )
    style.finished(figure, heading, facts, with_unit(axis, unit))
    return _named(figure, [name for name, _ in reversed(bars)])


def plot_contributions(contributions: Contributions, k: int = 12, *, unit: str = "") -> Figure:
    """Plot the contributions of the k features that give the most, a point for each row, coloured by the feature.

    Parameters
    ----------
    contributions
        Of some rows; of more than 500 each n-th is drawn.
    k
        Number of features.
    unit
        Of the target.
    """
    import plotly.graph_objects as go

    place = {name: column for column, name in enumerate(contributions.names)}
    names = [name for name, _ in contributions.top(k)]
    step = max(1, -(-len(contributions) // _MOST_POINTS))
    figure = go.Figure()
    for height, name in enumerate(reversed(names)):
        given = contributions.values[::step, place[name]]
        feature = None if contributions.features is None else contributions.features[::step, place[name]]
        figure.add_scatter(
            x=given,
            y=height + _away(given),
            mode="markers",
            marker=_marker(feature),
            hovertext=_hovers(name, given, feature),
            hoverinfo="text",
            showlegend=False,
        )
    figure.add_vline(x=0, line={"color": style.LINE, "width": 1})
    axis = with_unit("contribution", unit if contributions.of == "prediction" else contributions.of)
    facts = [f"{len(contributions)} predictions, from {contributions.base:.3g} on, which no feature is needed for"]
    if contributions.features is not None:
        facts.append("blue: small values of the feature, orange: large ones")
    style.finished(figure, "Contributions of features", facts, axis)
    return _named(figure, list(reversed(names)))


def _away(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points aside where they are dense: by their number in a bin, left and right in turn."""
    low, high = float(given.min(initial=0.0)), float(given.max(initial=0.0))
    bins = np.minimum(((given - low) / ((high - low) or 1.0) * _BINS).astype(np.intp), _BINS - 1)
    order = np.argsort(bins, kind="stable")
    counts = np.bincount(bins, minlength=_BINS)
    first = np.cumsum(counts) - counts
    rank = np.empty(len(given), dtype=np.intp)
    rank[order] = np.arange(len(given)) - first[bins[order]]
    side = np.where(rank % 2, 1, -1) * ((rank + 1) // 2)
    return np.asarray(_SPREAD * side / max(float(np.abs(side).max(initial=1)), 1.0))


def _marker(feature: NDArray[np.floating] | None) -> dict[str, Any]:
    looks = {"size": 5, "opacity": 0.8}
    if feature is None:
        return looks | {"color": style.BLUE}
    from scipy.stats import rankdata

    # by rank: one outlier does not make all others alike
    known = ~np.isnan(feature)
    colour = np.full(len(feature), np.nan)
    colour[known] = (rankdata(feature[known]) - 1) / max(int(known.sum()) - 1, 1)
    return looks | {"color": colour, "colorscale": _LOW_TO_HIGH, "cmin": 0, "cmax": 1}


def _hovers(name: str, given: NDArray[np.float64], feature: NDArray[np.floating] | None) -> list[str]:
    head = f"<b>{escape(name)}</b>"
    if feature is None:
        return [f"{head}<br>gives {value:+.3g}" for value in given.tolist()]
    pairs = zip(feature.tolist(), given.tolist(), strict=True)
    return [f"{head} {x:.4g}<br>gives {value:+.3g}" for x, value in pairs]


def _named(figure: Figure, names: Sequence[str]) -> Figure:
    """Write the names beside the rows, the first one at the bottom."""
    short = [escape(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…") for name in names]
    figure.update_layout(margin={"l": 190})
    return figure.update_yaxes(
        tickmode="array", tickvals=list(range(len(names))), ticktext=short, range=[-0.6, len(names) - 0.4]
    )
