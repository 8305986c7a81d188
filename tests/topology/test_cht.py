"""CHT, CHTs and CHTss: what is removed, where it grows."""

import numpy as np
import pytest
from scipy import stats
from support import naive_paths
from support.network import mask_of
from support.strategies import make_connections
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.kernels.jit import DISABLED
from truesparse.topology import Update, cht
from truesparse.topology.parts.paths import highest_scores

LEVEL = 1e-4  # the seeds are fixed


def begun(name, net, **options):
    algorithm = topology.make(name, **options)
    algorithm.begin(net.model)
    return algorithm


@pytest.mark.parametrize("rule", ["ch3_l3p", "ch2_l3n"])
def test_cht_grows_the_highest_scores_of_what_is_left(rule):
    net = Net(epsilon=1.2)
    for k, change in enumerate(net.update(begun("cht", net, rule=rule))):
        assert change.removed >= int(0.3 * net.masks[k].sum())
        assert change.grown == change.removed
        assert net.model.layers[k].connections.nnz == net.masks[k].sum()
        assert change.growth.startswith("paths ")


def test_cht_and_its_scores_without_chains():
    net = Net(epsilon=1.2)
    algorithm = begun("cht", net, chain_removal=False)
    update = Update(net.model, at(), [0, 1])
    algorithm.drop(update)
    wanted = {}
    for k, connections in update.connections.items():
        keys, _ = highest_scores(
            connections, update.dropped[k], update.removed(k), "ch3_l3p"
        )
        remaining = net.masks[k].copy()
        remaining[remaining] = ~update.dropped[k]
        scores = naive_paths.scores(remaining, "ch3_l3p")
        absent = np.sort(scores[~remaining])
        np.testing.assert_allclose(
            np.sort(scores.flat[keys]), absent[-keys.size :], rtol=1e-12
        )
        wanted[k] = keys
    net.update(algorithm)
    for k, keys in wanted.items():
        assert mask_of(net.model.layers[k].connections).flat[keys].all()
        # What was removed and has come back keeps its weight.
        both = net.masks[k] & net.new_masks()[k]
        weights = np.zeros(both.shape)
        weights[net.new_masks()[k]] = net.model.layers[k].connections.values
        np.testing.assert_array_equal(weights[both], net.weights[k][both])


@pytest.mark.parametrize("removal", ["magnitude", "relative"])
def test_chts_keeps_in_proportion(removal):
    net = Net(epsilon=1)
    index, progress = 1, 0.5
    sizes = abs(net.weights[index])
    if removal == "relative":
        with np.errstate(invalid="ignore"):
            sizes = sizes / sizes.sum(1, keepdims=True) + sizes / sizes.sum(0)
    weights = sizes[net.masks[index]] ** (1 + progress * 2)
    # The best score is a draw of one connection in proportion to its weight.
    n_draws = 300 if DISABLED else 3000
    algorithm = begun("chts", net, removal=removal, last_temperature=3.0)
    hits = np.zeros(weights.size)
    for seed in range(n_draws):
        update = Update(net.model, at(50, seed=seed), [index])
        hits[algorithm.drop_scores(update, index).argmax()] += 1
    expected = n_draws * weights / weights.sum()
    big = expected > 5
    observed = np.append(hits[big], hits[~big].sum())
    expected = np.append(expected[big], expected[~big].sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, big.sum()) > LEVEL


def test_weights_of_zero_go_first():
    net = Net()
    connections = net.model.layers[0].connections
    connections.values[::2] = 0.0
    for removal in ("magnitude", "relative"):
        update = Update(net.model, at(), [0])
        begun("chts", net, removal=removal, zeta=0.3).drop(update)
        assert (connections.values[update.dropped[0]] == 0).all()


def test_shares_of_rows_of_tiny_weights():
    net = Net()
    connections = net.model.layers[0].connections
    row = int(np.argmax(np.diff(connections.indptr)))
    mine = slice(*connections.indptr[row : row + 2])
    # Against a sum of 1e12 they do not count, but they share a row of their own.
    connections.values[:] = 1e12
    connections.values[mine] = 1e-9
    connections.values[connections.indptr[row]] = 3e-9
    update = Update(net.model, at(), [0])
    sizes = np.abs(connections.values)
    got = cht._relative(update, 0, sizes.copy())
    n = connections.indptr[row + 1] - connections.indptr[row]
    got -= sizes / np.bincount(connections.indices, sizes)[connections.indices]
    np.testing.assert_allclose(got[mine], [3 / (n + 2)] + [1 / (n + 2)] * (n - 1))
    empty = make_connections(np.zeros((3, 4), bool))
    update.connections[0] = empty
    assert cht._relative(update, 0, np.empty(0)).size == 0


def test_chtss_has_fewer_connections_in_the_end():
    net = Net()
    algorithm = begun("chtss", net, final_share=0.5)
    counts = [net.model.nnz]
    for step in range(5, 100, 10):
        net.update(algorithm, at(step))
        counts.append(net.model.nnz)
    assert counts == sorted(counts, reverse=True)
    for layer, mask in zip(net.model.layers[:2], net.masks[:2], strict=True):
        assert layer.connections.nnz == round(0.5 * mask.sum())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cht", {"rule": "ch3"}, "unknown rule of path scores 'ch3'"),
        ("chts", {"rule": "ch3_l3p"}, "unknown option 'rule' of topology 'chts'"),
        ("chts", {"removal": "per_sign"}, "unknown removal 'per_sign'"),
        ("chts", {"last_temperature": -1}, "last_temperature must be at least 0"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        topology.make(name, **options)
