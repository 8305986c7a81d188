"""DSR, SNFS and GGR: what moves between layers, full ones too; MEST's bounds."""

import math

import numpy as np
import pytest
from support import naive_topology
from support.naive_patterns import is_uniform
from support.network import mask_of
from support.strategies import make_connections, to_dense
from support.topology_net import BATCH, Net, at

from truesparse import topology
from truesparse.kernels.jit import DISABLED
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.topology import Batches, Update, UpdateContext, UpdateSchedule

SIZES = (30, 10, 12, 3)


def begun(name, model, **options):
    algorithm = topology.make(name, **options)
    algorithm.begin(model)
    return algorithm


def half_full_net(density=0.25):
    """Return a model whose first layer is full, 30 x 10, and batches of it."""
    draw = np.random.default_rng(0)
    masks = [np.ones(SIZES[:2], bool), draw.random(SIZES[1:3]) < density]
    model = SparseMLP(SIZES, density=0.9, dtype="float64", activation="tanh")
    for layer, mask in zip(model.layers, masks, strict=False):
        layer.connections = make_connections(mask, np.float64)
        layer.connections.values[:] = draw.uniform(0.5, 1.0, int(mask.sum()))
    model.allocate_moments(Optimizer())
    # 90 weights of the full layer are small.
    model.layers[0].connections.values[:90] = 1e-4
    data = draw.standard_normal((40, SIZES[0]))
    model.prepare(BATCH, data)
    targets = draw.integers(0, SIZES[-1], 40).astype(np.int32)
    return model, Batches(model, data, targets, np.arange(40), BATCH)


# Full layers -------------------------------------------------------------------------


def test_a_surplus_of_dsr_goes_beside_what_is_below_the_threshold():
    net = Net()
    algorithm = begun("dsr", net.model, threshold=0.2, final_share=0.5)
    update = Update(net.model, at(90), [0, 1])
    algorithm.drop(update)
    both = update.connections.values()
    sizes = np.concatenate([abs(connections.values) for connections in both])
    dropped = np.concatenate([update.dropped[index] for index in (0, 1)])
    n_left = sum(round(connections.nnz / 2) for connections in both)
    assert (sizes < 0.2).sum() < dropped.sum() == sizes.size - n_left
    # The smallest of both layers, those below the threshold among them.
    assert sizes[dropped].max() < sizes[~dropped].min()


def test_a_full_layer_of_dsr_loses_what_is_below_the_threshold():
    model, batches = half_full_net()
    nnz = model.nnz
    before = mask_of(model.layers[1].connections)
    changes = begun("dsr", model, threshold=1e-3).update(model, at(), batches)
    assert changes[0].removed == 90
    # Cells just emptied stay empty: all that grows does so in the other layer.
    assert [change.grown for change in changes] == [0, 90]
    assert model.nnz == nnz
    assert before[mask_of(model.layers[1].connections)].sum() == before.sum()


@pytest.mark.parametrize("name", ["snfs", "ggr"])
def test_a_full_layer_gives_connections_to_another(name):
    model, batches = half_full_net()
    nnz, lost = model.nnz, []
    options = {"zeta": 0.2, "decay": "constant"}
    algorithm = begun(name, model, **options)
    for step in range(10, 40, 10):
        changes = algorithm.update(model, at(step), batches)
        lost.append(changes[0].removed - changes[0].grown)
        assert changes[0].removed > 0
    assert model.nnz == nnz
    assert sum(lost) > 0
    assert model.layers[0].connections.density < 1.0


# SNFS --------------------------------------------------------------------------------


def with_momentum(net, algorithm, sizes):
    """Give the pool of SNFS these momenta, one array of the layer's shape each."""
    algorithm.advance("step", net.model, at(1), net.batches)
    state = algorithm.state()
    for index, size in enumerate(sizes):
        keys = state["pool"][str(index)]
        state["momentum"][str(index)][:] = size.ravel()[keys]


def test_shares_of_snfs_do_not_depend_on_the_optimiser_state():
    masks = []
    for factor in (1.0, 0.04, 0.0):
        net = Net()
        net.model.layers[0].connections.moments.first[:] *= factor
        net.update(begun("snfs", net.model))
        masks.append(net.new_masks())
    for others in masks[1:]:
        for first, other in zip(masks[0], others, strict=True):
            np.testing.assert_array_equal(first, other)


def test_shares_of_snfs_are_those_of_mean_gradients():
    net = Net()
    gradients = net.gradients(at())
    options = {"zeta": 0.4, "decay": "constant", "gamma": 100.0}
    changes = net.update(begun("snfs", net.model, **options))
    pairs = zip(gradients[:2], net.masks[:2], strict=True)
    means = np.array([abs(gradient[mask]).mean() for gradient, mask in pairs])
    total = sum(change.removed for change in changes)
    shares = total * means / means.sum()
    assert abs(shares[0] - shares[1]) > 3
    for change, share in zip(changes, shares, strict=True):
        assert abs(change.grown - share) < 1


