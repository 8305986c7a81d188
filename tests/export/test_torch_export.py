"""Exports to torch, against the predictions of the model."""

import copy
import io
import pathlib
import pickle
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from support.network import make_data, make_model
from support.strategies import DTYPES, SEEDS, layer, make_connections, masks, to_dense

from truesparse import SparseMLP
from truesparse.activations import ACTIVATIONS
from truesparse.condensed import CondensedMLP
from truesparse.errors import UsageError
from truesparse.export import to_torch
from truesparse.losses import LOSSES

torch = pytest.importorskip("torch")

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def assert_same(module, model, x, expected):
    with torch.no_grad():
        got = module(torch.from_numpy(x)).numpy()
    assert got.dtype == model.dtype
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(got, expected, atol=size * TOLERANCE[model.dtype.name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype):
    model = make_model(activation=activation, dtype=dtype)
    x = 3.0 * make_data(9)[0].astype(dtype)
    module = to_torch(model)
    assert_same(module, model, x, model.decision_function(x))
    assert {each.activation for each in module.layers[:-1]} == {activation}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss):
    model = make_model(loss=loss)
    x, _ = make_data(9)
    assert_same(to_torch(model), model, x, model.decision_function(x))
    module = model.to_torch(probabilities=True)
    assert_same(module, model, x, model.predict_proba(x))
    is_regression = loss in ("squared", "huber")
    assert (module.head == "identity") == is_regression


@given(masks(), st.sampled_from(DTYPES), SEEDS)
def test_any_pattern(mask, dtype, seed):
    draw = np.random.default_rng(seed)
    connections = make_connections(mask, dtype, draw)
    model = SparseMLP.from_layers([layer(connections)], "squared")
    model.layers[0].bias[:] = draw.standard_normal(connections.n_out)
    for batch in (1, 5):
        x = draw.standard_normal((batch, connections.n_in)).astype(dtype)
        assert_same(to_torch(model), model, x, model.predict_proba(x))


def test_weights_are_csr_tensors_by_output_neuron():
    model = make_model(dtype="float32")
    module = to_torch(model)
    for each, ours in zip(module.layers, model.layers, strict=True):
        weight = each.weight
        assert weight.layout == torch.sparse_csr
        assert weight.values().numel() == ours.connections.nnz
        expected = to_dense(ours.connections).T
        np.testing.assert_array_equal(weight.to_dense().numpy(), expected)


def test_what_is_stored_is_of_the_size_of_the_connections():
    model = SparseMLP([500, 4000, 4000, 10], epsilon=2)
    stored = sum(each.numel() for each in to_torch(model).state_dict().values())
    assert stored <= 2 * model.nnz + 2 * model.n_neurons + len(model.layers)


def test_arrays_are_copies():
    model = make_model()
    module, (x, _) = to_torch(model), make_data(4)
    expected = model.decision_function(x)
    for each in model.layers:
        each.connections.values[:], each.bias[:] = 0.0, 0.0
    assert_same(module, model, x, expected)


def test_gradients_reach_the_input():
    model = make_model()
    x = torch.from_numpy(make_data(3)[0]).requires_grad_()
    assert torch.autograd.gradcheck(to_torch(model), x)


@pytest.mark.parametrize("activation", ["srelu", "relu"])
def test_modules_are_copied_moved_and_stored(activation):
    model = make_model(activation=activation)
    module, (x, _) = to_torch(model), make_data(4)
    expected = model.decision_function(x)
    assert_same(copy.deepcopy(module), model, x, expected)
    assert_same(pickle.loads(pickle.dumps(module)), model, x, expected)
    single = copy.deepcopy(module).to(torch.float32)
    got = single(torch.from_numpy(x).float())
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = to_torch(make_model(activation=activation))
    other.layers[0].values.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_same(other, model, x, expected)


def test_condensed_nets_and_estimators():
    model = make_model(activation="srelu", density=0.25)
    x, _ = make_data(6)
    expected = model.decision_function(x)
    condensed = CondensedMLP.from_model(model)
    assert_same(to_torch(condensed), model, x, expected)
    assert_same(to_torch(types.SimpleNamespace(model_=model)), model, x, expected)


@pytest.mark.compiled
def test_digits():
    x = load_digits().data.astype(np.float32) / 16.0
    model = SparseMLP([64, 300, 300, 10], epsilon=5, seed=2)
    module = to_torch(model, probabilities=True)
    assert_same(module, model, x, model.predict_proba(x))


def test_it_says_what_it_is():
    text = str(to_torch(make_model([6, 4, 2], density=1.0, activation="tanh")))
    assert "6, 4, nnz=24, tanh" in text


def test_other_names_are_unknown():
    from truesparse.export import torch_export

    with pytest.raises(AttributeError, match="Dense"):
        torch_export.Dense  # noqa: B018


def test_probabilities_is_true_or_false():
    with pytest.raises(UsageError, match="probabilities"):
        to_torch(make_model(), probabilities="softmax")


@pytest.mark.parametrize("loss", LOSSES)
def test_samples_may_have_any_number_of_axes(loss):
    module = to_torch(make_model(loss=loss, dtype="float32"), probabilities=True)
    x = torch.rand(2, 3, 6)
    want = module(x.reshape(6, 6))
    assert module(x).shape == (2, 3, want.shape[1])
    torch.testing.assert_close(module(x).reshape(want.shape), want)
    torch.testing.assert_close(module(x[0, 0]), want[0])
    assert module(x[0, 0]).ndim == 1


def test_pickles_of_version_0_1_still_load():
    # Their layers were of a class SparseLinear.
    path = pathlib.Path(__file__).parents[1] / "data" / "torch_module.pickle"
    module = pickle.loads(path.read_bytes())
    assert {type(each).__name__ for each in module.layers} == {"CsrLinear"}
    want = [[0.3342030644416809, 0.5334361791610718]]
    want.append([0.8258622884750366, 2.3262743949890137])
    x = torch.arange(6.0).reshape(2, 3) / 4
    torch.testing.assert_close(module(x), torch.tensor(want))
