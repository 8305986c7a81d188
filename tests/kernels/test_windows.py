"""One sample by windows: the same bits as without, and when they are used."""

import copy
import functools
import json
import os
import pickle
import subprocess
import sys
import threading

import llvmlite.binding
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive_condensed as twin
from support.compare import assert_close
from support.condensed_layers import (
    NEEDS_AVX512,
    WIDTHS,
    layers,
    make_layer,
    pack,
    rectangle,
    rows_of,
    sample,
)
from support.strategies import SEEDS

from truesparse.activations import LayerActivation
from truesparse.condensed import CondensedMLP
from truesparse.kernels import jit
from truesparse.kernels.condensed import one_sample
from truesparse.kernels.simd import make_tile
from truesparse.kernels.windows import (
    NARROW,
    one_sample_by_windows,
    one_sample_by_windows_parallel,
)
from truesparse.losses import Loss
from truesparse.sparse import condensed_layer as condensed
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense
from truesparse.sparse.connections import Connections


@NEEDS_AVX512
@given(layers(), SEEDS, WIDTHS, st.integers(1, 3))
def test_the_bits_are_those_of_the_plain_kernel(layer, seed, width, task_size):
    windows = make_tile(width), *pack(layer, width)
    x, code = sample(layer, seed), layer.activation.for_inference()[:2]
    want = np.full(layer.room(1), np.nan, np.float32)
    one_sample(x, want, *code, layer.n_in, *layer.blocks)
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
    lists = rows_of(layer)
    scale = 1.0 + twin.scale(*lists, layer.bias, x)
    dense = twin.forward(*lists, layer.bias, layer.activation.name, x)
    assert_close(got, dense, scale)


@NEEDS_AVX512
def test_results_do_not_depend_on_the_number_of_threads():
    layer = make_layer(300, 700, 90)
    x, outputs = sample(layer), []
    assert layer.windows is not None
    assert layer.nnz > condensed._PARALLEL_NNZ  # or there is one thread
    try:
        for threads in range(1, jit.most_threads() + 1):
            jit.set_threads(threads)
            outputs.append(layer.forward(x))
    finally:
        jit.set_threads(jit.most_threads())
    for out in outputs:
        np.testing.assert_array_equal(out, outputs[0])


@NEEDS_AVX512
@given(SEEDS, WIDTHS)
def test_connections_of_the_same_input_keep_their_order(seed, width):
    generator = np.random.default_rng(seed)
    inputs = np.sort(generator.integers(0, 64, (128, 60)), 1).astype(np.int32)
    drawn = make_layer(64, 128, 60, "identity", seed)
    arrays = drawn.by_output()[2].reshape(128, 60), inputs, drawn.neurons, drawn.bias
    layer = rectangle(64, *arrays, drawn.activation)
    x, got = sample(layer), np.empty(layer.room(1), np.float32)
    want, code = np.empty_like(got), layer.activation.for_inference()[:2]
    one_sample(x, want, *code, layer.n_in, *layer.blocks)
    assert one_sample_by_windows(x, got, *code, make_tile(width), *pack(layer, width))
    np.testing.assert_array_equal(got, want)


@NEEDS_AVX512
def test_tasks_activate_neurons_of_their_own_alone():
    for n in (200, 640):
        layer = make_layer(200, n, 30, "tanh")
        x, code = sample(layer), layer.activation.for_inference()[:2]
        want = np.full(layer.room(1), np.nan, np.float32)
        got, windows = want.copy(), (make_tile(NARROW), *pack(layer))
        assert one_sample_by_windows(x, want, *code, *windows)
        for _ in range(5):
            assert one_sample_by_windows_parallel(x, got, *code, 1, *windows)
            np.testing.assert_array_equal(got, want)


@NEEDS_AVX512
@pytest.mark.compiled
def test_subnormals_are_flushed_within_and_kept_outside():
    tiny, drawn = np.float32(1e-20), make_layer(128, 100, 40, "identity")
    indptr, inputs, weights = drawn.by_output()
    weights, no_bias = weights * tiny, np.zeros_like(drawn.bias)
    arrays = indptr, inputs, weights, drawn.neurons, no_bias
    layer = CondensedLayer(128, *arrays, drawn.activation)
    x, code = sample(layer) * tiny, layer.activation.for_inference()[:2]
    windows = make_tile(NARROW), *pack(layer)
    for kernel, more in (
        (one_sample_by_windows, ()),
        (one_sample_by_windows_parallel, (1,)),
    ):
        out = np.full(layer.room(1), np.nan, np.float32)
        assert kernel(x, out, *code, *more, *windows)
        assert (out == 0).all()
        assert np.float32(1e-41) * np.float32(0.5) > 0
    assert (weights[:40].astype(float) * x[inputs[:40]] != 0).all()


