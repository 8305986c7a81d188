"""Displays of analyses draw what was measured."""

import numpy as np
import pytest
import scipy.sparse
from support.drawing import drawn

from truesparse import SparseMLP
from truesparse.analysis import (
    RobustnessCurve,
    graph_measures,
    layer_ranks,
    overlap,
    structure,
)
from truesparse.analysis.displays import (
    DensityDisplay,
    GraphDisplay,
    OverlapDisplay,
    RanksDisplay,
    RobustnessDisplay,
    StructureDisplay,
)
from truesparse.errors import UsageError

X = np.linspace(0, 1, 5)
SLOW, FAST = (
    np.array([[1, 0.8, 0.5, 0.3, 0.2]] * 2),
    np.array([[1, 0.4, 0.2, 0.2, 0.2]]),
)
CURVES = [
    RobustnessCurve("random", X, SLOW, 0.2, "joint"),
    RobustnessCurve("weight_order", X, FAST, 0.2, "layer"),
]


def test_robustness_curves_show_means_and_spread():
    low = CURVES[0].accuracies - [[0.0], [0.1]]
    curve = RobustnessCurve("random", X, low, 0.2, "joint")
    display = drawn(RobustnessDisplay([curve, CURVES[1]], "two methods"))
    np.testing.assert_allclose(display.lines_[0].get_ydata(), low.mean(axis=0))
    np.testing.assert_allclose(display.lines_[1].get_ydata(), CURVES[1].accuracies[0])
    assert set(display.lines_[2].get_ydata()) == {0.2}
    [band] = display.bands_
    bottom = band.get_paths()[0].vertices[:, 1].min()
    assert bottom == pytest.approx((low.mean(axis=0) - low.std(axis=0, ddof=1)).min())
    labels = display.ax_.get_legend_handles_labels()[1]
    assert labels[0].startswith("random removal, area 0.500 \N{PLUS-MINUS SIGN} 0.071")
    assert display.ax_.get_legend().get_title().get_text() == "two methods"
    with pytest.raises(UsageError, match="at least one curve"):
        RobustnessDisplay([])
    assert len(drawn(RobustnessDisplay(curve)).lines_) == 2


def test_of_many_layers_names_slant_and_numbers_are_left_out():
    for n_hidden, n_texts in ((2, 4), (9, 0)):
        model = SparseMLP([8, *[12] * n_hidden, 3], density=0.6)
        display = drawn(RanksDisplay.from_model(model))
        assert len(display.ax_.texts) == n_texts
        slants = {label.get_rotation() for label in display.ax_.get_xticklabels()}
        assert slants == {0.0 if n_texts else 60.0}


def test_ranks_show_bars_errors_and_bounds():
    model = SparseMLP([40, 50, 60, 3], epsilon=4)
    for method in ("exact", "estimate"):
        ranks = layer_ranks(model, method=method)
        display = drawn(RanksDisplay.from_model(model, method=method))
        heights = [bar.get_height() for bar in display.bars_[0]]
        np.testing.assert_allclose(heights, [each.effective for each in ranks])
        heights = [bar.get_height() for bar in display.bars_[1]]
        np.testing.assert_allclose(heights, [each.stable for each in ranks])
        assert (display.bars_[0].errorbar is None) == (method == "exact")
        bounds = [path.vertices[0, 1] for path in display.bounds_.get_paths()]
        assert bounds == [each.bound for each in ranks]
    with pytest.raises(UsageError, match="at least one layer"):
        RanksDisplay([], 3)


def test_graphs_show_bars_beside_random_layers():
    model = SparseMLP([40, 50, 60, 3], epsilon=4)
    measures = graph_measures(model, seed=3)
    display = drawn(GraphDisplay.from_model(model, seed=3))
    fields = "clustering", "random_clustering", "path_length", "random_path_length"
    for bars, field in zip(display.bars_, fields, strict=True):
        heights = [bar.get_height() for bar in bars]
        assert heights == [getattr(each, field) for each in measures]
    # 93 neurons: 64 of them are sources of distances, so there is an error.
    assert display.bars_[2].errorbar is not None
    assert display.bars_[0].errorbar is None
    with pytest.raises(UsageError, match="at least one layer"):
        GraphDisplay([], 3)


def test_a_layer_without_clustering_has_no_bar():
    model = SparseMLP.from_sparse([scipy.sparse.eye_array(4)])
    display = drawn(GraphDisplay.from_model(model))
    assert np.isnan(display.bars_[0].datavalues).all()
    assert display.bars_[2].datavalues.tolist() == [1.0]


def test_overlaps_show_bars_beside_random_layers():
    sizes = [60, 80, 3]
    one, two = (
        SparseMLP(sizes, density=density, seed=seed)
        for seed, density in ((1, 0.2), (2, 0.4))
    )
    display = drawn(OverlapDisplay.from_models(one, two))
    assert [bar.get_height() for bar in display.bars_] == overlap(one, two)
    lines = [path.vertices[0, 1] for path in display.lines_.get_paths()]
    assert lines == display.random
    # Neither seed knows of the other: the first layer is as random ones are.
    assert display.random[0] == pytest.approx(0.08 / 0.52, rel=0.02)
    assert display.shares[0] == pytest.approx(display.random[0], rel=0.1)
    same = drawn(OverlapDisplay.from_models(one, one))
    assert same.shares == [1.0, 1.0]
    with pytest.raises(UsageError, match="at least one layer"):
        OverlapDisplay([], [], 2)


def test_structure_shows_shares():
    model = SparseMLP([40, 50, 60, 3], epsilon=1)
    result = structure(model)
    display = drawn(StructureDisplay.from_model(model))
    shares = [bar.get_width() for bar in display.bars_[0]]
    np.testing.assert_allclose(shares, np.divide(result.active, result.neurons))
    shares = [bar.get_width() for bar in display.bars_[1]]
    wanted = [layer.on_paths / layer.nnz for layer in result.layers]
    np.testing.assert_allclose(shares, wanted)
    shares = [bar.get_width() for bar in display.bars_[2]]
    wanted = [
        layer.remaining_cells / layer.n_in / layer.n_out for layer in result.layers
    ]
    np.testing.assert_allclose(shares, wanted)


def test_densities_follow_the_updates():
    events = [{"event": "run_start", "layer_sizes": [10, 20, 5]}]
    for step, counts in enumerate(((50, 40), (20, 70), (4, 86))):
        for layer, nnz in enumerate(counts):
            change = {
                "event": "topology",
                "epoch": step + 1,
                "layer": layer,
                "nnz": nnz,
            }
            events.append({**change, "removed": 1, "grown": 1})
    display = drawn(DensityDisplay.from_history(events))
    np.testing.assert_allclose(display.lines_[0].get_ydata(), [0.25, 0.1, 0.02])
    np.testing.assert_allclose(display.lines_[1].get_ydata(), [0.4, 0.7, 0.86])
    assert display.ax_.get_yscale() == "log"
    with pytest.raises(UsageError, match="no topology updates"):
        DensityDisplay.from_history(events[:1])
    with pytest.raises(UsageError, match="no layer sizes"):
        DensityDisplay.from_history(events[1:])
