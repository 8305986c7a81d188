"""One sample by windows: the order of the connections, and the same bits."""

import copy
import functools
import json
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc

import llvmlite.binding
import naive_condensed as twin
import numpy as np
import pytest
from compare import assert_close
from hypothesis import given
from hypothesis import strategies as st
from strategies import SEEDS

from truesparse import jit
from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.condensed import CondensedMLP
from truesparse.kernels.condensed import one_sample
from truesparse.kernels.simd import make_tile
from truesparse.kernels.windows import (
    LANES,
    NARROW,
    NEURONS,
    STEP_BYTES,
    VECTORS,
    WIDE,
    one_sample_by_windows,
    one_sample_by_windows_parallel,
    pack_windows,
)
from truesparse.losses import Loss
from truesparse.sparse import condensed
from truesparse.sparse.condensed import CondensedLayer

NEEDS_AVX512 = pytest.mark.skipif(
    not (jit.DISABLED or jit.has_avx512()),
    reason="an instruction of AVX-512; the lane without JIT runs it everywhere",
)
FIXED = [name for name in ACTIVATIONS if not LayerActivation(name).is_trained]
WIDTHS = st.sampled_from([NARROW, WIDE])
INPUTS = st.sampled_from([64, 70, 200] + [333] * (not jit.DISABLED))
NEURON_COUNTS = st.sampled_from([40, 64, 70, 128] + [200] * (not jit.DISABLED))
ANY = 1_000_000  # weights


@st.composite
def layers(draw):
    """Layers of constant fan-in, some weights 0."""
    n_in, n = draw(INPUTS), draw(NEURON_COUNTS)
    k = draw(st.integers(1, n_in))
    name, with_zeros = draw(st.sampled_from(FIXED)), draw(st.booleans())
    return make_layer(n_in, n, k, name, draw(SEEDS), with_zeros)


def make_layer(n_in, n, k, name="relu", seed=0, with_zeros=False):
    generator = np.random.default_rng(seed)
    inputs = np.sort(generator.random((n, n_in)).argsort(1)[:, :k], 1).astype(np.int32)
    weights = generator.standard_normal((n, k), np.float32)
    if with_zeros:
        weights[generator.random((n, k)) < 0.1] = 0.0
    bias = generator.standard_normal(n, np.float32)
    neurons = np.arange(n, dtype=np.int32)
    return CondensedLayer(n_in, weights, inputs, neurons, bias, LayerActivation(name))


def sample(layer, seed=1):
    return np.random.default_rng(seed).standard_normal(layer.n_in, np.float32)


def pack(layer, width=NARROW, most=ANY):
    arrays = layer.weights, layer.inputs, layer.bias
    return pack_windows(*arrays, layer.n_in, width, most)


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
    got = pack(layer, width)
    for group in range(len(got.bias)):
        part = slice(group * NEURONS, (group + 1) * NEURONS)
        arrays = layer.weights[part], layer.inputs[part].tolist()
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
    arrays = layer.weights, layer.inputs, layer.bias
    peaks = []
    for at_once in (NEURONS, 40 * NEURONS):
        monkeypatch.setattr("truesparse.kernels.windows._AT_ONCE", at_once)
        tracemalloc.start()
        assert pack_windows(*arrays, 4000, WIDE, 2 * layer.nnz) is None
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 2


@NEEDS_AVX512
@given(layers(), SEEDS, WIDTHS, st.integers(1, 3))
def test_the_bits_are_those_of_the_plain_kernel(layer, seed, width, task_size):
    windows = make_tile(width), *pack(layer, width)
    x, code = sample(layer, seed), layer.activation.for_inference()[:2]
    want = np.full(layer.room(1), np.nan, np.float32)
    one_sample(x, want, *code, *layer.blocks)
    # What follows the inputs, as in the buffer of the layer before, is not read.
    longer = np.append(x, [np.nan, np.inf]).astype(np.float32)
    for given_x in (x, longer):
        out = np.full(layer.room(1), np.nan, np.float32)
        assert one_sample_by_windows(given_x, out, *code, *windows)
        got, expected = (a.ravel()[: layer.n_active] for a in (out, want))
        np.testing.assert_array_equal(got, expected)
        out[:] = np.nan
        assert one_sample_by_windows_parallel(given_x, out, *code, task_size, *windows)
        np.testing.assert_array_equal(out.ravel()[: layer.n_active], expected)
    lists = layer.weights.tolist(), layer.inputs.tolist()
    scale = 1.0 + twin.scale(*lists, layer.bias, x)
    dense = twin.forward(*lists, layer.bias, layer.activation.name, x)
    assert_close(got, dense, scale)


@NEEDS_AVX512
def test_results_do_not_depend_on_the_number_of_threads():
    layer = make_layer(300, 700, 90)
    x, found = sample(layer), []
    assert layer.windows is not None
    assert layer.nnz > condensed._PARALLEL_NNZ  # or there is one thread
    try:
        for threads in range(1, jit.most_threads() + 1):
            jit.set_threads(threads)
            found.append(layer.forward(x))
    finally:
        jit.set_threads(jit.most_threads())
    for out in found:
        np.testing.assert_array_equal(out, found[0])


