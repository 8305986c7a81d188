"""The fitted curve: known parameters come back, intervals cover them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawing import drawn

from truesparse.analysis import fit_zeta_curve
from truesparse.analysis.displays import ZetaCurveDisplay
from truesparse.analysis.zeta_curve import contour_of, curve
from truesparse.errors import DataError, UsageError

# The grid of the paper.
COARSE, FINE = np.arange(0, 0.91, 0.1), np.arange(0.91, 0.98, 0.01)
ZETA = np.concatenate([COARSE, FINE, np.linspace(0.98, 1.0, 21)])


@given(fall=st.floats(0.1, 1.0), b=st.floats(5, 600), plateau=st.floats(0.3, 1.0))
def test_exact_points_give_the_parameters_back(fall, b, plateau):
    a = fall * plateau
    fit = fit_zeta_curve(ZETA, plateau - a * np.exp(b * (ZETA - 1)))
    assert (fit.a, fit.b, fit.plateau) == pytest.approx((a, b, plateau), rel=1e-4)
    assert fit.mse < 1e-10
    np.testing.assert_allclose(
        fit.accuracy(ZETA), plateau - a * np.exp(b * (ZETA - 1)), atol=1e-5
    )


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("b", [20.0, 183.0, 600.0])
def test_a_coarse_grid_gives_the_same_curve_wherever_its_plateau_is(shift, b):
    zeta = np.array([0.0, 0.2, 0.4, 0.6, 0.9, 0.96, 0.98, 0.987, 0.99, 0.993, 0.996, 1])
    noise = np.random.default_rng(0).normal(0, 0.001, zeta.size)
    fit = fit_zeta_curve(zeta, curve(zeta, 0.204, b, 0.868) + noise - shift)
    assert fit.a == pytest.approx(0.204, rel=0.03)
    assert fit.b == pytest.approx(b, rel=0.05)
    assert fit.plateau + shift == pytest.approx(0.868, abs=0.001)


def test_intervals_cover_the_truth_as_often_as_they_say():
    draw, covered = np.random.default_rng(0), []
    truth = np.array([0.204, 183.0, 0.868])
    for _ in range(60):
        noise = draw.normal(0, 0.004, ZETA.size)
        fit = fit_zeta_curve(ZETA, curve(ZETA, *truth) + noise, level=0.8)
        intervals = (fit.a_interval, fit.b_interval, fit.plateau_interval)
        covered += [
            low < x < high for x, (low, high) in zip(truth, intervals, strict=True)
        ]
        assert fit.level == 0.8
    assert 0.68 < np.mean(covered) < 0.92


def test_the_contour_is_where_the_curve_is_below_by_the_tolerance():
    for tolerance in (1e-4, 0.01, 0.1):
        fit = fit_zeta_curve(ZETA, curve(ZETA, 0.204, 183, 0.868), tolerance=tolerance)
        assert fit.accuracy(fit.contour) == pytest.approx(0.868 - tolerance, abs=1e-6)
    assert math.isnan(contour_of(0.05, 100, 0.1))
    assert contour_of(0.9, 0.1, 0.01) == 0.0
    # What the paper calls its contour, 0.96, is a fall of about 0.00013.
    assert contour_of(0.204, 183, 1.35e-4) == pytest.approx(0.96, abs=1e-4)


@pytest.mark.parametrize(
    ("zeta", "accuracy", "options", "error", "message"),
    [
        ([0, 0.5, 1], [1, 1, 0], {}, UsageError, "4 different zeta"),
        ([0, 0.5, 1, 1.2], [1, 1, 0, 0], {}, UsageError, "from 0 to 1"),
        ([0, 0.5, math.nan, 1], [1, 1, 0, 0], {}, UsageError, "from 0 to 1"),
        ([0, 0.5, 0.8, 1], [1, 1, 0], {}, UsageError, "one length"),
        ([0, 0.5, 0.8, 1], [1, 1, math.nan, 0], {}, DataError, "diverged"),
        (ZETA, 0.5 + 0.1 * ZETA, {}, DataError, "do not fall"),
        (ZETA, 0 * ZETA, {}, DataError, "do not fall"),
        (ZETA, 0.9 - 0.3 * ZETA, {}, DataError, "have no plateau"),
        (ZETA, 0.9 - 0.3 * np.sqrt(ZETA), {}, DataError, "have no plateau"),
        (ZETA, 86 - 20 * ZETA**9, {}, DataError, "divide percent by 100"),
        (ZETA, -ZETA, {"level": 1.0}, UsageError, "level"),
        (ZETA, -ZETA, {"tolerance": 0.0}, UsageError, "tolerance"),
    ],
)
def test_what_cannot_be_fitted_is_refused(zeta, accuracy, options, error, message):
    with pytest.raises(error, match=message):
        fit_zeta_curve(zeta, accuracy, **options)


def test_the_picture_shows_points_curves_and_the_contour():
    zeta = np.repeat(ZETA, 2)
    accuracy = curve(zeta, 0.2, 100, 0.8) + np.tile([0.0, 0.01], ZETA.size)
    display = ZetaCurveDisplay.from_points(zeta, accuracy)
    display.published = display.fit._replace(a=0.3)
    drawn(display)
    points = display.points_[0].lines[0].get_xydata()
    np.testing.assert_allclose(points[:, 0], np.unique(zeta))
    np.testing.assert_allclose(points[:, 1], curve(ZETA, 0.2, 100, 0.805), atol=1e-9)
    assert len(display.lines_) == 4
    x, y = display.lines_[0].get_data()
    np.testing.assert_allclose(y, display.fit.accuracy(x))
    # Both curves end at the accuracy of zeta = 1, where that has its place.
    assert y[-1] == display.fit.accuracy(1.0)
    x, y = display.lines_[2].get_data()
    np.testing.assert_allclose(y[:-1], display.fit.accuracy(1 - x[:-1]))
    last = display.points_[1].lines[0].get_xydata()[-1]
    assert (x[-1], y[-1]) == (last[0], display.fit.accuracy(1.0))
    assert "zeta = 1" in display.ax_[1].get_xlabel()
    assert f"zeta = {display.fit.contour:.3f}" in str(
        display.ax_[0].get_legend_handles_labels()[1]
    )


def test_a_picture_without_zeta_1_does_not_speak_of_it():
    zeta = ZETA[ZETA < 1]
    display = ZetaCurveDisplay.from_points(zeta, curve(zeta, 0.2, 100, 0.8))
    drawn(display)
    assert display.ax_[1].get_xlabel() == "1 - zeta (log)"
    x, y = display.lines_[1].get_data()
    np.testing.assert_allclose(y, display.fit.accuracy(1 - x))
    assert x.min() == pytest.approx(1 - zeta.max())
