"""What updates see of a step: all that reaches the gradients of weights, no more."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    OFTEN,
    make_batches,
    make_net,
    make_twin,
    make_updater,
    mask_of,
    sparse_layers,
    train,
    train_step,
)
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from truesparse.topology import ALGORITHMS, make  # noqa: E402
from truesparse.torch import TopologyUpdater  # noqa: E402

X, LABELS = make_batches(1, 16)[0]


def loss_of(net, x=X):
    return nn.functional.cross_entropy(net(x), LABELS)


def at_inputs(net, **options):
    """Return the loss and its gradient at the inputs."""
    x = X.clone().requires_grad_()
    loss = loss_of(net, x)
    [gradient] = torch.autograd.grad(loss, x, **options)
    return loss, gradient


def penalised(net):
    loss, gradient = at_inputs(net, create_graph=True)
    return loss + 10.0 * gradient.square().sum()


def penalised_twice(net):
    x = X.clone().requires_grad_()
    loss = loss_of(net, x)
    [first] = torch.autograd.grad(loss, x, create_graph=True)
    [second] = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    return loss + second.square().sum()


def attacked(net):
    _, gradient = at_inputs(net)
    return loss_of(net, X + 0.1 * gradient.sign())


def checkpointed(net):
    x = X.clone().requires_grad_()
    logits = checkpoint(net, x, use_reentrant=False)
    return nn.functional.cross_entropy(logits, LABELS)


def checkpointed_reentrantly(net):
    x = X.clone().requires_grad_()
    return nn.functional.cross_entropy(checkpoint(net, x, use_reentrant=True), LABELS)


def compiled_and_attacked(net):
    torch._dynamo.reset()
    return attacked(torch.compile(net, fullgraph=True, backend="aot_eager"))


def whole_gradients(net, loss):
    """Return the gradients at all cells, connected or not, of the dense twin."""
    twin = make_twin(net)
    masked = [each for each in twin if hasattr(each, "mask")]
    for each in masked:
        each.mask = torch.ones_like(each.mask)
    loss(twin).backward()
    return [each.weight.grad for each in masked]


def seen_gradients(updater):
    """Return those that an update would take."""
    return [
        sum(torch.from_numpy(delta @ inputs.T) for inputs, delta in notes)
        for notes in updater._recorders[-1].notes
    ]


@pytest.mark.parametrize(
    "loss",
    [
        loss_of,
        penalised,
        penalised_twice,
        attacked,
        checkpointed,
        checkpointed_reentrantly,
        compiled_and_attacked,
    ],
    ids=lambda loss: loss.__name__,
)
def test_the_gradients_seen_are_those_of_the_dense_network(loss):
    net = make_net()
    net[1] = net[3] = nn.Tanh()  # with second derivatives
    optimizer, updater = make_updater(net, "rigl", schedule=OFTEN)
    want = whole_gradients(net, attacked if loss is compiled_and_attacked else loss)
    loss(net).backward()
    torch.testing.assert_close(seen_gradients(updater), want)
    for layer, gradient in zip(sparse_layers(net), want, strict=True):
        rows = torch.repeat_interleave(
            torch.arange(layer.in_features), layer.indptr.diff()
        )
        got = gradient[layer.indices.long(), rows]
        torch.testing.assert_close(layer.weight.grad, got)
    optimizer.step()
    assert all(change.grown for change in updater.step())


def test_gradients_that_are_returned_are_seen_too():
    net = make_net()
    _, updater = make_updater(net, "rigl", schedule=OFTEN)
    want = whole_gradients(net, loss_of)
    weights = [layer.weight for layer in sparse_layers(net)]
    torch.autograd.grad(loss_of(net), weights)
    torch.testing.assert_close(seen_gradients(updater), want)


def test_a_backward_pass_without_the_weights_is_not_seen():
    net = make_net()
    _, updater = make_updater(net, "rigl", schedule=OFTEN)
    x = X.clone().requires_grad_()
    loss_of(net, x).backward(inputs=[x])
    for layer in sparse_layers(net):
        layer.weight.requires_grad_(False)
    loss_of(net, x).backward()
    assert updater._recorders[-1].notes == [[], []]


def pickled(each):
    return pickle.loads(pickle.dumps(each))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("options", [{}, {"gradient_batches": 3}])
def test_copies_of_a_run_go_on_like_it(copied, options):
    net = make_net()
    optimizer, updater = make_updater(net, "rigl", schedule=OFTEN, **options)
    first, second, *batches = make_batches(9)
    train(net, optimizer, updater, [first, second])
    # In the midst of a step.
    loss_of(net).backward()
    runs = (net, optimizer, updater), copied((net, optimizer, updater))
    for run in runs:
        train(*run, batches)
    (net, *_), (other, *_) = runs
    for got, want in zip(sparse_layers(other), sparse_layers(net), strict=True):
        assert torch.equal(mask_of(got), mask_of(want))
        assert torch.equal(got.weight, want.weight)


# Who looks ---------------------------------------------------------------------------


ALWAYS = ("dst_ee", "ggr", "granet", "gse", "nest", "rigl", "snfs", "srigl", "wast")
WITH = {"mest": {"gradient_weight": 1.0}, "itop": {"removal": "taylor"}}


@pytest.mark.filterwarnings("ignore:the first update")
@pytest.mark.parametrize("name", TopologyUpdater.algorithms())
@pytest.mark.parametrize("looks", [False, True])
def test_only_algorithms_that_look_at_batches_have_them_recorded(name, looks):
    # One that looks and does not say so would raise here.
    options = WITH.get(name, {}) if looks else {}
    if "schedule" in ALGORITHMS[name].options():
        options = {**options, "schedule": OFTEN}
    net = make_net()
    optimizer, updater = make_updater(net, name, **options)
    updater.score = 0.5
    n_notes = 0
    for batch in make_batches(3):
        train_step(net, optimizer, *batch)
        n_notes += sum(len(each) for one in updater._recorders for each in one.notes)
        updater.step()
    expected = name in ALWAYS or (looks and name in WITH)
    assert (n_notes > 0) == expected
    assert make(name, **options).needs_batches == expected