@NEEDS_AVX512
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_number_that_is_not_finite_reaches_its_own_neurons_alone(wrong):
    layer = make_layer(70, 100, 30, "identity")
    windows, x = (make_tile(NARROW), *pack(layer)), sample(layer)
    x[20] = wrong
    out = np.full(layer.room(1), 7.0, np.float32)
    assert not one_sample_by_windows(x, out, 0, 0.0, *windows)
    assert not one_sample_by_windows_parallel(x, out, 0, 0.0, 1, *windows)
    assert (out == 7.0).all()
    has_it = (layer.inputs == 20).any(1)
    assert 0 < has_it.sum() < 100
    assert (np.isfinite(layer.forward(x)) == ~has_it).all()


def test_the_layer_takes_them_where_there_is_avx_512(monkeypatch):
    layer, calls = make_layer(128, 128, 40), []
    x = sample(layer)

    def called(*arguments):
        calls.append(arguments)
        return True

    name = "one_sample_by_windows"
    monkeypatch.setattr(f"truesparse.sparse.condensed.{name}", called)
    monkeypatch.setattr("truesparse.jit.has_avx512", lambda: False)
    want = layer.forward(x)
    assert "windows" not in vars(layer)
    monkeypatch.setattr("truesparse.jit.has_avx512", lambda: True)
    layer.forward(x)
    assert calls[0][4:] == layer.windows
    double = CondensedLayer(
        128,
        layer.weights.astype(float),
        layer.inputs,
        layer.neurons,
        layer.bias.astype(float),
        layer.activation,
    )
    np.testing.assert_allclose(double.forward(x.astype(float)), want, 1e-4, 1e-5)
    assert double.windows is None
    assert len(calls) == 1


@pytest.mark.parametrize("windows", [False, True])
def test_large_layers_take_all_threads(monkeypatch, windows):
    called = []
    names = ["one_sample", "one_sample_parallel"]
    names += ["one_sample_by_windows", "one_sample_by_windows_parallel"]
    for name in names:
        stub = functools.partial(lambda name, *a: called.append((name, a)) or 1, name)
        monkeypatch.setattr(condensed, name, stub)
    monkeypatch.setattr("truesparse.jit.has_avx512", lambda: windows)
    name = names[2 * windows]
    for threads, k, want in ((1, 80, name), (3, 70, name), (3, 80, name + "_parallel")):
        monkeypatch.setattr(jit, "thread_count", lambda threads=threads: threads)
        layer = make_layer(100, 800, k)
        layer.forward(sample(layer))
        assert (layer.nnz >= condensed._PARALLEL_NNZ) == (k == 80)
        assert called[-1][0] == want
    # 13 groups of neurons for 3 threads.
    assert not windows or called[-1][1][4] == 5


@pytest.mark.skipif(jit.DISABLED, reason="nothing is compiled")
@pytest.mark.parametrize(
    "told", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}]
)
def test_a_processor_that_numba_is_told_of_counts(told, tmp_path):
    code = """
import json
import numpy as np
from test_windows import make_layer, sample
from truesparse import jit
layer = make_layer(128, 128, 40)
print(json.dumps([jit.has_avx512(), layer.forward(sample(layer)).tolist()]))
"""
    here = os.path.dirname(__file__)
    paths = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    own = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own | told,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found, got = json.loads(done.stdout)
    assert not found
    layer = make_layer(128, 128, 40)
    np.testing.assert_allclose(got, layer.forward(sample(layer)), 1e-4, 1e-5)


def test_four_places_fill_a_word():
    assert np.dtype(np.uint32).itemsize * 8 == VECTORS * 8
    assert NEURONS == VECTORS * LANES


@pytest.mark.compiled
@NEEDS_AVX512
def test_threads_of_python_do_not_disturb_each_other():
    layer = make_layer(768, 1000, 77)
    samples = [sample(layer, seed) for seed in range(4)]
    want = [layer.forward(x) for x in samples]
    wrong = []

    def run(k):
        jit.set_threads(1)  # of this one
        for _ in range(300):
            if not np.array_equal(layer.forward(samples[k]), want[k]):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_copies_have_no_windows():
    layer, double = make_layer(128, 200, 30), make_layer(128, 200, 30)
    x = sample(layer)
    want = layer.forward(x)
    double.windows  # noqa: B018
    for copied in (copy.copy(double), pickle.loads(pickle.dumps(double))):
        assert "windows" not in vars(copied)
        np.testing.assert_array_equal(copied.forward(x), want)
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[:] = 1.0


@pytest.mark.compiled
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="Numba is told its CPU")
def test_avx_512_is_found():
    features = llvmlite.binding.get_host_cpu_features()
    assert jit.has_avx512() == bool(features.get("avx512f"))
