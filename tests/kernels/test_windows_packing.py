"""Connections in the order of windows: which steps, how many, how wide."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive_condensed as twin
from support.condensed_layers import WIDTHS, layers, make_layer, pack, rows_of

from truesparse.condensed import CondensedMLP
from truesparse.kernels import jit
from truesparse.kernels.windows import (
    LANES,
    NARROW,
    NEURONS,
    STEP_BYTES,
    VECTORS,
    WIDE,
    pack_windows,
)
from truesparse.losses import Loss
from truesparse.sparse import condensed_layer as condensed


def group_steps(windows, group):
    """Return the steps of 64 neurons as naive_condensed.windows does."""
    steps = []
    for step in range(windows.first[group], windows.first[group + 1]):
        taken, start = [], int(windows.starts[step])
        for neuron in np.flatnonzero(windows.weights[step]):
            vector, lane = divmod(int(neuron), LANES)
            place = int(windows.places[step, lane]) >> 8 * vector & 255
            taken.append((int(neuron), start + place, windows.weights[step, neuron]))
        steps.append((start, taken))
    return steps


@given(layers(), WIDTHS)
def test_steps_are_those_of_the_naive_order(layer, width):
    got, (weights, inputs) = pack(layer, width), rows_of(layer)
    for group in range(len(got.bias)):
        part = slice(group * NEURONS, (group + 1) * NEURONS)
        arrays = weights[part], inputs[part]
        assert group_steps(got, group) == twin.windows(*arrays, layer.n_in, width)
    # Whoever waits reads within the window, too, and that within the sample.
    assert all(byte < width for byte in got.places.tobytes())
    assert (got.starts >= 0).all()
    assert (got.starts + width <= layer.n_in).all()
    assert got.bias.ravel()[: layer.n_active].tolist() == layer.bias.tolist()
    for array in (got.weights, got.places, got.bias):
        assert array.ctypes.data % 64 == 0
    assert got.weights.nbytes + got.places.nbytes == STEP_BYTES * got.starts.size


@given(layers(), WIDTHS, st.data())
def test_so_many_weights_and_no_more(layer, width, data):
    size = pack(layer, width).weights.size
    assert pack(layer, width, size) is not None
    below = data.draw(st.integers(0, size - 1))
    assert pack(layer, width, below) is None


def test_parts_that_are_packed_one_by_one_make_one_layer(monkeypatch):
    layer = make_layer(100, 450, 20)
    want = pack(layer)
    monkeypatch.setattr("truesparse.kernels.windows._AT_ONCE", 2 * NEURONS)
    for got, array in zip(pack(layer), want, strict=True):
        np.testing.assert_array_equal(got, array)
    assert pack(layer, most=want.weights.size) is not None
    assert pack(layer, most=want.weights.size - NEURONS) is None


def test_what_has_no_connections_has_no_steps():
    for n, k in ((64, 0), (0, 5), (0, 0)):
        assert pack(make_layer(100, n, k)).starts.size == 0
    assert pack(make_layer(NARROW - 1, 64, 20)) is None
    assert pack(make_layer(NARROW, 64, 20), WIDE) is None


def width_of(layer):
    return layer.windows and len(layer.windows[0]) * LANES


def test_windows_are_narrow_where_the_layer_fits_the_cache(monkeypatch):
    def make(n_in, n, k, share=1.0, cache=10_000_000):
        monkeypatch.setattr(condensed, "_CACHE_BYTES", cache)
        layer = make_layer(n_in, n, k)
        layer.cache_share = share
        return width_of(layer)

    assert make(700, 128, 70) == NARROW
    size = pack(make_layer(700, 128, 70)).starts.size * STEP_BYTES
    assert make(700, 128, 70, cache=size) == NARROW
    assert make(700, 128, 70, cache=size - 1) == WIDE
    assert make(700, 128, 70, 0.5, 2 * size) == NARROW
    assert make(700, 128, 70, 0.5, 2 * size - 2) == WIDE
    # 3.5 narrow or 2.5 wide weights a connection at most, outside the cache 1.6.
    ks = 12, 14, 28, 35
    narrow, wide = (
        [pack(make_layer(700, 512, k), w).weights.size / (512 * k) for k in ks]
        for w in (NARROW, WIDE)
    )
    assert narrow[0] > 3.5 > narrow[1]
    assert 2.5 > wide[1] > wide[2] > 1.6 > wide[3]
    assert [make(700, 512, k) for k in ks] == [WIDE, NARROW, NARROW, NARROW]
    bytes_ = [int(5 * 512 * k * each) for k, each in zip(ks, wide, strict=True)]
    assert make(700, 512, 14, cache=bytes_[1] + 320) == WIDE
    assert make(700, 512, 14, cache=bytes_[1] - 320) is None
    assert make(700, 512, 28, cache=0) is None
    assert make(700, 512, 35, cache=0) == WIDE
    assert make(700, 512, 11) is None
    assert make(700, 10, 700) is None  # 10 of 64 lanes
    # A few connections are done before windows are looked at.
    assert make(100, 64, 46) is None
    assert make(100, 64, 47) == NARROW


def test_threads_have_caches_of_their_own(monkeypatch):
    monkeypatch.setattr(condensed, "_CACHE_BYTES", 400_000)
    cases = (1, False, WIDE), (2, False, NARROW), (2, True, WIDE)
    for count, is_small, width in cases:
        monkeypatch.setattr(jit, "thread_count", lambda count=count: count)
        monkeypatch.setattr(condensed, "_PARALLEL_NNZ", 1e9 if is_small else 0)
        assert width_of(make_layer(700, 1024, 70)) == width


def test_a_model_shares_the_cache_among_its_layers():
    first, last = make_layer(100, 200, 10), make_layer(200, 10, 100, "identity")
    CondensedMLP(100, [first, last], np.zeros(10, np.float32), Loss("squared"))
    assert first.cache_share == pytest.approx(2 / 3)
    assert last.cache_share == pytest.approx(1 / 3)


def test_packing_takes_memory_for_some_neurons_at_a_time(monkeypatch):
    layer = make_layer(4000, 40 * NEURONS, 10)
    arrays = *layer.by_output(), layer.bias, layer.blocks.order
    peaks = []
    for at_once in (NEURONS, 40 * NEURONS * 11):
        monkeypatch.setattr("truesparse.kernels.windows._AT_ONCE", at_once)
        tracemalloc.start()
        assert pack_windows(*arrays, 4000, WIDE, 2 * layer.nnz) is None
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 2


def test_four_places_fill_a_word():
    assert np.dtype(np.uint32).itemsize * 8 == VECTORS * 8
    assert NEURONS == VECTORS * LANES