@NEEDS_AVX512
def test_units_of_srelu_follow_either_way(monkeypatch):
    drawn, outputs = make_layer(128, 100, 40, "identity"), []
    units = np.random.default_rng(2).random((4, 100), np.float32)
    arrays = *drawn.by_output(), drawn.neurons, drawn.bias
    layer = CondensedLayer(128, *arrays, LayerActivation("srelu"), units)
    for has in (True, False):
        monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda has=has: has)
        outputs.append(layer.forward(sample(layer)))
    assert layer.windows is not None
    np.testing.assert_array_equal(*outputs)
    assert (outputs[0] != drawn.forward(sample(layer))).any()


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
    has_it = np.array([20 in row for row in rows_of(layer)[1]])
    assert 0 < has_it.sum() < 100
    assert (np.isfinite(layer.forward(x)) == ~has_it).all()


def test_the_layer_takes_them_where_there_is_avx_512(monkeypatch):
    layer, calls = make_layer(128, 128, 40), []
    x = sample(layer)

    def called(*arguments):
        calls.append(arguments)
        return True

    name = "one_sample_by_windows"
    monkeypatch.setattr(f"truesparse.sparse.condensed_layer.{name}", called)
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: False)
    want = layer.forward(x)
    assert "windows" not in vars(layer)
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: True)
    layer.forward(x)
    assert calls[0][4:] == layer.windows
    indptr, inputs, weights = layer.by_output()
    double = CondensedLayer(
        128,
        indptr,
        inputs,
        weights.astype(float),
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
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: windows)
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
    "settings", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}]
)
def test_a_processor_that_numba_is_told_of_counts(settings, tmp_path):
    code = """
import json
import numpy as np
from support.condensed_layers import make_layer, sample
from truesparse.kernels import jit
layer = make_layer(128, 128, 40)
print(json.dumps([jit.has_avx512(), layer.forward(sample(layer)).tolist()]))
"""
    here = os.path.dirname(os.path.dirname(__file__))
    paths = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    places = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | places | settings,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    has_avx512, got = json.loads(done.stdout)
    assert not has_avx512
    layer = make_layer(128, 128, 40)
    np.testing.assert_allclose(got, layer.forward(sample(layer)), 1e-4, 1e-5)


def make_model():
    """Return a model of layers with and without constant fan-in."""
    layers = make_layer(768, 1000, 77), make_layer(100, 10, 50, "identity")
    uneven = np.random.default_rng(0).random((1000, 100)) < 0.1
    connections = Connections.from_scipy(sparse.coo_array(uneven.astype(np.float32)))
    bias = np.zeros(100, np.float32)
    rows = condense(connections, bias, LayerActivation("tanh"))
    parts = [layers[0], rows, layers[1]]
    return CondensedMLP(768, parts, np.zeros(10, np.float32), Loss("squared"))


@pytest.mark.compiled
@pytest.mark.parametrize("make", [lambda: make_layer(768, 1000, 77), make_model])
def test_threads_of_python_do_not_disturb_each_other(make):
    subject = make()
    is_model = isinstance(subject, CondensedMLP)
    forward = subject.decision_function if is_model else subject.forward
    draw = np.random.default_rng(1)
    shape = (1, 768) if is_model else 768
    samples = [draw.standard_normal(shape, np.float32) for _ in range(4)]
    want = [forward(x) for x in samples]
    wrong = []

    def run(k):
        jit.set_threads(1)  # of this one
        for _ in range(300):
            if not np.array_equal(forward(samples[k]), want[k]):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_copies_have_no_windows_and_no_buffers():
    layer, double = make_layer(128, 200, 30), make_layer(128, 200, 30)
    x = sample(layer)
    want = layer.forward(x)
    double.windows  # noqa: B018
    for copied in (copy.copy(double), pickle.loads(pickle.dumps(double))):
        assert "windows" not in vars(copied)
        np.testing.assert_array_equal(copied.forward(x), want)
    model, x = make_model(), x.reshape(1, -1)
    x = np.repeat(x, 6, 1)
    want = model.decision_function(x)
    for copied in (copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert "_of_thread" not in vars(copied)
        np.testing.assert_array_equal(copied.decision_function(x), want)
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[:] = 1.0


@pytest.mark.compiled
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="Numba is told its CPU")
def test_avx_512_is_found():
    features = llvmlite.binding.get_host_cpu_features()
    assert jit.has_avx512() == bool(features.get("avx512f"))
