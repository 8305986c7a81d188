"""Displays of nets that are out of the ordinary: not finite, huge, very deep."""

import itertools

import numpy as np
import pytest
from support.drawing import drawn, model_of, random_masks

from truesparse import SparseMLP, plots


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_counted_and_harm_no_others(bad):
    model = model_of(*random_masks(25, 40, 4))
    connections = model.layers[0].connections
    feature = connections.rows()[10]
    expected = plots.InputConnectivityDisplay.from_model(model, values="strength")
    connections.values[10] = bad
    display = drawn(plots.WeightHistogramDisplay.from_model(model))
    assert display.histograms[0].counts.sum() == connections.nnz - 1
    assert f"{connections.nnz} weights, 1 not finite" in display.ax_[0].get_title()
    got = plots.InputConnectivityDisplay.from_model(model, values="strength")
    strengths = drawn(plots.StrengthDisplay.from_model(model)).strengths
    assert [each.n_infinite for each in strengths] == [1, 1, 0, 0]
    assert [each.counts.sum() for each in strengths] == [24, 39, 40, 4]
    low, high = drawn(got).images_[0].get_clim()
    assert 0 <= low < high < np.inf
    others = np.delete(got.values, feature), np.delete(expected.values, feature)
    np.testing.assert_allclose(*others)
    assert not np.isfinite(got.values[feature])


def test_long_numbers_do_not_lie_on_each_other():
    model = SparseMLP([3, 1_000_000, 2], epsilon=1)
    for make in (
        plots.DegreeDisplay,
        plots.StrengthDisplay,
        plots.WeightHistogramDisplay,
    ):
        display = drawn(make.from_model(model))
        for ax in display.ax_:
            ticks = [label for label in ax.get_xticklabels() if label.get_text()]
            boxes = [each.get_window_extent() for each in ticks]
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_very_deep_nets_have_pictures_of_bearable_height(monkeypatch):
    monkeypatch.setattr("truesparse.plots.layer_sizes._MOST_LINES", 10)
    sizes = [4] * 26
    display = plots.LayersDisplay.from_model(model_of(*random_masks(*sizes)))
    assert display.panel_size[1] < 4
    for ax, n in zip(drawn(display).ax_, (25, 24), strict=True):
        assert ax.get_ylim() == (n - 0.5, -0.5)
        names = [label.get_text() for label in ax.get_yticklabels()]
        assert [int(name.split()[1]) for name in names] == list(range(1, n + 1, 3))
    assert display.texts_ == []


def test_counts_are_labelled_at_whole_numbers():
    """A tick at 2.5 once said 2."""
    model = SparseMLP([8, 10, 6, 3, 2], density=0.6, seed=1)
    last = model.layers[3].connections
    no_weights = last.values[:0].copy()
    last.rewire(np.ones(last.nnz, bool), np.empty(0, np.int64), no_weights)
    display = drawn(plots.WeightHistogramDisplay.from_model(model))
    for ax in display.ax_:
        ticks, labels = ax.get_yticks(), [t.get_text() for t in ax.get_yticklabels()]
        assert labels == [f"{tick:.0f}" if tick >= 0 else "" for tick in ticks]
        assert len(set(ticks)) == len(ticks) == len(set(labels))
