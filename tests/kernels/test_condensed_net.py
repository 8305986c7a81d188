"""A few samples through condensed layers: the bits of the layers one by one."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.condensed_layers import make_layer, run
from support.strategies import DTYPES, SEEDS

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.kernels import jit
from truesparse.kernels.windows import NARROW, WIDE
from truesparse.sparse import condensed_layer
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.one_by_one import OneByOne

WIDTHS = st.lists(st.sampled_from([1, 9, 40, 70, 130]), min_size=2, max_size=4)


@st.composite
def nets(draw):
    """Layers that fit each other, of any fan-in, activation and dtype."""
    sizes, dtype = draw(WIDTHS), draw(st.sampled_from(DTYPES))
    generator, layers = np.random.default_rng(draw(SEEDS)), []
    density = draw(st.sampled_from([0.05, 0.4, 0.9]))
    for n_in, n in itertools.pairwise(sizes):
        mask = generator.random((n, n_in)) < density
        if draw(st.booleans()):
            mask = np.sort(mask, 1)  # fan-ins as before, windows that overlap
        indptr = np.concatenate([[0], np.cumsum(mask.sum(1))])
        inputs = np.nonzero(mask)[1].astype(np.int32)
        weights = generator.standard_normal(inputs.size).astype(dtype)
        bias = generator.standard_normal(n).astype(dtype)
        name = draw(st.sampled_from(ACTIVATIONS))
        units = generator.random((4, n)).astype(dtype) if name == "srelu" else None
        outputs = np.arange(n, dtype=np.int32), bias, LayerActivation(name, 0.25), units
        layers.append(CondensedLayer(n_in, indptr, inputs, weights, *outputs))
    return layers


def predict(layers, x, **how):
    out = np.full((len(x), layers[-1].n_active), np.nan, x.dtype)
    OneByOne(layers, **how).run(x, out)
    return out


def samples(layers, n, seed):
    x = np.random.default_rng(seed).standard_normal((n, layers[0].n_in))
    return x.astype(layers[0].blocks.bias.dtype)


@pytest.fixture(autouse=True, scope="module")
def _windows_of_any_layer():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(condensed_layer, "_WINDOWS_NNZ", 0)
        patch.setattr(
            condensed_layer, "_MOST_WEIGHTS", {NARROW: (9.0, 0.0), WIDE: (1e9, 0.0)}
        )
        patch.setattr(condensed_layer, "_CACHE_BYTES", 10**9)
        yield


@given(nets(), st.integers(1, 4), SEEDS, st.booleans())
def test_a_net_is_its_layers_one_after_the_other(layers, n, seed, is_large):
    x = samples(layers, n, seed)
    want = x
    for layer in layers:
        want = np.vstack([layer.forward(row) for row in want])
        layer.is_large = is_large
    x.flags.writeable = False
    for patience in (0, 99):
        np.testing.assert_array_equal(predict(layers, x, patience=patience), want)


@pytest.mark.compiled
def test_the_number_of_threads_changes_no_bit():
    sizes, layers = (300, 700, 500, 9), []
    for seed, (n_in, n) in enumerate(itertools.pairwise(sizes)):
        layers.append(make_layer(n_in, n, n_in // 3, "tanh", seed))
    assert [layer.is_large for layer in layers] == [True, True, False]
    x, outputs = samples(layers, 3, 5), []
    try:
        for count in range(1, jit.most_threads() + 1):
            jit.set_threads(count)
            for patience in (0, 99):
                outputs.append(predict(layers, x, patience=patience))
    finally:
        jit.set_threads(jit.most_threads())
    for got in outputs:
        np.testing.assert_array_equal(got, outputs[0])
    # More tasks than threads, and than neurons.
    for n_tasks in (4, 1000):
        got = run(layers[0], x[0], NARROW * jit.has_avx512(), n_tasks)
        np.testing.assert_array_equal(got, layers[0].forward(x[0]))


def test_windows_come_when_patience_is_at_its_end():
    layers = [make_layer(128, 128, 40), make_layer(128, 70, 20)]
    runner, x = OneByOne(layers, patience=5), samples(layers, 2, 0)
    out = np.empty((2, 70), np.float32)
    for _ in range(3):
        assert not any("windows" in vars(layer) for layer in layers)
        runner.run(x, out)
    before = out.copy()
    runner.run(x, out)
    assert all("windows" in vars(layer) for layer in layers) == jit.has_avx512()
    np.testing.assert_array_equal(out, before)


def test_few_samples_are_computed_one_by_one_and_up_to_8_by_windows():
    layers = [make_layer(128, 128, 40), make_layer(128, 70, 20)]
    runner = OneByOne(layers, patience=7)
    assert [runner.takes(n) for n in (1, 4, 9, 100)] == [True, True, False, False]
    assert not runner.takes(8)
    # That used up the patience.
    assert runner.takes(8) == runner.takes(5) == jit.has_avx512()
    assert not runner.takes(9)
    double = [double_of(layer) for layer in layers]
    assert not OneByOne(double).takes(8)


def double_of(layer):
    indptr, inputs, weights = layer.by_output()
    outputs = layer.neurons, layer.bias.astype(float), layer.activation
    return CondensedLayer(layer.n_in, indptr, inputs, weights.astype(float), *outputs)


def test_copies_have_addresses_of_their_own():
    layers = [make_layer(128, 128, 40), make_layer(128, 70, 20)]
    runner, x = OneByOne(layers), samples(layers, 1, 0)
    want, out = predict(layers, x), np.empty((1, 70), np.float32)
    runner.run(x, out)
    for copied in (copy.deepcopy(runner), pickle.loads(pickle.dumps(runner))):
        layers[0].blocks.weights[:] = 7.0
        out[:] = np.nan
        copied.run(x, out)
        np.testing.assert_array_equal(out, want)


def test_arrays_live_as_long_as_their_addresses():
    layers = [make_layer(128, 128, 40), make_layer(128, 70, 20)]
    runner, x = OneByOne(layers), samples(layers, 1, 0)
    out, held = np.empty((1, 70), np.float32), []
    runner.run(x, out)
    want = out.copy()
    for layer in layers:
        # As another thread may, which makes the windows at the same time.
        vars(layer).pop("windows", None)
        held += [np.full_like(layer.blocks.weights, 9.0) for _ in range(9)]
    runner.run(x, out)
    np.testing.assert_array_equal(out, want)
