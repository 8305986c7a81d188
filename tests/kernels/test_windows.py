"""One sample by windows: the same bits as without, and when they are used."""

import copy
import functools
import itertools
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
    rectangle,
    rows_of,
    run,
    sample,
)
from support.strategies import SEEDS

from truesparse.activations import LayerActivation
from truesparse.condensed import CondensedMLP
from truesparse.kernels import jit
from truesparse.kernels.condensed_net import LayerRow
from truesparse.kernels.simd import make_tile
from truesparse.kernels.windows import NARROW
from truesparse.losses import Loss
from truesparse.sparse import condensed_layer as condensed
from truesparse.sparse import one_by_one
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense
from truesparse.sparse.connections import Connections


@NEEDS_AVX512
@given(layers(), SEEDS, WIDTHS, st.integers(1, 3))
def test_the_bits_are_those_of_the_plain_kernel(layer, seed, width, n_tasks):
    x = sample(layer, seed)
    want = run(layer, x)
    # What follows the inputs, as in the buffer of the layer before, is not read.
    longer = np.append(x, [np.nan, np.inf]).astype(np.float32)
    for given_x in (x, longer):
        for count in (0, n_tasks):
            got = run(layer, given_x, width, count)
            np.testing.assert_array_equal(got, want)
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
    x = sample(layer)
    np.testing.assert_array_equal(run(layer, x, width), run(layer, x))


@NEEDS_AVX512
def test_tasks_activate_neurons_of_their_own_alone():
    for n in (200, 640):
        layer = make_layer(200, n, 30, "tanh")
        x = sample(layer)
        want = run(layer, x, NARROW)
        for _ in range(5):
            np.testing.assert_array_equal(run(layer, x, NARROW, 11), want)


@NEEDS_AVX512
@pytest.mark.compiled
def test_subnormals_are_flushed_within_and_kept_outside():
    tiny, drawn = np.float32(1e-20), make_layer(128, 100, 40, "identity")
    indptr, inputs, weights = drawn.by_output()
    weights, no_bias = weights * tiny, np.zeros_like(drawn.bias)
    arrays = indptr, inputs, weights, drawn.neurons, no_bias
    layer = CondensedLayer(128, *arrays, drawn.activation)
    x = sample(layer) * tiny
    for width, n_tasks in itertools.product((0, NARROW), (0, 2)):
        assert (run(layer, x, width, n_tasks) == 0).all()
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
        outputs.append(copy.copy(layer).forward(sample(layer)))
    assert layer.windows is not None
    np.testing.assert_array_equal(*outputs)
    assert (outputs[0] != drawn.forward(sample(layer))).any()


@NEEDS_AVX512
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_a_number_that_is_not_finite_reaches_its_own_neurons_alone(wrong):
    layer = make_layer(70, 100, 30, "identity")
    x = sample(layer)
    x[20] = wrong
    has_it = np.array([20 in row for row in rows_of(layer)[1]])
    assert 0 < has_it.sum() < 100
    for out in (layer.forward(x), run(layer, x, NARROW), run(layer, x, NARROW, 2)):
        assert (np.isfinite(out) == ~has_it).all()


def record_calls(monkeypatch):
    """Record which kernels are called with what, and compute nothing."""
    calls = []
    for name in ("few_samples", "few_samples_parallel"):
        stub = functools.partial(lambda name, *given: calls.append((name, given)), name)
        monkeypatch.setattr(one_by_one, name, stub)
    return calls


def widths_of(call):
    """Return the widths of the layers' windows, 0 for none."""
    _, (narrow, _, _, _, table, *_) = call
    widths = [LayerRow(*row).width for row in table.tolist()]
    assert narrow == (make_tile(NARROW) if any(widths) else None)
    return widths


def test_the_layer_takes_them_where_there_is_avx_512(monkeypatch):
    layer = make_layer(128, 128, 40)
    x, arrays = sample(layer), layer.by_output()
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: False)
    want = layer.forward(x)
    assert "windows" not in vars(layer)
    calls = record_calls(monkeypatch)
    layer.forward(x)
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: True)
    layer.forward(x)
    assert [widths_of(call) for call in calls] == [[0], [NARROW]]
    row = LayerRow(*calls[1][1][4][0].tolist())
    assert row.step_weights == layer.windows[1].ctypes.data
    monkeypatch.undo()
    indptr, inputs, weights = arrays
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


@pytest.mark.parametrize("windows", [False, True])
def test_large_layers_take_all_threads(monkeypatch, windows):
    calls = record_calls(monkeypatch)
    monkeypatch.setattr("truesparse.kernels.jit.has_avx512", lambda: windows)
    serial, parallel = "few_samples", "few_samples_parallel"
    for threads, k, want in ((1, 80, serial), (3, 70, serial), (3, 80, parallel)):
        monkeypatch.setattr(jit, "thread_count", lambda threads=threads: threads)
        layer = make_layer(100, 800, k)
        layer.forward(sample(layer))
        assert layer.is_large == (layer.nnz >= condensed._PARALLEL_NNZ) == (k == 80)
        assert calls[-1][0] == want
        assert widths_of(calls[-1]) == [NARROW * windows]
    assert calls[-1][1][5] == 3  # tasks


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
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all("windows" not in vars(layer) for layer in copied.layers)
        assert vars(copied._chain._one_by_one)["_windowed"] is None
        np.testing.assert_array_equal(copied.decision_function(x), want)
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[:] = 1.0


@pytest.mark.compiled
@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="Numba is told its CPU")
def test_avx_512_is_found():
    features = llvmlite.binding.get_host_cpu_features()
    assert jit.has_avx512() == bool(features.get("avx512f"))
