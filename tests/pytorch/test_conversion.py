"""SparseMLP to trainable modules of torch, and back."""

import types

import numpy as np
import pytest
from support.network import make_data, make_model
from support.strategies import to_dense

torch = pytest.importorskip("torch")

from support.torch_nets import dense, sparse_layers  # noqa: E402
from torch import nn  # noqa: E402

from truesparse import SparseMLP  # noqa: E402
from truesparse.activations import ACTIVATIONS  # noqa: E402
from truesparse.condensed import CondensedMLP  # noqa: E402
from truesparse.errors import UsageError  # noqa: E402
from truesparse.export import to_torch  # noqa: E402
from truesparse.torch import SparseLinear  # noqa: E402


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_go_there_and_back(activation, dtype):
    model = make_model(activation=activation, dtype=dtype, dropout=0.25)
    x = 3.0 * make_data(9)[0].astype(dtype)
    module = model.to_torch(trainable=True)
    want = model.decision_function(x)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    with torch.no_grad():
        got = module.eval()(torch.from_numpy(x)).numpy()
    assert got.dtype == model.dtype
    np.testing.assert_allclose(got, want, atol=tolerance)
    assert [each.p for each in module if isinstance(each, nn.Dropout)] == [0.25, 0.25]
    back = SparseMLP.from_torch(module, loss="squared", seed=4)
    np.testing.assert_array_equal(back.decision_function(x), want)
    assert (back.loss.name, back.seed) == ("squared", 4)
    assert [each.activation.dropout for each in back.layers] == [0.25, 0.25, 0.0]


def test_arrays_are_copies():
    model = make_model(activation="srelu")
    module = model.to_torch(trainable=True)
    x = make_data(4)[0]
    want = module(torch.from_numpy(x)).detach().numpy()
    back = SparseMLP.from_torch(module)
    for layer in model.layers:
        for each in (layer.connections.values, *layer.neuron_parameters()):
            each[:] = 0.0
    np.testing.assert_array_equal(module(torch.from_numpy(x)).detach().numpy(), want)
    with torch.no_grad():
        for each in module.parameters():
            each.zero_()
    np.testing.assert_allclose(back.decision_function(x), want, atol=1e-12)


def test_gradients_are_those_of_the_network():
    model = make_model(activation="srelu")
    module = model.to_torch(trainable=True)
    x = torch.from_numpy(make_data(4)[0])
    parameters = tuple(module.parameters())

    def outputs(*values):
        names = [name for name, _ in module.named_parameters()]
        named = dict(zip(names, values, strict=True))
        return torch.func.functional_call(module, named, x)

    assert torch.autograd.gradcheck(outputs, parameters)


def test_dense_layers_have_all_connections():
    module = nn.Sequential(
        nn.Linear(6, 5), nn.Sequential(nn.Identity(), nn.Tanh()), nn.Linear(5, 3, False)
    ).double()
    model = SparseMLP.from_torch(module)
    assert model.density == 1.0
    np.testing.assert_array_equal(
        to_dense(model.layers[0].connections), module[0].weight.detach().numpy().T
    )
    x = make_data(4)[0]
    want = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model.decision_function(x), want, atol=1e-12)


def test_trained_weights_come_back():
    model = SparseMLP([6, 8, 3], density=0.5)
    module = model.to_torch(trainable=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    back = SparseMLP.from_torch(module)
    for layer, sparse in zip(back.layers, sparse_layers(module), strict=True):
        got = to_dense(layer.connections).T
        np.testing.assert_array_equal(got, dense(sparse).numpy())
        layer.connections.check()


def linear():
    return SparseLinear(4, 4, density=0.5)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([nn.ReLU(), linear()], "ReLU.* comes before the first layer"),
        ([linear(), nn.BatchNorm1d(4), linear()], "BatchNorm1d.* has no counterpart"),
        ([linear(), nn.ReLU(), nn.Tanh(), linear()], "Tanh.* follows another activ"),
        ([linear(), nn.Dropout(), nn.ReLU(), linear()], "ReLU.* follows another activ"),
        ([linear(), nn.Dropout(), nn.Dropout(), linear()], "follows another Dropout"),
        ([linear(), nn.GELU("tanh"), linear()], "GELU.* approximates"),
        ([linear(), nn.Softmax(-1)], "Softmax.* has no counterpart"),
        ([linear(), nn.Sigmoid()], "the last layer must have activation 'identity'"),
        ([linear(), nn.Linear(3, 2)], "4 outputs cannot feed one with 3"),
        ([linear(), linear().double()], "must have one dtype"),
        ([linear(), nn.Linear(4, 2).half()], r"float16 on cpu.*by \.float\(\)\.cpu"),
        ([nn.Linear(4, 2, device="meta")], "has weights of torch.float32 on meta"),
        ([nn.LazyLinear(2)], "has no weights before its first batch"),
        ([nn.ModuleList([linear()])], "is made of a Sequential of SparseLinear"),
        ([], "at least one layer"),
    ],
)
def test_other_networks_are_refused(modules, message):
    with pytest.raises(UsageError, match=message):
        SparseMLP.from_torch(nn.Sequential(*modules))


def test_only_networks_of_truesparse_are_converted():
    model = make_model(density=0.25)
    x = torch.from_numpy(make_data(4)[0])
    estimator = types.SimpleNamespace(model_=model)
    got = to_torch(estimator, trainable=True)(x)
    torch.testing.assert_close(got, model.to_torch(trainable=True)(x))
    with pytest.raises(UsageError, match="made of a SparseMLP, got CondensedMLP"):
        to_torch(CondensedMLP.from_model(model), trainable=True)
    with pytest.raises(UsageError, match="leave out probabilities"):
        model.to_torch(trainable=True, probabilities=True)
    with pytest.raises(UsageError, match="trainable must be true or false"):
        model.to_torch(trainable="yes")
