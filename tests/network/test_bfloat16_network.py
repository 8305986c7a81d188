"""Whole nets with activations in bfloat16, against their twin that rounds as well."""

import copy
import pickle

import numpy as np
import pytest
from support import naive
from support.naive_bfloat16 import RoundingMLP, bfloat16
from support.network import (
    Problem,
    as_csr,
    make_data,
    make_model,
    make_twin,
    mask_of,
)
from support.strategies import to_dense

from truesparse import SparseMLP
from truesparse.activations import ACTIVATIONS
from truesparse.errors import UsageError
from truesparse.kernels.bfloat16 import BFLOAT16
from truesparse.network.averaging import average
from truesparse.optimizers import Optimizer

BF16 = {"dtype": "float32", "activation_dtype": "bfloat16"}
KEYS = (11, 12, 13)
N = 20


def make_rounding_twin(model):
    return make_twin(model, RoundingMLP)


def factors_of(model, n):
    """Return what dropout multiplies the outputs of each hidden layer by."""
    factors = []
    for layer, key in zip(model.layers[:-1], KEYS, strict=False):
        how = layer.activation
        shape = layer.connections.n_out, n
        mask = naive.dropout_mask(key, how.dropout, shape)
        factors.append(mask * np.float64(np.float32(how.scale)))
    return factors


def assert_close(got, want):
    """Compare beside the largest number of an array, to the precision of float32.

    A sum that falls between two numbers of bfloat16 may be rounded up here and down
    there; none of the few hundred does, for these seeds.
    """
    scale = np.abs(want).max(initial=1e-3)
    np.testing.assert_allclose(got, want, rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("n", "is_sparse"), [(3, False), (N, False), (N, True)])
def test_gradients_are_those_of_the_twin(n, is_sparse, activation, dropout):
    model = make_model(activation=activation, dropout=dropout, **BF16)
    x, targets = make_data(n, density=0.6)
    weights, x = np.full(n, 1 / n), x.astype(np.float32)
    problem = Problem(model, as_csr(x) if is_sparse else x, targets, weights, KEYS)
    twin = make_rounding_twin(model)
    factors = factors_of(model, n) if dropout else None
    loss, want = twin.gradients(x.T, targets, weights, factors)
    assert_close(problem.value(), loss)
    got = problem.gradients()
    masks = [*twin.masks, *(np.ones(each.shape, bool) for each in want[3:])]
    assert len(got) == len(want) == 6 + 2 * (activation == "srelu")
    for one, other, mask in zip(got, want, masks, strict=True):
        assert_close(one, other[mask])
    # Rounding is seen: the twin that does not round differs.
    _, exact = naive.DenseMLP.gradients(twin, x.T, targets, weights, factors)
    differences = [np.abs(a - b).max() for a, b in zip(exact, want, strict=True)]
    assert max(differences) > 1e-5


@pytest.mark.parametrize("batch_size", [1, 3, 16, 150])
@pytest.mark.parametrize("loss", ["softmax", "squared"])
def test_predictions_are_not_rounded(loss, batch_size):
    model = make_model(loss=loss, activation="relu", **BF16)
    x, targets = make_data(40, loss=loss)
    outputs = model.decision_function(x, batch_size)
    want, *_ = make_rounding_twin(model).forward(x.T, None)
    assert outputs.dtype == np.float32
    assert_close(outputs, want.T)
    assert (outputs != bfloat16(outputs)).any()
    loss_value, _ = model.evaluate(x, targets, batch_size)
    assert_close(
        loss_value, model.loss.mean(outputs, np.asarray(targets, targets.dtype))
    )


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("n", [1, 16])
def test_data_keep_their_digits(n, is_sparse):
    """Years are: of 2001 to 2008, bfloat16 has one."""
    model = SparseMLP([2, 2], density=1.0, loss="squared", **BF16)
    layer = model.layers[0]
    layer.connections.values[:] = (1.0, 0.0, 0.0, 1.0)
    x = 2001.0 + np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    assert (bfloat16(x) != x).any()
    data = as_csr(x) if is_sparse else x
    np.testing.assert_array_equal(model.decision_function(data), x)
    # Every delta is -1 / n, so that the gradients of an input's weights are its mean.
    problem = Problem(model, data, x + 1, np.full(n, 1 / n))
    want = -np.repeat(x.mean(axis=0), 2)
    np.testing.assert_array_equal(problem.gradients()[0], want)


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_steps_are_those_of_the_twin(clip_norm):
    model = make_model(activation="silu", **BF16)
    twin = make_rounding_twin(model)
    x, targets = make_data(N)
    x, method = x.astype(np.float32), Optimizer("sgd", 0.9)
    model.allocate_moments(method)
    model.prepare(N, x)
    for _ in range(3):
        rest = {"clip_norm": clip_norm}
        got = model.train_batch(x, targets, np.arange(N), method, 0.1, **rest)
        want = twin.train_step(x.T, targets, np.full(N, 1 / N), method, 0.1, **rest)
        assert_close(got, want)
    for layer, weights, bias in zip(
        model.layers, twin.weights, twin.biases, strict=True
    ):
        assert_close(to_dense(layer.connections), weights)
        assert_close(layer.bias, bias)
        assert layer.bias.dtype == layer.connections.values.dtype == np.float32


