"""Displays: what they draw is what brute force counts, and nothing dense is made."""

import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from support import naive_plots as naive
from support.drawing import drawn, model_of, random_masks, steps_of
from support.strategies import cases, layer, masks

from truesparse import plots
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots import counts
from truesparse.plots.degrees import binomial_below, degree_edges
from truesparse.plots.display import grid, share_text, short
from truesparse.sparse.connections import Connections
from truesparse.storage import models

matplotlib.use("Agg")


# Counts ------------------------------------------------------------------------------


@given(cases(), st.integers(1, 12), st.integers(1, 12))
def test_binned_patterns_match_brute_force(case, n_rows, n_columns):
    connections = case.connections
    n_rows, n_columns = min(n_rows, connections.n_in), min(n_columns, connections.n_out)
    got = counts.binned_pattern(connections, n_rows, n_columns)
    np.testing.assert_array_equal(
        got, naive.binned_pattern(case.mask, n_rows, n_columns)
    )
    assert got.sum() == connections.nnz


@given(cases(), st.integers(1, 50))
def test_chunks_do_not_matter(case, size):
    connections = case.connections
    want_out, want_in = naive.degrees(case.mask)
    before, counts.CHUNK = counts.CHUNK, size
    try:
        chunks = list(counts.row_chunks(connections))
        got = counts.binned_pattern(connections, 1, connections.n_out)[0]
        strengths = counts.out_strengths(connections)
        np.testing.assert_array_equal(counts.in_degrees(connections), want_in)
    finally:
        counts.CHUNK = before
    np.testing.assert_array_equal(got, want_in)
    np.testing.assert_array_equal(counts.out_degrees(connections), want_out)
    np.testing.assert_allclose(strengths, np.abs(case.dense).sum(axis=1), atol=1e-12)
    # They cover all rows and all connections, once.
    assert [rows.start for rows, _ in chunks[1:]] == [r.stop for r, _ in chunks[:-1]]
    assert (chunks[0][0].start, chunks[-1][0].stop) == (0, connections.n_in)
    assert sum(part.stop - part.start for _, part in chunks) == connections.nnz


@given(st.integers(1, 400), st.data())
def test_edges_are_where_bins_change(n, data):
    n_bins = data.draw(st.integers(1, n))
    edges = counts.bin_edges(n, n_bins)
    of_neuron = np.arange(n) * n_bins // n
    want = [np.flatnonzero(of_neuron == b)[0] for b in range(n_bins)]
    np.testing.assert_array_equal(edges, [*want, n])


@given(masks(), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_dead_neurons_match_brute_force(mask, n_out, seed):
    after = np.random.default_rng(seed).random((mask.shape[1], n_out)) < 0.2
    (got,) = counts.dead_neurons(model_of(mask, after))
    ((no_input, no_output, both),) = naive.dead_neurons([mask, after])
    assert got.n_neurons == mask.shape[1]
    assert got.no_input + got.neither == no_input
    assert got.no_output + got.neither == no_output
    assert got.neither == both
    assert got.total == no_input + no_output - both


@given(st.integers(1, 30), st.floats(0.0, 1.0))
def test_the_reference_is_binomial(n, p):
    below = binomial_below(np.arange(n + 2), n, p)
    want = [naive.binomial(k, n, p) for k in range(n + 1)]
    np.testing.assert_allclose(np.diff(below), want, atol=1e-12)
    assert below[0] == 0
    assert below[-1] == pytest.approx(1.0)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=80))
def test_bins_of_degrees_hold_all_of_them(degrees):
    degrees = np.array(degrees)
    edges, _ = degree_edges(degrees)
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= degrees.min()
    assert edges[-1] > degrees.max()
    assert edges.size <= 50


