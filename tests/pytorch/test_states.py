"""States of layers and updaters: what they hold, what is loaded, what is refused."""

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    OFTEN,
    dense,
    make_batches,
    make_net,
    make_updater,
    train,
)

from truesparse.torch import SparseLinear  # noqa: E402

CONNECTIONS = ("indptr", "indices", "weight")


def make(**options):
    return SparseLinear(9, 6, **({"density": 0.4, "seed": 3} | options))


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_state_holds_the_connections():
    layer = make()
    assert set(layer.state_dict()) == {"weight", "bias", "indptr", "indices"}


@pytest.mark.parametrize("density", [0.4, 0.7])
@pytest.mark.parametrize("assign", [False, True])
def test_states_of_any_number_of_connections_are_loaded(density, assign):
    source, target = make(density=density, seed=8), make()
    weight, x = target.weight, torch.randn(4, 9)
    state = through_a_file(source.state_dict())
    target.load_state_dict(state, assign=assign)
    assert torch.equal(target(x), source(x))
    assert torch.equal(target.to_sparse_csr().to_dense(), dense(source))
    assert assign or target.weight is weight
    # The state is not shared.
    target(x).sum().backward()
    with torch.no_grad():
        target.weight.zero_()
    target.connections().check()
    assert source.weight.any()


@pytest.mark.parametrize("density", [0.4, 0.7])
def test_a_graph_may_be_alive_when_a_state_is_loaded(density):
    layer, x = make(), torch.randn(4, 9)
    loss = layer(x).sum()
    loss.backward()
    layer.zero_grad()
    layer.load_state_dict(make(density=density, seed=8).state_dict())
    new_loss = layer(x).sum()
    new_loss.backward()
    assert layer.weight.grad.shape == layer.weight.shape
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["indices"].fill_(6), "indices must be from 0 to n_out"),
        (lambda s: s["indptr"].add_(1), "indptr must rise from 0"),
        (lambda s: s.update(weight=s["weight"][:-1]), "indices must be as long"),
        (lambda s: s.update(indptr=s["indptr"][:-1]), "indptr must have n_in"),
        *((lambda s, n=n: s.pop(n), f"has no {n}; weights and") for n in CONNECTIONS),
    ],
)
def test_states_that_are_not_valid_are_refused(change, message):
    layer = make(dtype=torch.float64)
    state = copy.deepcopy(make(seed=8, dtype=torch.float64).state_dict())
    before, index = dense(layer), layer.indices.clone()
    change(state)
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=message):
            layer.load_state_dict(state, strict=strict)
    # All that belongs together is as it was, also what follows from the connections.
    assert torch.equal(layer.indices, index)
    assert torch.equal(dense(layer), before)
    assert torch.equal(layer.to_sparse_csr().to_dense(), before)
    x = torch.rand(4, 9, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, x @ before.T)
    y.sum().backward()
    torch.testing.assert_close(x.grad, before.sum(0).expand(4, -1))


def test_states_without_connections_leave_the_layer_alone():
    layer = make()
    before = dense(layer)
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({"bias": torch.ones(6)})
    layer.load_state_dict({"bias": torch.ones(6)}, strict=False)
    assert torch.equal(dense(layer), before)
    assert torch.equal(layer.bias, torch.ones(6))


@pytest.mark.parametrize("number", [np.float64(0.5), torch.tensor(0.5)])
def test_a_score_of_any_kind_is_stored_as_a_plain_number(number):
    net = make_net()
    optimizer, updater = make_updater(net, "accset", schedule=OFTEN)
    updater.score = number
    train(net, optimizer, updater, make_batches(1))
    state = through_a_file(updater.state_dict())
    assert state["score"] == 0.5
    assert state["algorithm"]["scores"] == (0.5, 0.5)
