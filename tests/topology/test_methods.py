"""Each algorithm beside its dense twin, which knows all gradients."""

import numpy as np
import pytest
from scipy import stats
from support import naive, naive_topology
from support.strategies import make_connections, to_dense
from support.topology_net import BATCH, Net, at

from truesparse import topology
from truesparse.common.rng import Purpose
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import Batches, Update
from truesparse.topology.gse import DISTRIBUTIONS
from truesparse.topology.parts.guided import GuidedGrowth, largest_weighted
from truesparse.topology.parts.schedule import Fraction, Share

LEVEL = 1e-4  # of tests of distribution; the seeds are fixed

each_input = pytest.mark.parametrize("is_sparse", [False, True])


# RigL, GSE ---------------------------------------------------------------------------


@each_input
@pytest.mark.parametrize("candidates", ["exact", "auto", "sampled"])
def test_rigl_equals_its_twin(candidates, is_sparse):
    net = Net(is_sparse)
    gradients = net.gradients(at())
    options = {"candidates": candidates, "gamma": 100.0}
    algorithm = topology.make("rigl", zeta=0.4, **options)
    changes = net.update(algorithm)
    fraction = Fraction(0.4, "cosine", 0.75).at(0.1)
    for k in range(2):
        want = naive_topology.rigl(net.masks[k], net.weights[k], gradients[k], fraction)
        np.testing.assert_array_equal(net.new_masks()[k], want)
        # Connections that stayed or came back have their old weight, the rest 0.
        connections = net.model.layers[k].connections
        both = want & net.masks[k]
        weights = np.where(both, net.weights[k], 0.0)
        np.testing.assert_array_equal(to_dense(connections), weights)
        dropped = naive_topology.drop_magnitude(
            net.masks[k], net.weights[k], changes[k].removed
        )
        assert changes[k].regrown == (dropped & want).sum()
    # Some cells did come back, or the test shows nothing.
    assert sum(change.regrown for change in changes) > 0
    assert {change.growth for change in changes} == {
        "sampled" if candidates == "sampled" else "exact"
    }


@each_input
def test_layers_of_either_kind_see_one_pass(is_sparse, monkeypatch):
    """The first layer's sample holds all cells, the second is gone over as a whole."""
    net, passes = Net(is_sparse), []
    observe = Batches.observe

    def count(self, *arguments, **named):
        passes.append(1)
        observe(self, *arguments, **named)

    gradients = net.gradients(at())
    algorithm = topology.make("rigl", zeta=0.4, gamma=100.0)
    monkeypatch.setattr(algorithm, "_is_exact", lambda update, index: index == 1)
    monkeypatch.setattr(Batches, "observe", count)
    changes = net.update(algorithm)
    assert len(passes) == 1
    assert [change.growth for change in changes] == ["sampled", "exact"]
    fraction = Fraction(0.4, "cosine", 0.75).at(0.1)
    for k in range(2):
        want = naive_topology.rigl(net.masks[k], net.weights[k], gradients[k], fraction)
        np.testing.assert_array_equal(net.new_masks()[k], want)


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        (9 * 14 * BATCH - 1, ["sampled", "sampled"]),
        (9 * 14 * BATCH, ["exact", "sampled"]),
        (14 * 11 * BATCH, ["exact", "exact"]),
    ],
)
def test_a_layer_is_gone_over_as_a_whole_if_that_is_little_work(
    most, wanted, monkeypatch
):
    algorithm = topology.make("rigl", zeta=0.4)
    monkeypatch.setattr(GuidedGrowth, "most_products", most)
    assert [change.growth for change in Net().update(algorithm)] == wanted
    several = topology.make("rigl", zeta=0.4, gradient_batches=2)
    growth = {change.growth for change in Net().update(several)}
    assert growth == {"sampled"}


