from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models.report import calibration_curve
from matscout.models.report.calibration_curves import area_between, interval_scores


def test_a_true_std_is_calibrated():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 1, 100_000)
    curve = calibration_curve(rng.normal(0, std), np.zeros(100_000), std)
    assert curve.observed == pytest.approx(curve.nominal, abs=0.01)
    assert curve.miscalibration_area < 0.005
    assert [part.rmse for part in curve.bins] == pytest.approx([part.std for part in curve.bins], rel=0.05)
    assert curve.sharpness == pytest.approx(np.sqrt(np.mean(std**2)))


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_curve_of_a_wrong_std_is_known(factor):
    rng = np.random.default_rng(0)
    curve = calibration_curve(rng.normal(size=100_000), np.zeros(100_000), np.full(100_000, factor))

    def observed(share):
        return 2 * norm.cdf(factor * norm.ppf(0.5 + share / 2)) - 1

    assert curve.observed == pytest.approx([observed(share) for share in curve.nominal], abs=0.01)
    area = quad(lambda share: abs(observed(share) - share), 0, 1)[0]
    assert curve.miscalibration_area == pytest.approx(area, abs=0.01)


def test_the_worst_area_is_one_half():
    assert calibration_curve([1.0, 2.0], [0.0, 0.0], [1e-9, 1e-9]).miscalibration_area == pytest.approx(0.475)
    assert calibration_curve([0.0, 0.0], [0.0, 0.0], [1.0, 1.0]).miscalibration_area == pytest.approx(0.475)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_an_area_is_that_of_a_fine_integral(heights):
    x = np.arange(len(heights), dtype=float)
    fine = np.linspace(0, x[-1], 200_001)
    expected = np.abs(np.interp(fine, x, heights)).mean() * x[-1]
    assert area_between(x, np.array(heights)) == pytest.approx(expected, abs=1e-4)


def test_a_std_without_information_has_no_rank_correlation():
    curve = calibration_curve([0.0, 1.0, 3.0], np.zeros(3), np.ones(3))
    assert curve.spearman is None
    assert calibration_curve([0.1, 1.0, 3.0], np.zeros(3), [1.0, 2.0, 3.0]).spearman == pytest.approx(1)


def test_a_std_of_zero_has_no_likelihood():
    curve = calibration_curve([0.0, 1.0], [0.0, 0.0], [0.0, 1.0])
    assert curve.nll is None
    assert curve.observed[0] == 0.5


def test_bins_hold_all_rows_in_order_of_their_std():
    std = np.random.default_rng(0).permutation(np.arange(1.0, 24.0))
    curve = calibration_curve(std, np.zeros(23), std, n_bins=5)
    assert [part.n for part in curve.bins] == [5, 5, 5, 4, 4]
    assert curve.bins[0].mae == pytest.approx(3)
    assert curve.bins[0].rmse == curve.bins[0].std == pytest.approx(np.sqrt(11))


def test_intervals_count_their_ends():
    ends = {90: np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0]])}
    (score,) = interval_scores([1.0, 1.1, 0.0], ends)
    assert (score.percent, score.coverage) == (90, pytest.approx(2 / 3))
    assert score.mean_width == pytest.approx(5 / 3)


def test_a_negative_std_is_named():
    with pytest.raises(UserError, match="must not be negative, got -2"):
        calibration_curve([1.0], [1.0], [-2.0])
