"""One sample by windows: the order of the connections, and the same bits."""

import copy
import json
import os
import pickle
import subprocess
import sys
import threading

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
from truesparse.kernels import windows as kernels
from truesparse.kernels.condensed import one_sample
from truesparse.kernels.windows import (
    LANES,
    NEURONS,
    VECTORS,
    WINDOW,
    one_sample_by_windows,
    one_sample_by_windows_parallel,
    pack_windows,
)
from truesparse.sparse.condensed import CondensedLayer

NEEDS_AVX512 = pytest.mark.skipif(
    not (jit.DISABLED or jit.has_avx512()),
    reason="an instruction of AVX-512; the lane without JIT runs it everywhere",
)
FIXED = [name for name in ACTIVATIONS if not LayerActivation(name).is_trained]
INPUTS = st.sampled_from([1, 30, 64, 70, 200] + [333] * (not jit.DISABLED))
NEURON_COUNTS = st.sampled_from([40, 64, 70, 128] + [200] * (not jit.DISABLED))


@st.composite
def layers(draw):
    """Layers of constant fan-in, dense enough for windows, some weights 0."""
    n_in, n = draw(INPUTS), draw(NEURON_COUNTS)
    k = draw(st.integers(max(1, n_in // 4), n_in))
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


def pack(layer):
    return pack_windows(layer.weights, layer.inputs, layer.bias, layer.n_in)


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


@given(layers())
def test_steps_are_those_of_the_naive_order(layer):
    got = pack(layer)
    assert got is not None
    for group in range(len(got.bias)):
        part = slice(group * NEURONS, (group + 1) * NEURONS)
        want = twin.windows(layer.weights[part], layer.inputs[part].tolist())
        assert group_steps(got, group) == want
    # Whoever waits reads within the window too.
    assert (got.places & 0xC0C0C0C0 == 0).all()
    assert (got.starts + WINDOW <= got.x.size).all()
    assert got.bias.ravel()[: layer.n_active].tolist() == layer.bias.tolist()
    for array in (got.weights, got.places, got.bias, got.x):
        assert array.ctypes.data % 64 == 0
    assert got.weights.size <= 2 * layer.nnz


def test_layers_that_are_too_sparse_or_too_small_have_no_windows():
    assert pack(make_layer(1000, 64, 100)) is not None
    assert pack(make_layer(1000, 64, 10)) is None
    assert pack(make_layer(100, 10, 100)) is None  # 10 of 64 lanes
    assert pack(make_layer(100, 64, 0)).starts.size == 0


@NEEDS_AVX512
@given(layers(), SEEDS, st.integers(1, 3))
def test_the_bits_are_those_of_the_plain_kernel(layer, seed, task_size):
    windows = pack(layer)
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
    assert layer.nnz > 60_000  # or there is one thread
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
    windows, x = pack(layer), sample(layer)
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
    assert calls[0][4] is layer.windows.weights
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


def test_a_window_is_four_vectors_as_four_places_fill_a_word():
    assert np.dtype(np.uint32).itemsize * 8 == VECTORS * 8
    assert kernels.NEURONS == kernels.WINDOW == VECTORS * LANES


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
        assert not {"windows", "_in_use"} & set(vars(copied))
        np.testing.assert_array_equal(copied.forward(x), want)
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[:] = 1.0


@pytest.mark.compiled
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="Numba is told its CPU")
def test_avx_512_is_found():
    features = llvmlite.binding.get_host_cpu_features()
    assert jit.has_avx512() == bool(features.get("avx512f"))