def test_a_sampled_cell_counts_if_half_of_those_it_stands_for_do():
    sizes, stand_for = np.array([5.0, 3.0, 0.0]), np.array([1.0, 4.0, 1.0])
    for count, wanted in ((0, []), (1, [0]), (2, [0]), (3, [0, 1]), (9, [0, 1])):
        assert largest_weighted(sizes, stand_for, count).tolist() == wanted


# The vector of the authors' tests (google-research/rigl and jaxpruner).
@pytest.mark.parametrize(
    ("fraction", "wanted"),
    [
        (0.0, [0, 1, 0, 1, 0, 1, 1, 0]),
        (0.25, [1, 1, 0, 1, 0, 1, 0, 0]),
        (0.5, [1, 1, 0, 0, 1, 1, 0, 0]),
        (0.75, [1, 0, 1, 0, 1, 1, 0, 0]),
        (1.0, [1, 0, 1, 0, 1, 1, 0, 0]),
    ],
)
def test_golden_vector_of_rigl(fraction, wanted, monkeypatch):
    mask = np.array([[0, 1, 0, 1, 0, 1, 1, 0]], bool)
    connections = make_connections(mask, np.float32)
    # In the order of their scores there, 1, -1, 8 and -2.
    connections.values[:] = [3, -2, 8, -1]
    model = SparseMLP([1, 8, 2], density=1.0)
    model.layers[0].connections = connections
    # A batch of one sample, whose deltas are the gradients.
    inputs, gradients = np.ones((1, 1)), np.array([[9, 1, 4, 1, 5, 8, 2, 3.0]]).T

    class OneBatch:
        batch_size = size = 1

        def observe(self, context, count, observer):
            observer(0, inputs.astype(np.float32), gradients.astype(np.float32))

    algorithm = topology.make("rigl")
    monkeypatch.setattr(algorithm, "drop_fraction", lambda context: fraction)
    update = Update(model, at(), [0], OneBatch())
    algorithm.drop(update)
    (keys,) = algorithm.grow(update).values()
    result = mask.copy()
    result[mask] = ~update.dropped[0]
    result.flat[keys] = True
    np.testing.assert_array_equal(result[0], np.array(wanted, bool))


@each_input
def test_gse_equals_its_twin_where_all_cells_are_candidates(is_sparse):
    net = Net(is_sparse)
    gradients = net.gradients(at(), 2)
    net.update(topology.make("gse", zeta=0.3, gamma=100.0, gradient_batches=2))
    fraction = Fraction(0.3, "cosine", 0.6).at(0.1)
    for k in range(2):
        want = naive_topology.gse(net.masks[k], net.weights[k], gradients[k], fraction)
        np.testing.assert_array_equal(net.new_masks()[k], want)


