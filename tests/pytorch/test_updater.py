"""TopologyUpdater: what it rewires, what follows, what it refuses, how it resumes."""

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    assert_close,
    dense,
    make_batches,
    make_net,
    make_twin,
    mask_of,
    sparse_layers,
    train_step,
)
from torch import nn  # noqa: E402

from truesparse import topology  # noqa: E402
from truesparse.errors import DivergedError, UsageError  # noqa: E402
from truesparse.topology import ALGORITHMS, UpdateSchedule  # noqa: E402
from truesparse.torch import SparseLinear, TopologyUpdater  # noqa: E402
from truesparse.torch.updater import UNFIT  # noqa: E402

OFTEN = UpdateSchedule(1, "step")
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.002, momentum=0.5, centered=True),
}


def make(net, name="set", optimizer="sgd", epochs=4, steps_per_epoch=5, **options):
    """Return an optimiser and an updater."""
    made = OPTIMIZERS[optimizer](net.parameters())
    run = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    return made, TopologyUpdater(net, made, name, **run, **options)


def train(net, optimizer, updater, batches):
    """Train and return the changes of each step."""
    changes = []
    for x, labels in batches:
        train_step(net, optimizer, x, labels)
        changes.append(updater.step())
    return changes


# Against dense, masked layers --------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_equals_that_of_masked_layers(name, dtype):
    net = make_net(dtype)
    twin = make_twin(net)
    # Of the algorithms that grow, RigL says by the pattern alone what is new.
    options = {"decay": "constant", "decay_end": 1.0, "regrow_init": "he_uniform"}
    schedule = UpdateSchedule(10, "step", start=10)
    optimizer, updater = make(net, "rigl", name, 10, 10, schedule=schedule, **options)
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


@pytest.mark.parametrize("compiled", [False, True])
def test_rigl_grows_where_the_gradient_is_largest(compiled):
    torch._dynamo.reset()
    net = make_net()
    optimizer, updater = make(net, "rigl", zeta=0.4, schedule=OFTEN, decay="constant")
    model = torch.compile(net, fullgraph=True, backend="aot_eager") if compiled else net
    x, labels = make_batches(1, 21)[0]
    # The largest gradients of the dense network at the batch of the step.
    twin = make_twin(net)
    for each in twin:
        if hasattr(each, "mask"):
            each.mask = torch.ones_like(each.mask)
    nn.functional.cross_entropy(twin(x), labels).backward()
    train_step(model, optimizer, x, labels)
    before = [(mask_of(each), dense(each)) for each in sparse_layers(net)]
    changes = updater.step()
    masked = [each for each in twin if hasattr(each, "mask")]
    for (mask, values), layer, dense_layer, change in zip(
        before, sparse_layers(net), masked, changes, strict=True
    ):
        count = int(0.4 * mask.sum())
        assert change.removed == change.grown == count
        limit = values[mask].abs().sort().values[count]
        stays = mask & (values.abs() >= limit)
        sizes = dense_layer.weight.grad.abs()
        sizes[stays] = 0.0
        largest = sizes >= sizes.flatten().sort().values[-count]
        assert torch.equal(mask_of(layer), stays | largest)


def test_gradients_are_recorded_only_where_an_update_looks():
    from truesparse.torch import observing

    net = make_net()
    schedule = UpdateSchedule(3, "step", start=3)
    optimizer, updater = make(net, "rigl", schedule=schedule, epochs=2)
    active = []
    for x, labels in make_batches(10):
        active.append(len(observing._active))
        train(net, optimizer, updater, [(x, labels)])
    assert active == [0, 0, 2, 0, 0, 2, 0, 0, 0, 0]  # decay ends after 7.5 steps
    assert not observing._active