def test_a_layer_of_a_million_neurons_is_never_dense():
    n = nnz = 1_000_000
    draw = np.random.default_rng(0)
    rows = np.arange(nnz) % n
    columns = draw.integers(0, n, nnz).astype(np.int32)
    connections = Connections(n, n, np.arange(n + 1), columns, np.ones(nnz, np.float32))
    tail = Connections(
        *(n, 2, np.arange(n + 1), np.zeros(n, np.int32), np.ones(n, np.float32))
    )
    model = SparseMLP.from_layers([layer(connections, "relu"), layer(tail)])
    figures = 0
    tracemalloc.start()
    try:
        pattern = plots.SparsityPatternDisplay.from_model(model, layers=0)
        others = [
            plots.DegreeDisplay.from_model(model, layers=0),
            plots.StrengthDisplay.from_model(model, layers=0),
            plots.WeightHistogramDisplay.from_model(model, layers=0),
            plots.InputConnectivityDisplay.from_model(model, values="strength"),
            plots.LayersDisplay.from_model(model),
        ]
        for display in (pattern, *others):
            drawn(display)
            figures += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert figures == 6
    # A few arrays of a million int64, and the pictures; one bit a cell would be 125 GB.
    assert peak < 120e6
    got = pattern.patterns[0].counts
    assert got.shape == (150, 150)
    want = np.histogram2d(rows, columns, bins=150, range=[[0, n], [0, n]])[0]
    # Bins are cut at whole neurons.
    assert abs(got.sum(axis=1) - want.sum(axis=1)).max() <= 2
    assert got.sum() == nnz


# Displays of models ------------------------------------------------------------------


def test_small_patterns_are_points():
    (mask, last) = random_masks(12, 9, 4)
    display = drawn(plots.SparsityPatternDisplay.from_model(model_of(mask, last)))
    assert display.ax_.shape == (2,)
    points = display.points_[0]
    got = set(zip(points.get_ydata(), points.get_xdata(), strict=True))
    assert got == {tuple(cell) for cell in np.argwhere(mask)}
    assert display.images_ == [None, None]
    # Rows count downwards, as in a matrix.
    assert display.ax_[0].get_ylim() == (11.5, -0.5)


def test_large_patterns_are_shares_of_bins():
    (mask,) = random_masks(130, 110, density=0.9)
    mask[:40] = False
    display = plots.SparsityPatternDisplay.from_model(model_of(mask), bins=20)
    drawn(display)
    pattern = display.patterns[0]
    want = naive.binned_pattern(mask, *pattern.counts.shape)
    cells = naive.binned_pattern(np.ones_like(mask), *pattern.counts.shape)
    shares = display.images_[0].get_array()
    # What is empty is left white.
    np.testing.assert_allclose(np.ma.filled(shares, 0.0), want / cells)
    np.testing.assert_array_equal(np.ma.getmaskarray(shares), want == 0)
    assert display.points_ == [None]


def test_degrees_are_those_of_the_net_and_the_reference_that_of_its_density():
    (mask,) = random_masks(30, 25)
    display = drawn(plots.DegreeDisplay.from_model(model_of(mask)))
    sides = zip(display.degrees, naive.degrees(mask), (25, 30), strict=True)
    for (each, degrees, n_others), bars, line in zip(
        sides, display.bars_, display.lines_, strict=True
    ):
        shares, edges = steps_of(bars)
        for b in range(len(shares)):
            low, high = each.edges[b], each.edges[b + 1]
            inside = (degrees >= low) & (degrees < high)
            assert shares[b] == pytest.approx(inside.mean())
            some = range(low, min(high, n_others + 1))
            want = sum(naive.binomial(k, n_others, mask.mean()) for k in some)
            assert line.get_ydata()[b] == pytest.approx(want, abs=1e-12)
        np.testing.assert_array_equal(edges, each.edges - 0.5)
        facts = (each.lowest, each.highest, pytest.approx(each.mean))
        assert facts == (degrees.min(), degrees.max(), degrees.mean())


def test_heavy_tails_get_log_axes():
    mask = np.zeros((100, 400), bool)
    mask[:, 0] = mask[0] = True
    display = drawn(plots.DegreeDisplay.from_model(model_of(mask)))
    for ax, each in zip(display.ax_, display.degrees, strict=True):
        assert each.is_heavy
        assert ax.get_yscale() == "log"
        assert each.counts.sum() == each.n_neurons
    # Per unit of degree: bars times their widths are shares again.
    shares, edges = steps_of(display.bars_[0])
    assert (shares * np.diff(edges)).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("values", ["degree", "strength"])