def test_gse_looks_at_a_sample_only():
    net = Net()
    algorithm = topology.make("gse", gamma=0.5)
    update = Update(net.model, at(), [0, 1], net.batches)
    for index, keys in algorithm.draw_candidates(update, [0, 1]).items():
        connections = update.connections[index]
        assert keys.size == -(-connections.nnz // 2)
        assert not connections.contains(keys).any()


@each_input
@pytest.mark.parametrize("batch_size", [16, 10])
def test_gse_weighs_rows_and_columns_without_padding(batch_size, is_sparse):
    net = Net(is_sparse)
    batches = net.batches
    net.model.prepare(batch_size, batches.data)
    rest = batches.targets, batches.samples, batch_size
    update = Update(net.model, at(), [0, 1], Batches(net.model, batches.data, *rest))
    seen = {}

    def note(index, inputs, delta):
        if isinstance(inputs, tuple):
            inputs = naive.dense_batch(inputs, delta.shape[1])
        seen[index] = inputs[:, :batch_size].copy(), delta[:, :batch_size].copy()
        # Outputs of the padded columns are those of the biases.
        assert index != 1 or batch_size == 16 or inputs[:, batch_size:].any()

    for layer in net.model.layers:
        layer.bias += 1.0
    update.batches.observe(at(), 1, note)
    signs = update.stream(Purpose.SIGNS, 0).choice(np.array([-1.0, 1.0]), batch_size)
    for distribution in ("grabo", "graest"):
        algorithm = topology.make("gse", distribution=distribution)
        for index, got in algorithm._weights(update, [0, 1]).items():
            for sums, array in zip(got, seen[index], strict=True):
                want = abs(array).sum(1) if distribution == "grabo" else array @ signs
                np.testing.assert_allclose(sums, abs(want), atol=1e-12)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_gse_draws_at_random_where_inputs_are_silent(distribution):
    net = Net(activation="relu")
    # Nothing comes out of the first layer: the second has deltas but no inputs.
    net.model.layers[0].bias[:] = -100.0
    changes = net.update(topology.make("gse", distribution=distribution))
    assert [change.grown == change.removed > 0 for change in changes] == [True, True]


@each_input
@pytest.mark.parametrize("distribution", ["uniform", "grabo"])
def test_candidates_of_gse_follow_their_distribution(distribution, is_sparse):
    net = Net(is_sparse)
    algorithm = topology.make("gse", distribution=distribution, gamma=0.1)
    hits = np.zeros(net.masks[1].shape)
    seen = {}

    def note(index, inputs, delta):
        if index == 1:
            seen["x"], seen["delta"] = inputs.copy(), delta.copy()

    net.batches.observe(at(), 1, note)
    n_updates = 400
    for seed in range(n_updates):
        update = Update(net.model, at(seed=seed), [1], SameBatch(net.batches))
        (keys,) = algorithm.draw_candidates(update, [1]).values()
        assert not net.masks[1].flat[keys].any()
        hits.flat[keys] += 1
    if distribution == "uniform":
        expected = np.ones(hits.shape)
    else:
        sums = [abs(seen[key]).sum(1) for key in ("x", "delta")]
        expected = np.outer(*sums)
    expected = expected[~net.masks[1]]
    expected *= hits.sum() / expected.sum()
    observed = hits[~net.masks[1]]
    big = expected > 5
    # Repetitions within an update are left out: at gamma 0.1 there are few.
    statistic = ((observed - expected)[big] ** 2 / expected[big]).sum()
    assert stats.chi2.sf(statistic, big.sum() - 1) > LEVEL


class SameBatch:
    """Shows the batch of seed 0, whatever the seed of the update."""

    def __init__(self, batches):
        self.batches, self.size = batches, batches.size

    def observe(self, context, count, observer):
        self.batches.observe(at(), count, observer)


def test_what_gradients_of_zero_leave_open_is_drawn():
    net = Net()
    for layer in net.model.layers:
        layer.connections.values[:] = 0.0
    for name in ("rigl", "gse", "ggr"):
        # With all weights 0 hidden layers have no gradient at all.
        changes = net.update(topology.make(name, zeta=0.3))
        assert sum(c.grown for c in changes) == sum(c.removed for c in changes) > 0
        for layer in net.model.layers:
            layer.connections.check()


# MEST, DSR, GraNet; GGR in test_redistribution.py ------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_mest_removes_what_its_twin_removes(count):
    net = Net()
    gradients = net.gradients(at(), count)
    algorithm = topology.make("mest", gradient_weight=3.0, gradient_batches=count)
    update = Update(net.model, at(), [0, 1], net.batches)
    algorithm.drop(update)
    for k in range(2):
        want = naive_topology.mest_dropped(
            net.masks[k], net.weights[k], gradients[k], 0.2, 3.0
        )
        np.testing.assert_array_equal(update.dropped[k], want[net.masks[k]])


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.45])
def test_dsr_equals_its_twin(threshold):
    net = Net()
    algorithm = topology.make("dsr", zeta=0.2, threshold=threshold)
    target = 0.2 * sum(mask.sum() for mask in net.masks[:2])
    remaining, shares, wanted = naive_topology.dsr(
        net.masks[:2], net.weights[:2], threshold, target
    )
    changes = net.update(algorithm)
    assert algorithm.threshold == wanted
    for k, change in enumerate(changes):
        assert change.removed == net.masks[k].sum() - remaining[k].sum()
        assert abs(change.grown - shares[k]) < 1
        new = net.new_masks()[k]
        assert new[remaining[k]].all()
        # Nothing comes back in the same update.
        assert not new[net.masks[k] & ~remaining[k]].any()
    assert sum(c.grown for c in changes) == sum(c.removed for c in changes)