def test_gradients_of_several_batches_add_up_as_under_accumulation():
    nets = [make_net(), make_net()]
    [(x, labels)] = make_batches(1, 20)
    for net, size in zip(nets, (20, 5), strict=True):
        optimizer, updater = make(net, "rigl", schedule=OFTEN)
        optimizer.zero_grad()
        for part, their in zip(x.split(size), labels.split(size), strict=True):
            loss = nn.functional.cross_entropy(net(part), their)
            (loss * size / 20).backward()
        optimizer.step()
        assert updater.step()
    for pair in zip(*(sparse_layers(net) for net in nets), strict=True):
        assert torch.equal(*(mask_of(each) for each in pair))
        assert_close(*(dense(each) for each in pair))


def test_sums_over_batches_go_over_the_last_steps():
    net = make_net()
    options = {"gradient_batches": 3, "schedule": UpdateSchedule(4, "step", start=4)}
    optimizer, updater = make(net, "nest", **options)
    counts = []
    for batch in make_batches(9):
        train_step(net, optimizer, *batch)
        counts.append(sum(bool(each.notes[0]) for each in updater._recorders))
        updater.step()
    assert counts == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_inputs_may_be_sparse_and_dense_in_turn():
    masks = []
    [(x, labels)] = make_batches(1, 12)
    x = x.relu()
    for parts in ([x], [x.to_sparse_csr()], [x[:5], x[5:].to_sparse_csr()]):
        net = make_net()
        optimizer, updater = make(net, "rigl", schedule=OFTEN)
        sizes = [each.shape[0] for each in parts]
        for part, their in zip(parts, labels.split(sizes), strict=True):
            loss = nn.functional.cross_entropy(net(part), their, reduction="sum")
            (loss / 12).backward()
        optimizer.step()
        updater.step()
        masks.append([mask_of(each) for each in sparse_layers(net)])
    for other in masks[1:]:
        assert all(torch.equal(*pair) for pair in zip(masks[0], other, strict=True))


# All algorithms ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the first update")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TopologyUpdater.algorithms())
def test_every_algorithm_that_fits_trains(name, dtype):
    net = make_net(dtype)
    accepted = ALGORITHMS[name].options()
    options = {"schedule": OFTEN} if "schedule" in accepted else {}
    if name == "magnitude":
        options["prune_at"] = 0.5
    if name == "mest":
        options["gradient_weight"] = 1.0
    optimizer, updater = make(net, name, "adam", **options)
    updater.score = 0.5
    changes = train(net, optimizer, updater, make_batches(20, dtype=dtype))
    assert any(changes) == (name != "static")
    for layer in sparse_layers(net):
        layer.connections().check()
        for each in optimizer.state[layer.weight].values():
            assert each.ndim == 0 or each.shape == layer.weight.shape
        assert layer.weight.isfinite().all()


@pytest.mark.parametrize("name", UNFIT)
def test_other_algorithms_are_refused_with_the_reason(name):
    with pytest.raises(UsageError, match=UNFIT[name][:30]):
        make(make_net(), name)


def test_no_algorithm_is_forgotten():
    assert {*TopologyUpdater.algorithms(), *UNFIT} == {*ALGORITHMS}


def test_all_layers_take_part_unless_told_otherwise():
    for options, want in (
        ({}, [0, 1]),
        ({"evolve_output": False}, [0]),
        ({"layers": [1]}, [1]),
    ):
        net = make_net()
        optimizer, updater = make(net, "set", schedule=OFTEN, **options)
        [changes] = train(net, optimizer, updater, make_batches(1))
        assert [each.layer for each in changes] == want
        assert list(updater.layers) == ["0", "2"]


def test_layers_that_do_not_train_are_left_alone():
    net = make_net()
    net[0].weight.requires_grad_(False)
    optimizer, updater = make(net, "set", schedule=OFTEN)
    before = net[0].indices.clone()
    train(net, optimizer, updater, make_batches(1))
    assert list(updater.layers) == ["2"]
    assert torch.equal(net[0].indices, before)


def test_an_algorithm_may_be_given():
    net = make_net()
    chosen = topology.make("set", zeta=0.1, removal="magnitude", schedule=OFTEN)
    optimizer, updater = make(net, chosen)
    [[change]] = train(net, optimizer, updater, make_batches(1))
    # Its own default: all but the last.
    assert (change.layer, change.grown) == (0, int(0.1 * net[0].nnz))
    with pytest.raises(UsageError, match="zeta: an algorithm that is made"):
        make(net, chosen, zeta=0.2)


