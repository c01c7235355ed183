from __future__ import annotations

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models.prediction import Prediction
from matscout.models.report import (
    calibration_curve,
    plot_calibration,
    plot_discovery,
    plot_element_errors,
    plot_error_by_std,
    plot_learning_curve,
    plot_parity,
    stability_scores,
)
from matscout.models.report.plots import periodic_place
from matscout.models.report.report_card import PartErrors


def of(n):
    rng = np.random.default_rng(0)
    y = rng.normal(size=n)
    return y, Prediction(y + rng.normal(0, 0.1, n), np.full(n, 0.1))


def named(figure, name):
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return trace


def test_each_row_is_a_mark_of_the_parity_plot():
    y, prediction = of(20)
    figure = plot_parity(y, prediction, target="energy", unit="eV/atom", names=[f"row {i}" for i in range(20)])
    assert np.array_equal(figure.data[0].x, y)
    assert np.array_equal(figure.data[0].y, prediction.mean)
    assert figure.data[0].hovertext[3].startswith("<b>row 3</b><br>true ")
    assert figure.layout.xaxis.title.text == "true energy (eV/atom)"
    assert figure.layout.xaxis.range == figure.layout.yaxis.range


def test_many_rows_are_a_density_that_counts_all_of_them():
    y, prediction = of(5000)
    figure = plot_parity(y, prediction)
    assert figure.data[0].type == "heatmap"
    assert np.sum(figure.data[0].customdata) == 5000
    assert np.nansum(10 ** np.array(figure.data[0].z)) == pytest.approx(5000)


def test_what_a_user_wrote_is_no_markup():
    y, prediction = of(3)
    hostile = "<b onclick='x'>&</b>"
    figure = plot_parity(y, prediction, target=hostile, unit="<i>", names=[hostile] * 3)
    text = figure.to_json()
    assert "<b onclick" not in text
    assert "\\u003cb onclick" not in text
    assert "<i>" not in figure.layout.xaxis.title.text
    assert "&lt;b onclick" in figure.layout.title.text


def test_the_calibration_curve_runs_from_corner_to_corner():
    y, prediction = of(200)
    curve = calibration_curve(y, prediction.mean, prediction.std)
    drawn = named(plot_calibration(curve), "this surrogate")
    assert (drawn.x[0], drawn.y[0], drawn.x[-1], drawn.y[-1]) == (0, 0, 1, 1)
    assert drawn.y[1:-1] == curve.observed


def test_errors_stand_over_their_std():
    y, prediction = of(200)
    curve = calibration_curve(y, prediction.mean, prediction.std)
    figure = plot_error_by_std(curve, "eV/atom")
    assert named(figure, "this surrogate").y == tuple(part.rmse for part in curve.bins)
    assert figure.layout.xaxis.title.text == "predicted std (eV/atom)"


def test_the_discovery_curve_lies_between_random_and_perfect():
    y, prediction = of(100)
    scores = stability_scores(y, prediction.mean, prediction.std, threshold=-0.5)
    figure = plot_discovery(scores)
    found, mean = named(figure, "this surrogate"), named(figure, "random order, mean")
    best = named(figure, "without a mistake")
    assert found.y == scores.discovery.found
    assert all(r - 1e-9 <= f <= b + 1e-9 for r, f, b in zip(mean.y, found.y, best.y, strict=True))
    band = named(figure, "random order, 90 %")
    assert len(band.x) == 2 * len(mean.x)
    assert "within -500 meV/atom of the hull" in figure.layout.title.subtitle.text


def test_the_learning_curve_shows_points_and_both_laws(curve):
    figure = plot_learning_curve(curve, "eV/atom")
    points = named(figure, "mean and std of 2 subsets, all rows once")
    assert points.error_y.array[:-1] == curve.std[:-1]
    assert points.error_y.array[-1] is None  # one training has no spread
    assert points.x == curve.sizes
    assert points.y == curve.mae
    assert len(figure.data) == 3
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_errors_of_elements_stand_in_their_places():
    errors = [PartErrors(name=name, n=3, mae=mae, bias=0.0) for name, mae in (("H", 0.1), ("Fe", 0.3), ("Gd", 0.2))]
    figure = plot_element_errors(errors, "eV/atom")
    grid = np.array(figure.data[0].z)
    assert (grid[0, 0], grid[3, 7], grid[7, 9]) == (0.1, 0.3, 0.2)
    assert np.isfinite(grid).sum() == 3
    assert "the largest error with Fe" in figure.layout.title.subtitle.text
    assert [note.text for note in figure.layout.annotations] == ["H", "Fe", "Gd"]


def test_places_agree_with_pymatgen():
    from pymatgen.core.periodic_table import Element

    for number in range(1, 119):
        element = Element.from_Z(number)
        if not (element.is_lanthanoid or element.is_actinoid):
            assert periodic_place(number) == (element.row - 1, element.group - 1)
    assert len({periodic_place(number) for number in range(1, 119)}) == 118


def test_without_elements_there_is_no_periodic_table():
    with pytest.raises(UserError, match="make the report card with compositions"):
        plot_element_errors([])
