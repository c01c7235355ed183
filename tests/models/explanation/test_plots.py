from __future__ import annotations

import numpy as np
import pytest

from matscout.models.explanation import plot_contributions, plot_importance
from matscout.models.explanation.contributions import Contributions
from matscout.models.explanation.permutation import PermutationImportance


def some(n=60, *, features=True):
    X = np.random.default_rng(0).normal(size=(n, 3))
    return Contributions(X * [1, 3, 0], 2.0, ("a", "<b>", "c"), "prediction", X if features else None)


def test_bars_stand_in_order_with_the_largest_on_top():
    figure = plot_importance(some(), k=2, unit="eV/atom")
    [bars] = figure.data
    assert list(bars.x) == [size for _, size in reversed(some().top(2))]
    assert list(figure.layout.yaxis.ticktext) == ["a", "&lt;b&gt;"]
    assert figure.layout.xaxis.title.text == "mean absolute contribution (eV/atom)"


def test_permutations_have_their_spread():
    rises = np.array([[0.1, 0.3], [0.5, 0.7]])
    figure = plot_importance(PermutationImportance((("a", "c"), ("b",)), rises, "mae", 0.05), unit="eV/atom")
    [bars] = figure.data
    assert list(bars.x) == pytest.approx([0.2, 0.6])
    assert list(bars.error_x.array) == pytest.approx([np.std([0.1, 0.3], ddof=1)] * 2)
    assert list(figure.layout.yaxis.ticktext) == ["a and 1 more", "b"]
    assert "0.05 eV/atom" in figure.layout.title.subtitle.text


def test_each_row_is_a_point_at_its_contribution_coloured_by_its_feature():
    found = some()
    figure = plot_contributions(found, k=2)
    lower, upper = figure.data
    assert np.array_equal(upper.x, found.values[:, 1])
    assert np.abs(np.array(upper.y) - 1).max() <= 0.35
    assert np.array_equal(np.argsort(lower.marker.color), np.argsort(found.features[:, 0]))
    assert lower.hovertext[0].startswith("<b>a</b>")
    assert "<b>&lt;b&gt;</b>" in upper.hovertext[0]


def test_many_rows_are_thinned_and_sums_of_columns_have_no_colour():
    figure = plot_contributions(some(5000, features=False), k=1)
    assert len(figure.data[0].x) == 500
    assert figure.data[0].marker.color == "#0072B2"


def test_points_in_one_place_are_moved_apart():
    found = Contributions(np.zeros((7, 1)), 0.0, ("a",))
    y = plot_contributions(found).data[0].y
    assert len(set(y)) == 7