def test_updates_come_at_the_end_of_epochs():
    net = make_net()
    optimizer, updater = make(net, "set", epochs=3, steps_per_epoch=2)
    changes = train(net, optimizer, updater, make_batches(8))
    assert [bool(each) for each in changes] == [False, True, False, True] + 4 * [False]


@pytest.mark.filterwarnings("ignore:the first update")
def test_updates_after_the_last_step_only_prune():
    net = make_net()
    options = {"final": "prune_only", "epochs": 1, "steps_per_epoch": 2}
    optimizer, updater = make(
        net, "set", schedule=UpdateSchedule(1, "epoch"), **options
    )
    before = net[0].nnz
    first, second, *rest = train(net, optimizer, updater, make_batches(4))
    assert first == []
    assert all(each.grown == 0 and each.removed > 0 for each in second)
    assert net[0].nnz < before
    assert rest == [[], []]


# What follows ------------------------------------------------------------------------


def test_gradients_follow_their_connections():
    net = make_net()
    optimizer, updater = make(net, "set", schedule=OFTEN)
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
    made, updater = make(net, "granet", optimizer, schedule=OFTEN, epochs=10)
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
    optimizer, updater = make(net, "set", schedule=OFTEN)
    optimizer.state[net[0].weight]["rows"] = torch.zeros(3)
    before = net[0].indices.clone()
    train_step(net, optimizer, *make_batches(1)[0])
    with pytest.raises(UsageError, match=r"a tensor of shape \(3,\) for weights"):
        updater.step()
    assert torch.equal(net[0].indices, before)


def test_nested_state_follows():
    net = make_net()
    optimizer, updater = make(net, "set", schedule=OFTEN)
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


# Chain removal -----------------------------------------------------------------------


def chain():
    """Return a network in which removing one connection cuts off another."""
    first = SparseLinear(2, 3, connectivity=[[0, 1, 2], [0, 0, 1]], seed=0)
    second = SparseLinear(3, 2, connectivity=[[0, 1, 0], [0, 1, 2]], seed=0)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([9.0, 3.0, 4.0]))
        second.weight.copy_(torch.tensor([0.01, 5.0, 6.0]))
    return first, second


@pytest.mark.parametrize("chain_removal", [False, True])
@pytest.mark.parametrize("between", [[], [nn.ReLU(), nn.Dropout(0.5)]])
@pytest.mark.parametrize("nested", [False, True])
def test_connections_that_a_removal_cuts_off_go_too(chain_removal, between, nested):
    first, second = chain()
    inner = [nn.Sequential(first, *between)] if nested else [first, *between]
    net = nn.Sequential(*inner, second)
    options = {"removal": "magnitude", "chain_removal": chain_removal, "zeta": 0.34}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    run = {"epochs": 2, "steps_per_epoch": 1, "schedule": OFTEN, "layers": [0, 1]}
    updater = TopologyUpdater(net, optimizer, "set", **run, **options)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    # The weights 3.0 and 0.01 go in any case; they cut off those of 5.0 and 9.0.
    assert [each.removed for each in updater.step()] == [1 + chain_removal] * 2


def test_neighbours_are_found_in_sequences_alone():
    first, second = chain()
    third = SparseLinear(2, 2, density=1.0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(first, nn.Linear(3, 3), nn.ReLU(), second)
            self.head = third

        def forward(self, x):
            return self.head(self.body(x))

    net = Net()
    run = {"epochs": 2, "steps_per_epoch": 1, "chain_removal": True}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="name them as neighbours"):
        TopologyUpdater(net, optimizer, "set", **run)
    pairs = [("body.3", "head")]
    updater = TopologyUpdater(net, optimizer, "set", neighbours=pairs, **run)
    assert updater._neighbours == [(1, 2)]
    with pytest.raises(UsageError, match="'head' has 2 outputs and cannot feed"):
        TopologyUpdater(net, optimizer, neighbours=[("head", "body.3")], **run)
    with pytest.raises(UsageError, match=r"'body\.1', which is no sparse layer"):
        TopologyUpdater(net, optimizer, neighbours=[("body.0", "body.1")], **run)