def test_dsr_leaves_every_layer_a_connection():
    net = Net()
    best = [abs(weights).max() for weights in net.weights]
    net.update(topology.make("dsr", threshold=100.0))
    for k in range(2):
        assert abs(net.model.layers[k].connections.values).max() == best[k]


def test_granet_prunes_jointly_then_exchanges():
    net = Net()
    algorithm = topology.make("granet", final_share=0.5)
    algorithm.begin(net.model)
    where = at(40)
    update = Update(net.model, where, [0, 1], net.batches)
    share = Share(0.5, end=0.7).at(0.4)
    nnz = [mask.sum() for mask in net.masks[:2]]
    surplus = sum(nnz) - sum(round(n * share) for n in nnz)
    fraction = Fraction(0.5, "cosine", floor=0.005).at(0.4)
    algorithm.drop(update)
    wanted = naive_topology.granet_dropped(
        net.masks[:2], net.weights[:2], surplus, fraction
    )
    for k in range(2):
        np.testing.assert_array_equal(update.dropped[k], wanted[k][net.masks[k]])
    assert (
        sum(algorithm.grow_counts(update).values())
        == sum(update.removed(k) for k in range(2)) - surplus
    )


def test_granet_lets_a_layer_have_what_is_left_of_it():
    net = Net()
    algorithm = topology.make("granet", final_share=0.5)
    algorithm.begin(net.model)
    at_first = dict(algorithm.budgets)
    changes = net.update(algorithm, at(60))
    share = algorithm.share_left(at(60))
    got = {change.layer: algorithm.budgets[change.layer] for change in changes}
    assert got == {change.layer: change.nnz / share for change in changes}
    assert got != {layer: at_first[layer] for layer in got}


# DeepR -------------------------------------------------------------------------------


def test_deepr_replaces_what_changed_its_sign():
    net = Net()
    algorithm = topology.make("deepr", temperature=0.0, l1=0.0)
    algorithm.begin(net.model)
    connections = net.model.layers[0].connections
    flipped = np.zeros(connections.nnz, bool)
    flipped[::5] = True
    connections.values[flipped] *= -1
    net.model.step = 10
    changes = net.update(algorithm)
    assert [change.removed for change in changes] == [flipped.sum(), 0]
    new = net.new_masks()[0]
    remaining = net.masks[0].copy()
    remaining[net.masks[0]] = ~flipped
    assert new[remaining].all()
    assert set(abs(connections.values[abs(connections.values) < 1e-6])) <= {1e-12}


def test_deepr_pulls_weights_to_zero_and_shakes_them():
    model = SparseMLP([200, 300, 2], epsilon=20, dtype="float64")
    connections = model.layers[0].connections
    connections.values[:] = np.where(np.arange(connections.nnz) % 2, 1.0, -1.0)
    algorithm = topology.make("deepr", temperature=1e-4, l1=0.5)
    algorithm.begin(model)
    update = Update(model, at(4), [0])
    algorithm.drop(update)
    moved = abs(connections.values) - 1.0
    # Four steps of learning rate 0.1, in one.
    assert moved.mean() == pytest.approx(-0.4 * 0.5, abs=1e-3)
    assert moved.std() == pytest.approx(np.sqrt(2 * 0.4 * 1e-4), rel=0.05)
    assert not update.dropped[0].any()
