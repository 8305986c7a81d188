"""Weights, gradients and optimiser state follow their connections."""

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    OFTEN,
    OPTIMIZERS,
    assert_close,
    dense,
    make_batches,
    make_net,
    make_twin,
    make_updater,
    mask_of,
    train_step,
)
from torch import nn  # noqa: E402

from truesparse.errors import UsageError  # noqa: E402
from truesparse.topology import UpdateSchedule  # noqa: E402
from truesparse.torch import SparseLinear, TopologyUpdater  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_equals_that_of_masked_layers(name, dtype):
    net = make_net(dtype)
    twin = make_twin(net)
    # Of the algorithms that grow, RigL says by the pattern alone what is new.
    options = {"decay": "constant", "decay_end": 1.0, "regrow_init": "he_uniform"}
    options["schedule"] = UpdateSchedule(10, "step", start=10)
    optimizer, updater = make_updater(net, "rigl", name, 10, 10, **options)
    other = OPTIMIZERS[name](twin.parameters())
    n_updates = 0
    for x, labels in make_batches(100, dtype=dtype):
        losses = [
            train_step(*pair, x, labels) for pair in ((net, optimizer), (twin, other))
        ]
        assert_close(*losses)
        if updater.step():
            n_updates += 1
            for module, masked in zip(net, twin, strict=True):
                if isinstance(module, SparseLinear):
                    masked.rewire(module, other)
    assert n_updates == 9
    for module, masked in zip(net, twin, strict=True):
        if isinstance(module, SparseLinear):
            assert_close(dense(module), masked.weight)
            assert_close(module.bias, masked.bias)


def test_gradients_follow_their_connections():
    net = make_net()
    optimizer, updater = make_updater(net, "set", schedule=OFTEN)
    [(x, labels)] = make_batches(1)
    train_step(net, optimizer, x, labels)
    layer = net[0]
    mask, gradient = mask_of(layer), dense(layer, layer.weight.grad)
    memory, parameter = layer.weight.grad, layer.weight
    updater.step()
    stays = mask & mask_of(layer)
    want = torch.where(stays, gradient, 0.0)
    got = dense(layer, layer.weight.grad)
    is_same = got == want
    # SET may empty a cell and grow it again: it then starts anew.
    assert torch.equal(got[is_same], want[is_same])
    assert (got[~is_same] == 0.0).all()
    assert layer.weight.grad is memory
    assert layer.weight is parameter
    updater.step()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_number_of_connections_may_change_while_a_graph_is_alive(optimizer):
    net = make_net()
    made, updater = make_updater(net, "granet", optimizer, schedule=OFTEN, epochs=10)
    losses, counts = [], []
    for x, labels in make_batches(30):
        losses.append(train_step(net, made, x, labels))
        counts.append(net[0].nnz)
        updater.step()
        assert net[0].weight.grad.shape == net[0].weight.shape
    assert counts[-1] < counts[0]


def test_parameter_groups_schedulers_and_clipping_work():
    net = make_net()
    groups = [
        {"params": net[0].parameters(), "lr": 0.1},
        {"params": [*net[2].parameters(), *net[4].parameters()], "lr": 0.01},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    run = {"epochs": 2, "steps_per_epoch": 5}
    with pytest.raises(UsageError, match="takes steps with the learning rate"):
        TopologyUpdater(net, optimizer, "deepr", **run)
    updater = TopologyUpdater(net, optimizer, "rigl", schedule=OFTEN, **run)
    n_changes = 0
    for x, labels in make_batches(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        scheduler.step()
        n_changes += bool(updater.step())
        assert norm.isfinite()
    assert n_changes == 7  # the fraction is 0 from three quarters of the run on


def test_optimisers_whose_state_cannot_follow_are_refused():
    net = make_net()
    with pytest.raises(UsageError, match="LBFGS keeps vectors"):
        TopologyUpdater(
            net, torch.optim.LBFGS(net.parameters()), epochs=1, steps_per_epoch=1
        )
    optimizer, updater = make_updater(net, "set", schedule=OFTEN)
    optimizer.state[net[0].weight]["rows"] = torch.zeros(3)
    before = net[0].indices.clone()
    train_step(net, optimizer, *make_batches(1)[0])
    with pytest.raises(UsageError, match=r"a tensor of shape \(3,\) for weights"):
        updater.step()
    assert torch.equal(net[0].indices, before)


def test_nested_state_follows():
    net = make_net()
    optimizer, updater = make_updater(net, "set", schedule=OFTEN)
    layer = net[0]
    train_step(net, optimizer, *make_batches(1)[0])
    ones = torch.ones_like(layer.weight)
    nested = {"list": [ones.clone()], "tuple": (ones.clone(), 3)}
    optimizer.state[layer.weight]["nested"] = nested
    mask = mask_of(layer)
    [change, _] = updater.step()
    nested = optimizer.state[layer.weight]["nested"]
    for each in (nested["list"][0], nested["tuple"][0]):
        assert each.sum() == layer.nnz - change.grown
        assert not dense(layer, each)[~mask].any()
    assert nested["tuple"][1] == 3