def test_a_layer_of_snfs_fills_at_most_99_percent_of_its_open_cells():
    net = Net()
    draw = np.random.default_rng(0)
    # One open cell in a hundred must stay free: the layer is large enough for one.
    masks = [draw.random(net.masks[0].shape) < 0.12, draw.random((14, 11)) < 0.95]
    net.connect(masks, draw)
    options = {"zeta": 0.9, "decay": "constant", "sample_every": 1, "gamma": 100.0}
    algorithm = begun("snfs", net.model, **options)
    sizes = [np.ones(masks[0].shape), np.zeros(masks[1].shape)]
    with_momentum(net, algorithm, sizes)
    first, second = net.update(algorithm)
    room = masks[0].size - (masks[0].sum() - first.removed)
    assert first.removed + second.removed > room > 100
    assert first.grown == int(0.99 * room) < room
    # The rest goes where there is room.
    assert first.grown + second.grown == first.removed + second.removed


def test_dropped_connections_of_snfs_come_back_with_weight_and_state():
    net = Net()
    options = {"zeta": 0.4, "decay": "constant", "sample_every": 1, "gamma": 100.0}
    algorithm = begun("snfs", net.model, **options)
    # Of the connections that go, those in even columns have the largest momentum.
    dropped = [
        naive_topology.drop_magnitude(mask, weights, int(0.4 * mask.sum()))
        for mask, weights in zip(net.masks[:2], net.weights[:2], strict=True)
    ]
    again = [marks & (np.indices(marks.shape)[1] % 2 == 0) for marks in dropped]
    pairs = zip(again, net.masks[:2], strict=True)
    sizes = [np.where(marks, 9.0, np.where(mask, 0.1, 0.5)) for marks, mask in pairs]
    with_momentum(net, algorithm, sizes)
    moments = [
        to_dense(layer.connections, layer.connections.moments.first)
        for layer in net.model.layers
    ]
    for k, change in enumerate(net.update(algorithm)):
        connections = net.model.layers[k].connections
        assert change.regrown == again[k].sum() > 0
        assert net.new_masks()[k][again[k]].all()
        weights, first = (
            to_dense(connections),
            to_dense(connections, connections.moments.first),
        )
        np.testing.assert_array_equal(weights[again[k]], net.weights[k][again[k]])
        np.testing.assert_array_equal(first[again[k]], moments[k][again[k]])


# GGR ---------------------------------------------------------------------------------


def remaining_of(net, zeta):
    pairs = zip(net.masks[:2], net.weights[:2], strict=True)
    return [
        mask & ~naive_topology.drop_magnitude(mask, weights, int(zeta * mask.sum()))
        for mask, weights in pairs
    ]


@pytest.mark.parametrize("candidates", ["auto", "exact", "sampled"])
def test_layers_of_ggr_gain_what_they_have_of_the_largest_gradients(candidates):
    net = Net(epsilon=1.5)
    gradients = net.gradients(at())
    options = {"zeta": 0.4, "decay": "constant", "candidates": candidates}
    changes = net.update(begun("ggr", net.model, **options))
    left = remaining_of(net, 0.4)
    total = sum(change.removed for change in changes)
    want = naive_topology.ggr_counts(left, gradients[:2], total)
    # The sample is all cells, as layers have fewer than 20,000; counts are no shares
    # of what was removed.
    assert [change.grown for change in changes] == want
    assert min(want) > 5
    assert want != [change.removed for change in changes]
    kind = "sampled" if candidates == "sampled" else "exact"
    assert {change.growth for change in changes} == {kind}
    for k in range(2):
        # Cells just emptied are candidates, too; what grows there is new.
        half = naive_topology.largest(abs(gradients[k]), ~left[k], (want[k] + 1) // 2)
        new = net.new_masks()[k] & ~left[k]
        assert new[half].all()
        values = to_dense(net.model.layers[k].connections)[new]
        assert set(values) == {1e-10}
    assert sum((net.masks[k] & ~left[k] & net.new_masks()[k]).sum() for k in (0, 1)) > 0


# The counts of what grows are uneven here, so that rounding up shows.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ggr", {}),
        ("ggr", {"gradient_share": 0.0}),
        ("ggr", {"gradient_share": 1.0}),
        ("rigl", {"gradient_share": 0.5}),
        ("rigl", {"gradient_share": 0.25}),
        ("granet", {"gradient_share": 0.5}),
    ],
)
def test_a_share_grows_by_gradient_and_the_rest_is_drawn(name, options):
    net = Net(epsilon=1.5)
    gradient = net.gradients(at())[0]
    common = {"zeta": 0.4, "decay": "constant", "layers": [0]}
    algorithm = topology.make(name, **common, **options)
    n_draws = 40 if DISABLED else 400
    counts = np.zeros(gradient.size)
    for seed in range(n_draws):
        update = Update(net.model, at(seed=seed), [0], SameBatch(net.batches))
        algorithm.drop(update)
        (keys,) = algorithm.grow(update).values()
        counts[keys] += 1
    left = net.masks[0].copy()
    left.flat[update.connections[0].keys(np.flatnonzero(update.dropped[0]))] = False
    count = keys.size
    assert count % 2 == 1
    share = options.get("gradient_share", 0.5)
    best = naive_topology.largest(abs(gradient), ~left, math.ceil(share * count))
    best = best.ravel()
    assert (counts[best] == n_draws).all()
    assert counts.sum() == n_draws * count
    # All other absent cells are as likely, however large their gradient.
    if share < 1.0:
        assert is_uniform(counts[~best & ~left.ravel()])


