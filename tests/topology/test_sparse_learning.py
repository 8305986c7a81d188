"""Taylor removal, redistribution by weights, and growth by neuron."""

import numpy as np
import pytest
from support import naive_topology
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology import Update
from truesparse.topology.parts.guided import largest

# All cells are in the pool; the step's gradient is all of the momentum.
SNFS = {"zeta": 0.4, "decay": "constant", "sample_every": 1, "gamma": 100.0}


def begun(name, net, **options):
    algorithm = topology.make(name, **options)
    algorithm.begin(net.model)
    return algorithm


@pytest.mark.parametrize("name", ["itop", "snfs"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_smallest_products_of_weight_and_gradient_go(name, is_sparse):
    net = Net(is_sparse)
    gradients = net.gradients(at())
    options = {"zeta": 0.3, "decay": "constant", "removal": "taylor"}
    update = Update(net.model, at(), [0, 1], net.batches)
    begun(name, net, **options).drop(update)
    for k, mask in enumerate(net.masks[:2]):
        want = naive_topology.taylor_dropped(mask, net.weights[k], gradients[k], 0.3)
        np.testing.assert_array_equal(update.dropped[k], want[mask])
        by_size = naive_topology.drop_magnitude(mask, net.weights[k], want.sum())
        assert (want != by_size).any()


def test_taylor_removal_says_that_it_needs_batches():
    with pytest.raises(UsageError, match="looks at gradients: give update"):
        topology.make("itop", removal="taylor").update(Net().model, at())


@pytest.mark.parametrize("redistribution", ["magnitude", "nonzeros"])
def test_layers_share_in_proportion_to_their_weights(redistribution):
    net = Net()
    net.model.layers[0].connections.values[::2] = 0.0
    net.model.layers[0].connections.values[:] *= 3.0
    net.read()
    pairs = list(zip(net.masks[:2], net.weights[:2], strict=True))
    if redistribution == "magnitude":
        sizes = np.array([abs(weights[mask]).mean() for mask, weights in pairs])
    else:
        sizes = np.array([np.count_nonzero(weights) for _, weights in pairs])
    algorithm = begun("snfs", net, redistribution=redistribution, **SNFS)
    changes = net.update(algorithm)
    total = sum(change.removed for change in changes)
    for change, share in zip(changes, total * sizes / sizes.sum(), strict=True):
        assert abs(change.grown - share) < 1
    assert sum(change.grown for change in changes) == total


@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_neurons_grow_in_proportion_to_their_momentum(factor):
    net = Net()
    # With a large factor nearly all is the first neuron's, which has no room for it.
    sizes = [factor ** (np.indices(mask.shape)[1] == 0) for mask in net.masks[:2]]
    pairs = zip(sizes, net.gradients(at()), strict=False)
    sizes = [10.0 * size * abs(gradient) for size, gradient in pairs]
    algorithm = begun("snfs", net, grow_by="neuron", **SNFS)
    algorithm.advance("step", net.model, at(1), net.batches)
    state = algorithm.state()
    for k, size in enumerate(sizes):
        keys = state["pool"][str(k)]
        state["momentum"][str(k)][:] = size.flat[keys]
    differs = False
    for k, change in enumerate(net.update(algorithm)):
        mask = net.masks[k]
        left = mask & ~naive_topology.drop_magnitude(
            mask, net.weights[k], change.removed
        )
        want = naive_topology.neuron_growth(left, sizes[k], change.grown)
        np.testing.assert_array_equal(net.new_masks()[k], left | want)
        by_cell = naive_topology.largest(sizes[k], ~left, change.grown)
        differs = differs or (want != by_cell).any()
    assert differs or factor > 1.0


def test_a_sample_stands_for_all_cells_of_its_neuron():
    net = Net()
    algorithm = begun("snfs", net, grow_by="neuron", **SNFS | {"gamma": 1.0})
    algorithm.advance("step", net.model, at(1), net.batches)
    state = algorithm.state()
    keys, n_out = state["pool"]["0"], net.masks[0].shape[1]
    draw = np.random.default_rng(0)
    sizes = draw.random(keys.size)
    update = Update(net.model, at(), [0, 1], net.batches)
    sums = np.zeros(n_out)
    for j in range(n_out):
        mine = keys % n_out == j
        connected = net.masks[0].flat[keys]
        sums[j] = sizes[mine & connected].sum()
        if (mine & ~connected).any():
            n_absent = (~net.masks[0][:, j]).sum()
            sums[j] += sizes[mine & ~connected].mean() * n_absent
    want = np.floor(1000 * sums / sums.sum())
    got = algorithm._neuron_shares(update, 0, sizes, 1000)
    np.testing.assert_array_equal(got, want)


def test_without_momentum_no_neuron_has_a_share():
    net = Net()
    algorithm = begun("snfs", net, grow_by="neuron", **SNFS)
    algorithm.advance("step", net.model, at(1), net.batches)
    for index in ("0", "1"):
        algorithm.state()["momentum"][index][:] = 0.0
    update = Update(net.model, at(), [0, 1], net.batches)
    sizes = np.zeros(algorithm.state()["pool"]["0"].size)
    assert not algorithm._neuron_shares(update, 0, sizes, 1000).any()
    nnz = net.model.nnz
    changes = net.update(algorithm, at(2))
    assert net.model.nnz == nnz
    assert sum(change.grown for change in changes) > 0


def test_infinity_counts_as_the_largest():
    assert largest(np.array([0.0, 2.0, np.inf, 1.0]), 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("snfs", {"removal": "per_sign"}, "unknown removal 'per_sign'"),
        ("snfs", {"redistribution": "none"}, "unknown redistribution 'none'"),
        ("snfs", {"grow_by": "layer"}, "unknown unit of growth 'layer'"),
        ("itop", {"removal": "threshold"}, "unknown removal 'threshold'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        topology.make(name, **options)