@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_observer_sees_numbers_in_float32(is_sparse):
    """Algorithms compute with them, and uint16 would give nonsense in silence."""
    model = make_model(activation="relu", **BF16)
    x, targets = make_data(N, density=0.6)
    x, weights = x.astype(np.float32), np.full(N, 1 / N)
    seen = []

    def observe(index, inputs, delta):
        values = inputs.values if is_sparse and index == 0 else inputs
        seen.append((index, values.copy(), delta.copy()))

    data = as_csr(x) if is_sparse else x
    model.prepare(N, data)
    model.observe_batch(data, targets, np.arange(N), observer=observe)
    assert [index for index, _, _ in seen] == [2, 1, 0]
    _, inputs, _, _ = make_rounding_twin(model).forward(x.T, None)
    for index, values, delta in seen:
        assert values.dtype == delta.dtype == np.float32
        np.testing.assert_array_equal(delta, bfloat16(delta))
        if values.ndim == 2:
            assert_close(values[:, :N], inputs[index])
    _, want = make_rounding_twin(model).gradients(x.T, targets, weights)
    assert_close(
        seen[0][1] @ seen[0][2].T * mask_of(model.layers[2].connections), want[2]
    )


def test_buffers_take_half_the_memory():
    model = make_model(activation="gelu", dropout=0.1, **BF16)
    model.prepare(N, np.zeros((N, 6), np.float32))
    buffers = model._buffers
    stored = [*buffers.outputs[:-1], *buffers.slopes, *buffers.deltas]
    assert {array.dtype for array in stored} == {BFLOAT16}
    others = [buffers.x, buffers.outputs[-1], buffers.partial]
    assert {array.dtype for array in others} == {np.dtype(np.float32)}
    other = make_model(activation="gelu", dropout=0.1, dtype="float32")
    other.prepare(N, np.zeros((N, 6), np.float32))
    assert other._buffers.deltas[-1] is other._buffers.outputs[-1]


def test_it_is_chosen_and_changed_by_name():
    assert make_model().activation_dtype == "float64"
    assert make_model(dtype="float32").activation_dtype == "float32"
    model = make_model(**BF16)
    assert model.activation_dtype == "bfloat16"
    x, _ = make_data(4)
    rounded = model.decision_function(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.activation_dtype == "bfloat16"
        np.testing.assert_array_equal(twin.decision_function(x), rounded)
    model.prepare(4, x.astype(np.float32))
    model.activation_dtype = "float32"
    exact = model.decision_function(x)
    assert (exact != rounded).any()
    np.testing.assert_allclose(exact, rounded, atol=0.05)
    model.activation_dtype = "bfloat16"
    np.testing.assert_array_equal(model.decision_function(x), rounded)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="bfloat16 needs the dtype float32"):
        SparseMLP([4, 3], dtype="float64", activation_dtype="bfloat16")
    with pytest.raises(UsageError, match="must be float64 where dtype is float64"):
        SparseMLP([4, 3], dtype="float64", activation_dtype="float32")
    with pytest.raises(UsageError, match="unknown activation_dtype 'float16'"):
        SparseMLP([4, 3], activation_dtype="float16")
    # Before anything is drawn.
    with pytest.raises(UsageError, match="unknown activation_dtype"):
        SparseMLP([10**9, 10**9], activation_dtype="float8")
    model = make_model(**BF16)
    with pytest.raises(UsageError, match="float32 or bfloat16"):
        model.activation_dtype = "float64"
    assert model.activation_dtype == "bfloat16"


def test_averages_and_matrices_pass_it_on():
    nets = [make_model(seed=seed, **BF16) for seed in (1, 2)]
    assert average(nets).activation_dtype == "bfloat16"
    with pytest.raises(UsageError, match="activation_dtype"):
        average([nets[0], make_model(seed=2, dtype="float32")])
    weights = nets[0].to_scipy()
    assert SparseMLP.from_sparse(weights, **BF16).activation_dtype == "bfloat16"


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_fault_is_found_in_outputs_too():
    model = make_model(activation="relu", **BF16)
    x, targets = make_data(N)
    x = x.astype(np.float32)
    model.layers[0].bias[:] = 3.4e38  # finite in float32, and too large for bfloat16
    model.prepare(N, x)
    model.allocate_moments(Optimizer("sgd"))
    loss = model.train_batch(x, targets, np.arange(N), Optimizer("sgd"), 0.1)
    assert not np.isfinite(loss)
    assert "outputs of layer 1 of 3" in model.describe_fault()
