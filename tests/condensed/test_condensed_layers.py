"""Condensed layers and models against dense ones."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive_condensed as twin
from support.compare import TOLERANCE, assert_close
from support.condensed_layers import layer_of, rows_of, run
from support.network import make_twin, mask_of
from support.strategies import DTYPES, MAX_SIDE, SEEDS, masks, to_dense

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.condensed import CondensedMLP
from truesparse.drawing.patterns import INIT_TOPOLOGIES
from truesparse.errors import DataError, UsageError
from truesparse.kernels.condensed import many_samples
from truesparse.kernels.jit import DISABLED, most_threads, set_threads
from truesparse.kernels.simd import make_tile
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

BOTH = pytest.mark.parametrize("dtype", DTYPES)
NAMES = st.sampled_from(["identity", "relu", "tanh"])
BATCHES = st.sampled_from([1, 2, 3, 7, 16, 17, 40])


def tile_of(dtype):
    return make_tile(64 // np.dtype(dtype).itemsize)


def batch_room(layer, columns=32):
    return layer.blocks.bias.size, columns


@st.composite
def constant_masks(draw, n_in=None):
    """Patterns whose active columns have k cells each; k, n_out and all may be tiny."""
    n_in = n_in or draw(st.integers(1, MAX_SIDE))
    n_out = draw(st.integers(1, MAX_SIDE))
    k = draw(st.integers(1, n_in))
    share = draw(st.sampled_from([1.0, 0.7, 0.0]))
    generator = np.random.default_rng(draw(SEEDS))
    order = generator.random((n_in, n_out)).argsort(0)
    return (order < k) & (generator.random(n_out) < share)


# Layers ------------------------------------------------------------------------------


@BOTH
def test_a_layer_is_the_dense_product_of_its_active_neurons(dtype):
    @given(st.one_of(constant_masks(), masks()), NAMES, SEEDS, st.integers(1, 5))
    def compare(mask, name, seed, n_tasks):
        layer, draw = layer_of(mask, dtype, name, seed)
        got = condense(layer.connections, layer.bias, layer.activation)
        want = twin.condensed(mask, to_dense(layer.connections))
        weights, inputs, neurons = want
        assert rows_of(got) == (weights, inputs)
        assert got.fan_ins.tolist() == [len(row) for row in inputs]
        assert got.neurons.tolist() == neurons
        bias = layer.bias[neurons]
        assert got.bias.tolist() == bias.tolist()
        assert got.nnz == mask.sum()
        x = draw.standard_normal((len(mask), 32)).astype(dtype)
        first = np.ascontiguousarray(x[:, 0])
        scale = twin.scale(weights, inputs, bias, first)
        out = got.forward(first)
        assert_close(out, twin.forward(weights, inputs, bias, name, first), scale)
        # The other kernels.
        np.testing.assert_array_equal(run(got, first, n_tasks=n_tasks), out)
        how, task_size = layer.activation.for_inference(), n_tasks
        room = np.full(batch_room(got), np.nan, dtype)
        many_samples(tile_of(dtype), got.blocks, x, room, how, task_size)
        # The same bits: the order of sums is one.
        np.testing.assert_array_equal(room[: out.size, 0], out)
        for column in range(0, 32, 9):
            sample = x[:, column]
            expected = twin.forward(weights, inputs, bias, name, sample)
            scale = twin.scale(weights, inputs, bias, sample)
            assert_close(room[: out.size, column], expected, scale)

    compare()


FIXED = [name for name in ACTIVATIONS if not LayerActivation(name).is_trained]


@given(st.one_of(constant_masks(), masks()), st.sampled_from(FIXED))
def test_all_fixed_activations(mask, name):
    layer, draw = layer_of(mask, np.float64, name)
    weights, inputs, neurons = twin.condensed(mask, to_dense(layer.connections))
    x, bias = draw.standard_normal(len(mask)), layer.bias[neurons]
    got = condense(layer.connections, layer.bias, layer.activation).forward(x)
    want = twin.forward(weights, inputs, bias, name, x)
    assert_close(got, want, 1.0 + twin.scale(weights, inputs, bias, x))


@pytest.mark.parametrize("is_constant", [True, False])
def test_results_do_not_depend_on_the_number_of_threads(is_constant):
    mask = np.random.default_rng(0).random((300, 700))
    mask = mask.argsort(0) < 20 if is_constant else mask < 0.07
    layer, draw = layer_of(mask, np.float32, "relu")
    got = condense(layer.connections, layer.bias, layer.activation)
    how, results = layer.activation.for_inference(), []
    x = draw.standard_normal((300, 32)).astype(np.float32)
    try:
        for threads in range(1, most_threads() + 1):
            set_threads(threads)
            many = np.empty(batch_room(got), np.float32)
            many_samples(tile_of(np.float32), got.blocks, x, many, how, 3)
            results.append((run(got, x[:, 0].copy(), n_tasks=threads), many))
    finally:
        set_threads(most_threads())
    serial = run(got, x[:, 0].copy())
    assert (got.blocks.order.size == 0) == is_constant
    for one, many in results:
        np.testing.assert_array_equal(one, serial)
        np.testing.assert_array_equal(many, results[0][1])


def test_biases_of_another_number_are_refused():
    layer, _ = layer_of(np.ones((3, 3), bool), np.float32)
    with pytest.raises(UsageError, match="bias must be 3"):
        condense(layer.connections, layer.bias[:2], layer.activation)


@BOTH
def test_infinity_reaches_its_own_neurons_alone(dtype):
    mask = np.random.default_rng(1).random((30, 40)) < 0.3
    mask[:, 7] = True  # so that the lanes beside it are padded
    mask[0] = np.arange(40) % 3 == 0
    layer, draw = layer_of(mask, dtype)
    got = condense(layer.connections, layer.bias, layer.activation)
    for wrong in (np.inf, -np.inf, np.nan):
        x = draw.standard_normal(30).astype(dtype)
        x[0] = wrong
        out = got.forward(x)
        assert (np.isfinite(out) == ~mask[0]).all()
        sign = wrong * np.sign(to_dense(layer.connections)[0, mask[0]])
        np.testing.assert_array_equal(out[mask[0]], sign)
        batch, room = np.repeat(x[:, None], 32, 1), np.empty(batch_room(got), dtype)
        got.run_batch(tile_of(dtype), batch, room)
        np.testing.assert_array_equal(room[:40, 5], out)


VALID = {
    "n_in": 3,
    "indptr": np.array([0, 2, 3]),
    "inputs": np.array([0, 2, 1], np.int32),
    "weights": np.ones(3, np.float32),
    "neurons": np.array([1, 5], np.int32),
    "bias": np.zeros(2, np.float32),
    "activation": LayerActivation("relu"),
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_in": 2}, "0 to n_in - 1 = 1, got 0 to 2"),
        ({"n_in": -1}, "n_in"),
        ({"indptr": np.array([0, 3])}, "indptr must be 3 int64"),
        ({"indptr": np.array([0, 2, 3], np.int32)}, "int32"),
        ({"indptr": np.array([0, 2, 2])}, "rise from 0 to nnz = 3"),
        ({"indptr": np.array([1, 2, 3])}, "starts at 1"),
        ({"indptr": np.array([0, 4, 3])}, "indptr must rise"),
        ({"weights": np.ones(3, np.float16)}, "float16"),
        ({"weights": np.ones((3, 1), np.float32)}, "weights"),
        ({"weights": np.ones(2, np.float32)}, "shape of weights"),
        ({"inputs": np.array([0, 2, 1])}, "int64"),
        ({"inputs": np.array([-1, 2, 1], np.int32)}, "got -1 to 2"),
        ({"inputs": np.array([2, 0, 1], np.int32)}, "ascend"),
        ({"neurons": np.array([1, 1], np.int32)}, "neurons"),
        ({"neurons": np.array([-1, 1], np.int32)}, "neurons"),
        ({"neurons": np.array([1], np.int32)}, "neurons"),
        ({"bias": np.zeros(3, np.float32)}, "neurons must be 3"),
        ({"bias": np.zeros(2)}, "bias"),
    ],
)
def test_arrays_that_form_no_layer_are_refused(wrong, message):
    assert CondensedLayer(**VALID).nnz == 3
    with pytest.raises(UsageError, match=message):
        CondensedLayer(**(VALID | wrong))


@pytest.mark.parametrize("x", [np.ones(4, np.float32), np.ones(3), np.ones(6)[::2]])
def test_an_input_that_does_not_fit_is_refused(x):
    with pytest.raises(UsageError, match="3 numbers"):
        CondensedLayer(**VALID).forward(x)


# Models ------------------------------------------------------------------------------


@st.composite
def models(draw, dtype):
    """Models of constant and of varying fan-in, with neurons that are constant."""
    masks = [draw(constant_masks())]
    for _ in range(draw(st.integers(0, 2))):
        mask = draw(constant_masks(n_in=masks[-1].shape[1]))
        if draw(st.booleans()):
            generator = np.random.default_rng(draw(SEEDS))
            mask &= generator.random(mask.shape) < 0.5
        masks.append(mask)
    name = draw(st.sampled_from(["relu", "logistic"]))
    names = [name] * (len(masks) - 1) + ["identity"]
    seeds = [draw(SEEDS) for _ in masks]
    parts = zip(masks, names, seeds, strict=True)
    layers = [layer_of(mask, dtype, name, seed)[0] for mask, name, seed in parts]
    return SparseMLP.from_layers(layers)


def magnitude(model, x):
    """Return a bound on the absolute terms of all sums, for rounding errors."""
    size = np.abs(x).max(initial=1.0)
    for layer in model.layers:
        dense = np.abs(to_dense(layer.connections))
        size = 1.0 + size * dense.sum(0).max() + np.abs(layer.bias).max()
    return size


@BOTH
def test_a_condensed_model_predicts_as_the_model_does(dtype):
    @given(models(dtype), BATCHES, st.integers(1, 20), st.booleans(), SEEDS)
    def compare(model, batch_size, n, is_sparse, seed):
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((n, model.layer_sizes[0]))
        x = (x * (draw.random(x.shape) < 0.6)).astype(dtype)
        fast = CondensedMLP.from_model(model)
        got = fast.decision_function(
            sparse.csr_array(x) if is_sparse else x, batch_size
        )
        assert got.dtype == dtype
        want = make_twin(model).outputs(x.T)[1][-1].T
        assert_close(got, want, magnitude(model, x))
        ours, theirs = fast.predict_proba(x[:1]), model.predict_proba(x[:1])
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE[np.dtype(dtype)] * 100)
        # What is constant is gone from both sides of it.
        masks = [mask_of(layer.connections) for layer in model.layers]
        alive, width = twin.alive(masks), len(masks[0])
        for layer, lives in zip(fast.layers, alive, strict=True):
            assert layer.neurons.tolist() == np.flatnonzero(lives).tolist()
            assert layer.n_in == width
            width = layer.n_active

    compare()


def test_every_topology_is_condensed():
    for name in INIT_TOPOLOGIES:
        draw = np.random.default_rng(2)
        x = draw.standard_normal((50, 30)).astype(np.float32)
        settings = {"density": 0.2, "init_topology": name, "activation": "tanh"}
        data = {"init_data": x} if name == "csti" else {}
        model = SparseMLP([30, 40, 20, 5], seed=3, **settings, **data)
        fast = CondensedMLP.from_model(model)
        assert all(isinstance(layer, CondensedLayer) for layer in fast.layers)
        assert fast.nnz <= model.nnz
        want = model.decision_function(x)
        for size in (1, 50):
            got = fast.decision_function(x, size)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_little_is_padded_where_fan_ins_differ():
    draw = np.random.default_rng(0)
    mask = draw.random((400, 320)) < draw.choice([0.02, 0.3], 320)
    layer, _ = layer_of(mask, np.float32)
    got = condense(layer.connections, layer.bias, layer.activation)
    assert got.nnz < got.blocks.weights.size < 1.1 * got.nnz
    assert got.bias.tolist() == layer.bias[got.neurons].tolist()


def test_constant_inputs_become_biases():
    first = np.array([[1, 0, 1], [1, 0, 1]], bool)  # the middle neuron is constant
    second = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]], bool)
    layers = [layer_of(first, np.float64, "logistic"), layer_of(second, np.float64)]
    model = SparseMLP.from_layers([layer for layer, _ in layers])
    fast = CondensedMLP.from_model(model)
    got = fast.layers[1]
    assert rows_of(got)[1] == [[0], [1], [0, 1]]
    # What the constant contributes is in the biases.
    dense, bias = to_dense(model.layers[1].connections), model.layers[1].bias
    constant = 1 / (1 + np.exp(-model.layers[0].bias[1]))
    np.testing.assert_allclose(got.bias, bias + dense[1] * constant, rtol=1e-12)
    x = np.array([[1.0, -2.0]])
    np.testing.assert_allclose(
        fast.decision_function(x), model.decision_function(x), rtol=1e-12
    )


def test_data_that_do_not_fit_are_refused():
    fast = CondensedMLP.from_model(SparseMLP([4, 3], density=1.0))
    for wrong in (np.ones((2, 5)), np.full((1, 4), np.nan), [["a"] * 4]):
        with pytest.raises(DataError):
            fast.decision_function(wrong)
    with pytest.raises(UsageError, match="batch_size"):
        fast.decision_function(np.ones((1, 4)), 0)
    assert fast.decision_function(np.ones((0, 4))).shape == (0, 3)


def peak_bytes(function):
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def wide():
    """Return a condensed model with 5000 hidden neurons of fan-in 2."""
    draw = np.random.default_rng(0)
    layers = []
    for n_in, n_out, name in ((600, 5000, "relu"), (5000, 3, "identity")):
        columns = np.repeat(np.arange(n_out), 2)
        rows = draw.integers(0, n_in // 2, columns.size)
        rows[1::2] += n_in // 2
        cells = sparse.coo_array((np.ones(rows.size, np.float32), (rows, columns)))
        cells.resize((n_in, n_out))
        connections = Connections.from_scipy(cells)
        layers.append(SparseLayer(connections, LayerActivation(name)))
    return CondensedMLP.from_model(SparseMLP.from_layers(layers))


@pytest.mark.skipif(DISABLED, reason="kernels then are NumPy functions that allocate")
def test_one_sample_allocates_nothing_but_its_output(wide):
    x = np.ones((1, 600), np.float32)
    # A buffer of the hidden layer would be 20 kB, the checks take the rest.
    assert peak_bytes(lambda: wide.decision_function(x)) < 5000


@pytest.mark.skipif(DISABLED, reason="takes minutes")
def test_sparse_data_become_dense_a_batch_at_a_time(wide):
    x = sparse.random_array(
        (20_000, 600), density=0.001, format="csr", dtype=np.float32, rng=0
    )
    peak = peak_bytes(lambda: wide.decision_function(x, 16))
    assert peak < 3e6 < 20_000 * 600 * 4 / 10