def test_features_of_a_square_are_an_image(values):
    (mask,) = random_masks(36, 20)
    model = model_of(mask)
    display = drawn(plots.InputConnectivityDisplay.from_model(model, values=values))
    dense = model.layers[0].connections.to_scipy().toarray()
    want = mask.sum(axis=1) if values == "degree" else np.abs(dense).sum(axis=1)
    got = display.images_[0].get_array()
    np.testing.assert_allclose(got, want.reshape(6, 6))
    assert display.line_ is None


def test_images_have_the_shape_that_is_given():
    (mask,) = random_masks(24, 20)
    model = model_of(mask)
    make = plots.InputConnectivityDisplay.from_model
    flat = drawn(make(model, image_shape=(4, 6)))
    assert flat.images_[0].get_array().shape == (4, 6)
    coloured = drawn(make(model, image_shape=(4, 2, 3)))
    for channel in range(3):
        want = mask.sum(axis=1).reshape(4, 2, 3)[:, :, channel]
        np.testing.assert_array_equal(coloured.images_[channel].get_array(), want)
    # Reports draw each panel on a figure of its own, with its own scale of colours.
    figures = [Figure() for _ in range(3)]
    make(model, image_shape=(4, 2, 3)).plot(ax=[each.subplots() for each in figures])
    assert [len(each.axes) for each in figures] == [2, 2, 2]
    for bad in [(5, 5), (24,), (4, 6, 1, 1), (0, 24)]:
        with pytest.raises(UsageError, match="image_shape"):
            make(model, image_shape=bad)
    with pytest.raises(UsageError, match="strength"):
        make(model, values="strengths")


def test_features_that_are_no_image_are_a_curve():
    (mask,) = random_masks(24, 20)
    display = drawn(plots.InputConnectivityDisplay.from_model(model_of(mask)))
    np.testing.assert_array_equal(display.line_.get_ydata(), mask.sum(axis=1))
    np.testing.assert_array_equal(display.line_.get_xdata(), np.arange(24))
    # 1201 features share points in threes, the last of which is alone.
    (wide,) = random_masks(1201, 3)
    display = drawn(plots.InputConnectivityDisplay.from_model(model_of(wide)))
    degrees = wide.sum(axis=1)
    assert display.line_.get_ydata()[0] == pytest.approx(degrees[:3].mean())
    assert display.line_.get_ydata()[-1] == degrees[-1]
    assert display.line_.get_xdata()[-1] == 1200


def test_histograms_hold_all_weights():
    (mask, last) = random_masks(30, 25, 4)
    model = model_of(mask, last)
    values = model.layers[0].connections.values
    values[:3] = 0.0
    display = drawn(plots.WeightHistogramDisplay.from_model(model, bins=7))
    shares, edges = steps_of(display.bars_[0])
    want = np.histogram(values, np.linspace(-1, 1, 8) * np.abs(values).max())[0]
    np.testing.assert_array_equal(shares, want)
    assert shares.sum() == values.size
    assert edges[-1] == -edges[0] == np.abs(values).max()
    assert "3 at 0" in display.ax_[0].get_title()


def test_bars_are_connections_and_dead_neurons():
    (mask, last) = random_masks(12, 30, 4, density=0.1)
    display = drawn(plots.LayersDisplay.from_model(model_of(mask, last)))
    connected, *dead = display.bars_
    widths = [bar.get_width() for bar in connected]
    assert widths == [mask.sum(), last.sum()]
    ((no_input, no_output, both),) = naive.dead_neurons([mask, last])
    want = [no_input - both, no_output - both, both]
    assert [round(bars[0].get_width() * 30) for bars in dead] == want
    assert min(want) > 0
    assert display.texts_[-1].get_text() == f" {sum(want)} of 30"


