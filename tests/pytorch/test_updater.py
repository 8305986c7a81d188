"""TopologyUpdater: what it rewires, what follows, what it refuses, how it resumes."""

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.torch_nets import (  # noqa: E402
    OFTEN,
    assert_close,
    dense,
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
from torch._dynamo.backends.debugging import aot_eager  # noqa: E402

from truesparse import topology  # noqa: E402
from truesparse.errors import DivergedError, UsageError  # noqa: E402
from truesparse.topology import ALGORITHMS, UpdateSchedule  # noqa: E402
from truesparse.torch import SparseLinear, TopologyUpdater  # noqa: E402
from truesparse.torch.updater import UNFIT  # noqa: E402

# Gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_rigl_grows_where_the_gradient_is_largest(compiled):
    torch._dynamo.reset()
    net = make_net()
    options = {"zeta": 0.4, "decay": "constant", "schedule": OFTEN}
    optimizer, updater = make_updater(net, "rigl", **options)
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
    optimizer, updater = make_updater(net, "rigl", schedule=schedule, epochs=2)
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
        optimizer, updater = make_updater(net, "rigl", schedule=OFTEN)
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
    optimizer, updater = make_updater(net, "nest", **options)
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
        optimizer, updater = make_updater(net, "rigl", schedule=OFTEN)
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
    optimizer, updater = make_updater(net, name, "adam", **options)
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
        make_updater(make_net(), name)


def test_no_algorithm_is_forgotten():
    assert {*TopologyUpdater.algorithms(), *UNFIT} == {*ALGORITHMS}


def test_all_layers_take_part_unless_told_otherwise():
    for options, want in (
        ({}, [0, 1]),
        ({"evolve_output": False}, [0]),
        ({"layers": [1]}, [1]),
    ):
        net = make_net()
        optimizer, updater = make_updater(net, "set", schedule=OFTEN, **options)
        [changes] = train(net, optimizer, updater, make_batches(1))
        assert [each.layer for each in changes] == want
        assert list(updater.layers) == ["0", "2"]


def test_layers_that_do_not_train_are_left_alone():
    net = make_net()
    net[0].weight.requires_grad_(False)
    optimizer, updater = make_updater(net, "set", schedule=OFTEN)
    before = net[0].indices.clone()
    train(net, optimizer, updater, make_batches(1))
    assert list(updater.layers) == ["2"]
    assert torch.equal(net[0].indices, before)


def test_an_algorithm_may_be_given():
    net = make_net()
    chosen = topology.make("set", zeta=0.1, removal="magnitude", schedule=OFTEN)
    optimizer, updater = make_updater(net, chosen)
    [[change]] = train(net, optimizer, updater, make_batches(1))
    # Its own default: all but the last.
    assert (change.layer, change.grown) == (0, int(0.1 * net[0].nnz))
    with pytest.raises(UsageError, match="zeta: an algorithm that is made"):
        make_updater(net, chosen, zeta=0.2)


def test_updates_come_at_the_end_of_epochs():
    net = make_net()
    optimizer, updater = make_updater(net, "set", epochs=3, steps_per_epoch=2)
    changes = train(net, optimizer, updater, make_batches(8))
    assert [bool(each) for each in changes] == [False, True, False, True] + 4 * [False]


@pytest.mark.filterwarnings("ignore:the first update")
def test_updates_after_the_last_step_only_prune():
    net = make_net()
    options = {"final": "prune_only", "epochs": 1, "steps_per_epoch": 2}
    optimizer, updater = make_updater(
        net, "set", schedule=UpdateSchedule(1, "epoch"), **options
    )
    before = net[0].nnz
    first, second, *rest = train(net, optimizer, updater, make_batches(4))
    assert first == []
    assert all(each.grown == 0 and each.removed > 0 for each in second)
    assert net[0].nnz < before
    assert rest == [[], []]


# Resumed runs ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "rigl", "granet", "deepr", "snfs", "dsr"])
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(name):
    batches = make_batches(12)
    options = {"schedule": UpdateSchedule(2, "step", start=2)}
    net = make_net()
    optimizer, updater = make_updater(net, name, "adam", **options)
    train(net, optimizer, updater, batches[:6])
    file = io.BytesIO()
    parts = (net, optimizer, updater)
    torch.save([each.state_dict() for each in parts], file)
    train(net, optimizer, updater, batches[6:])
    file.seek(0)
    states = torch.load(file, weights_only=True)
    other = make_net(seed=7)
    others = (other, *make_updater(other, name, "adam", **options))
    for each, state in zip(others, states, strict=True):
        each.load_state_dict(state)
    assert others[2].steps == 6
    train(*others, batches[6:])
    for got, want in zip(sparse_layers(other), sparse_layers(net), strict=True):
        assert torch.equal(mask_of(got), mask_of(want))
        assert torch.equal(got.weight, want.weight)


def test_states_of_other_algorithms_are_refused():
    _, updater = make_updater(make_net(), "set")
    _, other = make_updater(make_net(), "rigl", schedule=OFTEN)
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


def test_each_of_several_optimisers_has_an_updater():
    net = make_net()
    parts = [net[:2], net[2:]]
    rates = (0.1, 0.2)
    optimizers = [
        torch.optim.SGD(part.parameters(), lr=rate, momentum=0.9)
        for part, rate in zip(parts, rates, strict=True)
    ]
    with pytest.raises(UsageError, match="give each its own updater"):
        TopologyUpdater(net, optimizers[0], epochs=1, steps_per_epoch=20)
    run = {"epochs": 1, "steps_per_epoch": 20, "schedule": OFTEN}
    updaters = [
        TopologyUpdater(part, optimizer, "rigl", **run)
        for part, optimizer in zip(parts, optimizers, strict=True)
    ]
    before = [mask_of(each) for each in sparse_layers(net)]
    for x, labels in make_batches(2, 21):
        nn.functional.cross_entropy(net(x), labels).backward()
        for optimizer, updater in zip(optimizers, updaters, strict=True):
            optimizer.step()
            assert [change.grown > 0 for change in updater.step()] == [True]
            optimizer.zero_grad()
    after = [mask_of(each) for each in sparse_layers(net)]
    for first, last in zip(before, after, strict=True):
        assert first.sum() == last.sum()
        assert not torch.equal(first, last)


def test_layers_that_took_no_part_are_named():
    net = make_net()
    optimizer, updater = make_updater(net, "rigl", schedule=OFTEN)
    net[2](torch.ones(3, 20, dtype=torch.float64)).sum().backward()
    optimizer.step()
    with pytest.raises(UsageError, match="sparse layer '0' took no part"):
        updater.step()


def test_gradients_that_are_not_finite_are_refused():
    net = make_net()
    _, updater = make_updater(net, "rigl", schedule=OFTEN)
    x, _ = make_batches(1)[0]
    (net(x).sum() * np.nan).backward()
    with pytest.raises(DivergedError, match="NaN or infinite"):
        updater.step()


def test_accset_needs_a_score():
    net = make_net()
    optimizer, updater = make_updater(net, "accset", schedule=OFTEN)
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
        make_updater(make_net(), "rigl")


def test_copies_are_not_recorded():
    net = make_net()
    optimizer, updater = make_updater(net, "rigl", schedule=OFTEN)
    other = copy.deepcopy(net)
    for each in (net, other):
        train_step(each, optimizer, *make_batches(1)[0])
    assert [len(each) for each in updater._recorders[0].notes] == [1, 1]


def test_compiled_networks_follow_another_number_of_connections():
    torch._dynamo.reset()
    net, twin = make_net(), make_net()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    options = {"schedule": UpdateSchedule(3, "step", start=3)}
    runs = [
        (model, *make_updater(each, "granet", **options))
        for model, each in ((compiled, net), (twin, twin))
    ]
    before = net[0].nnz
    for batch in make_batches(8):
        losses = [train_step(*pair, *batch) for *pair, _ in runs]
        torch.testing.assert_close(*losses)
        for *_, updater in runs:
            updater.step()
    assert net[0].nnz < before
    assert torch.equal(mask_of(net[0]), mask_of(twin[0]))


def test_compiled_networks_follow_many_numbers_of_connections():
    """As docs/torch.md says; torch gives up after eight compilations otherwise."""
    torch._dynamo.reset()
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return aot_eager(graph, inputs)

    net = make_net(density=0.5)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    optimizer, updater = make_updater(net, "granet", epochs=8, schedule=OFTEN)
    counts = set()
    with torch._dynamo.config.patch(force_parameter_static_shapes=False):
        for batch in make_batches(30):
            loss = train_step(compiled, optimizer, *batch)
            assert loss.isfinite()
            updater.step()
            counts.add((net[0].nnz, net[2].nnz))
    assert len(counts) > 16
    assert len(compilations) <= 3