def test_samples_of_ggr_hold_20_000_cells_at_least():
    model = SparseMLP([300, 200, 2], density=0.01)
    update = Update(model, at(), [0])
    for gamma, want in ((1.0, 20_000), (50.0, 30_000)):
        algorithm = topology.make("ggr", gamma=gamma)
        (keys,) = algorithm.draw_candidates(update, [0]).values()
        assert keys.size == want
    assert topology.make("ggr", gamma=200.0).draw_candidates(update, [0])[0].size == (
        300 * 200 - model.layers[0].connections.nnz
    )


class SameBatch:
    """Shows the batch of seed 0, whatever the seed of the update."""

    def __init__(self, batches):
        self.batches, self.batch_size = batches, batches.batch_size

    def observe(self, context, count, observer):
        self.batches.observe(at(), count, observer)


# MEST --------------------------------------------------------------------------------


def net_of_50():
    """Return a model whose first layer has 50 connections."""
    model = SparseMLP([20, 10, 2], density=0.25)
    assert model.layers[0].connections.nnz == 50
    return model


def test_a_soft_bound_grows_to_the_upper_and_prunes_to_the_lower():
    model = net_of_50()
    algorithm = begun("mest", model, soft_bound=True)
    counts = []
    for step in (10, 20, 60, 70, 80, 90):
        (change,) = algorithm.update(model, at(step))
        counts.append((change.removed, change.grown, change.nnz))
    # A fifth, then a tenth after 56 %, then 0 after 75 % of the run.
    assert counts == [
        *((0, 10, 60), (10, 10, 60), (10, 5, 55)),
        *((5, 5, 55), (5, 0, 50), (0, 0, 50)),
    ]


def test_without_a_soft_bound_the_fraction_is_exchanged():
    model = net_of_50()
    algorithm = begun("mest", model)
    for step, count in ((10, 10), (60, 5), (75, 0)):
        (change,) = algorithm.update(model, at(step))
        assert (change.removed, change.grown, change.nnz) == (count, count, 50)


def test_a_soft_bound_is_left_for_good_after_the_fraction_is_0():
    soft, hard = (topology.make("mest", soft_bound=each) for each in (True, False))

    def due(algorithm):
        epochs = (UpdateContext(0, 5 * n, n, 200, 40) for n in range(1, 41))
        return [each.epoch for each in epochs if algorithm.due("epoch", each)]

    assert due(hard) == [5, 10, 15, 20, 25, 30]
    assert due(soft) == [5, 10, 15, 20, 25, 30, 35]
    assert (soft.growth, hard.growth) == (1.2, 1.0)
    by_step = UpdateSchedule(80, "step", start=80)
    softly = topology.make("mest", soft_bound=True, schedule=by_step)
    steps = (UpdateContext(0, n, n // 10, 400, 40) for n in range(1, 401))
    due_steps = [each.step for each in steps if softly.due("step", each)]
    assert due_steps == [80, 160, 240, 320]
    assert topology.make("mest").schedule == UpdateSchedule(5, "epoch", start=5)


# DeepR -------------------------------------------------------------------------------


def test_new_connections_of_deepr_have_either_sign():
    net = Net()
    algorithm = begun("deepr", net.model, temperature=0.0, l1=0.0)
    connections = net.model.layers[0].connections
    connections.values[:] *= np.where(np.arange(connections.nnz) % 2, -1.0, 1.0)
    net.update(algorithm)
    new = connections.values[abs(connections.values) == 1e-12]
    # Of 20 and more, all of one sign once in a million seeds.
    assert new.size >= 20
    assert 0.2 < (new > 0).mean() < 0.8


def test_the_penalty_of_deepr_is_of_the_steps_since_the_last_update():
    net = Net()
    algorithm = begun("deepr", net.model, temperature=0.0, l1=0.5)
    connections = net.model.layers[0].connections
    connections.values[:] = np.where(connections.values < 0, -1.0, 1.0)
    size = 1.0
    net.model.step = 2  # of an earlier run
    algorithm.begin(net.model)
    for last, step in ((2, 3), (3, 4), (4, 9)):
        net.update(algorithm, at(step))
        size -= 0.1 * 0.5 * (step - last)
        np.testing.assert_allclose(abs(connections.values), size, rtol=1e-12)