def test_bars_of_very_different_layers_have_a_log_axis():
    masks = [np.zeros((3, 40), bool), np.ones((40, 30), bool), np.ones((30, 2), bool)]
    display = drawn(plots.LayersDisplay.from_model(model_of(*masks)))
    assert display.ax_[0].get_xscale() == "log"
    low, high = display.ax_[0].get_xlim()
    assert low < 60 < 1200 < high
    assert display.bars_[0].get_xdata().tolist() == [0.5, 1200, 60]
    assert display.texts_[0].get_text().strip() == "0, 0 %"


def empty_model():
    return model_of(np.zeros((3, 5), bool), np.zeros((5, 2), bool))


@pytest.mark.parametrize("n_layers", [1, 2, 6])
def test_all_displays_draw_every_depth(n_layers):
    sizes = (9, *[12] * (n_layers - 1), 3)
    for model in (model_of(*random_masks(*sizes)), empty_model()):
        for make in (
            plots.SparsityPatternDisplay,
            plots.DegreeDisplay,
            plots.StrengthDisplay,
            plots.InputConnectivityDisplay,
            plots.WeightHistogramDisplay,
            plots.LayersDisplay,
        ):
            drawn(make.from_model(model))


@pytest.mark.parametrize("n", range(1, 20))
def test_grids_have_room(n):
    rows, columns = grid(n)
    assert columns <= 3
    assert n <= rows * columns < n + columns


# Sources and axes --------------------------------------------------------------------


def test_models_come_as_objects_estimators_files_and_folders(tmp_path):
    model = model_of(*random_masks(5, 6, 2))
    path = models.save(model, tmp_path / "model.safetensors")
    sources = [model, SimpleNamespace(model_=model), path, str(path), tmp_path]
    for source in sources:
        assert plots.LayersDisplay.from_model(source).nnz == [
            each.connections.nnz for each in model.layers
        ]
    with pytest.raises(UsageError, match="got int"):
        plots.LayersDisplay.from_model(3)


@pytest.mark.parametrize("layers", [2, -1, [0, 5], [], "x", True])
def test_layers_that_do_not_exist_are_refused(layers):
    model = model_of(*random_masks(5, 6, 2))
    with pytest.raises(UsageError, match="layers"):
        plots.DegreeDisplay.from_model(model, layers=layers)


def test_pyplot_is_used_where_no_axes_are_given():
    from matplotlib import pyplot

    display = plots.LayersDisplay.from_model(model_of(*random_masks(5, 6, 2)))
    assert display.plot() is display
    try:
        assert pyplot.fignum_exists(display.figure_.number)
        assert [ax.figure for ax in display.ax_] == [display.figure_] * 2
    finally:
        pyplot.close(display.figure_)
    assert not pyplot.get_fignums()


def test_axes_must_be_as_many_as_panels():
    display = plots.LayersDisplay.from_model(model_of(*random_masks(5, 6, 2)))
    with pytest.raises(UsageError, match="1 x 2 panels"):
        display.plot(ax=Figure().subplots())
    with pytest.raises(UsageError, match="panels"):
        display.plot(ax=[1, 2])


def test_one_panel_has_one_axes():
    ax = Figure().subplots()
    (mask,) = random_masks(36, 4)
    display = plots.InputConnectivityDisplay.from_model(model_of(mask))
    assert display.plot(ax=ax).ax_ is ax


def test_importing_plots_does_not_import_matplotlib():
    program = (
        "import sys, truesparse.plots as p\n"
        "for name in p.__all__: getattr(p, name)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "sys.modules['matplotlib'] = None\n"
        "try: p.TrainingDisplay.from_history([{'epoch': 1}]).plot()\n"
        "except ValueError as error: print(error)\n"
    )
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "pip install 'truesparse[plot]'" in done.stdout


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="Nothing"):
        _ = plots.Nothing


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9999, "9,999"), (12_345, "12.3k"), (4.57e6, "4.57M"), (2e9, "2G")],
)
def test_counts_are_short(count, text):
    assert short(count) == text
    assert share_text(0.0123) == "1.23 %"