# Resumed runs ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "rigl", "granet", "deepr", "snfs", "dsr"])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(name):
    batches = make_batches(12)
    options = {"schedule": UpdateSchedule(2, "step", start=2)}
    net = make_net()
    optimizer, updater = make(net, name, "adam", **options)
    train(net, optimizer, updater, batches[:6])
    file = io.BytesIO()
    parts = (net, optimizer, updater)
    torch.save([each.state_dict() for each in parts], file)
    train(net, optimizer, updater, batches[6:])
    file.seek(0)
    states = torch.load(file, weights_only=True)
    other = make_net(seed=7)
    others = (other, *make(other, name, "adam", **options))
    for each, state in zip(others, states, strict=True):
        each.load_state_dict(state)
    assert others[2].steps == 6
    train(*others, batches[6:])
    for got, want in zip(sparse_layers(other), sparse_layers(net), strict=True):
        assert torch.equal(mask_of(got), mask_of(want))
        assert torch.equal(got.weight, want.weight)


def test_states_of_other_algorithms_are_refused():
    _, updater = make(make_net(), "set")
    _, other = make(make_net(), "rigl", schedule=OFTEN)
    with pytest.raises(UsageError, match="the state is of topology 'set'"):
        other.load_state_dict(updater.state_dict())


# Refusals ----------------------------------------------------------------------------


def test_optimisers_must_have_the_weights():
    net = make_net()
    optimizer = torch.optim.SGD(net[4].parameters(), lr=0.1)
    run = {"epochs": 1, "steps_per_epoch": 1}
    with pytest.raises(UsageError, match="does not have the weight of layer '0'"):
        TopologyUpdater(net, optimizer, **run)
    with pytest.raises(UsageError, match="must be one of torch"):
        TopologyUpdater(net, "adam", **run)
    with pytest.raises(UsageError, match="no SparseLinear"):
        TopologyUpdater(net[4], optimizer, **run)


def test_layers_that_took_no_part_are_named():
    net = make_net()
    optimizer, updater = make(net, "rigl", schedule=OFTEN)
    net[2](torch.ones(3, 20, dtype=torch.float64)).sum().backward()
    optimizer.step()
    with pytest.raises(UsageError, match="sparse layer '0' took no part"):
        updater.step()


def test_gradients_that_are_not_finite_are_refused():
    net = make_net()
    _, updater = make(net, "rigl", schedule=OFTEN)
    x, _ = make_batches(1)[0]
    (net(x).sum() * np.nan).backward()
    with pytest.raises(DivergedError, match="NaN or infinite"):
        updater.step()


def test_accset_needs_a_score():
    net = make_net()
    optimizer, updater = make(net, "accset", schedule=OFTEN)
    with pytest.raises(UsageError, match="set the updater's score"):
        train(net, optimizer, updater, make_batches(1))


def test_layers_must_see_the_same_samples_where_that_matters():
    first, second = SparseLinear(3, 4, density=0.5), SparseLinear(4, 2, density=0.5)
    net = nn.ModuleList([first, second])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    run = {"epochs": 2, "steps_per_epoch": 1, "schedule": OFTEN}
    updater = TopologyUpdater(net, optimizer, "gse", distribution="grabo", **run)
    second(first(torch.rand(5, 7, 3)).mean(1)).sum().backward()
    with pytest.raises(UsageError, match=r"saw \[5, 35\] samples"):
        updater.step()


def test_a_run_too_short_for_an_update_is_reported():
    with pytest.warns(UserWarning, match="comes after the 20 steps"):
        make(make_net(), "rigl")


def test_copies_are_not_recorded():
    net = make_net()
    optimizer, updater = make(net, "rigl", schedule=OFTEN)
    other = copy.deepcopy(net)
    for each in (net, other):
        train_step(each, optimizer, *make_batches(1)[0])
    assert [len(each) for each in updater._recorders[0].notes] == [1, 1]
